//! Runs, their log and their results.

use bellwether::domain::actor::Actor;
use bellwether::domain::id::{KeyId, MetricId, RunId};
use bellwether::domain::progress::Progress;
use bellwether::domain::results::Results;
use bellwether::domain::run::{LoggedStep, Mode, Run, RunState, Window};
use bellwether::domain::verdict::Verdict;
use bellwether::domain::warning::{Warning, WarningName};
use bellwether::store::{Db, StoreError, experiment_list, experiments, runs};
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use serde_json::json;

use super::{at, new_experiment, read, write};

fn queued(id: u128, experiment_id: i64) -> Run {
    Run {
        id: RunId::of(id),
        experiment_id,
        mode: Mode::Full,
        fills_history: false,
        is_manual: true,
        state: RunState::Queued,
        actor: Actor::Key { id: KeyId::of(4), name: "ci \u{2028}".into() },
        window: Window { start: at(10), end: at(20) },
        created_at: at(21),
        started_at: None,
        ended_at: None,
        error: None,
        is_data_updated: false,
        is_traffic_imbalance: false,
        imbalance_p_value: None,
        warnings: Vec::new(),
        definitions: Some("of a kind".into()),
    }
}

async fn a_run_goes_through_its_states(database: Database) {
    let db = database.open().await;
    let experiment = new_experiment(&db, "k").await;
    let other = new_experiment(&db, "l").await;
    let save = async |run: &Run| {
        let run = run.clone();
        write(&db, move |tx| runs::save(tx, &run)).await
    };
    let mut run = queued(1, experiment);
    save(&run).await.unwrap();
    assert_eq!(read(&db, |tx| runs::get(tx, RunId::of(1))).await.unwrap().as_ref(), Some(&run));
    let second = save(&queued(2, experiment)).await.unwrap_err();
    assert!(matches!(second, StoreError::Unique(_)), "one queued run: {second:?}");
    assert_eq!(read(&db, |tx| runs::startable(tx, 9)).await.unwrap(), [run.id]);
    let missing = save(&queued(2, 999)).await.unwrap_err();
    assert!(matches!(missing, StoreError::Reference(_)), "{missing:?}");

    (run.state, run.started_at) = (RunState::Running, Some(at(30)));
    save(&run).await.unwrap();
    let next = queued(2, experiment);
    save(&next).await.unwrap();
    assert_eq!(read(&db, move |tx| runs::open_of(tx, experiment)).await.unwrap(), [run.clone(), next]);
    assert_eq!(read(&db, |tx| runs::startable(tx, 9)).await.unwrap(), [], "it waits for the one that runs");
    assert!(write(&db, |tx| runs::make_full(tx, RunId::of(2), false)).await.unwrap(), "it is queued");
    assert!(!write(&db, |tx| runs::make_full(tx, RunId::of(1), false)).await.unwrap(), "what runs stays as it is");
    progresses(&db, run.id).await;
    (run.state, run.ended_at, run.error) = (RunState::Failure, Some(at(40)), Some("no such table".into()));
    (run.is_data_updated, run.is_traffic_imbalance, run.imbalance_p_value) = (true, true, Some(1e-300));
    run.warnings = vec![Warning::of(WarningName::StaleData, "old \u{2028}").severe(true)];
    save(&run).await.unwrap();
    assert_eq!(write(&db, |tx| runs::lock(tx, RunId::of(1))).await.unwrap().as_ref(), Some(&run));
    assert_eq!(read(&db, |tx| runs::startable(tx, 9)).await.unwrap(), [RunId::of(2)]);
    assert_eq!(read(&db, |tx| runs::progress(tx, RunId::of(1))).await.unwrap(), None, "it has ended");

    for id in [2, 3] {
        let cancelled = Run { state: RunState::Cancelled, ended_at: Some(at(50)), ..queued(id, experiment) };
        save(&cancelled).await.unwrap();
    }
    save(&queued(4, other)).await.unwrap();
    let list = async |before: Option<u128>, limit| {
        let listed = read(&db, move |tx| runs::list(tx, experiment, before.map(RunId::of), limit)).await.unwrap();
        listed.into_iter().map(|run| run.id).collect::<Vec<_>>()
    };
    assert_eq!(list(None, 9).await, [3, 2, 1].map(RunId::of));
    assert_eq!(list(Some(3), 1).await, [RunId::of(2)]);
}

