//! What the results come to, in words that somebody reads who decides, and whether they decide by themselves. Pure.

use super::inference::Inference;
use crate::domain::clock::Timestamp;
use crate::domain::configuration::Configuration;
use crate::domain::definition::DesiredChange;
use crate::domain::figure::percent;
use crate::domain::results::{MetricResult, Traffic, VariationResult};
use crate::domain::verdict::{ExperimentVerdict, GuardrailState, Verdict};

/// How far a metric is: as far as the treatment that is least far, and when it will be there.
pub fn progress(result: &mut MetricResult, start: Option<Timestamp>, now: Timestamp, has_ended: bool) {
    let treatments = result.variations.iter().filter(|variation| variation.verdict.is_some());
    let all: Option<Vec<f64>> = treatments.map(|variation| variation.progress).collect();
    result.progress = all.and_then(|all| all.into_iter().reduce(f64::min));
    let elapsed = start.map(|start| now.since(start).as_secs_f64());
    let duration = elapsed.zip(result.progress).and_then(|(elapsed, progress)| {
        bellwether_stats::expected_duration(elapsed, progress).filter(|duration| *duration < 1e10)
    });
    let end = start.zip(duration).map(|(start, duration)| start.plus(std::time::Duration::from_secs_f64(duration)));
    // What has ended goes on no more.
    result.expected_end = end.filter(|_| !has_ended && result.progress.is_some_and(|progress| progress < 1.0));
}

/// What the primary metric decides before the end, if it does.
pub fn decided(metrics: &[MetricResult], inference: &Inference, names: &Configuration) -> Option<String> {
    let primary = metrics.iter().find(|metric| metric.is_primary && metric.error.is_none())?;
    inference.is_decided(&primary.variations).then(|| sentence(primary, names))
}

/// Variations are called as `names` has it.
pub fn verdict(metrics: &[MetricResult], traffic: &Traffic, names: &Configuration) -> ExperimentVerdict {
    let primary = metrics.iter().find(|metric| metric.is_primary);
    let found = primary.filter(|metric| metric.error.is_none());
    let mut sentences = vec![match (primary, found) {
        (_, Some(metric)) => sentence(metric, names),
        (Some(failed), None) => format!("There is no figure of the primary metric '{}'", failed.name),
        (None, None) => "No metric is the primary one: choose the one that decides".to_owned(),
    }];
    sentences.extend(guardrails(metrics, names));
    if traffic.is_imbalance {
        sentences.push(
            "The traffic is not as the weights say, so that none of this can be trusted until it is known why"
                .to_owned(),
        );
    }
    ExperimentVerdict { verdict: found.and_then(overall), sentence: sentences.join(". ") + "." }
}

/// Better if any treatment is; else whatever the data are still too few for; else worse if any is.
fn overall(primary: &MetricResult) -> Option<Verdict> {
    let is_any = |wanted: Verdict| primary.variations.iter().any(|variation| variation.verdict == Some(wanted));
    [Verdict::Better, Verdict::NotEnoughData, Verdict::NoDifferenceFound, Verdict::Worse]
        .into_iter()
        .find(|verdict| is_any(*verdict))
}

/// What every treatment does to a metric.
fn sentence(metric: &MetricResult, names: &Configuration) -> String {
    let treatments = metric.variations.iter().filter(|variation| variation.verdict.is_some());
    let parts: Vec<_> = treatments.map(|treatment| part(metric, treatment, names)).collect();
    if parts.is_empty() { format!("Nothing is compared in '{}'", metric.name) } else { parts.join(". ") }
}

fn part(metric: &MetricResult, treatment: &VariationResult, names: &Configuration) -> String {
    let (treatment_name, name) = (names.name_of(&treatment.key), &metric.name);
    let (Some(lift), Some([low, high])) = treatment.judged() else {
        let reason = treatment.no_lift_reason.as_deref().unwrap_or("it could not be computed");
        return format!("'{treatment_name}' has no lift in '{name}': {reason}");
    };
    let width = high - low;
    let size = percent(lift.abs(), width);
    let between = format!("({} to {})", percent(low, width), percent(high, width));
    match treatment.verdict {
        Some(Verdict::Better | Verdict::Worse) => {
            let is_up = lift > 0.0;
            let verb = if is_up { "raises" } else { "lowers" };
            let is_wanted = is_up == (metric.desired_change == DesiredChange::Increase);
            let wish = if is_wanted { "as desired" } else { "which is not desired" };
            format!("'{treatment_name}' {verb} '{name}' by {size} {between}, {wish}")
        }
        Some(Verdict::NoDifferenceFound) => {
            format!("No difference was found of '{treatment_name}' in '{name}' {between}")
        }
        _ => format!("There is not enough data yet to tell what '{treatment_name}' does to '{name}' {between}"),
    }
}

