//! Folders that are tables: all that is visible in them is read, or named.

use crate::folder::{Folder, refusal, rows};
use bellwether_warehouse::{Cell, ColumnType, ErrorKind};

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

/// The content as `zstd` or `gzip` writes it.
fn packed(content: &str, zst: bool) -> Vec<u8> {
    if zst {
        return zstd::stream::encode_all(content.as_bytes(), 3).unwrap();
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, content.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn text_files_of_every_packing_make_one_table() {
    let folder =
        Folder::with(&[("facts/a.csv", "c,t\n1,a\n"), ("facts/b.tsv", "t\tc\nb\t2\n"), ("facts/_SUCCESS", "")]);
    let gz = [packed("c,t\n3,c\n", false), packed("4,d\n", false)].concat();
    std::fs::write(folder.root().join("facts/c.csv.gz"), gz).unwrap();
    std::fs::write(folder.root().join("facts/d.tsv.ZST"), packed("c\tt\n5\te\n", true)).unwrap();
    std::fs::write(folder.root().join("alone.csv.gz"), packed("c\n7\n", false)).unwrap();
    let mut session = folder.session().await;
    let sql = "SELECT count(*), sum(c), min(t), max(t) FROM facts";
    assert_eq!(rows(&mut session, sql).await, [[Cell::Int(5), Cell::Int(15), text("a"), text("e")]]);
    assert_eq!(rows(&mut session, "SELECT c FROM alone").await, [[Cell::Int(7)]]);
    let tables = session.tables().await.unwrap();
    let found: Vec<_> = tables.iter().map(|table| (table.name.as_str(), table.file.as_str(), table.files)).collect();
    assert_eq!(found, [("alone", "alone.csv.gz", 1), ("facts", "facts", 4)]);
}

#[tokio::test]
async fn folders_that_name_values_add_columns() {
    let folder = Folder::with(&[
        ("facts/day=2026-03-01/shop=007/part.csv", "c\n1\n"),
        ("facts/day=2026-03-02/shop=7/part.csv", "c\n2\n"),
        ("facts/day=2026-03-02/shop=a%2Fb/part.csv", "c\n3\n"),
        ("facts/day=__HIVE_DEFAULT_PARTITION__/shop=7/part.csv", "c\n4\n"),
    ]);
    for day in 1..=3 {
        let sql = format!("SELECT value AS c FROM generate_series(1, {day})");
        folder.write_parquet(&format!("lake/day=2026-03-0{day}/n={day}/part.parquet"), &sql).await;
    }
    let mut session = folder.session().await;
    let sql = "SELECT c, day, shop FROM facts WHERE day >= DATE '2026-03-02' OR day IS NULL OR shop = '007' ORDER BY c";
    let day = |day: i64| Cell::Timestamp((1_772_323_200 + (day - 1) * 86_400) * 1_000_000);
    assert_eq!(
        rows(&mut session, sql).await,
        [
            [Cell::Int(1), day(1), text("007")],
            [Cell::Int(2), day(2), text("7")],
            [Cell::Int(3), day(2), text("a/b")],
            [Cell::Int(4), Cell::Null, text("7")]
        ]
    );
    let sql = "SELECT day, n, count(*), max(c) FROM lake WHERE n > 1 GROUP BY day, n ORDER BY day";
    assert_eq!(rows(&mut session, sql).await, [2, 3].map(|n| vec![day(n), Cell::Int(n), Cell::Int(n), Cell::Int(n)]));
    assert_eq!(rows(&mut session, "SELECT count(*) FROM lake").await, [[Cell::Int(6)]]);
    let tables = session.tables().await.unwrap();
    let types = |name: &str| {
        let table = tables.iter().find(|table| table.name == name).unwrap();
        table.columns.iter().map(|column| (column.name.clone(), column.kind)).collect::<Vec<_>>()
    };
    assert_eq!(types("facts")[1..], [("day".into(), ColumnType::Date), ("shop".into(), ColumnType::Text)]);
    assert_eq!(types("lake")[1..], [("day".into(), ColumnType::Date), ("n".into(), ColumnType::Int)]);
}

#[tokio::test]
async fn what_would_be_left_out_spoils_the_table_and_is_named() {
    let folder = Folder::with(&[
        ("ok.csv", "c\n1\n"),
        ("zero/a.csv", "c\n1\n"),
        ("zero/b.csv", ""),
        ("nested/a.csv", "c\n1\n"),
        ("nested/more/b.csv", "c\n2\n"),
        ("suffix/a.csv", "c\n1\n"),
        ("suffix/part-0001", "c\n2\n"),
        ("both/a.csv", "c\n1\n"),
        ("header/a.csv", "c,d\n1,2\n"),
        ("header/b.csv", "c,e\n1,2\n"),
        ("depth/a.csv", "c\n1\n"),
        ("depth/day=1/b.csv", "c\n1\n"),
        ("clash/c=1/b.csv", "c\n1\n"),
    ]);
    folder.write_parquet("both/b.parquet", "SELECT 1 AS c").await;
    folder.write_parquet("lake/a.parquet", "SELECT 1 AS c").await;
    folder.write_parquet("lake/b.parquet", "SELECT 1 AS d").await;
    folder.write_parquet("kinds/a.parquet", "SELECT 1 AS c").await;
    folder.write_parquet("kinds/b.parquet", "SELECT 'x' AS c").await;
    folder.write_parquet("hollow/a.parquet", "SELECT 1 AS c").await;
    folder.write("hollow/b.parquet", "");
    let mut session = folder.session().await;
    for (name, word) in [
        ("zero", "zero/b.csv"),
        ("nested", "nested/more"),
        ("suffix", "suffix/part-0001"),
        ("both", "both/b.parquet"),
        ("header", "header/b.csv"),
        ("depth", "depth/day=1/b.csv"),
        ("clash", "\"c\""),
        ("lake", "lake/b.parquet"),
        ("kinds", "kinds/b.parquet"),
        ("hollow", "hollow/b.parquet"),
    ] {
        let (kind, message) = refusal(&mut session, &format!("SELECT * FROM {name}")).await;
        assert_eq!(kind, ErrorKind::File, "{message}");
        assert!(message.contains(word), "{name}: {message}");
    }
    assert_eq!(rows(&mut session, "SELECT c FROM ok").await, [[Cell::Int(1)]]);
}

#[tokio::test]
async fn what_is_there_but_no_table_is_named() {
    let folder = Folder::with(&[("raw/part-0000", "c\n1\n"), ("years/2026/a.csv", "c\n1\n"), ("facts.txt", "c\n1\n")]);
    let mut session = folder.session().await;
    for (name, words) in [("raw", "part-0000"), ("years", "2026"), ("facts", "facts.txt")] {
        let (kind, message) = refusal(&mut session, &format!("SELECT * FROM {name}")).await;
        assert_eq!(kind, ErrorKind::MissingTable);
        assert!(message.contains(words), "{message}");
    }
    assert!(session.tables().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_file_that_is_changed_during_a_session_fails_the_query() {
    let folder = Folder::with(&[("facts.csv", "c\n1\n"), ("parts/a.csv", "c\n1\n"), ("other.csv", "c\n1\n")]);
    folder.write_parquet("lake.parquet", "SELECT 1 AS c").await;
    let mut session = folder.session().await;
    for name in ["facts", "parts", "other", "lake"] {
        assert_eq!(rows(&mut session, &format!("SELECT c FROM {name}")).await, [[Cell::Int(1)]]);
    }
    folder.write("facts.csv", "c\n22\n");
    folder.write("parts/b.csv", "c\n2\n");
    folder.write_parquet("lake.parquet", "SELECT 22 AS c, 3 AS d").await;
    for (name, word) in [("facts", "facts.csv"), ("parts", "parts/b.csv"), ("lake", "lake.parquet")] {
        let (kind, message) = refusal(&mut session, &format!("SELECT c FROM {name}")).await;
        assert_eq!(kind, ErrorKind::File, "{message}");
        assert!(message.contains(word) && message.contains("run again"), "{message}");
    }
    assert_eq!(rows(&mut session, "SELECT c FROM other").await, [[Cell::Int(1)]]);
    assert_eq!(rows(&mut folder.session().await, "SELECT sum(c) FROM parts").await, [[Cell::Int(3)]]);
}
