//! Definitions: entities, warehouses, sources, metrics, collections, schedules. All are named JSON bodies with a version;
//! each kind says in [`Stored`] which table it lies in and which columns refer to others.

use std::collections::BTreeSet;
use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::engine::rows::Rows;
use super::engine::tolerant::Kept;
use super::engine::value::{to_json, to_kept_json};
use super::listing::WordIndex;
use super::{FromCell, Row, StoreError, Tx, Value, query_as, query_one, settings};
use crate::domain::clock::Timestamp;
use crate::domain::collection::Collection;
use crate::domain::definition::{AssignmentSource, Entity, FactSource, Schedule, Team};
use crate::domain::error::LONGEST_NAME;
use crate::domain::id::{
    AssignmentSourceId, CollectionId, EntityId, FactId, FactSourceId, MetricId, PersonId, ScheduleId, TeamId, TypedId,
    WarehouseId,
};
use crate::domain::metric::Metric;
use crate::domain::person::Person;
use crate::domain::search::Words;
use crate::domain::sort::sort_name;
use crate::domain::warehouse::Warehouse;
use crate::params;

/// A kind of definition as it is stored.
pub trait Stored: Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync + 'static {
    type Id: Copy + Display + From<u128> + TypedId + FromCell + Into<Value> + Send + Sync + 'static;
    const TABLE: &'static str;

    /// What may refer to one: the kind, and where it stands, as `name FROM table WHERE column`.
    const USERS: &'static [(&'static str, &'static str)] = &[];

    /// Columns that its list may be filtered by.
    const FILTERS: &'static [&'static str] = &[];

    fn name(&self) -> &str;

    /// What it is found by.
    fn words(&self) -> Words {
        Words::of([self.name()])
    }

    /// Columns beyond the common ones: what refers to other tables, and what is looked up.
    fn references(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    /// Rows in other tables that go with this one.
    fn save_parts(&self, _tx: &mut dyn Tx, _id: Self::Id) -> Result<(), StoreError> {
        Ok(())
    }

    fn delete_parts(_tx: &mut dyn Tx, _id: Self::Id) -> Result<(), StoreError> {
        Ok(())
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Definition<D: Stored> {
    pub id: D::Id,
    /// Among those of its kind, from 1 on; it never changes.
    pub number: i64,
    pub body: D,
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

pub(super) const COLUMNS: &str = "id, number, body, version, created_at, updated_at";

/// By what they are found, all kinds together.
pub(super) static WORDS: WordIndex = WordIndex {
    table: "definition_words",
    of_word: "definition_id",
    rows: Rows::into("definition_words", [("word", "TEXT"), ("definition_id", "TEXT")], "ON CONFLICT DO NOTHING"),
};

pub(super) fn decode<D: Stored>(row: &Row) -> Result<Definition<D>, StoreError> {
    decode_kept(row).map(|(definition, _)| definition)
}

fn decode_kept<D: Stored>(row: &Row) -> Result<(Definition<D>, Option<Kept>), StoreError> {
    let id = row.get("id")?;
    let (body, kept) = row.kept_json("body")?;
    let (version, created_at, updated_at) = (row.get("version")?, row.get("created_at")?, row.get("updated_at")?);
    Ok((Definition { id, number: row.get("number")?, body, version, created_at, updated_at }, kept))
}

pub fn insert<D: Stored>(tx: &mut dyn Tx, definition: &Definition<D>) -> Result<(), StoreError> {
    let mut columns = vec!["id", "number", "name", "body", "version", "created_at", "updated_at", "sort_name"];
    let mut values = vec![
        definition.id.into(),
        Value::from(definition.number),
        Value::from(definition.body.name()),
        Value::from(to_json(&definition.body)?),
        Value::from(definition.version),
        Value::from(definition.created_at),
        Value::from(definition.updated_at),
        Value::from(sort_name(definition.body.name())),
    ];
    for (column, value) in definition.body.references() {
        columns.push(column);
        values.push(value);
    }
    let places: Vec<_> = (1..=values.len()).map(|i| format!("${i}")).collect();
    let sql = format!("INSERT INTO {} ({}) VALUES ({})", D::TABLE, columns.join(", "), places.join(", "));
    tx.execute(&sql, &values)?;
    index_words(tx, definition.id, Some(&definition.body))?;
    definition.body.save_parts(tx, definition.id)
}

pub fn update<D: Stored>(tx: &mut dyn Tx, definition: &Definition<D>) -> Result<(), StoreError> {
    let columns = ["name = $2", "body = $3", "version = $4", "updated_at = $5", "sort_name = $6"];
    let mut columns = columns.map(str::to_owned).to_vec();
    let mut values = vec![
        definition.id.into(),
        Value::from(definition.body.name()),
        Value::from(to_kept_json(&definition.body, tx.known().kept(D::TABLE, definition.id))?),
        Value::from(definition.version),
        Value::from(definition.updated_at),
        Value::from(sort_name(definition.body.name())),
    ];
    for (column, value) in definition.body.references() {
        values.push(value);
        columns.push(format!("{column} = ${}", values.len()));
    }
    definition.body.save_parts(tx, definition.id)?;
    index_words(tx, definition.id, Some(&definition.body))?;
    tx.execute(&format!("UPDATE {} SET {} WHERE id = $1", D::TABLE, columns.join(", ")), &values).map(drop)
}

pub fn get<D: Stored>(tx: &mut dyn Tx, id: D::Id) -> Result<Option<Definition<D>>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM {} WHERE id = $1", D::TABLE);
    query_one(tx, D::TABLE, &sql, &[id.into()], decode)
}

/// The same, locked against other writers until the transaction ends. What this program does not know of it is kept.
pub fn lock<D: Stored>(tx: &mut dyn Tx, id: D::Id) -> Result<Option<Definition<D>>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM {} WHERE id = $1{}", D::TABLE, tx.dialect().for_update());
    let found = query_one(tx, D::TABLE, &sql, &[id.into()], decode_kept)?;
    Ok(found.map(|(definition, kept)| {
        tx.known().keep(D::TABLE, id, kept);
        definition
    }))
}

/// All of a kind, in order of their ids.
pub fn all<D: Stored>(tx: &mut dyn Tx) -> Result<Vec<Definition<D>>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM {} ORDER BY id", D::TABLE);
    query_as(tx, D::TABLE, &sql, &[], decode)
}

