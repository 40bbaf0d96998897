//! Hints that there is work, sent once its transaction is on disk. A hint may be lost; the database is the truth, and
//! whoever works off it looks there too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, mpsc, watch};

use crate::domain::event::Event;
use crate::domain::id::{DeliveryId, EndpointId, RunId};
use crate::platform::telemetry::Counter;

/// More hints than this are not kept in memory; those who wait for them then look into the database.
const MOST_HINTS: usize = 16_384;

#[derive(Debug, Clone)]
pub enum DeliveryHint {
    /// Freshly committed deliveries of one event.
    Owed { event: Arc<Event>, deliveries: Vec<(DeliveryId, EndpointId)> },
    /// Some endpoint is new, edited, enabled, disabled or deleted, or what it is owed was changed by hand.
    EndpointsChanged,
    /// More is owed to an endpoint than hints have told.
    Look(EndpointId),
}

#[derive(Debug, Clone, Copy)]
pub enum RunHint {
    Queued,
    /// A running one is to be stopped.
    Cancel(RunId),
    /// When an experiment is next due may have changed.
    ScheduleChanged,
}

/// The senders' side.
#[derive(Clone)]
pub struct Hints {
    deliveries: mpsc::Sender<DeliveryHint>,
    runs: mpsc::Sender<RunHint>,
    lost: Arc<AtomicBool>,
    lost_count: Arc<Counter>,
    committed: Arc<Notify>,
    recovery: Arc<Notify>,
    metric_sync: Arc<Notify>,
    log: watch::Sender<u64>,
}

/// The receivers' side, for the delivery engine and the pipeline.
pub struct HintReceivers {
    pub deliveries: mpsc::Receiver<DeliveryHint>,
    pub runs: mpsc::Receiver<RunHint>,
    /// Set when a delivery's hint was dropped; whoever finds it set clears it and looks into the database.
    pub lost: Arc<AtomicBool>,
    /// Told after every commit of an event, for the sequencer.
    pub committed: Arc<Notify>,
    /// Told when a recovery was asked for.
    pub recovery: Arc<Notify>,
    /// Told when a metric sync has something left to do.
    pub metric_sync: Arc<Notify>,
}

impl Hints {
    pub fn channel() -> (Self, HintReceivers) {
        let (deliveries, deliveries_in) = mpsc::channel(MOST_HINTS);
        let (runs, runs_in) = mpsc::channel(MOST_HINTS);
        let lost = Arc::new(AtomicBool::new(false));
        let committed = Arc::new(Notify::new());
        let recovery = Arc::new(Notify::new());
        let metric_sync = Arc::new(Notify::new());
        let receivers = HintReceivers {
            deliveries: deliveries_in,
            runs: runs_in,
            lost: lost.clone(),
            committed: committed.clone(),
            recovery: recovery.clone(),
            metric_sync: metric_sync.clone(),
        };
        let (lost_count, log) = (Arc::default(), watch::Sender::new(0));
        (Self { deliveries, runs, lost, lost_count, committed, recovery, metric_sync, log }, receivers)
    }

    pub fn deliveries(&self, hint: DeliveryHint) {
        self.committed.notify_one();
        if self.deliveries.try_send(hint).is_err() {
            self.lost.store(true, Ordering::Release);
            self.lost_count.add(1);
        }
    }

    pub fn hints_lost(&self) -> u64 {
        self.lost_count.get()
    }

    /// Events have got their numbers.
    pub fn log_grew(&self) {
        self.log.send_modify(|count| *count += 1);
    }

    /// Changes whenever the log may have grown. A hint: what is there, the log says.
    pub fn follow_log(&self) -> watch::Receiver<u64> {
        self.log.subscribe()
    }

    pub fn is_log_followed(&self) -> bool {
        self.log.receiver_count() > 0
    }

    pub fn recovery(&self) {
        self.recovery.notify_one();
    }

    pub fn metric_sync(&self) {
        self.metric_sync.notify_one();
    }

    pub fn runs(&self, hint: RunHint) {
        // The pipeline looks for queued runs by itself, every few seconds.
        let _ = self.runs.try_send(hint);
    }
}
