//! An experiment: its configuration, where it stands, and what is attached to it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aggregation::{Timeframe, Winsorization};
use super::clock::Timestamp;
use super::configuration::Configuration;
use super::id::{ExperimentId, GroupId, MetricId, RunId};
use super::metric::MetricSettings;
use super::standing::Standing;
use super::status::{Decision, Status};

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
    pub standing: Standing,
    pub status_changed_at: Timestamp,
    /// When something is due by date, as it is stored: see [`super::lifecycle::due_at`].
    pub due_at: Option<Timestamp>,
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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Attachment {
    pub is_primary: bool,
    pub is_guardrail: bool,
    #[schemars(range(min = -100, max = 100))]
    pub guardrail_cutoff: Option<f64>,
    pub timeframe: Option<Timeframe>,
    pub winsorization: Option<Winsorization>,
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 100))]
    pub minimum_detectable_effect: Option<f64>,
}

impl Attachment {
    pub fn settings(&self) -> MetricSettings {
        let Self { is_primary: _, is_guardrail, guardrail_cutoff, timeframe, winsorization, minimum_detectable_effect } =
            self.clone();
        MetricSettings { is_guardrail, guardrail_cutoff, timeframe, winsorization, minimum_detectable_effect }
    }
}

impl From<&AttachedMetric> for Attachment {
    fn from(attached: &AttachedMetric) -> Self {
        let MetricSettings { is_guardrail, guardrail_cutoff, timeframe, winsorization, minimum_detectable_effect } =
            attached.settings.clone();
        let is_primary = attached.is_primary;
        Self { is_primary, is_guardrail, guardrail_cutoff, timeframe, winsorization, minimum_detectable_effect }
    }
}

/// A metric as somebody attaches it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GivenMetric {
    pub metric_id: MetricId,
    #[serde(default)]
    is_primary: bool,
    #[serde(default)]
    is_guardrail: bool,
    #[serde(default)]
    #[schemars(range(min = -100, max = 100))]
    guardrail_cutoff: Option<f64>,
    #[serde(default)]
    timeframe: Option<Timeframe>,
    #[serde(default)]
    winsorization: Option<Winsorization>,
    #[serde(default)]
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 100))]
    minimum_detectable_effect: Option<f64>,
}

impl GivenMetric {
    pub fn attachment(&self) -> Attachment {
        let Self { metric_id: _, is_primary, is_guardrail, guardrail_cutoff, timeframe, winsorization, .. } =
            self.clone();
        let minimum_detectable_effect = self.minimum_detectable_effect;
        Attachment { is_primary, is_guardrail, guardrail_cutoff, timeframe, winsorization, minimum_detectable_effect }
    }

    /// One that every experiment of its entity gets.
    pub fn guardrail(metric_id: MetricId) -> Self {
        Self {
            metric_id,
            is_primary: false,
            is_guardrail: true,
            guardrail_cutoff: None,
            timeframe: None,
            winsorization: None,
            minimum_detectable_effect: None,
        }
    }
}

/// An experiment as somebody wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewExperiment {
    pub configuration: Configuration,
    pub metrics: Vec<GivenMetric>,
}

impl From<Configuration> for NewExperiment {
    fn from(configuration: Configuration) -> Self {
        Self { configuration, metrics: Vec::new() }
    }
}
