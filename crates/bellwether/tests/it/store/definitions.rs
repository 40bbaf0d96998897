//! Definitions of every kind, and what holds them together.

use bellwether::domain::collection::Collection;
use bellwether::domain::definition::{AssignmentSource, Entity, FactSource, Schedule, Team};
use bellwether::domain::id::{
    AssignmentSourceId, CollectionId, EntityId, FactId, FactSourceId, MetricId, ScheduleId, TeamId, WarehouseId,
};
use bellwether::domain::metric::Metric;
use bellwether::domain::sort::{Place, Sort, SortBy, SortValue};
use bellwether::domain::warehouse::Warehouse;
use bellwether::store::definition_list::{self, Filter};
use bellwether::store::definitions::{self, Definition, Stored};
use bellwether::store::{Db, StoreError, Tx};
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use serde_json::{Value, json};

use super::{at, definition, read, with_definitions, write};

pub fn metric(id: u128, fact: u128) -> Definition<Metric> {
    definition(
        MetricId::of(id),
        json!({"name": format!("metric {id}"), "entity_id": EntityId::of(1), "kind": "simple",
               "numerator": {"fact_id": FactId::of(fact), "operation": "sum"}}),
    )
}

/// Every function on one kind. `made` must not be stored yet, `edit` is a field of its body and another value for it.
async fn goes_through_its_life<D: Stored + std::fmt::Debug>(db: &Db, made: Definition<D>, edit: (&'static str, Value))
where
    D::Id: PartialEq + std::fmt::Debug,
{
    let id = made.id;
    let stored = made.clone();
    write(db, move |tx| definitions::insert(tx, &stored)).await.unwrap();
    assert_eq!(read(db, move |tx| definitions::get::<D>(tx, id)).await.unwrap().as_ref(), Some(&made));
    assert_eq!(write(db, move |tx| definitions::lock::<D>(tx, id)).await.unwrap().as_ref(), Some(&made));

    let mut body = serde_json::to_value(&made.body).unwrap();
    body[edit.0] = edit.1;
    let edited: Definition<D> =
        Definition { body: serde_json::from_value(body).unwrap(), version: 2, updated_at: at(9), ..made.clone() };
    assert_ne!(edited, made, "the edit edits something");
    let stored = edited.clone();
    write(db, move |tx| definitions::update(tx, &stored)).await.unwrap();
    let after = async |after: Option<Place>| {
        let list = move |tx: &mut dyn Tx| {
            definition_list::list::<D>(tx, &Filter::default(), Sort::by(SortBy::Id), after.clone(), 250)
        };
        read(db, list).await.unwrap().items
    };
    assert_eq!(after(None).await.last(), Some(&edited));
    let id_text = SortValue::Text(id.to_string());
    assert_eq!(after(Some(Place { at: id_text.clone(), id: id_text })).await, [], "none after the last");

    let twin = edited.clone();
    let taken = write(db, move |tx| definitions::insert(tx, &twin)).await.unwrap_err();
    assert!(matches!(taken, StoreError::Unique(_)), "{}: {taken:?}", D::TABLE);
    assert!(write(db, move |tx| definitions::delete::<D>(tx, id)).await.unwrap());
    assert!(!write(db, move |tx| definitions::delete::<D>(tx, id)).await.unwrap(), "once");
    assert_eq!(read(db, move |tx| definitions::get::<D>(tx, id)).await.unwrap(), None);
    write(db, move |tx| definitions::insert(tx, &edited)).await.expect("a name is free again");
    assert!(write(db, move |tx| definitions::delete::<D>(tx, id)).await.unwrap());
}

async fn every_kind_goes_through_its_life(database: Database) {
    let db = database.open().await;
    with_definitions(&db).await;
    write(&db, |tx| definitions::insert(tx, &metric(20, 10))).await.unwrap();
    let (entity, warehouse) = (EntityId::of(1), WarehouseId::of(2));
    let name = || ("name", json!("another"));
    let made = definition::<Entity>(EntityId::of(900), json!({"name": "device"}));
    goes_through_its_life(&db, made, name()).await;
    let made = definition::<Warehouse>(WarehouseId::of(900), json!({"name": "w", "kind": "files", "path": "/y"}));
    goes_through_its_life(&db, made, ("path", json!("/z"))).await;
    let made = definition::<Team>(TeamId::of(900), json!({"name": "growth"}));
    goes_through_its_life(&db, made, ("description", json!("who grows"))).await;
    let made = definition::<Schedule>(ScheduleId::of(900), json!({"name": "daily", "cron": "0 6 * * *"}));
    goes_through_its_life(&db, made, ("time_zone", json!("Europe/Berlin"))).await;
    let made = definition::<AssignmentSource>(
        AssignmentSourceId::of(900),
        json!({"name": "a", "warehouse_id": warehouse, "entity_id": entity, "sql": "SELECT '$1'",
               "columns": {"subject": "s", "timestamp": "t", "experiment_key": "e", "variation": "v"}}),
    );
    goes_through_its_life(&db, made, ("sql", json!("SELECT 2"))).await;
    let made = definition::<FactSource>(
        FactSourceId::of(900),
        json!({"name": "f", "warehouse_id": warehouse, "sql": "SELECT 1", "timestamp_column": "t",
               "entities": [{"entity_id": entity, "column": "s"}], "facts": [{"id": FactId::of(90), "name": "one"}]}),
    );
    goes_through_its_life(&db, made, ("facts", json!([{"id": FactId::of(90), "name": "renamed"}]))).await;
    goes_through_its_life(&db, metric(900, 10), ("description", json!("d"))).await;
    let made = definition::<Collection>(CollectionId::of(900), json!({"name": "c", "metric_ids": [MetricId::of(20)]}));
    goes_through_its_life(&db, made, name()).await;
}

async fn names_are_unique_and_references_hold(database: Database) {
    let db = database.open().await;
    with_definitions(&db).await;
    let same_name = definition::<Entity>(EntityId::of(901), json!({"name": "user"}));
    let error = write(&db, move |tx| definitions::insert(tx, &same_name)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unique(_)), "{error:?}");
    for error in [
        write(&db, |tx| definitions::insert(tx, &metric(21, 999))).await.unwrap_err(),
        write(&db, |tx| definitions::delete::<Entity>(tx, EntityId::of(1))).await.unwrap_err(),
        write(&db, |tx| definitions::delete::<Warehouse>(tx, WarehouseId::of(2))).await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Reference(_)), "{error:?}");
    }
}

