//! Every status, and what comes by itself in it: by dates, by results, by an edit of the end.

use serde_json::{Value, json};

use super::*;
use crate::domain::experiment::Experiment;
use crate::domain::id::AssignmentSourceId;
use crate::domain::standing::Standing;
use crate::domain::status::{Decision, DecisionOutcome};

/// 2026-03-10, noon.
const NOW: Timestamp = Timestamp::from_micros(1_773_144_000_000_000);
const HOUR: Duration = Duration::from_hours(1);

fn experiment(status: Status, dates: Value) -> Experiment {
    let mut fields = json!({
        "key": "k", "name": "n", "assignment_source_id": AssignmentSourceId::of(1),
        "variations": [{"key": "control", "weight": 1, "is_control": true}, {"key": "b", "weight": 1}],
    });
    fields.as_object_mut().unwrap().extend(dates.as_object().unwrap().clone());
    let earlier = NOW.minus(100 * HOUR);
    let decision = Decision { outcome: DecisionOutcome::Inconclusive, winning_variation: None, reason: String::new() };
    Experiment {
        id: 1,
        configuration: serde_json::from_value(fields).unwrap(),
        status,
        decision: (status == Status::Concluded).then_some(decision),
        revision: 1,
        version: 1,
        is_traffic_imbalance: false,
        results_run_id: None,
        results_updated_at: None,
        next_run_at: None,
        created_at: earlier,
        updated_at: earlier,
        standing: Standing::default(),
        status_changed_at: earlier,
        due_at: None,
    }
}

/// Since the first of March, until the ninth.
fn over() -> Value {
    json!({"assignments_start_date": "2026-03-01", "assignments_end_date": "2026-03-09"})
}

fn known(subjects: u64) -> Standing {
    Standing { known_at: Some(NOW), subjects, of_end: end(), ..Standing::default() }
}

/// Of [`over`].
fn end() -> Option<Timestamp> {
    Some("2026-03-10T00:00:00Z".parse().unwrap())
}

fn status_of(due: Option<Due>) -> Option<(Status, String)> {
    match due {
        Some(Due::Transition(Transition { to, reason, .. })) => Some((to, reason)),
        Some(Due::FinalRun) | None => None,
    }
}

#[test]
fn only_a_draft_whose_start_has_passed_and_a_running_one_that_has_ended_are_due_by_date() {
    for status in Status::ALL {
        let is_due = |dates: Value| due(&experiment(status, dates), NOW).is_some();
        assert_eq!(is_due(over()), matches!(status, Status::Draft | Status::Running), "{status:?}");
        assert!(!is_due(json!({"assignments_start_date": "2026-03-11"})), "{status:?}, not begun");
        assert!(!is_due(json!({})), "{status:?}, without dates");
        let put_away =
            json!({"assignments_start_date": "2026-03-01", "assignments_end_date": "2026-03-09", "is_archived": true});
        assert!(!is_due(put_away), "{status:?}, archived");
    }
}

#[test]
fn a_draft_starts_when_its_date_has_come_and_it_has_all_it_needs() {
    let mut draft = experiment(Status::Draft, json!({"assignments_start_date": "2026-03-10T12:00:00Z"}));
    assert_eq!(due(&draft, NOW.minus(Duration::from_micros(1))), None);
    let (to, reason) = status_of(due(&draft, NOW)).unwrap();
    assert_eq!((to, reason.contains("2026-03-10T12:00:00Z")), (Status::Running, true), "{reason}");
    assert_eq!(due_at(&draft, NOW), Some(NOW.plus(REST)), "somebody is still at it");
    assert_eq!(due_at(&draft, NOW.minus(HOUR)), Some(NOW));
    draft.configuration.assignment_source_id = None;
    assert_eq!(due_at(&draft, NOW), None, "it lacks its source");
}

#[test]
fn what_has_ended_waits_for_a_run_made_after_the_end() {
    let mut running = experiment(Status::Running, over());
    assert_eq!(due(&running, NOW), Some(Due::FinalRun));
    running.standing = Standing { known_at: Some("2026-03-09T23:59:59Z".parse().unwrap()), ..known(50) };
    assert_eq!(due(&running, NOW), Some(Due::FinalRun), "it was made before the end");
    running.standing = known(50);
    assert_eq!(status_of(due(&running, NOW)).unwrap().0, Status::ReadyForReview);
    running.standing = Standing { of_end: Some(NOW), ..known(50) };
    assert_eq!(due(&running, NOW), Some(Due::FinalRun), "it knew of another end");
    running.standing =
        Standing { failed_at: Some(NOW), failure: "no such table".into(), of_end: end(), ..Standing::default() };
    let (to, reason) = status_of(due(&running, NOW)).unwrap();
    assert_eq!((to, reason.contains("no such table")), (Status::WrapUp, true), "{reason}");
}

