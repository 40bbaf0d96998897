//! The HTTP API: the whole table of routes, and who may use each. One file for each resource below.
//! Handlers translate; what happens is decided in `registry`, and every refusal leaves as a problem answer.

mod acceptor;
mod access;
mod answer;
pub mod assets;
mod audit;
mod body;
mod connection;
mod definitions;
mod deliveries;
mod description;
mod discovery;
mod docs;
#[cfg(test)]
mod document;
mod encryption_key;
mod endpoints;
mod eppo;
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
mod system;
mod tables;
mod telemetry;
pub mod tls;
mod traced;
mod turns;
mod uploads;
mod views;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::delivery::Pings;
use crate::delivery::monitor::Monitor;
use crate::domain::collection::Collection;
use crate::domain::definition::{AssignmentSource, Entity, FactSource, Schedule, Team};
use crate::domain::id::{Ids, WarehouseId};
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
pub use peer::{Peer, TrustedProxies};
use problem::{Kind, Problem};
pub use routes::Route;
use routes::{Routes, admin, delete, get, guarded, open, patch, post, put, read, write};
use sources::Tried;
pub use system::Installation;

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
    pub default_warehouse_id: Option<WarehouseId>,
    pub installation: Installation,
    /// Adds the pages for people to the whole API, which they ask.
    pub pages: fn(Router, Arc<dyn Ids>) -> Router,
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
    default_warehouse_id: Option<WarehouseId>,
    installation: Installation,
    guesses: access::Guesses,
    looks: telemetry::Looks,
    turns: Arc<turns::Turns>,
}

type Shared = Arc<Api>;

/// Answers on `listener` until `stopping` turns true and what is under way is answered.
pub async fn serve(listener: TcpListener, parts: Parts, stopping: watch::Receiver<bool>) {
    let Parts {
        registry,
        queries,
        pings,
        monitor,
        permit,
        bounds,
        entrance,
        links,
        max_upload_bytes,
        default_warehouse_id,
        installation,
        pages,
    } = parts;
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
        default_warehouse_id,
        installation,
        guesses: access::Guesses::held_back(bounds.held_back),
        looks: telemetry::Looks::default(),
        turns: Arc::default(),
    };
    let ids = api.registry.ids().clone();
    let pages = pages(routes(Arc::new(api)), ids);
    acceptor::serve(listener, pages, entrance, bounds, stopping).await;
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
    v1_routes().into_table(V1).into_iter().chain(root_routes().into_table("")).collect()
}

/// Every route of Eppo's API. The description and the table of docs/api.md do not tell of them: docs/eppo.md does.
pub fn eppo_table() -> Vec<Route> {
    eppo::routes().into_table(eppo::BASE)
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
    open_routes()
        .into_router()
        .merge(login::routes())
        .merge(docs::routes())
        .nest(V1, v1)
        .merge(eppo::router(&api))
        .merge(root_routes().into_router().route_layer(check()))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(no_such_route)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn(traced::trace))
        .with_state(api)
}

fn v1_routes() -> Routes {
    let experiments = experiment_routes().merge(run_routes());
    let told = endpoint_routes().merge(event_routes());
    experiments.merge(told).merge(definition_routes()).merge(people_routes())
}

fn root_routes() -> Routes {
    let metrics = get(telemetry::expose).named("readMetrics", "What the process has counted, for Prometheus");
    Routes::default().route("/metrics", read(metrics))
}

fn open_routes() -> Routes {
    let ready = get(health::ready).named("checkReadiness", "Whether the process is of use");
    Routes::default()
        .route("/healthz", open(get(health::alive).named("checkHealth", "Whether the process answers")))
        .route("/readyz", open(ready.may_answer(Kind::NotReady)))
        .route("/api/v1/openapi.json", open(get(docs::document).named("readDescription", "This document")))
}

