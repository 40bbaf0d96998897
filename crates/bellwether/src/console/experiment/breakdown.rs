//! A metric by the values of a property, as a table: one row for each value and treatment.

use askama::Template;

use super::Experiment;
use crate::domain::figure::{between, count, signed_percent};
use crate::domain::results::{Breakdown, BreakdownValue, BreakdownVariation, MetricResult};

#[derive(Template)]
#[template(path = "console/experiment/breakdown.html")]
struct Table<'a> {
    property: &'a str,
    metric: &'a str,
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    value: &'a str,
    variation: &'a str,
    subjects: String,
    lift: String,
    between: String,
}

/// What askama puts into the page as it is: the template has escaped it.
pub fn table(experiment: &Experiment, metric: &MetricResult, breakdown: &Breakdown) -> String {
    let rows = breakdown.values.iter().flat_map(|value| {
        let treatments = value.variations.iter().filter(|variation| !experiment.is_control(&variation.key));
        treatments.map(move |variation| Row::of(experiment, value, variation))
    });
    let table = Table { property: &breakdown.property, metric: &metric.name, rows: rows.collect() };
    table.render().unwrap_or_default()
}

impl<'a> Row<'a> {
    fn of(experiment: &'a Experiment, value: &'a BreakdownValue, found: &'a BreakdownVariation) -> Self {
        let name = value.value.as_deref();
        let (lift, interval) = found.judged();
        let figures = lift.zip(interval);
        Self {
            value: if value.is_rest { "all others" } else { name.unwrap_or("without one") },
            variation: experiment.name_of(&found.key),
            subjects: count(found.subjects),
            lift: figures.map_or("–".to_owned(), |(lift, [low, high])| signed_percent(lift, high - low)),
            between: figures.map_or("–".to_owned(), |(_, interval)| between(interval)),
        }
    }
}
