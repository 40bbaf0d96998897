//! What the figures were at the ends of earlier days: computed as they would have been then, by the definitions of now.

use std::path::Path;

use super::Limits;
use super::compute::{Computation, Failed, Found};
use crate::domain::clock::Timestamp;
use crate::domain::point::{Point, day_before};
use crate::domain::results::Results;
use crate::domain::run::{Run, Window};

/// Days that one run fills in, the latest first: each costs as much as a run until then.
const MOST_DAYS: usize = 400;

/// The run's results; then, if it is asked for, those of earlier days that are not known. A day that fails is left out. What
/// was filled in stays if the run is stopped, and so do its results.
pub async fn compute_all(
    computation: &mut Computation<'_>,
    limits: &Limits,
    scratch: &Path,
) -> Result<Results, Failed> {
    let results = computation.compute(limits, &scratch.join("now")).await?;
    if !computation.run.fills_history {
        return Ok(results);
    }
    computation.found.results = Some(results.clone());
    let (registry, experiment) = (computation.registry, computation.experiment);
    let known = registry.known_days(experiment.id).await?;
    // Before its first row there is nothing to find.
    let (window, configuration) = (computation.run.window, &experiment.configuration);
    let first = results.assignments.earliest.map_or(window.start, |earliest| earliest.max(window.start));
    let until = configuration.facts_end(computation.run.created_at).max(window.end);
    let missing = earlier(first, until).filter(|end| !known.contains(&day_before(*end).to_string()));
    for end in missing.take(MOST_DAYS) {
        let day = day_before(end).to_string();
        // Facts and subjects of later days do not exist for it.
        let window = Window { start: window.start, end: window.end.min(end) };
        let run = Run { window, created_at: end, ..computation.run.clone() };
        let mut found = Found::default();
        let (steps, of) = (computation.steps, Some(day.clone()));
        let mut of_day = Computation { registry, run: &run, experiment, found: &mut found, steps, day: of };
        let begun = registry.clock().monotonic();
        let past = of_day.compute(limits, &scratch.join(&day)).await;
        let took = registry.clock().monotonic().saturating_sub(begun);
        computation.log_day(&day, took, past.as_ref().err()).await;
        match past {
            Ok(past) => registry.keep_point(experiment.id, Point::of(&past, end)).await?,
            Err(Failed(reason)) => tracing::info!(run = %run.id, day, reason, "an earlier day has no figures"),
        }
    }
    Ok(results)
}

/// The ends of each full day from that of `first` to the one before the last, the latest first.
fn earlier(first: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> {
    let days = std::iter::successors(day_before(until).yesterday().ok(), |day| day.yesterday().ok());
    days.take_while(move |day| *day >= first.date()).filter_map(|day| Some(Timestamp::of_date(day.tomorrow().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_full_day_before_the_last_has_an_end() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let until = at("2026-03-04T09:00:00Z");
        let days = |first| earlier(at(first), until).map(|end| day_before(end).to_string()).collect::<Vec<_>>();
        assert_eq!(days("2026-03-01T10:00:00Z"), ["2026-03-03", "2026-03-02", "2026-03-01"]);
        assert_eq!(days("2026-03-02T23:00:00Z"), ["2026-03-03", "2026-03-02"]);
        assert_eq!(
            earlier(at("2026-03-01T00:00:00Z"), at("2026-03-02T00:00:00Z")).count(),
            0,
            "its only day is the last"
        );
    }
}
