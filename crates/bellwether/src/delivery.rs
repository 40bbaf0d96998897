//! Delivery: sends what is owed. A dispatcher keeps one lane for each endpoint that this node owns, and hands it hints; a
//! recorder writes what came of their attempts. Neither decides what is owed (see `registry`), and the database is asked
//! wherever a hint may have been lost.

pub mod answer;
pub mod client;
mod connector;
mod dial;
pub mod guard;
mod hints;
mod lane;
pub mod monitor;
pub mod outbound;
mod ownership;
mod ping;
mod proxy;
mod rate;
mod recorder;
mod retry;
mod source;
mod target;
mod tls;
mod verdict;
mod window;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::endpoint::Endpoint;
use crate::id::{EndpointId, Ids};
use crate::registry::nodes::{License, View};
use crate::registry::{DeliveryWake, Registry, Report};
use crate::store::lanes::{self, LaneRow};
use crate::store::{StoreError, endpoints};
use hints::Hints;
use lane::{Lane, Message, Start};
use monitor::Monitor;
use outbound::Outbound;
pub use ping::Pings;
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
    registry: Registry,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    outbound: Outbound,
    license: License,
    monitor: Arc<Monitor>,
    reports: mpsc::UnboundedSender<Report>,
}

/// The engine. It runs until `stop` turns true, then finishes what is in flight and records it.
pub struct Delivery {
    shared: Arc<Shared>,
    hints: mpsc::Receiver<DeliveryWake>,
    lost: Arc<AtomicBool>,
    order: Hints,
    /// So many of the next hints are from before the lanes were last brought in line with what is stored.
    stale: usize,
    /// Who lives, and whether the endpoints have changed.
    view: watch::Receiver<View>,
    recorded: mpsc::UnboundedReceiver<Recorded>,
    recorder: JoinSet<()>,
    lanes: HashMap<EndpointId, LaneHandle>,
    tasks: JoinSet<(EndpointId, i64)>,
    /// Of the endpoints that the lanes were last brought in line with.
    generation: String,
}

struct LaneHandle {
    version: i64,
    revised: i64,
    fence: i64,
    messages: mpsc::UnboundedSender<Message>,
}

impl Delivery {
    pub fn prepare(
        registry: Registry,
        hints: mpsc::Receiver<DeliveryWake>,
        lost: Arc<AtomicBool>,
        outbound: Outbound,
        license: License,
        view: watch::Receiver<View>,
    ) -> Self {
        let (reports, reports_in) = mpsc::unbounded_channel();
        let (recorded_out, recorded) = mpsc::unbounded_channel();
        let mut recorder = JoinSet::new();
        let monitor = Arc::<Monitor>::default();
        recorder.spawn(recorder::run(registry.clone(), monitor.clone(), reports_in, recorded_out));
        let shared = Shared {
            clock: registry.clock().clone(),
            ids: registry.ids().clone(),
            outbound,
            license,
            monitor,
            reports,
            registry,
        };
        Self {
            order: Hints::of(shared.registry.db().dialect()),
            stale: 0,
            shared: Arc::new(shared),
            hints,
            lost,
            view,
            recorded,
            recorder,
            lanes: HashMap::new(),
            tasks: JoinSet::new(),
            generation: String::new(),
        }
    }

