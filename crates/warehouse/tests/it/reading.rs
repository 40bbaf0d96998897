//! The text of a value survives reading; what cannot be read is told with its place.

use crate::folder::{Folder, refusal, rows, table};
use bellwether_warehouse::{Cell, ColumnType, ErrorKind, SaidType, Session, TableSettings};
use std::fmt::Write;

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

/// The column `c` of a table as the pipeline sees it: as text, in order.
async fn texts(session: &mut Session, name: &str) -> Vec<String> {
    let sql = format!("SELECT CAST(c AS VARCHAR) FROM {name} ORDER BY 1");
    let rows = rows(session, &sql).await;
    rows.iter().map(|row| if let Cell::Text(text) = &row[0] { text.clone() } else { format!("{:?}", row[0]) }).collect()
}

/// The type of a table's column `c`, and why.
async fn type_of(session: &mut Session, name: &str) -> (ColumnType, String) {
    let tables = session.tables().await.unwrap();
    let table = tables.iter().find(|table| table.name == name).unwrap();
    let column = table.columns.iter().find(|column| column.name == "c").unwrap();
    (column.kind, column.why.clone())
}

#[tokio::test]
async fn every_text_is_printed_back() {
    let columns: [(&str, &[&str], ColumnType); 22] = [
        ("padded", &["007", "011"], ColumnType::Text),
        ("mixed", &["07", "7"], ColumnType::Text),
        ("stranger", &["007", "Z"], ColumnType::Text),
        ("hashes", &["12e3", "4711", "7e"], ColumnType::Text),
        ("exponents", &["12e3", "12e4"], ColumnType::Text),
        ("pandas", &["1001.0", "1002.0"], ColumnType::Decimal),
        ("versions", &["1.10", "1.9"], ColumnType::Text),
        ("binary", &["00", "01"], ColumnType::Text),
        ("python", &["False", "True"], ColumnType::Text),
        ("json", &["false", "true"], ColumnType::Bool),
        ("money", &["-0.50", "12.00", "3.50"], ColumnType::Decimal),
        ("numbers", &["1", "1.5", "10"], ColumnType::Float),
        ("pointed", &["1.0", "1.25", "1e-05"], ColumnType::Float),
        ("small", &["0.00001", "1", "100000000000000000000"], ColumnType::Float),
        ("zeros", &["-0", "0"], ColumnType::Text),
        ("large", &["18446744073709551615", "7"], ColumnType::Text),
        ("signed", &["+1", "1"], ColumnType::Text),
        ("blank", &[" 1", "1 "], ColumnType::Text),
        ("integers", &["-9223372036854775808", "0", "42"], ColumnType::Int),
        ("days", &["2026-03-01", "2026-03-02"], ColumnType::Date),
        ("no_days", &["2026-02-28", "2026-02-30"], ColumnType::Text),
        ("words", &["NaN", "inf", "nan", "null"], ColumnType::Text),
    ];
    let folder = Folder::with(&[]);
    for (name, values, _) in columns {
        folder.write(&format!("{name}.csv"), &format!("c\n{}\n", values.join("\n")));
    }
    let mut session = folder.session().await;
    for (name, values, expected) in columns {
        assert_eq!(texts(&mut session, name).await, values, "{name}");
        assert_eq!(type_of(&mut session, name).await.0, expected, "{name}");
    }
}

