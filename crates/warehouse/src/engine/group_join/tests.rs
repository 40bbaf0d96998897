//! A group join gives what a join and an aggregation behind it give, on anything.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringViewArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::TableReference;
use datafusion::datasource::MemTable;
use datafusion::physical_plan::displayable;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::is_declined;
use crate::Cell;
use crate::dialect::SCRATCH_SCHEMA;
use crate::engine::intermediate::Intermediate;
use crate::engine::statement::{Author, Query};
use crate::engine::{CATALOG, Engine, Joins};
use crate::protocol::{Setup, WarehouseConfig};

const MEBIBYTE: u64 = 1024 * 1024;
const MOST_ROWS: usize = 1_000_000;

/// What a run asks for: all operations, with inputs computed of both sides.
fn statement(on: &str) -> String {
    format!(
        "SELECT subject, tally(arm, is_before, is_after) AS tally, exact_sum(x0) FILTER (WHERE k0) AS v0, \
         CAST(NULLIF(COUNT(x1) FILTER (WHERE k1), 0) AS DOUBLE) AS v1, \
         exact_sum(x0) / CAST(NULLIF(COUNT(x0), 0) AS DOUBLE) AS v2, COUNT(DISTINCT x2) FILTER (WHERE k0) AS v3, \
         FIRST_VALUE(x0 ORDER BY at, x0) FILTER (WHERE k1 AND x0 IS NOT NULL) AS v4, \
         FIRST_VALUE(x0 ORDER BY at DESC, x0 DESC) FILTER (WHERE k0 AND x0 IS NOT NULL) AS v5, \
         CASE WHEN exact_sum(x0) FILTER (WHERE k1) >= 100 THEN 1.0 END AS v6, MIN(x3) FILTER (WHERE k0) AS v7, \
         CAST(SUM(x4) FILTER (WHERE k0) AS DOUBLE) AS v8, COUNT(*) AS v9\n\
         FROM (SELECT a.subject AS subject, a.arm AS arm, f.at AS at, f.at < a.assigned_at AS is_before, \
         f.at >= 80 AS is_after, finite(f.amount, 'the amount') AS x0, 1 AS x1, f.label AS x2, \
         CAST(greatest(f.at - a.assigned_at, 0) AS DOUBLE) AS x3, f.cents AS x4, \
         f.at >= a.assigned_at AND f.at < 80 AS k0, f.at >= a.assigned_at AND f.label IN ('x', 'y') AS k1\n\
         FROM bellwether.subjects AS a JOIN (SELECT \"user\" AS subject, at, amount, label, cents FROM bellwether.facts) AS f \
         ON {on}\nWHERE NOT a.is_mixed) AS facts_of_subjects\nGROUP BY subject"
    )
}

const SAME: &str = "f.subject = a.subject";

/// The same with a tally's parts apart, in order.
fn flat(statement: &str) -> String {
    let parts = ["arm", "facts", "before_assignment", "after_end"].map(|part| format!("get_field(tally, '{part}')"));
    let values: Vec<_> = (0..10).map(|place| format!("v{place}")).collect();
    format!("SELECT subject, {}, {} FROM ({statement}) AS t ORDER BY subject", parts.join(", "), values.join(", "))
}

#[derive(Debug, Clone)]
struct Fact {
    subject: Option<i64>,
    at: Option<i64>,
    amount: Option<f64>,
    label: Option<String>,
    cents: Option<i64>,
}

#[derive(Debug, Clone)]
struct Subject {
    arm: i64,
    assigned_at: Option<i64>,
    is_mixed: bool,
}

/// How a number becomes the key of a subject.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Key {
    Dense,
    Small,
    Sparse,
    ShortText,
    LongText,
    Utf8,
}