#[test]
fn a_final_run_is_tried_however_long_ago_the_end_was_and_waited_for_for_two_days() {
    let mut running = experiment(Status::Running, over());
    let months_later = NOW.plus(2000 * HOUR);
    assert_eq!(due(&running, months_later), Some(Due::FinalRun));
    running.standing.final_asked = Some((months_later, end().unwrap()));
    let two_days_on = months_later.plus(48 * HOUR);
    assert_eq!(due(&running, two_days_on.minus(Duration::from_micros(1))), Some(Due::FinalRun));
    let (to, reason) = status_of(due(&running, two_days_on)).unwrap();
    assert_eq!((to, reason.contains("48 hours")), (Status::WrapUp, true), "{reason}");
    running.status_changed_at = two_days_on;
    assert_eq!(due(&running, two_days_on), Some(Due::FinalRun), "it was resumed since");
    running.standing.final_asked = Some((months_later, NOW));
    assert_eq!(due(&running, two_days_on.plus(48 * HOUR)), Some(Due::FinalRun), "that was for another end");
}

#[test]
fn the_later_end_counts() {
    let dates = json!({"assignments_start_date": "2026-03-01", "assignments_end_date": "2026-03-05", "events_end_date": "2026-03-20"});
    assert_eq!(due(&experiment(Status::Running, dates), NOW), None);
    let only_events = json!({"assignments_start_date": "2026-03-01", "events_end_date": "2026-03-09"});
    assert_eq!(due(&experiment(Status::Running, only_events), NOW), Some(Due::FinalRun));
}

#[test]
fn imbalance_and_unmet_requirements_hold_an_experiment_and_say_so() {
    let plan = |plan: Value| {
        let mut running = experiment(Status::Running, over());
        running.standing = known(50);
        running.configuration.analysis_plan = serde_json::from_value(plan).unwrap();
        running
    };
    let held = |running: &Experiment| status_of(due(running, NOW)).unwrap();
    assert_eq!(held(&plan(json!({"minimum_days": 9, "minimum_subjects": 50}))).0, Status::ReadyForReview);
    for (running, word) in [
        (plan(json!({"minimum_days": 10})), "9 days, of 10"),
        (plan(json!({"minimum_subjects": 51})), "50 subjects count, of 51"),
        (Experiment { is_traffic_imbalance: true, ..plan(json!({})) }, "traffic"),
        (Experiment { standing: known(0), ..plan(json!({})) }, "no subject counts"),
    ] {
        let (to, reason) = held(&running);
        assert_eq!((to, reason.contains(word)), (Status::WrapUp, true), "{reason}");
    }
}

#[test]
fn results_end_a_running_experiment_early_only_where_they_decide_and_nothing_holds_it() {
    let open = json!({"assignments_start_date": "2026-03-01"});
    let decided = Standing { decided: Some("revenue is higher".into()), ..known(50) };
    let running = Experiment { standing: decided.clone(), ..experiment(Status::Running, open.clone()) };
    let transition = by_results(&running, NOW).unwrap();
    assert_eq!((transition.to, transition.reason.as_str()), (Status::ReadyForReview, "revenue is higher"));
    let undecided = Experiment { standing: known(50), ..running.clone() };
    assert_eq!(by_results(&undecided, NOW), None);
    assert_eq!(by_results(&Experiment { is_traffic_imbalance: true, ..running.clone() }, NOW), None);
    let failed = Standing { failed_at: Some(NOW), ..decided.clone() };
    assert_eq!(by_results(&Experiment { standing: failed, ..running.clone() }, NOW), None, "the last run failed");
    for status in [Status::Draft, Status::ReadyForReview, Status::Concluded] {
        let other = Experiment { standing: decided.clone(), ..experiment(status, open.clone()) };
        assert_eq!(by_results(&other, NOW), None, "{status:?}");
    }
}

#[test]
fn a_run_after_the_end_decides_and_one_that_clears_what_held_it_releases() {
    let ended = Experiment { standing: known(50), ..experiment(Status::Running, over()) };
    assert_eq!(by_results(&ended, NOW).unwrap().to, Status::ReadyForReview);
    let before_the_end = Standing { known_at: Some("2026-03-05T00:00:00Z".parse().unwrap()), ..known(50) };
    assert_eq!(by_results(&Experiment { standing: before_the_end, ..ended.clone() }, NOW), None);
    let held = Experiment { status: Status::WrapUp, ..ended };
    assert_eq!(by_results(&held, NOW).unwrap().to, Status::ReadyForReview);
    assert_eq!(by_results(&Experiment { is_traffic_imbalance: true, ..held.clone() }, NOW), None);
    let failed = Standing { failed_at: Some(NOW), ..known(50) };
    assert_eq!(by_results(&Experiment { standing: failed, ..held }, NOW), None);
}

#[test]
fn an_end_that_moves_into_the_future_resumes_what_had_ended() {
    let later = json!({"assignments_start_date": "2026-03-01", "assignments_end_date": "2026-03-20"});
    let open = json!({"assignments_start_date": "2026-03-01"});
    let before = experiment(Status::Running, over()).configuration;
    for status in Status::ALL {
        let waits = matches!(status, Status::ReadyForReview | Status::WrapUp);
        for after in [&later, &open] {
            let resumed = resumed(&before, &experiment(status, after.clone()), NOW);
            assert_eq!(resumed.map(|it| it.to), waits.then_some(Status::Running), "{status:?}");
        }
        assert_eq!(resumed(&before, &experiment(status, over()), NOW), None);
        let had_not_ended = experiment(status, later.clone()).configuration;
        assert_eq!(resumed(&had_not_ended, &experiment(status, open.clone()), NOW), None, "decided by results");
    }
}
