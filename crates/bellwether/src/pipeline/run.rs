//! Carries out one run within its limits, and ends it whatever happens. What is computed is `compute`.

use tokio::sync::oneshot;
use tracing::{Instrument, debug_span};

use super::compute::{Computation, Failed, Found};
use super::history;
use super::{AT_STOP, Limits};
use crate::domain::experiment::Experiment;
use crate::domain::results::{MetricResult, Results};
use crate::domain::run::Run;
use crate::registry::persist::until_taken;
use crate::registry::{Ending, Registry};

/// In a trace of its own: a run may have been asked for by several, or by none.
pub async fn carry_out(
    registry: Registry,
    limits: Limits,
    run: Run,
    experiment: Experiment,
    cancelled: oneshot::Receiver<&'static str>,
) {
    let span = debug_span!(parent: None, "run", bellwether.run = %run.id, bellwether.experiment = experiment.id);
    carry_out_within(registry, limits, run, experiment, cancelled).instrument(span).await;
}

async fn carry_out_within(
    registry: Registry,
    limits: Limits,
    run: Run,
    experiment: Experiment,
    cancelled: oneshot::Receiver<&'static str>,
) {
    let scratch = limits.scratch.join(run.id.to_string());
    let mut found = Found::default();
    let mut computation =
        Computation { registry: &registry, run: &run, experiment: &experiment, found: &mut found, steps: 0, day: None };
    let outcome = tokio::select! {
        outcome = history::compute_all(&mut computation, &limits, &scratch) => outcome,
        () = registry.clock().sleep(limits.timeout) => Err(Failed(format!("it took longer than {} s and was stopped", limits.timeout.as_secs()))),
        // A sender that is dropped does not cancel: the pipeline holds it as long as the run is under way.
        Ok(reason) = cancelled => Err(Failed(reason.to_owned())),
    };
    // What was only filling in earlier days when it was stopped has its results.
    let outcome = match (outcome, found.results.take()) {
        (Err(Failed(reason)), Some(results)) => {
            tracing::info!(run = %run.id, reason, "a run was stopped while it filled in earlier days");
            Ok(results)
        }
        (outcome, _) => outcome,
    };
    let imbalance = found.traffic.as_ref().map(|traffic| (traffic.is_imbalance, traffic.p_value));
    let warnings = found.warnings;
    let ending = match outcome {
        Ok(results) => {
            Ending { error: failure_of(&results), results: Some(results), imbalance, warnings, is_abandoned: false }
        }
        Err(Failed(reason)) => {
            Ending { results: None, is_abandoned: reason == AT_STOP, error: Some(reason), imbalance, warnings }
        }
    };
    // What was computed for hours does not go for a database that is away just now.
    if let Err(error) =
        until_taken(&**registry.clock(), "the end of a run", || registry.end_run(run.id, ending.clone())).await
    {
        // It stays running in the database, and is ended by the next look.
        tracing::error!(%error, run = %run.id, "the end of a run cannot be recorded");
    }
    if let Err(error) = tokio::fs::remove_dir_all(&scratch).await {
        tracing::debug!(%error, "a run's scratch folder was not removed");
    }
}

/// A run succeeds if its primary metric is there or, without one, if any is. One without metrics succeeds by its traffic.
fn failure_of(results: &Results) -> Option<String> {
    let failed = |metric: &MetricResult| {
        metric.error.as_ref().map(|error| format!("the metric '{}' failed: {error}", metric.name))
    };
    match results.metrics.iter().find(|metric| metric.is_primary) {
        Some(primary) => failed(primary),
        None if results.metrics.iter().all(|metric| metric.error.is_some()) => results.metrics.first().and_then(failed),
        None => None,
    }
}
