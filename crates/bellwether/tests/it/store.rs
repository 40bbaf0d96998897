//! The conformance suite: every function of the store and every promise of its transactions, on both databases.

mod broken_commits;
mod corruption;
mod definitions;
mod delivery;
mod experiments;
mod listing;
mod lists;
mod log;
mod removal;
mod runs;
mod scans;
mod settings_and_keys;
mod statements;
mod tls;
mod transactions;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bellwether::domain::actor::Actor;
use bellwether::domain::change::Change;
use bellwether::domain::clock::Timestamp;
use bellwether::domain::configuration::{Configuration, FieldChange};
use bellwether::domain::event::Event;
use bellwether::domain::experiment::Experiment;
use bellwether::domain::id::{EntityId, EventId, ExperimentId, FactId, Ids};
use bellwether::store::definitions::{Definition, Stored};
use bellwether::store::{Db, FromCell, StoreError, Tx, changes, events, query_as};
use bellwether_testkit::receiver::PATIENCE;
use bellwether_webhook::EventType;
use serde_json::json;

pub type Answered<T> = Result<T, StoreError>;

/// Ids in order, and secret bytes that differ from call to call.
#[derive(Default)]
pub struct CountedIds(AtomicU64);

impl CountedIds {
    pub fn from(first: u64) -> Self {
        Self(AtomicU64::new(first))
    }
}

impl Ids for CountedIds {
    fn next(&self) -> u128 {
        self.0.fetch_add(1, Ordering::Relaxed).into()
    }

    fn secret_bytes(&self) -> [u8; 32] {
        [u8::try_from(self.next() % 251).unwrap_or(0); 32]
    }
}

pub fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

pub async fn write<T: Send + 'static>(
    db: &Db,
    work: impl Fn(&mut dyn Tx) -> Answered<T> + Send + 'static,
) -> Answered<T> {
    db.write(work).await
}

pub async fn read<T: Send + 'static>(
    db: &Db,
    work: impl Fn(&mut dyn Tx) -> Answered<T> + Send + 'static,
) -> Answered<T> {
    db.read(work).await
}

/// One column of what a statement gives.
pub async fn column<T: FromCell + Send + 'static>(db: &Db, sql: &'static str, name: &'static str) -> Vec<T> {
    read(db, move |tx| query_as(tx, "t", sql, &[], |row| row.get(name))).await.unwrap()
}

/// A transaction on PostgreSQL that has done its work, and is held open.
pub struct Held<T> {
    release: std::sync::mpsc::Sender<()>,
    answer: tokio::task::JoinHandle<Answered<T>>,
}

impl<T: Send + 'static> Held<T> {
    pub async fn open(db: &Db, work: impl Fn(&mut dyn Tx) -> Answered<T> + Send + 'static) -> Self {
        let (done, mut is_done) = tokio::sync::mpsc::unbounded_channel();
        let (release, released) = std::sync::mpsc::channel();
        let (db, released) = (db.clone(), Mutex::new(released));
        let answer = tokio::spawn(async move {
            let work = move |tx: &mut dyn Tx| {
                let answer = work(tx)?;
                let _ = done.send(());
                let _ = released.lock().unwrap().recv();
                Ok(answer)
            };
            write(&db, work).await
        });
        is_done.recv().await.expect("its work is done");
        Self { release, answer }
    }

    /// Commits, once some other transaction waits for it.
    pub async fn commit_when_waited_for(self, db: &Db) -> Answered<T> {
        let sql = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        let waiting = async { while column::<i64>(db, sql, "pid").await.is_empty() {} };
        tokio::time::timeout(PATIENCE, waiting).await.expect("somebody waits for it");
        self.release().await
    }

    pub async fn release(self) -> Answered<T> {
        self.release.send(()).unwrap();
        self.answer.await.unwrap()
    }
}

pub fn configuration(key: &str) -> Configuration {
    serde_json::from_value(json!({
        "key": key, "name": "Ünïcode \u{2028} '\"\\ 💡", "tags": ["a", "b"],
        "variations": [{"key": "control", "weight": 0.1, "is_control": true}, {"key": "b", "weight": 1e9}],
        "assignments_start_date": "2026-03-01", "events_end_date": "2026-05-01T00:00:00.000001Z",
    }))
    .unwrap()
}

pub async fn new_experiment(db: &Db, key: &str) -> ExperimentId {
    let configuration = configuration(key);
    write(db, move |tx| bellwether::store::experiments::insert(tx, &configuration, at(10))).await.unwrap()
}

pub fn change(revision: i64) -> Change {
    Change {
        revision,
        action: "edited".into(),
        actor: Actor::System,
        occurred_at: at(100 + revision),
        changes: vec![FieldChange { field: "name".into(), from: json!(null), to: json!(["\u{2028}", 1.5]) }],
        reason: "because".into(),
    }
}

/// The `revision` of an experiment, as an event.
pub fn event_of(experiment: &Experiment, id: u128, event_type: EventType, revision: i64) -> Event {
    Event::of(EventId::of(id), event_type, experiment, &change(revision), None)
}

/// Writes the change and its event.
pub fn record(tx: &mut dyn Tx, event: &Event) -> Answered<()> {
    changes::inserting(event.experiment_id, &change(event.revision))?.execute(tx)?;
    events::inserting(event).execute(tx)
}

pub fn definition<D: Stored>(id: D::Id, body: serde_json::Value) -> Definition<D> {
    let body = serde_json::from_value(body).unwrap();
    Definition { id, number: 1, body, version: 1, created_at: at(1), updated_at: at(2) }
}

/// An entity, a warehouse and a source with two facts, at the ids 1, 2 and 3; the facts have 10 and 11.
pub async fn with_definitions(db: &Db) {
    use bellwether::domain::definition::{AssignmentSource, Entity, FactSource};
    use bellwether::domain::id::{AssignmentSourceId, FactSourceId, WarehouseId};
    use bellwether::domain::warehouse::Warehouse;
    use bellwether::store::definitions::insert;
    let (entity_id, warehouse_id) = (EntityId::of(1), WarehouseId::of(2));
    let entity = definition::<Entity>(entity_id, json!({"name": "user"}));
    let warehouse = definition::<Warehouse>(warehouse_id, json!({"name": "files", "kind": "files", "path": "/x"}));
    let assignments = definition::<AssignmentSource>(
        AssignmentSourceId::of(4),
        json!({"name": "assignments", "warehouse_id": warehouse_id, "entity_id": entity_id, "sql": "SELECT 1",
               "columns": {"subject": "s", "timestamp": "t", "experiment_key": "e", "variation": "v"}}),
    );
    let facts = definition::<FactSource>(
        FactSourceId::of(3),
        json!({"name": "orders", "warehouse_id": warehouse_id, "sql": "SELECT 1", "timestamp_column": "t",
               "entities": [{"entity_id": entity_id, "column": "s"}],
               "facts": [{"id": FactId::of(10), "name": "revenue", "column": "amount"}, {"id": FactId::of(11), "name": "orders"}]}),
    );
    write(db, move |tx| {
        insert(tx, &entity)?;
        insert(tx, &warehouse)?;
        insert(tx, &assignments)?;
        insert(tx, &facts)
    })
    .await
    .unwrap();
}
