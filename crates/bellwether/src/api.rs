//! The HTTP API: the whole table of routes, and who may use each. One file for each resource below.
//! Handlers translate; what happens is decided in `registry`, and every refusal leaves as a problem answer.

mod acceptor;
mod access;
mod body;
mod connection;
mod definitions;
mod deliveries;
mod endpoints;
mod events;
mod experiments;
mod health;
mod keys;
mod occupancy;
mod problem;
mod query;
mod recoveries;
mod runs;
mod sources;
mod stream;
mod telemetry;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::delivery::Pings;
use crate::delivery::monitor::Monitor;
use crate::domain::collection::Collection;
use crate::domain::definition::{AssignmentSource, Entity, FactSource, Schedule, Warehouse};
use crate::domain::metric::Metric;
use crate::maintenance::nodes::License;
use crate::pipeline::Queries;
use crate::registry::Registry;
pub use occupancy::Bounds;
use problem::Problem;
use sources::Tried;

/// The largest request body, in bytes.
const LARGEST_BODY: usize = 1024 * 1024;

/// What the API is made of.
pub struct Parts {
    pub registry: Registry,
    pub queries: Queries,
    pub pings: Pings,
    pub monitor: Arc<Monitor>,
    pub license: License,
    pub bounds: Bounds,
}

/// The same, and what handlers share among themselves.
struct Api {
    registry: Registry,
    queries: Queries,
    pings: Pings,
    monitor: Arc<Monitor>,
    license: License,
    stopping: watch::Receiver<bool>,
    streams: stream::Streams,
    /// Requests under way, streams left aside.
    requests: Semaphore,
    guesses: access::Guesses,
    looks: telemetry::Looks,
}

type Shared = Arc<Api>;

/// Answers on `listener` until `stopping` turns true and what is under way is answered.
pub async fn serve(listener: TcpListener, parts: Parts, stopping: watch::Receiver<bool>) {
    let Parts { registry, queries, pings, monitor, license, bounds } = parts;
    let api = Api {
        registry,
        queries,
        pings,
        monitor,
        license,
        stopping: stopping.clone(),
        streams: stream::Streams::within(bounds),
        requests: Semaphore::new(bounds.requests),
        guesses: access::Guesses::held_back(bounds.held_back),
        looks: telemetry::Looks::default(),
    };
    acceptor::serve(listener, routes(Arc::new(api)), bounds, stopping).await;
}

/// One of the requests that may be under way at once; more would only wait for each other, and keep their bodies in memory.
async fn admit(State(api): State<Shared>, request: Request, next: Next) -> Result<Response, Problem> {
    // A stream waits for hours and costs nothing meanwhile; there is a bound of their own on them.
    if request.uri().path() == "/events/stream" {
        return Ok(next.run(request).await);
    }
    let Ok(_permit) = api.requests.try_acquire() else {
        let detail = "as many requests are under way as there may be; try again in a moment";
        return Err(Problem::busy(detail));
    };
    Ok(next.run(request).await)
}

/// Every route there is.
fn routes(api: Shared) -> Router {
    let v1 = experiment_routes()
        .merge(delivery_routes())
        .merge(definition_routes())
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(no_such_route)
        .layer(middleware::from_fn_with_state(api.clone(), admit))
        // Who guesses keys waits, and must not take the place of others meanwhile.
        .layer(middleware::from_fn_with_state(api.clone(), access::check));
    Router::new()
        .nest("/api/v1", v1)
        .route(
            "/metrics",
            get(telemetry::expose).route_layer(middleware::from_fn_with_state(api.clone(), access::check)),
        )
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(no_such_route)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(api)
}

