//! The form of a metric: what every kind has in sight, and what one kind alone has folded away until it is there.

use serde::Deserialize;

use crate::console::aggregation::{Choices, conversion_window, details, fact, filters, steps, timeframe};
use crate::console::choices::{named, optional};
use crate::console::failure::Failure;
use crate::console::form::{Input, Kind, Rows, choice, input};
use crate::console::visit::Visit;

#[derive(Deserialize)]
struct Source {
    name: String,
    facts: Vec<Fact>,
    #[serde(default)]
    properties: Vec<Property>,
}

#[derive(Deserialize)]
struct Fact {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Property {
    name: String,
}

fn choices(sources: &[Source]) -> Choices {
    let facts = sources.iter().flat_map(|source| {
        source.facts.iter().map(move |fact| (fact.id.clone(), format!("{}: {}", source.name, fact.name)))
    });
    let mut properties: Vec<(String, String)> = Vec::new();
    for (source, property) in sources.iter().flat_map(|source| source.properties.iter().map(move |it| (source, it))) {
        match properties.iter_mut().find(|(name, _)| *name == property.name) {
            Some((_, label)) => *label = format!("{}, {})", label.trim_end_matches(')'), source.name),
            None => properties.push((property.name.clone(), format!("{} ({})", property.name, source.name))),
        }
    }
    Choices { facts: optional("choose", facts), properties: optional("choose", properties) }
}

pub async fn inputs(visit: &Visit, name: Input, description: Input, rows: Rows<'_>) -> Result<Vec<Input>, Failure> {
    let choices = choices(&visit.all::<Source>("/fact_sources?sort=name").await?);
    let entities = named(visit, "entities", "choose").await?;
    let teams = named(visit, "teams", "none").await?;
    let about = vec![name, description, input("entity_id", "Entity", "", entities)];
    Ok(laid_out(about, input("team_id", "Team", "", teams), &choices, rows))
}

fn laid_out(about: Vec<Input>, team: Input, choices: &Choices, rows: Rows<'_>) -> Vec<Input> {
    let kinds = choice([
        ("simple", "simple: the mean over a variation's subjects"),
        ("ratio", "ratio: numerator over denominator"),
        ("percentile", "percentile of a variation's facts"),
        ("funnel", "funnel: the share that comes through all steps"),
    ]);
    let changes = choice([("", "as the fact says"), ("increase", "higher is better"), ("decrease", "lower is better")]);
    let mut inputs = about;
    inputs.push(input("kind", "Kind", "Percentiles and funnels are made of what is folded away below.", kinds));
    let numerator = fact("numerator", choices)
        .map(|input| input.of_part("numerator").of_group("What is measured; of a ratio, the numerator"));
    inputs.extend(numerator);
    inputs.extend([
        input("desired_change", "Desired change", "", changes),
        input("display", "Shown as", "", choice([("decimal", "number"), ("percent", "percent")])),
        input("minimum_detectable_effect", "Smallest lift that matters", "Relative, like 0.02.", Kind::Number),
        input("is_guardrail", "Guardrail of every new experiment of its entity", "", Kind::Flag),
        input("guardrail_cutoff", "Breached beyond this lift", "Like -0.02.", Kind::Number),
        team,
    ]);
    inputs.extend(folded(
        "numerator",
        "Which facts count, and within which bounds",
        details("numerator", rows, choices),
    ));
    let denominator = fact("denominator", choices).map(|input| input.of_group("Denominator"));
    let denominator = denominator.into_iter().chain(details("denominator", rows, choices));
    inputs.extend(folded("denominator", "Denominator, of a ratio", denominator));
    inputs.extend(folded("percentile", "Percentile", percentile(rows, choices)));
    inputs.extend(folded("funnel", "Funnel", funnel(rows, choices)));
    inputs
}

fn folded<'a>(
    part: &'a str,
    section: &'static str,
    inputs: impl IntoIterator<Item = Input> + 'a,
) -> impl Iterator<Item = Input> + 'a {
    inputs.into_iter().map(move |input| input.of_part(part).within(section))
}