fn experiment_routes() -> Routes {
    let list = get(experiments::list).named("listExperiments", "List experiments");
    let create = post(experiments::create).named("createExperiment", "Make a draft of an experiment");
    let get_one = get(experiments::get).named("getExperiment", "Show an experiment");
    let edit = patch(experiments::edit).named("editExperiment", "Edit an experiment's configuration");
    let delete_one =
        delete(experiments::delete).named("deleteExperiment", "Delete an experiment; a run that is under way ends");
    let attached = get(experiments::metrics).named("listAttachedMetrics", "List an experiment's metrics");
    let attach = post(experiments::attach_metric).named("attachMetric", "Attach a metric to an experiment");
    let edit_attached = patch(experiments::edit_attached_metric)
        .named("editAttachedMetric", "Edit what an experiment sets for a metric");
    let detach = delete(experiments::detach_metric).named("detachMetric", "Detach a metric from an experiment");
    let attach_collection = post(experiments::attach_collection)
        .named("attachCollection", "Copy a collection's metrics to an experiment, as a group");
    let detach_group = delete(experiments::detach_group).named("detachGroup", "Detach a group of metrics");
    let start = post(experiments::start).named("startExperiment", "Start a draft");
    let decide = post(experiments::decide).named("decideExperiment", "Conclude an experiment with a decision");
    let reopen = post(experiments::reopen).named("reopenExperiment", "Take back the decision on an experiment");
    let history = get(experiments::history).named("listExperimentHistory", "List who changed what of an experiment");
    Routes::default()
        .route("/experiments", read(list).and(write(create)))
        .route("/experiments/{id}", read(get_one).and(write(edit.and(delete_one))))
        .route("/experiments/{id}/start", write(start))
        .route("/experiments/{id}/decide", write(decide))
        .route("/experiments/{id}/reopen", write(reopen))
        .route("/experiments/{id}/metrics", read(attached).and(write(attach)))
        .route("/experiments/{id}/metrics/{metric_id}", write(detach.and(edit_attached)))
        .route("/experiments/{id}/collections", write(attach_collection))
        .route("/experiments/{id}/collections/{group_id}", write(detach_group))
        .route("/experiments/{id}/history", read(history))
}

fn run_routes() -> Routes {
    let list = get(runs::list).named("listRuns", "List an experiment's runs, newest first");
    let request = post(runs::request).named("requestRun", "Request a run, or join one that is open");
    let results = get(runs::results).named("getResults", "Show the results of the last successful run");
    let over_time = get(runs::over_time).named("listResultsHistory", "List what the figures were, day by day");
    let traffic = get(runs::traffic).named("getTraffic", "Show how subjects are spread over the variations");
    let get_one = get(runs::get).named("getRun", "Show a run with its log");
    let own_results = get(runs::results_of_run).named("getRunResults", "Show what one run found");
    let step = get(runs::step).named("getRunStep", "Show a step of a run as a statement that stands alone");
    let follow = get(run_stream::follow).named("followRun", "Follow a run, as server-sent events");
    let cancel = post(runs::cancel).named("cancelRun", "Cancel a run");
    Routes::default()
        .route("/experiments/{id}/runs", read(list).and(write(request)))
        .route("/experiments/{id}/results", read(results))
        .route("/experiments/{id}/results/history", read(over_time))
        .route("/experiments/{id}/traffic", read(traffic))
        .route("/runs/{id}", read(get_one))
        .route("/runs/{id}/results", read(own_results))
        .route("/runs/{id}/steps/{position}", read(step))
        .route("/runs/{id}/stream", read(follow.may_answer(Kind::TooManyStreams)))
        .route("/runs/{id}/cancel", write(cancel))
}

