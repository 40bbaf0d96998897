//! What pages are made of besides their content: looks, scripts and the sign. All of it is in the program.

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::{MethodRouter, get};

use crate::api::assets::asset;

const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

pub fn routes() -> Router<Router> {
    Router::new()
        .route("/assets/console.css", file(STYLE, include_str!("assets/console.css")))
        .route("/assets/console.js", file(SCRIPT, include_str!("assets/console.js")))
        .route("/assets/stream.js", file(SCRIPT, include_str!("assets/stream.js")))
        .route("/assets/bell.svg", file("image/svg+xml", include_str!("assets/bell.svg")))
}

fn file(kind: &'static str, text: &'static str) -> MethodRouter<Router> {
    get(move |headers: HeaderMap| asset(headers, kind, text))
}
