//! How many statements a run will have, as far as that can be told before the first. Pure.

use super::plan::{Made, PlannedMetric};
use super::tables::{Typed, tables};

/// The census of assignments, the subjects, the traffic.
const OF_ASSIGNMENTS: usize = 3;
/// The values of a table, their totals, their deviations.
const OF_A_TABLE: usize = 3;
/// The facts, and how many they are.
const OF_POOLED_FACTS: usize = 2;
/// The facts at its places, and the shares of subjects.
const OF_A_PERCENTILE: usize = 2;
/// The facts of its steps, and the steps.
const OF_A_FUNNEL: usize = 2;

/// What is computed of these metrics if all goes well; what fails and is tried again comes on top.
pub fn steps_expected(metrics: &[Typed], plan: &[PlannedMetric]) -> usize {
    let (of_values, of_facts): (Vec<_>, Vec<_>) =
        metrics.iter().cloned().partition(|typed| plan[typed.metric].made == Made::Means);
    let tables = tables(&of_values, "");
    let mut sources: Vec<usize> = tables.iter().map(|table| table.source).collect();
    sources.sort_unstable();
    sources.dedup();
    let bounds = tables.iter().filter(|table| table.measured.iter().any(|column| column.has_percentiles())).count();
    // A ratio of two tables needs a statement more for the products of its sides.
    let ratios = of_values.iter().filter(|metric| metric.sides.len() > 1).count();
    let of_one_table: usize = tables.iter().map(|table| table.ratios(&of_values).len()).sum();
    let of_values = sources.len() + OF_A_TABLE * tables.len() + bounds + ratios.saturating_sub(of_one_table);
    OF_ASSIGNMENTS + of_values + steps_of_facts(&of_facts, plan, &sources)
}

/// `known` are the sources that others have asked about.
fn steps_of_facts(metrics: &[Typed], plan: &[PlannedMetric], known: &[usize]) -> usize {
    let mut sources: Vec<usize> = metrics.iter().flat_map(|typed| &typed.sides).map(|side| side.source).collect();
    sources.retain(|source| !known.contains(source));
    sources.sort_unstable();
    sources.dedup();
    let is_funnel = |typed: &&Typed| matches!(plan[typed.metric].made, Made::Funnel { .. });
    let funnels = metrics.iter().filter(is_funnel).count();
    let mut pooled = Vec::new();
    for side in metrics.iter().filter(|typed| !is_funnel(typed)).flat_map(|typed| &typed.sides) {
        if !pooled.contains(&(side.source, &side.output)) {
            pooled.push((side.source, &side.output));
        }
    }
    // A census, and what is joined.
    let of_sources = 2 * sources.len();
    let percentiles = metrics.len() - funnels;
    of_sources + OF_POOLED_FACTS * pooled.len() + OF_A_PERCENTILE * percentiles + OF_A_FUNNEL * funnels
}
