//! The event log as server-sent events, for those who pull: pages from the database, in the order of its cursors, each
//! when it has been told that there is more. Nothing is kept for a reader but the page that is being written to it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use hyper::body::Frame;
use serde::Deserialize;
use tokio::sync::{mpsc, watch};

use super::Shared;
use super::answer::Answer;
use super::connection::LONGEST_STALL;
use super::events::{Pick, gone, log_cursor};
use super::occupancy::Bounds;
use super::params::Params;
use super::problem::{Kind, Problem};
use super::views::event::EventView;
use crate::domain::actor::{Actor, Principal};
use crate::domain::error::Refusal;
use crate::domain::event::Format;
use crate::domain::id::KeyId;
use crate::store::event_log::{self, Selection};

const PAGE: u32 = 50;
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
const KEY_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// While events never end, pages are read no closer than this: together they cost less than one by one.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(20);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    #[serde(default)]
    after: String,
    #[serde(default)]
    types: String,
    experiment: Option<String>,
    #[serde(default)]
    format: Format,
}

/// Begins behind the header `Last-Event-ID`, else behind `after`, else at the end of the log.
pub async fn follow(
    State(api): State<Shared>,
    Principal { actor, .. }: Principal,
    headers: HeaderMap,
    Params(listing): Params<Listing>,
) -> Answer<impl IntoResponse> {
    let pick = Pick::read(&api, listing.experiment.as_deref(), &listing.types).await?;
    let after = match last_event_id(&headers)? {
        Some(cursor) => Some(cursor),
        None => log_cursor(&listing.after)?,
    };
    let key = if let Actor::Key { id, .. } = actor { Some(id) } else { None };
    let permit = api.streams.open(key).map_err(|most| {
        let detail = format!("{most} streams are open already; close one, or read GET events by cursor");
        Problem::of(Kind::TooManyStreams, detail)
    })?;
    // Before the end of the log is looked up, so that nothing falls between the two.
    let mut grown = api.registry.hints().follow_log();
    grown.mark_changed();
    let (end, pruned_to) = api.read(|tx| Ok((event_log::end(tx)?, event_log::pruned_to(tx)?))).await?;
    let position = after.unwrap_or(end);
    if let Some(problem) = gone(position, pruned_to, end) {
        return Err(problem);
    }
    let (out, chunks) = mpsc::channel(1);
    let follower = Follower {
        selection: pick.after(position, PAGE),
        format: listing.format,
        key,
        grown,
        out,
        looked_at: Duration::ZERO,
        api,
    };
    tokio::spawn(follower.run(permit));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::new(Chunks(chunks))))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, Refusal> {
    const NAME: &str = "Last-Event-ID";
    let Some(value) = headers.get(NAME).filter(|value| !value.is_empty()) else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
    let cursor = text.parse().ok().and_then(|cursor: u64| i64::try_from(cursor).ok()).ok_or_else(|| {
        Refusal::invalid(NAME, format!("'{text}' was given; it must be the id of an event of this stream, a number"))
    })?;
    Ok(Some(cursor))
}

/// The stream was ended, by whichever side.
struct Ended;

/// One reader, and where it stands.
struct Follower {
    api: Shared,
    selection: Selection,
    format: Format,
    key: Option<KeyId>,
    grown: watch::Receiver<u64>,
    /// The next page is read when this one is taken.
    out: mpsc::Sender<Bytes>,
    looked_at: Duration,
}

impl Follower {
    /// Until the reader goes, its key ends, or the process stops.
    async fn run(mut self, _open: Open) {
        let (mut stopping, out) = (self.api.stopping.clone(), self.out.clone());
        tokio::select! {
            Err(Ended) = self.follow() => {}
            _ = stopping.wait_for(|is_stopping| *is_stopping) => {}
            () = out.closed() => {}
        }
    }

