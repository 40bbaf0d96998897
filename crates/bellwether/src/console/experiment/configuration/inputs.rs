//! What the form of an experiment's configuration asks for, in sections that are saved each by itself.

use crate::console::choices::named;
use crate::console::failure::Failure;
use crate::console::form::{Input, Kind, choice, input};
use crate::console::visit::Visit;

pub const VARIATIONS: &str = "Variations";
pub const PLAN: &str = "Analysis plan";

/// All that can be said of an experiment, with room for so many variations.
pub async fn inputs(visit: &Visit, variations: usize) -> Result<Vec<Input>, Failure> {
    let entities = named(visit, "entities", "none yet").await?;
    let sources = named(visit, "assignment_sources", "none yet").await?;
    let entry_points = named(visit, "fact_sources", "the assignment itself").await?;
    let schedules = named(visit, "schedules", "the usual one").await?;
    let teams = named(visit, "teams", "none").await?;
    let about = [
        input("name", "Name", "", Kind::Text),
        input("key", "Key", "As the assignments name it.", Kind::Text),
        input("hypothesis", "Hypothesis", "", Kind::Long),
        input("owner", "Owner", "", Kind::Text),
        input("team_id", "Team", "", teams),
        input("team", "Team, in words", "Where it is none of those that are defined.", Kind::Text),
        input("tags", "Tags", "Each on a line of its own.", Kind::Lines),
    ];
    let traffic = [
        input("entity_id", "Entity", "What is assigned: users, devices, households.", entities),
        input("assignment_source_id", "Assignment source", "", sources),
        input(
            "entry_point.fact_source_id",
            "Subjects count from",
            "Their first row in a fact source, where that is not the assignment.",
            entry_points,
        ),
        input(
            "traffic_allocation",
            "Traffic allocation",
            "The share of subjects that take part: above 0 and at most 1.",
            Kind::Number,
        ),
        input(
            "assignments_start_date",
            "Assignments start",
            "A day like 2026-03-01, or a time like 2026-03-01T09:30:00Z.",
            Kind::Optional,
        ),
        input("assignments_end_date", "Assignments end", "A bare day is included whole.", Kind::Optional),
        input("events_end_date", "Facts end", "", Kind::Optional),
        input("schedule_id", "Schedule of runs", "", schedules),
    ];
    let mut inputs: Vec<_> = about.map(|input| input.within("What it is")).into();
    inputs.extend(traffic.map(|input| input.within("Who is in it, and when")));
    inputs.extend((0..variations).flat_map(variation).map(|input| input.within(VARIATIONS)));
    inputs.extend(plan().into_iter().map(|input| input.within(PLAN)));
    Ok(inputs)
}

fn variation(i: usize) -> [Input; 5] {
    let item = format!("variations[{i}]");
    let of_row = [
        input(format!("{item}.key"), "Key", "", Kind::Text),
        input(format!("{item}.name"), "Name", "", Kind::Text),
        input(format!("{item}.weight"), "Weight", "", Kind::Number),
        input(format!("{item}.is_control"), "control", "", Kind::Flag),
        input(format!("{item}.is_active"), "active", "", Kind::Flag),
    ];
    of_row.map(|input| input.of_group(format!("Variation {}", i + 1)))
}

fn plan() -> Vec<Input> {
    let methods = choice([
        ("fixed", "fixed: valid once, at the end"),
        ("sequential", "sequential: valid at every look"),
        ("bayesian", "Bayesian: the lift as a distribution"),
    ]);
    let corrections = choice([("none", "none"), ("preferential_bonferroni", "preferential Bonferroni")]);
    vec![
        input("analysis_plan.method", "Method", "", methods),
        input("analysis_plan.confidence_level", "Confidence level", "Between 0.5 and 0.9999.", Kind::Number),
        input("analysis_plan.correction", "Correction for many comparisons", "", corrections),
        input("analysis_plan.primary_weight", "The primary metric's share in it", "", Kind::Number),
        input(
            "analysis_plan.prior_sd",
            "Standard deviation of the prior",
            "Of the lift, before anything was seen; Bayesian only.",
            Kind::Number,
        ),
        input("analysis_plan.cuped", "CUPED: take out the noise that is known from before", "", Kind::Flag),
        input("analysis_plan.minimum_days", "At least so many days", "", Kind::Number),
        input("analysis_plan.minimum_subjects", "At least so many subjects", "", Kind::Number),
        input(
            "analysis_plan.precision",
            "Enough is known at this half width",
            "Of the interval around the lift, like 0.02.",
            Kind::Number,
        ),
    ]
}
