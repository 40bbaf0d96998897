//! Metrics as the columns of their sources allow them to be computed, or why they do not; and what takes noise out of them.

use super::work::Source;
use crate::domain::aggregation::Operation;
use crate::pipeline::columns::Columns;
use crate::pipeline::plan::{Made, Measure, PlannedMetric};
use crate::pipeline::steps::{Facts, Output, Scope};
use crate::pipeline::tables::{Side, Typed};

/// Other metrics that tell something of one.
const MOST_OTHERS: usize = 20;

/// Each metric; with what its subjects did before, if the plan has it taken off.
pub(super) fn typed(
    scope: &Scope<'_>,
    metrics: &[PlannedMetric],
    sources: &[Source],
    is_adjusted: bool,
) -> Vec<Result<Typed, String>> {
    let of = |(place, metric): (usize, &PlannedMetric)| {
        let mut typed = sides(scope, place, metric, sources)?;
        if is_adjusted {
            typed.covariates = covariates(scope, &typed, metric, metrics, sources);
        }
        Ok(typed)
    };
    metrics.iter().enumerate().map(of).collect()
}

fn sides(scope: &Scope<'_>, place: usize, metric: &PlannedMetric, sources: &[Source]) -> Result<Typed, String> {
    let measures = metric.measures.as_ref().map_err(Clone::clone)?;
    let sides = measures
        .iter()
        .map(|measure| side(scope, measure, sources, |facts, columns| facts.output(scope, measure, columns)));
    Ok(Typed::of(place, sides.collect::<Result<_, String>>()?))
}

fn side(
    scope: &Scope<'_>,
    measure: &Measure,
    sources: &[Source],
    output: impl Fn(&Facts, &Columns<'_>) -> Result<Output, String>,
) -> Result<Side, String> {
    let (facts, columns) = sources[measure.source].facts.as_ref().map_err(Clone::clone)?;
    let source = format!("the fact source '{}'", facts.name);
    let columns = Columns { dialect: scope.dialect, source, columns };
    let output = output(facts, &columns)?;
    Ok(Side { source: measure.source, output, winsorization: measure.aggregation.winsorization.clone() })
}

/// The metric's own past, then that of the experiment's sums, counts and distinct entities. Of a metric whose subjects are
/// chosen by what they did nothing is taken off.
fn covariates(
    scope: &Scope<'_>,
    typed: &Typed,
    metric: &PlannedMetric,
    metrics: &[PlannedMetric],
    sources: &[Source],
) -> Vec<Side> {
    if metric.made != Made::Means {
        return Vec::new();
    }
    let rules = &typed.sides[0].output.rules;
    let before = |measure: &Measure| {
        side(scope, measure, sources, |facts, columns| facts.output_before(scope, measure, columns, rules.clone()))
    };
    let own = metric.measures.iter().flatten().map(before).collect::<Result<Vec<_>, _>>();
    let Some(mut covariates) = own.ok().filter(|own| !rules.only_present && own.len() == typed.sides.len()) else {
        return Vec::new();
    };
    let own = covariates.len();
    let others = metrics.iter().filter_map(|other| match other.measures.as_deref() {
        Ok([only]) if other.made == Made::Means && tells_of_others(only) => before(only).ok(),
        _ => None,
    });
    for other in others {
        if !covariates.contains(&other) && covariates.len() < own + MOST_OTHERS {
            covariates.push(other);
        }
    }
    covariates
}

fn tells_of_others(measure: &Measure) -> bool {
    matches!(measure.aggregation.operation, Operation::Sum | Operation::Count | Operation::DistinctEntity)
}
