//! Experiments, and which metrics and groups are attached to them.

use super::engine::rows::Rows;
use super::engine::tolerant::Kept;
use super::engine::value::{to_json, to_kept_json};
use super::listing::WordIndex;
use super::{Row, StoreError, Tx, Value, Write, query_as, query_one};
use crate::domain::clock::Timestamp;
use crate::domain::configuration::Configuration;
use crate::domain::experiment::{AttachedMetric, Experiment};
use crate::domain::id::{CollectionId, ExperimentId, GroupId, MetricId, ScheduleId};
use crate::domain::metric::MetricSettings;
use crate::domain::occurrence::{Occurrence, SHARES, STRIDE, Upcoming};
use crate::domain::search::Words;
use crate::domain::sort::sort_name;
use crate::domain::standing::Standing;
use crate::domain::status::Status;
use crate::params;

pub(super) const COLUMNS: &str = "id, status, configuration, decision, revision, version, is_traffic_imbalance, results_run_id, \
                       results_updated_at, next_run_at, created_at, updated_at, standing, status_changed_at, due_at";

/// By what they are found.
pub(super) static WORDS: WordIndex = WordIndex {
    table: "experiment_words",
    of_word: "experiment_id",
    rows: Rows::into("experiment_words", [("word", "TEXT"), ("experiment_id", "BIGINT")], "ON CONFLICT DO NOTHING"),
};

/// The column whose unknown fields are kept.
const CONFIGURATION: &str = "experiments.configuration";

pub(super) fn decode(row: &Row) -> Result<Experiment, StoreError> {
    decode_kept(row).map(|(experiment, _)| experiment)
}

fn decode_kept(row: &Row) -> Result<(Experiment, Option<Kept>), StoreError> {
    let id = row.get("id")?;
    let (configuration, kept) = row.kept_json("configuration")?;
    let experiment = Experiment {
        id,
        configuration,
        status: row.word("status", Status::parse)?,
        decision: row.optional_json("decision")?,
        revision: row.get("revision")?,
        version: row.get("version")?,
        is_traffic_imbalance: row.get("is_traffic_imbalance")?,
        results_run_id: row.get("results_run_id")?,
        results_updated_at: row.get("results_updated_at")?,
        next_run_at: row.get("next_run_at")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
        standing: row.json("standing")?,
        status_changed_at: row.get("status_changed_at")?,
        due_at: row.get("due_at")?,
    };
    Ok((experiment, kept))
}

/// Stores a new draft at revision 1 and gives its number.
pub fn insert(tx: &mut dyn Tx, configuration: &Configuration, now: Timestamp) -> Result<ExperimentId, StoreError> {
    let sql = "INSERT INTO experiments (key, status, configuration, revision, version, is_traffic_imbalance, created_at, updated_at, \
               status_changed_at, entity_id, assignment_source_id, schedule_id, is_archived, entry_fact_source_id, team_id, \
               sort_name, words) VALUES ($1, 'draft', $2, 1, 1, 0, $3, $3, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id";
    let c = configuration;
    let entry = c.entry_point.map(|entry_point| entry_point.fact_source_id);
    let words = c.words();
    let params = params![
        &c.key,
        to_json(c)?,
        now,
        c.entity_id,
        c.assignment_source_id,
        c.schedule_id,
        c.is_archived,
        entry,
        c.team_id,
        sort_name(&c.name),
        words.as_text()
    ];
    let id = query_one(tx, "experiments", sql, params, |row| row.get("id"))?;
    let id = id.ok_or_else(|| StoreError::Failed("the database gave no number for the experiment".to_owned()))?;
    index_words(tx, id, &Words::default(), &words)?;
    Ok(id)
}

pub fn update(tx: &mut dyn Tx, experiment: &Experiment) -> Result<(), StoreError> {
    updating(tx, experiment, Touched::ALL)?.execute(tx)
}

/// Which of the columns that few changes touch this one has. Only these are set: SQLite writes a column's index anew whenever
/// the column is set, whatever to, and most changes are edits of texts.
#[derive(Debug, Clone, Copy)]
pub struct Touched {
    pub key: bool,
    pub due_at: bool,
    /// Where it stands by its runs.
    pub standing: bool,
    pub status: bool,
    /// The texts that it is found by.
    pub words: bool,
    /// What it refers to, and whether it is archived.
    pub rare: bool,
}

