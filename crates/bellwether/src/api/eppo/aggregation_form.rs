//! An aggregation as Eppo writes it, in its API and in the files of its metric sync: the same but for how facts and properties
//! are named, by numbers or by names. Whatever it says is computed, or refused by its name.

use serde::{Deserialize, Serialize};

use super::numbers::Number;
use crate::domain::aggregation::{
    Aggregation, Comparison, CountedSubjects, Operation, Passing, PropertyFilter, Threshold, ThresholdOf, TimeUnit,
    Timeframe, Winsorization, Within,
};
use crate::domain::error::FieldErrors;
use crate::domain::id::FactId;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AggregationForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_event_measure_id: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fact_name: Option<String>,
    pub operation: String,
    #[serde(default)]
    pub filters: Vec<FilterForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_threshold_days: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversion_threshold_days: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold_metric_settings: Option<ThresholdForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_aging_subject_filter: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregation_timeframe_start_value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregation_timeframe_end_value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregation_timeframe_unit: Option<TimeUnit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub winsorization_lower_percentile: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub winsorization_upper_percentile: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub winsor_lower_fixed_value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub winsor_upper_fixed_value: Option<f64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_event_dimension_id: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fact_property: Option<String>,
    pub operation: String,
    pub values: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdForm {
    pub comparison_operator: Passing,
    pub aggregation_type: ThresholdOf,
    pub breach_value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeframe_unit: Option<TimeUnit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeframe_value: Option<f64>,
}

/// How facts and properties are named: each gives what is meant, or notes under `field` that there is no such thing.
pub trait Named {
    fn fact(&self, form: &AggregationForm, errors: &mut FieldErrors, field: &str) -> Option<FactId>;
    fn property(&self, fact: FactId, form: &FilterForm, errors: &mut FieldErrors, field: &str) -> Option<String>;
}

/// Eppo's words for operations: first as its API writes them, then as the files do.
const OPERATIONS: [(&str, &str, Operation); 11] = [
    ("sum", "sum", Operation::Sum),
    ("count", "count", Operation::Count),
    ("countDistinct", "distinct_entity", Operation::DistinctEntity),
    ("countDistinctValue", "count_distinct", Operation::CountDistinct),
    ("firstValue", "first_value", Operation::FirstValue),
    ("lastValue", "last_value", Operation::LastValue),
    ("threshold", "threshold", Operation::Threshold),
    ("conversion", "conversion", Operation::Conversion),
    ("retention", "retention", Operation::Retention),
    ("timeTo", "time_to", Operation::TimeTo),
    // Ours: Eppo has no word for it.
    ("mean", "mean", Operation::Mean),
];

impl AggregationForm {
    /// The aggregation that it describes; `None` where something of it was noted as wrong.
    pub fn read(&self, names: &impl Named, errors: &mut FieldErrors, field: &str) -> Option<Aggregation> {
        let operation = self.operation(errors, field);
        let fact = names.fact(self, errors, field);
        let filters = read_filters(&self.filters, fact, names, errors, field);
        let retention = days(self.retention_threshold_days, errors, &format!("{field}.retention_threshold_days"));
        let conversion = days(self.conversion_threshold_days, errors, &format!("{field}.conversion_threshold_days"));
        let threshold =
            self.threshold_metric_settings.as_ref().map(|settings| settings.read(errors, field)).unwrap_or(Some(None));
        let timeframe = self.timeframe(errors, field);
        let mut aggregation = Aggregation::of(fact?, operation?, &filters?, timeframe?);
        aggregation.retention_threshold_days = retention?;
        aggregation.conversion_threshold_days = conversion?;
        aggregation.threshold = threshold?;
        aggregation.winsorization = self.winsorization();
        self.age(&mut aggregation, errors, field)?;
        Some(aggregation)
    }

    fn operation(&self, errors: &mut FieldErrors, field: &str) -> Option<Operation> {
        let given = self.operation.as_str();
        let found = OPERATIONS.iter().find(|(api, file, _)| given == *api || given == *file);
        if found.is_none() {
            let words: Vec<_> = OPERATIONS.iter().map(|(api, ..)| *api).collect();
            errors.add(format!("{field}.operation"), format!("'{given}' was given; {} are allowed", words.join(", ")));
        }
        found.map(|(_, _, operation)| *operation)
    }

