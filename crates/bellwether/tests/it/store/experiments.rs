//! Experiments with what is attached to them, their history and their events.

use bellwether::domain::clock::Timestamp;
use bellwether::domain::configuration::Bound;
use bellwether::domain::definition::{Entity, Schedule};
use bellwether::domain::experiment::Experiment;
use bellwether::domain::id::{
    AssignmentSourceId, CollectionId, EntityId, EventId, FactId, GroupId, MetricId, RunId, ScheduleId,
};
use bellwether::domain::metric::{Metric, MetricSettings};
use bellwether::domain::occurrence::Upcoming;
use bellwether::domain::status::{Decision, DecisionOutcome, Status};
use bellwether::store::experiments::{self, Group};
use bellwether::store::{Db, StoreError, changes, definitions, event_log, events};
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use bellwether_webhook::EventType;
use serde_json::json;

use super::{at, change, configuration, definition, event_of, new_experiment, read, record, with_definitions, write};

async fn load(db: &Db, id: i64) -> Option<Experiment> {
    read(db, move |tx| experiments::get(tx, id)).await.unwrap()
}

async fn an_experiment_is_stored_whole(database: Database) {
    let db = database.open().await;
    with_definitions(&db).await;
    let schedule = definition::<Schedule>(ScheduleId::of(5), json!({"name": "d", "cron": "0 6 * * *"}));
    write(&db, move |tx| definitions::insert(tx, &schedule)).await.unwrap();
    let id = new_experiment(&db, "first").await;
    let fresh = load(&db, id).await.unwrap();
    assert_eq!((fresh.status, fresh.revision, fresh.version), (Status::Draft, 1, 1));
    assert_eq!((&fresh.configuration, fresh.created_at, fresh.updated_at), (&configuration("first"), at(10), at(10)));

    let mut edited = fresh.clone();
    edited.configuration.key = "renamed".into();
    edited.configuration.entity_id = Some(EntityId::of(1));
    edited.configuration.assignment_source_id = Some(AssignmentSourceId::of(4));
    edited.configuration.schedule_id = Some(ScheduleId::of(5));
    edited.configuration.assignments_end_date = Some(Bound::Moment(at(1_000_001)));
    edited.status = Status::Concluded;
    edited.decision = Some(Decision {
        outcome: DecisionOutcome::Ship,
        winning_variation: Some("b".into()),
        reason: "\u{2028}".into(),
    });
    (edited.revision, edited.version, edited.is_traffic_imbalance) = (7, 6, true);
    (edited.results_run_id, edited.results_updated_at, edited.updated_at) = (Some(RunId::of(3)), Some(at(20)), at(21));
    let stored = edited.clone();
    write(&db, move |tx| experiments::update(tx, &stored)).await.unwrap();
    assert_eq!(load(&db, id).await.as_ref(), Some(&edited));
    assert_eq!(write(&db, move |tx| experiments::lock(tx, id)).await.unwrap(), Some(edited));
    assert_eq!(read(&db, |tx| experiments::number_of_key(tx, "renamed")).await.unwrap(), Some(id));
    assert_eq!(read(&db, |tx| experiments::number_of_key(tx, "first")).await.unwrap(), None);
    let error = write(&db, |tx| definitions::delete::<Entity>(tx, EntityId::of(1))).await.unwrap_err();
    assert!(matches!(error, StoreError::Reference(_)), "{error:?}");
}

