//! The dispatcher: keeps one lane for each endpoint that is this node's, hands hints to the lanes, and tells them what of
//! theirs is on disk. It decides nothing about a delivery.

mod assignment;
mod hint_order;
mod ownership;
mod restarts;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::Shared;
use super::lane::Message;
use super::lane::mailbox::Mailbox;
use super::monitor::Monitor;
use super::recorder::{self, Recorded};
use super::threads::Threads;
use super::transport::outbound::Outbound;
use crate::domain::id::EndpointId;
use crate::maintenance::nodes::{SendPermit, View};
use crate::registry::{DeliveryHint, Registry};
use crate::store::lanes::owing;
use crate::store::{StoreError, endpoints, node_hints};
use hint_order::HintOrder;
use restarts::Restarts;

/// How often the lanes look into the database without any hint.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// For what is in flight when the process is asked to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// The engine. It runs until `stop` turns true, then finishes what is in flight and records it.
pub struct Delivery {
    shared: Arc<Shared>,
    hints: mpsc::Receiver<DeliveryHint>,
    lost: Arc<AtomicBool>,
    order: HintOrder,
    /// Who lives, and whether the endpoints have changed.
    view: watch::Receiver<View>,
    recorded: mpsc::UnboundedReceiver<Recorded>,
    recorder: JoinSet<()>,
    /// What other nodes tell this one.
    node_hints: Option<mpsc::UnboundedReceiver<String>>,
    /// Telling the others, one hint at a time: what comes meanwhile goes with the next.
    hinting: JoinSet<()>,
    threads: Threads,
    lanes: HashMap<EndpointId, LaneHandle>,
    tasks: JoinSet<(EndpointId, i64)>,
    /// How long to wait before lanes that failed are set up anew, and the waits under way.
    restarts: Restarts,
    pauses: JoinSet<()>,
    /// Of the endpoints that the lanes were last brought in line with.
    generation: String,
    /// Hints that lay here when they were: older than what the lanes know, such as that something was cancelled.
    stale_hints: usize,
}

struct LaneHandle {
    version: i64,
    revised: i64,
    fence: i64,
    messages: Mailbox,
}

impl Delivery {
    pub fn prepare(
        registry: Registry,
        hints: mpsc::Receiver<DeliveryHint>,
        lost: Arc<AtomicBool>,
        outbound: Outbound,
        permit: SendPermit,
        view: watch::Receiver<View>,
    ) -> Result<Self, StoreError> {
        let threads = Threads::start().map_err(|error| StoreError::Failed(format!("cannot start threads: {error}")))?;
        let (reports, reports_in) = mpsc::unbounded_channel();
        let (recorded_out, recorded) = mpsc::unbounded_channel();
        let mut recorder = JoinSet::new();
        let monitor = Arc::<Monitor>::default();
        let recording = recorder::run(registry.clone(), monitor.clone(), reports_in, recorded_out);
        recorder.spawn_on(recording, threads.first());
        let shared = Shared {
            clock: registry.clock().clone(),
            ids: registry.ids().clone(),
            outbound,
            permit,
            monitor,
            reports,
            registry,
        };
        Ok(Self {
            node_hints: shared.registry.db().listen()?,
            hinting: JoinSet::new(),
            order: HintOrder::of(shared.registry.db().dialect()),
            shared: Arc::new(shared),
            hints,
            lost,
            view,
            recorded,
            recorder,
            threads,
            lanes: HashMap::new(),
            tasks: JoinSet::new(),
            restarts: Restarts::default(),
            pauses: JoinSet::new(),
            generation: String::new(),
            stale_hints: 0,
        })
    }

    pub fn monitor(&self) -> Arc<Monitor> {
        self.shared.monitor.clone()
    }

