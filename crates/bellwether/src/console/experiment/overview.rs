//! What came of an experiment: the verdict in words first, then every metric against zero, then what is to be minded.

use askama::Template;
use axum::extract::Path;
use axum::http::Method;
use axum::response::Response;
use bellwether_webhook::EventType;
use serde_json::Value;

use super::{Experiment, recipients};
use crate::console::chart::interval::Scale;
use crate::console::failure::{Failure, Reason};
use crate::console::form::{Fields, Form, Input, Kind, choice, input};
use crate::console::page::{Frame, Moment, escaped, filters, html_as};
use crate::console::visit::Visit;
use crate::domain::figure::{between, count, percent, rounded, signed_percent};
use crate::domain::metric::Display;
use crate::domain::results::{MetricResult, Results, VariationResult};
use crate::domain::verdict::{GuardrailState, Verdict};

#[derive(Template)]
#[template(path = "console/experiment/overview.html")]
struct Page<'a> {
    frame: &'a Frame,
    tab: &'static str,
    experiment: &'a Experiment,
    found: Option<Found<'a>>,
    decision: &'a Form,
    version: &'a str,
    /// Whom a change of the status is told to.
    recipients: String,
}

/// Results as the page shows them.
struct Found<'a> {
    results: &'a Results,
    axis: String,
    metrics: Vec<Metric<'a>>,
    level: String,
    /// Of the verdict's card.
    class: &'static str,
}

struct Metric<'a> {
    result: &'a MetricResult,
    rows: Vec<Row<'a>>,
    wish: &'static str,
    mde: Option<String>,
    progress: Option<String>,
    expected_end: Option<Moment>,
}

/// A variation in a metric.
struct Row<'a> {
    name: &'a str,
    is_control: bool,
    subjects: String,
    mean: String,
    difference: Option<String>,
    lift: Option<String>,
    between: Option<String>,
    p_value: Option<String>,
    better: Option<String>,
    verdict: Option<(&'static str, &'static str)>,
    guardrail: Option<(&'static str, &'static str)>,
    plot: Option<String>,
    reason: Option<&'a str>,
    has_cuped: bool,
}

/// What a decision says.
fn inputs(experiment: &Experiment) -> Vec<Input> {
    let outcomes = choice([
        ("ship", "ship: a variation won and is kept"),
        ("rollback", "rollback: the control is kept"),
        ("inconclusive", "inconclusive: nothing was learned that decides"),
    ]);
    let active = experiment.configuration.active_variations();
    let named = active.map(|variation| (variation.key.clone(), experiment.name_of(&variation.key).to_owned()));
    let variations = Kind::Choice([(String::new(), "none".to_owned())].into_iter().chain(named).collect());
    vec![
        input("outcome", "Outcome", "", outcomes),
        input("winning_variation", "Variation that is kept", "", variations),
        input("reason", "Reason", "", Kind::Long),
    ]
}

pub async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    let experiment = Experiment::of(&visit, &id).await?;
    let form = Form::of(inputs(&experiment), &Value::Null);
    let version = experiment.version.to_string();
    page(&visit, &id, &experiment, &form, &version).await
}

/// Decides; what was written is kept where that is refused.
pub async fn decide(visit: Visit, Path(id): Path<String>, fields: Fields) -> Result<Response, Failure> {
    let experiment = Experiment::of(&visit, &id).await?;
    let version = fields.text("version");
    let form = Form::filled(inputs(&experiment), fields);
    let path = format!("/experiments/{}/decide", escaped(&id));
    let outcome: Result<Value, Reason> = visit.send_at(Method::POST, &path, form.to_json(), &version).await;
    match outcome {
        Ok(_) => Ok(visit.see(&format!("../{}", escaped(&id)), "Decided; experiment.status.updated is on its way.")),
        Err(reason) => {
            let version = if reason.is_stale() { experiment.version.to_string() } else { version };
            page(&visit, &id, &experiment, &form.refused(reason), &version).await
        }
    }
}