/// The one that is called so, locked against other writers until the transaction ends.
pub fn lock_named<D: Stored>(tx: &mut dyn Tx, name: &str) -> Result<Option<Definition<D>>, StoreError> {
    let sql = format!("SELECT id FROM {} WHERE name = $1", D::TABLE);
    let id: Option<D::Id> = query_one(tx, D::TABLE, &sql, params![name], |row| row.get("id"))?;
    id.map_or(Ok(None), |id| lock(tx, id))
}

/// Those that a sync keeps; of kinds that have the column.
pub fn managed<D: Stored>(tx: &mut dyn Tx, sync_tag: &str) -> Result<Vec<Definition<D>>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM {} WHERE sync_tag = $1 ORDER BY id", D::TABLE);
    query_as(tx, D::TABLE, &sql, params![sync_tag], decode)
}

/// The metrics that are of a fact.
pub fn metrics_of_fact(tx: &mut dyn Tx, fact: FactId) -> Result<Vec<(MetricId, String)>, StoreError> {
    let sql = "SELECT m.id, m.name FROM metric_facts u JOIN metrics m ON m.id = u.metric_id WHERE u.fact_id = $1 ORDER BY m.id";
    query_as(tx, "metrics", sql, params![fact], |row| Ok((row.get("id")?, row.get("name")?)))
}

pub fn of_number<D: Stored>(tx: &mut dyn Tx, number: i64) -> Result<Option<Definition<D>>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM {} WHERE number = $1", D::TABLE);
    query_one(tx, D::TABLE, &sql, params![number], decode)
}