impl Touched {
    const ALL: Self = Self { key: true, due_at: true, standing: true, status: true, words: true, rare: true };
}

/// Writes everything that a change may have touched.
pub fn updating(tx: &mut dyn Tx, experiment: &Experiment, touched: Touched) -> Result<Write, StoreError> {
    let c = &experiment.configuration;
    let configuration = to_kept_json(c, tx.known().kept(CONFIGURATION, experiment.id))?;
    let decision = experiment.decision.as_ref().map(to_json).transpose()?;
    let mut values = params![
        experiment.id,
        configuration,
        decision,
        experiment.revision,
        experiment.version,
        experiment.is_traffic_imbalance,
        experiment.results_run_id,
        experiment.results_updated_at,
        experiment.updated_at,
    ]
    .to_vec();
    let mut sql = "UPDATE experiments SET configuration = $2, decision = $3, revision = $4, version = $5, \
               is_traffic_imbalance = $6, results_run_id = $7, results_updated_at = $8, updated_at = $9"
        .to_owned();
    let mut set = |column: &str, value: Value| {
        values.push(value);
        sql.push_str(&format!(", {column} = ${}", values.len()));
    };
    if touched.key {
        set("key", Value::from(&c.key));
    }
    if touched.due_at {
        set("due_at", Value::from(experiment.due_at));
    }
    if touched.standing {
        set("standing", Value::from(to_json(&experiment.standing)?));
    }
    if touched.status {
        set("status", Value::from(experiment.status.as_str()));
        set("status_changed_at", Value::from(experiment.status_changed_at));
    }
    if touched.words {
        set("sort_name", Value::from(sort_name(&c.name)));
        set("words", Value::from(c.words().as_text()));
    }
    if touched.rare {
        set("entity_id", Value::from(c.entity_id));
        set("assignment_source_id", Value::from(c.assignment_source_id));
        set("schedule_id", Value::from(c.schedule_id));
        set("team_id", Value::from(c.team_id));
        set("is_archived", Value::from(c.is_archived));
        set("entry_fact_source_id", Value::from(c.entry_point.map(|entry_point| entry_point.fact_source_id)));
    }
    Ok(Write::new(sql + " WHERE id = $1", values))
}

pub fn get(tx: &mut dyn Tx, id: ExperimentId) -> Result<Option<Experiment>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM experiments WHERE id = $1 AND deleted_at IS NULL");
    query_one(tx, "experiments", &sql, params![id], decode)
}

/// The same, though it may have been deleted.
pub fn get_deleted_too(tx: &mut dyn Tx, id: ExperimentId) -> Result<Option<Experiment>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM experiments WHERE id = $1");
    query_one(tx, "experiments", &sql, params![id], decode)
}

pub fn number_of_key(tx: &mut dyn Tx, key: &str) -> Result<Option<ExperimentId>, StoreError> {
    let sql = "SELECT id FROM experiments WHERE key = $1 AND deleted_at IS NULL";
    query_one(tx, "experiments", sql, params![key], |row| row.get("id"))
}

/// The same, locked against other writers until the transaction ends. What this program does not know of it is kept.
pub fn lock(tx: &mut dyn Tx, id: ExperimentId) -> Result<Option<Experiment>, StoreError> {
    let lock = tx.dialect().for_update();
    let sql = format!("SELECT {COLUMNS} FROM experiments WHERE id = $1 AND deleted_at IS NULL{lock}");
    let found = query_one(tx, "experiments", &sql, params![id], decode_kept)?;
    Ok(found.map(|(experiment, kept)| {
        tx.known().keep(CONFIGURATION, id, kept);
        experiment
    }))
}

/// Writes by which words it is found, where they have changed.
pub fn index_words(tx: &mut dyn Tx, id: ExperimentId, before: &Words, after: &Words) -> Result<(), StoreError> {
    WORDS.write(tx, &Value::Int(id), before, after)
}