    pub fn monitor(&self) -> Arc<Monitor> {
        self.shared.monitor.clone()
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
                () = stopped(&mut stop) => break,
                // Hints before what was recorded: a delivery must not come as news after its end was forgotten.
                hint = self.hints.recv() => match hint {
                    Some(hint) => must_reload |= self.pass_on(hint),
                    None => break,
                },
                Some(recorded) = self.recorded.recv() => self.tell_recorded(recorded),
                Some(ended) = self.tasks.join_next() => must_reload |= self.lane_ended(ended).await,
                // Without its recorder nothing could be known of any delivery: the panic goes on, and ends the process.
                Some(Err(error)) = self.recorder.join_next() => std::panic::resume_unwind(error.into_panic()),
                Ok(()) = self.view.changed() => must_reload = true,
                _ = look.tick() => must_reload |= self.look().await,
            }
            // A lost hint may have been of an endpoint's change; reading them again also sends the lanes to the database.
            if self.lost.swap(false, Ordering::AcqRel) {
                self.tell_all(|| Message::FallBehind);
                must_reload = true;
            }
        }
        self.finish().await;
    }

    /// Hands a hint to the lanes it is for; `true` if the endpoints are to be read again.
    fn pass_on(&mut self, hint: DeliveryWake) -> bool {
        let is_stale = self.stale > 0;
        self.stale = self.stale.saturating_sub(1);
        match hint {
            DeliveryWake::EndpointsChanged => return true,
            DeliveryWake::Look(endpoint) => self.tell(endpoint, Message::FallBehind),
            DeliveryWake::Owed { event, deliveries } => {
                // What a stale one tells of may have been cancelled since, before its lane looked: the database knows.
                let is_next = self.order.is_next(&event) && !is_stale;
                for (id, endpoint) in deliveries {
                    let message = if is_next { Message::Offer(hints::offer(id, &event)) } else { Message::FallBehind };
                    self.tell(endpoint, message);
                }
            }
        }
        false
    }

    fn tell(&mut self, endpoint: EndpointId, message: Message) {
        match self.lanes.get(&endpoint) {
            // A lane whose task has ended is deleted, or will be set up anew.
            Some(lane) => drop(lane.messages.send(message)),
            None => self.order.note_elsewhere(endpoint),
        }
    }

    fn tell_all(&self, message: impl Fn() -> Message) {
        self.lanes.values().for_each(|lane| drop(lane.messages.send(message())));
    }

    fn tell_recorded(&mut self, recorded: Recorded) {
        for (endpoint, ids) in recorded {
            if let Some(lane) = self.lanes.get(&endpoint) {
                let _ = lane.messages.send(Message::Recorded(ids));
            }
        }
    }

    /// What only the database knows: whether endpoints have changed, and which lanes owe something. `true`: they have.
    async fn look(&mut self) -> bool {
        let node = (!self.is_alone()).then(|| self.shared.registry.node_id());
        let read = self
            .shared
            .registry
            .db()
            .read(move |tx| Ok::<_, StoreError>((endpoints::generation(tx)?, lanes::owing(tx, node)?)));
        match read.await {
            Ok((generation, owing)) => {
                owing.into_iter().for_each(|endpoint| self.tell(endpoint, Message::FallBehind));
                generation != self.generation
            }
            Err(error) => {
                tracing::warn!(%error, "what is owed cannot be read yet");
                true
            }
        }
    }

    fn is_alone(&self) -> bool {
        self.shared.registry.db().dialect().has_one_node()
    }

    /// Brings the lanes in line with the endpoints as they are stored, and this node's share of them.
    async fn reload(&mut self) -> Result<(), StoreError> {
        let alive = self.view.borrow_and_update().alive.clone();
        let read =
            self.shared.registry.db().read(|tx| Ok::<_, StoreError>((endpoints::generation(tx)?, lanes::list(tx)?)));
        let (generation, rows) = read.await?;
        let mut owned: HashMap<EndpointId, LaneRow> = self.share(rows, &alive).await?;
        let mut after = String::new();
        loop {
            let (vault, from) = (self.shared.registry.vault().clone(), after.clone());
            let page = self.shared.registry.db().read(move |tx| endpoints::list(tx, &vault, &from, PAGE)).await?;
            let Some(last) = page.last() else { break };
            after = last.id.to_string();
            for endpoint in page {
                if let Some(row) = owned.remove(&endpoint.id) {
                    self.set_up(endpoint, row);
                } else if let Some(lane) = self.lanes.get(&endpoint.id) {
                    let _ = lane.messages.send(Message::Stop);
                }
            }
        }
        // What is left is of endpoints that were deleted: their lanes end when their last answer is on disk.
        for row in owned.into_values() {
            match self.lanes.get(&row.endpoint_id) {
                Some(lane) => drop(lane.messages.send(Message::Stop)),
                None if self.is_alone() => {}
                None => self.release(row.endpoint_id, row.fence).await,
            }
        }
        self.generation = generation;
        self.stale = self.hints.len();
        self.shared.monitor.note_lanes();
        Ok(())
    }

    /// The lanes that are this node's, after it took what is its share and let go of what is more.
    async fn share(
        &mut self,
        rows: Vec<LaneRow>,
        alive: &[crate::id::NodeId],
    ) -> Result<HashMap<EndpointId, LaneRow>, StoreError> {
        if self.is_alone() {
            return Ok(rows.into_iter().map(|row| (row.endpoint_id, row)).collect());
        }
        let me = self.shared.registry.node_id();
        let plan = ownership::plan(&rows, alive, me);
        let wanted: Vec<LaneRow> = plan.claim.iter().filter_map(|place| rows.get(*place).cloned()).collect();
        let claimed = match self.shared.registry.claim_lanes(wanted).await {
            Ok(claimed) => claimed,
            Err(error) => return Err(StoreError::Unavailable(error.to_string())),
        };
        let mine = rows.into_iter().filter(|row| row.node_id == Some(me) && !plan.release.contains(&row.endpoint_id));
        Ok(mine.chain(claimed).map(|row| (row.endpoint_id, row)).collect())
    }

    fn set_up(&mut self, endpoint: Endpoint, row: LaneRow) {
        let (id, version, fence, revised) = (endpoint.id, endpoint.version, row.fence, row.revised);
        match self.lanes.get_mut(&id) {
            Some(lane) if lane.fence != fence => drop(lane.messages.send(Message::Stop)),
            Some(lane) if (lane.version, lane.revised) == (version, revised) => {}
            Some(lane) => {
                (lane.version, lane.revised) = (version, revised);
                let _ = lane.messages.send(Message::Endpoint(Arc::new(endpoint)));
            }
            None => {
                let (messages, inbox) = mpsc::unbounded_channel();
                let start = Start { endpoint: Arc::new(endpoint), fence, health: row.health };
                let lane = Lane::new(self.shared.clone(), start);
                self.tasks.spawn(async move {
                    lane.run(inbox).await;
                    (id, fence)
                });
                self.lanes.insert(id, LaneHandle { version, revised, fence, messages });
            }
        }
    }

    /// A lane's task is over: it was asked to, or it failed. `true` if the lanes are to be looked at again.
    async fn lane_ended(&mut self, ended: Result<(EndpointId, i64), tokio::task::JoinError>) -> bool {
        self.lanes.retain(|_, lane| !lane.messages.is_closed());
        match ended {
            Ok((endpoint, fence)) => {
                self.release(endpoint, fence).await;
                !self.is_alone()
            }
            Err(error) => {
                tracing::error!(%error, "a lane ended badly; it is set up anew");
                true
            }
        }
    }

    async fn release(&self, endpoint: EndpointId, fence: i64) {
        if self.is_alone() {
            return;
        }
        if let Err(error) = self.shared.registry.release_lane(endpoint, fence).await {
            tracing::warn!(%error, %endpoint, "a lane cannot be let go yet");
        }
    }

    /// Lets every lane finish what is in flight, and waits until that is on disk.
    async fn finish(mut self) {
        self.tell_all(|| Message::Stop);
        let ended = tokio::time::timeout(STOP_TIMEOUT, async {
            loop {
                tokio::select! {
                    Some(recorded) = self.recorded.recv() => self.tell_recorded(recorded),
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

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Its sender is gone only when the process ends.
    let _ = stop.wait_for(|is_stopping| *is_stopping).await;
}
