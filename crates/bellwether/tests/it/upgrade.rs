//! A database of an older version opens in this one, with all that is in it.

use std::sync::Arc;

use bellwether::clock::Timestamp;
use bellwether::id::{DeliveryId, EndpointId};
use bellwether::secret::Vault;
use bellwether::store::deliveries::{self, Origin};
use bellwether::store::pending::{self, Look, Owed, Place};
use bellwether::store::{StoreError, Tx, endpoints, events, lanes};

use crate::databases::{Database, on_both};

const SQLITE_1: &str = include_str!("../../migrations/sqlite/0001_initial.sql");
const POSTGRES_1: &str = include_str!("../../migrations/postgres/0001_initial.sql");
const SQLITE_2: &str = include_str!("../../migrations/sqlite/0002_delivery.sql");
const POSTGRES_2: &str = include_str!("../../migrations/postgres/0002_delivery.sql");

/// Runs a script on a database that Bellwether has never opened.
async fn run(database: &Database, script: String) {
    let (url, path) = (database.url().map(str::to_owned), database.folder().join("bellwether.db"));
    let ran = tokio::task::spawn_blocking(move || match url {
        Some(url) => postgres::Client::connect(&url, postgres::NoTls).unwrap().batch_execute(&script).unwrap(),
        None => rusqlite::Connection::open(path).unwrap().execute_batch(&script).unwrap(),
    });
    ran.await.unwrap();
}

/// The only column of each row that a statement gives.
async fn lines(database: &Database, sql: &'static str) -> Vec<String> {
    let (url, path) = (database.url().map(str::to_owned), database.folder().join("bellwether.db"));
    let read = tokio::task::spawn_blocking(move || match url {
        Some(url) => {
            let rows = postgres::Client::connect(&url, postgres::NoTls).unwrap().query(sql, &[]).unwrap();
            rows.iter().map(|row| row.get(0)).collect()
        }
        None => {
            let connection = rusqlite::Connection::open(path).unwrap();
            let mut statement = connection.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| row.get(0)).unwrap();
            rows.collect::<Result<_, _>>().unwrap()
        }
    });
    read.await.unwrap()
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
        let (event, delivery) = (bellwether::id::EventId::of(revision), DeliveryId::of(revision));
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
            let owed = Owed { endpoint, is_behind: false };
            let due_by = Timestamp::from_micros(9);
            let pending = pending::read(tx, &Look { owed, after: Place::START, due_by, reach: 9, limit: 9 })?;
            let all = deliveries::list(tx, &deliveries::Selection { limit: 9, ..Default::default() })?;
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
            let selection = events::Selection { limit: 9, ..Default::default() };
            let before = events::list(tx, &selection)?;
            let mut event = before[0].1.clone();
            (event.id, event.revision) = (bellwether::id::EventId::of(4), 4);
            events::inserting(&event).execute(tx)?;
            if !tx.dialect().numbers_events_in_transaction() {
                events::number_committed(tx, 9)?;
            }
            lanes::revise(tx, again)?;
            events::list(tx, &selection)
        })
        .await;
    let log: Vec<i64> = log.unwrap().iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(log, [1, 2, 3, 10], "nobody's cursor meets a number again");
}

const DELIVERIES: &str = "SELECT concat_ws('|', id, event_id, endpoint_id, experiment_id, revision, state, reason, attempt_count, \
     due_at, created_at, ended_at, origin, is_behind, failure_count) FROM deliveries ORDER BY id";
const ATTEMPTS: &str = "SELECT concat_ws('|', delivery_id, number, started_at, duration_us, status_code, error_class, error, \
     response_body) FROM attempts ORDER BY delivery_id, number";
/// Both tables with what was asked of their rows, and their indexes.
const SQLITE_TABLES: &str =
    "SELECT sql FROM sqlite_schema WHERE tbl_name IN ('deliveries', 'attempts') AND sql IS NOT NULL ORDER BY name";
const POSTGRES_TABLES: &str = "SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) AS line FROM pg_constraint \
     WHERE conrelid IN ('deliveries'::regclass, 'attempts'::regclass) \
     UNION ALL SELECT indexdef FROM pg_indexes WHERE tablename IN ('deliveries', 'attempts') \
     UNION ALL SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || ' ' || COALESCE(column_default, '') \
     FROM information_schema.columns WHERE table_name IN ('deliveries', 'attempts') ORDER BY line";

async fn deliveries_and_attempts_lose_what_costs_too_much_and_nothing_else(database: Database) {
    let is_postgres = database.url().is_some();
    let (first, second) = if is_postgres { (POSTGRES_1, POSTGRES_2) } else { (SQLITE_1, SQLITE_2) };
    let contents = contents(&Vault::with_key([7; 32]), is_postgres);
    let attempt = |number: u32| format!("('{}', {number}, 5, 6, 500, 'status', NULL, 'a body')", DeliveryId::of(2));
    let attempts = format!("INSERT INTO attempts VALUES {}, {};", attempt(1), attempt(2));
    let version = "INSERT INTO schema_migrations VALUES (2);";
    run(&database, format!("{first}\n{contents}\nBEGIN;\n{second}\n{version}\n{attempts}\nCOMMIT;")).await;

    let tables = if is_postgres { POSTGRES_TABLES } else { SQLITE_TABLES };
    let state = async || (lines(&database, DELIVERIES).await, lines(&database, ATTEMPTS).await);
    let (before, tables_before) = (state().await, lines(&database, tables).await);
    assert_eq!((before.0.len(), before.1.len()), (3, 2));
    let db = database.open().await;
    assert!(crate::databases::close(db).await);
    assert_eq!(state().await, before);
    let kept = |line: &String| {
        let bare = ["events", "endpoints", "deliveries"]
            .iter()
            .fold(line.replace('"', ""), |line, name| line.replace(&format!(" REFERENCES {name} (id)"), ""));
        let words: Vec<_> = bare.split_whitespace().collect();
        words.join(" ")
    };
    let is_dropped = |line: &&String| line.contains("FOREIGN KEY") || (is_postgres && line.contains(" CHECK ("));
    let expected: Vec<_> = tables_before.iter().filter(|line| !is_dropped(line)).map(kept).collect();
    let found: Vec<_> = lines(&database, tables).await.iter().map(|line| line.replace('"', "")).collect();
    let found: Vec<_> = found.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(found, expected);
    assert!(!found.iter().any(|line| line.contains("REFERENCES")));
}

on_both!(
    the_first_version_opens_with_all_that_is_in_it,
    deliveries_and_attempts_lose_what_costs_too_much_and_nothing_else,
);
