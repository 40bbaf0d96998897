//! The console: pages for people, made by the server. It asks the API as every client does, within the process and with the
//! browser's own session: it knows nothing, and changes nothing, in a second way. Every page works without script; a script
//! keeps it up to date. One file for each kind of page below.

mod administration;
mod aggregation;
mod assets;
mod chart;
mod choices;
mod definitions;
mod experiment;
mod experiments;
mod failure;
mod form;
mod me;
mod once;
mod packing;
mod page;
mod visit;
mod webhooks;
mod welcome;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::BodyExt;
use tower::ServiceExt;

use failure::Reason;
use page::Frame;
use visit::Visit;

use crate::domain::id::Ids;

/// Of forms; the API looks at what they say once more.
const LARGEST_FORM: usize = 1024 * 1024;

/// The pages beside the whole API, which they ask.
pub fn routes(api: Router, ids: Arc<dyn Ids>) -> Router {
    Router::new()
        .route("/", get(|| to("experiments")))
        .merge(experiment_routes())
        .merge(definition_routes())
        .merge(webhook_routes())
        .merge(administration_routes())
        .route("/me", get(me::show))
        .route("/me/sessions/{id}/end", post(me::end))
        .merge(assets::routes())
        .layer(middleware::from_fn_with_state(ids, once::tell_apart))
        .layer(middleware::from_fn_with_state(api.clone(), refused))
        .layer(DefaultBodyLimit::max(LARGEST_FORM))
        .layer(middleware::from_fn(packing::pack))
        .with_state(api.clone())
        .merge(api.clone())
        .fallback(|request| lost(api, request))
}

/// What was refused before it came to a page: a query, a path or a form that cannot be read, a form that is too large, an
/// address that only a form is sent to.
async fn refused(State(api): State<Router>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let mut asked = parts.clone();
    let response = next.run(Request::from_parts(parts, body)).await;
    let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || kind.starts_with(b"text/html") {
        return response;
    }
    let detail = match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            "this address takes what a form of another page sends; begin at that page".to_owned()
        }
        StatusCode::PAYLOAD_TOO_LARGE => {
            format!("the form is too large: {LARGEST_FORM} bytes are allowed; nothing was changed")
        }
        _ => {
            let said = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            format!("{}; nothing was changed", String::from_utf8_lossy(&said))
        }
    };
    let nobody = Frame::of(asked.uri.path(), &asked.headers);
    let frame = Visit::from_request_parts(&mut asked, &api).await.map_or(nobody, |visit| visit.frame);
    Reason { status, detail, errors: Vec::new() }.on(&frame).into_response()
}

/// What is no page and no route: a browser is told so as people are, a program as the API tells it.
async fn lost(api: Router, request: Request) -> Response {
    let accepts = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_of_pages = !request.uri().path().starts_with("/api/") && !request.uri().path().starts_with("/eppo/");
    if request.method() != Method::GET || !is_of_pages || !accepts.contains("text/html") {
        let Ok(answer) = api.oneshot(request).await;
        return answer;
    }
    let (mut parts, _) = request.into_parts();
    let nobody = Frame::of(parts.uri.path(), &parts.headers);
    let frame = Visit::from_request_parts(&mut parts, &api).await.map_or(nobody, |visit| visit.frame);
    Reason::not_found().on(&frame).into_response()
}

/// Links are relative everywhere: a proxy may put the console deeper.
async fn to(place: &'static str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response()
}

/// What answers a form with a page of its own, and is then looked at again: to what the form was of.
async fn back(Path(id): Path<String>) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, format!("../{}", page::escaped(&id)))]).into_response()
}

fn experiment_routes() -> Router<Router> {
    Router::new()
        .route("/experiments", get(experiments::list))
        .route("/new/experiment", get(experiment::draft::new).post(experiment::draft::create))
        .route("/experiments/{id}", get(experiment::overview::show))
        .route(
            "/experiments/{id}/configuration",
            get(experiment::configuration::show).post(experiment::configuration::save),
        )
        .route("/experiments/{id}/metrics", get(experiment::metrics::show).post(experiment::metrics::change))
        .route(
            "/experiments/{id}/metrics/{metric}",
            get(experiment::attachment::show).post(experiment::attachment::save),
        )
        .route("/experiments/{id}/start", post(experiment::actions::start))
        .route("/experiments/{id}/decide", get(back).post(experiment::overview::decide))
        .route("/experiments/{id}/reopen", post(experiment::actions::reopen))
        .route("/experiments/{id}/archive", post(experiment::actions::archive))
        .route("/experiments/{id}/delete", post(experiment::actions::delete))
        .route("/experiments/{id}/time", get(experiment::time::show))
        .route("/experiments/{id}/traffic", get(experiment::traffic::show))
        .route("/experiments/{id}/history", get(experiment::history::show))
        .route("/experiments/{id}/runs", get(experiment::runs::list).post(experiment::runs::request))
        .route("/runs/{id}", get(experiment::run::show))
        .route("/runs/{id}/cancel", post(experiment::run::cancel))
}

/// `new` stands apart, lest it be taken for an id.
fn definition_routes() -> Router<Router> {
    Router::new()
        .route("/welcome", get(welcome::show).post(welcome::begin))
        .route("/definitions", get(|| to("definitions/metrics")))
        .route("/new/{kind}", get(definitions::new).post(definitions::create))
        .route("/definitions/{kind}", get(definitions::list))
        .route("/definitions/{kind}/{id}", get(definitions::show).post(definitions::save))
        .route("/definitions/{kind}/{id}/delete", post(definitions::delete))
        .route("/definitions/{kind}/{id}/rows", get(definitions::rows::show))
        .route("/definitions/warehouses/{id}/tables", get(definitions::tables::show))
        .route(
            "/definitions/assignment_sources/{id}/found",
            get(definitions::found::show).post(definitions::found::change),
        )
}

fn webhook_routes() -> Router<Router> {
    use webhooks::{actions, deliveries, delivery, endpoint, endpoints, event, events};
    Router::new()
        .route("/endpoints", get(endpoints::list))
        .route("/new/endpoint", get(endpoint::new).post(endpoint::create))
        .route("/endpoints/{id}", get(endpoint::show).post(endpoint::save))
        .route("/endpoints/{id}/test", get(back).post(endpoint::test))
        .route("/endpoints/{id}/rotate", get(back).post(actions::rotate))
        .route("/endpoints/{id}/delete", post(actions::delete))
        .route("/endpoints/{id}/{action}", post(actions::endpoint))
        .route("/endpoints/{id}/recoveries/{recovery}/stop", post(actions::stop_recovery))
        .route("/events", get(events::list))
        .route("/events/{id}", get(event::show))
        .route("/deliveries", get(deliveries::list))
        .route("/deliveries/{id}", get(delivery::show))
        .route("/deliveries/{id}/resend", post(actions::resend))
        .route("/deliveries/{id}/cancel", post(actions::cancel))
}

fn administration_routes() -> Router<Router> {
    use administration::{audit, keys, people, system};
    Router::new()
        .route("/administration", get(|| to("administration/people")))
        .route("/administration/people", get(people::list).post(people::invite))
        .route("/administration/people/{id}/{action}", post(people::change))
        .route("/administration/keys", get(keys::list).post(keys::issue))
        .route("/administration/keys/{id}/revoke", post(keys::revoke))
        .route("/administration/audit", get(audit::list))
        .route("/administration/system", get(system::show))
}