#[tokio::test]
async fn doubles_print_alike_wherever_they_come_from() {
    let folder = Folder::with(&[("numbers.csv", "c,t\n1,1\n1.5,1.5\n"), ("pointed.csv", "c,t\n1.0,1.0\n2.25,2.25\n")]);
    folder.write_parquet("doubles.parquet", "SELECT CAST(1001 AS DOUBLE) AS c").await;
    let mut session = folder.session().await;
    assert_eq!(texts(&mut session, "doubles").await, ["1001"]);
    for name in ["numbers", "pointed"] {
        // Through a subquery, an intermediate result, a comparison with text, and a concatenation.
        session.materialize("kept", &format!("SELECT * FROM (SELECT c, t FROM {name}) s")).await.unwrap();
        for source in [name, "bellwether.kept"] {
            let sql = format!(
                "SELECT count(*) FROM {source} WHERE CAST(c AS VARCHAR) = CAST(t AS VARCHAR) AND c || '' = t || ''"
            );
            assert_eq!(rows(&mut session, &sql).await, [[Cell::Int(2)]], "{source}");
        }
    }
    let sql = "SELECT CAST(c AS VARCHAR) FROM numbers GROUP BY CAST(c AS VARCHAR) ORDER BY 1";
    assert_eq!(rows(&mut session, sql).await, [[text("1")], [text("1.5")]]);
    assert_eq!(table(&mut session, "SELECT CAST(c AS VARCHAR) FROM numbers").await.columns, ["numbers.c"]);
}

#[tokio::test]
async fn it_says_why_a_column_has_its_type() {
    let folder = Folder::with(&[
        ("ids.csv", "c\n1\n2\n"),
        ("versions.csv", "c\n1.9\n1.10\n"),
        ("empty.csv", "c,d\n,1\n"),
        ("parts/a.csv", "c\n1\n"),
        ("parts/b.csv", "c\n007\n"),
    ]);
    let mut session = folder.session().await;
    for (name, why) in [
        ("ids", "every value is an integer, printed back identically"),
        ("versions", "text: 1.10 would become 1.1 (row 2)"),
        ("empty", "text: every value is empty"),
        ("parts", "text: 007 would become 7 (row 1 of parts/b.csv)"),
    ] {
        assert_eq!(type_of(&mut session, name).await.1, why, "{name}");
    }
}

/// What comes late in a long file counts as what comes first.
#[tokio::test]
async fn types_hold_over_the_whole_file() {
    let many = 120_000;
    let mut late = "uid,value,at,n,note\n".to_owned();
    for row in 0..many {
        writeln!(late, "{row},,2026-03-01,{row},\"a\nb\"").unwrap();
    }
    late.push_str("007,2.5,2026-03-01T12:30:00Z,1.5,last\n");
    let folder = Folder::with(&[("late.csv", &late)]);
    let mut session = folder.session().await;
    let sql = "SELECT count(*), sum(value), max(n), max(CAST(at AS TIMESTAMP(6))), count(DISTINCT note), \
               count(*) FILTER (WHERE uid IN ('007', '7')) FROM late";
    let row = rows(&mut session, sql).await.remove(0);
    assert_eq!(row[..3], [Cell::Int(many + 1), Cell::Float(2.5), Cell::Float((many - 1) as f64)]);
    assert_eq!(row[3..], [Cell::Timestamp(1_772_368_200_000_000), Cell::Int(2), Cell::Int(2)]);
}

#[tokio::test]
async fn times_keep_to_one_listed_notation() {
    let base = 1_772_359_200_000_000;
    let columns: [(&str, &str, &[i64]); 7] = [
        ("iso", "2026-03-01T10:00:00\n2026-03-01T10:00:00.5", &[0, 500_000]),
        ("zoned", "2026-03-01T10:00:00Z\n2026-03-01T12:00:00+02:00", &[0, 0]),
        ("blank", "2026-03-01 10:00:00\n2026-03-01 10:00:01", &[0, 1_000_000]),
        ("postgres", "2026-03-01 10:00:00+00\n2026-03-01 10:00:00.25+00", &[0, 250_000]),
        ("snowflake", "2026-03-01 10:00:00.000 +0000\n2026-03-01 02:00:00.001 -0800", &[0, 1000]),
        ("bigquery", "2026-03-01 10:00:00 UTC\n2026-03-01 10:00:00.123456 UTC", &[0, 123_456]),
        ("fine", "2026-03-01 10:00:00.123456789 +0000\n2026-03-01 10:00:00.000000000 +0000", &[0, 123_456]),
    ];
    let folder = Folder::with(&[("several.csv", "c\n2026-03-01 10:00:00\n2026-03-01T10:00:00Z\n")]);
    for (name, values, _) in columns {
        folder.write(&format!("{name}.csv"), &format!("c\n{values}\n"));
    }
    let mut session = folder.session().await;
    for (name, _, expected) in columns {
        assert_eq!(type_of(&mut session, name).await.0, ColumnType::Timestamp, "{name}");
        let expected: Vec<_> = expected.iter().map(|micros| vec![Cell::Timestamp(base + micros)]).collect();
        assert_eq!(rows(&mut session, &format!("SELECT c FROM {name} ORDER BY c")).await, expected, "{name}");
    }
    assert_eq!(type_of(&mut session, "several").await.0, ColumnType::Text);
}

