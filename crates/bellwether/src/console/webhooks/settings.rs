//! The settings of an endpoint as a form. What is hidden in them is sent back as it is shown, and kept.

use serde_json::{Value, json};

use crate::console::form::{Form, Input, Kind, choice, input};
use crate::domain::topic::{EndpointEvent, Topic};
use bellwether_webhook::EventType;

const MORE: &str = "Filters, order, retries, headers";

/// Boxes, one for each event; empty means all of experiments.
fn topics() -> impl Iterator<Item = Topic> {
    EventType::ALL.map(Topic::Experiment).into_iter().chain(EndpointEvent::ALL.map(Topic::Endpoint))
}

/// Names have no dots, which would be taken for steps into JSON.
fn box_name(topic: &str) -> String {
    format!("event:{}", topic.replace('.', ":"))
}

fn label(topic: Topic) -> &'static str {
    match topic {
        Topic::Experiment(EventType::StatusUpdated) => "experiment.status.updated: its status changes",
        Topic::Experiment(EventType::ConfigurationUpdated) => "experiment.configuration.updated: it is edited",
        Topic::Experiment(EventType::MetricUpdated) => "experiment.metric.updated: a metric comes or goes",
        Topic::Experiment(EventType::CalculatedMetricsUpdated) => "experiment.calculated_metrics.updated: a run ends",
        Topic::Endpoint(EndpointEvent::Failing) => "webhook.endpoint.failing: another endpoint fails",
        Topic::Endpoint(EndpointEvent::Disabled) => "webhook.endpoint.disabled: another endpoint is disabled",
        Topic::Endpoint(EndpointEvent::Recovered) => "webhook.endpoint.recovered: another endpoint works again",
        #[expect(unreachable_patterns, reason = "events may be added")]
        Topic::Experiment(_) => "another event",
    }
}

pub fn inputs() -> Vec<Input> {
    let formats = choice([
        ("eppo", "eppo: as Eppo's webhook"),
        ("detailed", "detailed: with who changed what"),
        ("slack", "slack: a sentence; also Mattermost, Rocket.Chat, Google Chat"),
        ("discord", "discord: a sentence"),
        ("teams", "teams: a sentence on a card"),
    ]);
    let orderings =
        choice([("experiment", "an experiment's events one after the other"), ("none", "each as soon as it can")]);
    let mut inputs = vec![
        input("url", "URL", "https, or an address that allow_networks names.", Kind::Text),
        input("description", "Description", "What people call it.", Kind::Text),
        input("format", "Format", "", formats),
    ];
    inputs.extend(topics().map(|topic| input(box_name(&topic.to_string()), label(topic), "", Kind::Flag)));
    inputs.extend([
        input(
            "filter.experiment_keys",
            "Only experiments whose key is like",
            "One pattern a line; * stands for any characters.",
            Kind::Lines,
        )
        .within(MORE),
        input("filter.tags", "Only experiments with one of the tags", "Each on a line of its own.", Kind::Lines)
            .within(MORE),
        input("filter.entity_ids", "Only experiments of entities", "Their ids, with commas between.", Kind::Words)
            .within(MORE),
        input("filter.runs", "Of the ends of runs, only", "failure, imbalance, data_updated, warning.", Kind::Words)
            .within(MORE),
        input("ordering", "Order", "", orderings).within(MORE),
        input(
            "retry_schedule",
            "Retries",
            "Seconds from each failed attempt to the next, as JSON: [5, 300, 1800].",
            Kind::Json,
        )
        .within(MORE),
        input("max_in_flight", "Requests at once", "From 1 to 256.", Kind::Number).within(MORE),
        input("rate_limit", "Requests a second", "Empty: no limit.", Kind::Number).within(MORE),
        input(
            "hold_seconds",
            "A failing delivery holds its experiment's later ones back for",
            "Seconds.",
            Kind::Number,
        )
        .within(MORE),
        input(
            "headers",
            "Headers",
            "JSON, like {\"authorization\": \"Bearer …\"}. Values are not shown again; [hidden] keeps what is stored.",
            Kind::Json,
        )
        .within(MORE),
        input("asymmetric_signature", "Also sign with an Ed25519 key", "", Kind::Flag).within(MORE),
    ]);
    inputs
}

/// What the form begins with: events as boxes.
pub fn shown(settings: &Value) -> Value {
    let mut shown = settings.clone();
    for topic in settings["events"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        shown[box_name(topic)] = json!(true);
    }
    shown
}

pub fn body(form: &Form) -> Value {
    let mut body = form.to_json();
    let mut events = Vec::new();
    for topic in topics().map(|topic| topic.to_string()) {
        let is_on = body.as_object_mut().and_then(|fields| fields.shift_remove(&box_name(&topic)));
        if is_on == Some(json!(true)) {
            events.push(topic);
        }
    }
    body["events"] = json!(events);
    // What was left empty is as for a new one.
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|name, value| !value.is_null() || name == "rate_limit");
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_sent_back_as_it_was() {
        let settings = json!({
            "url": "https://example.com/hooks?[hidden]", "description": "Rollout", "format": "eppo",
            "events": ["experiment.status.updated", "webhook.endpoint.failing"],
            "filter": {"experiment_keys": ["checkout-*"], "tags": [], "entity_ids": [], "runs": ["failure"]},
            "ordering": "experiment", "retry_schedule": [5, 300], "max_in_flight": 8, "rate_limit": null,
            "hold_seconds": 60, "headers": {"x-token": "[hidden]"}, "asymmetric_signature": false,
        });
        assert_eq!(body(&Form::of(inputs(), &shown(&settings))), settings);
    }
}
