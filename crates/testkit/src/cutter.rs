//! A way to PostgreSQL that breaks in the end of one transaction: before the server has heard of it, or before its answer
//! is heard. Which transaction, says some text in what the client sends within it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinSet;

/// How transactions end, as the protocol says it: a query, its length, its text.
const ENDS: [&[u8]; 2] = [b"Q\0\0\0\x0bCOMMIT\0", b"Q\0\0\0\x0dROLLBACK\0"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The end never comes to the server, which so rolls back.
    Unheard,
    /// The server has done it and said so; the client never hears it.
    Unanswered,
}

/// The cut that is still to come.
type Plan = Arc<Mutex<Option<(Vec<u8>, Cut)>>>;

pub struct Cutter {
    address: SocketAddr,
    plan: Plan,
    _listening: JoinSet<()>,
}

impl Cutter {
    /// To the server whose sockets are in `folder`.
    pub async fn before(folder: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("the listener has an address");
        let plan = Plan::default();
        let (mut listening, planned) = (JoinSet::new(), plan.clone());
        listening.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = UnixStream::connect(folder.join(".s.PGSQL.5432")).await else { continue };
                connections.spawn(carry(near, far, planned.clone()));
            }
        });
        Self { address, plan, _listening: listening }
    }

    /// The database of this name, by this way.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}", self.address)
    }

    /// Cuts the connection of the next transaction in which the client sends `text`, when the client ends it.
    pub fn cut_once(&self, text: &str, cut: Cut) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some((text.as_bytes().to_vec(), cut));
    }

    /// Whether the planned cut has been made.
    pub fn has_cut(&self) -> bool {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

/// The cut to be made now, if the transaction that was sent in `sent` is the planned one and at its end.
fn due(plan: &Plan, sent: &[u8]) -> Option<Cut> {
    let mut plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
    let is_planned = |(text, _): &mut (Vec<u8>, Cut)| memchr::memmem::find(sent, text).is_some();
    plan.take_if(is_planned).map(|(_, cut)| cut)
}

/// Carries bytes both ways until one side ends, or the cut is made. The client waits for each answer before it goes on,
/// so what it ends a transaction by comes last of what is read at once.
async fn carry(mut near: TcpStream, mut far: UnixStream, plan: Plan) {
    let (mut there, mut back) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut sent = Vec::new();
    loop {
        tokio::select! {
            read = near.read(&mut there) => {
                let Ok(count @ 1..) = read else { return };
                sent.extend_from_slice(&there[..count]);
                let is_end = ENDS.iter().any(|end| sent.ends_with(end));
                let cut = if is_end { due(&plan, &sent) } else { None };
                if cut == Some(Cut::Unheard) || far.write_all(&there[..count]).await.is_err() {
                    return;
                }
                if cut == Some(Cut::Unanswered) {
                    return drop(far.read(&mut back).await);
                }
                if is_end {
                    sent.clear();
                }
            }
            read = far.read(&mut back) => {
                let Ok(count @ 1..) = read else { return };
                if near.write_all(&back[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}
