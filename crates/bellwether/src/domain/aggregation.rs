//! An aggregation: what one subject's facts become. Which facts count (filters, timeframe), what is made of them
//! (operation), and how extreme subjects are dealt with (winsorization).
//!
//! Here is its shape and what makes it valid; the SQL of it is the pipeline's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::FieldErrors;
use super::id::FactId;
use super::schema;

const MOST_FILTERS: usize = 50;
const MOST_VALUES: usize = 1000;
/// About 27 years: longer is a typing error.
const LONGEST_DAYS: u32 = 10_000;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Aggregation {
    pub fact_id: FactId,
    pub operation: Operation,
    /// All must hold.
    #[serde(default)]
    #[schemars(length(max = MOST_FILTERS))]
    pub filters: Vec<PropertyFilter>,
    /// `null`: from the subject's assignment to the end of facts.
    #[serde(default)]
    pub timeframe: Option<Timeframe>,
    #[serde(default)]
    pub winsorization: Option<Winsorization>,
    /// For `threshold`, and needed there.
    #[serde(default)]
    pub threshold: Option<Threshold>,
    /// For `conversion`: a fact counts within so many days of the assignment. `null`: to the end.
    #[serde(default)]
    #[schemars(range(min = 1, max = LONGEST_DAYS))]
    pub conversion_threshold_days: Option<u32>,
    /// For `retention`, and needed there: a fact counts from so many days after the assignment on.
    #[serde(default)]
    #[schemars(range(min = 1, max = LONGEST_DAYS))]
    pub retention_threshold_days: Option<u32>,
}

/// What one subject's facts become. Facts without a value do not count; a subject without facts is 0, but for `time_to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "AggregationOperation")]
pub enum Operation {
    /// The sum of the values.
    Sum,
    /// The number of facts.
    Count,
    /// The number of different values.
    CountDistinct,
    /// 1 if there is any fact, else 0.
    DistinctEntity,
    /// The mean of the values.
    Mean,
    /// The value of the earliest fact; of several at that time the smallest.
    FirstValue,
    /// The value of the latest fact; of several at that time the greatest.
    LastValue,
    /// 1 if the sum or the count passes a number, else 0.
    Threshold,
    /// 1 if there is any fact, within so many days of the assignment if a number is given, else 0.
    Conversion,
    /// 1 if there is any fact from so many days after the assignment on, else 0. Subjects that were assigned too late for
    /// that are left out.
    Retention,
    /// Seconds from the assignment to the first fact. Subjects without one are left out.
    TimeTo,
}

impl Operation {
    pub const ALL: [Self; 11] = [
        Self::Sum,
        Self::Count,
        Self::CountDistinct,
        Self::DistinctEntity,
        Self::Mean,
        Self::FirstValue,
        Self::LastValue,
        Self::Threshold,
        Self::Conversion,
        Self::Retention,
        Self::TimeTo,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Count => "count",
            Self::CountDistinct => "count_distinct",
            Self::DistinctEntity => "distinct_entity",
            Self::Mean => "mean",
            Self::FirstValue => "first_value",
            Self::LastValue => "last_value",
            Self::Threshold => "threshold",
            Self::Conversion => "conversion",
            Self::Retention => "retention",
            Self::TimeTo => "time_to",
        }
    }

    /// Whether what it makes can be winsorized: an amount, which a few subjects may have far more of than all others.
    pub fn is_amount(self) -> bool {
        matches!(self, Self::Sum | Self::Count | Self::CountDistinct | Self::FirstValue | Self::LastValue)
    }

    /// Whether it looks at the values as numbers. The others ask only whether there is one, or whether two differ.
    pub fn needs_numbers(self) -> bool {
        matches!(self, Self::Sum | Self::Mean | Self::FirstValue | Self::LastValue | Self::Threshold)
    }

    /// Whether it means something where each row of the source counts 1.
    pub fn works_on_rows(self) -> bool {
        !matches!(self, Self::CountDistinct | Self::Mean | Self::FirstValue | Self::LastValue)
    }
}

/// Facts whose property has one of these values, or has none of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PropertyFilter {
    /// The name of one of the fact source's properties.
    #[schemars(schema_with = "schema::name")]
    pub property: String,
    pub operation: Comparison,
    #[schemars(length(min = 1, max = MOST_VALUES), inner(length(max = 1000)))]
    pub values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// Any of the values. A fact without a value does not count.
    Equals,
    /// None of the values. A fact without a value counts.
    NotEquals,
}