async fn page(
    visit: &Visit,
    id: &str,
    experiment: &Experiment,
    form: &Form,
    version: &str,
) -> Result<Response, Failure> {
    let results: Option<Results> = visit.find(&format!("/experiments/{}/results", escaped(id))).await?;
    let page = Page {
        frame: &visit.frame,
        tab: "results",
        experiment,
        found: results.as_ref().map(|results| Found::of(experiment, results)),
        recipients: recipients::of(visit, experiment, EventType::StatusUpdated).await?,
        decision: form,
        version,
    };
    Ok(html_as(form.status(), &visit.frame, page.render()))
}

impl<'a> Found<'a> {
    fn of(experiment: &'a Experiment, results: &'a Results) -> Self {
        let all = results.metrics.iter().flat_map(|metric| &metric.variations);
        let scale = Scale::of(all.filter_map(|variation| variation.judged().1));
        // The primary one decides, guardrails may forbid.
        let mut metrics: Vec<_> = results.metrics.iter().collect();
        metrics.sort_by_key(|metric| (!metric.is_primary, !metric.is_guardrail));
        Self {
            results,
            axis: scale.axis(),
            metrics: metrics.into_iter().map(|metric| Metric::of(experiment, metric, &scale)).collect(),
            level: level(results.analysis_plan.confidence_level),
            class: verdict_class(results),
        }
    }

    /// Whether lifts are what is believed; differences never are.
    fn is_believed(&self) -> bool {
        self.results.analysis_plan.method == crate::domain::analysis_plan::Method::Bayesian
    }

    fn is_corrected(&self) -> bool {
        self.results.analysis_plan.correction != crate::domain::analysis_plan::Correction::None
    }

    /// How the figures were come by, where that is not the plain way.
    fn method(&self) -> Vec<&'static str> {
        use crate::domain::analysis_plan::{Correction, Method};
        let plan = &self.results.analysis_plan;
        let method = match plan.method {
            Method::Fixed => None,
            Method::Sequential => Some("sequential intervals: valid at every look"),
            Method::Bayesian => Some("Bayesian: the lift as a distribution"),
        };
        let cuped = plan.cuped.then_some("CUPED: without the noise that is known from before");
        let correction = (plan.correction == Correction::PreferentialBonferroni)
            .then_some("corrected for many comparisons (preferential Bonferroni)");
        method.into_iter().chain(cuped).chain(correction).collect()
    }
}

impl<'a> Metric<'a> {
    fn of(experiment: &'a Experiment, result: &'a MetricResult, scale: &Scale) -> Self {
        use crate::domain::definition::DesiredChange;
        let rows = result.variations.iter().map(|found| Row::of(experiment, result, found, scale));
        Self {
            result,
            rows: rows.collect(),
            wish: if result.desired_change == DesiredChange::Increase { "higher is better" } else { "lower is better" },
            mde: result.minimum_detectable_effect.map(|effect| percent(effect, effect)),
            expected_end: result.expected_end.map(Moment),
            progress: result.progress.map(|progress| format!("{:.0}", (progress * 100.0).min(100.0).floor())),
        }
    }
}

impl Metric<'_> {
    /// Of a funnel: how many came so far, in each variation, in the order of the rows.
    fn steps(&self) -> Vec<(&str, Vec<String>)> {
        let share = |found: &VariationResult| {
            let width = |mean: f64| found.mean_interval.map_or(mean.abs() / 50.0, |[low, high]| high - low);
            found.mean.map_or_else(|| "–".to_owned(), |mean| percent(mean, width(mean)))
        };
        let steps = self.result.funnel_steps.iter();
        steps.map(|step| (step.name.as_str(), step.variations.iter().map(share).collect())).collect()
    }
}

