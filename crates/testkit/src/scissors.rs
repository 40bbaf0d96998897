//! A line to PostgreSQL that is cut at the end of a transaction, which for one that wrote is its commit: before the server has
//! heard of it, or before the client hears what came of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::unix::{OwnedReadHalf as FarReadHalf, OwnedWriteHalf as FarWriteHalf};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    BeforeEnd,
    AfterEnd,
}

/// What to look for, and what to do then: once.
type Order = Arc<Mutex<Option<(Vec<u8>, Cut)>>>;

pub struct Scissors {
    address: SocketAddr,
    order: Order,
    _listening: JoinSet<()>,
}

impl Scissors {
    /// Before the server whose sockets are in `folder`.
    pub async fn before(folder: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("the listener has an address");
        let order = Order::default();
        let orders = order.clone();
        let mut listening = JoinSet::new();
        listening.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let far = UnixStream::connect(folder.join(".s.PGSQL.5432")).await;
                if let Ok(far) = far {
                    connections.spawn(carry(near, far, orders.clone()));
                }
            }
        });
        Self { address, order, _listening: listening }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next transaction in which `marker` is sent is cut at its end.
    pub fn cut(&self, marker: &str, cut: Cut) {
        *self.order.lock().unwrap() = Some((marker.as_bytes().to_vec(), cut));
    }

    /// Whether that has happened.
    pub fn has_cut(&self) -> bool {
        self.order.lock().unwrap().is_none()
    }
}

/// Until one side ends it, or it is cut.
async fn carry(near: TcpStream, far: UnixStream, order: Order) {
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let mut line = Line { near_read, near_write, far_read, far_write, order, is_marked: false };
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    loop {
        let is_open = tokio::select! {
            is_open = more(&mut line.near_read, &mut asked) => is_open && line.ask(&mut asked).await,
            is_open = more(&mut line.far_read, &mut answered) => {
                is_open && line.near_write.write_all(&std::mem::take(&mut answered)).await.is_ok()
            }
        };
        if !is_open {
            return;
        }
    }
}

struct Line {
    near_read: OwnedReadHalf,
    near_write: OwnedWriteHalf,
    far_read: FarReadHalf,
    far_write: FarWriteHalf,
    order: Order,
    /// The transaction under way is the one to be cut.
    is_marked: bool,
}

impl Line {
    /// Passes on what the client asks; `false` if that was the end at which to cut.
    async fn ask(&mut self, asked: &mut Vec<u8>) -> bool {
        let asked = std::mem::take(asked);
        let has = |what: &[u8]| asked.windows(what.len()).any(|bytes| bytes == what);
        let order = self.order.lock().unwrap().clone();
        self.is_marked |= order.as_ref().is_some_and(|(marker, _)| has(marker));
        let Some((_, cut)) = order.filter(|_| self.is_marked && (has(b"COMMIT") || has(b"ROLLBACK"))) else {
            return self.far_write.write_all(&asked).await.is_ok();
        };
        *self.order.lock().unwrap() = None;
        if cut == Cut::AfterEnd && self.far_write.write_all(&asked).await.is_ok() {
            // The answer says that it is done, and is heard by nobody.
            let _ = self.far_read.read(&mut [0; 1024]).await;
        }
        false
    }
}

async fn more(from: &mut (impl AsyncRead + Unpin), into: &mut Vec<u8>) -> bool {
    matches!(from.read_buf(into).await, Ok(1..))
}
