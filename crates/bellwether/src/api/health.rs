//! Whether the process lives (`/healthz`) and whether it is of use (`/readyz`). Both are open to all, and tell nothing else.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::Answer;
use super::problem::{Kind, Problem};
use super::{Api, Shared};

/// For the database to write anything at all.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Health")]
pub struct Status {
    status: &'static str,
}

/// The process answers.
pub async fn alive() -> Json<Status> {
    Json(Status { status: "ok" })
}

/// The process can do what it is there for; else what it lacks.
pub async fn ready(State(api): State<Shared>) -> Answer<Json<Status>> {
    let missing = missing(&Parts::of(&api).await);
    if missing.is_empty() {
        return Ok(Json(Status { status: "ready" }));
    }
    Err(Problem::of(Kind::NotReady, missing.join("; ")))
}

/// What must hold, each for itself.
struct Parts {
    is_stopping: bool,
    database: Result<(), String>,
    has_lanes: bool,
    may_send: bool,
}

impl Parts {
    async fn of(api: &Api) -> Self {
        let asked = api.registry.check_writable();
        let database = match tokio::time::timeout(DATABASE_TIMEOUT, asked).await {
            Ok(answered) => answered.map_err(|error| error.to_string()),
            Err(_) => Err(format!("it did not answer within {DATABASE_TIMEOUT:?}")),
        };
        Self {
            is_stopping: *api.stopping.borrow(),
            database,
            has_lanes: api.monitor.has_lanes(),
            may_send: api.permit.holds(),
        }
    }
}

fn missing(parts: &Parts) -> Vec<String> {
    let mut missing = Vec::new();
    if parts.is_stopping {
        missing.push("stopping: the process takes no more work".to_owned());
    }
    if let Err(error) = &parts.database {
        missing.push(format!("database: {error}"));
    }
    if !parts.has_lanes {
        missing.push("delivery: the endpoints have not been read yet".to_owned());
    }
    if !parts.may_send {
        missing.push("heartbeat: it could not be written for some seconds, so this node sends nothing".to_owned());
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_that_is_missing_is_named() {
        let ready = || Parts { is_stopping: false, database: Ok(()), has_lanes: true, may_send: true };
        assert_eq!(missing(&ready()), [""; 0]);
        for (parts, name) in [
            (Parts { is_stopping: true, ..ready() }, "stopping:"),
            (Parts { database: Err("refused".to_owned()), ..ready() }, "database: refused"),
            (Parts { has_lanes: false, ..ready() }, "delivery:"),
            (Parts { may_send: false, ..ready() }, "heartbeat:"),
        ] {
            let missing = missing(&parts);
            assert!(missing.len() == 1 && missing[0].starts_with(name), "{missing:?}");
        }
    }
}