impl Key {
    fn array(self, keys: impl Iterator<Item = Option<i64>>) -> ArrayRef {
        let spread = |key: i64| key.wrapping_mul(0x1234_5678_9abc_def1);
        let text = |prefix: &'static str| move |key: i64| format!("{prefix}{key}");
        match self {
            Key::Dense => Arc::new(keys.collect::<Int64Array>()),
            Key::Small => cast(&(Arc::new(keys.collect::<Int64Array>()) as ArrayRef), &DataType::Int16).unwrap(),
            Key::Sparse => Arc::new(keys.map(|key| key.map(spread)).collect::<Int64Array>()),
            Key::ShortText => Arc::new(keys.map(|key| key.map(text("u"))).collect::<StringViewArray>()),
            Key::LongText => {
                Arc::new(keys.map(|key| key.map(text("a subject of a long name "))).collect::<StringViewArray>())
            }
            Key::Utf8 => cast(&Key::LongText.array(keys), &DataType::Utf8).unwrap(),
        }
    }
}

fn subjects_batch(key: Key, rows: &[(Option<i64>, Subject)]) -> RecordBatch {
    RecordBatch::try_from_iter([
        ("subject", key.array(rows.iter().map(|(key, _)| *key))),
        ("arm", Arc::new(rows.iter().map(|(_, it)| Some(it.arm)).collect::<Int64Array>()) as ArrayRef),
        ("assigned_at", Arc::new(rows.iter().map(|(_, it)| it.assigned_at).collect::<Int64Array>()) as ArrayRef),
        ("is_mixed", Arc::new(rows.iter().map(|(_, it)| Some(it.is_mixed)).collect::<BooleanArray>()) as ArrayRef),
    ])
    .unwrap()
}

fn facts_batch(key: Key, rows: &[Fact]) -> RecordBatch {
    let cents: Decimal128Array = rows.iter().map(|it| it.cents.map(i128::from)).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("user", key.array(rows.iter().map(|it| it.subject)), true),
        ("at", Arc::new(rows.iter().map(|it| it.at).collect::<Int64Array>()) as ArrayRef, true),
        ("amount", Arc::new(rows.iter().map(|it| it.amount).collect::<Float64Array>()) as ArrayRef, true),
        ("label", Arc::new(rows.iter().map(|it| it.label.as_deref()).collect::<StringViewArray>()) as ArrayRef, true),
        ("cents", Arc::new(cents.with_precision_and_scale(20, 2).unwrap()) as ArrayRef, true),
    ])
    .unwrap()
}

/// A source of facts as a file.
const ORDERS: &str = "user,at,amount,country,day\n1,2026-03-01 10:00:00,2.5,DE,2026-03-01\n";

/// An engine that knows the two tables as intermediate results.
struct Bench {
    engine: Engine,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn of(subjects: RecordBatch, facts: RecordBatch, memory_limit_bytes: u64) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("files");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("orders.csv"), ORDERS).unwrap();
        let warehouse = WarehouseConfig::Files { path: root.clone(), roots: vec![root], tables: Default::default() };
        let setup = Setup { warehouse, scratch: folder.path().join("scratch"), memory: None, memory_limit_bytes };
        let mut engine = Engine::start(&setup).unwrap();
        for (name, batch) in [("subjects", subjects), ("facts", facts)] {
            let half = batch.num_rows() / 2;
            let parts = vec![vec![batch.slice(0, half)], vec![batch.slice(half, batch.num_rows() - half)]];
            let table = MemTable::try_new(batch.schema(), parts).unwrap();
            let reference = TableReference::full(CATALOG, SCRATCH_SCHEMA, name);
            engine.context.register_table(reference, Arc::new(table)).unwrap();
            engine.intermediates.insert(name.to_owned(), Intermediate::default());
        }
        Bench { engine, _folder: folder }
    }

    async fn plan(&self, sql: &str) -> String {
        let state = self.engine.state(Joins::Grouped).unwrap();
        let plan = self.engine.plan(&state, &self.query(sql).await).await.unwrap();
        displayable(state.create_physical_plan(&plan).await.unwrap().as_ref()).indent(false).to_string()
    }

    async fn query(&self, sql: &str) -> Query {
        self.engine.prepare(sql, Author::Pipeline).await.unwrap()
    }

    /// The rows, or the error's words.
    async fn run(&self, sql: &str, joins: Joins) -> Result<Vec<Vec<Cell>>, String> {
        let table = self.engine.collect(&self.query(sql).await, joins, MOST_ROWS).await;
        table.map(|table| table.rows).map_err(|error| {
            assert!(!is_declined(&error), "{error}");
            error.find_root().strip_backtrace()
        })
    }
}

