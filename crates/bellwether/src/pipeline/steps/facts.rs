//! What subjects did: what a fact source has, and one row for each subject with the values of all metrics of the source.

mod rows;

use std::time::Duration;

use super::assignments::{AgedBefore, same_subject};
use super::{DAY, SUBJECTS, Scope, Step, day_of};
use crate::domain::aggregation::{Comparison, Operation, Passing, ThresholdOf, TimeUnit};
use crate::domain::clock::Timestamp;
use crate::pipeline::columns::{Columns, Key, KeyKind, Time, Value};
use crate::pipeline::plan::{Measure, PlannedSource};

pub use rows::as_known;

/// How far back it is looked what subjects did before they count.
const TIME_BEFORE: Duration = Duration::from_hours(30 * 24);

/// A fact source, as its columns' types allow it to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub name: String,
    sql: String,
    subject: Key,
    time: Time,
}

/// A column of a source's table of values: what one aggregation makes of each subject's facts. Null: nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// What is read of each fact; `None`: that it is there.
    value: Option<Value>,
    filters: Vec<Filter>,
    /// When the fact must have happened, in `f.at` and `a.assigned_at`.
    times: Vec<String>,
    operation: Operation,
    /// Of `threshold`: of what, and the condition on it.
    passing: Option<(ThresholdOf, String)>,
    pub rules: OutputRules,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Filter {
    property: String,
    comparison: Comparison,
    /// A list of literals.
    values: String,
}

/// Which subjects an output is of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputRules {
    /// Only those that had the time to act: by all of these.
    pub aged: Vec<AgedBefore>,
    /// Those without a value are left out, and not 0.
    pub only_present: bool,
}

impl Facts {
    pub fn of(source: &PlannedSource, columns: &Columns<'_>) -> Result<Self, String> {
        Ok(Self {
            name: source.name.clone(),
            sql: source.sql.clone(),
            subject: columns.key(&source.subject_column)?,
            time: columns.time(&source.timestamp_column)?,
        })
    }

    pub fn output(&self, scope: &Scope<'_>, measure: &Measure, columns: &Columns<'_>) -> Result<Output, String> {
        let (times, aged) = self.times(scope, measure);
        let operation = measure.aggregation.operation;
        let rules = OutputRules { aged, only_present: operation == Operation::TimeTo };
        self.output_in(scope, measure, columns, operation, times, rules)
    }

    /// What the same facts come to in the time before a subject counts, of the same subjects.
    pub fn output_before(
        &self,
        scope: &Scope<'_>,
        measure: &Measure,
        columns: &Columns<'_>,
        rules: OutputRules,
    ) -> Result<Output, String> {
        let origin = self.origin();
        let times = vec![format!("f.at >= {origin} - {}", TIME_BEFORE.as_micros()), format!("f.at < {origin}")];
        let operation = match measure.aggregation.operation {
            Operation::Retention | Operation::TimeTo => Operation::Count,
            Operation::Threshold => match measure.aggregation.threshold.as_ref().map(|threshold| threshold.of) {
                Some(ThresholdOf::Sum) => Operation::Sum,
                _ => Operation::Count,
            },
            other => other,
        };
        self.output_in(scope, measure, columns, operation, times, OutputRules { only_present: false, ..rules })
    }

    fn output_in(
        &self,
        scope: &Scope<'_>,
        measure: &Measure,
        columns: &Columns<'_>,
        operation: Operation,
        times: Vec<String>,
        rules: OutputRules,
    ) -> Result<Output, String> {
        let aggregation = &measure.aggregation;
        let threshold = aggregation.threshold.as_ref().filter(|_| operation == Operation::Threshold);
        let of_count = threshold.is_some_and(|threshold| threshold.of == ThresholdOf::Count);
        let as_number = operation.needs_numbers() && !of_count;
        let value = measure.value_column.as_ref().map(|column| columns.value(column, as_number)).transpose()?;
        let filters = measure.filters.iter().map(|filter| {
            let values: Vec<_> = filter.values.iter().map(|value| scope.dialect.text(value)).collect();
            let property = columns.property(&filter.column)?;
            Ok(Filter { property, comparison: filter.comparison, values: values.join(", ") })
        });
        let filters = filters.collect::<Result<_, String>>()?;
        let passing = threshold.map(|threshold| {
            let sign = if threshold.comparison == Passing::Gt { ">" } else { ">=" };
            (threshold.of, format!("{sign} {}", scope.dialect.number(threshold.value)))
        });
        Ok(Output { value, filters, times, operation, passing, rules })
    }

