//! An event: the record that an experiment changed, with the exact `data` bytes that receivers are sent.
//! They are made once, with the change, and never again: every attempt and resend carries the same.
//!
//! Besides, an endpoint that starts failing, is disabled or recovers is an event to other endpoints that ask for it; such
//! an event is of no experiment, and not in the log.

use bellwether_webhook::{EventType, MetaData, RunStatus, begin_data};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::change::Change;
use super::clock::Timestamp;
use super::experiment::Experiment;
use super::id::{EventId, ExperimentId};
use super::run::{Run, RunFacts, RunState};
use super::topic::Topic;

/// Stands for the experiment in an event about an endpoint.
pub const NO_EXPERIMENT: ExperimentId = 0;

/// How an event is written for a receiver.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// The upstream body, exactly.
    #[default]
    Eppo,
    /// The same, with more about the change in `data`.
    Detailed,
}

impl Format {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eppo => "eppo",
            Self::Detailed => "detailed",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub id: EventId,
    /// [`NO_EXPERIMENT`] in an event about an endpoint.
    pub experiment_id: ExperimentId,
    /// Gapless per experiment; of events about endpoints, merely rising.
    pub revision: i64,
    pub topic: Topic,
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
            topic: Topic::Experiment(event_type),
            occurred_at: change.occurred_at,
            data: bellwether_webhook::data(number, key, meta_data.as_ref()),
            detailed: detailed(number, key, meta_data.as_ref(), change, run),
        }
    }

    /// What the header says; an event about an endpoint has none.
    pub fn shown_revision(&self) -> Option<i64> {
        (self.experiment_id != NO_EXPERIMENT).then_some(self.revision)
    }

    /// The experiment's key as it was then.
    pub fn experiment_key(&self) -> String {
        self.read_data().map(|read_data| read_data.experiment_key).unwrap_or_default()
    }

    fn read_data(&self) -> Option<EventData> {
        serde_json::from_str(&self.data).ok()
    }

    /// What the event tells of a run, if it is of one.
    pub fn run_facts(&self) -> Option<RunFacts> {
        self.read_data()?.meta_data.map(|meta_data| RunFacts {
            is_failure: meta_data.status == RunStatus::Failure,
            is_imbalance: meta_data.is_traffic_imbalance,
            is_data_updated: meta_data.is_data_updated,
            has_warnings: self.has_warnings(),
        })
    }

    fn has_warnings(&self) -> bool {
        let read: Option<Detailed> = serde_json::from_str(&self.detailed).ok();
        read.and_then(|data| data.run).is_some_and(|run| !run.warnings.is_empty())
    }

    pub fn data_in(&self, format: Format) -> &str {
        match format {
            Format::Eppo => &self.data,
            Format::Detailed => &self.detailed,
        }
    }
}

/// What `data` tells, read back.
#[derive(Deserialize)]
struct EventData {
    #[serde(default)]
    experiment_key: String,
    meta_data: Option<MetaData>,
}

/// What only the detailed form tells, read back. Events of before have no warnings.
#[derive(Deserialize)]
struct Detailed {
    run: Option<DetailedRun>,
}

#[derive(Deserialize)]
struct DetailedRun {
    #[serde(default)]
    warnings: Vec<serde::de::IgnoredAny>,
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
            "warnings": run.warning_names(),
        });
        data.raw("run", &bellwether_webhook::ecma::stringify(&value));
    }
    data.finish()
}
