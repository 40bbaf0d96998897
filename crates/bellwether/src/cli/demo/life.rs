//! What goes on in the demo once its story is told: a few more experiments beside the trial, and now and then a change, so that
//! the console's pages live. Like all of the demo it is a client of the API.

use std::time::Duration;

use jiff::Span;
use serde_json::{Value, json};
use tokio::time::{self, MissedTickBehavior};

use super::trial;
use crate::cli::api_client::{ApiClient, ApiError};

/// Between two changes.
const PACE: Duration = Duration::from_secs(8);

/// Experiments that have no data: what each is called, its key, who owns it, and how far it is led.
const OTHERS: [(&str, &str, &str, Stage); 5] = [
    ("Shorter application form", "short-form", "Grace", Stage::Draft),
    ("Weekly reminders by post", "postal-reminders", "Ada", Stage::Running),
    ("Evening classes", "evening-classes", "Katherine", Stage::Running),
    ("Travel costs paid", "travel-costs", "Grace", Stage::Concluded),
    ("A tutor for each participant", "tutors", "Ada", Stage::Draft),
];

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Draft,
    Running,
    Concluded,
}

pub struct Life<'a> {
    pub api: &'a ApiClient,
    /// The trial's number.
    pub trial: u64,
}

impl Life<'_> {
    /// Makes the other experiments, and has the days of the trial filled in; their numbers.
    pub async fn begin(&self) -> Result<Vec<u64>, ApiError> {
        let shown = self.api.get(&format!("experiments/{}", self.trial)).await?;
        let mut others = Vec::new();
        for (name, key, owner, stage) in OTHERS {
            let draft = json!({
                "name": name, "key": key, "owner": owner, "tags": ["programme"], "variations": shown["variations"],
                "entity_id": shown["entity_id"], "assignment_source_id": shown["assignment_source_id"],
            });
            let number = self.api.post("experiments", draft).await?["id"].as_u64().unwrap_or_default();
            if stage != Stage::Draft {
                self.api.post(&format!("experiments/{number}/start"), json!({})).await?;
            }
            if stage == Stage::Concluded {
                let decision = json!({"outcome": "inconclusive", "reason": "The classes were full before it began."});
                self.api.post(&format!("experiments/{number}/decide"), decision).await?;
            }
            others.push(number);
        }
        // The trial is over: its figures are those of its own days, and it waits to be decided.
        let [last_assignment, last_fact] = [27, 57].map(|days| trial::FIRST_DAY.saturating_add(Span::new().days(days)));
        let ends =
            json!({"assignments_end_date": last_assignment.to_string(), "events_end_date": last_fact.to_string()});
        self.edit(self.trial, ends).await?;
        self.run(json!({"mode": "full", "history": true})).await?;
        Ok(others)
    }

    async fn run(&self, asked: Value) -> Result<(), ApiError> {
        self.api.post(&format!("experiments/{}/runs", self.trial), asked).await.map(drop)
    }

    /// Goes on until it is dropped, or the API takes a change no more.
    pub async fn go_on(&self, others: &[u64]) -> Result<(), ApiError> {
        let mut changes = time::interval(PACE);
        changes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for round in 0_usize.. {
            changes.tick().await;
            let other = others.get(round / 4 % others.len().max(1)).copied().unwrap_or(self.trial);
            match round % 4 {
                0 => self.edit(other, json!({"tags": ["programme", format!("cohort {}", round / 4 + 1)]})).await?,
                1 => self.edit(self.trial, json!({"owner": OTHERS[round / 4 % OTHERS.len()].2})).await?,
                2 => {
                    self.edit(
                        other,
                        json!({"hypothesis": format!("More of them finish, by {} in 100.", round % 9 + 2)}),
                    )
                    .await?
                }
                _ => self.run(json!({"mode": "incremental"})).await?,
            }
        }
        Ok(())
    }

    async fn edit(&self, experiment: u64, edit: Value) -> Result<(), ApiError> {
        self.api.patch(&format!("experiments/{experiment}"), edit).await.map(drop)
    }
}
