//! A row that was damaged by hand is reported by table, column and row, and never read as something else.

use bellwether::domain::definition::Entity;
use bellwether::domain::sort::{Sort, SortBy};
use bellwether::params;
use bellwether::store::{Db, Dialect, StoreError, Tx, changes, definition_list, experiment_list, experiments};
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;

use super::{change, new_experiment, read, with_definitions, write};

async fn by_hand(db: &Db, sql: &'static str) {
    assert_eq!(write(db, move |tx| tx.execute(sql, &[])).await.unwrap(), 1, "{sql} damages one row");
}

#[track_caller]
fn assert_corrupt(error: StoreError, place: (&str, &str, &str)) {
    let words = error.to_string();
    let StoreError::Corrupt { table, column, row, .. } = error else { panic!("another error: {words}") };
    assert_eq!((table, column, row.as_str()), place);
    assert!(words.contains(place.0) && words.contains(place.1) && words.contains(place.2), "{words}");
}

async fn damaged_rows_are_named(database: Database) {
    let db = database.open().await;
    with_definitions(&db).await;
    let id = new_experiment(&db, "k").await;
    write(&db, move |tx| changes::inserting(id, &change(1))?.execute(tx)).await.unwrap();

    by_hand(&db, "UPDATE experiments SET configuration = '{\"key\":'").await;
    let row = id.to_string();
    let error = read(&db, move |tx| experiments::get(tx, id)).await.unwrap_err();
    assert_corrupt(error, ("experiments", "configuration", &row));
    let error = read(&db, |tx| experiment_list::list(tx, &Default::default(), Sort::by(SortBy::Id), None, 10))
        .await
        .unwrap_err();
    assert_corrupt(error, ("experiments", "configuration", &row));

    by_hand(&db, "UPDATE changes SET actor = 'nobody'").await;
    let error = read(&db, move |tx| changes::list(tx, id, 0, 10)).await.unwrap_err();
    assert_corrupt(error, ("changes", "actor", "1"));

    by_hand(&db, "UPDATE entities SET body = '{\"nom\":\"user\"}'").await;
    let error =
        read(&db, |tx| definition_list::list::<Entity>(tx, &Default::default(), Sort::by(SortBy::Id), None, 10))
            .await
            .unwrap_err();
    let entity = bellwether::domain::id::EntityId::of(1).to_string();
    assert_corrupt(error, ("entities", "body", &entity));

    write(&db, |tx| {
        let sql = "INSERT INTO keys (id, name, role, hash, created_at) VALUES ($1, 'n', 'read', $2, 0)";
        tx.execute(sql, params!["not an id", vec![1_u8]])
    })
    .await
    .unwrap();
    let error = read(&db, |tx| bellwether::store::keys::list(tx, "", 10)).await.unwrap_err();
    assert_corrupt(error, ("keys", "id", "not an id"));
}

/// What the schema forbids cannot be written even by hand. What every change writes is guarded so in SQLite alone, where
/// every test runs too: on PostgreSQL that costs too much.
async fn the_schema_refuses_what_cannot_be(database: Database) {
    let db = database.open().await;
    new_experiment(&db, "k").await;
    let of_changes = [
        "UPDATE experiments SET status = 'flying'",
        "UPDATE experiments SET status = 'concluded'",
        "UPDATE experiments SET version = revision + 1",
        "UPDATE experiments SET is_traffic_imbalance = 2",
        "UPDATE experiments SET id = 9007199254740992",
    ];
    let of_others = [
        "INSERT INTO keys (id, name, role, hash, created_at) VALUES ('k', 'n', 'owner', '', 0)",
        "INSERT INTO nodes (id, heartbeat, started_at) VALUES ('n', NULL, 0)",
    ];
    let is_guarded = db.dialect() == Dialect::Sqlite;
    for sql in of_others.into_iter().chain(of_changes.into_iter().filter(|_| is_guarded)) {
        let refused: Result<u64, StoreError> = db.write(move |tx: &mut dyn Tx| tx.execute(sql, &[])).await;
        assert!(matches!(refused, Err(StoreError::Failed(_))), "{sql}: {refused:?}");
    }
}

on_both!(damaged_rows_are_named, the_schema_refuses_what_cannot_be);
