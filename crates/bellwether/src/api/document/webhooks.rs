//! What Bellwether sends to endpoints, as docs/receiving.md tells of it: one webhook for each event of experiments.

use bellwether_webhook::EventType;
use serde_json::{Map, Value, json};

/// `data` is the schema of what an event tells.
pub fn all(data: &Value) -> Value {
    EventType::ALL
        .into_iter()
        .map(|event_type| (event_type.as_str().to_owned(), webhook(event_type, data)))
        .collect::<Map<_, _>>()
        .into()
}

fn summary(event_type: EventType) -> &'static str {
    match event_type {
        EventType::ConfigurationUpdated => "An experiment was made, or its configuration edited",
        EventType::MetricUpdated => "Metrics were attached to an experiment, detached or changed",
        EventType::StatusUpdated => "An experiment's status changed, or it was deleted",
        EventType::CalculatedMetricsUpdated => "A run of the data pipeline ended, well or badly",
    }
}

fn webhook(event_type: EventType, of_event: &Value) -> Value {
    let body = json!({
        "type": "object",
        "description": "Compact, and in this order of keys. In the form of endpoints with `format: \"detailed\"`, `data` has more.",
        "required": ["event", "data", "signature"],
        "properties": {
            "event": {"const": event_type.as_str()},
            "data": data(event_type, of_event),
            "signature": {
                "description": "HMAC-SHA256 of the bytes of `data`, with the secret's text as the key.",
                "type": "string", "pattern": "^[0-9a-f]{64}$",
            },
        },
    });
    let content = json!({"application/json": {"schema": body, "example": example(event_type)}});
    json!({"post": {
        "operationId": format!("on{event_type:?}"),
        "summary": summary(event_type),
        "tags": ["webhooks"],
        "security": [],
        "parameters": headers(),
        "requestBody": {"required": true, "content": content},
        "responses": {
            "2XX": {"description": "It was taken, and is not sent again."},
            "410": {"description": "The endpoint is disabled."},
            "429": {"description": "The endpoint is left alone for as long as `Retry-After` says."},
            "default": {"description": "It failed, and is sent again by the endpoint's `retry_schedule`."},
        },
    }})
}

fn headers() -> Value {
    let header = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "header", "required": true, "description": description, "schema": schema});
    json!([
        header("webhook-id", "The event: the same on every attempt.", json!({"type": "string", "pattern": "^evt_"})),
        header("webhook-timestamp", "When this attempt was made, in seconds since 1970.", json!({"type": "integer"})),
        header(
            "webhook-signature",
            "Of Standard Webhooks: HMAC-SHA256 over `{webhook-id}.{webhook-timestamp}.{body}`; several, separated by spaces, \
             while a secret rotates.",
            json!({"type": "string", "examples": ["v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="]}),
        ),
        header("bellwether-revision", "The experiment's revision.", json!({"type": "integer", "minimum": 1})),
        header("bellwether-attempt", "Which attempt this is.", json!({"type": "integer", "minimum": 1})),
    ])
}

/// Every event's `data`, of which one has `meta_data`.
fn data(event_type: EventType, data: &Value) -> Value {
    if event_type == EventType::CalculatedMetricsUpdated {
        json!({"allOf": [data, {"required": ["meta_data"]}]})
    } else {
        data.clone()
    }
}

fn example(event_type: EventType) -> Value {
    let mut data = json!({"experiment_id": 42, "experiment_key": "checkout-cta"});
    if event_type == EventType::CalculatedMetricsUpdated {
        data["meta_data"] = json!({
            "status": "success", "is_manual_refresh": false, "is_data_updated": true, "time_taken_seconds": 12.34,
            "is_traffic_imbalance": false, "assignments_scan_start_date": "2026-03-01",
            "assignments_scan_end_date": "2026-03-14",
        });
    }
    json!({"event": event_type.as_str(), "data": data, "signature": "0f".repeat(32)})
}
