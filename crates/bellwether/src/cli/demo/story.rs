//! What the demo does, through the public API alone: one experiment from its definitions to a failed run.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use tokio::time::{self, MissedTickBehavior};

use super::{
    arrivals::{Arrivals, STORY},
    say, tables, trial,
};
use crate::cli::api_client::{ApiClient, ApiError};
use crate::cli::progress_bar::ProgressBar;
use crate::domain::results::Results;

/// How long one event may take before the story goes on without it; longer than the first retry.
const PATIENCE: Duration = Duration::from_secs(8);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

const EARNINGS_SQL: &str = "SELECT subject_id, earned_at, amount FROM earnings";
const JOBS_SQL: &str = "SELECT subject_id, earned_at FROM earnings WHERE amount > 0";
const BROKEN_SQL: &str = "SELECT subject_id, earned_at, amount FROM earnings_of_1979";

pub struct Story<'a> {
    api: &'a ApiClient,
    arrivals: &'a Arrivals,
    /// The experiment's, as far as the story has come.
    revision: u64,
}

/// The definitions that the experiment builds on, by id.
struct Definitions {
    entity: String,
    assignment_source: String,
    earnings_source: String,
    earnings_metric: String,
    collection: String,
}

impl<'a> Story<'a> {
    pub fn untold(api: &'a ApiClient, arrivals: &'a Arrivals) -> Story<'a> {
        Story { api, arrivals, revision: 0 }
    }

    /// Tells all of it; the experiment's number and its results.
    pub async fn tell(mut self, files: &Path, receiver: &str, secret: &str) -> Result<(u64, Results), ApiError> {
        let definitions = self.define(files).await?;
        let endpoint =
            json!({"url": receiver, "description": "the demo's own receiver", "events": [], "secret": secret});
        self.api.post("endpoints", endpoint).await?;
        let experiment = self.lead_to_start(&definitions).await?;
        self.run_the_pipeline(experiment, &definitions).await?;
        // A run that failed leaves the results as they were.
        Ok((experiment, self.results(experiment).await?))
    }

    async fn define(&self, files: &Path) -> Result<Definitions, ApiError> {
        let entity = self.create("entities", json!({"name": "Person"})).await?;
        let warehouse = json!({"name": "The trial's tables", "kind": "files", "path": files});
        let warehouse = self.create("warehouses", warehouse).await?;
        let assignment_source = json!({
            "name": "Assignments", "warehouse_id": warehouse, "entity_id": entity,
            "sql": "SELECT subject_id, variation, assigned_at, experiment_key FROM assignments",
            "columns": {"subject": "subject_id", "timestamp": "assigned_at", "experiment_key": "experiment_key",
                "variation": "variation"},
        });
        let assignment_source = self.create("assignment_sources", assignment_source).await?;
        let fact_source = |name: &str, sql: &str, fact: Value| {
            json!({
                "name": name, "warehouse_id": warehouse, "sql": sql, "timestamp_column": "earned_at",
                "entities": [{"entity_id": entity, "column": "subject_id"}], "facts": [fact],
            })
        };
        let earned = json!({"name": "Earned", "column": "amount", "desired_change": "increase"});
        let earnings = self.api.post("fact_sources", fact_source("Earnings", EARNINGS_SQL, earned)).await?;
        let worked = json!({"name": "Worked", "column": null, "desired_change": "increase"});
        let jobs = self.api.post("fact_sources", fact_source("Jobs", JOBS_SQL, worked)).await?;
        let metric = |name: &str, source: &Value, operation: &str| {
            let numerator = json!({"fact_id": source["facts"][0]["id"], "operation": operation});
            json!({
                "name": name, "entity_id": entity, "kind": "simple", "numerator": numerator,
                "minimum_detectable_effect": 0.3,
            })
        };
        let earnings_metric = self.create("metrics", metric("Real earnings 1978", &earnings, "sum")).await?;
        let employed = self.create("metrics", metric("Employed in 1978", &jobs, "conversion")).await?;
        let collection = json!({"name": "Employment", "metric_ids": [employed]});
        let collection = self.create("collections", collection).await?;
        let earnings_source = id(&earnings);
        Ok(Definitions { entity, assignment_source, earnings_source, earnings_metric, collection })
    }

    /// From the draft to the running experiment; its number.
    async fn lead_to_start(&mut self, definitions: &Definitions) -> Result<u64, ApiError> {
        self.begin();
        let draft = json!({
            "key": trial::EXPERIMENT_KEY, "name": "Job training",
            "entity_id": definitions.entity, "assignment_source_id": definitions.assignment_source,
            "variations": variations(1, 1),
        });
        let experiment = self.api.post("experiments", draft).await?["id"].as_u64().unwrap_or_default();
        self.end().await;

        self.begin();
        let metric = json!({"metric_id": definitions.earnings_metric, "is_primary": true});
        self.api.post(&format!("experiments/{experiment}/metrics"), metric).await?;
        self.end().await;

        self.begin();
        let collection = json!({"collection_id": definitions.collection});
        self.api.post(&format!("experiments/{experiment}/collections"), collection).await?;
        self.end().await;

        self.begin();
        let edit = json!({
            "hypothesis": "Whoever is offered the programme earns more in the year after.",
            "assignments_start_date": trial::FIRST_DAY.to_string(),
        });
        self.api.patch(&format!("experiments/{experiment}"), edit).await?;
        self.end().await;

        self.begin();
        self.api.post(&format!("experiments/{experiment}/start"), json!({})).await?;
        self.end().await;
        Ok(experiment)
    }

    async fn run_the_pipeline(&mut self, experiment: u64, definitions: &Definitions) -> Result<(), ApiError> {
        self.begin();
        self.run(experiment).await?;
        self.end().await;
        say(tables::traffic(&self.results(experiment).await?.traffic));

        self.begin();
        let weights = json!({"variations": variations(260, 185)});
        self.api.patch(&format!("experiments/{experiment}"), weights).await?;
        self.end().await;

        self.begin();
        self.run(experiment).await?;
        self.end().await;
        say(tables::traffic(&self.results(experiment).await?.traffic));

        self.begin();
        let earnings = format!("fact_sources/{}", definitions.earnings_source);
        self.api.patch(&earnings, json!({"sql": BROKEN_SQL})).await?;
        self.run(experiment).await?;
        self.end().await;
        self.api.patch(&earnings, json!({"sql": EARNINGS_SQL})).await?;
        Ok(())
    }

    /// A full run, from the request to its end.
    async fn run(&self, experiment: u64) -> Result<(), ApiError> {
        let requested = self.api.post(&format!("experiments/{experiment}/runs"), json!({"mode": "full"})).await?;
        let path = format!("runs/{}", id(&requested));
        let bar = ProgressBar::on_terminal();
        let mut looks = time::interval(BETWEEN_LOOKS);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let run = self.api.get(&path).await?;
            if matches!(run["state"].as_str(), Some("queued" | "running")) {
                bar.draw(&run["progress"]);
                continue;
            }
            drop(bar);
            let reason = run["error"].as_str().map(|error| format!(": {error}")).unwrap_or_default();
            say(format_args!("run {}{reason}", run["state"].as_str().unwrap_or("without a state")));
            return Ok(());
        }
    }

    async fn results(&self, experiment: u64) -> Result<Results, ApiError> {
        let path = format!("experiments/{experiment}/results");
        let found = self.api.get(&path).await?;
        serde_json::from_value(found.clone()).map_err(|error| ApiError {
            request: format!("GET {path}"),
            status: None,
            problem: json!({"detail": format!("the answer is no results ({error}): {found}")}),
        })
    }

    /// Announces the next chapter.
    fn begin(&mut self) {
        let title =
            usize::try_from(self.revision).ok().and_then(|next| STORY.get(next)).map_or("", |chapter| chapter.title);
        self.revision += 1;
        say(format_args!("\n{}. {title}", self.revision));
    }

    /// Waits for the chapter's event, so that what is printed stands in order.
    async fn end(&self) {
        self.arrivals.wait_for(self.revision, PATIENCE).await;
    }

    async fn create(&self, what: &str, body: Value) -> Result<String, ApiError> {
        Ok(id(&self.api.post(what, body).await?))
    }
}

fn id(answer: &Value) -> String {
    answer["id"].as_str().unwrap_or_default().to_owned()
}

fn variations(control: u32, treatment: u32) -> Value {
    json!([
        {"key": "control", "name": "Control", "weight": control, "is_control": true},
        {"key": "treatment", "name": "Offered the programme", "weight": treatment},
    ])
}
