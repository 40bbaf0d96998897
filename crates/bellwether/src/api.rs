//! The HTTP API: the whole table of routes, and who may use each. One file for each resource below.
//! Handlers translate; what happens is decided in `registry`, and every refusal leaves as a problem answer.

mod acceptor;
mod access;
mod answer;
mod audit;
mod body;
mod connection;
mod definitions;
mod deliveries;
mod discovery;
mod encryption_key;
mod endpoints;
mod events;
mod experiments;
mod health;
mod idempotency;
mod keys;
mod login;
mod occupancy;
mod params;
mod peer;
mod problem;
mod recoveries;
mod routes;
mod run_stream;
mod runs;
mod secured;
mod sessions;
mod sources;
mod stream;
mod streams;
mod tables;
mod telemetry;
pub mod tls;
mod traced;
mod uploads;
mod views;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::delivery::Pings;
use crate::delivery::monitor::Monitor;
use crate::domain::collection::Collection;
use crate::domain::definition::{AssignmentSource, Entity, FactSource, Schedule, Team};
use crate::domain::key::Role;
use crate::domain::metric::Metric;
use crate::domain::person::Person;
use crate::domain::warehouse::Warehouse;
use crate::maintenance::nodes::SendPermit;
use crate::pipeline::AdHocQueries;
use crate::registry::Registry;
pub use acceptor::Entrance;
pub use body::parse as parse_json;
pub use occupancy::Bounds;
pub use peer::TrustedProxies;
use problem::{Kind, Problem};
pub use routes::Route;
use routes::{Routes, admin, delete, get, guarded, patch, post, put, read, write};
use sources::Tried;

/// The largest request body, in bytes.
const LARGEST_BODY: usize = 1024 * 1024;

/// What most routes stand below.
const V1: &str = "/api/v1";

/// What the API is made of.
pub struct Parts {
    pub registry: Registry,
    pub queries: AdHocQueries,
    pub pings: Pings,
    pub monitor: Arc<Monitor>,
    pub permit: SendPermit,
    pub bounds: Bounds,
    pub entrance: Entrance,
    pub links: Option<String>,
    pub max_upload_bytes: u64,
}

/// The same, and what handlers share among themselves.
struct Api {
    registry: Registry,
    queries: AdHocQueries,
    pings: Pings,
    monitor: Arc<Monitor>,
    permit: SendPermit,
    /// What links to this server begin with, without a slash at its end.
    public_url: String,
    /// The same for sentences, where the operator has said it.
    links: Option<String>,
    stopping: watch::Receiver<bool>,
    streams: streams::Streams,
    /// Requests under way, streams left aside.
    requests: Semaphore,
    uploads: Semaphore,
    max_upload_bytes: u64,
    guesses: access::Guesses,
    looks: telemetry::Looks,
}

type Shared = Arc<Api>;

/// Answers on `listener` until `stopping` turns true and what is under way is answered.
pub async fn serve(listener: TcpListener, parts: Parts, stopping: watch::Receiver<bool>) {
    let Parts { registry, queries, pings, monitor, permit, bounds, entrance, links, max_upload_bytes } = parts;
    let api = Api {
        registry,
        queries,
        pings,
        monitor,
        permit,
        public_url: entrance.public_url.clone(),
        links,
        stopping: stopping.clone(),
        streams: streams::Streams::within(bounds),
        requests: Semaphore::new(bounds.requests),
        uploads: uploads::places(bounds.requests),
        max_upload_bytes,
        guesses: access::Guesses::held_back(bounds.held_back),
        looks: telemetry::Looks::default(),
    };
    acceptor::serve(listener, routes(Arc::new(api)), entrance, bounds, stopping).await;
}

