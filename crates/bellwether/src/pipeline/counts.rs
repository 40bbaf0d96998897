//! What became of the rows of sources, and what a run warns of. Pure.

use std::time::Duration;

use bellwether_stats::Estimate;
use bellwether_warehouse::{Table, TableError};

use super::analysis::Figure;
use super::plan::{PlannedMetric, PlannedSource};
use super::steps::{MOST_KEYS, Scope};
use crate::domain::clock::Timestamp;
use crate::domain::configuration::Variation;
use crate::domain::results::{AssignmentCounts, FactCounts, KeyCount, Traffic};
use crate::domain::warning::{Warning, WarningName};

/// How much older than the scan's end the newest row may be.
const STALE: Duration = Duration::from_hours(48);
/// Below this an arm's interval is not to be trusted.
const FEW_SUBJECTS: u64 = 30;
/// Shares of subjects that were seen in more than one variation.
const MANY_MIXED: f64 = 0.1;
const MOST_MIXED: f64 = 0.6;
/// Midnights in a row that are no chance any more.
const MANY_MIDNIGHTS: u64 = 20;

/// The census of assignments, read.
#[derive(Debug, Default)]
pub struct Census {
    pub counts: AssignmentCounts,
    pub warnings: Vec<Warning>,
}

fn count(table: &Table, row: usize, column: &str) -> Result<u64, TableError> {
    Ok(table.optional_int(row, column)?.unwrap_or(0).unsigned_abs())
}

fn time(table: &Table, row: usize, column: &str) -> Result<Option<Timestamp>, TableError> {
    Ok(table.optional_int(row, column)?.map(Timestamp::from_micros))
}

pub fn assignments(scope: &Scope<'_>, table: &Table, is_by_day: bool) -> Result<Census, TableError> {
    let mut counts = AssignmentCounts::default();
    let (mut in_future, mut off_midnight, mut known_rows) = (0, 0, 0);
    for row in 0..table.rows.len() {
        let rows = count(table, row, "row_count")?;
        let (without_subject, without_time) =
            (count(table, row, "without_subject")?, count(table, row, "without_time")?);
        let outside = count(table, row, "outside_window")?;
        counts.rows = count(table, row, "all_rows")?;
        counts.earliest = [counts.earliest, time(table, row, "earliest")?].into_iter().flatten().min();
        counts.latest = counts.latest.max(time(table, row, "latest")?);
        in_future += count(table, row, "in_future")?;
        off_midnight += count(table, row, "off_midnight")?;
        let key = table.optional_text(row, "variation")?;
        if key.is_some_and(|key| scope.variations.contains(&key)) {
            counts.without_subject += without_subject;
            counts.without_time += without_time;
            counts.outside_window += outside;
            counts.counted += rows.saturating_sub(without_subject + without_time + outside);
            known_rows += rows;
        } else if key.is_some_and(|key| scope.inactive.contains(&key)) {
            counts.of_inactive_variations += rows;
            known_rows += rows;
        } else if counts.unknown_variations.len() < MOST_KEYS {
            counts.unknown_variations.push(KeyCount { key: key.map(str::to_owned), rows });
        }
    }
    counts.of_unknown_variations = counts.rows.saturating_sub(known_rows);
    let mut warnings = Vec::new();
    if counts.of_unknown_variations > 0 {
        warnings.push(unknown_variations(scope, &counts));
    }
    if counts.without_subject + counts.without_time > 0 {
        let message = format!(
            "of {} assignments {} have no subject and {} have no time that can be read; they do not count: mend the source",
            counts.rows, counts.without_subject, counts.without_time
        );
        warnings.push(Warning::of(WarningName::IncompleteRows, message));
    }
    let latest = counts.latest.filter(|_| counts.counted > 0);
    warnings.extend(stale("assignment", latest, scope.window.end));
    warnings.extend(future("assignments", in_future));
    if counts.rows >= MANY_MIDNIGHTS && off_midnight == 0 && !is_by_day {
        warnings.push(midnights("assignments"));
    }
    Ok(Census { counts, warnings })
}

fn unknown_variations(scope: &Scope<'_>, counts: &AssignmentCounts) -> Warning {
    let all_known: Vec<_> = scope.variations.iter().chain(&scope.inactive).copied().collect();
    let message = format!(
        "{} of {} assignments are of variations that the experiment does not have: {}; it has {}: add them, or mend the source",
        counts.of_unknown_variations,
        counts.rows,
        named(&counts.unknown_variations),
        all_known.join(", ")
    );
    Warning::of(WarningName::UnknownVariations, message)
}

