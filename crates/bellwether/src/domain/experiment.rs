//! An experiment: its configuration, where it stands, and what is attached to it.

use serde::Serialize;

use super::clock::Timestamp;
use super::configuration::Configuration;
use super::id::{ExperimentId, GroupId, MetricId, RunId};
use super::lifecycle::{Decision, Status};

#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    pub id: ExperimentId,
    pub configuration: Configuration,
    pub status: Status,
    pub decision: Option<Decision>,
    /// The number of its latest event.
    pub revision: i64,
    /// The revision of the last change that was not a run: the ETag.
    pub version: i64,
    pub is_traffic_imbalance: bool,
    pub results_run_id: Option<RunId>,
    pub results_updated_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A metric on an experiment, alone or as a part of an attached collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AttachedMetric {
    pub metric_id: MetricId,
    pub name: String,
    pub group_id: Option<GroupId>,
    pub is_primary: bool,
}
