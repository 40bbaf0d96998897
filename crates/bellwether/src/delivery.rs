//! Delivery: sends what is owed. A dispatcher hands hints to the lanes, one for each endpoint; a recorder writes what
//! came of their attempts. Neither decides what is owed (see `registry`), and the database is asked wherever a hint may
//! have been lost.

pub mod answer;
pub mod client;
mod connector;
mod dial;
pub mod guard;
mod lane;
pub mod outbound;
mod proxy;
mod recorder;
mod retry;
mod tls;
mod window;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::id::{DeliveryId, EndpointId, ExperimentId, Ids};
use crate::registry::{DeliveryWake, Registry};
use crate::store::deliveries::Pending;
use crate::store::{Db, StoreError, endpoints};
use lane::{Lane, Message};
use outbound::Outbound;
use recorder::Recorded;

/// Answered and not yet on disk, for each lane: with what is in flight, the most that a crash sends again.
const MOST_UNRECORDED: usize = 256;
/// How often the lanes look into the database without any hint.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// For what is in flight when the process is asked to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// Experiments whose latest revision is remembered.
const MOST_REVISIONS: usize = 65_536;
/// Endpoints read at a time.
const PAGE: u32 = 250;

/// What all lanes share.
struct Shared {
    db: Db,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    outbound: Outbound,
    answered: mpsc::UnboundedSender<recorder::Answered>,
}

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
    /// Whether hints come in the order of their commits.
    hints_are_ordered: bool,
    /// The latest revision that was hinted at, by experiment, where they do not.
    revisions: HashMap<ExperimentId, i64>,
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
        outbound: Outbound,
    ) -> Self {
        let (answered, answered_in) = mpsc::unbounded_channel();
        let (recorded_out, recorded) = mpsc::unbounded_channel();
        let shared = Shared {
            db: registry.db().clone(),
            clock: registry.clock().clone(),
            ids: registry.ids().clone(),
            outbound,
            answered,
        };
        let mut recorder = JoinSet::new();
        recorder.spawn(recorder::run(shared.db.clone(), answered_in, recorded_out));
        let shared = Arc::new(shared);
        let hints_are_ordered = registry.db().dialect().numbers_events_in_transaction();
        Self {
            hints_are_ordered,
            revisions: HashMap::new(),
            registry,
            shared,
            hints,
            lost,
            recorded,
            recorder,
            lanes: HashMap::new(),
            tasks: JoinSet::new(),
        }
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
                    Some(DeliveryWake::Owed { event, deliveries }) => self.offer(&event, deliveries),
                    Some(DeliveryWake::EndpointsChanged) => must_reload = true,
                    None => break,
                },
                Some(recorded) = self.recorded.recv() => self.pass_on(recorded),
                Some(ended) = self.tasks.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a lane ended badly; it is set up anew");
                        must_reload = true;
                    }
                    self.lanes.retain(|_, lane| !lane.messages.is_closed());
                }
                // Without its recorder nothing could be known of any delivery: the panic goes on, and ends the process.
                Some(Err(error)) = self.recorder.join_next() => std::panic::resume_unwind(error.into_panic()),
                _ = look.tick() => must_reload = true,
            }
            // A lost hint may have been of an endpoint's change; reading them again also sends the lanes to the database.
            must_reload |= self.lost.swap(false, Ordering::AcqRel);
        }
        self.finish().await;
    }

    /// Passes a hint on. PostgreSQL's may overtake each other between commit and here: one that is not the next of its
    /// experiment sends the lanes to the database, which shows the earlier ones too.
    fn offer(&mut self, event: &Arc<Event>, deliveries: Vec<(DeliveryId, EndpointId)>) {
        let is_next = self.hints_are_ordered || {
            if self.revisions.len() >= MOST_REVISIONS {
                self.revisions.clear();
            }
            let last = self.revisions.entry(event.experiment_id).or_insert(0);
            let is_next = event.revision == *last + 1;
            *last = event.revision.max(*last);
            is_next
        };
        for (id, endpoint) in deliveries {
            let pending = Pending { id, attempt_count: 0, due_at: event.occurred_at, event: event.clone() };
            self.tell(endpoint, if is_next { Message::Offer(pending) } else { Message::FallBehind });
        }
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
        if tokio::time::timeout(STOP_TIMEOUT, self.recorder.join_next()).await.is_err() {
            tracing::warn!(
                "some outcomes could not be recorded before the time to stop was up; these will be sent again"
            );
            self.recorder.abort_all();
        }
    }
}