fn percentile(rows: Rows<'_>, choices: &Choices) -> Vec<Input> {
    let mut inputs = vec![
        input("percentile.fact_id", "Fact", "", choices.facts.clone()).of_group("Percentile"),
        input(
            "percentile.level",
            "Level",
            "Between 0 and 1: at 0.95, what 95 % of the facts lie at or below.",
            Kind::Number,
        )
        .of_group("Percentile"),
    ];
    inputs.extend(filters("percentile", rows, choices));
    inputs.extend(timeframe("percentile"));
    inputs
}

fn funnel(rows: Rows<'_>, choices: &Choices) -> Vec<Input> {
    let mut inputs = steps("funnel", rows, choices);
    inputs.extend(conversion_window("funnel"));
    inputs.extend(timeframe("funnel"));
    inputs
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::console::form::{Fields, Form};

    fn inputs(rows: Rows<'_>) -> Vec<Input> {
        let choices = choices(&[]);
        let about = vec![input("name", "", "", Kind::Text)];
        laid_out(about, input("team_id", "", "", Kind::Optional), &choices, rows)
    }

    fn sent_back(shown: &Value) -> Value {
        Form::of(inputs(Rows::Shown(shown)), shown).to_json()
    }

    fn plain() -> Value {
        json!({
            "name": "m", "kind": "simple", "numerator": null, "desired_change": null, "display": "decimal",
            "minimum_detectable_effect": null, "is_guardrail": false, "guardrail_cutoff": null, "team_id": null,
            "denominator": null, "percentile": null, "funnel": null,
        })
    }

    #[test]
    fn every_kind_is_sent_back_as_it_is_shown() {
        let filter = json!({"property": "country", "operation": "not_equals", "values": ["DE", "AT, CH"]});
        let timeframe = json!({"start": 0, "end": 7, "unit": "calendar_days", "only_aged": true});
        let mut ratio = plain();
        ratio["kind"] = json!("ratio");
        ratio["numerator"] = json!({
            "fact_id": "fact_1", "operation": "threshold", "filters": [filter, filter], "timeframe": timeframe,
            "threshold": {"of": "count", "comparison": "gt", "value": 3, "within": {"length": 2, "unit": "weeks"}},
        });
        ratio["denominator"] = json!({
            "fact_id": "fact_2", "operation": "sum", "filters": [],
            "winsorization": {"upper_percentile": 0.99, "subjects": "positive"},
        });
        let mut percentile = plain();
        percentile["kind"] = json!("percentile");
        percentile["percentile"] = json!({"fact_id": "fact_1", "level": 0.95, "filters": [filter]});
        let mut funnel = plain();
        funnel["kind"] = json!("funnel");
        funnel["funnel"] = json!({
            "steps": [{"fact_id": "fact_1", "filters": []}, {"fact_id": "fact_2", "name": "Pays", "filters": [filter]}],
            "conversion_window": {"length": 3, "unit": "days", "from": "first_step"}, "timeframe": timeframe,
        });
        for shown in [plain(), ratio, percentile, funnel] {
            assert_eq!(sent_back(&shown), shown);
        }
    }

    #[test]
    fn a_step_is_one_though_it_has_a_fact_alone_and_what_is_cleared_is_gone() {
        let given = [
            ("name", "m"),
            ("kind", "funnel"),
            ("funnel.steps[0].fact_id", "fact_1"),
            ("funnel.steps[2].filters[0].property", ""),
            ("funnel.timeframe.end", ""),
            ("funnel.timeframe.unit", "days"),
            ("funnel.steps[1].fact_id", ""),
            ("funnel.steps[2].fact_id", "fact_3"),
        ];
        let fields = Fields::of(given);
        let sent = Form::filled(inputs(Rows::Sent(&fields)), fields.clone()).to_json();
        assert_eq!(sent["funnel"], json!({"steps": [{"fact_id": "fact_1"}, {"fact_id": "fact_3", "filters": []}]}));
    }
}
