//! The event log as server-sent events, for those who pull: pages from the database, in the order of its cursors, each
//! when it has been told that there is more. Nothing is kept for a reader but the page that is being written to it.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::{mpsc, watch};

use super::Shared;
use super::answer::Answer;
use super::events::{Pick, gone, log_cursor};
use super::params::{LastEventId, Params};
use super::streams::{
    CREDENTIAL_CHECK_INTERVAL, Ended, EventStream, HEARTBEAT_INTERVAL, Open, answer, check_credential, write,
};
use super::views::event::EventView;
use crate::domain::actor::{Credential, Principal};
use crate::domain::clock::Timestamp;
use crate::domain::error::Refusal;
use crate::domain::event::Format;
use crate::domain::topic::Topic;
use crate::store::Tx;
use crate::store::event_log::{self, Selection};

const PAGE: u32 = 50;
/// While events never end, pages are read no closer than this: together they cost less than one by one.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(20);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// The cursor of an event; `0` is the beginning of the log.
    #[serde(default)]
    after: String,
    /// Where no cursor is given: begins with what has happened since.
    since: Option<Timestamp>,
    /// Names of events, with commas between; empty means all.
    #[serde(default)]
    #[schemars(with = "Vec<Topic>")]
    types: String,
    /// Those of this experiment: its number, or `key:` and its key.
    experiment: Option<String>,
    /// How `data` is written.
    #[serde(default)]
    format: Format,
}

/// Begins behind the header `Last-Event-ID`, else behind `after`, else at `since`, else at the end of the log.
pub async fn follow(
    State(api): State<Shared>,
    Principal { credential, .. }: Principal,
    LastEventId(last): LastEventId,
    Params(listing): Params<Listing>,
) -> Answer<EventStream> {
    let pick = Pick::read(&api, listing.experiment.as_deref(), &listing.types).await?;
    let after = match last {
        Some(cursor) => Some(cursor),
        None => log_cursor(&listing.after)?,
    };
    if let Some(since) = listing.since.filter(|since| *since > api.registry.clock().now()) {
        let message = format!("{since} was given, which is ahead; give a time in the past");
        return Err(Refusal::invalid("since", message).into());
    }
    let permit = api.open_stream(credential)?;
    // Before the end of the log is looked up, so that nothing falls between the two.
    let mut grown = api.registry.hints().follow_log();
    grown.mark_changed();
    let since = listing.since;
    let begin = move |tx: &mut dyn Tx, end| match (after, since) {
        (Some(after), _) => Ok(after),
        (None, Some(since)) => event_log::before(tx, since),
        (None, None) => Ok(end),
    };
    let looked_up = api.read(move |tx| {
        let end = event_log::end(tx)?;
        Ok((begin(tx, end)?, event_log::pruned_to(tx)?, end))
    });
    let (position, pruned_to, end) = looked_up.await?;
    if let Some(problem) = gone(position, pruned_to, end) {
        return Err(problem);
    }
    let (out, chunks) = mpsc::channel(1);
    let follower = Follower {
        selection: pick.after(position, PAGE),
        format: listing.format,
        credential,
        grown,
        out,
        looked_at: Duration::ZERO,
        api,
    };
    tokio::spawn(follower.run(permit));
    Ok(answer(chunks))
}

/// One reader, and where it stands.
struct Follower {
    api: Shared,
    selection: Selection,
    format: Format,
    credential: Credential,
    grown: watch::Receiver<u64>,
    /// The next page is read when this one is taken.
    out: mpsc::Sender<Bytes>,
    looked_at: Duration,
}

impl Follower {
    /// Until the reader goes, its key or session ends, or the process stops.
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
        let mut credential_check = tokio::time::interval(CREDENTIAL_CHECK_INTERVAL);
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
                _ = credential_check.tick() => self.check_credential().await?,
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
            self.check_credential().await?;
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

    async fn check_credential(&self) -> Result<(), Ended> {
        check_credential(&self.api, self.credential).await
    }

    async fn write(&self, text: String) -> Result<(), Ended> {
        write(&self.out, text).await
    }
}
