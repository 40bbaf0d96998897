//! A run: one execution of the data pipeline for one experiment, its window and its states. What it found is in `results`.
//!
//! ```text
//! queued ──▶ running ──▶ success │ failure
//!    └─────▶ cancelled     (a run that was never started; it leaves no event)
//! ```

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::actor::Actor;
use super::clock::Timestamp;
use super::configuration::Configuration;
use super::error::{Conflict, Refusal};
use super::id::{ExperimentId, RunId};
use super::warning::{Warning, WarningName};

/// How far back an incremental run looks, for facts and assignments that came late.
pub const LATENESS: Duration = Duration::from_hours(48);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    #[default]
    Incremental,
    /// From the experiment's start.
    Full,
}

impl Mode {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Incremental => "incremental",
            Self::Full => "full",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Incremental, Self::Full].into_iter().find(|mode| mode.as_str() == text)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    Queued,
    Running,
    Success,
    Failure,
    Cancelled,
}

impl RunState {
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Success, Self::Failure, Self::Cancelled];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing changes any more.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Success | Self::Failure | Self::Cancelled)
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What a run scans: assignments from `start` up to, not including, `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Window {
    pub start: Timestamp,
    pub end: Timestamp,
}

impl Window {
    /// The window of a run that is created at `now`. `last_scan_end` is where the last successful run's window ended.
    pub fn of(
        configuration: &Configuration,
        mode: Mode,
        last_scan_end: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let start = configuration.assignments_start_date.map(|start| start.as_start()).ok_or_else(|| {
            Refusal::conflict(
                Conflict::State,
                "assignments_start_date is not set, so there is nothing to scan from; set it, then run again",
            )
        })?;
        let end = configuration.assignments_end_date.map_or(now, |end| end.as_end().min(now));
        if start >= end {
            return Err(Refusal::conflict(
                Conflict::State,
                format!(
                    "assignments start at {start}, which is not before the scan's end, {end}; there is nothing to scan yet"
                ),
            ));
        }
        let from = match (mode, last_scan_end) {
            (Mode::Incremental, Some(last)) => last.minus(LATENESS).midnight().max(start),
            _ => start,
        };
        Ok(Self { start: from.min(end), end })
    }

    /// First and last UTC day that the window touches.
    pub fn days(self) -> (jiff::civil::Date, jiff::civil::Date) {
        let last = Timestamp::from_micros(self.end.as_micros() - 1).max(self.start);
        (self.start.date(), last.date())
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub id: RunId,
    pub experiment_id: ExperimentId,
    pub mode: Mode,
    /// Whether it computes what the figures were at the end of earlier days, where that is not known.
    pub fills_history: bool,
    pub is_manual: bool,
    pub state: RunState,
    pub actor: Actor,
    pub window: Window,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub error: Option<String>,
    pub is_data_updated: bool,
    pub is_traffic_imbalance: bool,
    pub imbalance_p_value: Option<f64>,
    pub warnings: Vec<Warning>,
    /// All that defines what it computes, in short: two runs of the same definitions and data find the same. `None`: of a
    /// version that did not note it.
    pub definitions: Option<String>,
}

/// What a run is asked to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    pub mode: Mode,
    /// See [`Run::fills_history`]; of a full run only.
    pub fills_history: bool,
}

impl From<Mode> for Asked {
    fn from(mode: Mode) -> Self {
        Self { mode, fills_history: false }
    }
}

/// The run that answers a request, of those of the experiment that have not ended; `None`: another must be queued. A request
/// joins a queued run, which has to become as much as is asked for, and a running one that is of the same mode and
/// definitions and fills in as much.
pub fn answering<'a>(open: &'a [Run], asked: Asked, definitions: &str) -> Option<&'a Run> {
    let queued = open.iter().find(|run| run.state == RunState::Queued);
    let is_same = |run: &&Run| {
        run.mode == asked.mode
            && (run.fills_history || !asked.fills_history)
            && run.definitions.as_deref() == Some(definitions)
    };
    queued.or_else(|| open.iter().find(is_same))
}

impl Run {
    /// What filters of endpoints ask of it.
    pub fn facts(&self) -> RunFacts {
        RunFacts {
            is_failure: self.state != RunState::Success,
            is_imbalance: self.is_traffic_imbalance,
            is_data_updated: self.is_data_updated,
            has_warnings: !self.warnings.is_empty(),
        }
    }

    /// The names of what it warns of, each once.
    pub fn warning_names(&self) -> Vec<WarningName> {
        let is_there = |name: &WarningName| self.warnings.iter().any(|warning| warning.name == *name);
        WarningName::ALL.into_iter().filter(is_there).collect()
    }

    /// From start to end, without the time in the queue; 0 if it has not ended.
    pub fn time_taken(&self) -> Duration {
        self.started_at.zip(self.ended_at).map_or(Duration::ZERO, |(start, end)| end.since(start))
    }
}

/// One statement of a run, as its log shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoggedStep {
    pub name: String,
    pub sql: String,
    /// The table that its rows are kept as for later steps; `None`: they were fetched.
    pub kept_as: Option<String>,
    pub rows: Option<u64>,
    pub duration_us: Option<u64>,
    pub error: Option<String>,
}

/// What of a run an event tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunFacts {
    pub is_failure: bool,
    pub is_imbalance: bool,
    pub is_data_updated: bool,
    pub has_warnings: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(start: Option<&str>, end: Option<&str>) -> Configuration {
        serde_json::from_value(serde_json::json!({
            "key": "k", "name": "n", "assignments_start_date": start, "assignments_end_date": end,
        }))
        .unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn full_scans_from_the_start_and_incremental_from_a_midnight_two_days_back() {
        let configuration = configuration(Some("2026-03-01T10:00:00Z"), None);
        let now = at("2026-03-20T12:00:00Z");
        let full = Window::of(&configuration, Mode::Full, Some(at("2026-03-19T06:00:00Z")), now).unwrap();
        assert_eq!(full, Window { start: at("2026-03-01T10:00:00Z"), end: now });
        let incremental = Window::of(&configuration, Mode::Incremental, Some(at("2026-03-19T06:00:00Z")), now).unwrap();
        assert_eq!(incremental.start, at("2026-03-17T00:00:00Z"));
        let early = Window::of(&configuration, Mode::Incremental, Some(at("2026-03-02T06:00:00Z")), now).unwrap();
        assert_eq!(early.start, full.start, "never before the start");
    }

    #[test]
    fn the_last_day_is_the_one_a_microsecond_before_the_end() {
        let window = Window::of(
            &configuration(Some("2026-03-01"), Some("2026-03-31")),
            Mode::Full,
            None,
            at("2026-06-01T00:00:00Z"),
        )
        .unwrap();
        let (first, last) = window.days();
        assert_eq!((first.to_string(), last.to_string()), ("2026-03-01".into(), "2026-03-31".into()));
    }

    #[test]
    fn a_request_joins_what_will_answer_it_and_queues_behind_what_will_not() {
        let run = |state, mode, definitions: &str| Run {
            id: RunId::of(1),
            experiment_id: 1,
            mode,
            fills_history: false,
            is_manual: true,
            state,
            actor: Actor::System,
            window: Window { start: Timestamp::from_micros(0), end: Timestamp::from_micros(1) },
            created_at: Timestamp::from_micros(2),
            started_at: None,
            ended_at: None,
            error: None,
            is_data_updated: false,
            is_traffic_imbalance: false,
            imbalance_p_value: None,
            warnings: Vec::new(),
            definitions: Some(definitions.to_owned()),
        };
        let running = run(RunState::Running, Mode::Full, "a");
        let (full, incremental) = (Asked::from(Mode::Full), Asked::from(Mode::Incremental));
        assert_eq!(answering(&[], full, "a"), None);
        assert_eq!(answering(std::slice::from_ref(&running), full, "a"), Some(&running));
        assert_eq!(answering(std::slice::from_ref(&running), incremental, "a"), None);
        assert_eq!(answering(std::slice::from_ref(&running), full, "b"), None);
        let with_history = Asked { fills_history: true, ..full };
        assert_eq!(answering(std::slice::from_ref(&running), with_history, "a"), None, "it fills nothing in");
        let filling = Run { fills_history: true, ..running.clone() };
        assert_eq!(answering(std::slice::from_ref(&filling), full, "a"), Some(&filling));
        let queued = run(RunState::Queued, Mode::Incremental, "b");
        let both = [running.clone(), queued.clone()];
        assert_eq!(answering(&both, incremental, "c"), Some(&queued), "it reads what there is when it starts");
        assert_eq!(answering(&both, full, "c"), Some(&queued), "it is made a full one");
    }

    #[test]
    fn without_a_start_or_before_it_there_is_no_window() {
        for start in [None, Some("2027-01-01")] {
            let refusal =
                Window::of(&configuration(start, None), Mode::Full, None, at("2026-06-01T00:00:00Z")).unwrap_err();
            assert!(matches!(refusal, Refusal::Conflict { kind: Conflict::State, .. }));
        }
    }
}