async fn keys_are_unique_until_their_experiment_is_deleted(database: Database) {
    let db = database.open().await;
    let first = new_experiment(&db, "a").await;
    let second = new_experiment(&db, "b").await;
    assert!(second > first);
    let taken = configuration("a");
    let error = write(&db, move |tx| experiments::insert(tx, &taken, at(1))).await.unwrap_err();
    assert!(matches!(error, StoreError::Unique(_)), "{error:?}");
    write(&db, move |tx| experiments::set_next_run(tx, first, Some(at(50)))).await.unwrap();
    write(&db, move |tx| experiments::mark_deleted(tx, first, at(60))).await.unwrap();
    assert_eq!(load(&db, first).await, None);
    assert_eq!(write(&db, move |tx| experiments::lock(tx, first)).await.unwrap(), None);
    assert_eq!(read(&db, |tx| experiments::number_of_key(tx, "a")).await.unwrap(), None);
    assert_eq!(read(&db, move |tx| experiments::next_run(tx, first)).await.unwrap(), None);
    let third = new_experiment(&db, "a").await;
    assert!(third > second, "a number is never given twice");
}

async fn runs_fall_due_in_order_of_time(database: Database) {
    let db = database.open().await;
    let mut ids = Vec::new();
    for (key, due) in [("late", 300), ("early", 100), ("deleted", 50), ("none", 0)] {
        let id = new_experiment(&db, key).await;
        let due = (due > 0).then(|| at(due));
        write(&db, move |tx| experiments::set_next_run(tx, id, due)).await.unwrap();
        ids.push(id);
    }
    let (late, early, deleted) = (ids[0], ids[1], ids[2]);
    write(&db, move |tx| experiments::mark_deleted(tx, deleted, at(1))).await.unwrap();
    let due = async |now, limit| read(&db, move |tx| experiments::due_for_run(tx, at(now), limit)).await.unwrap();
    assert_eq!(due(99, 9).await, Vec::<i64>::new());
    assert_eq!(due(300, 9).await, [early, late]);
    assert_eq!(due(300, 1).await, [early]);
    assert_eq!(read(&db, move |tx| experiments::next_run(tx, late)).await.unwrap(), Some(at(300)));
}

/// What the statement says of each experiment is what the domain says of it.
async fn a_schedule_moves_the_runs_of_all_that_follow_it(database: Database) {
    let db = database.open().await;
    let schedule = ScheduleId::of(50);
    let stored = definition::<Schedule>(schedule, json!({"name": "daily", "cron": "0 6 * * *"}));
    write(&db, move |tx| definitions::insert(tx, &stored)).await.unwrap();
    let mut ids = Vec::new();
    for number in 0..12 {
        let mut configuration = configuration(&format!("k{number}"));
        configuration.schedule_id = (number != 0).then_some(schedule);
        let id = write(&db, move |tx| {
            let id = experiments::insert(tx, &configuration, at(1))?;
            experiments::set_next_run(tx, id, (number != 1).then(|| at(100)))?;
            Ok(id)
        });
        ids.push(id.await.unwrap());
    }
    let daily: Schedule = serde_json::from_value(json!({"name": "daily", "cron": "0 6 * * *"})).unwrap();
    for text in ["2026-03-01T05:00:00Z", "2026-03-01T06:05:00Z", "2026-03-01T06:10:00Z"] {
        let now: Timestamp = text.parse().unwrap();
        let upcoming = daily.upcoming(now);
        let moved = write(&db, move |tx| experiments::reschedule(tx, schedule, upcoming, now)).await.unwrap();
        assert_eq!(moved, 10, "those that follow it and are due");
        for id in &ids[2..] {
            let id = *id;
            let next = read(&db, move |tx| experiments::next_run(tx, id)).await.unwrap();
            assert_eq!(next, upcoming.of(id, now), "{id} at {now}");
        }
    }
    let nothing = Upcoming::default();
    write(&db, move |tx| experiments::reschedule(tx, schedule, nothing, at(1))).await.unwrap();
    let (others, follower) = (ids[0], ids[2]);
    assert_eq!(read(&db, move |tx| experiments::next_run(tx, follower)).await.unwrap(), None);
    assert_eq!(read(&db, move |tx| experiments::next_run(tx, others)).await.unwrap(), Some(at(100)));
}

