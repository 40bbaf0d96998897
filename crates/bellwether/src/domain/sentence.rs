//! Events as sentences for people: who did what to which experiment, from what to what. Made of an event's detailed form when it
//! is sent. How a chat service wants a sentence to be written is in `sentence/chat.rs`.

mod chat;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::actor::Actor;
use super::configuration::FieldChange;
pub use chat::Chat;

const LONGEST_NAME: usize = 80;
const LONGEST_VALUE: usize = 60;
/// Edited fields that are told one by one.
const MOST_FIELDS: usize = 4;

/// A sentence, and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// Before the subject, as `Ada edited `.
    before: String,
    subject: String,
    after: String,
    /// Below the public URL, where the subject can be looked at.
    path: Option<String>,
}

/// What the detailed form tells.
#[derive(Deserialize, Default)]
struct Data {
    experiment_id: Option<u64>,
    #[serde(default)]
    experiment_key: String,
    actor: Option<Actor>,
    #[serde(default)]
    revision: i64,
    #[serde(default)]
    changes: Vec<FieldChange>,
    #[serde(default)]
    truncated: bool,
    meta_data: Option<MetaData>,
    run: Option<Run>,
    endpoint_id: Option<String>,
    #[serde(default, rename = "endpoint_description")]
    description: String,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
struct MetaData {
    status: String,
    is_manual_refresh: bool,
    is_data_updated: bool,
    time_taken_seconds: f64,
    is_traffic_imbalance: bool,
}

#[derive(Deserialize)]
struct Run {
    imbalance_p_value: Option<f64>,
    #[serde(default)]
    warnings: Vec<String>,
}

impl Sentence {
    /// What happened, by an event's name and its detailed `data`. What cannot be read is told by its name.
    pub fn of(event: &str, data: &str) -> Self {
        let Ok(data) = serde_json::from_str::<Data>(data) else {
            let before = format!("Bellwether has an event, {}, that cannot be told", plain(event, LONGEST_NAME));
            return Self { before, subject: String::new(), after: ".".to_owned(), path: None };
        };
        let (before, after) = match event {
            "experiment.configuration.updated" => edited(&data),
            "experiment.metric.updated" => metrics(&data),
            "experiment.status.updated" => moved(&data),
            "experiment.calculated_metrics.updated" => run(&data),
            "webhook.ping" => {
                ("This is a test. Webhooks from Bellwether arrive for the endpoint ".to_owned(), ".".to_owned())
            }
            "webhook.endpoint.failing" => {
                ("Webhooks to the endpoint ".to_owned(), format!(" are failing: {}.", reason(&data)))
            }
            "webhook.endpoint.disabled" => ("The endpoint ".to_owned(), format!(" was disabled: {}.", reason(&data))),
            "webhook.endpoint.recovered" => ("Webhooks to the endpoint ".to_owned(), " arrive again.".to_owned()),
            other => (format!("{} happened to ", plain(other, LONGEST_NAME)), ".".to_owned()),
        };
        let subject = match &data.endpoint_id {
            Some(id) if data.description.is_empty() => plain(id, LONGEST_NAME),
            Some(_) => plain(&data.description, LONGEST_NAME),
            None => plain(&data.experiment_key, LONGEST_NAME),
        };
        Self { before, subject, after, path: data.experiment_id.map(|id| format!("/experiments/{id}")) }
    }
}

impl fmt::Display for Sentence {
    /// Without any service's marks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.before, self.subject, self.after)
    }
}

fn reason(data: &Data) -> String {
    plain(data.reason.trim_end_matches('.'), 200)
}

fn who(data: &Data) -> String {
    match &data.actor {
        Some(Actor::Person { name, .. }) => plain(name, LONGEST_NAME),
        Some(Actor::Key { name, .. }) => format!("The key “{}”", plain(name, LONGEST_NAME)),
        Some(Actor::System) | None => "Bellwether".to_owned(),
    }
}

fn edited(data: &Data) -> (String, String) {
    let who = who(data);
    if data.revision == 1 {
        return (format!("{who} created the experiment "), ".".to_owned());
    }
    let told: Vec<_> = data.changes.iter().take(MOST_FIELDS).map(edit).collect();
    let rest = data.changes.len().saturating_sub(MOST_FIELDS);
    let more = match (data.truncated, rest) {
        (true, _) => "more than can be told here".to_owned(),
        (false, 0) => String::new(),
        (false, rest) => format!("; and {rest} more"),
    };
    (format!("{who} edited "), format!(": {}{more}.", told.join("; ")))
}

/// A field as people write it, in which ids stay what they are.
pub fn field_in_words(field: &str) -> String {
    let is_id = |part: &str| part.split_once('_').is_some_and(|(_, rest)| rest.len() == 26 && !rest.contains('_'));
    let part = |part: &str| if is_id(part) { part.to_owned() } else { part.replace('_', " ") };
    field.split('.').map(part).collect::<Vec<_>>().join(".")
}

fn edit(change: &FieldChange) -> String {
    let field = field_in_words(&plain(&change.field, LONGEST_NAME));
    match (value(&change.from), value(&change.to)) {
        (None, Some(to)) => format!("{field} set to {to}"),
        (Some(from), None) => format!("{field} removed, which was {from}"),
        (Some(from), Some(to)) => format!("{field} from {from} to {to}"),
        (None, None) => format!("{field} changed"),
    }
}

