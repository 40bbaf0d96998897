//! An experiment: its configuration, what only Bellwether writes, and what is attached to it.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::aggregation::{Timeframe, Winsorization};
use crate::domain::clock::Timestamp;
use crate::domain::configuration::Configuration;
use crate::domain::experiment::{AttachedMetric, Experiment};
use crate::domain::id::{CollectionId, ExperimentId, GroupId, MetricId, RunId};
use crate::domain::metric::MetricSettings;
use crate::domain::status::{Decision, Status};
use crate::domain::summary::Summary;
use crate::registry::Started;
use crate::store::experiments::Group;

#[derive(Debug, Serialize, JsonSchema)]
pub struct ExperimentView {
    id: ExperimentId,
    #[serde(flatten)]
    configuration: Configuration,
    status: Status,
    legal_actions: &'static [&'static str],
    decision: Option<Decision>,
    revision: i64,
    version: i64,
    is_traffic_imbalance: bool,
    results_run_id: Option<RunId>,
    results_updated_at: Option<Timestamp>,
    /// What its last results came to; `null` without any.
    results_summary: Option<SummaryView>,
    next_run_at: Option<Timestamp>,
    status_changed_at: Timestamp,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl ExperimentView {
    pub fn of(experiment: &Experiment) -> Self {
        Self {
            id: experiment.id,
            configuration: experiment.configuration.clone(),
            status: experiment.status,
            legal_actions: experiment.status.legal_actions(),
            decision: experiment.decision.clone(),
            revision: experiment.revision,
            version: experiment.version,
            is_traffic_imbalance: experiment.is_traffic_imbalance,
            results_run_id: experiment.results_run_id,
            results_updated_at: experiment.results_updated_at,
            results_summary: SummaryView::of(experiment),
            next_run_at: experiment.next_run_at,
            status_changed_at: experiment.status_changed_at,
            created_at: experiment.created_at,
            updated_at: experiment.updated_at,
        }
    }
}

/// What its last results came to, in short.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ResultsSummary")]
pub struct SummaryView {
    /// In all active variations together.
    subjects: u64,
    #[serde(flatten)]
    summary: Summary,
}

impl SummaryView {
    fn of(experiment: &Experiment) -> Option<Self> {
        let summary = experiment.standing.summary.clone()?;
        Some(Self { subjects: experiment.standing.subjects, summary })
    }
}

/// The metrics of an experiment and their groups, in their order.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AttachedView {
    pub items: Vec<AttachedMetricView>,
    /// There is no second page.
    pub next: Option<String>,
    pub collections: Vec<GroupView>,
}

/// An experiment that was started just now.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StartedView {
    #[serde(flatten)]
    experiment: ExperimentView,
    /// What may not have been meant.
    warnings: Vec<String>,
}

impl StartedView {
    pub fn of(started: &Started) -> Self {
        let experiment = &started.experiment;
        let start = experiment.configuration.assignments_start_date.map(|start| start.to_string()).unwrap_or_default();
        let warning = format!(
            "assignments_start_date was not set, or ahead, and is {start} now: assignments from before do not count; to \
             analyse those too, set it to when they began"
        );
        let warnings = started.has_set_start.then_some(warning).into_iter().collect();
        Self { experiment: ExperimentView::of(experiment), warnings }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct AttachedMetricView {
    metric_id: MetricId,
    name: String,
    group_id: Option<GroupId>,
    is_primary: bool,
    is_guardrail: bool,
    guardrail_cutoff: Option<f64>,
    timeframe: Option<Timeframe>,
    winsorization: Option<Winsorization>,
    minimum_detectable_effect: Option<f64>,
}

impl AttachedMetricView {
    pub fn of(attached: AttachedMetric) -> Self {
        let AttachedMetric { metric_id, name, group_id, is_primary, settings } = attached;
        let MetricSettings { is_guardrail, guardrail_cutoff, timeframe, winsorization, minimum_detectable_effect } =
            settings;
        Self {
            metric_id,
            name,
            group_id,
            is_primary,
            is_guardrail,
            guardrail_cutoff,
            timeframe,
            winsorization,
            minimum_detectable_effect,
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct GroupView {
    id: GroupId,
    collection_id: CollectionId,
    name: String,
}

impl GroupView {
    pub fn of(group: Group) -> Self {
        let Group { id, collection_id, name } = group;
        Self { id, collection_id, name }
    }
}

/// A collection that was attached just now.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AttachedGroupView {
    group_id: GroupId,
    collection_id: CollectionId,
    name: String,
    experiment: ExperimentView,
}

impl AttachedGroupView {
    pub fn of(group: Group, experiment: &Experiment) -> Self {
        let Group { id, collection_id, name } = group;
        Self { group_id: id, collection_id, name, experiment: ExperimentView::of(experiment) }
    }
}
