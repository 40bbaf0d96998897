//! Two runs over the same data give the same bits, however the work is spread.

use crate::folder::{Folder, rows};
use bellwether_warehouse::{Cell, Dialect};

/// Per-subject sums, then moments per variation, as a pipeline asks for them.
fn moments_sql(facts: &str) -> (String, String) {
    let dialect = Dialect::DataFusion;
    let per_subject = format!(
        "SELECT subject, subject % 2 AS variation, {} AS total FROM {facts} GROUP BY subject",
        dialect.exact_sum("amount")
    );
    let total = "total";
    let first_pass = format!(
        "SELECT variation, count(*) AS n, {} / count(*) AS mean FROM bellwether.subjects GROUP BY variation",
        dialect.exact_sum(total)
    );
    let deviation = format!("({total} - mean)");
    let moments = format!(
        "SELECT s.variation, min(n) AS n, min(mean) AS mean, {} AS m2 FROM bellwether.subjects s \
         JOIN ({first_pass}) means ON means.variation = s.variation GROUP BY s.variation ORDER BY s.variation",
        dialect.exact_sum(&format!("{deviation} * {deviation}"))
    );
    (per_subject, moments)
}

#[tokio::test]
async fn moments_do_not_depend_on_the_run_or_on_the_order_of_rows() {
    let folder = Folder::with(&[]);
    let facts = "SELECT value % 50000 AS subject, sin(value) * pow(10.0, CAST(value % 7 AS DOUBLE)) AS amount \
                 FROM generate_series(1, 600000)";
    folder.write_parquet("facts.parquet", facts).await;
    folder.write_parquet("shuffled/a.parquet", "SELECT * FROM facts WHERE subject % 3 = 1 ORDER BY amount").await;
    folder.write_parquet("shuffled/b.parquet", "SELECT * FROM facts WHERE subject % 3 <> 1 ORDER BY amount DESC").await;
    let mut answers: Vec<Vec<Vec<Cell>>> = Vec::new();
    for source in ["facts", "facts", "shuffled"] {
        let mut session = folder.session().await;
        let (per_subject, moments) = moments_sql(source);
        assert_eq!(session.materialize("subjects", &per_subject).await.unwrap().rows, 50_000);
        answers.push(rows(&mut session, &moments).await);
    }
    assert_eq!(answers[0].len(), 2);
    assert_eq!(answers[0][0][1], Cell::Int(25_000));
    assert!(matches!(answers[0][0][3], Cell::Float(m2) if m2 > 0.0));
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
}

#[tokio::test]
async fn sums_are_exact_and_quantiles_of_type_7() {
    let folder = Folder::with(&[("x.csv", "x\n0.1\n0.2\n0.3\n10\n")]);
    let mut session = folder.session().await;
    let dialect = Dialect::DataFusion;
    let sql = format!(
        "SELECT {}, {}, {}, {}, {} FROM x",
        dialect.exact_sum("x"),
        dialect.quantile("x", 0.5),
        dialect.quantile("x", 0.9),
        dialect.count_distinct("x > 0.15"),
        dialect.greatest("1", &dialect.least("2", "3")),
    );
    // numpy.quantile([0.1, 0.2, 0.3, 10], [0.5, 0.9]) and math.fsum.
    let row = rows(&mut session, &sql).await.remove(0);
    let floats: Vec<f64> =
        row[..3].iter().map(|cell| if let Cell::Float(value) = cell { *value } else { panic!("{cell:?}") }).collect();
    assert_eq!(floats[0], 10.6);
    assert!((floats[1] - 0.25).abs() < 1e-15 && (floats[2] - 7.09).abs() < 1e-12, "{floats:?}");
    assert_eq!(row[3..], [Cell::Int(2), Cell::Int(2)]);
}

/// What cancels, what is far smaller than the rest, and what is beyond all doubles on the way: each group's sum is that
/// of Python's math.fsum, in whatever order its values come.
#[tokio::test]
async fn the_sum_of_each_of_many_groups_is_exact() {
    let folder = Folder::with(&[]);
    let values = "SELECT value % 5000 AS g, CASE value / 5000 \
                  WHEN 0 THEN 1e100 WHEN 1 THEN 1.0 WHEN 2 THEN -1e100 WHEN 3 THEN 1e-100 WHEN 4 THEN 0.1 \
                  WHEN 5 THEN 1e308 WHEN 6 THEN 1e308 WHEN 7 THEN -1e308 ELSE -1e308 END AS x \
                  FROM generate_series(0, 44999)";
    folder.write_parquet("forth.parquet", values).await;
    folder.write_parquet("back.parquet", &format!("SELECT * FROM ({values}) AS v ORDER BY x, g DESC")).await;
    let mut session = folder.session().await;
    let sum = Dialect::DataFusion.exact_sum("x");
    for table in ["forth", "back"] {
        let sql =
            format!("SELECT COUNT(*), MIN(s), MAX(s) FROM (SELECT g, {sum} AS s FROM {table} GROUP BY g) AS sums");
        assert_eq!(rows(&mut session, &sql).await, [[Cell::Int(5000), Cell::Float(1.1), Cell::Float(1.1)]], "{table}");
    }
    let all = rows(&mut session, &format!("SELECT {sum}, {sum} FILTER (WHERE x < -1e309) FROM forth")).await;
    assert_eq!(all, [[Cell::Float(5500.0), Cell::Null]]);
}

#[tokio::test]
async fn what_is_no_finite_number_ends_the_query_and_says_where() {
    let folder = Folder::with(&[("x.csv", "g,x\n1,1e308\n1,1e308\n2,1\n")]);
    let mut session = folder.session().await;
    let dialect = Dialect::DataFusion;
    for sql in [
        format!("SELECT {} FROM x", dialect.exact_sum("CAST(x AS DOUBLE)")),
        format!("SELECT g, {} FROM x GROUP BY g", dialect.exact_sum("CAST(x AS DOUBLE)")),
    ] {
        let error = session.query(&sql, 10).await.unwrap_err().to_string();
        assert!(error.contains("beyond"), "{error}");
    }
    let checked = dialect.finite("CAST(x AS DOUBLE) / (g - 2)", "the column \"x\" of 'Orders'");
    let sql = format!("SELECT CASE WHEN g = 2 THEN {checked} END FROM x");
    let error = session.query(&sql, 10).await.unwrap_err().to_string();
    assert!(error.contains("the column \"x\" of 'Orders' holds inf"), "{error}");
    let others = format!("SELECT CASE WHEN g <> 2 THEN {checked} END IS NULL AS n FROM x ORDER BY n");
    assert_eq!(rows(&mut session, &others).await.len(), 3, "only where it is asked for");
}
