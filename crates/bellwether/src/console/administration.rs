//! Who may do what, who did what, and how the installation fares. The bar of tabs that these pages share is here.

pub mod audit;
pub mod keys;
pub mod people;
pub mod system;

use axum::http::Method;
use axum::response::Response;
use serde_json::{Value, json};

use super::failure::{Failure, Reason};
use super::page::escaped;
use super::visit::Visit;

/// The tabs, which are called as their pages are.
const TABS: [&str; 4] = ["people", "keys", "audit", "system"];

/// What keys and people may do, and what that is.
const ROLES: [(&str, &str); 3] = [
    ("read", "read: sees all but secrets"),
    ("write", "write: changes experiments, metrics, endpoints"),
    ("admin", "admin: all"),
];

/// Has something deleted whose list stands at `back`.
async fn delete(visit: &Visit, kind: &str, id: &str, back: &str, said: &str) -> Result<Response, Failure> {
    let outcome: Result<Value, Reason> =
        visit.send(Method::DELETE, &format!("/{kind}/{}", escaped(id)), json!({})).await;
    visit.told(back, outcome, said)
}