    /// The conditions on a fact's time, and on the subject's assignment. All windows are half-open.
    fn times(&self, scope: &Scope<'_>, measure: &Measure) -> (Vec<String>, Vec<AgedBefore>) {
        let aggregation = &measure.aggregation;
        let origin = self.origin();
        let after = |length: u32, unit: TimeUnit| {
            let from = if unit == TimeUnit::CalendarDays { day_of("a.assigned_at") } else { origin.clone() };
            format!("{from} + {}", micros(length, unit))
        };
        let mut times = vec![format!("f.at >= {origin}"), format!("f.at < {}", scope.facts_end.as_micros())];
        let mut aged = Vec::new();
        let mut must_age = |length: u32, unit: TimeUnit| {
            let latest = Timestamp::from_micros(scope.facts_end.as_micros() - micros(length, unit));
            let is_by_day = unit == TimeUnit::CalendarDays || self.time.is_by_day;
            aged.push(AgedBefore { latest, is_by_day });
        };
        if let Some(timeframe) = aggregation.timeframe {
            if timeframe.start > 0 {
                times.push(format!("f.at >= {}", after(timeframe.start, timeframe.unit)));
            }
            times.push(format!("f.at < {}", after(timeframe.end, timeframe.unit)));
            if timeframe.only_aged {
                must_age(timeframe.end, timeframe.unit);
            }
        }
        if let Some(days) = aggregation.conversion_threshold_days {
            times.push(format!("f.at < {}", after(days, TimeUnit::Days)));
        }
        if let Some(days) = aggregation.retention_threshold_days {
            times.push(format!("f.at >= {}", after(days, TimeUnit::Days)));
            must_age(days, TimeUnit::Days);
        }
        if let Some(within) = aggregation.threshold.as_ref().and_then(|threshold| threshold.within) {
            times.push(format!("f.at < {}", after(within.length, within.unit)));
        }
        (times, aged)
    }

    /// Its rows, each with nothing but its subject and its time.
    pub(super) fn times_of_subjects(&self, scope: &Scope<'_>) -> String {
        let is_day = self.time.is_day.as_ref().filter(|_| !self.time.is_by_day);
        let is_day = is_day.map(|is_day| format!(", {is_day} AS is_day")).unwrap_or_default();
        let source = scope.dialect.subquery(&self.sql, "facts");
        format!("(SELECT {} AS subject, {} AS at{is_day}\nFROM {source})", self.subject.sql, self.time.sql)
    }

    pub(super) fn subject_kind(&self) -> KeyKind {
        self.subject.kind
    }

    /// From when on a subject's facts count: a fact of which only the day is known counts on the day of the assignment.
    pub(super) fn origin(&self) -> String {
        match &self.time.is_day {
            None => "a.assigned_at".to_owned(),
            Some(_) if self.time.is_by_day => day_of("a.assigned_at"),
            Some(_) => format!("(CASE WHEN f.is_day THEN {} ELSE a.assigned_at END)", day_of("a.assigned_at")),
        }
    }

