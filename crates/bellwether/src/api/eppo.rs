//! Eppo's API, as far as Bellwether has what it is about, for programs that were written for it: numbers for ids, bare arrays,
//! keys in `X-Eppo-Token`, errors in Eppo's form. Here is its table of routes; it translates, and the registry does the rest.
//!
//! It stands beside our own API and is no part of its description: what it looks like is Eppo's to say (see docs/eppo.md).

mod aggregation_form;
mod calculated;
mod definitions;
mod door;
mod experiment_form;
mod experiment_view;
mod experiments;
mod facts;
mod files;
mod kind_forms;
mod metric_form;
mod metrics;
mod numbers;
mod query;
mod sync;
mod translation;
mod words;

use axum::Router;
use axum::http::Method;
use axum::middleware;
use axum::routing::MethodFilter;

use super::problem::{Kind, Problem};
use super::routes::{Guarded, Routes, Unnamed, admin, read, undescribed, write};
use super::{Shared, admit, idempotency, method_not_allowed};

/// Where it stands: with this as a host, clients add `/api/v1` themselves.
const HOST: &str = "/eppo";
pub const BASE: &str = "/eppo/api/v1";

/// What Eppo has and Bellwether has not, by the first part of the path.
const ABSENT: [(&str, &str); 12] = [
    ("flags", "feature flags"),
    ("feature-flags", "feature flags"),
    ("flag-config", "feature flags"),
    ("allocations", "feature flags"),
    ("environments", "environments of feature flags"),
    ("audiences", "audiences of feature flags"),
    ("bandits", "bandits"),
    ("holdouts", "holdouts"),
    ("layers", "layers of feature flags"),
    ("protocols", "protocols"),
    ("dashboards", "dashboards"),
    ("webhooks", "webhooks by Eppo's API; make endpoints by /api/v1/endpoints"),
];

/// Every route, each with the role that it asks for.
pub fn routes() -> Routes {
    let list = get(experiments::list).named("eppoListExperiments", "List experiments");
    let one = get(experiments::get).named("eppoGetExperiment", "Show an experiment");
    let create = post(experiments::create).named("eppoCreateExperiment", "Make a draft of an experiment");
    let edit = put(experiments::edit).named("eppoEditExperiment", "Edit an experiment's configuration");
    let delete_one = delete(experiments::delete).named("eppoDeleteExperiment", "Delete an experiment");
    let update = post(experiments::update_results).named("eppoUpdateResults", "Have results computed anew");
    let teams = get(definitions::teams).named("eppoListTeams", "List teams");
    let metrics = get(metrics::list).named("eppoListMetrics", "List metrics");
    let metric = get(metrics::get).named("eppoGetMetric", "Show a metric");
    let create_metric = post(metrics::create).named("eppoCreateMetric", "Define a metric");
    let edit_metric = put(metrics::edit).named("eppoEditMetric", "Edit a metric");
    let collections = get(metrics::collections).named("eppoListCollections", "List collections of metrics");
    let entities = get(definitions::entities).named("eppoListEntities", "List entities");
    let assignments = get(definitions::assignments).named("eppoListAssignments", "List assignment sources");
    let whole = post(sync::whole).named("eppoSyncMetrics", "Sync metrics, and answer when that has ended");
    let begin = post(sync::begin).named("eppoBeginMetricSync", "Sync metrics, and answer at once");
    let sync = get(sync::get).named("eppoGetMetricSync", "Show how a metric sync stands");
    Routes::default()
        .both("/experiments", read(list).and(write(create)))
        .both("/experiments/{id}", read(one).and(write(edit.and(delete_one))))
        .both("/experiment-results/update/{id}", write(update))
        .both("/teams", read(teams))
        .both("/metrics", read(metrics).and(write(create_metric)))
        .both("/metrics/{id}", read(metric).and(write(edit_metric)))
        .both("/metrics/collections", read(collections))
        // They write SQL.
        .both("/metrics/sync", admin(whole))
        .both("/metrics/sync/async", admin(begin))
        .both("/metrics/sync/{id}", read(sync))
        .both("/definitions/entities", read(entities))
        .both("/definitions/assignments", read(assignments))
}

impl Routes {
    /// With a slash at its end and without: some clients write one.
    fn both(self, path: &str, guarded: Guarded) -> Self {
        self.route(path, guarded.clone()).route(&format!("{path}/"), guarded)
    }
}

fn get<H: axum::handler::Handler<T, Shared>, T: 'static>(handler: H) -> Unnamed {
    undescribed(Method::GET, MethodFilter::GET, handler)
}

fn post<H: axum::handler::Handler<T, Shared>, T: 'static>(handler: H) -> Unnamed {
    undescribed(Method::POST, MethodFilter::POST, handler)
}

fn put<H: axum::handler::Handler<T, Shared>, T: 'static>(handler: H) -> Unnamed {
    undescribed(Method::PUT, MethodFilter::PUT, handler)
}

fn delete<H: axum::handler::Handler<T, Shared>, T: 'static>(handler: H) -> Unnamed {
    undescribed(Method::DELETE, MethodFilter::DELETE, handler)
}

/// The same as a router, below its base.
pub fn router(api: &Shared) -> Router<Shared> {
    let all = routes()
        .into_router()
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(no_such_route)
        .layer(middleware::from_fn_with_state(api.clone(), idempotency::once))
        .layer(middleware::from_fn_with_state(api.clone(), admit))
        .layer(middleware::from_fn_with_state(api.clone(), door::check))
        .layer(middleware::map_response(door::in_eppos_form));
    // A host setting that ends with a slash makes two of it.
    Router::new().nest(BASE, all.clone()).nest(&format!("{HOST}//api/v1"), all)
}

async fn no_such_route(uri: axum::http::Uri) -> Problem {
    let first = uri.path().trim_start_matches('/').split('/').next().unwrap_or_default().to_owned();
    let absent = ABSENT.iter().find(|(path, _)| *path == first);
    let detail = match absent {
        Some((_, what)) => format!("Bellwether has no {what}; see docs/eppo.md for what of Eppo's API it has"),
        None => {
            format!("'{}' is nothing of Eppo's API that Bellwether has; see docs/eppo.md for what it has", uri.path())
        }
    };
    Problem::of(Kind::NotFound, detail)
}