impl<'a> Row<'a> {
    fn of(experiment: &'a Experiment, metric: &'a MetricResult, found: &'a VariationResult, scale: &Scale) -> Self {
        let (lift, interval) = found.judged();
        let name = experiment.name_of(&found.key);
        let value = |value: f64, width: f64| match metric.display {
            Display::Percent => percent(value, width),
            Display::Decimal => rounded(value, width),
        };
        let mean = found.cuped.as_ref().map_or(found.mean, |cuped| cuped.mean);
        let mean_width = found.mean_interval.map_or_else(|| mean.unwrap_or(1.0).abs() / 50.0, |[low, high]| high - low);
        let (difference, apart) = match &found.cuped {
            Some(cuped) => (cuped.difference, cuped.difference_interval),
            None => (found.difference, found.difference_interval),
        };
        let figures = lift.zip(interval);
        let posterior = found.cuped.as_ref().map_or(found.posterior, |cuped| cuped.posterior);
        let about = |(lift, [low, high]): (f64, [f64; 2])| {
            let width = high - low;
            let [low, lift, high] = [low, lift, high].map(|end| signed_percent(end, width));
            format!("{}: {name}, lift {lift}, between {low} and {high}", metric.name)
        };
        let cutoff = metric.is_guardrail.then_some(metric.guardrail_cutoff.unwrap_or(0.0));
        Self {
            name,
            is_control: experiment.is_control(&found.key),
            subjects: count(found.subjects),
            mean: mean.map_or_else(|| "–".to_owned(), |mean| value(mean, mean_width)),
            difference: difference.zip(apart).map(|(difference, [low, high])| signed(value(difference, high - low))),
            lift: figures.map(|(lift, [low, high])| signed_percent(lift, high - low)),
            between: interval.map(between),
            p_value: found.cuped.as_ref().map_or(found.p_value, |cuped| cuped.p_value).map(p_value),
            better: posterior.map(|posterior| better(posterior.better)),
            verdict: found.verdict.map(verdict),
            guardrail: found.guardrail.map(guardrail),
            plot: figures.map(|figures| scale.row(&about(figures), figures.0, figures.1, found.verdict, cutoff)),
            reason: found.no_lift_reason.as_deref(),
            has_cuped: found.cuped.is_some(),
        }
    }
}

/// A confidence level in percent, without the dust of binary fractions.
fn level(level: f64) -> String {
    let text = format!("{:.4}", level * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn signed(text: String) -> String {
    let is_zero = !text.contains(|c: char| c.is_ascii_digit() && c != '0');
    if text.starts_with('-') || is_zero { text } else { format!("+{text}") }
}

/// A probability, which is never quite 0 or 1.
fn better(probability: f64) -> String {
    match probability {
        small if small < 0.005 => "< 1 %".to_owned(),
        great if great > 0.995 => "> 99 %".to_owned(),
        other => format!("{:.0} %", other * 100.0),
    }
}

fn p_value(p: f64) -> String {
    if p < 0.0001 { "< 0.0001".to_owned() } else { format!("{p:.*}", if p < 0.1 { 4 } else { 2 }) }
}

/// A word and a sign: its colour is never alone.
pub fn verdict(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Better => ("good", "▲ better"),
        Verdict::Worse => ("bad", "▼ worse"),
        Verdict::NoDifferenceFound => ("calm", "= no difference found"),
        Verdict::NotEnoughData => ("calm", "… not enough data"),
    }
}

pub fn guardrail(state: GuardrailState) -> (&'static str, &'static str) {
    match state {
        GuardrailState::Breached => ("bad", "✕ breached"),
        GuardrailState::Safe => ("good", "✓ holds"),
        GuardrailState::AtRisk => ("warn", "? no telling yet"),
    }
}

fn verdict_class(results: &Results) -> &'static str {
    match results.verdict.as_ref().and_then(|found| found.verdict) {
        Some(Verdict::Better) => "better",
        Some(Verdict::Worse) => "worse",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_as_they_were_given() {
        assert_eq!([0.57, 0.9973, 0.95, 0.5].map(level), ["57", "99.73", "95", "50"]);
    }

    #[test]
    fn small_p_values_are_not_zero() {
        assert_eq!([0.04, 0.5, 1e-9].map(p_value), ["0.0400", "0.50", "< 0.0001"]);
        assert_eq!(["1.2", "-1.2", "0.0"].map(|text| signed(text.to_owned())), ["+1.2", "-1.2", "0.0"]);
    }
}
