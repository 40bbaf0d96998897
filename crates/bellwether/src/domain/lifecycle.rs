//! Which status may follow which, and what each step needs. Pure: no clock, no store. What a user does is here; what
//! happens by itself is in [`by_itself`]. docs/lifecycle.md has the whole picture.
//!
//! ```text
//! draft ──start──▶ running ◀──────▶ ready_for_review ◀── wrap_up
//!                     │                  │    ▲             │
//!                     └──────decide──────┤    └──reopen──┐  │
//!                                        ▼               │  │
//!                                    concluded ──────────┘◀─┘
//! ```

mod by_itself;

use std::time::Duration;

use super::clock::Timestamp;
use super::configuration::{Bound, Configuration};
use super::error::{FieldErrors, Refusal};
use super::status::{Decision, DecisionOutcome, Status};

pub use by_itself::{Due, FINAL_RUN_PATIENCE, REST, Transition, by_results, due, due_at, resumed};

/// draft → running. Sets a start date that is unset or ahead to `now`.
pub fn start(
    status: Status,
    configuration: &Configuration,
    now: Timestamp,
) -> Result<(Status, Configuration), Refusal> {
    if status != Status::Draft {
        return Err(status.refuse("start"));
    }
    let mut started = configuration.clone();
    if started.assignments_start_date.is_none_or(|start| start.as_start() > now) {
        started.assignments_start_date = Some(Bound::Moment(now));
    }
    requirements_to_run(&started)?;
    started.validate()?;
    Ok((Status::Running, started))
}

/// What must hold from the start on, and so after every edit of an experiment that is no draft.
pub fn requirements_to_run(configuration: &Configuration) -> Result<(), Refusal> {
    let mut errors = FieldErrors::default();
    let active = configuration.active_variations().count();
    errors.check(active >= 2, "variations", || format!("{active} are active; a running experiment has at least two"));
    let controls = configuration.active_variations().filter(|variation| variation.is_control).count();
    errors.check(controls == 1, "variations", || {
        format!("{controls} active ones have is_control; a running experiment has exactly one")
    });
    errors.check(configuration.assignment_source_id.is_some(), "assignment_source_id", || {
        "it is not set; a running experiment reads its assignments from a source: see /api/v1/assignment_sources"
            .to_owned()
    });
    errors.check(configuration.assignments_start_date.is_some(), "assignments_start_date", || {
        "it is not set; a running experiment has a start".to_owned()
    });
    errors.finish()
}

/// running, ready_for_review or wrap_up → concluded. Moves an end date that is unset or ahead to `now`, and others with it.
pub fn decide(
    status: Status,
    configuration: &Configuration,
    decision: &Decision,
    now: Timestamp,
) -> Result<(Status, Configuration), Refusal> {
    if !matches!(status, Status::Running | Status::ReadyForReview | Status::WrapUp) {
        return Err(status.refuse("decide"));
    }
    validate_decision(configuration, decision)?;
    let mut ended = configuration.clone();
    if ended.assignments_end_date.is_none_or(|end| end.as_end() > now) {
        ended.assignments_end_date = Some(Bound::Moment(now));
        // What is stored stays valid, or every later edit would be refused: a start ahead comes just before the end,
        // and events do not end earlier than assignments.
        if ended.assignments_start_date.is_some_and(|start| start.as_start() >= now) {
            ended.assignments_start_date = Some(Bound::Moment(now.minus(Duration::from_micros(1))));
        }
        ended.events_end_date = Some(Bound::Moment(now));
    }
    if ended.events_end_date.is_none_or(|end| end.as_end() > now) {
        ended.events_end_date = Some(Bound::Moment(now));
    }
    Ok((Status::Concluded, ended))
}

