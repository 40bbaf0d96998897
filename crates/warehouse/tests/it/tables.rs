//! Which files are tables, and what their values become.

use crate::folder::{Folder, refusal, rows, start, table};
use bellwether_warehouse::{Cell, ColumnType, Dialect, ErrorKind, WarehouseError};

const ASSIGNMENTS: &str = "subject,at,variation,share\n\
    u1,2026-01-02,a,0.5\n\
    u2,2026-01-02T03:04:05Z,b,\n\
    u3,2026-01-02 03:04:05.000006+02:00,\"say \"\"b\"\"\n\",2\n";

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

#[tokio::test]
async fn a_csv_file_is_a_table() {
    let folder =
        Folder::with(&[("Assignments.csv", ASSIGNMENTS), ("notes.txt", "no table"), (".hidden.csv", "a\n1\n")]);
    let mut session = folder.session().await;
    // Unquoted names fold to lower case and still find the file.
    let answer = table(&mut session, "SELECT subject, variation, share FROM Assignments ORDER BY subject;").await;
    assert_eq!(answer.columns, ["subject", "variation", "share"]);
    assert_eq!(answer.rows[0], [text("u1"), text("a"), Cell::Float(0.5)]);
    assert_eq!(answer.rows[1], [text("u2"), text("b"), Cell::Null]);
    assert_eq!(answer.rows[2], [text("u3"), text("say \"b\"\n"), Cell::Float(2.0)]);
    let tables = session.tables().await.unwrap();
    assert_eq!(tables.len(), 1, "{tables:?}");
    assert_eq!((tables[0].name.as_str(), tables[0].file.as_str()), ("Assignments", "Assignments.csv"));
    let share = &tables[0].columns[3];
    assert_eq!((share.name.as_str(), share.kind), ("share", ColumnType::Float));
    assert_eq!(share.why, "every value is the shortest text of its number, printed back identically");
}

#[tokio::test]
async fn times_in_any_usual_form_become_utc_timestamps() {
    let folder = Folder::with(&[
        ("mixed.csv", ASSIGNMENTS),
        ("days.csv", "at\n2026-01-02\n"),
        ("zoned.csv", "at\n2026-01-02T03:04:05Z\n"),
        ("plain.csv", "at\n2026-01-02 03:04:05\n"),
        ("fine.csv", "at\n2026-01-02T03:04:05.000006\n"),
    ]);
    let mut session = folder.session().await;
    let dialect = Dialect::DataFusion;
    let at = dialect.micros("at");
    let midnight = 1_767_312_000_000_000;
    let three = midnight + (3 * 3600 + 4 * 60 + 5) * 1_000_000;
    let mixed = rows(&mut session, &format!("SELECT {at} FROM mixed ORDER BY subject")).await;
    assert_eq!(mixed, [midnight, three, three - 2 * 3_600_000_000 + 6].map(|micros| vec![Cell::Int(micros)]));
    for (file, micros) in [("days", midnight), ("zoned", three), ("plain", three), ("fine", three + 6)] {
        assert_eq!(rows(&mut session, &format!("SELECT {at} FROM {file}")).await, [[Cell::Int(micros)]], "{file}");
    }
    // A time of another zone is the same moment, and a time without one is UTC.
    for (time, micros) in [
        ("arrow_cast('2026-01-02T03:04:05Z', 'Timestamp(Second, Some(\"Europe/Berlin\"))')", three),
        (
            "arrow_cast('2026-01-02T03:04:05+02:00', 'Timestamp(Nanosecond, Some(\"+05:00\"))')",
            three - 2 * 3_600_000_000,
        ),
        ("arrow_cast('2026-01-02T03:04:05', 'Timestamp(Millisecond, None)')", three),
        ("DATE '2026-01-02'", midnight),
    ] {
        let sql = format!("SELECT {}", dialect.micros(time));
        assert_eq!(rows(&mut session, &sql).await, [[Cell::Int(micros)]], "{time}");
    }
    assert_eq!(rows(&mut session, &format!("SELECT {}", dialect.micros("'soon'"))).await, [[Cell::Null]]);
}

#[tokio::test]
async fn parquet_files_and_folders_are_tables() {
    let folder = Folder::with(&[]);
    folder.write_parquet("one.parquet", "SELECT 1 AS n, CAST('x' AS VARCHAR) AS t").await;
    for part in 0..3 {
        let sql = format!("SELECT value AS n FROM generate_series({}, {})", part * 10, part * 10 + 9);
        folder.write_parquet(&format!("many/part-{part}.parquet"), &sql).await;
    }
    folder.write("many/_SUCCESS", "");
    folder.write("empty/readme.txt", "no table");
    let mut session = folder.session().await;
    assert_eq!(rows(&mut session, "SELECT n, t FROM one").await, [[Cell::Int(1), text("x")]]);
    assert_eq!(rows(&mut session, "SELECT count(*), sum(n) FROM many").await, [[Cell::Int(30), Cell::Int(435)]]);
    let names: Vec<String> = session.tables().await.unwrap().into_iter().map(|table| table.name).collect();
    assert_eq!(names, ["many", "one"]);
}

