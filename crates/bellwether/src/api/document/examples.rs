//! Bodies that work, by the name of the operation. Ids stand for those of an installation: the test that holds the document
//! against a server puts real ones in their place.

use serde_json::{Value, json};

/// An id of a kind, as it may look.
fn id(prefix: &str) -> String {
    format!("{prefix}_06f2m5r8kq0000000000000001")
}

pub fn body(operation: &str) -> Option<Value> {
    experiment(operation).or_else(|| definition(operation)).or_else(|| endpoint(operation))
}

fn experiment(operation: &str) -> Option<Value> {
    Some(match operation {
        "createExperiment" => json!({
            "key": "checkout-cta", "name": "A red button at the checkout", "hypothesis": "More people see it.",
            "tags": ["checkout"], "entity_id": id("ent"), "assignment_source_id": id("as"),
            "variations": [
                {"key": "control", "name": "Blue", "weight": 1, "is_control": true},
                {"key": "red", "name": "Red", "weight": 1},
            ],
            "assignments_start_date": "2026-03-01", "assignments_end_date": "2026-03-14",
            "analysis_plan": {"method": "sequential", "confidence_level": 0.95},
            "metrics": [{"metric_id": id("met"), "is_primary": true}],
        }),
        "editExperiment" => json!({"owner": "ada", "tags": ["checkout", "mobile"]}),
        "startExperiment" | "reopenExperiment" => json!({}),
        "decideExperiment" => json!({"outcome": "ship", "winning_variation": "red", "reason": "It sells more."}),
        "attachMetric" => json!({"metric_id": id("met"), "is_guardrail": true, "guardrail_cutoff": -0.02}),
        "editAttachedMetric" => json!({"is_primary": true}),
        "attachCollection" => json!({"collection_id": id("col")}),
        "requestRun" => json!({"mode": "full"}),
        _ => return None,
    })
}

fn definition(operation: &str) -> Option<Value> {
    Some(match operation {
        "createEntity" => json!({"name": "user"}),
        "createWarehouse" => json!({"name": "files", "kind": "files", "path": "/var/lib/bellwether/files"}),
        "createAssignmentSource" => json!({
            "name": "assignments", "warehouse_id": id("wh"), "entity_id": id("ent"), "sql": "SELECT * FROM assignments",
            "columns": {
                "subject": "user_id", "timestamp": "at", "experiment_key": "experiment", "variation": "variation",
                "properties": ["country"],
            },
        }),
        "createFactSource" => json!({
            "name": "orders", "warehouse_id": id("wh"), "sql": "SELECT * FROM orders", "timestamp_column": "at",
            "entities": [{"entity_id": id("ent"), "column": "user_id"}],
            "facts": [{"name": "revenue", "column": "amount"}, {"name": "orders"}],
        }),
        "createMetric" => json!({
            "name": "revenue per user", "entity_id": id("ent"), "kind": "simple",
            "numerator": {"fact_id": id("fact"), "operation": "sum"},
        }),
        "createCollection" => json!({"name": "checkout", "metric_ids": [id("met")]}),
        "createSchedule" => json!({"name": "every morning", "cron": "0 6 * * *", "time_zone": "Europe/Berlin"}),
        "editCollection" | "editMetric" => json!({"description": "What the shop lives of."}),
        "editEntity" | "editWarehouse" | "editAssignmentSource" | "editFactSource" => json!({"name": "renamed"}),
        "editSchedule" => json!({"cron": "*/15 8-18 * * MON-FRI"}),
        "createTeam" => json!({"name": "growth", "description": "Those who look after the checkout."}),
        "editTeam" | "editPerson" => json!({"name": "renamed"}),
        "createPerson" => json!({"name": "Ada", "role": "write"}),
        "makeLoginLink" => json!({"minutes": 60}),
        "issueKey" => json!({"name": "dashboard", "role": "read", "expires_at": "2027-03-01T00:00:00Z"}),
        _ => return None,
    })
}

fn endpoint(operation: &str) -> Option<Value> {
    Some(match operation {
        "createEndpoint" => json!({
            "url": "https://example.com/hooks", "description": "the flag service",
            "events": ["experiment.status.updated"], "filter": {"tags": ["checkout"]}, "format": "detailed",
        }),
        "editEndpoint" => json!({"rate_limit": 10, "max_in_flight": 4}),
        "enableEndpoint" => json!({"from": "stopped"}),
        "rotateSecret" => json!({"immediate": false}),
        "recoverDeliveries" | "replayEvents" => json!({"since": "2026-03-01T00:00:00Z"}),
        _ => return None,
    })
}