#[tokio::test]
async fn marks_line_ends_and_headers_of_every_kind() {
    let folder = Folder::with(&[
        ("marked.csv", "\u{feff}c,full name\r\n1,\"a\r\nb\"\r\n2,\"say \"\"b\"\"\"\r\n"),
        ("tabs.tsv", "c\td\n1\ta,b\n"),
        ("only_header.csv", "c,d\n"),
        ("unnamed.csv", ",c\n0,1\n"),
        ("semicolons.csv", "c;d\n1;2\n"),
    ]);
    let mut session = folder.session().await;
    let sql = "SELECT c, \"full name\" FROM marked ORDER BY c";
    assert_eq!(rows(&mut session, sql).await, [[Cell::Int(1), text("a\r\nb")], [Cell::Int(2), text("say \"b\"")]]);
    assert_eq!(rows(&mut session, "SELECT c, d FROM tabs").await, [[Cell::Int(1), text("a,b")]]);
    assert_eq!(rows(&mut session, "SELECT count(*), count(c) FROM only_header").await, [[Cell::Int(0), Cell::Int(0)]]);
    assert_eq!(rows(&mut session, "SELECT column_1, c FROM unnamed").await, [[Cell::Int(0), Cell::Int(1)]]);
    let (_, message) = refusal(&mut session, "SELECT c FROM semicolons").await;
    assert!(message.contains("one column only, \"c;d\""), "{message}");
}

#[tokio::test]
async fn what_is_wrong_in_a_file_is_named_with_its_place() {
    let folder = Folder::with(&[
        ("short.csv", "a,b\n1,2\n3\n"),
        ("long.csv", "a,b\n1,2,3\n"),
        ("twice.csv", "a,a\n1,2\n"),
        ("open.csv", "a,b\n1,\"2\n3,4\n"),
        ("zero.csv", ""),
        ("ok.csv", "a\n1\n"),
    ]);
    std::fs::write(folder.root().join("latin.csv"), b"a,b\n1,x\n2,M\xfcller\n").unwrap();
    std::fs::write(folder.root().join("cut.csv.gz"), b"\x1f\x8b\x08\0\0\0\0\0\0\x03").unwrap();
    let mut session = folder.session().await;
    for (name, words) in [
        ("short", &["short.csv", "row 2 (line 3)", "1 value", "2 columns"][..]),
        ("long", &["long.csv", "row 1 (line 2)", "3 values"]),
        ("twice", &["twice.csv", "\"a\" twice"]),
        ("open", &["open.csv", "row 1 (line 2)", "never closed"]),
        ("zero", &["zero.csv", "it is empty"]),
        ("latin", &["latin.csv", "row 2 (line 3)", "\"b\"", "UTF-8"]),
        ("cut", &["cut.csv.gz", "complete"]),
    ] {
        let (kind, message) = refusal(&mut session, &format!("SELECT * FROM {name}")).await;
        assert_eq!(kind, ErrorKind::File, "{message}");
        words.iter().for_each(|word| assert!(message.contains(word), "{word}: {message}"));
    }
    assert_eq!(rows(&mut session, "SELECT a FROM ok").await, [[Cell::Int(1)]]);
    let tables = session.tables().await.unwrap();
    assert_eq!(tables.iter().filter(|table| table.error.is_some()).count(), 7);
}