    async fn follow(&mut self) -> Result<(), Ended> {
        let mut heartbeat = tokio::time::interval(HEARTBEAT_INTERVAL);
        let mut key_check = tokio::time::interval(KEY_CHECK_INTERVAL);
        // Whoever leaves before the first event can come back to where it began.
        self.beat().await?;
        heartbeat.reset();
        loop {
            tokio::select! {
                biased;
                _ = heartbeat.tick() => {
                    self.beat().await?;
                    // Whatever became of the hints.
                    self.catch_up().await?;
                }
                _ = key_check.tick() => self.check_key().await?,
                grown = self.grown.changed() => {
                    grown.map_err(|_| Ended)?;
                    let since = self.api.registry.clock().monotonic().saturating_sub(self.looked_at);
                    tokio::time::sleep(SHORTEST_INTERVAL.saturating_sub(since)).await;
                    self.catch_up().await?;
                }
            }
        }
    }

    /// A comment, and where the reader stands: that moves on also where nothing was for it, and so stays in the log.
    async fn beat(&mut self) -> Result<(), Ended> {
        let position = self.selection.after;
        self.write(format!(": heartbeat\nid: {position}\n\n")).await
    }

    /// Sends all that has come.
    async fn catch_up(&mut self) -> Result<(), Ended> {
        loop {
            self.check_key().await?;
            self.looked_at = self.api.registry.clock().monotonic();
            let selection = self.selection.clone();
            let reach = selection.reach();
            let read = self
                .api
                .read(move |tx| Ok((event_log::list(tx, &selection)?, event_log::end(tx)?, event_log::pruned_to(tx)?)));
            // The database may be away for a while; the next heartbeat looks again.
            let Ok((page, end, pruned_to)) = read.await else { return Ok(()) };
            if let Some(problem) = gone(self.selection.after, pruned_to, end) {
                self.write(format!("event: cursor-gone\ndata: {}\n\n", problem.body())).await?;
                return Err(Ended);
            }
            let is_full = u32::try_from(page.len()).is_ok_and(|count| count >= PAGE);
            let mut text = String::new();
            for (cursor, event) in &page {
                let item = EventView::of(event, Some(*cursor), self.format).ok();
                let item = item.and_then(|item| serde_json::to_string(&item).ok()).ok_or(Ended)?;
                text += &format!("id: {cursor}\nevent: {}\ndata: {item}\n\n", event.topic);
                self.selection.after = *cursor;
            }
            if !text.is_empty() {
                self.write(text).await?;
            }
            if !is_full {
                self.selection.after = self.selection.after.max(end.min(reach));
            }
            if !is_full && reach >= end {
                return Ok(());
            }
        }
    }

    async fn check_key(&self) -> Result<(), Ended> {
        let Some(key) = self.key else { return Ok(()) };
        match self.api.registry.is_key_in_force(key).await {
            Ok(false) => Err(Ended),
            // While the database is away nothing can be sent either.
            Ok(true) | Err(_) => Ok(()),
        }
    }

    /// A reader that takes nothing for too long is cut; so is its connection, see `connection`.
    async fn write(&self, text: String) -> Result<(), Ended> {
        match tokio::time::timeout(LONGEST_STALL, self.out.send(text.into())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Ended),
        }
    }
}

impl super::Api {
    pub fn streams_open(&self) -> usize {
        self.streams.count()
    }
}

/// The streams that are open, by the key that reads them.
pub struct Streams {
    bounds: Bounds,
    open: Arc<Mutex<HashMap<Option<KeyId>, usize>>>,
}

/// One of them, until it is dropped.
struct Open {
    open: Arc<Mutex<HashMap<Option<KeyId>, usize>>>,
    key: Option<KeyId>,
}

fn locked(open: &Mutex<HashMap<Option<KeyId>, usize>>) -> MutexGuard<'_, HashMap<Option<KeyId>, usize>> {
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
    fn open(&self, key: Option<KeyId>) -> Result<Open, usize> {
        let mut open = locked(&self.open);
        if open.values().sum::<usize>() >= self.bounds.streams {
            return Err(self.bounds.streams);
        }
        let own = open.entry(key).or_default();
        if *own >= self.bounds.streams_of_one_key {
            return Err(self.bounds.streams_of_one_key);
        }
        *own += 1;
        Ok(Open { open: self.open.clone(), key })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = locked(&self.open);
        if let Some(own) = open.get_mut(&self.key) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.key);
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
