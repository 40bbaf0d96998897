//! What all streams have in common: how many there may be, whose each is, and how one is written and ended.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::Shared;
use super::connection::LONGEST_STALL;
use super::occupancy::Bounds;
use super::problem::{Kind, Problem};
use crate::domain::actor::Credential;

pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
pub const CREDENTIAL_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The stream was ended, by whichever side.
pub struct Ended;

/// A stream's head, and its body as it comes.
pub struct EventStream(mpsc::Receiver<Bytes>);

pub fn answer(chunks: mpsc::Receiver<Bytes>) -> EventStream {
    EventStream(chunks)
}

impl IntoResponse for EventStream {
    fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, "text/event-stream"),
            (header::CACHE_CONTROL, "no-store"),
            (header::HeaderName::from_static("x-accel-buffering"), "no"),
        ];
        (headers, Body::new(Chunks(self.0))).into_response()
    }
}

/// A stream ends with the key or the session that it was opened with.
pub async fn check_credential(api: &Shared, credential: Credential) -> Result<(), Ended> {
    match api.registry.is_in_force(credential).await {
        Ok(false) => Err(Ended),
        // While the database is away nothing can be sent either.
        Ok(true) | Err(_) => Ok(()),
    }
}

/// A reader that takes nothing for too long is cut; so is its connection, see `connection`.
pub async fn write(out: &mpsc::Sender<Bytes>, text: String) -> Result<(), Ended> {
    match tokio::time::timeout(LONGEST_STALL, out.send(text.into())).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Ended),
    }
}

impl super::Api {
    /// One more stream of whoever was let in by this.
    pub fn open_stream(&self, credential: Credential) -> Result<Open, Problem> {
        self.streams.open(credential).map_err(|most| {
            let detail = format!("{most} streams are open already; close one, or read what it tells by GET");
            Problem::of(Kind::TooManyStreams, detail)
        })
    }

    pub fn streams_open(&self) -> usize {
        self.streams.count()
    }
}

/// The streams that are open, by what let their readers in.
pub struct Streams {
    bounds: Bounds,
    open: Arc<Mutex<HashMap<Credential, usize>>>,
}

/// One of them, until it is dropped.
pub struct Open {
    open: Arc<Mutex<HashMap<Credential, usize>>>,
    credential: Credential,
}

fn locked(open: &Mutex<HashMap<Credential, usize>>) -> MutexGuard<'_, HashMap<Credential, usize>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Streams {
    pub fn within(bounds: Bounds) -> Self {
        Self { bounds, open: Arc::default() }
    }

    fn count(&self) -> usize {
        locked(&self.open).values().sum()
    }

    /// Refused with how many there may be, of this key or of all.
    fn open(&self, credential: Credential) -> Result<Open, usize> {
        let mut open = locked(&self.open);
        if open.values().sum::<usize>() >= self.bounds.streams {
            return Err(self.bounds.streams);
        }
        let own = open.entry(credential).or_default();
        if *own >= self.bounds.streams_of_one_key {
            return Err(self.bounds.streams_of_one_key);
        }
        *own += 1;
        Ok(Open { open: self.open.clone(), credential })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = locked(&self.open);
        if let Some(own) = open.get_mut(&self.credential) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.credential);
            }
        }
    }
}

/// A body that is written as it comes.
struct Chunks(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|bytes| Ok(Frame::data(bytes))))
    }
}