async fn metrics_are_attached_in_order_alone_and_in_groups(database: Database) {
    let db = database.open().await;
    with_definitions(&db).await;
    let id = new_experiment(&db, "k").await;
    let [one, two, three] = [MetricId::of(21), MetricId::of(22), MetricId::of(23)];
    for metric in [three, two, one] {
        let body = json!({"name": metric.to_string(), "entity_id": EntityId::of(1), "kind": "simple",
                          "numerator": {"fact_id": FactId::of(10), "operation": "count"}});
        let made = definition::<Metric>(metric, body);
        write(&db, move |tx| definitions::insert(tx, &made)).await.unwrap();
    }
    let group = Group { id: GroupId::of(40), collection_id: CollectionId::of(41), name: "guardrails".into() };
    let stored = group.clone();
    write(&db, move |tx| {
        experiments::attach(tx, id, three, None, true, &MetricSettings::default())?;
        experiments::insert_group(tx, id, &stored)?;
        experiments::attach(tx, id, two, Some(stored.id), false, &MetricSettings::default())?;
        experiments::attach(tx, id, three, Some(stored.id), false, &MetricSettings::default())?;
        experiments::attach(tx, id, one, None, false, &MetricSettings::default())
    })
    .await
    .unwrap();
    let attached = async || {
        let attached = read(&db, move |tx| experiments::attached_metrics(tx, id)).await.unwrap();
        attached.into_iter().map(|m| (m.metric_id, m.group_id, m.is_primary)).collect::<Vec<_>>()
    };
    let in_group = Some(group.id);
    assert_eq!(
        attached().await,
        [(three, None, true), (two, in_group, false), (three, in_group, false), (one, None, false)]
    );
    for refused in [
        write(&db, move |tx| experiments::attach(tx, id, three, None, false, &MetricSettings::default()))
            .await
            .unwrap_err(),
        write(&db, move |tx| experiments::attach(tx, id, two, None, true, &MetricSettings::default()))
            .await
            .unwrap_err(),
    ] {
        assert!(matches!(refused, StoreError::Unique(_)), "twice, and a second primary one: {refused:?}");
    }
    let missing =
        write(&db, move |tx| experiments::attach(tx, id, MetricId::of(99), None, false, &MetricSettings::default()))
            .await
            .unwrap_err();
    assert!(matches!(missing, StoreError::Reference(_)), "{missing:?}");

    let second = read(&db, move |tx| experiments::attached_metrics(tx, id)).await.unwrap().remove(1);
    write(&db, move |tx| experiments::set_primary(tx, id, Some(&second))).await.unwrap();
    write(&db, move |tx| experiments::detach(tx, id, three, None)).await.unwrap();
    assert_eq!(attached().await, [(two, in_group, true), (three, in_group, false), (one, None, false)]);
    assert_eq!(read(&db, move |tx| experiments::groups(tx, id)).await.unwrap(), [group]);
    write(&db, move |tx| experiments::delete_group(tx, id, GroupId::of(40))).await.unwrap();
    assert_eq!(attached().await, [(one, None, false)]);
    assert_eq!(read(&db, move |tx| experiments::groups(tx, id)).await.unwrap(), []);
    write(&db, move |tx| experiments::set_primary(tx, id, None)).await.unwrap();
    write(&db, move |tx| experiments::mark_deleted(tx, id, at(5))).await.unwrap();
    assert_eq!(attached().await, []);
}

