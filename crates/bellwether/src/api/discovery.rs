//! Which experiments an assignment source has rows of: scans, and what the last one has found.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::Shared;
use super::answer::Answer;
use super::body::{Body, Nothing};
use super::params::{Ids, PageParams, Params, check_limit, cursor, default_limit};
use super::problem::Problem;
use super::sources::not_answered;
use crate::domain::clock::Timestamp;
use crate::domain::definition::AssignmentSource;
use crate::domain::discovery::{SeenExperiment, SeenVariation};
use crate::domain::error::{Conflict, Refusal};
use crate::domain::id::{AssignmentSourceId, ExperimentId};
use crate::domain::warehouse::Warehouse;
use crate::pipeline::QueryError;
use crate::registry::Result;
use crate::store::{Tx, definitions, experiments, scans};

/// A page of what was seen, and of which state of the source.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FoundExperiments")]
pub struct Found {
    items: Vec<SeenView>,
    next: Option<String>,
    scanned_at: Timestamp,
    /// Whether the source was edited since.
    is_outdated: bool,
    /// Whether there are more experiments than the scan holds.
    is_cut: bool,
    rows_without_key: u64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FoundExperiment")]
struct SeenView {
    experiment_key: String,
    /// Of the registry, if one there has this key.
    experiment_id: Option<ExperimentId>,
    rows: u64,
    first_at: Option<Timestamp>,
    last_at: Option<Timestamp>,
    variations: Vec<SeenVariation>,
    /// Whether there are more variations than these.
    is_cut: bool,
}

/// Asks the source, which may take minutes; answers as [`experiments`] does.
pub async fn scan(
    State(api): State<Shared>,
    Ids(id): Ids<AssignmentSourceId>,
    Body(Nothing {}): Body<Nothing>,
) -> Answer<Json<Found>> {
    let (source, warehouse) = api
        .read(move |tx| {
            let source = definitions::get::<AssignmentSource>(tx, id)?
                .ok_or_else(|| Refusal::not_found("assignment source", id))?;
            let warehouse = definitions::get::<Warehouse>(tx, source.body.warehouse_id)?
                .ok_or_else(|| Refusal::not_found("warehouse", source.body.warehouse_id))?;
            Ok((source, warehouse.body))
        })
        .await?;
    let Some(_claim) = api.queries.claim_scan(id) else {
        let detail = format!(
            "a scan of this source is under way; wait for its end, then GET assignment_sources/{id}/experiments"
        );
        return Err(Refusal::conflict(Conflict::State, detail).into());
    };
    let name = api.scratch_name();
    let scan = api.queries.scan(&warehouse.engine, &name, &source.body, source.version).await;
    let scan = scan.map_err(|error| match error {
        QueryError::Sql(reason) | QueryError::Missing(reason) => Problem::from(Refusal::invalid("sql", reason)),
        QueryError::Busy | QueryError::Reading => Problem::busy(error.to_string()),
        QueryError::Failed(reason) => not_answered(&reason),
    })?;
    api.registry.keep_scan(id, scan).await?;
    Ok(Json(api.read(move |tx| page(tx, id, 0, default_limit())).await?))
}

/// What the last scan has found, seen last first; the cursor is a place in this list.
pub async fn experiments(
    State(api): State<Shared>,
    Ids(id): Ids<AssignmentSourceId>,
    Params(params): Params<PageParams>,
) -> Answer<Json<Found>> {
    let limit = check_limit(params.limit)?;
    let after = cursor::<usize>(&params.after)?.unwrap_or(0);
    Ok(Json(api.read(move |tx| page(tx, id, after, limit)).await?))
}

fn page(tx: &mut dyn Tx, id: AssignmentSourceId, after: usize, limit: u32) -> Result<Found> {
    let source = definitions::get::<AssignmentSource>(tx, id)?;
    let source = source.ok_or_else(|| Refusal::not_found("assignment source", id))?;
    let hint = "none was made yet; POST assignment_sources/{id}/scan makes one";
    let unscanned = || Refusal::NotFound { kind: "scan of assignment source", id: id.to_string(), hint };
    let (scan, scanned_at) = scans::get(tx, id)?.ok_or_else(unscanned)?;
    let all = scan.experiments.len();
    let end = after.saturating_add(limit as usize);
    let mut items = Vec::new();
    for seen in scan.experiments.into_iter().skip(after).take(limit as usize) {
        let is_cut = seen.is_cut();
        let SeenExperiment { experiment_key, rows, first_at, last_at, variations, .. } = seen;
        // No key of the registry holds U+0000, and PostgreSQL cannot even look for it.
        let is_possible = !experiment_key.contains('\0');
        let experiment_id = if is_possible { experiments::number_of_key(tx, &experiment_key)? } else { None };
        items.push(SeenView { experiment_key, experiment_id, rows, first_at, last_at, variations, is_cut });
    }
    Ok(Found {
        items,
        next: (end < all).then(|| end.to_string()),
        scanned_at,
        is_outdated: scan.source_version != source.version,
        is_cut: scan.is_cut,
        rows_without_key: scan.rows_without_key,
    })
}
