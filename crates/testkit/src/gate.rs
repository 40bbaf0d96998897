//! A way to PostgreSQL that can be shut: what goes through it goes no further, and no end learns of it.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub struct Gate {
    address: SocketAddr,
    is_open: watch::Sender<bool>,
    _listening: JoinSet<()>,
}

impl Gate {
    /// To the server whose sockets are in `folder`.
    pub async fn before(folder: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("the listener has an address");
        let (is_open, opened) = watch::channel(true);
        let mut listening = JoinSet::new();
        listening.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let (far, opened) = (UnixStream::connect(folder.join(".s.PGSQL.5432")).await, opened.clone());
                let Ok(far) = far else { continue };
                let (near_read, near_write) = near.into_split();
                let (far_read, far_write) = far.into_split();
                connections.spawn(carry(near_read, far_write, opened.clone()));
                connections.spawn(carry(far_read, near_write, opened));
            }
        });
        Self { address, is_open, _listening: listening }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn shut(&self) {
        self.is_open.send_replace(false);
    }

    pub fn open(&self) {
        self.is_open.send_replace(true);
    }
}

/// Carries bytes on while the gate is open, and keeps them while it is shut.
async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut opened: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(count) = from.read(&mut buffer).await else { return };
        if opened.wait_for(|is_open| *is_open).await.is_err() || count == 0 {
            return;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
