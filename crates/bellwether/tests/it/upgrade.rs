//! A database of an older version opens in this one, with all that is in it.

use std::sync::Arc;

use bellwether::domain::clock::Timestamp;
use bellwether::domain::delivery::{DeliveryState, Origin};
use bellwether::domain::event::Format;
use bellwether::domain::id::{DeliveryId, EndpointId, EventId};
use bellwether::platform::secret::Vault;
use bellwether::store::pending::{self, Cursor, Look, Owed};
use bellwether::store::{StoreError, Tx, deliveries, endpoints, event_log, events, lanes, outcomes, query_as};
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;

const SQLITE_1: &str = include_str!("../../migrations/sqlite/0001_initial.sql");
const POSTGRES_1: &str = include_str!("../../migrations/postgres/0001_initial.sql");
const SQLITE_2: &str = include_str!("../../migrations/sqlite/0002_delivery.sql");
const POSTGRES_2: &str = include_str!("../../migrations/postgres/0002_delivery.sql");
const SQLITE_3: &str = include_str!("../../migrations/sqlite/0003_references.sql");
const POSTGRES_3: &str = include_str!("../../migrations/postgres/0003_references.sql");

/// Runs a script on a database that Bellwether has never opened.
async fn run(database: &Database, script: String) {
    let (url, path) = (database.url().map(str::to_owned), database.folder().join("bellwether.db"));
    let ran = tokio::task::spawn_blocking(move || match url {
        Some(url) => postgres::Client::connect(&url, postgres::NoTls).unwrap().batch_execute(&script).unwrap(),
        None => rusqlite::Connection::open(path).unwrap().execute_batch(&script).unwrap(),
    });
    ran.await.unwrap();
}

/// One experiment with the revisions 1 to 3; the endpoint has got the first, is owed the second, and lost the third.
/// The log went to 9, and what is above 3 was pruned.
fn contents(vault: &Vault, is_postgres: bool) -> String {
    let endpoint = EndpointId::of(1).to_string();
    let sealed = |column: &str, text: &str| {
        let bytes = vault.seal(&format!("endpoints.{column}/{endpoint}"), text.as_bytes(), [5; 32]).unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        if is_postgres { format!("'\\x{hex}'") } else { format!("X'{hex}'") }
    };
    let mut script = format!(
        "CREATE TABLE schema_migrations (version BIGINT NOT NULL PRIMARY KEY); INSERT INTO schema_migrations VALUES (1);\n\
         INSERT INTO experiments (id, key, status, configuration, revision, version, is_traffic_imbalance, created_at, updated_at) \
         VALUES (1, 'k', 'draft', '{{}}', 3, 3, 0, 1, 1);\n\
         INSERT INTO endpoints VALUES ('{endpoint}', '', {}, {}, '{{\"url\":\"\"}}', 'enabled', NULL, 1, 1, 1);\n",
        sealed("url", "https://example.com/hooks"),
        sealed("secret", "a secret of the first version"),
    );
    for (revision, state, attempts, ended) in
        [(1, "delivered", 1, "7"), (2, "pending", 2, "NULL"), (3, "exhausted", 10, "8")]
    {
        let (event, delivery) = (EventId::of(revision), DeliveryId::of(revision));
        script += &format!(
            "INSERT INTO changes VALUES (1, {revision}, 'edited', '{{\"type\":\"system\"}}', 1, '[]', '');\n\
             INSERT INTO events (sequence, id, experiment_id, revision, type, occurred_at, data, detailed) \
             VALUES ({revision}, '{event}', 1, {revision}, 'experiment.configuration.updated', 1, '{{}}', '{{}}');\n\
             INSERT INTO deliveries (id, event_id, endpoint_id, experiment_id, revision, state, attempt_count, due_at, created_at, ended_at) \
             VALUES ('{delivery}', '{event}', '{endpoint}', 1, {revision}, '{state}', {attempts}, 1, 1, {ended});\n"
        );
    }
    script += if is_postgres {
        "INSERT INTO settings (name, value) VALUES ('log_pruned_to', '9');"
    } else {
        "UPDATE sqlite_sequence SET seq = 9 WHERE name = 'events';"
    };
    script
}

