//! Delivery: sends what is owed. A dispatcher hands hints to the lanes, one for each endpoint; a recorder writes what
//! came of their attempts. Neither decides what is owed (see `registry`), and the database is asked wherever a hint may
//! have been lost.

mod client;
mod guard;
mod lane;
mod recorder;
mod retry;
mod window;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::endpoint::Endpoint;
use crate::id::{EndpointId, Ids};
use crate::registry::{DeliveryWake, Registry};
use crate::store::deliveries::Pending;
use crate::store::{Db, StoreError, endpoints};
use lane::{Lane, Message};
use recorder::Recorded;

/// Answered and not yet on disk, for each lane: with what is in flight, the most that a crash sends again.
const MOST_UNRECORDED: usize = 256;
/// How often the lanes look into the database without any hint.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// For what is in flight when the process is asked to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// Endpoints read at a time.
const PAGE: u32 = 250;

/// What all lanes share.
struct Shared {
    db: Db,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    guard: guard::Guard,
    tls: Arc<rustls::ClientConfig>,
    answered: mpsc::UnboundedSender<recorder::Answered>,
}

#[derive(Debug, thiserror::Error)]
#[error("delivery cannot start: {0}")]
pub struct StartError(String);

/// The engine. It runs until `stop` turns true, then finishes what is in flight and records it.
pub struct Delivery {
    registry: Registry,
    shared: Arc<Shared>,
    hints: mpsc::Receiver<DeliveryWake>,
    lost: Arc<std::sync::atomic::AtomicBool>,
    recorded: mpsc::UnboundedReceiver<Recorded>,
    recorder: JoinSet<()>,
    lanes: HashMap<EndpointId, LaneHandle>,
    tasks: JoinSet<EndpointId>,
}

struct LaneHandle {
    version: i64,
    messages: mpsc::UnboundedSender<Message>,
}

impl Delivery {
    pub fn prepare(
        registry: Registry,
        hints: mpsc::Receiver<DeliveryWake>,
        lost: Arc<std::sync::atomic::AtomicBool>,
    ) -> Result<Self, StartError> {
        let (answered, answered_in) = mpsc::unbounded_channel();
        let (recorded_out, recorded) = mpsc::unbounded_channel();
        let shared = Shared {
            db: registry.db().clone(),
            clock: registry.clock().clone(),
            ids: registry.ids().clone(),
            guard: guard::Guard::with_policy(registry.addresses().clone())
                .map_err(|error| StartError(error.to_string()))?,
            tls: client::tls().map_err(|error| StartError(error.to_string()))?,
            answered,
        };
        let mut recorder = JoinSet::new();
        recorder.spawn(recorder::run(shared.db.clone(), answered_in, recorded_out));
        let shared = Arc::new(shared);
        Ok(Self { registry, shared, hints, lost, recorded, recorder, lanes: HashMap::new(), tasks: JoinSet::new() })
    }

    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut must_reload = true;
        loop {
            if must_reload {
                must_reload = self
                    .reload()
                    .await
                    .inspect_err(|error| tracing::warn!(%error, "endpoints cannot be read yet"))
                    .is_err();
            }
            tokio::select! {
                biased;
                _ = stop.wait_for(|is_stopping| *is_stopping) => break,
                // Hints before what was recorded: a delivery must not come as news after its end was forgotten.
                hint = self.hints.recv() => match hint {
                    Some(DeliveryWake::Owed { event, deliveries }) => {
                        for (id, endpoint) in deliveries {
                            let pending = Pending { id, attempt_count: 0, due_at: event.occurred_at, event: event.clone() };
                            self.tell(endpoint, Message::Offer(pending));
                        }
                    }
                    Some(DeliveryWake::EndpointsChanged) => must_reload = true,
                    None => break,
                },
                Some(recorded) = self.recorded.recv() => self.pass_on(recorded),
                Some(Ok(id)) = self.tasks.join_next() => drop(self.lanes.remove(&id)),
                _ = look.tick() => must_reload = true,
            }
            if self.lost.swap(false, Ordering::AcqRel) {
                self.tell_all(|| Message::FallBehind);
            }
        }
        self.finish().await;
    }

    fn tell(&self, endpoint: EndpointId, message: Message) {
        if let Some(lane) = self.lanes.get(&endpoint) {
            // A lane whose task has ended is deleted, or will be set up anew.
            let _ = lane.messages.send(message);
        }
    }

    fn tell_all(&self, message: impl Fn() -> Message) {
        self.lanes.values().for_each(|lane| drop(lane.messages.send(message())));
    }

    fn pass_on(&self, recorded: Recorded) {
        for (endpoint, ids) in recorded {
            self.tell(endpoint, Message::Recorded(ids));
        }
    }

    /// Brings the lanes in line with the endpoints as they are stored.
    async fn reload(&mut self) -> Result<(), StoreError> {
        let mut current = HashSet::new();
        let mut after = String::new();
        loop {
            let (vault, from) = (self.registry.vault().clone(), after.clone());
            let page = self.shared.db.read(move |tx| endpoints::list(tx, &vault, &from, PAGE)).await?;
            let Some(last) = page.last() else { break };
            after = last.id.to_string();
            for endpoint in page {
                current.insert(endpoint.id);
                self.set_up(endpoint);
            }
        }
        for (id, lane) in &self.lanes {
            // A deleted endpoint's lane ends, and is forgotten, when its last answer is on disk.
            let message = if current.contains(id) { Message::FallBehind } else { Message::Stop };
            let _ = lane.messages.send(message);
        }
        Ok(())
    }

    fn set_up(&mut self, endpoint: Endpoint) {
        let (id, version) = (endpoint.id, endpoint.version);
        match self.lanes.get_mut(&id) {
            Some(lane) if lane.version == version => {}
            Some(lane) => {
                lane.version = version;
                let _ = lane.messages.send(Message::Endpoint(Arc::new(endpoint)));
            }
            None => {
                let (messages, inbox) = mpsc::unbounded_channel();
                let lane = Lane::for_endpoint(self.shared.clone(), Arc::new(endpoint));
                self.tasks.spawn(async move {
                    lane.run(inbox).await;
                    id
                });
                self.lanes.insert(id, LaneHandle { version, messages });
            }
        }
    }

    /// Lets every lane finish what is in flight, and waits until that is on disk.
    async fn finish(mut self) {
        self.tell_all(|| Message::Stop);
        let ended = tokio::time::timeout(STOP_TIMEOUT, async {
            loop {
                tokio::select! {
                    Some(recorded) = self.recorded.recv() => self.pass_on(recorded),
                    task = self.tasks.join_next() => if task.is_none() { break },
                }
            }
        });
        if ended.await.is_err() {
            tracing::warn!("some requests were still under way when the time to stop was up; they will be sent again");
        }
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
        // With the lanes gone this is the last sender; the recorder writes what it has and ends.
        drop(self.shared);
        while self.recorder.join_next().await.is_some() {}
    }
}