fn amounts() -> impl Strategy<Value = f64> {
    let plain = (-1000_i32..100_000).prop_map(|cents| f64::from(cents) / 100.0);
    let odd = prop::sample::select(vec![0.0, -0.0, 1e300, -1e300, 1e-300, 5e-324, 0.1, f64::EPSILON]);
    let great = prop::sample::select(vec![f64::MAX, -f64::MAX]);
    prop_oneof![600 => plain, 200 => odd, 100 => prop::num::f64::NORMAL, 1 => great]
}

fn facts(most: usize) -> impl Strategy<Value = Vec<Fact>> {
    let label = option::weighted(0.8, prop::sample::select(vec!["x", "y", "z", ""]).prop_map(str::to_owned));
    let fact = (
        option::weighted(0.95, 0..60_i64),
        option::weighted(0.95, 0..100_i64),
        option::weighted(0.9, amounts()),
        label,
        option::weighted(0.9, -10_000..10_000_i64),
    );
    let fact = fact.prop_map(|(subject, at, amount, label, cents)| Fact { subject, at, amount, label, cents });
    vec(fact, 0..most)
}

/// Subjects by different keys; at most one has none.
fn subjects() -> impl Strategy<Value = Vec<(Option<i64>, Subject)>> {
    let subject = (0..3_i64, option::weighted(0.95, 0..100_i64), prop::bool::weighted(0.1))
        .prop_map(|(arm, assigned_at, is_mixed)| Subject { arm, assigned_at, is_mixed });
    let key = option::weighted(0.97, 10..80_i64);
    prop::collection::btree_map(key, subject, 0..60).prop_map(|rows| rows.into_iter().collect())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn gives_what_the_plain_plan_gives(
        subjects in subjects(),
        facts in prop_oneof![3 => facts(200), 1 => facts(3000)],
        key in prop::sample::select(vec![
            Key::Dense, Key::Small, Key::Sparse, Key::ShortText, Key::LongText, Key::Utf8,
        ]),
    ) {
        runtime().block_on(async {
            let bench = Bench::of(subjects_batch(key, &subjects), facts_batch(key, &facts), 256 * MEBIBYTE);
            let statement = statement(SAME);
            assert!(bench.plan(&statement).await.contains("GroupJoinExec"));
            let sql = flat(&statement);
            let (own, plain) = (bench.run(&sql, Joins::Grouped).await, bench.run(&sql, Joins::Hash).await);
            // Of two errors, either may be met first.
            let without_sign = |error: String| error.replace("-inf", "inf");
            assert_eq!(own.map_err(without_sign), plain.map_err(without_sign));
        });
    }
}

fn subject(arm: i64) -> Subject {
    Subject { arm, assigned_at: Some(0), is_mixed: false }
}

fn fact(subject: i64, amount: f64) -> Fact {
    Fact { subject: Some(subject), at: Some(1), amount: Some(amount), label: None, cents: None }
}

fn many(groups: i64, facts: i64) -> (RecordBatch, RecordBatch) {
    let subjects: Vec<_> = (0..groups).map(|key| (Some(key), subject(key % 2))).collect();
    let facts: Vec<_> = (0..facts).map(|place| fact(place * 7 % (groups + 9), place as f64 / 8.0)).collect();
    (subjects_batch(Key::Dense, &subjects), facts_batch(Key::Dense, &facts))
}