/// Its row, history and events stay; its key becomes free, and it keeps no definition from being deleted.
pub fn mark_deleted(tx: &mut dyn Tx, id: ExperimentId, now: Timestamp) -> Result<(), StoreError> {
    let sql = "SELECT id, words FROM experiments WHERE id = $1";
    let words = query_one(tx, "experiments", sql, params![id], |row| Ok(Words::of([row.text("words")?])))?;
    index_words(tx, id, &words.unwrap_or_default(), &Words::default())?;
    tx.execute(
        "UPDATE experiments SET deleted_at = $2, next_run_at = NULL, due_at = NULL, entity_id = NULL, \
         assignment_source_id = NULL, schedule_id = NULL, entry_fact_source_id = NULL, team_id = NULL WHERE id = $1",
        params![id, now],
    )?;
    tx.execute("DELETE FROM experiment_metrics WHERE experiment_id = $1", params![id])?;
    tx.execute("DELETE FROM experiment_groups WHERE experiment_id = $1", params![id]).map(drop)
}

/// Writes where it stands by its runs.
pub fn set_standing(tx: &mut dyn Tx, id: ExperimentId, standing: &Standing) -> Result<(), StoreError> {
    tx.execute("UPDATE experiments SET standing = $2 WHERE id = $1", params![id, to_json(standing)?]).map(drop)
}

/// Notes when something is due by date.
pub fn set_due(tx: &mut dyn Tx, id: ExperimentId, at: Option<Timestamp>) -> Result<(), StoreError> {
    tx.execute("UPDATE experiments SET due_at = $2 WHERE id = $1", params![id, at]).map(drop)
}

/// Experiments of which something is due by date, the longest due first.
pub fn due_by_date(tx: &mut dyn Tx, now: Timestamp, limit: u32) -> Result<Vec<ExperimentId>, StoreError> {
    let sql = "SELECT id FROM experiments WHERE due_at <= $1 AND deleted_at IS NULL ORDER BY due_at LIMIT $2";
    query_as(tx, "experiments", sql, params![now, limit], |row| row.get("id"))
}

pub fn set_next_run(tx: &mut dyn Tx, id: ExperimentId, at: Option<Timestamp>) -> Result<(), StoreError> {
    tx.execute("UPDATE experiments SET next_run_at = $2 WHERE id = $1", params![id, at]).map(drop)
}

/// Moves the next run of every experiment that follows a schedule, where it has one: to what [`Upcoming::of`] says of it.
pub fn reschedule(
    tx: &mut dyn Tx,
    schedule: ScheduleId,
    upcoming: Upcoming,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let run = |at: &str, spread: &str| {
        format!("CAST({at} AS BIGINT) + CAST({spread} AS BIGINT) * (id % {SHARES} * {STRIDE} % {SHARES}) / {SHARES}")
    };
    let (last, next) = (run("$3", "$4"), run("$5", "$6"));
    let sql = format!(
        "UPDATE experiments SET next_run_at = CASE WHEN {last} > $2 THEN {last} ELSE {next} END \
         WHERE schedule_id = $1 AND next_run_at IS NOT NULL"
    );
    let parts = |of: Option<Occurrence>| (of.map(|it| it.at), of.map_or(0, Occurrence::spread_micros));
    let (last, next) = (parts(upcoming.last), parts(upcoming.next));
    tx.execute(&sql, params![schedule, now, last.0, last.1, next.0, next.1])
}

pub fn next_run(tx: &mut dyn Tx, id: ExperimentId) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT next_run_at FROM experiments WHERE id = $1";
    Ok(query_one(tx, "experiments", sql, params![id], |row| row.get("next_run_at"))?.flatten())
}

/// Experiments whose scheduled run is due, the longest due first.
pub fn due_for_run(tx: &mut dyn Tx, now: Timestamp, limit: u32) -> Result<Vec<ExperimentId>, StoreError> {
    let sql = "SELECT id FROM experiments WHERE next_run_at <= $1 AND deleted_at IS NULL ORDER BY next_run_at LIMIT $2";
    query_as(tx, "experiments", sql, params![now, limit], |row| row.get("id"))
}

pub fn attached_metrics(tx: &mut dyn Tx, id: ExperimentId) -> Result<Vec<AttachedMetric>, StoreError> {
    let sql = "SELECT m.metric_id, m.group_id, m.is_primary, m.settings, d.name FROM experiment_metrics m JOIN metrics d ON d.id = m.metric_id \
               WHERE m.experiment_id = $1 ORDER BY m.position, m.metric_id";
    query_as(tx, "experiment_metrics", sql, params![id], |row| {
        let group: String = row.get("group_id")?;
        let group_id = (!group.is_empty()).then(|| group.parse()).transpose();
        Ok(AttachedMetric {
            metric_id: row.get("metric_id")?,
            name: row.get("name")?,
            group_id: group_id.map_err(|reason| row.corrupt("group_id", reason))?,
            is_primary: row.get("is_primary")?,
            settings: row.optional_json("settings")?.unwrap_or_default(),
        })
    })
}

