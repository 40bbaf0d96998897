//! What the warehouse refuses: writing, leaving its folder, and SQL that is wrong.

use crate::folder::{Folder, refusal, rows, start};
use bellwether_warehouse::{Cell, ErrorKind, WarehouseConfig, WarehouseError};
use std::os::unix::fs::symlink;

#[tokio::test]
async fn statements_that_are_no_queries() {
    let folder = Folder::with(&[("facts.csv", "n\n1\n")]);
    let mut session = folder.session().await;
    let escape = folder.outside("escape.csv");
    std::fs::write(&escape, "secret\n42\n").unwrap();
    let escape = escape.display();
    let statements = [
        "CREATE TABLE t AS SELECT 1".to_owned(),
        "CREATE VIEW v AS SELECT 1".to_owned(),
        format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{escape}'"),
        "DROP TABLE facts".to_owned(),
        "INSERT INTO facts VALUES (2)".to_owned(),
        "UPDATE facts SET n = 2".to_owned(),
        "DELETE FROM facts".to_owned(),
        format!("COPY facts TO '{escape}.out.csv'"),
        "SET datafusion.execution.time_zone = '+02:00'".to_owned(),
        "RESET datafusion.execution.time_zone".to_owned(),
        "SHOW ALL".to_owned(),
        "EXPLAIN ANALYZE SELECT 1".to_owned(),
        "EXPLAIN SELECT 1".to_owned(),
        "BEGIN".to_owned(),
        "PREPARE p AS SELECT 1".to_owned(),
        "SELECT 1 AS n INTO made".to_owned(),
        "SELECT 1; SELECT 2".to_owned(),
        "SELECT 1; DROP TABLE facts; --".to_owned(),
    ];
    for statement in &statements {
        let (kind, message) = refusal(&mut session, statement).await;
        assert_eq!(kind, ErrorKind::Forbidden, "{statement}: {message}");
        let checked = session.check(statement).await.unwrap_err();
        assert_eq!(checked.kind(), Some(ErrorKind::Forbidden), "{statement}: {checked}");
    }
    // A data-changing CTE is refused too; under which kind is the parser's affair.
    session.query("WITH gone AS (DELETE FROM facts) SELECT * FROM facts", 10).await.unwrap_err();
    assert_eq!(rows(&mut session, "SELECT n FROM facts").await, [[Cell::Int(1)]]);
    let left: Vec<_> = std::fs::read_dir(folder.outside("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 4, "only files, scratch, memory and the escape: {left:?}");
}

#[tokio::test]
async fn tables_that_are_not_of_the_folder() {
    let folder = Folder::with(&[("facts.csv", "n\n1\n")]);
    let escape = folder.outside("escape.csv");
    std::fs::write(&escape, "secret\n42\n").unwrap();
    let mut session = folder.session().await;
    let sources = [
        format!("'{}'", escape.display()),
        format!("\"{}\"", escape.display()),
        "\"../escape.csv\"".to_owned(),
        "\"http://127.0.0.1/escape.csv\"".to_owned(),
        "nowhere".to_owned(),
        "information_schema.tables".to_owned(),
        "bellwether.facts".to_owned(),
    ];
    for source in sources {
        let (kind, message) = refusal(&mut session, &format!("SELECT * FROM {source}")).await;
        assert_eq!(kind, ErrorKind::MissingTable, "{source}: {message}");
        assert!(message.contains("[\"facts\"]"), "{message}");
    }
    refusal(&mut session, &format!("SELECT * FROM read_csv('{}')", escape.display())).await;
}

#[tokio::test]
async fn users_cannot_name_intermediate_results() {
    let folder = Folder::with(&[("facts.csv", "n\n1\n")]);
    let mut session = folder.session().await;
    session.materialize("kept", "SELECT 1 AS n").await.unwrap();
    session.check("SELECT n FROM facts").await.unwrap();
    let error = session.check("SELECT n FROM (SELECT * FROM \"bellwether\".kept)").await.unwrap_err();
    assert_eq!(error.kind(), Some(ErrorKind::Forbidden), "{error}");
}

#[tokio::test]
async fn wrong_sql_is_told_with_its_place() {
    let folder = Folder::with(&[("facts.csv", "n,amount\n1,x\n")]);
    let mut session = folder.session().await;
    let cases = [
        ("SELEC 1", "Line: 1, Column: 1"),
        ("SELECT n\nFROM facts\nWHERE", "found: EOF"),
        ("SELECT n\nFROM facts\nWHERE n = = 1", "Line: 3, Column: 11"),
        ("SELECT n,\n  amuont FROM facts", "(line 2, column 3)"),
        ("SELECT 'open", "Line: 1"),
        ("SELECT CAST(amount AS DOUBLE) FROM facts", "'x'"),
        ("SELECT 1 / (n - 1) FROM facts", "ivide by zero"),
        (" -- nothing", "the SQL is empty"),
        ("", "the SQL is empty"),
    ];
    for (sql, expected) in cases {
        let (kind, message) = refusal(&mut session, sql).await;
        assert!(kind == ErrorKind::Sql, "{sql}: {kind:?} {message}");
        assert!(message.contains(expected), "{sql}: {message}");
    }
}

#[tokio::test]
async fn symlinks_may_not_lead_outside() {
    let folder = Folder::with(&[("facts.csv", "n\n1\n"), ("inner/_note.txt", "")]);
    let secret = folder.outside("secret.csv");
    std::fs::write(&secret, "n\n42\n").unwrap();
    let parquet = folder.outside("lake");
    std::fs::create_dir(&parquet).unwrap();
    symlink(&secret, folder.root().join("linked.csv")).unwrap();
    symlink(&parquet, folder.root().join("lake")).unwrap();
    symlink(&secret, folder.root().join("inner/part.parquet")).unwrap();
    symlink(folder.root().join("facts.csv"), folder.root().join("alias.csv")).unwrap();
    let mut session = folder.session().await;
    for name in ["linked", "lake", "inner"] {
        let (kind, message) = refusal(&mut session, &format!("SELECT * FROM {name}")).await;
        assert_eq!(kind, ErrorKind::Forbidden, "{name}: {message}");
        assert!(message.contains(name) && message.contains("outside the allowed roots"), "{message}");
    }
    assert_eq!(rows(&mut session, "SELECT n FROM alias").await, [[Cell::Int(1)]]);

    symlink(folder.outside(""), folder.root().join("up")).unwrap();
    for path in [folder.root().join("up"), folder.root().join(".."), folder.outside("lake")] {
        let Err(WarehouseError::Failed(failure)) = start(&folder.setup_at(&path)).await else { panic!("started") };
        assert_eq!(failure.kind, ErrorKind::Forbidden, "{}: {failure}", path.display());
    }
}

#[tokio::test]
async fn rows_beyond_the_limit() {
    let folder = Folder::with(&[]);
    let mut session = folder.session().await;
    let sql = "SELECT value FROM generate_series(1, 100000) ORDER BY value";
    assert_eq!(session.query(sql, 10).await.unwrap_err().kind(), Some(ErrorKind::RowLimit));
    let preview = session.preview(sql, 10).await.unwrap();
    assert_eq!(preview.rows.last(), Some(&vec![Cell::Int(10)]));
    assert_eq!(preview.rows.len(), 10);
    assert_eq!(session.query("SELECT value FROM generate_series(1, 10)", 10).await.unwrap().rows, 10);
}

/// Also where the engine takes a query's mistake for one of its own.
#[tokio::test]
async fn wrong_arguments_are_told_in_terms_of_the_query() {
    let folder = Folder::with(&[("facts.csv", "n\n1\n")]);
    let mut session = folder.session().await;
    let (kind, message) = refusal(&mut session, "SELECT regexp_like(n, 'a') FROM facts").await;
    assert!(kind == ErrorKind::Sql && message.contains("'regexp_like(Int64, Utf8)'"), "{kind:?}: {message}");
    for word in ["DataFusion", "bug", "Internal error", "github"] {
        assert!(!message.contains(word), "{word}: {message}");
    }
}

/// Where the process was started has no part in what a relative path means.
#[test]
fn a_relative_folder_lies_below_a_root() {
    let folder = Folder::with(&[("w/orders.csv", "id\n1\n")]);
    let files = |path: &str| WarehouseConfig::Files {
        path: path.into(),
        roots: vec!["/nowhere".into(), folder.root()],
        tables: Default::default(),
    };
    files("w").look().unwrap();
    for path in ["files/w", "..", "elsewhere"] {
        let refusal = files(path).look().unwrap_err().to_string();
        assert!(refusal.contains("is in none of") || refusal.contains("outside"), "{refusal}");
    }
}

/// Who calculates with text is told which column is text, why, and what to write.
#[tokio::test]
async fn a_text_column_is_named_with_its_remedies() {
    let folder = Folder::with(&[("t.csv", "k,amount,\"Other Sum\",n\na,1,1,5\nb,10.50,2,6\nc,N/A,2.50,7\n")]);
    let mut session = folder.session().await;
    for (sql, column) in [
        ("SELECT amount + 1 FROM t", "amount"),
        ("SELECT sum(t.amount) FROM t", "amount"),
        ("SELECT -\"Other Sum\" FROM t", "Other Sum"),
        ("SELECT sum(CAST(amount AS DOUBLE)), max(k), max(\"Other Sum\") FROM t", "amount"),
        ("SELECT k FROM t WHERE amount > 5", "amount"),
    ] {
        let (kind, message) = refusal(&mut session, sql).await;
        assert_eq!(kind, ErrorKind::Sql, "{message}");
        for word in [&format!("column {column:?} of \"t\""), "CAST(", "TRY_CAST", "NULLIF", "`tables`", "row 2"] {
            let is_other = word == "row 2" && column == "Other Sum";
            assert!(is_other || message.contains(word), "{sql}: {word}: {message}");
        }
    }
    let (_, message) = refusal(&mut session, "SELECT CAST(amount AS DOUBLE), k FROM t WHERE n > 6").await;
    assert!(message.starts_with("column \"amount\"") && message.contains("NULLIF(amount, 'N/A')"), "{message}");
    assert_eq!(rows(&mut session, "SELECT sum(TRY_CAST(amount AS DOUBLE)) FROM t").await, [[Cell::Float(11.5)]]);
}