/// A fact leaves its source's table with its source's body, unless a metric needs it.
async fn facts_follow_their_source(database: Database) {
    let db = database.open().await;
    with_definitions(&db).await;
    let source = FactSourceId::of(3);
    write(&db, |tx| definitions::insert(tx, &metric(20, 10))).await.unwrap();
    let found = read(&db, |tx| definitions::source_of_fact(tx, FactId::of(11))).await.unwrap().unwrap();
    assert_eq!((found.id, found.body.facts.len()), (source, 2));
    assert_eq!(read(&db, |tx| definitions::source_of_fact(tx, FactId::of(99))).await.unwrap(), None);

    let mut without_orders = found.clone();
    without_orders.body.facts.truncate(1);
    let stored = without_orders.clone();
    write(&db, move |tx| definitions::update(tx, &stored)).await.unwrap();
    assert_eq!(read(&db, |tx| definitions::source_of_fact(tx, FactId::of(11))).await.unwrap(), None);
    let mut without_any = without_orders.clone();
    without_any.body.facts.clear();
    let error = write(&db, move |tx| definitions::update(tx, &without_any)).await.unwrap_err();
    assert!(matches!(error, StoreError::Reference(_)), "{error:?}");
    let left = read(&db, move |tx| definitions::get::<FactSource>(tx, source)).await.unwrap().unwrap();
    assert_eq!(left, without_orders, "the refused edit left nothing behind");

    let collection =
        definition::<Collection>(CollectionId::of(30), json!({"name": "c", "metric_ids": [MetricId::of(20)]}));
    write(&db, move |tx| definitions::insert(tx, &collection)).await.unwrap();
    let error = write(&db, |tx| definitions::delete::<Metric>(tx, MetricId::of(20))).await.unwrap_err();
    assert!(matches!(error, StoreError::Reference(_)), "{error:?}");
    assert!(write(&db, |tx| definitions::delete::<Collection>(tx, CollectionId::of(30))).await.unwrap());
    assert!(write(&db, |tx| definitions::delete::<Metric>(tx, MetricId::of(20))).await.unwrap());
    assert!(write(&db, move |tx| definitions::delete::<FactSource>(tx, source)).await.unwrap());
}

on_both!(every_kind_goes_through_its_life, names_are_unique_and_references_hold, facts_follow_their_source);