/// Which numbers those of a kind have.
pub fn numbers<D: Stored>(tx: &mut dyn Tx) -> Result<Vec<(D::Id, i64)>, StoreError> {
    let sql = format!("SELECT id, number FROM {} ORDER BY id", D::TABLE);
    query_as(tx, D::TABLE, &sql, &[], |row| Ok((row.get("id")?, row.get("number")?)))
}

/// `false` if there is none. Fails with [`StoreError::Reference`] while something refers to it.
pub fn delete<D: Stored>(tx: &mut dyn Tx, id: D::Id) -> Result<bool, StoreError> {
    D::delete_parts(tx, id)?;
    index_words::<D>(tx, id, None)?;
    Ok(tx.execute(&format!("DELETE FROM {} WHERE id = $1", D::TABLE), &[id.into()])? == 1)
}

/// Writes by which words a definition is found, which is in its table; `None`: by none any more.
pub(super) fn index_words<D: Stored>(tx: &mut dyn Tx, id: D::Id, body: Option<&D>) -> Result<(), StoreError> {
    let sql = format!("SELECT id, words FROM {} WHERE id = $1", D::TABLE);
    let before = query_one(tx, D::TABLE, &sql, &[id.into()], |row| Ok(Words::of([row.text("words")?])))?;
    let (before, after) = (before.unwrap_or_default(), body.map(Stored::words).unwrap_or_default());
    if before == after {
        return Ok(());
    }
    WORDS.write(tx, &id.into(), &before, &after)?;
    let sql = format!("UPDATE {} SET words = $2 WHERE id = $1", D::TABLE);
    tx.execute(&sql, &[id.into(), after.as_text().into()]).map(drop)
}

/// The next number of this kind.
pub fn next_number<D: Stored>(tx: &mut dyn Tx) -> Result<i64, StoreError> {
    settings::next_number(tx, &format!("numbers_of_{}", D::TABLE))
}

/// What refers to a definition: of each its kind and its name, so many at most.
pub fn users<D: Stored>(tx: &mut dyn Tx, id: D::Id, limit: u32) -> Result<Vec<(String, String)>, StoreError> {
    let parts: Vec<_> = D::USERS.iter().map(|(kind, from)| format!("SELECT '{kind}' AS kind, {from} = $1")).collect();
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT DISTINCT kind, name FROM ({}) AS users ORDER BY kind, name LIMIT $2",
        parts.join(" UNION ALL ")
    );
    query_as(tx, D::TABLE, &sql, &[id.into(), limit.into()], |row| Ok((row.get("kind")?, row.get("name")?)))
}

/// The metrics that every new experiment of the entity gets, the oldest first.
pub fn guardrails(tx: &mut dyn Tx, entity: EntityId) -> Result<Vec<Definition<Metric>>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM metrics WHERE entity_id = $1 AND is_guardrail = 1 ORDER BY id");
    query_as(tx, "metrics", &sql, params![entity], decode)
}

/// The source that holds a fact.
pub fn source_of_fact(tx: &mut dyn Tx, fact: FactId) -> Result<Option<Definition<FactSource>>, StoreError> {
    let sql = "SELECT fact_source_id FROM facts WHERE id = $1";
    let source: Option<FactSourceId> = query_one(tx, "facts", sql, params![fact], |row| row.get("fact_source_id"))?;
    source.map_or(Ok(None), |id| get(tx, id))
}

/// The metrics of any fact of a source.
pub fn metrics_of_source(tx: &mut dyn Tx, source: FactSourceId) -> Result<Vec<Definition<Metric>>, StoreError> {
    let sql =
        "SELECT DISTINCT u.metric_id FROM metric_facts u JOIN facts f ON f.id = u.fact_id WHERE f.fact_source_id = $1";
    let ids: Vec<MetricId> = query_as(tx, "metric_facts", sql, params![source], |row| row.get("metric_id"))?;
    let mut metrics = Vec::new();
    for id in ids {
        metrics.extend(get(tx, id)?);
    }
    Ok(metrics)
}

impl Stored for Entity {
    type Id = EntityId;
    const TABLE: &'static str = "entities";