/// A value that can be said in a few words. Of others it is told that they changed.
fn value(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(format!("“{}”", plain(text, LONGEST_VALUE))),
        Value::Number(_) => Some(bellwether_webhook::ecma::stringify(value)),
        Value::Bool(is) => Some(if *is { "yes" } else { "no" }.to_owned()),
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_string) => {
            let items: Vec<_> = items.iter().filter_map(Value::as_str).collect();
            Some(format!("“{}”", plain(&items.join(", "), LONGEST_VALUE)))
        }
        _ => None,
    }
}

fn metrics(data: &Data) -> (String, String) {
    let name = |value: &Value| value.get("name").and_then(Value::as_str).map(|name| plain(name, LONGEST_NAME));
    let names = |pick: fn(&FieldChange) -> &Value| -> Vec<String> {
        let told = data.changes.iter().filter_map(|change| {
            let kind = if change.field.starts_with("collection") { "the collection" } else { "the metric" };
            name(pick(change)).map(|name| format!("{kind} “{name}”"))
        });
        told.collect()
    };
    let (added, removed) = (names(|change| &change.to), names(|change| &change.from));
    let who = who(data);
    if !removed.is_empty() && added.is_empty() {
        return (format!("{who} removed {} from ", listed(&removed)), ".".to_owned());
    }
    let what = if added.is_empty() { "metrics".to_owned() } else { listed(&added) };
    (format!("{who} added {what} to "), ".".to_owned())
}

/// The first few, and how many more.
fn listed(names: &[String]) -> String {
    let told = names.iter().take(MOST_FIELDS).cloned().collect::<Vec<_>>().join(", ");
    let rest = names.len().saturating_sub(MOST_FIELDS);
    if rest == 0 { told } else { format!("{told} and {rest} more") }
}

fn moved(data: &Data) -> (String, String) {
    let who = who(data);
    let find = |field: &str| data.changes.iter().find(|change| change.field == field);
    let word = |value: &Value| value.as_str().map(|word| plain(word, LONGEST_NAME).replace('_', " "));
    let Some(status) = find("status") else { return (format!("{who} moved "), ".".to_owned()) };
    let (from, to) = (word(&status.from), word(&status.to));
    if to.as_deref() == Some("deleted") {
        return (format!("{who} deleted "), ".".to_owned());
    }
    let steps = match (from, to) {
        (Some(from), Some(to)) => format!(" from {from} to {to}"),
        (_, Some(to)) => format!(" to {to}"),
        _ => String::new(),
    };
    let decision = find("decision").map(|change| &change.to).filter(|to| to.is_object());
    let part = |name: &str| decision.and_then(|decision| decision.get(name)).and_then(word);
    let decided = match (part("outcome"), part("winning_variation")) {
        (Some(outcome), Some(winner)) => format!(": {outcome} “{winner}”"),
        (Some(outcome), None) => format!(": {outcome}"),
        (None, _) => String::new(),
    };
    (format!("{who} moved "), format!("{steps}{decided}."))
}

fn run(data: &Data) -> (String, String) {
    let Some(meta_data) = &data.meta_data else { return ("A run ended of ".to_owned(), ".".to_owned()) };
    let kind = if meta_data.is_manual_refresh { "A run by hand" } else { "A scheduled run" };
    if meta_data.status != "success" {
        return (format!("{kind} of "), format!(" failed after {}.", seconds(meta_data.time_taken_seconds)));
    }
    let news = if meta_data.is_data_updated { "there are new results" } else { "the results are as before" };
    let mut after = format!(" took {}: {news}.", seconds(meta_data.time_taken_seconds));
    if meta_data.is_traffic_imbalance {
        let p_value = data.run.as_ref().and_then(|run| run.imbalance_p_value);
        let p_value = p_value.map(|p| format!(" (p = {p:.1e})")).unwrap_or_default();
        after += &format!(" The traffic is imbalanced{p_value}, so do not trust the results yet.");
    }
    let warnings = data.run.as_ref().map(|run| &run.warnings[..]).unwrap_or_default();
    if !warnings.is_empty() {
        let warnings: Vec<_> = warnings.iter().map(|name| plain(name, LONGEST_NAME).replace('_', " ")).collect();
        after += &format!(" Warnings: {}.", listed(&warnings));
    }
    (format!("{kind} of "), after)
}

fn seconds(seconds: f64) -> String {
    if seconds < 90.0 { format!("{seconds:.1} s") } else { format!("{:.0} min", seconds / 60.0) }
}

/// Text that others wrote, as one line that stays within itself: cut, and without what breaks lines or turns their direction.
fn plain(text: &str, longest: usize) -> String {
    let is_turning = |letter: char| matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let letters = text.chars().filter(|letter| !is_turning(*letter));
    let mut plain = String::new();
    for (i, letter) in letters.enumerate() {
        if i == longest {
            plain.push('…');
            break;
        }
        let breaks = letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}');
        plain.push(if breaks { ' ' } else { letter });
    }
    plain
}