    fn timeframe(&self, errors: &mut FieldErrors, field: &str) -> Option<Option<Timeframe>> {
        let (start, end) = (self.aggregation_timeframe_start_value, self.aggregation_timeframe_end_value);
        if start.is_none() && end.is_none() {
            return Some(None);
        }
        let Some(unit) = self.aggregation_timeframe_unit else {
            let message = "it is missing; a timeframe needs one of minutes, hours, days, weeks, calendar_days";
            errors.add(format!("{field}.aggregation_timeframe_unit"), message);
            return None;
        };
        let start = whole(start.unwrap_or(0.0), errors, &format!("{field}.aggregation_timeframe_start_value"));
        let end = match end {
            Some(end) => whole(end, errors, &format!("{field}.aggregation_timeframe_end_value")),
            // Longer than any experiment.
            None => Some(unit.most()),
        };
        Some(Some(Timeframe { start: start?, end: end?, unit, only_aged: false }))
    }

    fn winsorization(&self) -> Option<Winsorization> {
        let winsorization = Winsorization {
            lower_percentile: self.winsorization_lower_percentile,
            upper_percentile: self.winsorization_upper_percentile,
            lower_value: self.winsor_lower_fixed_value,
            upper_value: self.winsor_upper_fixed_value,
            subjects: CountedSubjects::All,
        };
        let bounds = [
            winsorization.lower_percentile,
            winsorization.upper_percentile,
            winsorization.lower_value,
            winsorization.upper_value,
        ];
        bounds.into_iter().any(|bound| bound.is_some()).then_some(winsorization)
    }

    /// Leaves out subjects whose time is not over, where that is asked for.
    fn age(&self, aggregation: &mut Aggregation, errors: &mut FieldErrors, field: &str) -> Option<()> {
        let field = format!("{field}.enable_aging_subject_filter");
        let is_retention = aggregation.operation == Operation::Retention;
        match self.enable_aging_subject_filter {
            Some(true) => {}
            Some(false) if is_retention => {
                let message = "false was given; subjects that were assigned too late to be retained are always left out: leave it out";
                errors.add(field, message);
                return None;
            }
            _ => return Some(()),
        }
        // What bounds the time otherwise is written as a timeframe, too, for that is what can be over.
        let within = aggregation.threshold.as_ref().and_then(|threshold| threshold.within);
        let bounded = aggregation.conversion_threshold_days.map(|days| (days, TimeUnit::Days));
        let bounded = bounded.or(within.map(|within| (within.length, within.unit)));
        let of_bound = bounded.map(|(end, unit)| Timeframe { start: 0, end, unit, only_aged: true });
        let has_end = self.aggregation_timeframe_end_value.is_some();
        let own = aggregation.timeframe.filter(|_| has_end).map(|own| Timeframe { only_aged: true, ..own });
        match own.or(of_bound.filter(|_| aggregation.timeframe.is_none())) {
            Some(timeframe) => aggregation.timeframe = Some(timeframe),
            None if is_retention => {}
            None => {
                let message = "true was given, but no time that could be over: give aggregation_timeframe_end_value, or leave it out";
                errors.add(field, message);
                return None;
            }
        }
        Some(())
    }

    /// As Eppo's API shows it; facts and properties are `named` by their numbers.
    pub fn of(aggregation: &Aggregation, fact: Option<i64>, property: impl Fn(&str) -> Option<i64>) -> Self {
        let timeframe = aggregation.timeframe;
        let winsorization = aggregation.winsorization.as_ref();
        let word = OPERATIONS.iter().find(|(.., operation)| *operation == aggregation.operation);
        Self {
            metric_event_measure_id: fact.map(Number),
            fact_name: None,
            operation: word.map_or(aggregation.operation.as_str(), |(api, ..)| api).to_owned(),
            filters: aggregation.filters.iter().map(|filter| FilterForm::of(filter, &property)).collect(),
            retention_threshold_days: aggregation.retention_threshold_days.map(f64::from),
            conversion_threshold_days: aggregation.conversion_threshold_days.map(f64::from),
            threshold_metric_settings: aggregation.threshold.as_ref().map(ThresholdForm::of),
            enable_aging_subject_filter: timeframe.and_then(|timeframe| timeframe.only_aged.then_some(true)),
            aggregation_timeframe_start_value: timeframe.map(|timeframe| f64::from(timeframe.start)),
            aggregation_timeframe_end_value: timeframe.map(|timeframe| f64::from(timeframe.end)),
            aggregation_timeframe_unit: timeframe.map(|timeframe| timeframe.unit),
            winsorization_lower_percentile: winsorization.and_then(|bounds| bounds.lower_percentile),
            winsorization_upper_percentile: winsorization.and_then(|bounds| bounds.upper_percentile),
            winsor_lower_fixed_value: winsorization.and_then(|bounds| bounds.lower_value),
            winsor_upper_fixed_value: winsorization.and_then(|bounds| bounds.upper_value),
        }
    }
}