/// One of the requests that may be under way at once; more would only wait for each other, and keep their bodies in memory.
async fn admit(State(api): State<Shared>, request: Request, next: Next) -> Result<Response, Problem> {
    // A stream waits for hours and costs nothing meanwhile; there is a bound of their own on them.
    let path = request.uri().path();
    if path == "/events/stream" || path.starts_with("/runs/") && path.ends_with("/stream") {
        return Ok(next.run(request).await);
    }
    let Ok(_permit) = api.requests.try_acquire() else {
        let detail = "as many requests are under way as there may be; try again in a moment";
        return Err(Problem::busy(detail));
    };
    Ok(next.run(request).await)
}

/// Every route that asks for a key, as it is called: what tests go through.
pub fn table() -> Vec<Route> {
    let below = |route: Route| Route { path: format!("{V1}{}", route.path), ..route };
    v1_routes().into_table().into_iter().map(below).chain(metrics_routes().into_table()).collect()
}

/// Every route there is.
fn routes(api: Shared) -> Router {
    let check = || middleware::from_fn_with_state(api.clone(), access::check);
    let v1 = v1_routes()
        .into_router()
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(no_such_route)
        .layer(middleware::from_fn_with_state(api.clone(), idempotency::once))
        .layer(middleware::from_fn_with_state(api.clone(), admit))
        // Who guesses keys waits, and must not take the place of others meanwhile.
        .layer(check());
    let open =
        Router::new().route("/healthz", routing::get(health::alive)).route("/readyz", routing::get(health::ready));
    open.merge(login::routes())
        .nest(V1, v1)
        .merge(metrics_routes().into_router().route_layer(check()))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(no_such_route)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn(traced::trace))
        .with_state(api)
}

fn v1_routes() -> Routes {
    experiment_routes().merge(endpoint_routes()).merge(event_routes()).merge(definition_routes())
}

fn metrics_routes() -> Routes {
    Routes::default().route("/metrics", read(get(telemetry::expose)))
}

fn experiment_routes() -> Routes {
    Routes::default()
        .route("/experiments", read(get(experiments::list)).and(write(post(experiments::create))))
        .route(
            "/experiments/{id}",
            read(get(experiments::get)).and(write(patch(experiments::edit).and(delete(experiments::delete)))),
        )
        .route("/experiments/{id}/start", write(post(experiments::start)))
        .route("/experiments/{id}/decide", write(post(experiments::decide)))
        .route("/experiments/{id}/reopen", write(post(experiments::reopen)))
        .route(
            "/experiments/{id}/metrics",
            read(get(experiments::metrics)).and(write(post(experiments::attach_metric))),
        )
        .route(
            "/experiments/{id}/metrics/{metric_id}",
            write(delete(experiments::detach_metric).and(patch(experiments::edit_attached_metric))),
        )
        .route("/experiments/{id}/collections", write(post(experiments::attach_collection)))
        .route("/experiments/{id}/collections/{group_id}", write(delete(experiments::detach_group)))
        .route("/experiments/{id}/history", read(get(experiments::history)))
        .route("/experiments/{id}/runs", read(get(runs::list)).and(write(post(runs::request))))
        .route("/experiments/{id}/results", read(get(runs::results)))
        .route("/experiments/{id}/results/history", read(get(runs::over_time)))
        .route("/experiments/{id}/traffic", read(get(runs::traffic)))
        .route("/runs/{id}", read(get(runs::get)))
        .route("/runs/{id}/results", read(get(runs::results_of_run)))
        .route("/runs/{id}/steps/{position}", read(get(runs::step)))
        .route("/runs/{id}/stream", read(get(run_stream::follow)))
        .route("/runs/{id}/cancel", write(post(runs::cancel)))
}

fn endpoint_routes() -> Routes {
    Routes::default()
        .route("/endpoints", read(get(endpoints::list)).and(write(post(endpoints::create))))
        .route(
            "/endpoints/{id}",
            read(get(endpoints::get)).and(write(patch(endpoints::edit).and(delete(endpoints::delete)))),
        )
        .route("/endpoints/{id}/enable", write(post(endpoints::enable)))
        .route("/endpoints/{id}/disable", write(post(endpoints::disable)))
        .route("/endpoints/{id}/test", write(post(endpoints::test)))
        .route("/endpoints/{id}/rotate", write(post(endpoints::rotate)))
        .route("/endpoints/{id}/promote", write(post(endpoints::promote)))
        .route("/endpoints/{id}/recover", write(post(recoveries::recover)))
        .route("/endpoints/{id}/replay", write(post(recoveries::replay)))
        .route("/endpoints/{id}/recoveries", read(get(recoveries::list)))
        .route("/endpoints/{id}/history", read(get(endpoints::history)))
        .route("/recoveries/{id}", read(get(recoveries::get)))
        .route("/recoveries/{id}/stop", write(post(recoveries::stop)))
}