/// `ON` as it is written for subjects of integers and facts of texts, and the other way round.
#[tokio::test]
async fn keys_of_different_types_meet_as_text() {
    let rows = |key| subjects_batch(key, &[(Some(7), subject(1)), (Some(8), subject(0))]);
    let facts = |key| facts_batch(key, &[fact(7, 0.5), fact(7, 1.5), fact(9, 1.0)]);
    let as_text = |batch: RecordBatch| {
        let mut columns = batch.columns().to_vec();
        columns[0] = cast(&columns[0], &DataType::Utf8View).unwrap();
        let names: Vec<_> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
        RecordBatch::try_from_iter_with_nullable(names.into_iter().zip(columns).map(|(name, it)| (name, it, true)))
            .unwrap()
    };
    let cases = [
        (rows(Key::Dense), as_text(facts(Key::Dense)), "f.subject = CAST(a.subject AS VARCHAR)"),
        (as_text(rows(Key::Dense)), facts(Key::Dense), "CAST(f.subject AS VARCHAR) = a.subject"),
    ];
    for (subjects, facts, on) in cases {
        let bench = Bench::of(subjects, facts, 256 * MEBIBYTE);
        let statement = statement(on);
        let plan = bench.plan(&statement).await;
        assert!(plan.contains("GroupJoinExec"), "{plan}");
        let sql = flat(&statement);
        let own = bench.run(&sql, Joins::Grouped).await.unwrap();
        assert_eq!(own[0][1..4], [Cell::Int(1), Cell::Int(2), Cell::Int(0)]);
        assert_eq!(own[0][5], Cell::Float(2.0));
        assert_eq!(own, bench.run(&sql, Joins::Hash).await.unwrap());
    }
}

