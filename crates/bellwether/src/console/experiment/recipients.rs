//! Whom an event would be sent to, told before somebody does what causes it.

use bellwether_webhook::EventType;
use serde::Deserialize;

use super::Experiment;
use crate::console::failure::Failure;
use crate::console::page::List;
use crate::console::visit::Visit;
use crate::domain::endpoint::Settings;
use crate::domain::filter::Facts;
use crate::domain::topic::Topic;

#[derive(Deserialize)]
struct Endpoint {
    #[serde(flatten)]
    settings: Settings,
    enabled: bool,
}

/// One in a list, which may be one that cannot be read.
#[derive(Deserialize)]
#[serde(untagged)]
enum Listed {
    Read(Box<Endpoint>),
    Unreadable {},
}

/// In words: by their descriptions, or where they have none, by their addresses.
pub async fn of(visit: &Visit, experiment: &Experiment, event: EventType) -> Result<String, Failure> {
    let found: List<Listed> = visit.get("/endpoints?limit=250").await?;
    let configuration = &experiment.configuration;
    let facts = Facts {
        topic: Topic::Experiment(event),
        experiment_key: &configuration.key,
        tags: &configuration.tags,
        entity_id: configuration.entity_id,
        run: None,
    };
    let wanted = found.items.iter().filter_map(|listed| match listed {
        Listed::Read(endpoint) if endpoint.enabled && endpoint.settings.unmet_by(&facts).is_none() => Some(endpoint),
        _ => None,
    });
    // A description may turn round how text runs: the marks keep that to itself.
    let name = |settings: &Settings| match settings.description.as_str() {
        "" => settings.url.clone(),
        description => format!("“\u{2068}{description}\u{2069}”"),
    };
    let names: Vec<_> = wanted.map(|endpoint| name(&endpoint.settings)).collect();
    let more = if found.next.is_some() { ", and maybe to others" } else { "" };
    Ok(match names.split_at_checked(3) {
        _ if names.is_empty() && more.is_empty() => "to nobody: no endpoint subscribes to it".to_owned(),
        Some((first, rest)) if !rest.is_empty() => format!("to {} and {} more{more}", first.join(", "), rest.len()),
        _ => format!("to {}{more}", names.join(", ")),
    })
}
