//! The metric sync that the public package `eppo_metrics_sync` speaks: a whole set of files at once, under a tag. Its older
//! version waits for the answer, its newer one asks again until the sync has ended.

use std::collections::HashMap;
use std::time::Duration;

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;

use super::files::Payload;
use super::query::Query;
use super::translation::{Known, declared, digest};
use crate::api::answer::Answer;
use crate::api::body::{BODY_TIMEOUT, parse};
use crate::api::problem::{Kind, Problem};
use crate::api::sources::Tried;
use crate::api::{Api, Shared};
use crate::domain::actor::Principal;
use crate::domain::clock::Timestamp;
use crate::domain::definition::FactSource;
use crate::domain::error::{FieldErrors, LONGEST_NAME};
use crate::domain::input;
use crate::domain::metric_sync::{Declared, MetricSync, SyncState};
use crate::registry::Synced;
use crate::store::definitions;

/// All metrics of a company come in one body.
const LARGEST_SYNC: usize = 16 * 1024 * 1024;
/// How long a step may wait for its turn, while others carry the same sync on.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, Serialize)]
pub struct SyncView {
    id: i64,
    sync_tag: String,
    status: SyncState,
    errors: Vec<String>,
    created_at: Timestamp,
    completed_at: Option<Timestamp>,
}

impl SyncView {
    fn of(sync: MetricSync) -> Self {
        let MetricSync { id, sync_tag, state, errors, created_at, ended_at, .. } = sync;
        Self { id, sync_tag, status: state, errors, created_at, completed_at: ended_at }
    }
}

/// Answers when the sync has ended; what is wrong is refused.
pub async fn whole(
    State(api): State<Shared>,
    Principal { actor, .. }: Principal,
    query: Query,
    request: Request,
) -> Answer<Response> {
    let given = Given::read(request, &query).await?;
    let declared = api.check_sync(&given).await?;
    let mut sync = match api.registry.sync_metrics(actor, declared).await? {
        Synced::Unchanged => return Ok(StatusCode::NOT_MODIFIED.into_response()),
        Synced::Sync(sync) => *sync,
    };
    while sync.state == SyncState::Pending {
        // Whoever is first carries it on: this request, or what does so by itself.
        if !api.registry.carry_syncs_on().await? {
            api.registry.clock().sleep(PAUSE).await;
        }
        sync = api.registry.metric_sync(sync.id).await?;
    }
    Ok(Json(SyncView::of(sync)).into_response())
}

/// Answers at once with how the sync stands, to be asked for again; what is wrong is told as a sync that failed.
pub async fn begin(
    State(api): State<Shared>,
    Principal { actor, .. }: Principal,
    query: Query,
    request: Request,
) -> Answer<Response> {
    let given = Given::read(request, &query).await?;
    let tag = given.payload.sync_tag.clone().unwrap_or_default();
    let synced = match api.check_sync(&given).await {
        Ok(declared) => api.registry.sync_metrics(actor.clone(), declared).await.map_err(Problem::from),
        Err(problem) => Err(problem),
    };
    let sync = match synced {
        Ok(Synced::Unchanged) => return Ok(StatusCode::NOT_MODIFIED.into_response()),
        Ok(Synced::Sync(sync)) => *sync,
        Err(problem) => {
            let errors = problem.into_field_errors()?;
            let errors = errors.iter().map(|error| kept(&error.to_string(), usize::MAX)).collect();
            api.registry.note_failed_sync(actor, kept(&tag, LONGEST_NAME), errors).await?
        }
    };
    Ok((StatusCode::ACCEPTED, Json(SyncView::of(sync))).into_response())
}

/// Text that came from outside, as the database can hold it.
fn kept(text: &str, longest: usize) -> String {
    text.replace('\0', "\u{fffd}").chars().take(longest).collect()
}

pub async fn get(State(api): State<Shared>, Path(id): Path<String>) -> Answer<Json<SyncView>> {
    let wrong = |_| Problem::not_found(format!("'{id}' is not the number of a metric sync"));
    let id: i64 = id.parse().map_err(wrong)?;
    Ok(Json(SyncView::of(api.registry.metric_sync(id).await?)))
}

/// What was sent.
struct Given {
    payload: Payload,
    allow_upgrades: bool,
    bytes: Vec<u8>,
}

impl Given {
    async fn read(request: Request, query: &Query) -> Result<Self, Problem> {
        let allow_upgrades = query.is_true("allow_upgrades")?;
        let too_slow = |_| Problem::of(Kind::BodyTimeout, "the body did not come in time; nothing was changed");
        let read = tokio::time::timeout(BODY_TIMEOUT, to_bytes(request.into_body(), LARGEST_SYNC)).await;
        let too_large = |_| {
            let detail =
                format!("the body did not come whole, or has more than {LARGEST_SYNC} bytes, which are allowed");
            Problem::of(Kind::BodyTooLarge, detail)
        };
        let bytes = read.map_err(too_slow)?.map_err(too_large)?;
        let malformed = |detail: String| Problem::of(Kind::MalformedJson, detail);
        let fields = match parse(&bytes) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => return Err(malformed("the body must be a JSON object".to_owned())),
            Err(error) => return Err(malformed(format!("the body cannot be read: {error}"))),
        };
        Ok(Self { payload: input::read(fields)?, allow_upgrades, bytes: bytes.to_vec() })
    }
}

impl Api {
    /// What is declared, once everything that can be judged without writing was.
    async fn check_sync(&self, given: &Given) -> Result<Declared, Problem> {
        let warehouse = self.default_warehouse_id;
        let known = self.read(|tx| Ok(Known::load(tx)?)).await?;
        let mut errors = FieldErrors::default();
        let declared = declared(&given.payload, &known, warehouse, &**self.registry.ids(), &mut errors);
        self.try_sources(&declared.sources, &mut errors).await?;
        errors.finish()?;
        Ok(Declared { allow_upgrades: given.allow_upgrades, digest: digest(&given.bytes, warehouse), ..declared })
    }

    /// Tries out the SQL of those that are new or edited, and notes what is wrong with all of them.
    async fn try_sources(&self, declared: &[FactSource], errors: &mut FieldErrors) -> Result<(), Problem> {
        let there = self.read(|tx| Ok(definitions::all::<FactSource>(tx)?)).await?;
        let there: HashMap<&str, &FactSource> =
            there.iter().map(|source| (source.body.name.as_str(), &source.body)).collect();
        for source in declared {
            if there.get(source.name.as_str()).is_some_and(|there| reads_the_same(there, source)) {
                continue;
            }
            let Err(problem) = source.try_out(self).await else { continue };
            for error in problem.into_field_errors()? {
                errors.add(format!("fact_sources[{}].{}", source.name, error.field), error.message);
            }
        }
        Ok(())
    }
}

/// Whether both ask their warehouse for the same.
fn reads_the_same(one: &FactSource, other: &FactSource) -> bool {
    let columns = |of: &FactSource| {
        let facts = of.facts.iter().map(|fact| fact.column.clone());
        let properties = of.properties.iter().map(|property| Some(property.column.clone()));
        facts.chain(properties).collect::<Vec<_>>()
    };
    (one.warehouse_id, &one.sql, &one.timestamp_column) == (other.warehouse_id, &other.sql, &other.timestamp_column)
        && one.entities == other.entities
        && columns(one) == columns(other)
}