    /// Runs beside its lanes.
    pub fn start(self, stop: watch::Receiver<bool>) -> JoinHandle<()> {
        self.threads.first().clone().spawn(self.run(stop))
    }

    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let clock = self.shared.clock.clone();
        let mut look_due = clock.sleep(Duration::ZERO);
        let mut must_reload = true;
        loop {
            if must_reload {
                // Of many endpoints made at once, all that are known of by now are read together.
                self.pass_on_what_waits();
                must_reload = self
                    .reload()
                    .await
                    .inspect_err(|error| tracing::warn!(%error, "endpoints cannot be read yet"))
                    .is_err();
            }
            tokio::select! {
                () = stopped(&mut stop) => break,
                hint = self.hints.recv() => match hint {
                    Some(hint) => must_reload |= self.pass_on(hint),
                    None => break,
                },
                Some(recorded) = self.recorded.recv() => {
                    must_reload |= self.pass_on_what_waits();
                    self.tell_recorded(recorded);
                }
                Some(ended) = self.tasks.join_next() => must_reload |= self.lane_ended(ended).await,
                // Without its recorder nothing could be known of any delivery: the panic goes on, and ends the process.
                Some(Err(error)) = self.recorder.join_next() => std::panic::resume_unwind(error.into_panic()),
                Ok(()) = self.view.changed() => must_reload = true,
                hint = next(&mut self.node_hints) => must_reload |= self.heed(&hint).await,
                Some(_) = self.hinting.join_next() => {}
                Some(_) = self.pauses.join_next() => must_reload = true,
                () = &mut look_due => {
                    must_reload |= self.look().await;
                    look_due = clock.sleep(LOOK_INTERVAL);
                }
            }
            // A lost hint may have been of an endpoint's change; reading them again also sends the lanes to the database.
            if self.lost.swap(false, Ordering::AcqRel) {
                self.tell_all(|| Message::FallBehind);
                must_reload = true;
            }
            self.hint_other_nodes();
        }
        self.finish().await;
    }

    /// The hints that lie here: before what was recorded, for a delivery must not come as fresh after its end was forgotten.
    /// No more than these, or hints that never end would keep lanes waiting for what is on disk.
    fn pass_on_what_waits(&mut self) -> bool {
        let mut must_reload = false;
        for _ in 0..self.hints.len() {
            if let Ok(hint) = self.hints.try_recv() {
                must_reload |= self.pass_on(hint);
            }
        }
        must_reload
    }

    /// Hands a hint to the lanes it is for; `true` if the endpoints are to be read again.
    fn pass_on(&mut self, hint: DeliveryHint) -> bool {
        let is_stale = self.stale_hints > 0;
        self.stale_hints = self.stale_hints.saturating_sub(1);
        match hint {
            DeliveryHint::EndpointsChanged => {
                self.order.note_change();
                return true;
            }
            DeliveryHint::Look(endpoint) => self.tell(endpoint, Message::FallBehind),
            DeliveryHint::Owed { event, deliveries } => {
                // What a stale one tells of may have been cancelled since, before its lane looked: the database knows.
                let is_next = self.order.is_next(&event) && !is_stale;
                for (id, endpoint) in deliveries {
                    let message =
                        if is_next { Message::Offer(hint_order::offer(id, &event)) } else { Message::FallBehind };
                    self.tell(endpoint, message);
                }
            }
        }
        false
    }

    fn tell(&mut self, endpoint: EndpointId, message: Message) {
        match self.lanes.get(&endpoint) {
            Some(lane) => lane.messages.send(message),
            None => self.order.note_elsewhere(endpoint),
        }
    }

    /// Passes on what lanes of other nodes should know, if there are any.
    fn hint_other_nodes(&mut self) {
        if !self.hinting.is_empty() || !self.order.has_hints() {
            return;
        }
        let endpoints = self.order.take_hints();
        if self.view.borrow().alive.len() > 1 {
            let registry = self.shared.registry.clone();
            self.hinting.spawn(async move { registry.hint_nodes(endpoints).await });
        }
    }

    /// What another node tells. `true` if the endpoints are to be read again.
    async fn heed(&mut self, hint: &str) -> bool {
        if hint == node_hints::EVERYTHING {
            return self.look().await;
        }
        for endpoint in hint.split(',').filter_map(|id| id.parse().ok()) {
            if let Some(lane) = self.lanes.get(&endpoint) {
                lane.messages.send(Message::FallBehind);
            }
        }
        false
    }

    fn tell_all(&self, message: impl Fn() -> Message) {
        self.lanes.values().for_each(|lane| lane.messages.send(message()));
    }

    fn tell_recorded(&mut self, recorded: Recorded) {
        for (endpoint, ids) in recorded {
            if let Some(lane) = self.lanes.get(&endpoint) {
                lane.messages.send(Message::Recorded(ids));
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
            .look(move |tx| Ok::<_, StoreError>((endpoints::generation(tx)?, owing(tx, node)?)));
        match read.await {
            Ok((generation, owing)) => {
                for lane in owing.iter().filter_map(|endpoint| self.lanes.get(endpoint)) {
                    lane.messages.send(Message::FallBehind);
                }
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

/// The next hint; pends for ever if none can come.
async fn next(node_hints: &mut Option<mpsc::UnboundedReceiver<String>>) -> String {
    match node_hints {
        Some(receiver) => match receiver.recv().await {
            Some(hint) => hint,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Its sender is gone only when the process ends.
    let _ = stop.wait_for(|is_stopping| *is_stopping).await;
}
