//! A connection of HTTP/2, where both sides agree on it: it carries all requests of a target at once. The protocol is
//! hyper's.

use std::error::Error;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::metered::{Allowance, Metered};
use super::slots::Slot;
use super::stream::Stream;

/// The most that the head of an answer may have.
const MOST_HEAD: u32 = 32 * 1024;
/// What a receiver may send ahead of being read, for each answer and for all on one connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// How soon a dead connection is noticed while answers are awaited on it.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// What may come for every request, headers and all that is not said included, and before the first.
const ALLOWED_FOR_EACH: i64 = 256 * 1024;

#[derive(Clone)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    allowance: Allowance,
}

impl Connection {
    /// Its task ends when the last of its handles is dropped, or the other side ends it.
    pub async fn over(stream: Stream, slot: Slot) -> Result<Self, hyper::Error> {
        let allowance = Allowance::of(ALLOWED_FOR_EACH);
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_header_list_size(MOST_HEAD)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(TokioIo::new(Metered::over(stream, allowance.clone())))
            .await?;
        tokio::spawn(async move {
            let _slot = slot;
            drop(connection.await);
        });
        Ok(Self { sender, allowance })
    }

    pub fn is_usable(&self) -> bool {
        !self.sender.is_closed()
    }

    pub async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, hyper::Error> {
        self.sender.ready().await?;
        self.allowance.raise(ALLOWED_FOR_EACH);
        self.sender.send_request(request).await
    }
}

/// Whether the other side wants to be asked by HTTP/1.1.
pub fn wants_http1(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|error| error.reason() == Some(h2::Reason::HTTP_1_1_REQUIRED))
}

/// Whether the other side says that it has not looked at a request: it was about to end the connection.
pub fn is_unanswered(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    let is_refused = |error: &h2::Error| error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_canceled() || error.is_closed() || cause.is_some_and(is_refused)
}