    /// What the source has, whoever it is of. `outputs` are those whose values are looked at.
    pub fn census(&self, scope: &Scope<'_>, outputs: &[Output]) -> Step {
        let dialect = scope.dialect;
        let at = &self.time.sql;
        let mut unreadable: Vec<&String> =
            outputs.iter().filter_map(|output| output.value.as_ref()?.is_unreadable.as_ref()).collect();
        unreadable.sort_unstable();
        unreadable.dedup();
        let unreadable: Vec<_> = unreadable.into_iter().map(|condition| dialect.count_if(condition)).collect();
        let unreadable = if unreadable.is_empty() { "0".to_owned() } else { unreadable.join(" + ") };
        let sql = format!(
            "SELECT COUNT(*) AS row_count,\n\
             {without_subject} AS without_subject,\n\
             {without_time} AS without_time,\n\
             {by_day} AS by_day,\n\
             {off_midnight} AS off_midnight,\n\
             {future} AS in_future,\n\
             {unreadable} AS unreadable_values,\n\
             MAX({at}) AS latest\n\
             FROM {source}",
            without_subject = dialect.count_if(&format!("{} IS NULL", self.subject.sql)),
            without_time = dialect.count_if(&format!("{} IS NOT NULL AND {at} IS NULL", self.subject.sql)),
            by_day =
                dialect.count_if(&format!("{} AND {at} IS NOT NULL", self.time.is_day.as_deref().unwrap_or("FALSE"))),
            off_midnight = dialect.count_if(&format!("{at} % {DAY} <> 0")),
            future = dialect.count_if(&format!("{at} >= {}", scope.now.as_micros() + 3_600_000_000)),
            source = dialect.subquery(&self.sql, "facts"),
        );
        Step::fetched(format!("{}: census of facts", self.name), sql)
    }

    /// One row for each subject with facts: its arm, how many facts it has and how many of them lie outside its time (a
    /// tally), and the outputs as `v0` and so on. Kept as `table`.
    pub fn values(&self, scope: &Scope<'_>, subjects: KeyKind, outputs: &[Output], table: &str) -> Step {
        let dialect = scope.dialect;
        let mut read = Distinct::of("c");
        let mut inputs = Inputs { values: Distinct::of("x"), conditions: Distinct::of("k") };
        let columns: String = (0..)
            .zip(outputs)
            .map(|(place, output): (u32, _)| {
                let input = output.input(scope, &mut read, &mut inputs);
                format!(", {} AS v{place}", output.aggregate(scope, &input))
            })
            .collect();
        let is_day = self.time.is_day.as_ref().filter(|_| !self.time.is_by_day);
        let is_day = is_day.map(|is_day| format!(", {is_day} AS is_day")).unwrap_or_default();
        let (subjects_table, end) = (dialect.intermediate(SUBJECTS), scope.facts_end.as_micros());
        let sql = format!(
            "SELECT subject, {tally} AS tally{columns}\n\
             FROM (SELECT a.subject AS subject, a.arm AS arm, f.at AS at, f.at < {origin} AS is_before, f.at >= {end} AS is_after{inputs}\n\
             FROM {subjects_table} AS a JOIN (SELECT {subject} AS subject, {at} AS at{is_day}{read}\n\
             FROM {source}) AS f\n\
             ON {same}\n\
             WHERE NOT a.is_mixed) AS facts_of_subjects\n\
             GROUP BY subject",
            tally = dialect.tally("arm", "is_before", "is_after"),
            origin = self.origin(),
            inputs = inputs.values.columns() + &inputs.conditions.columns(),
            subject = self.subject.sql,
            at = self.time.sql,
            read = read.columns(),
            source = dialect.subquery(&self.sql, "facts"),
            same = same_subject(scope, subjects, self.subject.kind),
        );
        Step::kept(format!("{}: values", self.name), table, sql)
    }
}

impl Output {
    /// When a fact counts, but for its value.
    fn conditions(&self, read: &mut Distinct) -> Vec<String> {
        let mut conditions = self.times.clone();
        conditions.extend(self.rules.aged.iter().map(|limit| limit.condition("a.assigned_at")));
        for Filter { property, comparison, values } in &self.filters {
            let name = format!("f.{}", read.name(property.clone()));
            conditions.push(match comparison {
                Comparison::Equals => format!("{name} IN ({values})"),
                Comparison::NotEquals => format!("({name} IS NULL OR {name} NOT IN ({values}))"),
            });
        }
        conditions
    }