fn validate_decision(configuration: &Configuration, decision: &Decision) -> Result<(), Refusal> {
    let mut errors = FieldErrors::default();
    errors.text("reason", &decision.reason, 10_000);
    let keys: Vec<_> = configuration.variations.iter().map(|variation| variation.key.as_str()).collect();
    match (&decision.winning_variation, decision.outcome) {
        (Some(key), _) => errors.check(keys.contains(&key.as_str()), "winning_variation", || {
            format!("'{key}' was given; this experiment's variations are: {}", keys.join(", "))
        }),
        (None, DecisionOutcome::Ship) => {
            errors.add("winning_variation", "the outcome 'ship' needs the key of the variation to keep")
        }
        (None, _) => {}
    }
    errors.finish()
}

/// concluded → ready_for_review. The decision is taken back.
pub fn reopen(status: Status) -> Result<Status, Refusal> {
    if status == Status::Concluded { Ok(Status::ReadyForReview) } else { Err(status.refuse("reopen")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Configuration {
        serde_json::from_value(serde_json::json!({
            "key": "k", "name": "n", "assignment_source_id": crate::domain::id::AssignmentSourceId::of(1),
            "variations": [{"key": "control", "weight": 1, "is_control": true}, {"key": "b", "weight": 1}],
        }))
        .unwrap()
    }

    const NOW: Timestamp = Timestamp::from_micros(1_795_420_800_000_000);

    #[test]
    fn starting_sets_a_start_that_is_unset_or_ahead_and_keeps_one_that_has_passed() {
        let (status, started) = start(Status::Draft, &ready(), NOW).unwrap();
        assert_eq!((status, started.assignments_start_date), (Status::Running, Some(Bound::Moment(NOW))));
        let past: Bound = "2020-01-01".parse().unwrap();
        let (_, kept) =
            start(Status::Draft, &Configuration { assignments_start_date: Some(past), ..ready() }, NOW).unwrap();
        assert_eq!(kept.assignments_start_date, Some(past));
    }

    #[test]
    fn an_end_before_the_start_is_refused_at_the_start() {
        let ended = Configuration { assignments_end_date: Some("2020-01-01".parse().unwrap()), ..ready() };
        assert!(matches!(start(Status::Draft, &ended, NOW), Err(Refusal::Invalid(_))));
    }

    #[test]
    fn every_action_is_refused_where_it_is_not_listed_as_legal() {
        let decision =
            Decision { outcome: DecisionOutcome::Ship, winning_variation: Some("b".into()), reason: String::new() };
        for status in Status::ALL {
            let results = [
                ("start", start(status, &ready(), NOW).err()),
                ("decide", decide(status, &ready(), &decision, NOW).err()),
                ("reopen", reopen(status).err()),
            ];
            for (action, error) in results {
                assert_eq!(error.is_none(), status.legal_actions().contains(&action), "{action} from {status:?}");
                if let Some(error) = error {
                    assert!(error.to_string().contains(status.legal_actions()[0]), "{error} names the legal ones");
                }
            }
        }
    }

    #[test]
    fn what_a_decision_stores_is_valid() {
        let decision = Decision { outcome: DecisionOutcome::Rollback, winning_variation: None, reason: String::new() };
        let ahead = Configuration { assignments_start_date: Some("2099-01-01".parse().unwrap()), ..ready() };
        let just_started = Configuration { assignments_start_date: Some(Bound::Moment(NOW)), ..ready() };
        let observed = Configuration { events_end_date: Some("2020-01-01".parse().unwrap()), ..ready() };
        for configuration in [ahead, just_started, observed] {
            configuration.validate().unwrap();
            let (_, ended) = decide(Status::Running, &configuration, &decision, NOW).unwrap();
            ended.validate().unwrap();
            assert_eq!(ended.assignments_end_date, Some(Bound::Moment(NOW)));
            assert_eq!(ended.events_end_date, Some(Bound::Moment(NOW)));
        }
    }

    #[test]
    fn a_winner_must_be_a_variation() {
        let decision =
            Decision { outcome: DecisionOutcome::Ship, winning_variation: Some("z".into()), reason: String::new() };
        let error = decide(Status::Running, &ready(), &decision, NOW).unwrap_err().to_string();
        assert!(error.contains("control, b"), "{error}");
    }
}