async fn the_first_version_opens_with_all_that_is_in_it(database: Database) {
    let vault = Arc::new(Vault::with_key([7; 32]));
    let is_postgres = database.url().is_some();
    let schema = if is_postgres { POSTGRES_1 } else { SQLITE_1 };
    run(&database, format!("{schema}\n{}", contents(&vault, is_postgres))).await;
    let db = database.open().await;

    let endpoint = EndpointId::of(1);
    let (found, lane, pending, all) = db
        .read(move |tx: &mut dyn Tx| {
            let owed = Owed { endpoint, lane: 1, is_behind: false };
            let due_by = Timestamp::from_micros(9);
            let pending = pending::read(
                tx,
                &Look { owed, after: Cursor::START, due_by, reach: 9, limit: 9, format: Format::Eppo },
            )?;
            let all = deliveries::list(tx, &deliveries::Selection { limit: 9, ..Default::default() })?.found;
            Ok::<_, StoreError>((endpoints::get(tx, &vault, endpoint)?, lanes::get(tx, endpoint)?, pending, all))
        })
        .await
        .unwrap();
    let found = found.unwrap();
    assert_eq!(found.settings.url, "https://example.com/hooks");
    assert_eq!(found.signing.current.secret, "a secret of the first version");
    assert_eq!((found.settings.hold_seconds, found.settings.filter), (60, Default::default()));
    assert_eq!(lane.unwrap().fence, 0);
    let pending: Vec<_> = pending.iter().map(|one| (one.event.revision, one.failure_count, one.is_resent)).collect();
    assert_eq!(pending, [(2, 2, false)], "its schedule goes on where it was");
    assert!(all.iter().all(|delivery| delivery.origin == Origin::Change && !delivery.is_behind) && all.len() == 3);

    let again = found.id;
    let log = db
        .write(move |tx: &mut dyn Tx| {
            let selection = event_log::Selection { limit: 9, ..Default::default() };
            let before = event_log::list(tx, &selection)?;
            let mut event = before[0].1.clone();
            (event.id, event.revision) = (EventId::of(4), 4);
            events::inserting(&event).execute(tx)?;
            if !tx.dialect().numbers_events_in_transaction() {
                event_log::number_committed(tx, 9)?;
            }
            lanes::revise(tx, again)?;
            event_log::list(tx, &selection)
        })
        .await;
    let log: Vec<i64> = log.unwrap().iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(log, [1, 2, 3, 10], "nobody's cursor meets a number again");
}

/// A delivery of the third version: its number, and what stands in its row from `state` on.
const ROWS: [(u128, &str); 6] = [
    (1, "'delivered', NULL, 2, 30, 10, 40, 'change', 0, 1"),
    (2, "'pending', NULL, 1, 50, 11, NULL, 'change', 0, 1"),
    (3, "'pending', NULL, 10, 60, 12, NULL, 'replay', 1, 0"),
    (4, "'exhausted', NULL, 3, 70, 13, 80, 'change', 0, 3"),
    (5, "'cancelled', 'by hand', 0, 14, 14, 90, 'change', 0, 0"),
    (6, "'pending', NULL, 0, 15, 15, NULL, 'resend', 0, 0"),
];

/// With bits at both ends.
fn long(number: u128) -> u128 {
    (0x019a << 112) | (number << 64) | 0xfffe
}

fn third_version(is_postgres: bool) -> String {
    let versions = if is_postgres { [POSTGRES_1, POSTGRES_2, POSTGRES_3] } else { [SQLITE_1, SQLITE_2, SQLITE_3] };
    let (vault, endpoint) = (Vault::with_key([7; 32]), EndpointId::of(1));
    let mut script = versions[0].to_owned() + &contents(&vault, is_postgres);
    script += "DELETE FROM deliveries; DELETE FROM events;";
    for (version, migration) in (2..).zip(&versions[1..]) {
        script += &format!("BEGIN;\n{migration}\nINSERT INTO schema_migrations VALUES ({version});\nCOMMIT;\n");
    }
    for (number, rest) in ROWS {
        let (id, event) = (DeliveryId::of(long(number)), EventId::of(long(number + 100)));
        script += &format!(
            "INSERT INTO events (id, experiment_id, revision, type, occurred_at, data, detailed) VALUES \
             ('{event}', 1, {number}, 'experiment.configuration.updated', 1, '{{}}', '{{\"detailed\":1}}');\n\
             INSERT INTO deliveries (id, event_id, endpoint_id, experiment_id, revision, state, reason, attempt_count, due_at, \
             created_at, ended_at, origin, is_behind, failure_count) VALUES ('{id}', '{event}', '{endpoint}', 1, {number}, {rest});\n"
        );
    }
    let delivered = DeliveryId::of(long(1));
    script
        + &format!(
            "INSERT INTO attempts VALUES ('{delivered}', 1, 20, 5, 500, 'status', 'why', 'a body'), \
             ('{delivered}', 2, 30, 9, 204, NULL, NULL, NULL);"
        )
}

