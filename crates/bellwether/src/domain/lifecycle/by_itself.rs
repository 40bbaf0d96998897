//! What becomes of an experiment without anybody asking: by its dates, by its results, by an edit of its end. Each is a value
//! that says what and why; who carries it out decides again under the experiment's lock.

use std::time::Duration;

use super::requirements_to_run;
use crate::domain::clock::Timestamp;
use crate::domain::configuration::Configuration;
use crate::domain::experiment::Experiment;
use crate::domain::status::Status;

/// An experiment that somebody has just changed is left alone for so long, so that whoever sets one up in several requests
/// is not overtaken.
pub const REST: Duration = Duration::from_secs(10);

/// How long after the end a run may come that decides.
pub const FINAL_RUN_PATIENCE: Duration = Duration::from_hours(48);

/// A change of status that nobody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    pub to: Status,
    /// A word for the history.
    pub name: &'static str,
    pub reason: String,
}

/// What is due by date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    Transition(Transition),
    /// A run of everything, now that it has ended: it decides.
    FinalRun,
}

/// What is due by date at `now`, if anything is.
pub fn due(experiment: &Experiment, now: Timestamp) -> Option<Due> {
    if date(experiment)? > now {
        return None;
    }
    match experiment.status {
        Status::Draft => {
            let start = experiment.configuration.assignments_start_date?;
            let reason = format!("its start, {start}, has come");
            Some(Due::Transition(Transition { to: Status::Running, name: "started", reason }))
        }
        Status::Running => Some(ended(experiment, now)),
        Status::ReadyForReview | Status::WrapUp | Status::Concluded => None,
    }
}

/// When something is due by date, of an experiment that was changed at `touched_at`; `None`: nothing is, as things stand.
pub fn due_at(experiment: &Experiment, touched_at: Timestamp) -> Option<Timestamp> {
    date(experiment).map(|date| date.max(touched_at.plus(REST)))
}

fn date(experiment: &Experiment) -> Option<Timestamp> {
    let configuration = &experiment.configuration;
    if configuration.is_archived {
        return None;
    }
    match experiment.status {
        Status::Draft => {
            let start = configuration.assignments_start_date?.as_start();
            let can_start = requirements_to_run(configuration).is_ok() && configuration.validate().is_ok();
            can_start.then_some(start)
        }
        Status::Running => configuration.end(),
        Status::ReadyForReview | Status::WrapUp | Status::Concluded => None,
    }
}

/// Of a running experiment whose end has passed.
fn ended(experiment: &Experiment, now: Timestamp) -> Due {
    if let Some(transition) = concluding(experiment) {
        return Due::Transition(transition);
    }
    // However long ago it ended, a final run is tried.
    let asked = experiment.standing.final_asked.filter(|(_, end)| experiment.configuration.end() == Some(*end));
    let waited_since = asked.map(|(asked_at, _)| asked_at.max(experiment.status_changed_at));
    if waited_since.is_none_or(|since| now.since(since) < FINAL_RUN_PATIENCE) {
        return Due::FinalRun;
    }
    let reason = "it has ended, but no run has come to an end within 48 hours: run it by hand".to_owned();
    Due::Transition(Transition { to: Status::WrapUp, name: "held", reason })
}

/// What the runs that were made after the end say.
fn concluding(experiment: &Experiment) -> Option<Transition> {
    let (end, standing) = (experiment.configuration.end()?, &experiment.standing);
    let is_final =
        |made_at: Option<Timestamp>| standing.of_end == Some(end) && made_at.is_some_and(|made_at| made_at >= end);
    if is_final(standing.known_at) && standing.failed_at.is_none() {
        let held = holding(experiment);
        return Some(match held.is_empty() {
            true => {
                let reason = "it has ended, and its final results are there".to_owned();
                Transition { to: Status::ReadyForReview, name: "ended", reason }
            }
            false => {
                let reason = format!("it has ended, but {}", held.join("; "));
                Transition { to: Status::WrapUp, name: "held", reason }
            }
        });
    }
    is_final(standing.failed_at).then(|| {
        let reason = format!("it has ended, but its final run failed: {}", standing.failure);
        Transition { to: Status::WrapUp, name: "held", reason }
    })
}

/// What follows from a run that has just ended, once `experiment.standing` has it.
pub fn by_results(experiment: &Experiment, now: Timestamp) -> Option<Transition> {
    if experiment.configuration.is_archived {
        return None;
    }
    let has_succeeded = experiment.standing.failed_at.is_none();
    match experiment.status {
        Status::Running if experiment.configuration.end().is_some_and(|end| end <= now) => concluding(experiment),
        Status::Running => {
            let decided = experiment.standing.decided.as_ref().filter(|_| has_succeeded)?;
            holding(experiment).is_empty().then(|| Transition {
                to: Status::ReadyForReview,
                name: "decided_by_results",
                reason: decided.clone(),
            })
        }
        Status::WrapUp if has_succeeded && holding(experiment).is_empty() => Some(Transition {
            to: Status::ReadyForReview,
            name: "released",
            reason: "a later run has cleared what held it".to_owned(),
        }),
        _ => None,
    }
}

/// What follows from an edit that moved the end of an experiment that had ended into the future.
pub fn resumed(before: &Configuration, after: &Experiment, now: Timestamp) -> Option<Transition> {
    let had_ended = before.end().is_some_and(|end| end <= now);
    let goes_on = after.configuration.end().is_none_or(|end| end > now);
    let is_waiting = matches!(after.status, Status::ReadyForReview | Status::WrapUp);
    (is_waiting && had_ended && goes_on).then(|| Transition {
        to: Status::Running,
        name: "resumed",
        reason: match after.configuration.end() {
            Some(end) => format!("its end was moved to {end}"),
            None => "its end was taken away".to_owned(),
        },
    })
}

/// What keeps an experiment from review, in words.
fn holding(experiment: &Experiment) -> Vec<String> {
    let (plan, standing) = (&experiment.configuration.analysis_plan, &experiment.standing);
    let mut held = Vec::new();
    if experiment.is_traffic_imbalance {
        held.push("its traffic is not as the weights say".to_owned());
    }
    if standing.subjects == 0 {
        held.push("no subject counts".to_owned());
    }
    let start = experiment.configuration.assignments_start_date.map(|start| start.as_start());
    let assigned_until = experiment.configuration.assignments_end_date.map(|end| end.as_end());
    let known_at = standing.known_at.unwrap_or(Timestamp::from_micros(i64::MIN));
    let until = assigned_until.map_or(known_at, |end| end.min(known_at));
    let days = start.map_or(0, |start| until.since(start).as_secs() / 86_400);
    if let Some(least) = plan.minimum_days.filter(|least| days < u64::from(*least)) {
        held.push(format!("subjects were assigned for {days} days, of {least} that the plan asks for"));
    }
    if let Some(least) = plan.minimum_subjects.filter(|least| standing.subjects < *least) {
        held.push(format!("{} subjects count, of {least} that the plan asks for", standing.subjects));
    }
    held
}

#[cfg(test)]
mod tests;
