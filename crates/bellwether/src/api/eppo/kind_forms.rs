//! Percentiles and funnels as Eppo writes them.

use serde::{Deserialize, Serialize};

use super::aggregation_form::{AggregationForm, FilterForm, Named, read_filters, whole};
use super::facts::Facts;
use super::numbers::Number;
use crate::domain::aggregation::{PropertyFilter, TimeUnit, Timeframe};
use crate::domain::error::FieldErrors;
use crate::domain::funnel::{ConversionWindow, Funnel, FunnelStep, WindowStart};
use crate::domain::id::FactId;
use crate::domain::percentile::Percentile;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PercentileForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    metric_event_measure_id: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fact_name: Option<String>,
    #[serde(default)]
    filters: Vec<FilterForm>,
    percentile_value: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunnelForm {
    funnel_steps: Vec<StepForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversion_time_from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversion_time_value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversion_time_units: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    metric_event_measure_id: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default)]
    filters: Vec<FilterForm>,
}

/// What names a fact and filters alone, as an aggregation of it would.
fn naming(measure: Option<Number>, fact_name: Option<&String>) -> AggregationForm {
    AggregationForm { metric_event_measure_id: measure, fact_name: fact_name.cloned(), ..AggregationForm::default() }
}

fn shown_filters(fact: FactId, filters: &[PropertyFilter], facts: &Facts) -> Vec<FilterForm> {
    filters.iter().map(|filter| FilterForm::of(filter, |name| facts.property_number(fact, name))).collect()
}

impl PercentileForm {
    /// `timeframe` is what the metric has already: this form has no word for it.
    pub fn read(
        &self,
        names: &impl Named,
        timeframe: Option<Timeframe>,
        errors: &mut FieldErrors,
        field: &str,
    ) -> Option<Percentile> {
        let fact = names.fact(&naming(self.metric_event_measure_id, self.fact_name.as_ref()), errors, field);
        let filters = read_filters(&self.filters, fact, names, errors, field);
        Some(Percentile { fact_id: fact?, level: self.percentile_value, filters: filters?, timeframe })
    }

    pub fn of(percentile: &Percentile, facts: &Facts) -> Self {
        Self {
            metric_event_measure_id: facts.number(percentile.fact_id).map(Number),
            fact_name: None,
            filters: shown_filters(percentile.fact_id, &percentile.filters, facts),
            percentile_value: percentile.level,
        }
    }
}

/// Eppo's words for what a conversion window's length is counted in, and how much of ours each is.
const UNITS: [(&str, TimeUnit); 4] =
    [("minutes", TimeUnit::Minutes), ("hours", TimeUnit::Hours), ("days", TimeUnit::Days), ("weeks", TimeUnit::Weeks)];
const SECONDS: &str = "seconds";

impl FunnelForm {
    pub fn read(
        &self,
        names: &impl Named,
        timeframe: Option<Timeframe>,
        errors: &mut FieldErrors,
        field: &str,
    ) -> Option<Funnel> {
        let mut steps = Vec::new();
        for (i, step) in self.funnel_steps.iter().enumerate() {
            let field = format!("{field}.funnel_steps[{i}]");
            let fact = names.fact(&naming(step.metric_event_measure_id, None), errors, &field);
            let filters = read_filters(&step.filters, fact, names, errors, &field);
            let both = fact.zip(filters);
            steps.push(both.map(|(fact_id, filters)| FunnelStep { name: step.name.clone(), fact_id, filters }));
        }
        let conversion_window = self.window(errors, field)?;
        Some(Funnel { steps: steps.into_iter().collect::<Option<_>>()?, conversion_window, timeframe })
    }

    fn window(&self, errors: &mut FieldErrors, field: &str) -> Option<Option<ConversionWindow>> {
        let from = match self.conversion_time_from.as_deref() {
            None | Some("experimentAssignment") => WindowStart::Assignment,
            Some("firstEvent") => WindowStart::FirstStep,
            Some(given) => {
                let message = format!("'{given}' was given; experimentAssignment and firstEvent are allowed");
                errors.add(format!("{field}.conversion_time_from"), message);
                return None;
            }
        };
        let Some(value) = self.conversion_time_value else {
            let is_said = self.conversion_time_from.is_some() || self.conversion_time_units.is_some();
            errors.check(!is_said, &format!("{field}.conversion_time_value"), || {
                "it is missing; give how long a subject has, or leave out conversion_time_from and conversion_time_units"
                    .to_owned()
            });
            return (!is_said).then_some(None);
        };
        let length = whole(value, errors, &format!("{field}.conversion_time_value"))?;
        let units = self.conversion_time_units.as_deref().unwrap_or("days");
        if units == SECONDS && length % 60 == 0 {
            return Some(Some(ConversionWindow { length: length / 60, unit: TimeUnit::Minutes, from }));
        }
        match UNITS.iter().find(|(word, _)| *word == units) {
            Some((_, unit)) => Some(Some(ConversionWindow { length, unit: *unit, from })),
            None => {
                let message = format!(
                    "{length} '{units}' was given; minutes, hours, days and weeks are allowed, and seconds that are whole minutes"
                );
                errors.add(format!("{field}.conversion_time_units"), message);
                None
            }
        }
    }

    pub fn of(funnel: &Funnel, facts: &Facts) -> Self {
        let step = |step: &FunnelStep| StepForm {
            metric_event_measure_id: facts.number(step.fact_id).map(Number),
            name: step.name.clone(),
            filters: shown_filters(step.fact_id, &step.filters, facts),
        };
        let window = funnel.conversion_window;
        let from = |window: ConversionWindow| match window.from {
            WindowStart::Assignment => "experimentAssignment",
            WindowStart::FirstStep => "firstEvent",
        };
        let unit =
            |window: ConversionWindow| UNITS.iter().find(|(_, unit)| *unit == window.unit).map(|(word, _)| *word);
        Self {
            funnel_steps: funnel.steps.iter().map(step).collect(),
            conversion_time_from: window.map(|window| from(window).to_owned()),
            conversion_time_value: window.map(|window| f64::from(window.length)),
            conversion_time_units: window.and_then(unit).map(str::to_owned),
        }
    }
}