/// Facts from `start` up to, not including, `end` after the assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timeframe {
    #[serde(default)]
    pub start: u32,
    #[schemars(range(min = 1))]
    pub end: u32,
    pub unit: TimeUnit,
    /// Leaves out subjects whose timeframe is not over at the end of facts.
    #[serde(default)]
    pub only_aged: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    Minutes,
    Hours,
    Days,
    Weeks,
    /// Days of the UTC calendar: the day of the assignment is the first, however late in it the assignment was.
    CalendarDays,
}

impl TimeUnit {
    pub fn seconds(self) -> u32 {
        match self {
            Self::Minutes => 60,
            Self::Hours => 3600,
            Self::Days | Self::CalendarDays => 86_400,
            Self::Weeks => 7 * 86_400,
        }
    }

    /// The longest time that can be said in it.
    pub fn most(self) -> u32 {
        (u64::from(LONGEST_DAYS) * 86_400 / u64::from(self.seconds())).try_into().unwrap_or(u32::MAX)
    }
}

/// Values of subjects beyond a bound become that bound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Winsorization {
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    pub lower_percentile: Option<f64>,
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    pub upper_percentile: Option<f64>,
    #[serde(default)]
    pub lower_value: Option<f64>,
    #[serde(default)]
    pub upper_value: Option<f64>,
    /// Whose values the percentiles are of: of all active variations together.
    #[serde(default)]
    pub subjects: CountedSubjects,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CountedSubjects {
    /// Every subject, those without facts as 0.
    #[default]
    All,
    WithValue,
    Positive,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    pub of: ThresholdOf,
    pub comparison: Passing,
    #[schemars(range(min = 0))]
    pub value: f64,
    /// Facts within so long of the assignment. `null`: to the end.
    #[serde(default)]
    pub within: Option<Within>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdOf {
    Sum,
    Count,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Passing {
    Gt,
    Gte,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Within {
    #[schemars(range(min = 1))]
    pub length: u32,
    pub unit: TimeUnit,
}

impl Aggregation {
    /// One that needs nothing else.
    pub fn of(fact_id: FactId, operation: Operation, filters: &[PropertyFilter], timeframe: Option<Timeframe>) -> Self {
        Self {
            fact_id,
            operation,
            filters: filters.to_vec(),
            timeframe,
            winsorization: None,
            threshold: None,
            conversion_threshold_days: None,
            retention_threshold_days: None,
        }
    }

    /// Checks all but what the fact's source has to say. `field` is where it stands.
    pub fn validate(&self, errors: &mut FieldErrors, field: &str) {
        validate_filters(&self.filters, errors, field);
        if let Some(timeframe) = &self.timeframe {
            timeframe.validate(errors, &format!("{field}.timeframe"));
        }
        if let Some(winsorization) = &self.winsorization {
            winsorization.validate(errors, &format!("{field}.winsorization"));
            errors.check(self.operation.is_amount(), &format!("{field}.winsorization"), || {
                let amounts =
                    Operation::ALL.into_iter().filter(|operation| operation.is_amount()).map(Operation::as_str);
                format!(
                    "it was given for '{}'; it is for {}: leave it out",
                    self.operation.as_str(),
                    amounts.collect::<Vec<_>>().join(", ")
                )
            });
        }
        self.validate_parameters(errors, field);
    }

    /// What belongs to one operation alone: needed there, and refused elsewhere.
    fn validate_parameters(&self, errors: &mut FieldErrors, field: &str) {
        let operation = self.operation.as_str();
        let mut only_for = |name: &str, is_given: bool, owner: Operation| {
            errors.check(!is_given || self.operation == owner, &format!("{field}.{name}"), || {
                format!("it was given for '{operation}'; it is for '{}': leave it out", owner.as_str())
            });
        };
        only_for("threshold", self.threshold.is_some(), Operation::Threshold);
        only_for("conversion_threshold_days", self.conversion_threshold_days.is_some(), Operation::Conversion);
        only_for("retention_threshold_days", self.retention_threshold_days.is_some(), Operation::Retention);
        match (self.operation, &self.threshold) {
            (Operation::Threshold, None) => errors.add(
                format!("{field}.threshold"),
                "it is missing; give it like {\"of\": \"sum\", \"comparison\": \"gte\", \"value\": 100}",
            ),
            (_, Some(threshold)) => threshold.validate(errors, &format!("{field}.threshold")),
            _ => {}
        }
        if self.operation == Operation::Retention && self.retention_threshold_days.is_none() {
            errors.add(format!("{field}.retention_threshold_days"), "it is missing; give a number of days, like 7");
        }
        if let (Some(days), Some(timeframe)) = (self.retention_threshold_days, self.timeframe) {
            let is_possible = u64::from(days) * 86_400 < u64::from(timeframe.end) * u64::from(timeframe.unit.seconds());
            errors.check(is_possible, &format!("{field}.retention_threshold_days"), || {
                format!("{days} was given, but the timeframe ends before, so that nobody could be retained; let it end later")
            });
        }
        for (name, days) in [
            ("conversion_threshold_days", self.conversion_threshold_days),
            ("retention_threshold_days", self.retention_threshold_days),
        ] {
            errors.check(
                days.is_none_or(|days| (1..=LONGEST_DAYS).contains(&days)),
                &format!("{field}.{name}"),
                || format!("{} was given; from 1 to {LONGEST_DAYS} days are allowed", days.unwrap_or_default()),
            );
        }
    }
}

/// Checks the filters of what stands at `field`.
pub fn validate_filters(filters: &[PropertyFilter], errors: &mut FieldErrors, field: &str) {
    let path = format!("{field}.filters");
    for (i, filter) in errors.at_most(&path, filters, MOST_FILTERS).iter().enumerate() {
        errors.name(&format!("{path}[{i}].property"), &filter.property);
        let values_path = format!("{path}[{i}].values");
        errors.check(!filter.values.is_empty(), &values_path, || "none was given; give at least one".to_owned());
        for (k, value) in errors.at_most(&values_path, &filter.values, MOST_VALUES).iter().enumerate() {
            errors.text(&format!("{values_path}[{k}]"), value, 1000);
        }
    }
}

impl Timeframe {
    pub fn validate(&self, errors: &mut FieldErrors, field: &str) {
        let most = self.unit.most();
        errors.check(self.start < self.end && self.end <= most, field, || {
            format!(
                "from {} to {} was given; the end must be later than the start, and at most {most} in this unit",
                self.start, self.end
            )
        });
    }
}

impl Winsorization {
    pub fn validate(&self, errors: &mut FieldErrors, field: &str) {
        let is_given = |bound: &Option<f64>| bound.is_some();
        let bounds = [&self.lower_percentile, &self.upper_percentile, &self.lower_value, &self.upper_value];
        errors.check(bounds.into_iter().any(is_given), field, || {
            "it has no bound; give lower_percentile or lower_value, upper_percentile or upper_value".to_owned()
        });
        for (side, percentile, value) in
            [("lower", self.lower_percentile, self.lower_value), ("upper", self.upper_percentile, self.upper_value)]
        {
            errors.check(percentile.is_none() || value.is_none(), &format!("{field}.{side}_value"), || {
                format!("{side}_percentile was given too; one of them bounds this side: leave out the other")
            });
            let given = percentile.unwrap_or(0.5);
            errors.check((0.0..=1.0).contains(&given), &format!("{field}.{side}_percentile"), || {
                format!("{given} was given; a percentile lies from 0 to 1, like 0.99")
            });
            errors.check(value.is_none_or(f64::is_finite), &format!("{field}.{side}_value"), || {
                "it must be a finite number".to_owned()
            });
        }
        for (name, lower, upper) in [
            ("percentile", self.lower_percentile, self.upper_percentile),
            ("value", self.lower_value, self.upper_value),
        ] {
            if let (Some(lower), Some(upper)) = (lower, upper) {
                errors.check(lower < upper, &format!("{field}.upper_{name}"), || {
                    format!("{upper} was given; it must be above lower_{name}, {lower}")
                });
            }
        }
    }
}

impl Threshold {
    fn validate(&self, errors: &mut FieldErrors, field: &str) {
        // Otherwise a subject without facts, which is 0, would have passed it.
        let is_passed_by_nothing = match self.comparison {
            Passing::Gt => self.value < 0.0,
            Passing::Gte => self.value <= 0.0,
        };
        errors.check(self.value.is_finite() && !is_passed_by_nothing, &format!("{field}.value"), || {
            format!(
                "{} was given; it must be a number that 0 does not pass, as it stands for subjects without facts",
                self.value
            )
        });
        if let Some(within) = self.within {
            within.validate(errors, &format!("{field}.within"));
        }
    }
}

impl Within {
    pub fn validate(&self, errors: &mut FieldErrors, field: &str) {
        let most = self.unit.most();
        errors.check((1..=most).contains(&self.length), &format!("{field}.length"), || {
            format!("{} was given; from 1 to {most} are allowed in this unit", self.length)
        });
        errors.check(self.unit != TimeUnit::CalendarDays, &format!("{field}.unit"), || {
            "'calendar_days' was given; 'minutes', 'hours', 'days' and 'weeks' are allowed here".to_owned()
        });
    }
}