fn endpoint_routes() -> Routes {
    let list = get(endpoints::list).named("listEndpoints", "List endpoints");
    let create = post(endpoints::create).named("createEndpoint", "Make an endpoint; the answer holds its secret, once");
    let get_one = get(endpoints::get).named("getEndpoint", "Show an endpoint, and how it fares");
    let edit = patch(endpoints::edit).named("editEndpoint", "Edit an endpoint");
    let delete_one = delete(endpoints::delete).named("deleteEndpoint", "Delete an endpoint");
    let enable = post(endpoints::enable).named("enableEndpoint", "Enable an endpoint");
    let disable = post(endpoints::disable).named("disableEndpoint", "Disable an endpoint");
    let test = post(endpoints::test).named("testEndpoint", "Send a ping at once, and tell what came of it");
    let rotate = post(endpoints::rotate).named("rotateSecret", "Open a rotation of an endpoint's secret");
    let promote = post(endpoints::promote).named("promoteSecret", "End the rotation: the new secret signs");
    let recover = post(recoveries::recover).named("recoverDeliveries", "Have what failed since then sent again");
    let replay = post(recoveries::replay).named("replayEvents", "Have events since then sent that were never owed");
    let recoveries = get(recoveries::list).named("listRecoveries", "List an endpoint's recoveries");
    let history = get(endpoints::history).named("listEndpointHistory", "List what was done to an endpoint, and why");
    let recovery = get(recoveries::get).named("getRecovery", "Show a recovery, and how far it has come");
    let stop = post(recoveries::stop).named("stopRecovery", "Stop a recovery");
    Routes::default()
        .route("/endpoints", read(list).and(write(create)))
        .route("/endpoints/{id}", read(get_one).and(write(edit.and(delete_one))))
        .route("/endpoints/{id}/enable", write(enable))
        .route("/endpoints/{id}/disable", write(disable))
        .route("/endpoints/{id}/test", write(test))
        .route("/endpoints/{id}/rotate", write(rotate))
        .route("/endpoints/{id}/promote", write(promote))
        .route("/endpoints/{id}/recover", write(recover))
        .route("/endpoints/{id}/replay", write(replay))
        .route("/endpoints/{id}/recoveries", read(recoveries))
        .route("/endpoints/{id}/history", read(history))
        .route("/recoveries/{id}", read(recovery))
        .route("/recoveries/{id}/stop", write(stop))
}

fn event_routes() -> Routes {
    // An experiment's key stands in the query.
    let list = get(events::list).named("listEvents", "List the event log").may_answer(Kind::NotFound);
    let follow = get(stream::follow).named("followEvents", "Follow the event log, as server-sent events");
    let follow = follow.may_answer(Kind::NotFound).may_answer(Kind::CursorGone).may_answer(Kind::TooManyStreams);
    let get_one = get(events::get).named("getEvent", "Show an event");
    let of_event = get(deliveries::of_event).named("listEventDeliveries", "List an event's deliveries");
    let why = get(events::why).named("explainEvent", "Why an event was sent to an endpoint, was not, or is not yet");
    let deliveries = get(deliveries::list).named("listDeliveries", "List deliveries").may_answer(Kind::NotFound);
    let delivery = get(deliveries::get).named("getDelivery", "Show a delivery with its attempts");
    let resend = post(deliveries::resend).named("resendDelivery", "Have a delivery sent again, at once");
    let cancel = post(deliveries::cancel).named("cancelDelivery", "Cancel a pending delivery");
    Routes::default()
        .route("/events", read(list.may_answer(Kind::CursorGone)))
        .route("/events/stream", read(follow))
        .route("/events/{id}", read(get_one))
        .route("/events/{id}/deliveries", read(of_event))
        .route("/events/{id}/endpoints/{endpoint_id}", read(why))
        .route("/deliveries", read(deliveries))
        .route("/deliveries/{id}", read(delivery))
        .route("/deliveries/{id}/resend", write(resend))
        .route("/deliveries/{id}/cancel", write(cancel))
}

fn definition_routes() -> Routes {
    let preview = post(sources::preview::<AssignmentSource>)
        .named("previewAssignmentSource", "Show the first rows of an assignment source");
    let scan = post(discovery::scan).named("scanAssignmentSource", "Find which experiments a source has rows of");
    let found = get(discovery::experiments).named("listFoundExperiments", "List what the last scan of a source found");
    let preview_facts =
        post(sources::preview::<FactSource>).named("previewFactSource", "Show the first rows of a fact source");
    let tables = get(tables::list).named("listTables", "List the tables of a warehouse");
    let upload = put(uploads::put).named("putFile", "Put a file into a warehouse");
    let router = Routes::default()
        .route("/assignment_sources/{id}/preview", admin(preview))
        .route("/assignment_sources/{id}/scan", write(scan))
        .route("/assignment_sources/{id}/experiments", read(found))
        .route("/fact_sources/{id}/preview", admin(preview_facts))
        .route("/warehouses/{id}/tables", admin(tables.may_answer(Kind::Invalid)))
        .route("/warehouses/{id}/files/{*name}", admin(upload));
    let router = definition::<Entity>(router, "entities", "Entities", Role::Write);
    let router = definition::<Metric>(router, "metrics", "Metrics", Role::Write);
    let router = definition::<Collection>(router, "collections", "Collections", Role::Write);
    let router = definition::<Schedule>(router, "schedules", "Schedules", Role::Write);
    let router = definition::<Team>(router, "teams", "Teams", Role::Write);
    // These reach into warehouses.
    let router = definition::<Warehouse>(router, "warehouses", "Warehouses", Role::Admin);
    let router = definition::<AssignmentSource>(router, "assignment_sources", "AssignmentSources", Role::Admin);
    definition::<FactSource>(router, "fact_sources", "FactSources", Role::Admin)
}