    const USERS: &'static [(&'static str, &'static str)] = &[
        ("assignment source", "name FROM assignment_sources WHERE entity_id"),
        ("metric", "name FROM metrics WHERE entity_id"),
        ("experiment", "key AS name FROM experiments WHERE deleted_at IS NULL AND entity_id"),
        // It names its entities in its body alone.
        ("fact source", "name FROM fact_sources WHERE CASE WHEN body LIKE '%' || $1 || '%' THEN $1 END"),
    ];

    fn name(&self) -> &str {
        &self.name
    }
}

impl Stored for Warehouse {
    type Id = WarehouseId;
    const TABLE: &'static str = "warehouses";

    const USERS: &'static [(&'static str, &'static str)] = &[
        ("assignment source", "name FROM assignment_sources WHERE warehouse_id"),
        ("fact source", "name FROM fact_sources WHERE warehouse_id"),
    ];

    fn name(&self) -> &str {
        &self.name
    }
}

impl Stored for Team {
    type Id = TeamId;
    const TABLE: &'static str = "teams";

    const USERS: &'static [(&'static str, &'static str)] = &[
        ("metric", "name FROM metrics WHERE team_id"),
        ("collection", "name FROM collections WHERE team_id"),
        ("experiment", "key AS name FROM experiments WHERE deleted_at IS NULL AND team_id"),
    ];

    fn name(&self) -> &str {
        &self.name
    }

    fn words(&self) -> Words {
        Words::of([self.name()]).and_of_long(&self.description)
    }
}

/// Their links and sessions go with them.
impl Stored for Person {
    type Id = PersonId;
    const TABLE: &'static str = "people";

    fn name(&self) -> &str {
        &self.name
    }
}

impl Stored for Schedule {
    type Id = ScheduleId;
    const TABLE: &'static str = "schedules";

    const USERS: &'static [(&'static str, &'static str)] =
        &[("experiment", "key AS name FROM experiments WHERE deleted_at IS NULL AND schedule_id")];

    fn name(&self) -> &str {
        &self.name
    }
}

impl Stored for AssignmentSource {
    type Id = AssignmentSourceId;
    const TABLE: &'static str = "assignment_sources";
    const FILTERS: &'static [&'static str] = &["warehouse_id", "entity_id"];

    const USERS: &'static [(&'static str, &'static str)] =
        &[("experiment", "key AS name FROM experiments WHERE deleted_at IS NULL AND assignment_source_id")];

    fn name(&self) -> &str {
        &self.name
    }

    fn references(&self) -> Vec<(&'static str, Value)> {
        vec![("warehouse_id", self.warehouse_id.into()), ("entity_id", self.entity_id.into())]
    }
}

impl Stored for FactSource {
    type Id = FactSourceId;
    const TABLE: &'static str = "fact_sources";
    const FILTERS: &'static [&'static str] = &["warehouse_id"];

    const USERS: &'static [(&'static str, &'static str)] = &[
        (
            "metric",
            "m.name AS name FROM metrics m JOIN metric_facts u ON u.metric_id = m.id JOIN facts f ON f.id = u.fact_id WHERE f.fact_source_id",
        ),
        ("experiment", "key AS name FROM experiments WHERE deleted_at IS NULL AND entry_fact_source_id"),
    ];

    fn name(&self) -> &str {
        &self.name
    }

    fn words(&self) -> Words {
        Words::of([&self.name].into_iter().chain(self.facts.iter().map(|fact| &fact.name)).map(String::as_str))
    }

    fn references(&self) -> Vec<(&'static str, Value)> {
        let sync_tag = self.managed_by.as_ref().map(|managed| managed.sync_tag.as_str());
        vec![("warehouse_id", self.warehouse_id.into()), ("sync_tag", sync_tag.into())]
    }

    /// Facts that left the body leave the table, which their metrics forbid.
    fn save_parts(&self, tx: &mut dyn Tx, id: FactSourceId) -> Result<(), StoreError> {
        let sql = "SELECT id FROM facts WHERE fact_source_id = $1";
        let stored: Vec<FactId> = query_as(tx, "facts", sql, params![id], |row| row.get("id"))?;
        for gone in stored.iter().filter(|stored| self.facts.iter().all(|fact| fact.id != Some(**stored))) {
            tx.execute("DELETE FROM facts WHERE id = $1", params![*gone])?;
        }
        // Names that change hands are free first: what stands there meanwhile is longer than any name may be.
        let filler = "-".repeat(LONGEST_NAME + 1);
        tx.execute("UPDATE facts SET name = $2 || name WHERE fact_source_id = $1", params![id, filler])?;
        for fact in &self.facts {
            tx.execute(
                "INSERT INTO facts (id, fact_source_id, name) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET name = excluded.name",
                params![fact.id, id, &fact.name],
            )?;
        }
        Ok(())
    }

    fn delete_parts(tx: &mut dyn Tx, id: FactSourceId) -> Result<(), StoreError> {
        tx.execute("DELETE FROM facts WHERE fact_source_id = $1", params![id]).map(drop)
    }
}