async fn the_history_and_the_log_keep_everything(database: Database) {
    let db = database.open().await;
    let id = new_experiment(&db, "k").await;
    let other = new_experiment(&db, "\u{2028}\"").await;
    let experiment = load(&db, id).await.unwrap();
    let second = load(&db, other).await.unwrap();
    let made = [
        event_of(&experiment, 1, EventType::ConfigurationUpdated, 1),
        event_of(&experiment, 2, EventType::StatusUpdated, 2),
        event_of(&second, 3, EventType::MetricUpdated, 1),
        event_of(&experiment, 4, EventType::StatusUpdated, 3),
    ];
    for event in made.clone() {
        write(&db, move |tx| record(tx, &event)).await.unwrap();
        if !db.dialect().numbers_events_in_transaction() {
            assert_eq!(write(&db, |tx| event_log::number_committed(tx, 10)).await.unwrap(), 1);
        }
    }
    assert_eq!(read(&db, move |tx| changes::list(tx, id, 0, 9)).await.unwrap(), [change(1), change(2), change(3)]);
    assert_eq!(read(&db, move |tx| changes::list(tx, id, 1, 1)).await.unwrap(), [change(2)]);
    for event in &made {
        let id = event.id;
        assert_eq!(read(&db, move |tx| events::get(tx, id)).await.unwrap().as_ref(), Some(event));
    }
    assert_eq!(read(&db, |tx| events::get(tx, EventId::of(99))).await.unwrap(), None);
    let list = async |selection: event_log::Selection| {
        let listed = read(&db, move |tx| event_log::list(tx, &selection)).await.unwrap();
        listed.into_iter().map(|(number, event)| (number, event.revision)).collect::<Vec<_>>()
    };
    let all = || event_log::Selection { limit: 10, ..event_log::Selection::default() };
    assert_eq!(list(all()).await, [(1, 1), (2, 2), (3, 1), (4, 3)]);
    assert_eq!(list(event_log::Selection { after: 2, limit: 1, ..all() }).await, [(3, 1)]);
    assert_eq!(list(event_log::Selection { experiment: Some(other), ..all() }).await, [(3, 1)]);
    let types = vec!["experiment.status.updated".to_owned(), "experiment.metric.updated".to_owned()];
    assert_eq!(list(event_log::Selection { types, ..all() }).await, [(2, 2), (3, 1), (4, 3)]);

    let again = event_of(&experiment, 5, EventType::StatusUpdated, 3);
    let error = write(&db, move |tx| events::inserting(&again).execute(tx)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unique(_)), "one event for a revision: {error:?}");
}

/// PostgreSQL's numbers come after the commits: in order of experiment and revision, without a gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_numbers_what_is_committed_in_batches() {
    let database = Database::postgres();
    let db = database.open().await;
    for key in ["a", "b"] {
        let id = new_experiment(&db, key).await;
        let experiment = load(&db, id).await.unwrap();
        for revision in [3_i64, 1, 2] {
            let id = u128::from(experiment.id.unsigned_abs()) * 10 + u128::from(revision.unsigned_abs());
            let event = event_of(&experiment, id, EventType::StatusUpdated, revision);
            write(&db, move |tx| record(tx, &event)).await.unwrap();
        }
    }
    let all = event_log::Selection { limit: 10, ..event_log::Selection::default() };
    assert_eq!(read(&db, move |tx| event_log::list(tx, &all)).await.unwrap(), [], "none has a number yet");
    assert_eq!(write(&db, |tx| event_log::number_committed(tx, 4)).await.unwrap(), 4);
    assert_eq!(write(&db, |tx| event_log::number_committed(tx, 4)).await.unwrap(), 2);
    assert_eq!(write(&db, |tx| event_log::number_committed(tx, 4)).await.unwrap(), 0);
    let all = event_log::Selection { limit: 10, ..event_log::Selection::default() };
    let listed = read(&db, move |tx| event_log::list(tx, &all)).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|(number, event)| (*number, event.experiment_id, event.revision)).collect();
    assert_eq!(listed, [(1, 1, 1), (2, 1, 2), (3, 1, 3), (4, 2, 1), (5, 2, 2), (6, 2, 3)]);
}

on_both!(
    an_experiment_is_stored_whole,
    keys_are_unique_until_their_experiment_is_deleted,
    runs_fall_due_in_order_of_time,
    a_schedule_moves_the_runs_of_all_that_follow_it,
    metrics_are_attached_in_order_alone_and_in_groups,
    the_history_and_the_log_keep_everything,
);
