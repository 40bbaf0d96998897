//! Two runs over the same data give the same bits, however the work is spread.

use crate::folder::{Folder, rows};
use bellwether_warehouse::{Cell, Dialect};

/// Per-subject sums, then moments per variation, as a pipeline asks for them.
fn moments_sql(facts: &str) -> (String, String) {
    let dialect = Dialect::DataFusion;
    let per_subject = format!(
        "SELECT subject, subject % 2 AS variation, {} AS total FROM {facts} GROUP BY subject",
        dialect.decimal_sum("amount")
    );
    let total = dialect.to_double("total");
    let first_pass = format!(
        "SELECT variation, count(*) AS n, {} / count(*) AS mean FROM bellwether.subjects GROUP BY variation",
        dialect.exact_sum(&total)
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
        "SELECT {}, {}, {}, {}, {}, {} FROM x",
        dialect.decimal_sum("x"),
        dialect.exact_sum("x"),
        dialect.quantile("x", 0.5),
        dialect.quantile("x", 0.9),
        dialect.count_distinct("x > 0.15"),
        dialect.greatest("1", &dialect.least("2", "3")),
    );
    // numpy.quantile([0.1, 0.2, 0.3, 10], [0.5, 0.9]) and math.fsum.
    let row = rows(&mut session, &sql).await.remove(0);
    let floats: Vec<f64> =
        row[..4].iter().map(|cell| if let Cell::Float(value) = cell { *value } else { panic!("{cell:?}") }).collect();
    assert_eq!(floats[..2], [10.6, 10.6]);
    assert!((floats[2] - 0.25).abs() < 1e-15 && (floats[3] - 7.09).abs() < 1e-12, "{floats:?}");
    assert_eq!(row[4..], [Cell::Int(2), Cell::Int(2)]);
}
