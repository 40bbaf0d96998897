//! The settings of an endpoint as a form. What is hidden in them is sent back as it is shown, and kept.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use crate::console::choices::Named;
use crate::console::failure::{Failure, Reason};
use crate::console::form::{Form, Input, Kind, Rows, boxes, choice, input};
use crate::console::visit::Visit;
use crate::domain::endpoint::Settings;
use crate::domain::topic::{EndpointEvent, Topic};
use bellwether_webhook::EventType;

const MORE: &str = "Filters, order, retries, headers";
const CERTIFICATES: &str = "Certificates of its own";

/// Boxes, one for each event; empty means all of experiments.
fn topics() -> impl Iterator<Item = Topic> {
    EventType::ALL.map(Topic::Experiment).into_iter().chain(EndpointEvent::ALL.map(Topic::Endpoint))
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

pub async fn inputs(visit: &Visit, rows: Rows<'_>) -> Result<Vec<Input>, Failure> {
    let entities: Vec<Named> = visit.all("/entities?sort=name").await?;
    Ok(laid_out(&entities, rows))
}

fn laid_out(entities: &[Named], rows: Rows<'_>) -> Vec<Input> {
    let formats = choice([
        ("eppo", "eppo: as Eppo's webhook"),
        ("detailed", "detailed: with who changed what"),
        ("slack", "slack: a sentence; also Mattermost, Rocket.Chat, Google Chat"),
        ("discord", "discord: a sentence"),
        ("teams", "teams: a sentence on a card"),
    ]);
    let mut inputs = vec![
        input("url", "URL", "https, or an address that allow_networks names.", Kind::Text),
        input("description", "Description", "What people call it.", Kind::Text),
        input("format", "Format", "", formats),
    ];
    let topics: Vec<_> = topics().map(|topic| (topic.to_string(), label(topic))).collect();
    inputs.extend(boxes::inputs("event", topics.iter().map(|(topic, label)| (topic.as_str(), *label)), rows));
    inputs.extend(filter(entities, rows));
    inputs.extend(sending());
    inputs.extend(certificates());
    for i in 0..rows.of("headers", 2) {
        let group = format!("Header {}", i + 1);
        let value = "Not shown again; [hidden] keeps what is stored.";
        inputs.extend([
            input(format!("headers[{i}].name"), "Name", "", Kind::Text).of_group(&group).within(MORE),
            input(format!("headers[{i}].value"), "Value", value, Kind::Text).of_group(&group).within(MORE),
        ]);
    }
    inputs
}

/// Which experiments it wants to hear of, and which ends of runs.
fn filter(entities: &[Named], rows: Rows<'_>) -> Vec<Input> {
    let each = "Each on a line of its own.";
    let mut inputs = vec![
        input(
            "filter.experiment_keys",
            "Only experiments whose key is like",
            "One pattern a line; * stands for any characters.",
            Kind::Lines,
        )
        .within(MORE),
        input("filter.tags", "Only experiments with one of the tags", each, Kind::Lines).within(MORE),
    ];
    let entities = entities.iter().map(|entity| (entity.id.as_str(), entity.name.as_str()));
    let entities = boxes::inputs("entity", entities, rows);
    inputs.extend(entities.into_iter().map(|input| input.of_group("Only experiments of these entities").within(MORE)));
    let runs = boxes::inputs(
        "run",
        [
            ("failure", "that failed"),
            ("imbalance", "with traffic imbalance"),
            ("data_updated", "whose figures differ from before"),
            ("warning", "with a warning"),
        ],
        rows,
    );
    inputs.extend(runs.into_iter().map(|input| input.of_group("Of the ends of runs, only those").within(MORE)));
    inputs
}

/// In which order and how often it is tried, and what goes along.
fn sending() -> Vec<Input> {
    let orderings =
        choice([("experiment", "an experiment's events one after the other"), ("none", "each as soon as it can")]);
    let inputs = [
        input("ordering", "Order", "", orderings),
        input(
            "retry_schedule",
            "Retries",
            "Seconds from each failed attempt to the next, with commas between: 5, 300, 1800. Empty: it is sent once.",
            Kind::Numbers,
        ),
        input("max_in_flight", "Requests at once", "From 1 to 256.", Kind::Number),
        input("rate_limit", "Requests a second", "Empty: no limit.", Kind::Number),
        input(
            "hold_seconds",
            "A failing delivery holds its experiment's later ones back for",
            "Seconds.",
            Kind::Number,
        ),
        input("asymmetric_signature", "Also sign with an Ed25519 key", "", Kind::Flag),
    ];
    inputs.map(|input| input.within(MORE)).into()
}

/// What a new one is where nothing else is said.
pub fn usual() -> Value {
    shown(&serde_json::to_value(Settings::of_all_events()).unwrap_or_default())
}

/// Of a new one: later it is rotated.
pub fn secret() -> Input {
    let hint =
        "Empty: one is made. Yours is base64 of 16 to 64 bytes behind whsec_, or another text of 8 to 500 characters.";
    input("secret", "Secret", hint, Kind::Optional).within(MORE)
}

/// In place of the installation's.
fn certificates() -> Vec<Input> {
    let hint = "In PEM. Not shown again; [hidden] keeps what is stored.";
    let inputs = [
        ("tls.ca_pem", "The only authorities that are trusted"),
        ("tls.client_cert_pem", "Certificate to show"),
        ("tls.client_key_pem", "Its key"),
    ];
    let pem =
        |(name, label): (&'static str, &'static str)| input(name, label, hint, Kind::Code).of_part("tls").of_part(name);
    inputs.map(pem).map(|input| input.within(CERTIFICATES)).into()
}

/// What the form begins with: items of lists as boxes, headers as rows.
pub fn shown(settings: &Value) -> Value {
    let mut shown = settings.clone();
    boxes::tick(&mut shown, "event", &settings["events"]);
    boxes::tick(&mut shown, "entity", &settings["filter"]["entity_ids"]);
    boxes::tick(&mut shown, "run", &settings["filter"]["runs"]);
    let headers = settings["headers"].as_object().into_iter().flatten();
    shown["headers"] = headers.map(|(name, value)| json!({"name": name, "value": value})).collect();
    shown
}

/// What the API is sent; or what is wrong with it, where the API could not see that.
pub fn body(form: &Form) -> Result<Value, Reason> {
    let mut body = form.to_json();
    let [events, entities, runs] = ["event", "entity", "run"].map(|list| boxes::take(&mut body, list));
    body["events"] = json!(events);
    if body["filter"].is_null() {
        body["filter"] = json!({});
    }
    body["filter"]["entity_ids"] = json!(entities);
    body["filter"]["runs"] = json!(runs);
    if body["retry_schedule"].is_null() {
        body["retry_schedule"] = json!([]);
    }
    body["headers"] = headers(body["headers"].as_array().into_iter().flatten())?;
    Ok(body)
}

/// Of rows: an object has room for one of each name, and requests have, whatever the case of its letters.
fn headers<'a>(rows: impl Iterator<Item = &'a Value>) -> Result<Value, Reason> {
    let (mut headers, mut names) = (Map::new(), HashSet::new());
    for (i, row) in rows.enumerate() {
        let name = row["name"].as_str().unwrap_or_default();
        if !names.insert(name.to_ascii_lowercase()) {
            let message = format!("'{name}' is given twice; a request has one header of a name: clear one of the rows");
            return Err(Reason::invalid(format!("headers[{i}].name"), message));
        }
        headers.insert(name.to_owned(), row["value"].clone());
    }
    Ok(Value::Object(headers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::form::Fields;

    #[test]
    fn what_is_shown_is_sent_back_as_it_was() {
        let settings = json!({
            "url": "https://example.com/hooks?[hidden]", "description": "Rollout", "format": "eppo",
            "filter": {"experiment_keys": ["checkout-*"], "tags": [], "entity_ids": ["ent_1"], "runs": ["failure"]},
            "ordering": "experiment", "retry_schedule": [5, 300], "max_in_flight": 8, "rate_limit": null,
            "hold_seconds": 60, "asymmetric_signature": false,
            "headers": {"authorization": "[hidden]", "x-token": "[hidden]"}, "tls": {"ca_pem": "[hidden]"},
            "events": ["experiment.status.updated", "webhook.endpoint.failing"],
        });
        let entities = ["ent_1", "ent_2"].map(|id| Named { id: id.to_owned(), name: id.to_owned() });
        let shown = shown(&settings);
        assert_eq!(body(&Form::of(laid_out(&entities, Rows::Shown(&shown)), &shown)).unwrap(), settings);
    }

    #[test]
    fn a_new_one_begins_with_what_the_api_takes_for_what_is_left_out() {
        let usual = usual();
        let mut sent = body(&Form::of(laid_out(&[], Rows::Shown(&usual)), &usual)).unwrap();
        sent["filter"] = json!({});
        let expected = Settings { url: "x".into(), ..Settings::of_all_events() };
        sent["url"] = json!("x");
        assert_eq!(serde_json::from_value::<Settings>(sent).unwrap(), expected);
    }

    #[test]
    fn what_is_cleared_is_told_and_never_taken_for_what_it_was() {
        let sent = |fields: &[(&str, &str)]| {
            let fields = Fields::of(fields.iter().copied());
            body(&Form::filled(laid_out(&[], Rows::Sent(&fields)), fields))
        };
        let cleared = sent(&[("retry_schedule", ""), ("hold_seconds", ""), ("max_in_flight", " ")]).unwrap();
        assert_eq!(cleared["retry_schedule"], json!([]), "sent once");
        assert_eq!(
            (&cleared["hold_seconds"], &cleared["max_in_flight"]),
            (&Value::Null, &Value::Null),
            "refused by the API"
        );
        let twice = [
            ("headers[0].name", ""),
            ("headers[1].name", "x-a"),
            ("headers[1].value", "1"),
            ("headers[2].name", "X-A"),
            ("headers[2].value", "2"),
        ];
        let refused = sent(&twice).unwrap_err();
        assert_eq!(refused.errors[0].field, "headers[1].name", "as the API counts");
    }
}