#[tokio::test]
async fn a_value_that_is_no_number_and_a_sum_too_great_are_errors() {
    let subjects = || subjects_batch(Key::Dense, &[(Some(1), subject(0)), (Some(2), subject(1))]);
    let cases = [
        (vec![fact(1, 1.0), fact(1, f64::NAN)], "the amount holds NaN"),
        (vec![fact(1, f64::INFINITY)], "the amount holds inf"),
        (vec![fact(1, f64::MAX), fact(1, f64::MAX)], "a sum is inf"),
    ];
    for (facts, words) in cases {
        let bench = Bench::of(subjects(), facts_batch(Key::Dense, &facts), 256 * MEBIBYTE);
        let sql = flat(&statement(SAME));
        for joins in [Joins::Grouped, Joins::Hash] {
            let error = bench.run(&sql, joins).await.unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
    // What nobody joins is nobody's error, and what is too great in between is none.
    let facts = [fact(3, f64::NAN), fact(1, f64::MAX), fact(1, f64::MAX), fact(1, -f64::MAX), fact(1, 1.0)];
    let bench = Bench::of(subjects(), facts_batch(Key::Dense, &facts), 256 * MEBIBYTE);
    let rows = bench.run(&flat(&statement(SAME)), Joins::Grouped).await.unwrap();
    assert_eq!((rows.len(), &rows[0][5]), (1, &Cell::Float(f64::MAX)));
}

/// A table of subjects has one row for each. If it has two all the same, the query is run as any other.
#[tokio::test]
async fn it_declines_a_key_that_stands_twice() {
    for key in [Key::Dense, Key::Sparse, Key::LongText] {
        let subjects = subjects_batch(key, &[(Some(1), subject(0)), (Some(2), subject(1)), (Some(1), subject(1))]);
        let bench = Bench::of(subjects, facts_batch(key, &[fact(1, 2.0), fact(2, 3.0)]), 256 * MEBIBYTE);
        let sql = flat(&statement(SAME));
        let error = bench.engine.collect(&bench.query(&sql).await, Joins::Grouped, 10).await.unwrap_err();
        assert!(is_declined(&error), "{error}");
        let rows = bench.engine.query(&sql, 10, false).await.unwrap().rows;
        let facts: Vec<_> = rows.iter().map(|row| row[2].clone()).collect();
        let sums: Vec<_> = rows.iter().map(|row| row[5].clone()).collect();
        let is_first = rows[0][5] == Cell::Float(4.0);
        assert_eq!(facts, if is_first { [Cell::Int(2), Cell::Int(1)] } else { [Cell::Int(1), Cell::Int(2)] });
        assert!(sums.contains(&Cell::Float(4.0)) && sums.contains(&Cell::Float(3.0)), "{sums:?}");
    }
}

#[tokio::test]
async fn where_memory_is_short_the_query_is_run_as_any_other() {
    let (subjects, facts) = many(600_000, 20_000);
    let sql = "SELECT subject, get_field(tally, 'facts'), total FROM \
               (SELECT a.subject, tally(a.arm, f.at < a.assigned_at, f.at > 80) AS tally, exact_sum(f.amount) AS total \
               FROM bellwether.subjects AS a JOIN bellwether.facts AS f ON f.\"user\" = a.subject GROUP BY a.subject) AS t \
               ORDER BY subject";
    let wide = Bench::of(subjects.clone(), facts.clone(), 512 * MEBIBYTE);
    let wanted = wide.run(sql, Joins::Grouped).await.unwrap();
    assert_eq!(wanted.len(), 20_000);
    let bench = Bench::of(subjects, facts, 64 * MEBIBYTE);
    let error = bench.engine.collect(&bench.query(sql).await, Joins::Grouped, MOST_ROWS).await.unwrap_err();
    assert!(is_declined(&error), "{error}");
    assert_eq!(bench.engine.query(sql, MOST_ROWS, false).await.unwrap().rows, wanted);
}

#[tokio::test]
async fn many_groups_and_many_batches_come_out_whole() {
    let (subjects, facts) = many(40_000, 150_000);
    let bench = Bench::of(subjects, facts, 512 * MEBIBYTE);
    let sql = flat(&statement(SAME));
    let own = bench.run(&sql, Joins::Grouped).await.unwrap();
    assert_eq!(own.len(), 40_000);
    assert_eq!(own, bench.run(&sql, Joins::Hash).await.unwrap());
}

/// What users write is planned as ever, and so is what has not one group for each row of the left side.
#[tokio::test]
async fn other_statements_are_left_alone() {
    let (subjects, facts) = many(10, 100);
    let bench = Bench::of(subjects, facts, 256 * MEBIBYTE);
    let join = "bellwether.subjects AS a JOIN bellwether.facts AS f";
    let tally = "tally(a.arm, f.at < 3, f.at > 5)";
    for sql in [
        format!("SELECT a.subject, exact_sum(f.amount), COUNT(*) FROM {join} ON f.\"user\" = a.subject GROUP BY a.subject"),
        format!("SELECT a.arm, {tally} FROM {join} ON f.\"user\" = a.subject GROUP BY a.arm"),
        format!("SELECT a.subject, {tally} FROM {join} ON f.\"user\" = a.subject + a.arm GROUP BY a.subject"),
        format!("SELECT a.subject, {tally} FROM {join} ON f.\"user\" = a.subject AND f.at > a.arm GROUP BY a.subject"),
        format!("SELECT a.subject, a.arm, {tally} FROM {join} ON f.\"user\" = a.subject GROUP BY a.subject, a.arm"),
        "SELECT a.subject, tally(a.arm, f.at < 3, f.at > 5) FROM bellwether.subjects AS a LEFT JOIN bellwether.facts AS f \
         ON f.\"user\" = a.subject GROUP BY a.subject"
            .to_owned(),
    ] {
        let plan = bench.plan(&sql).await;
        assert!(!plan.contains("GroupJoinExec"), "{sql}\n{plan}");
    }
}

/// The statements that runs make, as their snapshot has them, are of the kind that is recognised.
#[tokio::test]
async fn it_does_what_runs_ask_for() {
    let snapshot = include_str!("../../../../bellwether/src/pipeline/steps/snapshot.sql");
    let of_values = snapshot.split("\n-- ").filter(|step| step.lines().next().unwrap().contains(": values: Kept"));
    let statements: Vec<_> = of_values.map(|step| step.split_once('\n').unwrap().1).collect();
    assert_eq!(statements.len(), 2);
    let subjects = [(Some(1), subject(0)), (Some(2), subject(1))];
    let bench = Bench::of(subjects_batch(Key::ShortText, &subjects), facts_batch(Key::Dense, &[]), 256 * MEBIBYTE);
    for statement in statements {
        let plan = bench.plan(statement).await;
        assert!(plan.contains("GroupJoinExec"), "{statement}\n{plan}");
    }
}
