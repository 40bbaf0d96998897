//! An experiment: its configuration, where it stands, and what is attached to it.

use serde::{Deserialize, Serialize};

use super::aggregation::{Timeframe, Winsorization};
use super::clock::Timestamp;
use super::configuration::Configuration;
use super::id::{ExperimentId, GroupId, MetricId, RunId};
use super::lifecycle::{Decision, Status};
use super::metric::MetricSettings;

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
    /// When it runs next by schedule.
    pub next_run_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A metric on an experiment, alone or as a part of an attached collection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttachedMetric {
    pub metric_id: MetricId,
    pub name: String,
    pub group_id: Option<GroupId>,
    pub is_primary: bool,
    pub settings: MetricSettings,
}

/// What a user sets on an attached metric.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Attachment {
    pub is_primary: bool,
    pub timeframe: Option<Timeframe>,
    pub winsorization: Option<Winsorization>,
    pub minimum_detectable_effect: Option<f64>,
}

impl Attachment {
    pub fn settings(&self) -> MetricSettings {
        let Self { is_primary: _, timeframe, winsorization, minimum_detectable_effect } = self.clone();
        MetricSettings { timeframe, winsorization, minimum_detectable_effect }
    }
}

impl From<&AttachedMetric> for Attachment {
    fn from(attached: &AttachedMetric) -> Self {
        let MetricSettings { timeframe, winsorization, minimum_detectable_effect } = attached.settings.clone();
        Self { is_primary: attached.is_primary, timeframe, winsorization, minimum_detectable_effect }
    }
}