fn saying(columns: &[(&str, SaidType)]) -> TableSettings {
    TableSettings { columns: columns.iter().map(|(name, said)| ((*name).to_owned(), *said)).collect() }
}

#[tokio::test]
async fn an_author_says_what_columns_are() {
    let mut folder = Folder::with(&[
        ("facts.csv", "uid,n,x,at,ok,day\n7,007,12e3,2026-03-01,TRUE,2026-03-01\n8,,,2026-03-01 10:00:00 UTC,0,\n"),
        ("wrong.csv", "n,m\n1,1\n1.5,2\n"),
        ("named.csv", "n\n1\n"),
    ]);
    folder.write_parquet("lake.parquet", "SELECT 7 AS uid, 1.5 AS x, CAST('1' AS VARCHAR) AS n").await;
    use SaidType::{Bool, Date, Float, Int, Text, Timestamp};
    let facts = [("uid", Text), ("n", Int), ("x", Float), ("at", Timestamp), ("ok", Bool), ("day", Date)];
    folder.tables.insert("facts".into(), saying(&facts));
    folder.tables.insert("wrong".into(), saying(&[("n", Int)]));
    folder.tables.insert("named".into(), saying(&[("m", Int)]));
    folder.tables.insert("lake".into(), saying(&[("uid", Text), ("n", Int)]));
    let mut session = folder.session().await;
    let day = 1_772_323_200_000_000;
    let facts = rows(&mut session, "SELECT uid, n, x, at, ok, day FROM facts ORDER BY uid").await;
    let at = Cell::Timestamp(day);
    assert_eq!(facts[0], [text("7"), Cell::Int(7), Cell::Float(12000.0), at.clone(), Cell::Bool(true), at]);
    let at = Cell::Timestamp(day + 36_000_000_000);
    assert_eq!(facts[1], [text("8"), Cell::Null, Cell::Null, at, Cell::Bool(false), Cell::Null]);
    assert_eq!(rows(&mut session, "SELECT uid, n, x FROM lake").await, [[text("7"), Cell::Int(1), Cell::Float(1.5)]]);
    // What does not fit is an error, where it is read.
    let (kind, message) = refusal(&mut session, "SELECT sum(n) FROM wrong").await;
    assert_eq!(kind, ErrorKind::Sql);
    for word in ["wrong.csv", "row 2 (line 3)", "\"n\"", "\"1.5\"", "no int", "TRY_CAST"] {
        assert!(message.contains(word), "{word}: {message}");
    }
    assert_eq!(rows(&mut session, "SELECT sum(m) FROM wrong").await, [[Cell::Int(3)]]);
    let (_, message) = refusal(&mut session, "SELECT * FROM named").await;
    assert!(message.contains("\"m\"") && message.contains("[\"n\"]"), "{message}");
}

#[tokio::test]
async fn what_was_found_is_remembered_by_the_next_worker() {
    let folder = Folder::with(&[("facts.csv", "c\n1\n2\n")]);
    let path = folder.root().join("facts.csv");
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(rows(&mut folder.session().await, "SELECT sum(c) FROM facts").await, [[Cell::Int(3)]]);
    let kept: Vec<_> =
        std::fs::read_dir(folder.outside("memory")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(kept.len(), 1);
    // That it is read shows by what is made of it.
    let found = std::fs::read_to_string(&kept[0]).unwrap();
    std::fs::write(&kept[0], found.replace("\"open\":17", "\"open\":0")).unwrap();
    assert_eq!(type_of(&mut folder.session().await, "facts").await.0, ColumnType::Text, "{found}");
    // Half of it is as good as none.
    std::fs::write(&kept[0], &found[..found.len() / 2]).unwrap();
    assert_eq!(type_of(&mut folder.session().await, "facts").await.0, ColumnType::Int);
}
