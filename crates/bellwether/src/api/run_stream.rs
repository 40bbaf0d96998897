//! A run as server-sent events: its view whenever it changes, until it has ended. Any node may carry the run out, so the
//! database is looked at, and nothing is kept for a reader but what it was sent last.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use tokio::sync::mpsc;

use super::Shared;
use super::answer::Answer;
use super::params::Ids;
use super::runs::shown;
use super::streams::{
    CREDENTIAL_CHECK_INTERVAL, Ended, EventStream, HEARTBEAT_INTERVAL, Open, answer, check_credential, write,
};
use crate::domain::actor::{Credential, Principal};
use crate::domain::error::Refusal;
use crate::domain::id::RunId;
use crate::registry::Result;
use crate::store::{Tx, runs};

const LOOK_INTERVAL: Duration = Duration::from_secs(1);

pub async fn follow(
    State(api): State<Shared>,
    Principal { credential, .. }: Principal,
    Ids(id): Ids<RunId>,
) -> Answer<EventStream> {
    let first = api.read(move |tx| look(tx, id)).await?;
    let open = api.open_stream(credential)?;
    let (out, chunks) = mpsc::channel(1);
    tokio::spawn(Follower { api, id, credential, out }.run(first, open));
    Ok(answer(chunks))
}

/// A run as it is sent, and whether nothing will come after it.
#[derive(PartialEq, Eq)]
struct Seen {
    text: String,
    is_last: bool,
}

fn look(tx: &mut dyn Tx, id: RunId) -> Result<Seen> {
    let run = runs::get(tx, id)?.ok_or_else(|| Refusal::not_found("run", id))?;
    let view = serde_json::to_string(&shown(tx, &run)?);
    let view = view.map_err(|error| crate::store::StoreError::Failed(format!("cannot write JSON: {error}")))?;
    Ok(Seen { text: format!("event: run\ndata: {view}\n\n"), is_last: run.state.is_end() })
}

struct Follower {
    api: Shared,
    id: RunId,
    credential: Credential,
    out: mpsc::Sender<Bytes>,
}

impl Follower {
    /// Until the run has ended, the reader goes, its key or session ends, or the process stops.
    async fn run(self, first: Seen, _open: Open) {
        let mut stopping = self.api.stopping.clone();
        tokio::select! {
            Err(Ended) = self.follow(first) => {}
            _ = stopping.wait_for(|is_stopping| *is_stopping) => {}
            () = self.out.closed() => {}
        }
    }

    async fn follow(&self, mut seen: Seen) -> std::result::Result<(), Ended> {
        let mut heartbeat = tokio::time::interval(HEARTBEAT_INTERVAL);
        let mut credential_check = tokio::time::interval(CREDENTIAL_CHECK_INTERVAL);
        let mut next_look = tokio::time::interval(LOOK_INTERVAL);
        next_look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        heartbeat.reset();
        write(&self.out, seen.text.clone()).await?;
        while !seen.is_last {
            tokio::select! {
                biased;
                _ = heartbeat.tick() => write(&self.out, ": heartbeat\n\n".to_owned()).await?,
                _ = credential_check.tick() => check_credential(&self.api, self.credential).await?,
                _ = next_look.tick() => {
                    let id = self.id;
                    // The database may be away for a while.
                    let Ok(found) = self.api.read(move |tx| look(tx, id)).await else { continue };
                    if found != seen {
                        write(&self.out, found.text.clone()).await?;
                        seen = found;
                    }
                }
            }
        }
        Err(Ended)
    }
}