/// By its log, and by what was expected once that is known.
async fn progresses(db: &Db, id: RunId) {
    let progress = async || read(db, move |tx| runs::progress(tx, id)).await.unwrap().unwrap();
    assert_eq!(progress().await, Progress { steps_done: 0, steps_expected: None, step: None });
    write(db, move |tx| runs::expect_steps(tx, id, 4)).await.unwrap();
    let step = |name: &str, duration_us, error: Option<&str>| LoggedStep {
        name: name.into(),
        sql: "SELECT 1".into(),
        kept_as: None,
        rows: None,
        duration_us,
        error: error.map(str::to_owned),
    };
    for (position, step) in (1..).zip([step("a", Some(7), None), step("b", None, Some("no")), step("c", None, None)]) {
        write(db, move |tx| runs::save_step(tx, id, position, &step)).await.unwrap();
    }
    assert_eq!(progress().await, Progress { steps_done: 2, steps_expected: Some(4), step: Some("c".into()) });
}

async fn the_log_and_the_results_of_a_run(database: Database) {
    let db = database.open().await;
    let experiment = new_experiment(&db, "k").await;
    let run = queued(1, experiment);
    write(&db, move |tx| runs::save(tx, &run)).await.unwrap();
    let mut step = LoggedStep {
        name: "traffic".into(),
        sql: "SELECT '$1', ?".into(),
        kept_as: Some("subjects".into()),
        rows: None,
        duration_us: None,
        error: None,
    };
    let begun = step.clone();
    write(&db, move |tx| runs::save_step(tx, RunId::of(1), 1, &begun)).await.unwrap();
    let first = LoggedStep { name: "first".into(), ..step.clone() };
    let earlier = first.clone();
    write(&db, move |tx| runs::save_step(tx, RunId::of(1), 0, &earlier)).await.unwrap();
    (step.rows, step.duration_us, step.error) = (Some(u64::from(u32::MAX) + 1), Some(7), Some("ended".into()));
    let ended = step.clone();
    write(&db, move |tx| runs::save_step(tx, RunId::of(1), 1, &ended)).await.unwrap();
    assert_eq!(read(&db, |tx| runs::steps(tx, RunId::of(1))).await.unwrap(), [first, step]);

    let results: Results = serde_json::from_value(json!({
        "run_id": RunId::of(1), "metrics": [],
        "traffic": {"is_imbalance": true, "p_value": 0.1, "excluded": 3,
                    "variations": [{"key": "a", "weight": 0.1, "subjects": 9007199254740993_u64}]},
    }))
    .unwrap();
    let stored = results.clone();
    write(&db, move |tx| runs::insert_results(tx, experiment, &stored)).await.unwrap();
    assert_eq!(read(&db, |tx| runs::results(tx, RunId::of(1))).await.unwrap(), Some(results.clone()));
    assert_eq!(read(&db, |tx| runs::results(tx, RunId::of(2))).await.unwrap(), None);
    let twice = write(&db, move |tx| runs::insert_results(tx, experiment, &results)).await.unwrap_err();
    assert!(matches!(twice, StoreError::Unique(_)), "{twice:?}");
}

async fn results_of_before_there_were_summaries_have_one_once_lists_are_indexed(database: Database) {
    let db = database.open().await;
    let experiment = new_experiment(&db, "k").await;
    let results: Results = serde_json::from_value(json!({
        "run_id": RunId::of(1), "metrics": [{
            "metric_id": MetricId::of(1), "name": "Revenue", "is_primary": true, "error": null, "progress": 0.5,
            "variations": [{"key": "b", "subjects": 5, "mean": 1.0, "lift": 0.1, "interval": [0.05, 0.15], "standard_error": 0.02,
                "p_value": 0.01, "verdict": "better"}],
        }],
        "verdict": {"verdict": "better", "sentence": "It is."},
        "traffic": {"is_imbalance": false, "p_value": null, "excluded": 0, "variations": []},
    }))
    .unwrap();
    let run = queued(1, experiment);
    write(&db, move |tx| {
        runs::save(tx, &run)?;
        runs::insert_results(tx, experiment, &results)?;
        let mut stored = experiments::get(tx, experiment)?.unwrap();
        stored.results_run_id = Some(run.id);
        stored.standing.subjects = 11;
        experiments::update(tx, &stored)?;
        experiment_list::index(tx, 0, 10)
    })
    .await
    .unwrap();
    let standing = read(&db, move |tx| experiments::get(tx, experiment)).await.unwrap().unwrap().standing;
    let summary = standing.summary.unwrap();
    let leading = summary.leading.unwrap();
    assert_eq!((summary.verdict, summary.progress, standing.subjects), (Some(Verdict::Better), Some(0.5), 11));
    assert_eq!((leading.metric.as_str(), leading.variation.as_str(), leading.lift), ("Revenue", "b", 0.1));
}

on_both!(
    results_of_before_there_were_summaries_have_one_once_lists_are_indexed,
    a_run_goes_through_its_states,
    the_log_and_the_results_of_a_run,
);
