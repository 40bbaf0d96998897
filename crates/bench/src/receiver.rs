//! A fast receiver with a ledger: what came, when, in which order. On request it verifies, and on request it misbehaves.
//! It has a thread to itself, so that it measures alike in every program that holds one.

mod connection;
mod ledger;
mod misbehaviour;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use bellwether_webhook::Secret;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{oneshot, watch};

pub use connection::number_after;
pub use ledger::Arrival;
pub use misbehaviour::Misbehaviour;

use crate::Problem;
use connection::Desk;
use ledger::Ledger;

/// A sender may open all its connections at once.
const BACKLOG: u32 = 4096;

#[derive(Clone)]
pub struct Options {
    /// 0: any free one.
    pub port: u16,
    /// Verifies each request by it, both ways.
    pub secret: Option<Secret>,
    pub misbehaviour: Option<Misbehaviour>,
    /// Of the requests that are met with the misbehaviour.
    pub share: f64,
    /// Without a ledger it only counts, and may run for ever.
    pub keeps_ledger: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { port: 0, secret: None, misbehaviour: None, share: 1.0, keeps_ledger: true }
    }
}

impl Options {
    pub fn verifying(secret: &Secret) -> Self {
        Self { secret: Some(secret.clone()), ..Self::default() }
    }

    pub fn misbehaving(misbehaviour: Misbehaviour) -> Self {
        Self { misbehaviour: Some(misbehaviour), ..Self::default() }
    }
}

pub struct Receiver {
    address: SocketAddr,
    ledger: Arc<Ledger>,
    count: watch::Receiver<usize>,
    is_silent: watch::Sender<bool>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Receiver {
    /// Listens, when this returns.
    pub fn start(options: &Options) -> Result<Self, Problem> {
        let ledger = Arc::new(Ledger::default());
        let (count, counted) = watch::channel(0);
        let (is_silent, silence) = watch::channel(false);
        let (stop, stopped) = oneshot::channel();
        let desk = Arc::new(Desk::set_up(options, ledger.clone(), count, silence));
        let (listening, address) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (port, refuses) = (options.port, options.misbehaviour == Some(Misbehaviour::Refuse));
        let thread = std::thread::Builder::new().name("receiver".to_owned()).spawn(move || {
            runtime.block_on(async {
                let bound = listen(port).and_then(|listener| Ok((listener.local_addr()?, listener)));
                let listener = bound.map(|(address, listener)| {
                    let listener = (!refuses).then_some(listener);
                    // Nobody waits for it only if the program has ended.
                    let _ = listening.send(Ok(address));
                    listener
                });
                match listener {
                    Ok(Some(listener)) => tokio::select! { () = accept(listener, desk) => {}, _ = stopped => {} },
                    Ok(None) => drop(stopped.await),
                    Err(error) => drop(listening.send(Err(error))),
                }
            });
        })?;
        let address = address.recv()??;
        Ok(Self { address, ledger, count: counted, is_silent, stop: Some(stop), thread: Some(thread) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        self.url_of(0)
    }

    /// Of an endpoint that the ledger tells apart by its number.
    pub fn url_of(&self, endpoint: usize) -> String {
        format!("http://{}/hooks/{endpoint}", self.address)
    }

    /// All that came until now, in order.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.ledger.arrivals()
    }

    /// All that came since the last time, in order, which is then forgotten.
    pub fn take_arrivals(&self) -> Vec<Arrival> {
        self.ledger.take_arrivals()
    }

    pub fn last_at(&self) -> Option<Instant> {
        self.ledger.last_at()
    }

    /// Why requests were refused, if any were.
    pub fn refused(&self) -> Vec<String> {
        self.ledger.refused()
    }

    /// While silent it takes requests in, and leaves them without an answer.
    pub fn be_silent(&self, is_silent: bool) {
        self.is_silent.send_replace(is_silent);
    }

    /// How many came; changes as they come.
    pub fn count(&self) -> watch::Receiver<usize> {
        self.count.clone()
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    socket.listen(BACKLOG)
}

async fn accept(listener: TcpListener, desk: Arc<Desk>) {
    while let Ok((stream, _)) = listener.accept().await {
        let desk = desk.clone();
        // A connection that breaks is the sender's to mend.
        tokio::spawn(async move { drop(connection::serve(stream, desk).await) });
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Connection;

    const REQUEST: &[u8] =
        b"POST /hooks/3 HTTP/1.1\r\nbellwether-revision: 2\r\ncontent-length: 22\r\n\r\n{\"experiment_id\":42, }";

    #[tokio::test]
    async fn notes_what_came() {
        let receiver = Receiver::start(&Options::default()).unwrap();
        let mut connection = Connection::to(receiver.address()).await.unwrap();
        for _ in 0..2 {
            assert_eq!(connection.exchange(REQUEST).await.unwrap().status, 204);
        }
        let arrivals = receiver.take_arrivals();
        let noted: Vec<_> = arrivals.iter().map(|it| (it.endpoint, it.experiment_id, it.revision)).collect();
        assert_eq!(noted, [(3, 42, 2), (3, 42, 2)]);
        assert_eq!(*receiver.count().borrow(), 2);
        assert!(receiver.arrivals().is_empty());
    }

    #[tokio::test]
    async fn misbehaves_for_its_share_of_requests() {
        let options = Options { share: 0.5, ..Options::misbehaving(Misbehaviour::Gone) };
        let receiver = Receiver::start(&options).unwrap();
        let mut connection = Connection::to(receiver.address()).await.unwrap();
        let mut statuses = Vec::new();
        for _ in 0..4 {
            statuses.push(connection.exchange(REQUEST).await.unwrap().status);
        }
        assert_eq!(statuses, [204, 410, 204, 410]);
    }

    #[tokio::test]
    async fn a_port_that_refuses_is_not_listened_at() {
        let receiver = Receiver::start(&Options::misbehaving(Misbehaviour::Refuse)).unwrap();
        assert!(Connection::to(receiver.address()).await.is_err());
    }

    #[tokio::test]
    async fn an_unsigned_request_is_refused_by_one_that_verifies() {
        let receiver = Receiver::start(&Options::verifying(&Secret::parse("s").unwrap())).unwrap();
        let mut connection = Connection::to(receiver.address()).await.unwrap();
        assert_eq!(connection.exchange(REQUEST).await.unwrap().status, 400);
        assert!(receiver.refused()[0].contains("webhook-id"));
    }
}
