//! The list of experiments: what it may be filtered by, and how its words are kept.

use super::experiments::{self, COLUMNS, WORDS, decode, index_words};
use super::listing::{Condition, Found, Listed, Part, Wanted};
use super::{StoreError, Tx, Value, query_as, runs};
use crate::domain::clock::Timestamp;
use crate::domain::configuration::Configuration;
use crate::domain::experiment::Experiment;
use crate::domain::id::{AssignmentSourceId, EntityId, ExperimentId, MetricId, TeamId};
use crate::domain::search::{Search, Words};
use crate::domain::sort::{Place, Sort, SortBy, sort_name};
use crate::domain::standing::Standing;
use crate::domain::status::Status;
use crate::domain::summary::Summary;
use crate::params;

static LISTED: Listed = Listed { table: "experiments", columns: COLUMNS, words: &WORDS, is_put_away: true };

/// Which experiments are wanted; what is `None` or empty leaves all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub statuses: Vec<Status>,
    pub search: Option<Search>,
    pub owner: Option<String>,
    pub team: Option<String>,
    pub tag: Option<String>,
    /// Any of these.
    pub tags: Vec<String>,
    pub key: Option<String>,
    pub team_id: Option<TeamId>,
    pub entity_id: Option<EntityId>,
    pub assignment_source_id: Option<AssignmentSourceId>,
    /// Attached, alone or in a group.
    pub metric_id: Option<MetricId>,
    pub created_since: Option<Timestamp>,
    pub updated_since: Option<Timestamp>,
    pub with_archived: bool,
}

/// A page of those that are wanted.
pub fn list(
    tx: &mut dyn Tx,
    filter: &Filter,
    sort: Sort,
    after: Option<Place>,
    limit: u32,
) -> Result<Found<Experiment>, StoreError> {
    let since = match sort.by {
        SortBy::CreatedAt => filter.created_since,
        SortBy::UpdatedAt => filter.updated_since,
        SortBy::Id | SortBy::Name => None,
    };
    let since = since.map(Timestamp::as_micros);
    let wanted =
        Wanted { sort, after, limit, since, with_archived: filter.with_archived, conditions: filter.conditions() };
    LISTED.page(tx, &wanted, decode, |experiment| filter.is_met_by(&experiment.configuration))
}

/// The next `limit` of those that were deleted, in order of their numbers, whatever they are.
pub fn deleted(tx: &mut dyn Tx, after: ExperimentId, limit: u32) -> Result<Vec<Experiment>, StoreError> {
    let sql =
        format!("SELECT {COLUMNS} FROM experiments WHERE deleted_at IS NOT NULL AND id > $1 ORDER BY id LIMIT $2");
    query_as(tx, "experiments", &sql, params![after, limit], decode)
}

impl Filter {
    /// Whether it is wanted, by all that it says of itself.
    pub fn is_met(&self, experiment: &Experiment) -> bool {
        let configuration = &experiment.configuration;
        (self.statuses.is_empty() || self.statuses.contains(&experiment.status))
            && self.key.as_ref().is_none_or(|key| *key == configuration.key)
            && self.entity_id.is_none_or(|id| configuration.entity_id == Some(id))
            && self.created_since.is_none_or(|at| experiment.created_at >= at)
            && self.updated_since.is_none_or(|at| experiment.updated_at >= at)
            && self.is_met_by(configuration)
    }

    /// What the database can tell.
    fn conditions(&self) -> Vec<Condition> {
        // Whoever says exactly this has its words, too.
        let said = [&self.owner, &self.team, &self.tag].into_iter().flatten();
        let search = said.fold(self.search.clone().unwrap_or_default(), |search, text| search.and(Search::of(text)));
        let mut conditions = LISTED.searching(&search);
        if !self.statuses.is_empty() {
            let places: Vec<_> = (1..=self.statuses.len()).map(|place| format!("${place}")).collect();
            let is_one = format!("status IN ({})", places.join(", "));
            let statuses: Vec<_> = self.statuses.iter().map(|status| Value::from(status.as_str())).collect();
            let among = format!("SELECT id FROM experiments WHERE deleted_at IS NULL AND {is_one}");
            conditions
                .push(Condition::indexed(Part::new(format!("e.{is_one}"), &statuses), Part::new(among, &statuses)));
        }
        let refers = |column: &str, id: Value| {
            let among = format!("SELECT id FROM experiments WHERE {column} = $1");
            let values = [id];
            Condition::indexed(Part::new(format!("e.{column} = $1"), &values), Part::new(among, &values))
        };
        conditions.extend(self.key.as_ref().map(|key| refers("key", key.into())));
        conditions.extend(self.team_id.map(|id| refers("team_id", id.into())));
        conditions.extend(self.entity_id.map(|id| refers("entity_id", id.into())));
        conditions.extend(self.assignment_source_id.map(|id| refers("assignment_source_id", id.into())));
        conditions.extend(self.metric_id.map(|id| {
            let test = "EXISTS (SELECT 1 FROM experiment_metrics a WHERE a.experiment_id = e.id AND a.metric_id = $1)";
            let among = "SELECT experiment_id AS id FROM experiment_metrics WHERE metric_id = $1";
            Condition::indexed(Part::new(test, params![id]), Part::new(among, params![id]))
        }));
        let not_before =
            |column: &str, at: Timestamp| Condition::tested(Part::new(format!("e.{column} >= $1"), params![at]));
        conditions.extend(self.created_since.map(|at| not_before("created_at", at)));
        conditions.extend(self.updated_since.map(|at| not_before("updated_at", at)));
        conditions
    }

    /// What only the configuration tells.
    fn is_met_by(&self, configuration: &Configuration) -> bool {
        let is = |wanted: &Option<String>, text: &String| wanted.as_ref().is_none_or(|wanted| wanted == text);
        let has_any = self.tags.is_empty() || configuration.tags.iter().any(|tag| self.tags.contains(tag));
        is(&self.owner, &configuration.owner)
            && is(&self.team, &configuration.team)
            && has_any
            && self.tag.as_ref().is_none_or(|tag| configuration.tags.contains(tag))
    }
}

/// Fills in what the next experiments behind `after` are found and sorted by, and tells the last of them.
pub fn index(tx: &mut dyn Tx, after: ExperimentId, limit: u32) -> Result<Option<ExperimentId>, StoreError> {
    let lock = tx.dialect().for_update();
    let sql =
        format!("SELECT {COLUMNS} FROM experiments WHERE id > $1 AND deleted_at IS NULL ORDER BY id LIMIT $2{lock}");
    let found = query_as(tx, "experiments", &sql, params![after, limit], decode)?;
    for experiment in &found {
        let (id, configuration) = (experiment.id, &experiment.configuration);
        let words = configuration.words();
        tx.execute(
            "UPDATE experiments SET sort_name = $2, words = $3 WHERE id = $1",
            params![id, sort_name(&configuration.name), words.as_text()],
        )?;
        index_words(tx, id, &Words::default(), &words)?;
        summarize(tx, experiment)?;
    }
    Ok(found.last().map(|experiment| experiment.id))
}

/// Of results from before there were summaries.
fn summarize(tx: &mut dyn Tx, experiment: &Experiment) -> Result<(), StoreError> {
    let run = experiment.results_run_id.filter(|_| experiment.standing.summary.is_none());
    match run.map_or(Ok(None), |run| runs::results(tx, run))? {
        Some(results) => {
            let summary = Some(Summary::of(&results));
            experiments::set_standing(tx, experiment.id, &Standing { summary, ..experiment.standing.clone() })
        }
        None => Ok(()),
    }
}
