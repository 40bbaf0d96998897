//! The schema is the same on both databases, and a database is opened only by a program and a node that may.

use std::collections::BTreeMap;

use bellwether::app;
use bellwether::store::{Db, StoreError, Tx, query_as};
use bellwether_testkit::databases::{Database, close};
use bellwether_testkit::on_both;

/// What a database says of itself, in words that both can be held to.
type Schema = BTreeMap<String, Vec<String>>;

const SQLITE: [(&str, &str); 5] = [
    (
        "columns",
        "SELECT t.name || '.' || c.name || CASE WHEN c.\"notnull\" = 1 THEN ' not null ' ELSE ' null ' END || \
         CASE c.type WHEN 'INTEGER' THEN 'int' WHEN 'BIGINT' THEN 'int' WHEN 'REAL' THEN 'real' WHEN 'TEXT' THEN 'text' \
         WHEN 'BLOB' THEN 'blob' ELSE c.type END AS line FROM sqlite_schema t, pragma_table_info(t.name) c \
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'",
    ),
    (
        "primary keys",
        "SELECT name || '(' || group_concat(col, ',') || ')' AS line FROM (SELECT t.name AS name, c.name AS col \
         FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND c.pk > 0 \
         ORDER BY t.name, c.pk) GROUP BY name",
    ),
    (
        "indexes",
        "SELECT name || '(' || group_concat(col, ',') || ')' || CASE WHEN uq = 1 THEN ' unique' ELSE '' END || \
         CASE WHEN partial = 1 THEN ' partial' ELSE '' END AS line FROM (SELECT t.name AS name, i.name AS idx, \
         i.\"unique\" AS uq, i.partial AS partial, c.name AS col FROM sqlite_schema t, pragma_index_list(t.name) i, \
         pragma_index_info(i.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND i.origin <> 'pk' \
         ORDER BY t.name, i.name, c.seqno) GROUP BY name, idx",
    ),
    (
        "foreign keys",
        "SELECT name || '(' || group_concat(col, ',') || ') to ' || target || '(' || group_concat(far, ',') || ') ' || \
         lower(act) AS line FROM (SELECT t.name AS name, f.id AS id, f.\"table\" AS target, f.\"from\" AS col, \
         f.\"to\" AS far, f.on_delete AS act FROM sqlite_schema t, pragma_foreign_key_list(t.name) f \
         WHERE t.type = 'table' ORDER BY t.name, f.id, f.seq) GROUP BY name, id, target, act",
    ),
    (
        "checks",
        "SELECT name || ' has ' || ((length(sql) - length(replace(sql, 'CHECK (', ''))) / 7) || ' checks' AS line \
         FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    ),
];

const POSTGRES: [(&str, &str); 5] = [
    (
        "columns",
        "SELECT table_name || '.' || column_name || CASE is_nullable WHEN 'NO' THEN ' not null ' ELSE ' null ' END || \
         CASE data_type WHEN 'bigint' THEN 'int' WHEN 'double precision' THEN 'real' WHEN 'bytea' THEN 'blob' WHEN 'uuid' THEN 'blob' \
         ELSE data_type END AS line FROM information_schema.columns WHERE table_schema = 'public'",
    ),
    (
        "primary keys",
        "SELECT r.relname || '(' || string_agg(a.attname, ',' ORDER BY k.n) || ')' AS line FROM pg_constraint c \
         JOIN pg_class r ON r.oid = c.conrelid JOIN pg_namespace s ON s.oid = r.relnamespace \
         CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY k(num, n) \
         JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = k.num \
         WHERE c.contype = 'p' AND s.nspname = 'public' GROUP BY c.oid, r.relname",
    ),
    (
        "indexes",
        "SELECT r.relname || '(' || string_agg(a.attname, ',' ORDER BY k.n) || ')' || CASE WHEN i.indisunique THEN ' unique' \
         ELSE '' END || CASE WHEN i.indpred IS NOT NULL THEN ' partial' ELSE '' END AS line FROM pg_index i \
         JOIN pg_class r ON r.oid = i.indrelid JOIN pg_namespace s ON s.oid = r.relnamespace \
         CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(num, n) \
         JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = k.num \
         WHERE NOT i.indisprimary AND s.nspname = 'public' GROUP BY i.indexrelid, r.relname, i.indisunique, i.indpred",
    ),
    (
        "foreign keys",
        "SELECT r.relname || '(' || string_agg(a.attname, ',' ORDER BY k.n) || ') to ' || f.relname || '(' || \
         string_agg(b.attname, ',' ORDER BY k.n) || ') ' || CASE c.confdeltype WHEN 'c' THEN 'cascade' WHEN 'a' THEN 'no action' \
         ELSE 'other' END AS line FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid JOIN pg_class f ON f.oid = c.confrelid \
         CROSS JOIN LATERAL unnest(c.conkey, c.confkey) WITH ORDINALITY k(near, far, n) \
         JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = k.near \
         JOIN pg_attribute b ON b.attrelid = f.oid AND b.attnum = k.far \
         WHERE c.contype = 'f' GROUP BY c.oid, r.relname, f.relname, c.confdeltype",
    ),
    (
        "checks",
        "SELECT r.relname || ' has ' || COUNT(c.oid) || ' checks' AS line FROM pg_class r \
         JOIN pg_namespace s ON s.oid = r.relnamespace LEFT JOIN pg_constraint c ON c.conrelid = r.oid AND c.contype = 'c' \
         WHERE r.relkind = 'r' AND s.nspname = 'public' GROUP BY r.oid, r.relname",
    ),
];

async fn describe(db: &Db, questions: [(&'static str, &'static str); 5]) -> Schema {
    let mut schema = Schema::new();
    for (name, sql) in questions {
        let read = move |tx: &mut dyn Tx| query_as(tx, "schema", sql, &[], |row| row.get("line"));
        let mut lines: Vec<String> = db.read(read).await.unwrap();
        lines.sort();
        schema.insert(name.to_owned(), lines);
    }
    schema
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_databases_have_the_same_schema() {
    let (sqlite, postgres) = (Database::sqlite(), Database::postgres());
    let mut sqlite = describe(&sqlite.open().await, SQLITE).await;
    let mut postgres = describe(&postgres.open().await, POSTGRES).await;
    // Where they are meant to differ: the log's number is given in SQLite's transaction, and after PostgreSQL's.
    let replace = |schema: &mut Schema, name: &str, there: &[&str], instead: &[&str]| {
        let lines = schema.get_mut(name).unwrap();
        for line in there {
            let before = lines.len();
            lines.retain(|other| other != line);
            assert_eq!(lines.len(), before - 1, "the known difference '{line}' is not there: {lines:#?}");
        }
        lines.extend(instead.iter().map(|&line| line.to_owned()));
        lines.sort();
    };
    // SQLite says of an integer primary key that it may be null, which it may not.
    replace(&mut sqlite, "columns", &["experiments.id null int"], &["experiments.id not null int"]);
    replace(&mut sqlite, "primary keys", &["events(sequence)"], &["events(id)"]);
    replace(&mut sqlite, "indexes", &["events(id) unique"], &["events(sequence) unique"]);
    replace(&mut postgres, "indexes", &["events(experiment_id,revision) partial"], &[]);
    let of_changes = "changes(experiment_id) to experiments(id) no action";
    replace(&mut sqlite, "foreign keys", &[of_changes], &[]);
    // PostgreSQL reads a CHECK anew for every statement: what every change writes has none there.
    let checks = [("attempts", 2), ("changes", 1), ("deliveries", 2), ("undelivered", 5), ("experiments", 6)];
    for (table, count) in checks {
        let line = |count: usize| format!("{table} has {count} checks");
        replace(&mut sqlite, "checks", &[&line(count)], &[&line(0)]);
    }
    for (name, lines) in &sqlite {
        assert!(!lines.is_empty(), "SQLite names no {name}");
        pretty_compare(name, lines, &postgres[name]);
    }
}

fn pretty_compare(name: &str, sqlite: &[String], postgres: &[String]) {
    let missing = |of: &[String], from: &[String]| -> Vec<String> {
        of.iter().filter(|line| !from.contains(line)).cloned().collect()
    };
    assert_eq!(
        (missing(sqlite, postgres), missing(postgres, sqlite)),
        (vec![], vec![]),
        "{name}: only in SQLite, and only in PostgreSQL"
    );
    assert_eq!(sqlite.len(), postgres.len(), "{name}: one of them has a line twice");
}

async fn opening_again_keeps_what_is_there(database: Database) {
    use bellwether::store::settings;
    let db = database.open().await;
    db.write(|tx: &mut dyn Tx| settings::set(tx, "it", "kept")).await.unwrap();
    close(db).await;
    let db = database.open().await;
    let kept: Result<_, StoreError> = db.read(|tx: &mut dyn Tx| settings::get(tx, "it")).await;
    assert_eq!(kept.unwrap().as_deref(), Some("kept"));
}

async fn a_newer_schema_is_refused_in_words(database: Database) {
    let db = database.open().await;
    let newer = |tx: &mut dyn Tx| tx.execute("INSERT INTO schema_migrations (version) VALUES (999)", &[]);
    db.write(newer).await.unwrap();
    close(db).await;
    let error = database.try_open().await.err().expect("a newer schema is refused").to_string();
    assert!(error.contains("999") && error.contains("newer program"), "{error}");
}

async fn another_secret_key_is_refused(database: Database) {
    let started = app::start(crate::server::config(&database)).await.unwrap();
    started.stop().await;
    let key = database.folder().join("secret.key");
    let before = std::fs::read_to_string(&key).unwrap();
    std::fs::write(&key, "ab".repeat(32)).unwrap();
    let error = app::start(crate::server::config(&database)).await.err().expect("another key is refused").to_string();
    assert!(error.contains("secret.key"), "{error}");
    std::fs::write(&key, before).unwrap();
    app::start(crate::server::config(&database)).await.expect("its own key opens it").stop().await;
}

on_both!(opening_again_keeps_what_is_there, a_newer_schema_is_refused_in_words, another_secret_key_is_refused);