impl Stored for Metric {
    type Id = MetricId;
    const TABLE: &'static str = "metrics";
    const FILTERS: &'static [&'static str] = &["entity_id", "team_id"];

    const USERS: &'static [(&'static str, &'static str)] = &[
        (
            "collection",
            "c.name AS name FROM collections c JOIN collection_metrics u ON u.collection_id = c.id WHERE u.metric_id",
        ),
        (
            "experiment",
            "e.key AS name FROM experiments e JOIN experiment_metrics u ON u.experiment_id = e.id WHERE e.deleted_at IS NULL AND u.metric_id",
        ),
    ];

    fn name(&self) -> &str {
        &self.name
    }

    fn words(&self) -> Words {
        Words::of([self.name()]).and_of_long(&self.description)
    }

    fn references(&self) -> Vec<(&'static str, Value)> {
        let denominator = self.denominator.as_ref().map(|denominator| denominator.fact_id);
        let sync_tag = self.managed_by.as_ref().map(|managed| managed.sync_tag.as_str());
        vec![
            ("entity_id", self.entity_id.into()),
            ("fact_id", self.leading_fact().into()),
            ("denominator_fact_id", denominator.into()),
            ("is_guardrail", self.is_guardrail.into()),
            ("team_id", self.team_id.into()),
            ("sync_tag", sync_tag.into()),
        ]
    }

    /// All facts that it is of, none of which can be removed then.
    fn save_parts(&self, tx: &mut dyn Tx, id: MetricId) -> Result<(), StoreError> {
        Self::delete_parts(tx, id)?;
        let facts: BTreeSet<FactId> = self.aggregations().map(|(_, aggregation)| aggregation.fact_id).collect();
        for fact in facts {
            tx.execute("INSERT INTO metric_facts (metric_id, fact_id) VALUES ($1, $2)", params![id, fact])?;
        }
        Ok(())
    }

    fn delete_parts(tx: &mut dyn Tx, id: MetricId) -> Result<(), StoreError> {
        tx.execute("DELETE FROM metric_facts WHERE metric_id = $1", params![id]).map(drop)
    }
}

impl Stored for Collection {
    type Id = CollectionId;
    const TABLE: &'static str = "collections";
    const FILTERS: &'static [&'static str] = &["team_id"];

    fn name(&self) -> &str {
        &self.name
    }

    fn words(&self) -> Words {
        Words::of([self.name()]).and_of_long(&self.description)
    }

    fn references(&self) -> Vec<(&'static str, Value)> {
        vec![("team_id", self.team_id.into())]
    }

    fn save_parts(&self, tx: &mut dyn Tx, id: CollectionId) -> Result<(), StoreError> {
        Self::delete_parts(tx, id)?;
        for metric in &self.metric_ids {
            tx.execute(
                "INSERT INTO collection_metrics (collection_id, metric_id) VALUES ($1, $2)",
                params![id, *metric],
            )?;
        }
        Ok(())
    }

    fn delete_parts(tx: &mut dyn Tx, id: CollectionId) -> Result<(), StoreError> {
        tx.execute("DELETE FROM collection_metrics WHERE collection_id = $1", params![id]).map(drop)
    }
}