fn event_routes() -> Routes {
    Routes::default()
        .route("/events", read(get(events::list)))
        .route("/events/stream", read(get(stream::follow)))
        .route("/events/{id}", read(get(events::get)))
        .route("/events/{id}/deliveries", read(get(deliveries::of_event)))
        .route("/events/{id}/endpoints/{endpoint_id}", read(get(events::why)))
        .route("/deliveries", read(get(deliveries::list)))
        .route("/deliveries/{id}", read(get(deliveries::get)))
        .route("/deliveries/{id}/resend", write(post(deliveries::resend)))
        .route("/deliveries/{id}/cancel", write(post(deliveries::cancel)))
}

fn definition_routes() -> Routes {
    let router = Routes::default()
        .route("/assignment_sources/{id}/preview", admin(post(sources::preview::<AssignmentSource>)))
        .route("/assignment_sources/{id}/scan", write(post(discovery::scan)))
        .route("/assignment_sources/{id}/experiments", read(get(discovery::experiments)))
        .route("/fact_sources/{id}/preview", admin(post(sources::preview::<FactSource>)))
        .route("/warehouses/{id}/tables", admin(get(tables::list)))
        .route("/warehouses/{id}/files/{*name}", admin(put(uploads::put)))
        .route("/keys", admin(get(keys::list).and(post(keys::issue))))
        .route("/keys/{id}", admin(delete(keys::revoke)))
        .route("/me", read(get(sessions::me)))
        .route("/sessions", read(get(sessions::list)))
        .route("/sessions/{id}", read(delete(sessions::end)))
        .route("/people/{id}/login_links", admin(post(sessions::make_link)))
        .route("/audit", admin(get(audit::list)))
        .route("/encryption_key", admin(get(encryption_key::get)))
        .route("/encryption_key/rotate", admin(post(encryption_key::rotate)));
    let router = definition::<Person>(router, "/people", Role::Admin);
    let router = definition::<Entity>(router, "/entities", Role::Write);
    let router = definition::<Metric>(router, "/metrics", Role::Write);
    let router = definition::<Collection>(router, "/collections", Role::Write);
    let router = definition::<Schedule>(router, "/schedules", Role::Write);
    let router = definition::<Team>(router, "/teams", Role::Write);
    // These reach into warehouses.
    let router = definition::<Warehouse>(router, "/warehouses", Role::Admin);
    let router = definition::<AssignmentSource>(router, "/assignment_sources", Role::Admin);
    definition::<FactSource>(router, "/fact_sources", Role::Admin)
}

/// The routes of one kind of definition; `role` may change it.
fn definition<D: Tried>(router: Routes, path: &str, role: Role) -> Routes {
    let change_one = patch(definitions::edit::<D>).and(delete(definitions::delete::<D>));
    let list = read(get(definitions::list::<D>)).and(guarded(role, post(definitions::create::<D>)));
    let one = read(get(definitions::get::<D>)).and(guarded(role, change_one));
    let history = read(get(definitions::history::<D>));
    router.route(path, list).route(&format!("{path}/{{id}}"), one).route(&format!("{path}/{{id}}/history"), history)
}

async fn no_such_route() -> Problem {
    Problem::not_found("there is no such route; the API is below /api/v1 and described in docs/api.md")
}

async fn method_not_allowed() -> Problem {
    Problem::of(Kind::MethodNotAllowed, "this route does not know this method; see the header Allow for those it knows")
}