    /// What of a fact goes into the aggregate, and whether it counts.
    fn input(&self, scope: &Scope<'_>, read: &mut Distinct, inputs: &mut Inputs) -> Input {
        let dialect = scope.dialect;
        let mut conditions = self.conditions(read);
        let decimal = self.value.as_ref().and_then(|value| value.decimal.clone()).filter(|_| self.is_summed());
        let is_decimal = decimal.is_some();
        let value = self.value.as_ref().map(|value| {
            if let Some(decimal) = decimal {
                return format!("f.{}", read.name(decimal));
            }
            let name = format!("f.{}", read.name(value.sql.clone()));
            value.place.as_ref().map_or(name.clone(), |place| dialect.finite(&name, place))
        });
        let value = match (value, self.operation) {
            (value, Operation::TimeTo) => {
                conditions.extend(value.map(|value| format!("{value} IS NOT NULL")));
                let waited = dialect.greatest("f.at - a.assigned_at", "0");
                format!("{} / {}", dialect.to_double(&waited), dialect.number(1e6))
            }
            (Some(value), _) => value,
            (None, operation) if operation.needs_numbers() => dialect.number(1.0),
            (None, _) => "1".to_owned(),
        };
        let condition = inputs.conditions.name(conditions.join(" AND "));
        Input { value: inputs.values.name(value), condition, is_decimal }
    }

    /// Whether its values are added up.
    fn is_summed(&self) -> bool {
        let of_sum = self.passing.as_ref().is_some_and(|(of, _)| *of == ThresholdOf::Sum);
        matches!(self.operation, Operation::Sum | Operation::Mean) || of_sum
    }

    /// What becomes of a subject's inputs.
    fn aggregate(&self, scope: &Scope<'_>, Input { value, condition, is_decimal }: &Input) -> String {
        let dialect = scope.dialect;
        let one = dialect.number(1.0);
        let counted = |aggregate: String| format!("{aggregate} FILTER (WHERE {condition})");
        let amount = |count: String| dialect.to_double(&format!("NULLIF({count}, 0)"));
        let count = counted(format!("COUNT({value})"));
        let sum = match is_decimal {
            true => dialect.to_double(&counted(format!("SUM({value})"))),
            false => counted(dialect.exact_sum(value)),
        };
        match self.operation {
            Operation::Sum => sum,
            Operation::Count => amount(count),
            Operation::CountDistinct => amount(counted(dialect.count_distinct(value))),
            Operation::Mean => format!("{sum} / {}", amount(count)),
            Operation::FirstValue => dialect.first(value, "at", condition),
            Operation::LastValue => dialect.last(value, "at", condition),
            Operation::DistinctEntity | Operation::Conversion | Operation::Retention => {
                format!("CASE WHEN {count} > 0 THEN {one} END")
            }
            Operation::Threshold => {
                let (of, passing) = self.passing.as_ref().map_or((ThresholdOf::Count, "> 0"), |(of, it)| (*of, it));
                format!("CASE WHEN {} {passing} THEN {one} END", if of == ThresholdOf::Sum { sum } else { count })
            }
            Operation::TimeTo => counted(format!("MIN({value})")),
        }
    }
}

/// A value of each fact, and the condition on which it counts, by their short names.
struct Input {
    value: String,
    condition: String,
    /// Decimals are added as such, and rounded once.
    is_decimal: bool,
}

/// What is computed of each fact, once.
struct Inputs {
    values: Distinct,
    conditions: Distinct,
}

pub(super) fn micros(length: u32, unit: TimeUnit) -> i64 {
    i64::from(length) * i64::from(unit.seconds()) * 1_000_000
}

/// Expressions that are each computed once, under a short name.
struct Distinct {
    prefix: &'static str,
    expressions: Vec<String>,
}

impl Distinct {
    fn of(prefix: &'static str) -> Self {
        Self { prefix, expressions: Vec::new() }
    }

    fn name(&mut self, expression: String) -> String {
        let place = self.expressions.iter().position(|there| *there == expression).unwrap_or_else(|| {
            self.expressions.push(expression);
            self.expressions.len() - 1
        });
        format!("{}{place}", self.prefix)
    }

    fn columns(&self) -> String {
        let named = self.expressions.iter().enumerate();
        named.map(|(place, expression)| format!(",\n{expression} AS {}{place}", self.prefix)).collect()
    }
}