/// Keys with their rows, in words.
pub fn named(keys: &[KeyCount]) -> String {
    let one = |it: &KeyCount| {
        format!("{} ({})", it.key.as_deref().map_or("NULL".to_owned(), |key| format!("'{key}'")), it.rows)
    };
    let more = if keys.len() == MOST_KEYS { ", …" } else { "" };
    keys.iter().map(one).collect::<Vec<_>>().join(", ") + more
}

/// Why a run fails that has rows of its key, but none that counts; `None` if some do, or there are none.
pub fn why_none_counts(scope: &Scope<'_>, counts: &AssignmentCounts) -> Option<String> {
    if counts.rows == 0 || counts.counted > 0 {
        return None;
    }
    let day = |at: Option<Timestamp>| at.map_or("never".to_owned(), |at| at.to_string());
    let mut reasons = Vec::new();
    let mut add = |rows: u64, reason: String| {
        if rows > 0 {
            reasons.push(format!("{rows} {reason}"));
        }
    };
    add(
        counts.outside_window,
        format!(
            "lie outside the scan, which is from {} to {}, while the rows are from {} to {}: check assignments_start_date \
             and assignments_end_date",
            scope.window.start,
            scope.window.end,
            day(counts.earliest),
            day(counts.latest)
        ),
    );
    add(
        counts.of_unknown_variations,
        format!("are of variations that the experiment does not have: {}", named(&counts.unknown_variations)),
    );
    add(counts.of_inactive_variations, "are of variations that are not active".to_owned());
    add(counts.without_subject, "have no subject".to_owned());
    add(counts.without_time, "have no time that can be read: see the formats in docs/analysis.md".to_owned());
    Some(format!(
        "the assignment source has {} rows of the key '{}', but none counts: {}",
        counts.rows,
        scope.experiment_key,
        reasons.join("; ")
    ))
}

/// No row has the experiment's key; `keys` are those that there are.
pub fn no_assignments(scope: &Scope<'_>, keys: &[KeyCount]) -> Warning {
    let there =
        if keys.is_empty() { "it has no rows at all".to_owned() } else { format!("its keys are {}", named(keys)) };
    let message = format!("the assignment source has no rows of the key '{}'; {there}", scope.experiment_key);
    Warning::of(WarningName::NoAssignments, message).severe(true)
}

pub fn keys(table: &Table) -> Result<Vec<KeyCount>, TableError> {
    let key = |row| {
        let key = table.optional_text(row, "experiment_key")?.map(str::to_owned);
        Ok(KeyCount { key, rows: count(table, row, "row_count")? })
    };
    (0..table.rows.len()).map(key).collect()
}

/// What a fact source's census says. What is joined is known later.
pub fn facts(
    scope: &Scope<'_>,
    source: &PlannedSource,
    table: &Table,
) -> Result<(FactCounts, Vec<Warning>), TableError> {
    let name = &source.name;
    let counts = FactCounts {
        fact_source_id: source.id,
        name: name.clone(),
        rows: count(table, 0, "row_count")?,
        without_subject: count(table, 0, "without_subject")?,
        without_time: count(table, 0, "without_time")?,
        joined: 0,
        before_assignment: 0,
        after_end: 0,
        unreadable_values: count(table, 0, "unreadable_values")?,
        latest: time(table, 0, "latest")?,
        is_by_day: count(table, 0, "by_day")? > 0,
    };
    let what = format!("facts of '{name}'");
    let mut warnings = Vec::new();
    if counts.without_subject + counts.without_time > 0 {
        let message = format!(
            "of {} {what} {} have no subject and {} have no time that can be read; they do not count: mend the source",
            counts.rows, counts.without_subject, counts.without_time
        );
        warnings.push(Warning::of(WarningName::IncompleteRows, message));
    }
    if counts.unreadable_values > 0 {
        let message = format!(
            "{} values of {what} are texts that are no numbers; they are none in sums and means, though as facts they are there to be counted: mend the source's SQL, as by NULLIF and \
             CAST, or set the column's type in `tables` of the warehouse",
            counts.unreadable_values
        );
        warnings.push(Warning::of(WarningName::UnreadableValues, message));
    }
    warnings.extend(stale(&format!("fact of '{name}'"), counts.latest, scope.facts_end));
    warnings.extend(future(&what, count(table, 0, "in_future")?));
    let timed = counts.rows.saturating_sub(counts.without_time);
    if timed >= MANY_MIDNIGHTS && !counts.is_by_day && count(table, 0, "off_midnight")? == 0 {
        warnings.push(midnights(&what));
    }
    Ok((counts, warnings))
}

