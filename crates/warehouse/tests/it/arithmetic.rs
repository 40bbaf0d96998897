//! Integers do not go on from the largest to the smallest without a word.

use crate::folder::{Folder, refusal, rows, table};
use bellwether_warehouse::{Cell, ErrorKind};

#[tokio::test]
async fn what_does_not_fit_is_an_error() {
    let folder = Folder::with(&[("facts.csv", "k,n,m\na,9223372036854775807,1\na,1,2\nb,-9223372036854775808,3\n")]);
    let mut session = folder.session().await;
    for sql in [
        "SELECT 9223372036854775807 + 1",
        "SELECT n + m FROM facts",
        "SELECT n * m FROM facts",
        "SELECT n - m FROM facts",
        "SELECT -n FROM facts",
        "SELECT 1 << 63",
        "SELECT 3 << 64",
        "SELECT m << 62 FROM facts",
        "SELECT abs(n) FROM facts",
        "SELECT CAST(n AS INT) FROM facts",
        "SELECT CAST(1e300 AS BIGINT)",
        "SELECT sum(n) FROM facts WHERE k = 'a'",
        "SELECT k, sum(n) FROM facts GROUP BY k",
        "SELECT sum(DISTINCT n) FROM facts WHERE k = 'a'",
        "SELECT sum(n) OVER (ORDER BY m) FROM facts",
        "SELECT sum(n) OVER (ORDER BY m ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM facts",
        "SELECT count(*) FROM facts WHERE n + 1 > 0",
        "SELECT f.m FROM facts f WHERE EXISTS (SELECT 1 FROM facts g WHERE g.n + 1 > f.m)",
        "SELECT sum(n + 1) FROM facts",
        "SELECT sum(CAST(9e27 AS DECIMAL(38, 10))) FROM facts",
        "SELECT k, sum(CAST(9e27 AS DECIMAL(38, 10))) FROM facts GROUP BY k",
    ] {
        let (kind, message) = refusal(&mut session, sql).await;
        assert_eq!(kind, ErrorKind::Sql, "{sql}: {message}");
    }
    let (_, message) = refusal(&mut session, "SELECT n + m FROM facts").await;
    assert!(message.contains("64 bits") && message.contains("DECIMAL(38, 0)"), "{message}");
}

#[tokio::test]
async fn what_fits_is_as_it_was() {
    let folder = Folder::with(&[("facts.csv", "k,n,x\na,1,1.5\na,2,\nb,3,2.5\nc,,1\n")]);
    let mut session = folder.session().await;
    let answer = table(&mut session, "SELECT n + 1, -n, n * 2 - 1 AS odd, n / 2, x * 2 FROM facts WHERE n = 3").await;
    assert_eq!(answer.rows, [[Cell::Int(4), Cell::Int(-3), Cell::Int(5), Cell::Int(1), Cell::Float(5.0)]]);
    assert_eq!(answer.columns[0], "facts.n + Int64(1)");
    assert_eq!(
        rows(&mut session, "SELECT n << 4, -n << 2 FROM facts WHERE n = 3").await,
        [[Cell::Int(48), Cell::Int(-12)]]
    );
    let sql =
        "SELECT k, sum(n), sum(x), sum(DISTINCT n), count(*) FROM facts GROUP BY k HAVING sum(n) + 1 > 3 ORDER BY k";
    let group = |k: &str, n: i64, x: f64| vec![Cell::Text(k.into()), Cell::Int(n), Cell::Float(x), Cell::Int(n)];
    let found = rows(&mut session, sql).await;
    assert_eq!(found.iter().map(|row| row[..4].to_vec()).collect::<Vec<_>>(), [group("a", 3, 1.5), group("b", 3, 2.5)]);
    let sql = "SELECT sum(n) FROM facts WHERE k = 'c' UNION ALL SELECT sum(9223372036854775807 - n + n) FROM facts WHERE n = 1 ORDER BY 1 NULLS FIRST";
    assert_eq!(rows(&mut session, sql).await, [[Cell::Null], [Cell::Int(i64::MAX)]]);
    let sql = "SELECT sum(CAST(x AS DECIMAL(38, 10))), sum(DISTINCT CAST(x AS DECIMAL(38, 10))) FROM facts";
    assert_eq!(rows(&mut session, sql).await, [[Cell::Float(5.0), Cell::Float(5.0)]]);
    let sql = "SELECT k, n + 1, sum(n + 0) FROM facts WHERE k = 'b' GROUP BY ROLLUP(k, n + 1) ORDER BY 1, 2";
    let expected =
        [[Cell::Text("b".into()), Cell::Int(4)], [Cell::Text("b".into()), Cell::Null], [Cell::Null, Cell::Null]];
    assert_eq!(rows(&mut session, sql).await, expected.map(|[k, n]| vec![k, n, Cell::Int(3)]));
    let sql = "SELECT DATE '2026-03-01' + INTERVAL '1 day', now() - INTERVAL '1 day' < now(), \
               sum(n) OVER (PARTITION BY k ORDER BY n) FROM facts ORDER BY 3 LIMIT 1";
    assert_eq!(rows(&mut session, sql).await[0][1..], [Cell::Bool(true), Cell::Int(1)]);
}
