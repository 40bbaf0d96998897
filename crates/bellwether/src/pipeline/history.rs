//! What the figures were at the ends of earlier days: computed as they would have been then, by the definitions of now.

use std::path::Path;

use super::Limits;
use super::compute::{Computation, Failed, Found};
use crate::domain::clock::Timestamp;
use crate::domain::point::Point;
use crate::domain::results::Results;
use crate::domain::run::{Run, Window};

/// The run's results; then, if it is asked for, those of earlier days that are not known. A day that fails, as one without
/// subjects does, is left out. What was filled in stays if the run is stopped.
pub async fn compute_all(
    computation: &mut Computation<'_>,
    limits: &Limits,
    scratch: &Path,
) -> Result<Results, Failed> {
    let results = computation.compute(limits, &scratch.join("now")).await?;
    if !computation.run.fills_history {
        return Ok(results);
    }
    let (registry, experiment) = (computation.registry, computation.experiment);
    let known = registry.known_days(experiment.id).await?;
    for window in earlier(computation.run.window) {
        let day = window.days().1.to_string();
        if known.contains(&day) {
            continue;
        }
        // Facts and subjects of later days do not exist for it.
        let run = Run { window, created_at: window.end, ..computation.run.clone() };
        let mut found = Found::default();
        let (steps, of) = (computation.steps, Some(day.clone()));
        let mut of_day = Computation { registry, run: &run, experiment, found: &mut found, steps, day: of };
        let past = of_day.compute(limits, &scratch.join(&day)).await;
        computation.steps = of_day.steps;
        match past {
            Ok(past) => registry.keep_point(experiment.id, Point::of(&past, window)).await?,
            Err(Failed(reason)) => tracing::info!(run = %run.id, day, reason, "an earlier day has no figures"),
        }
    }
    Ok(results)
}

/// The windows that end with each full day before the last.
fn earlier(window: Window) -> impl Iterator<Item = Window> {
    let (_, last) = window.days();
    let ends = std::iter::successors(window.start.date().tomorrow().ok(), |day| day.tomorrow().ok());
    ends.take_while(move |end| *end <= last)
        .map(move |end| Window { start: window.start, end: Timestamp::of_date(end) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_full_day_before_the_last_has_a_window() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let window = Window { start: at("2026-03-01T10:00:00Z"), end: at("2026-03-04T09:00:00Z") };
        let days: Vec<_> = earlier(window).map(|window| window.days().1.to_string()).collect();
        assert_eq!(days, ["2026-03-01", "2026-03-02", "2026-03-03"]);
        let whole = Window { start: at("2026-03-01T00:00:00Z"), end: at("2026-03-02T00:00:00Z") };
        assert_eq!(earlier(whole).count(), 0, "its only day is the last");
    }
}