/// Facts are there, but none is of a subject that counts.
pub fn no_facts_joined(counts: &FactCounts, subjects: u64) -> Option<Warning> {
    if counts.joined > 0 || subjects == 0 {
        return None;
    }
    let message = format!(
        "none of the {} facts of '{}' is of one of the {subjects} subjects, so that every subject has nothing: check that \
         both sources' subject columns hold the same identifiers, written alike",
        counts.rows, counts.name
    );
    Some(Warning::of(WarningName::NoFactsJoined, message).severe(true))
}

fn stale(what: &str, latest: Option<Timestamp>, end: Timestamp) -> Option<Warning> {
    let latest = latest.filter(|latest| latest.plus(STALE) < end)?;
    let message = format!(
        "the newest {what} is of {latest}, more than {} hours before the end of the scan, {end}: data may be missing",
        STALE.as_secs() / 3600
    );
    Some(Warning::of(WarningName::StaleData, message))
}

fn future(what: &str, rows: u64) -> Option<Warning> {
    let message = format!("{rows} {what} lie more than an hour in the future; check the time's zone and unit");
    (rows > 0).then(|| Warning::of(WarningName::TimesInFuture, message))
}

fn midnights(what: &str) -> Warning {
    let message = format!(
        "all times of {what} are midnights, as if the time of day had been lost; what happened on the day of the assignment \
         counts only from that midnight on: if only days are known, CAST them AS DATE in the SQL"
    );
    Warning::of(WarningName::MidnightTimes, message)
}

/// What the subjects' numbers say.
pub fn traffic(traffic: &Traffic) -> Vec<Warning> {
    let counted: u64 = traffic.variations.iter().map(|variation| variation.subjects).sum();
    let all = counted + traffic.excluded;
    let mut warnings = Vec::new();
    let share = if all == 0 { 0.0 } else { traffic.excluded as f64 / all as f64 };
    if share >= MANY_MIXED {
        let message = format!(
            "{} of {all} subjects ({:.0} %) were seen in more than one variation, and count in none: check how subjects are \
             assigned, and that the subject column holds the unit of assignment",
            traffic.excluded,
            share * 100.0
        );
        warnings.push(Warning::of(WarningName::ManyMixed, message).severe(share >= MOST_MIXED));
    }
    let few: Vec<_> = traffic
        .variations
        .iter()
        .filter(|variation| variation.subjects < FEW_SUBJECTS)
        .map(|variation| format!("'{}' {}", variation.key, variation.subjects))
        .collect();
    if !few.is_empty() && all > 0 {
        let message = format!(
            "fewer than {FEW_SUBJECTS} subjects are in: {}; intervals and p-values take more for granted: wait",
            few.join(", ")
        );
        warnings.push(Warning::of(WarningName::FewSubjects, message));
    }
    warnings
}

/// Subjects are there, but none has a fact that counts for the metric.
/// Nobody counts of those that were assigned.
pub fn nobody_entered(source: &str, traffic: &Traffic) -> Option<Warning> {
    let has_nobody = traffic.variations.iter().all(|variation| variation.subjects == 0);
    let assigned = traffic.without_entry.filter(|without| has_nobody && *without > 0)?;
    let message = format!(
        "none of the {assigned} subjects that were assigned has a row in the entry point's source '{source}' at or after \
         its assignment: look at the source, or remove the entry point"
    );
    Some(Warning::of(WarningName::NobodyEntered, message).severe(true))
}

pub fn weights_changed() -> Warning {
    let message = "the weights were edited while the experiment ran: subjects were assigned by others before, so that the \
                   traffic may differ from those of today, and early subjects weigh more in one arm than in another; begin \
                   a new experiment, or set the start date to that of the edit";
    Warning::of(WarningName::WeightsChanged, message)
}

pub fn nothing_counted(metric: &PlannedMetric, present: Option<u64>, subjects: &[u64]) -> Option<Warning> {
    if present != Some(0) || subjects.iter().all(|count| *count == 0) {
        return None;
    }
    let message = format!(
        "no subject has a fact that counts for '{}': check its filters and timeframe, that facts come after the assignment \
         (the times' zone), and, of a source's facts, how many lie before_assignment and after_end",
        metric.name
    );
    Some(Warning::of(WarningName::NothingCounted, message).about(metric.id))
}

/// The control's figure is so near 0 that lifts mean little.
pub fn control_near_zero(metric: &PlannedMetric, variations: &[&Variation], figures: &[Figure]) -> Option<Warning> {
    let control = variations.iter().position(|variation| variation.is_control)?;
    let estimate = figures.get(control)?.estimate.filter(Estimate::is_near_zero)?;
    let message = format!(
        "the control's mean of '{}', {}, lies within 4 of its standard errors of 0, so that a lift relative to it means \
         little: look at the difference",
        metric.name, estimate.value
    );
    Some(Warning::of(WarningName::ControlNearZero, message).about(metric.id))
}
