//! A run of the pipeline, and its log.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::actor::Actor;
use crate::domain::clock::Timestamp;
use crate::domain::id::{ExperimentId, RunId};
use crate::domain::progress::Progress;
use crate::domain::run::{LoggedStep, Mode, Run, RunState, Window};
use crate::domain::warning::Warning;

#[derive(Debug, Serialize, JsonSchema)]
pub struct RunView {
    id: RunId,
    experiment_id: ExperimentId,
    mode: Mode,
    fills_history: bool,
    is_manual: bool,
    state: RunState,
    actor: Actor,
    window: Window,
    assignments_scan_start_date: String,
    assignments_scan_end_date: String,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    error: Option<String>,
    is_data_updated: bool,
    is_traffic_imbalance: bool,
    imbalance_p_value: Option<f64>,
    warnings: Vec<Warning>,
    /// While it runs.
    progress: Option<Progress>,
}

impl RunView {
    pub fn of(run: &Run, progress: Option<Progress>) -> Self {
        let (first, last) = run.window.days();
        Self {
            id: run.id,
            experiment_id: run.experiment_id,
            mode: run.mode,
            fills_history: run.fills_history,
            is_manual: run.is_manual,
            state: run.state,
            actor: run.actor.clone(),
            window: run.window,
            assignments_scan_start_date: first.to_string(),
            assignments_scan_end_date: last.to_string(),
            created_at: run.created_at,
            started_at: run.started_at,
            ended_at: run.ended_at,
            error: run.error.clone(),
            is_data_updated: run.is_data_updated,
            is_traffic_imbalance: run.is_traffic_imbalance,
            imbalance_p_value: run.imbalance_p_value,
            warnings: run.warnings.clone(),
            progress,
        }
    }
}

/// A run that was asked for, which may be one that was open already.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RequestedRunView {
    #[serde(flatten)]
    pub run: RunView,
    pub is_joined: bool,
}

/// A run with its log: every statement, its rows, its time, its error.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RunInFull {
    #[serde(flatten)]
    pub run: RunView,
    pub steps: Vec<StepView>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct StepView {
    name: String,
    sql: String,
    kept_as: Option<String>,
    rows: Option<u64>,
    duration_us: Option<u64>,
    error: Option<String>,
}

/// One step, and its SQL with all that earlier steps kept for it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StepInFull {
    #[serde(flatten)]
    pub step: StepView,
    pub statement: String,
}

impl StepView {
    pub fn of(step: LoggedStep) -> Self {
        let LoggedStep { name, sql, kept_as, rows, duration_us, error } = step;
        Self { name, sql, kept_as, rows, duration_us, error }
    }
}