/// Where each delivery stood there it stands here, under the same id.
async fn deliveries_of_the_third_version_stand_where_they_stood(database: Database) {
    run(&database, third_version(database.url().is_some())).await;
    let db = database.open().await;
    let at = Timestamp::from_micros;
    for (number, state, attempts, failures, due_at, ended_at) in [
        (1, DeliveryState::Delivered, 2, 0, None, Some(at(39))),
        (2, DeliveryState::Pending, 1, 1, Some(at(50)), None),
        (3, DeliveryState::Pending, 10, 0, Some(at(60)), None),
        (4, DeliveryState::Exhausted, 3, 3, None, Some(at(80))),
        (5, DeliveryState::Cancelled, 0, 0, None, Some(at(90))),
        (6, DeliveryState::Pending, 0, 0, Some(at(15)), None),
    ] {
        let id = DeliveryId::of(long(number));
        let read =
            move |tx: &mut dyn Tx| Ok::<_, StoreError>((deliveries::get(tx, id)?, outcomes::attempts(tx, id, 9)?));
        let (found, of_it) = db.read(read).await.unwrap();
        let found = found.unwrap();
        assert_eq!((found.state, found.attempt_count, found.failure_count), (state, attempts, failures), "{number}");
        assert_eq!(
            (found.due_at, found.ended_at, found.created_at),
            (due_at, ended_at, at(9 + number as i64)),
            "{number}"
        );
        assert_eq!(
            (found.event_id, found.endpoint_id),
            (EventId::of(long(number + 100)), EndpointId::of(1)),
            "{number}"
        );
        assert_eq!(found.reason.as_deref(), (number == 5).then_some("by hand"));
        assert_eq!(of_it.len(), if number == 1 { 2 } else { 0 });
        let of_event = db.read(move |tx: &mut dyn Tx| deliveries::list_of_event(tx, found.event_id)).await.unwrap();
        assert_eq!(of_event.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), [id], "found by its event");
    }
    for (is_behind, expected) in [(false, vec![(2, false), (6, true)]), (true, vec![(3, false)])] {
        let owed = Owed { endpoint: EndpointId::of(1), lane: 1, is_behind };
        let look = Look { owed, after: Cursor::START, due_by: at(99), reach: 9, limit: 9, format: Format::Eppo };
        let pending = db.read(move |tx: &mut dyn Tx| pending::read(tx, &look)).await.unwrap();
        let pending: Vec<_> = pending.iter().map(|one| (one.event.revision, one.is_resent)).collect();
        assert_eq!(pending, expected);
    }
    let next = db
        .write(|tx: &mut dyn Tx| bellwether::store::settings::next_number(tx, bellwether::store::settings::LANES))
        .await;
    assert_eq!(next.unwrap(), 2, "the next lane's number");
}

/// A metric of the first version, and what it is of.
const METRIC_1: &str = "INSERT INTO entities VALUES ('e', 'e', '{}', 1, 1, 1);\n\
    INSERT INTO warehouses VALUES ('w', 'w', '{}', 1, 1, 1);\n\
    INSERT INTO fact_sources VALUES ('s', 's', '{}', 1, 1, 1, 'w');\n\
    INSERT INTO facts VALUES ('f', 's', 'f'), ('g', 's', 'g');\n\
    INSERT INTO metrics VALUES ('m', 'm', '{}', 1, 1, 1, 'e', 'f');\n";

async fn a_metric_of_before_holds_its_fact(database: Database) {
    let vault = Vault::with_key([7; 32]);
    let is_postgres = database.url().is_some();
    let schema = if is_postgres { POSTGRES_1 } else { SQLITE_1 };
    run(&database, format!("{schema}\n{}{METRIC_1}", contents(&vault, is_postgres))).await;
    let db = database.open().await;
    let held = |tx: &mut dyn Tx| {
        let sql = "SELECT fact_id FROM metric_facts WHERE metric_id = 'm'";
        query_as::<String>(tx, "metric_facts", sql, &[], |row| row.get("fact_id"))
    };
    let held: Result<_, StoreError> = db.read(held).await;
    assert_eq!(held.unwrap(), ["f"]);
}

on_both!(
    a_metric_of_before_holds_its_fact,
    the_first_version_opens_with_all_that_is_in_it,
    deliveries_of_the_third_version_stand_where_they_stood,
);