/// The filters of what stands at `field`, by the properties of its fact's source.
pub fn read_filters(
    filters: &[FilterForm],
    fact: Option<FactId>,
    names: &impl Named,
    errors: &mut FieldErrors,
    field: &str,
) -> Option<Vec<PropertyFilter>> {
    let mut read = Vec::with_capacity(filters.len());
    for (i, filter) in filters.iter().enumerate() {
        let field = format!("{field}.filters[{i}]");
        let operation = match filter.operation.as_str() {
            "EQUALS" | "equals" => Some(Comparison::Equals),
            "DOES_NOT_EQUAL" | "not_equals" => Some(Comparison::NotEquals),
            given => {
                let message = format!("'{given}' was given; EQUALS and DOES_NOT_EQUAL are allowed");
                errors.add(format!("{field}.operation"), message);
                None
            }
        };
        let property = fact.and_then(|fact| names.property(fact, filter, errors, &field));
        let both = property.zip(operation);
        read.push(both.map(|(property, operation)| PropertyFilter {
            property,
            operation,
            values: filter.values.clone(),
        }));
    }
    read.into_iter().collect()
}

impl FilterForm {
    pub fn of(filter: &PropertyFilter, property: impl Fn(&str) -> Option<i64>) -> Self {
        let operation = match filter.operation {
            Comparison::Equals => "EQUALS",
            Comparison::NotEquals => "DOES_NOT_EQUAL",
        };
        Self {
            metric_event_dimension_id: property(&filter.property).map(Number),
            fact_property: None,
            operation: operation.to_owned(),
            values: filter.values.clone(),
        }
    }
}

impl ThresholdForm {
    fn read(&self, errors: &mut FieldErrors, field: &str) -> Option<Option<Threshold>> {
        let field = format!("{field}.threshold_metric_settings");
        let within = match (self.timeframe_value, self.timeframe_unit) {
            (None, None) => None,
            (Some(value), Some(unit)) => {
                Some(Within { length: whole(value, errors, &format!("{field}.timeframe_value"))?, unit })
            }
            (value, _) => {
                let missing = if value.is_none() { "timeframe_value" } else { "timeframe_unit" };
                errors.add(format!("{field}.{missing}"), "it is missing; the value and its unit go together");
                return None;
            }
        };
        let (of, comparison) = (self.aggregation_type, self.comparison_operator);
        Some(Some(Threshold { of, comparison, value: self.breach_value, within }))
    }

    fn of(threshold: &Threshold) -> Self {
        Self {
            comparison_operator: threshold.comparison,
            aggregation_type: threshold.of,
            breach_value: threshold.value,
            timeframe_unit: threshold.within.map(|within| within.unit),
            timeframe_value: threshold.within.map(|within| f64::from(within.length)),
        }
    }
}

fn days(given: Option<f64>, errors: &mut FieldErrors, field: &str) -> Option<Option<u32>> {
    given.map_or(Some(None), |given| whole(given, errors, field).map(Some))
}

/// A number that must be whole here: minutes, hours, days.
pub fn whole(given: f64, errors: &mut FieldErrors, field: &str) -> Option<u32> {
    let is_whole = given.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&given);
    errors.check(is_whole, field, || format!("{given} was given; a whole number from 0 on is expected"));
    // It fits, as it was just seen.
    is_whole.then_some(given as u32)
}