#[tokio::test]
async fn values_of_every_type_arrive() {
    let folder = Folder::with(&[]);
    let mut session = folder.session().await;
    let sql = "SELECT CAST(1.5 AS DECIMAL(38, 10)), CAST('18446744073709551615' AS BIGINT UNSIGNED), true, NULL, \
               CAST('NaN' AS DOUBLE), DATE '1970-01-02', arrow_cast('d', 'Dictionary(Int32, Utf8)'), \
               CAST('0.1' AS DECIMAL(38, 20)), abs(-2), regexp_like('abc', '^a'), substr('abc', 2), \
               date_trunc('day', TIMESTAMP '1970-01-02T05:00:00')";
    let row = rows(&mut session, sql).await.remove(0);
    let day = Cell::Timestamp(86_400_000_000);
    assert_eq!(row[..4], [Cell::Float(1.5), Cell::Float(u64::MAX as f64), Cell::Bool(true), Cell::Null]);
    assert!(matches!(row[4], Cell::Float(value) if value.is_nan()));
    assert_eq!(row[5..8], [day.clone(), text("d"), Cell::Float(0.1)]);
    assert_eq!(row[8..], [Cell::Int(2), Cell::Bool(true), text("bc"), day]);
}

#[tokio::test]
async fn a_query_is_described_without_running() {
    let folder = Folder::with(&[("facts.csv", "subject,amount\nu1,1\n")]);
    let mut session = folder.session().await;
    let sql = "SELECT subject, amount / 0 AS broken, CAST(amount AS DECIMAL(10, 2)) AS d, now() AS t FROM facts";
    let columns = session.describe(sql).await.unwrap();
    let kinds: Vec<(&str, ColumnType)> = columns.iter().map(|column| (column.name.as_str(), column.kind)).collect();
    assert_eq!(
        kinds,
        [
            ("subject", ColumnType::Text),
            ("broken", ColumnType::Int),
            ("d", ColumnType::Decimal),
            ("t", ColumnType::Timestamp)
        ]
    );
}

#[tokio::test]
async fn intermediate_results_stand_apart_from_files() {
    let folder = Folder::with(&[("daily.csv", "n\n7\n")]);
    let mut session = folder.session().await;
    let made = session.materialize("daily", "SELECT n + 1 AS n FROM daily").await.unwrap();
    assert_eq!(made.rows, 1);
    let own = Dialect::DataFusion.intermediate("daily");
    let both = format!("SELECT f.n, d.n FROM daily f, {own} d");
    assert_eq!(rows(&mut session, &both).await, [[Cell::Int(7), Cell::Int(8)]]);
    // A later one replaces it, and may be made from it.
    session.materialize("daily", &format!("SELECT n * 10 AS n FROM {own}")).await.unwrap();
    assert_eq!(rows(&mut session, &both).await, [[Cell::Int(7), Cell::Int(80)]]);
    // A failure leaves it.
    session.materialize("daily", "SELECT 1 / (n - 7) FROM daily").await.unwrap_err();
    assert_eq!(rows(&mut session, &both).await, [[Cell::Int(7), Cell::Int(80)]]);
}

#[tokio::test]
async fn empty_results_can_be_kept() {
    let folder = Folder::with(&[("facts.csv", "subject,amount\nu1,1\n")]);
    let mut session = folder.session().await;
    let made = session.materialize("none", "SELECT subject, amount FROM facts WHERE amount > 5").await.unwrap();
    assert_eq!(made.rows, 0);
    let sql = "SELECT count(*), exact_sum(CAST(amount AS DOUBLE)) FROM bellwether.none";
    assert_eq!(rows(&mut session, sql).await, [[Cell::Int(0), Cell::Null]]);
}

#[tokio::test]
async fn two_files_of_one_name_spoil_that_table_alone() {
    let folder = Folder::with(&[("facts.csv", "n\n1\n"), ("facts.parquet", ""), ("other.csv", "n\n2\n")]);
    let mut session = folder.session().await;
    let (kind, message) = refusal(&mut session, "SELECT * FROM facts").await;
    assert_eq!(kind, ErrorKind::File);
    assert!(message.contains("\"facts.csv\" and \"facts.parquet\""), "{message}");
    assert_eq!(rows(&mut session, "SELECT n FROM other").await, [[Cell::Int(2)]]);
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    let folder = Folder::with(&[("broken.parquet", "PAR1 not at all"), ("empty.csv", ""), ("ok.csv", "n\n1\n")]);
    let mut session = folder.session().await;
    for (name, file) in [("broken", "broken.parquet"), ("empty", "empty.csv")] {
        let (kind, message) = refusal(&mut session, &format!("SELECT * FROM {name}")).await;
        assert_eq!(kind, ErrorKind::File, "{message}");
        assert!(message.contains(file), "{message}");
    }
    assert_eq!(rows(&mut session, "SELECT n FROM ok").await, [[Cell::Int(1)]]);
    let tables = session.tables().await.unwrap();
    assert_eq!(tables.iter().filter(|table| table.error.is_some()).count(), 2);
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let folder = Folder::with(&[]);
    let missing = folder.root().join("nowhere");
    let Err(WarehouseError::Failed(failure)) = start(&folder.setup_at(&missing)).await else { panic!("started") };
    assert_eq!(failure.kind, ErrorKind::File);
    assert!(failure.message.contains("nowhere"), "{failure}");
}
