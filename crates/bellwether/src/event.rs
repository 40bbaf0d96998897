//! An event: the record that an experiment changed, with the exact `data` bytes that receivers are sent.
//! They are made once, with the change, and never again: every attempt and resend carries the same.

use bellwether_webhook::{EventType, MetaData, RunStatus, begin_data};

use crate::change::Change;
use crate::clock::Timestamp;
use crate::endpoint::Format;
use crate::experiment::Experiment;
use crate::id::{EventId, ExperimentId};
use crate::run::{Run, RunState};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub id: EventId,
    pub experiment_id: ExperimentId,
    pub revision: i64,
    pub event_type: EventType,
    pub occurred_at: Timestamp,
    /// `data` of the format `eppo`.
    pub data: String,
    /// `data` of the format `detailed`.
    pub detailed: String,
}

impl Event {
    /// The event of `change`, which `experiment` has just gone through. `run` is the one that ended, if that is the change.
    pub fn of(id: EventId, event_type: EventType, experiment: &Experiment, change: &Change, run: Option<&Run>) -> Self {
        let number = experiment.id.unsigned_abs();
        let key = &experiment.configuration.key;
        let meta_data = run.map(meta_data);
        Self {
            id,
            experiment_id: experiment.id,
            revision: change.revision,
            event_type,
            occurred_at: change.occurred_at,
            data: bellwether_webhook::data(number, key, meta_data.as_ref()),
            detailed: detailed(number, key, meta_data.as_ref(), change, run),
        }
    }

    pub fn data_in(&self, format: Format) -> &str {
        match format {
            Format::Eppo => &self.data,
            Format::Detailed => &self.detailed,
        }
    }
}

fn meta_data(run: &Run) -> MetaData {
    let (first, last) = run.window.days();
    MetaData {
        status: if run.state == RunState::Success { RunStatus::Success } else { RunStatus::Failure },
        is_manual_refresh: run.is_manual,
        is_data_updated: run.is_data_updated,
        time_taken_ms: u64::try_from(run.time_taken().as_millis()).unwrap_or(u64::MAX),
        is_traffic_imbalance: run.is_traffic_imbalance,
        assignments_scan_start_date: first.to_string(),
        assignments_scan_end_date: last.to_string(),
    }
}

fn detailed(number: u64, key: &str, meta_data: Option<&MetaData>, change: &Change, run: Option<&Run>) -> String {
    let mut data = begin_data(number, key, meta_data);
    data.integer("revision", change.revision.unsigned_abs());
    data.string("occurred_at", &change.occurred_at.to_string());
    let actor = serde_json::to_value(&change.actor).unwrap_or_default();
    data.raw("actor", &bellwether_webhook::ecma::stringify(&actor));
    let (changes, is_whole) = change.for_event();
    data.raw("changes", &changes);
    if !is_whole {
        data.bool("truncated", true);
    }
    if let Some(run) = run {
        let value = serde_json::json!({
            "id": run.id,
            "mode": run.mode,
            "window": run.window,
            "imbalance_p_value": run.imbalance_p_value,
        });
        data.raw("run", &bellwether_webhook::ecma::stringify(&value));
    }
    data.finish()
}