fn people_routes() -> Routes {
    let list = get(keys::list).named("listKeys", "List keys");
    let issue = post(keys::issue).named("issueKey", "Issue a key; the answer holds its text, once");
    let revoke = delete(keys::revoke).named("revokeKey", "Revoke a key");
    let me = get(sessions::me).named("showMe", "Tell who asks");
    let sessions = get(sessions::list).named("listSessions", "List a person's sessions");
    let end = delete(sessions::end).named("endSession", "End a session");
    let link = post(sessions::make_link).named("makeLoginLink", "Make a link that lets a person in, once");
    let audit = get(audit::list).named("listAudit", "List who changed what of anything, the latest first");
    let key = get(encryption_key::get).named("showEncryptionKey", "Name the key that secrets are encrypted with");
    let system = get(system::show).named("showSystem", "Tell how the installation fares");
    let checks =
        get(system::checks).named("listChecks", "Look for what is wrong with the installation, as 'doctor' does");
    let rotate = post(encryption_key::rotate)
        .named("rotateEncryptionKey", "Encrypt all secrets with another key, while everything goes on");
    let router = Routes::default()
        .route("/encryption_key", admin(key))
        .route("/encryption_key/rotate", admin(rotate))
        .route("/keys", admin(list.and(issue)))
        .route("/keys/{id}", admin(revoke))
        .route("/me", read(me))
        .route("/sessions", read(sessions))
        .route("/sessions/{id}", read(end))
        .route("/people/{id}/login_links", admin(link))
        .route("/audit", admin(audit))
        .route("/system", admin(system))
        .route("/system/checks", admin(checks));
    definition::<Person>(router, "people", "People", Role::Admin)
}

/// The routes of one kind of definition, whose plural is part of names; `role` may change it.
fn definition<D: Tried>(router: Routes, path: &str, plural: &str, role: Role) -> Routes {
    let (one, many) = (D::schema_name(), path.replace('_', " "));
    let kind = D::KIND;
    let list = get(definitions::list::<D>).named(format!("list{plural}"), format!("List {many}"));
    let list = list.only_takes(definitions::filters::<D>().collect());
    let create = post(definitions::create::<D>).named(format!("create{one}"), format!("Define one more of the {many}"));
    let get_one = get(definitions::get::<D>).named(format!("get{one}"), format!("Show one of the {many}"));
    let edit = patch(definitions::edit::<D>).named(format!("edit{one}"), format!("Edit one of the {many}"));
    let delete_one = delete(definitions::delete::<D>)
        .named(format!("delete{one}"), format!("Delete one of the {many} that nothing refers to"));
    let history = get(definitions::history::<D>)
        .named(format!("list{one}History"), format!("List who changed what of one {kind}"));
    router
        .route(&format!("/{path}"), read(list).and(guarded(role, create)))
        .route(&format!("/{path}/{{id}}"), read(get_one).and(guarded(role, edit.and(delete_one))))
        .route(&format!("/{path}/{{id}}/history"), read(history))
}

async fn no_such_route() -> Problem {
    Problem::not_found("there is no such route; the API is below /api/v1 and described in docs/api.md")
}

async fn method_not_allowed() -> Problem {
    Problem::of(Kind::MethodNotAllowed, "this route does not know this method; see the header Allow for those it knows")
}
