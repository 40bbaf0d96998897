//! Golden sentences: each event in each service's form, with names that would like to be more than names.

use serde_json::{Value, json};

use super::{Chat, Sentence, field_in_words};

const GOLDEN: &str = include_str!("golden.txt");
const HOSTILE: &str = "<!channel> @everyone *b* [x](http://e.example) <script>&\u{202e}txt\n| `c`";

fn event(extra: Value) -> String {
    let mut data = json!({
        "experiment_id": 42, "experiment_key": "checkout-cta", "revision": 7, "occurred_at": "2026-03-01T00:00:00Z",
        "actor": {"type": "person", "id": "per_00000000000000000000000000", "name": "Ada"}, "changes": [],
    });
    data.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    data.to_string()
}

fn run(status: &str, is_manual: bool, is_imbalance: bool, warnings: Value) -> String {
    event(json!({
        "meta_data": {
            "status": status, "is_manual_refresh": is_manual, "is_data_updated": is_manual, "time_taken_seconds": 12.34,
            "is_traffic_imbalance": is_imbalance, "assignments_scan_start_date": "2026-03-01", "assignments_scan_end_date": "2026-03-02",
        },
        "run": {"imbalance_p_value": if is_imbalance { json!(0.000_012_3) } else { json!(null) }, "warnings": warnings},
    }))
}

fn change(field: &str, from: Value, to: Value) -> Value {
    json!({"field": field, "from": from, "to": to})
}

fn cases() -> Vec<(&'static str, &'static str, String)> {
    let key = json!({"type": "key", "id": "key_00000000000000000000000000", "name": "ci"});
    let edits = json!([
        change("name", json!("Old"), json!("New")),
        change("traffic_allocation", json!(1.0), json!(0.5)),
        change("tags", json!([]), json!(["web", "q1"])),
        change("owner", json!("ada"), json!("")),
        change("variations", json!([]), json!([{"key": "a"}])),
        change("is_archived", json!(false), json!(true)),
    ]);
    let decision = json!([
        change("status", json!("running"), json!("concluded")),
        change("decision", json!(null), json!({"outcome": "ship", "winning_variation": "red"})),
    ]);
    let metric = |name: &str| json!({"metric_id": "met_0", "name": name});
    let hostile = json!({
        "experiment_key": HOSTILE, "actor": {"type": "person", "id": "per_00000000000000000000000000", "name": HOSTILE},
        "changes": [change("name", json!(HOSTILE.repeat(10)), json!("\u{5d0}\u{5d1} 💡"))],
    });
    let endpoint =
        json!({"endpoint_id": "ep_0", "endpoint_description": "Rollout <prod>", "reason": "5 failures in a row."})
            .to_string();
    vec![
        ("created", "experiment.configuration.updated", event(json!({"revision": 1}))),
        ("edited", "experiment.configuration.updated", event(json!({"actor": key, "changes": edits}))),
        ("edited, too long to tell", "experiment.configuration.updated", event(json!({"truncated": true}))),
        ("edited, hostile", "experiment.configuration.updated", event(hostile)),
        (
            "metric added",
            "experiment.metric.updated",
            event(json!({"changes": [change("metrics", json!(null), metric("Revenue"))]})),
        ),
        (
            "metric removed",
            "experiment.metric.updated",
            event(json!({"changes": [change("metrics", metric("Revenue"), json!(null))]})),
        ),
        (
            "collection added",
            "experiment.metric.updated",
            event(json!({"changes": [change("collections", json!(null), metric("Guardrails"))]})),
        ),
        (
            "started by itself",
            "experiment.status.updated",
            event(
                json!({"actor": {"type": "system"}, "changes": [change("status", json!("draft"), json!("running"))]}),
            ),
        ),
        ("decided", "experiment.status.updated", event(json!({"changes": decision}))),
        (
            "deleted",
            "experiment.status.updated",
            event(json!({"changes": [change("status", json!("draft"), json!("deleted"))]})),
        ),
        ("run", "experiment.calculated_metrics.updated", run("success", true, false, json!([]))),
        (
            "run with troubles",
            "experiment.calculated_metrics.updated",
            run("success", false, true, json!(["late_facts", "mixed_subjects"])),
        ),
        ("failed run", "experiment.calculated_metrics.updated", run("failure", false, false, json!([]))),
        ("ping", "webhook.ping", json!({"endpoint_id": "ep_0"}).to_string()),
        ("failing", "webhook.endpoint.failing", endpoint.clone()),
        ("disabled", "webhook.endpoint.disabled", endpoint.clone()),
        ("recovered", "webhook.endpoint.recovered", endpoint),
        ("unreadable", "experiment.status.updated", "no JSON".to_owned()),
    ]
}

#[test]
fn each_event_is_the_golden_sentence_in_each_form() {
    let mut told = String::new();
    for (name, event, data) in cases() {
        let sentence = Sentence::of(event, &data);
        told += &format!("## {name}\n");
        for (service, chat) in [("slack", Chat::Slack), ("discord", Chat::Discord), ("teams", Chat::Teams)] {
            let links = (name != "metric removed").then_some("https://bellwether.example/registry/");
            told += &format!("{service}: {}\n", chat.body(&sentence, links));
        }
    }
    let place = std::env::temp_dir().join("sentences.golden.txt");
    if told != GOLDEN {
        std::fs::write(&place, &told).unwrap();
        panic!("the sentences differ from src/domain/sentence/golden.txt; what they are now is in {}", place.display());
    }
}

#[test]
fn what_others_wrote_mentions_nobody_and_breaks_no_line() {
    let data = event(json!({"experiment_key": HOSTILE, "changes": [change(HOSTILE, json!(HOSTILE), json!(HOSTILE))]}));
    let sentence = Sentence::of("experiment.configuration.updated", &data);
    for chat in [Chat::Slack, Chat::Discord, Chat::Teams] {
        let body: Value = serde_json::from_str(&chat.body(&sentence, None)).unwrap();
        let whole = body.to_string();
        assert!(!whole.contains('\u{202e}') && !whole.contains("\\n"), "{whole}");
        match chat {
            Chat::Slack => assert!(!body["text"].as_str().unwrap().contains(['<', '>'])),
            Chat::Discord => assert_eq!(body["allowed_mentions"], json!({"parse": []})),
            // A plain block would be read as Markdown.
            Chat::Teams => assert!(!whole.contains("\"TextBlock\""), "{whole}"),
        }
    }
}

#[test]
fn ids_in_fields_stay_what_they_are() {
    let field = "metrics.met_01m8kaf4k66nm24eag3pfp3ser.is_guardrail";
    assert_eq!(field_in_words(field), "metrics.met_01m8kaf4k66nm24eag3pfp3ser.is guardrail");
    assert_eq!(field_in_words("assignments_end_date"), "assignments end date");
}