/// The next experiments that any of these metrics is attached to, in order of their numbers.
pub fn with_metrics(tx: &mut dyn Tx, metrics: &[MetricId], limit: u32) -> Result<Vec<ExperimentId>, StoreError> {
    if metrics.is_empty() {
        return Ok(Vec::new());
    }
    let places: Vec<_> = (2..metrics.len() + 2).map(|place| format!("${place}")).collect();
    let sql = format!(
        "SELECT DISTINCT experiment_id FROM experiment_metrics WHERE metric_id IN ({}) ORDER BY experiment_id LIMIT $1",
        places.join(", ")
    );
    let values: Vec<_> = std::iter::once(limit.into()).chain(metrics.iter().map(|id| Value::from(*id))).collect();
    query_as(tx, "experiment_metrics", &sql, &values, |row| row.get("experiment_id"))
}

fn group_text(group: Option<GroupId>) -> String {
    group.map_or_else(String::new, |group| group.to_string())
}

/// Attaches at the end of the list.
pub fn attach(
    tx: &mut dyn Tx,
    id: ExperimentId,
    metric: MetricId,
    group: Option<GroupId>,
    is_primary: bool,
    settings: &MetricSettings,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO experiment_metrics (experiment_id, group_id, metric_id, position, is_primary, settings) \
         SELECT $1, $2, $3, COALESCE(MAX(position), 0) + 1, $4, $5 FROM experiment_metrics WHERE experiment_id = $1",
        params![id, group_text(group), metric, is_primary, to_json(settings)?],
    )
    .map(drop)
}

/// Writes what the experiment sets for an attached metric.
pub fn set_settings(
    tx: &mut dyn Tx,
    id: ExperimentId,
    attached: &AttachedMetric,
    settings: &MetricSettings,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE experiment_metrics SET settings = $4 WHERE experiment_id = $1 AND metric_id = $2 AND group_id = $3",
        params![id, attached.metric_id, group_text(attached.group_id), to_json(settings)?],
    )
    .map(drop)
}

pub fn detach(tx: &mut dyn Tx, id: ExperimentId, metric: MetricId, group: Option<GroupId>) -> Result<(), StoreError> {
    let sql = "DELETE FROM experiment_metrics WHERE experiment_id = $1 AND metric_id = $2 AND group_id = $3";
    tx.execute(sql, params![id, metric, group_text(group)]).map(drop)
}

/// Makes this the primary metric, or `None`.
pub fn set_primary(tx: &mut dyn Tx, id: ExperimentId, metric: Option<&AttachedMetric>) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE experiment_metrics SET is_primary = 0 WHERE experiment_id = $1 AND is_primary = 1",
        params![id],
    )?;
    if let Some(metric) = metric {
        tx.execute(
            "UPDATE experiment_metrics SET is_primary = 1 WHERE experiment_id = $1 AND metric_id = $2 AND group_id = $3",
            params![id, metric.metric_id, group_text(metric.group_id)],
        )?;
    }
    Ok(())
}

/// A collection's copy in an experiment.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Group {
    pub id: GroupId,
    pub collection_id: CollectionId,
    pub name: String,
}

pub fn groups(tx: &mut dyn Tx, id: ExperimentId) -> Result<Vec<Group>, StoreError> {
    let sql = "SELECT id, collection_id, name FROM experiment_groups WHERE experiment_id = $1 ORDER BY id";
    query_as(tx, "experiment_groups", sql, params![id], |row| {
        Ok(Group { id: row.get("id")?, collection_id: row.get("collection_id")?, name: row.get("name")? })
    })
}

pub fn insert_group(tx: &mut dyn Tx, id: ExperimentId, group: &Group) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO experiment_groups (id, experiment_id, collection_id, name) VALUES ($1, $2, $3, $4)",
        params![group.id, id, group.collection_id, &group.name],
    )
    .map(drop)
}

pub fn delete_group(tx: &mut dyn Tx, id: ExperimentId, group: GroupId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM experiment_metrics WHERE experiment_id = $1 AND group_id = $2", params![id, group])?;
    tx.execute("DELETE FROM experiment_groups WHERE experiment_id = $1 AND id = $2", params![id, group]).map(drop)
}