fn guardrails(metrics: &[MetricResult], names: &Configuration) -> Vec<String> {
    let mut states = metrics.iter().filter(|metric| metric.is_guardrail && metric.error.is_none()).flat_map(|metric| {
        metric.variations.iter().filter_map(move |it| it.guardrail.map(|state| (metric, it, state)))
    });
    let all: Vec<_> = states.by_ref().collect();
    let named = |wanted: GuardrailState| {
        let those = all.iter().filter(move |(_, _, state)| *state == wanted);
        those
            .map(|(metric, it, _)| format!("'{}' in '{}'", metric.name, names.name_of(&it.key)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let (breached, at_risk) = (named(GuardrailState::Breached), named(GuardrailState::AtRisk));
    let mut sentences = Vec::new();
    if !breached.is_empty() {
        sentences.push(format!("Guardrails are breached: {breached}"));
    }
    if !at_risk.is_empty() {
        sentences.push(format!("Guardrails may be breached, there is no telling yet: {at_risk}"));
    }
    let failed = metrics.iter().filter(|metric| metric.is_guardrail && metric.error.is_some());
    let failed: Vec<_> = failed.map(|metric| format!("'{}'", metric.name)).collect();
    if !failed.is_empty() {
        sentences.push(format!("There are no figures of guardrails: {}", failed.join(", ")));
    }
    if sentences.is_empty() && !all.is_empty() {
        sentences.push("All guardrails hold".to_owned());
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::MetricId;

    fn metric(name: &str, variations: Vec<VariationResult>) -> MetricResult {
        MetricResult { name: name.into(), is_primary: true, variations, ..MetricResult::named(MetricId::of(1), name) }
    }

    fn treatment(verdict: Verdict, lift: f64, interval: [f64; 2]) -> VariationResult {
        VariationResult {
            key: "red".into(),
            lift: Some(lift),
            interval: Some(interval),
            verdict: Some(verdict),
            ..VariationResult::default()
        }
    }

    fn traffic(is_imbalance: bool) -> Traffic {
        Traffic { is_imbalance, p_value: None, excluded: 0, without_entry: None, variations: Vec::new() }
    }

    fn names() -> Configuration {
        let mut names: Configuration = serde_json::from_value(serde_json::json!({"key": "k", "name": "n"})).unwrap();
        names.variations =
            serde_json::from_value(serde_json::json!([{"key": "red", "name": "Red button", "weight": 1}])).unwrap();
        names
    }

    #[test]
    fn the_sentence_says_what_happened_with_the_digits_that_are_known() {
        let of = |verdict, lift, interval| {
            let found = super::verdict(
                &[metric("Revenue", vec![treatment(verdict, lift, interval)])],
                &traffic(false),
                &names(),
            );
            assert_eq!(found.verdict, Some(verdict));
            found.sentence
        };
        assert_eq!(
            of(Verdict::Better, 0.0312, [0.012, 0.0504]),
            "'Red button' raises 'Revenue' by 3.1 % (1.2 % to 5.0 %), as desired."
        );
        assert_eq!(
            of(Verdict::Worse, -0.0031, [-0.0049, -0.0013]),
            "'Red button' lowers 'Revenue' by 0.31 % (-0.49 % to -0.13 %), which is not desired."
        );
        assert!(of(Verdict::NotEnoughData, 0.5, [-0.5, 1.5]).starts_with("There is not enough data yet"));
        assert!(of(Verdict::NoDifferenceFound, 0.0, [-0.01, 0.01]).starts_with("No difference was found"));
    }

    #[test]
    fn guardrails_and_imbalance_stand_beside_the_verdict() {
        let mut breached = metric("Refunds", vec![treatment(Verdict::Worse, 0.2, [0.1, 0.3])]);
        breached.is_primary = false;
        breached.is_guardrail = true;
        breached.variations[0].guardrail = Some(GuardrailState::Breached);
        let primary = metric("Revenue", vec![treatment(Verdict::Better, 0.1, [0.05, 0.15])]);
        let sentence = super::verdict(&[primary.clone(), breached.clone()], &traffic(true), &names()).sentence;
        assert!(sentence.contains("Guardrails are breached: 'Refunds' in 'Red button'"), "{sentence}");
        assert!(sentence.contains("none of this can be trusted"), "{sentence}");
        breached.variations[0].guardrail = Some(GuardrailState::Safe);
        let sentence = super::verdict(&[primary, breached], &traffic(false), &names()).sentence;
        assert!(sentence.ends_with("All guardrails hold."), "{sentence}");
        let failed = MetricResult { is_guardrail: true, error: Some("gone".into()), ..metric("Calls", Vec::new()) };
        let failed = MetricResult { is_primary: false, ..failed };
        let sentence = super::verdict(&[metric("Revenue", Vec::new()), failed], &traffic(false), &names()).sentence;
        assert!(sentence.ends_with("There are no figures of guardrails: 'Calls'."), "{sentence}");
        let none = super::verdict(&[], &traffic(false), &names());
        assert_eq!((none.verdict, none.sentence.contains("primary")), (None, true));
    }

    #[test]
    fn the_experiment_is_better_if_any_treatment_is_and_worse_only_if_nothing_else_is_left() {
        let of = |verdicts: &[Verdict]| {
            let all = verdicts.iter().map(|verdict| treatment(*verdict, 0.1, [0.0, 0.2])).collect();
            super::verdict(&[metric("m", all)], &traffic(false), &names()).verdict
        };
        assert_eq!(of(&[Verdict::Worse, Verdict::Better]), Some(Verdict::Better));
        assert_eq!(of(&[Verdict::Worse, Verdict::NotEnoughData]), Some(Verdict::NotEnoughData));
        assert_eq!(of(&[Verdict::Worse, Verdict::Worse]), Some(Verdict::Worse));
    }
}
