//! A metric collection: a named, ordered list of metrics. Attaching one copies it as a group;
//! later edits of the collection do not touch experiments.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::{FieldErrors, Refusal, Validate};
use super::id::{MetricId, TeamId};
use super::schema;

pub const MOST_METRICS: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Collection {
    #[schemars(schema_with = "schema::name")]
    pub name: String,
    #[serde(default)]
    #[schemars(schema_with = "schema::text::<10_000>")]
    pub description: String,
    #[serde(default)]
    pub team_id: Option<TeamId>,
    #[schemars(length(min = 1, max = MOST_METRICS), extend("uniqueItems" = true))]
    pub metric_ids: Vec<MetricId>,
}

impl Validate for Collection {
    fn validate(&self) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        errors.name("name", &self.name);
        errors.text("description", &self.description, 10_000);
        let count = self.metric_ids.len();
        errors.check((1..=MOST_METRICS).contains(&count), "metric_ids", || {
            format!("{count} were given; a collection holds from 1 to {MOST_METRICS} metrics")
        });
        // Too many are not compared with each other: that is quadratic.
        let compared = if count <= MOST_METRICS { &self.metric_ids[..] } else { &[] };
        for (i, id) in compared.iter().enumerate() {
            errors.check(!compared[..i].contains(id), &format!("metric_ids[{i}]"), || format!("{id} stands twice"));
        }
        errors.finish()
    }
}
