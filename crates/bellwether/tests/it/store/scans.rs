//! What was last seen in an assignment source.

use bellwether::domain::definition::AssignmentSource;
use bellwether::domain::discovery::{Scan, SeenExperiment, SeenVariation};
use bellwether::domain::id::AssignmentSourceId;
use bellwether::store::{StoreError, definitions, scans};
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;

use super::{at, read, with_definitions, write};

fn scan(key: &str) -> Scan {
    let variation = SeenVariation { key: None, rows: 3, first_at: Some(at(1)), last_at: None };
    let experiment = SeenExperiment {
        experiment_key: key.into(),
        rows: 3,
        first_at: Some(at(1)),
        last_at: None,
        variations: vec![variation],
        variation_count: 1,
    };
    Scan { source_version: 1, experiments: vec![experiment], rows_without_key: 7, is_cut: true }
}

async fn a_source_has_one_scan_which_goes_with_it(database: Database) {
    let db = database.open().await;
    with_definitions(&db).await;
    let source = AssignmentSourceId::of(4);
    assert_eq!(read(&db, move |tx| scans::get(tx, source)).await.unwrap(), None);
    for (key, time) in [("k \0\u{2028}", 10), ("l", 20)] {
        write(&db, move |tx| scans::save(tx, source, &scan(key), at(time))).await.unwrap();
        assert_eq!(read(&db, move |tx| scans::get(tx, source)).await.unwrap(), Some((scan(key), at(time))));
    }
    let nobody = AssignmentSourceId::of(5);
    let missing = write(&db, move |tx| scans::save(tx, nobody, &scan("k"), at(1))).await.unwrap_err();
    assert!(matches!(missing, StoreError::Reference(_)), "{missing:?}");
    assert!(write(&db, move |tx| definitions::delete::<AssignmentSource>(tx, source)).await.unwrap());
    assert_eq!(read(&db, move |tx| scans::get(tx, source)).await.unwrap(), None);
}

on_both!(a_source_has_one_scan_which_goes_with_it);
