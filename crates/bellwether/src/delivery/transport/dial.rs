//! Connecting to the first of several addresses that answers, so that a dead one costs a moment and not the whole time
//! (RFC 8305). Knows nothing of names, nor of who may be connected to.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::error::is_own_want;

/// How long an address is waited for alone, before the next is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);
/// A name with more addresses than this is reached at one of the first, or not at all.
const MOST_ADDRESSES: usize = 16;

/// No connection came about: the last address that failed, and why.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct DialError {
    pub reason: String,
    /// This machine has no descriptor, buffer or port left; nothing is known of the others'.
    pub is_own_want: bool,
}

impl DialError {
    fn at(address: SocketAddr, error: &io::Error) -> Self {
        // With IPv6 switched off, its addresses fail like this too.
        let has_no_port = error.kind() == io::ErrorKind::AddrNotAvailable && address.is_ipv4();
        let reason = format!("{} port {}: {error}", address.ip(), address.port());
        Self { reason, is_own_want: has_no_port || is_own_want(error) }
    }
}

impl From<String> for DialError {
    fn from(reason: String) -> Self {
        Self { reason, is_own_want: false }
    }
}

/// Connections that came too late are closed.
pub async fn dial(addresses: impl IntoIterator<Item = SocketAddr>) -> Result<TcpStream, DialError> {
    let mut waiting = addresses.into_iter().take(MOST_ADDRESSES);
    let mut under_way: JoinSet<(SocketAddr, io::Result<TcpStream>)> = JoinSet::new();
    let mut last = DialError::from("there is no address to connect to".to_owned());
    let mut is_exhausted = false;
    loop {
        if !is_exhausted {
            match waiting.next() {
                Some(address) => drop(under_way.spawn(async move { (address, TcpStream::connect(address).await) })),
                None => is_exhausted = true,
            }
        }
        tokio::select! {
            ended = under_way.join_next() => match ended {
                Some(Ok((_, Ok(stream)))) => {
                    // Requests are small and go out at once.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Some(Ok((address, Err(error)))) => last = DialError::at(address, &error),
                Some(Err(error)) => last = error.to_string().into(),
                None => return Err(last),
            },
            () = tokio::time::sleep(HEAD_START), if !is_exhausted => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpSocket};

    /// A listener that is full: it neither accepts nor refuses one more.
    async fn dead() -> (TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let mut queue = Vec::new();
        let address = listener.local_addr().unwrap();
        while let Ok(Ok(stream)) = tokio::time::timeout(HEAD_START, TcpStream::connect(address)).await {
            queue.push(stream);
        }
        (listener, queue)
    }

    #[tokio::test]
    async fn a_dead_address_and_a_refusing_one_do_not_keep_the_living_from_being_reached() {
        let (dead, _queue) = dead().await;
        let living = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refusing = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap()
        };
        let addresses = [dead.local_addr().unwrap(), refusing, living.local_addr().unwrap()];
        let stream = tokio::time::timeout(Duration::from_secs(3), dial(addresses)).await.unwrap().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), living.local_addr().unwrap());
    }

    #[tokio::test]
    async fn the_last_failure_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = dial([address]).await.unwrap_err();
        assert!(!error.is_own_want);
        let error = error.reason;
        assert!(error.starts_with(&format!("127.0.0.1 port {}", address.port())), "{error}");
        assert!(dial([]).await.is_err());
    }
}