fn experiment_routes() -> Router<Shared> {
    Router::new()
        .route("/experiments", get(experiments::list).post(experiments::create))
        .route("/experiments/{id}", get(experiments::get).patch(experiments::edit).delete(experiments::delete))
        .route("/experiments/{id}/start", post(experiments::start))
        .route("/experiments/{id}/decide", post(experiments::decide))
        .route("/experiments/{id}/reopen", post(experiments::reopen))
        .route("/experiments/{id}/metrics", get(experiments::metrics).post(experiments::attach_metric))
        .route(
            "/experiments/{id}/metrics/{metric_id}",
            delete(experiments::detach_metric).patch(experiments::edit_attached_metric),
        )
        .route("/experiments/{id}/collections", post(experiments::attach_collection))
        .route("/experiments/{id}/collections/{group_id}", delete(experiments::detach_group))
        .route("/experiments/{id}/history", get(experiments::history))
        .route("/experiments/{id}/runs", get(runs::list).post(runs::request))
        .route("/experiments/{id}/results", get(runs::results))
        .route("/experiments/{id}/traffic", get(runs::traffic))
        .route("/runs/{id}", get(runs::get))
        .route("/runs/{id}/cancel", post(runs::cancel))
}

fn delivery_routes() -> Router<Shared> {
    Router::new()
        .route("/endpoints", get(endpoints::list).post(endpoints::create))
        .route("/endpoints/{id}", get(endpoints::get).patch(endpoints::edit).delete(endpoints::delete))
        .route("/endpoints/{id}/enable", post(endpoints::enable))
        .route("/endpoints/{id}/disable", post(endpoints::disable))
        .route("/endpoints/{id}/test", post(endpoints::test))
        .route("/endpoints/{id}/rotate", post(endpoints::rotate))
        .route("/endpoints/{id}/promote", post(endpoints::promote))
        .route("/endpoints/{id}/recover", post(recoveries::recover))
        .route("/endpoints/{id}/replay", post(recoveries::replay))
        .route("/endpoints/{id}/recoveries", get(recoveries::list))
        .route("/endpoints/{id}/history", get(endpoints::history))
        .route("/recoveries/{id}", get(recoveries::get))
        .route("/recoveries/{id}/stop", post(recoveries::stop))
        .route("/events", get(events::list))
        .route("/events/stream", get(stream::follow))
        .route("/events/{id}", get(events::get))
        .route("/events/{id}/deliveries", get(deliveries::of_event))
        .route("/events/{id}/endpoints/{endpoint_id}", get(events::why))
        .route("/deliveries", get(deliveries::list))
        .route("/deliveries/{id}", get(deliveries::get))
        .route("/deliveries/{id}/resend", post(deliveries::resend))
        .route("/deliveries/{id}/cancel", post(deliveries::cancel))
}

fn definition_routes() -> Router<Shared> {
    Router::new()
        .route("/entities", definition_list::<Entity>())
        .route("/entities/{id}", definition::<Entity>())
        .route("/warehouses", definition_list::<Warehouse>())
        .route("/warehouses/{id}", definition::<Warehouse>())
        .route("/assignment_sources", definition_list::<AssignmentSource>())
        .route("/assignment_sources/{id}", definition::<AssignmentSource>())
        .route("/assignment_sources/{id}/preview", post(sources::preview))
        .route("/fact_sources", definition_list::<FactSource>())
        .route("/fact_sources/{id}", definition::<FactSource>())
        .route("/metrics", definition_list::<Metric>())
        .route("/metrics/{id}", definition::<Metric>())
        .route("/collections", definition_list::<Collection>())
        .route("/collections/{id}", definition::<Collection>())
        .route("/schedules", definition_list::<Schedule>())
        .route("/schedules/{id}", definition::<Schedule>())
        .route("/keys", get(keys::list).post(keys::issue))
        .route("/keys/{id}", delete(keys::revoke))
}

fn definition_list<D: Tried>() -> MethodRouter<Shared> {
    get(definitions::list::<D>).post(definitions::create::<D>)
}

fn definition<D: Tried>() -> MethodRouter<Shared> {
    get(definitions::get::<D>).patch(definitions::edit::<D>).delete(definitions::delete::<D>)
}

async fn no_such_route() -> Problem {
    Problem::of(
        StatusCode::NOT_FOUND,
        "not-found",
        "there is no such route; the API is below /api/v1 and described in docs/api.md",
    )
}

async fn method_not_allowed() -> Problem {
    Problem::of(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "this route does not know this method; see the header Allow for those it knows",
    )
}
