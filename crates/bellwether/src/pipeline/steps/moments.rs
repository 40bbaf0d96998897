//! From values of subjects to the moments of each arm, in two passes over a source's table of values: for the squares of
//! large values would cancel in one.

use super::{SUBJECTS, Scope, Step};
use crate::domain::aggregation::{CountedSubjects, Winsorization};
use crate::pipeline::steps::OutputRules;

/// A column of values as a metric measures it.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The place of its output in the table of values.
    pub output: usize,
    pub rules: OutputRules,
    pub winsorization: Option<Winsorization>,
    /// Known once they were asked for.
    pub bounds: Bounds,
}

/// Between which values lie; what is beyond becomes the bound.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bounds {
    pub lower: Option<f64>,
    pub upper: Option<f64>,
}

/// The means of a measured column, arm by arm, as they are known after the first pass.
pub type Centres = Vec<f64>;

/// Two columns of one table that must be known together: their places among what is measured of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    pub later: usize,
    pub earlier: usize,
}

impl Pair {
    /// The later of the two first, so that each two make one pair.
    pub fn of(a: usize, b: usize) -> Self {
        Self { later: a.max(b), earlier: a.min(b) }
    }
}

impl Bounds {
    pub fn clamp(&self, value: f64) -> f64 {
        let value = self.lower.map_or(value, |lower| value.max(lower));
        self.upper.map_or(value, |upper| value.min(upper))
    }
}

impl Measured {
    /// Whether its bounds have to be asked for.
    pub fn has_percentiles(&self) -> bool {
        let is_relative = |it: &Winsorization| it.lower_percentile.is_some() || it.upper_percentile.is_some();
        self.winsorization.as_ref().is_some_and(is_relative)
    }

    /// The value of a subject without facts.
    pub fn absent(&self) -> f64 {
        self.bounds.clamp(0.0)
    }

    /// The column, bounded; null where there is nothing.
    fn sql(&self, scope: &Scope<'_>, table: &str) -> String {
        let dialect = scope.dialect;
        let column = format!("{table}v{}", self.output);
        if self.bounds == Bounds::default() {
            return column;
        }
        let lower = self.bounds.lower.map(|lower| dialect.greatest(&column, &dialect.number(lower)));
        let bounded = lower.unwrap_or_else(|| column.clone());
        let bounded =
            self.bounds.upper.map_or(bounded.clone(), |upper| dialect.least(&bounded, &dialect.number(upper)));
        // Greatest and least pass over nulls.
        format!("CASE WHEN {column} IS NOT NULL THEN {bounded} END")
    }
}

/// The percentiles that winsorized columns ask for, over the subjects of all arms: `lower_0`, `upper_0` and so on, by their
/// places in `measured`.
pub fn bounds(scope: &Scope<'_>, name: &str, table: &str, measured: &[Measured]) -> Option<Step> {
    let dialect = scope.dialect;
    let mut columns = Vec::new();
    for (place, column) in measured.iter().enumerate() {
        let Some(winsorization) = &column.winsorization else { continue };
        let output = format!("v.v{}", column.output);
        let value = match winsorization.subjects {
            CountedSubjects::All => format!("COALESCE({output}, {})", dialect.number(0.0)),
            CountedSubjects::WithValue => output,
            CountedSubjects::Positive => format!("CASE WHEN {output} > 0 THEN {output} END"),
        };
        let aged: Vec<_> = column.rules.aged.iter().map(|aged| aged.condition("a.assigned_at")).collect();
        let value = if aged.is_empty() { value } else { format!("CASE WHEN {} THEN {value} END", aged.join(" AND ")) };
        for (side, percentile) in [("lower", winsorization.lower_percentile), ("upper", winsorization.upper_percentile)]
        {
            columns.extend(percentile.map(|at| format!("{} AS {side}_{place}", dialect.quantile(&value, at))));
        }
    }
    let sql = format!(
        "SELECT {}\nFROM {} AS a LEFT JOIN {} AS v ON v.subject = a.subject\nWHERE NOT a.is_mixed",
        columns.join(",\n"),
        dialect.intermediate(SUBJECTS),
        dialect.intermediate(table),
    );
    (!columns.is_empty()).then(|| Step::fetched(format!("{name}: bounds"), sql))
}

/// For each arm: how many subjects have facts and how many facts there are of which kind; and of each column, by its place:
/// how many values (`n0`), their sum (`t0`), the greatest of their absolute values (`g0`) and the sum of those (`s0`).
pub fn totals(scope: &Scope<'_>, name: &str, table: &str, measured: &[Measured]) -> Step {
    let dialect = scope.dialect;
    let sql = format!(
        "SELECT {arm} AS arm, SUM({facts}) AS facts, SUM({before}) AS before_assignment, SUM({after}) AS after_end{columns}\n\
         FROM {table}\nGROUP BY {arm}",
        arm = dialect.of_tally("tally", "arm"),
        facts = dialect.of_tally("tally", "facts"),
        before = dialect.of_tally("tally", "before_assignment"),
        after = dialect.of_tally("tally", "after_end"),
        columns = total_columns(scope, "", measured.iter()),
        table = dialect.intermediate(table),
    );
    Step::fetched(format!("{name}: totals"), sql)
}

/// What is summed of each column of a table that is called `alias`.
pub(super) fn total_columns<'a>(
    scope: &Scope<'_>,
    alias: &str,
    measured: impl Iterator<Item = &'a Measured>,
) -> String {
    let columns = measured.enumerate().map(|(place, column)| {
        let value = column.sql(scope, alias);
        format!(
            ",\nCOUNT({value}) AS n{place}, {} AS t{place}, MAX(abs({value})) AS g{place}, SUM(abs({value})) AS s{place}",
            scope.dialect.exact_sum(&value),
        )
    });
    columns.collect()
}

/// For each arm: of each column, by its place, the sum of what its values deviate from its centre (`d0`) and of the squares
/// of that (`q0`); and of each pair how many subjects have one of both (`e0`) and the sum of the products (`p0`).
pub fn deviations(
    scope: &Scope<'_>,
    name: &str,
    table: &str,
    measured: &[(Measured, Centres)],
    pairs: &[Pair],
) -> Step {
    let dialect = scope.dialect;
    let arm = dialect.of_tally("tally", "arm");
    let columns = deviation_columns(scope, "", &arm, measured, pairs);
    let table = dialect.intermediate(table);
    let sql = format!("SELECT {arm} AS arm{columns}\nFROM {table}\nGROUP BY {arm}");
    Step::fetched(format!("{name}: deviations"), sql)
}

/// What is summed of the deviations of each column of a table that is called `alias`, from the centre of the `arm`.
pub(super) fn deviation_columns(
    scope: &Scope<'_>,
    alias: &str,
    arm: &str,
    measured: &[(Measured, Centres)],
    pairs: &[Pair],
) -> String {
    let dialect = scope.dialect;
    let columns = measured.iter().enumerate().map(|(place, (column, centres))| {
        let deviation = format!("({} - {})", column.sql(scope, alias), by_arm(scope, arm, centres));
        format!(
            ",\n{} AS d{place}, {} AS q{place}",
            dialect.exact_sum(&deviation),
            dialect.exact_sum(&format!("{deviation} * {deviation}"))
        )
    });
    let products = pairs.iter().enumerate().map(|(place, pair)| {
        let sides = [&measured[pair.later], &measured[pair.earlier]];
        product_columns(scope, place, arm, sides.map(|(column, centres)| (column, centres, alias)))
    });
    columns.chain(products).collect()
}

/// How many subjects have one of both, and the sum of the products of what both deviate by.
pub(super) fn product_columns(
    scope: &Scope<'_>,
    place: usize,
    arm: &str,
    sides: [(&Measured, &Centres, &str); 2],
) -> String {
    let (is_either, product) = product(scope, arm, sides);
    format!(",\n{} AS e{place}, {} AS p{place}", scope.dialect.count_if(&is_either), scope.dialect.exact_sum(&product))
}

/// The same for pairs of which each side is in another table.
pub fn products(scope: &Scope<'_>, name: &str, tables: [&str; 2], pairs: &[[(&Measured, &Centres); 2]]) -> Step {
    let dialect = scope.dialect;
    let arm_of = |side: &str| dialect.of_tally(&format!("{side}.tally"), "arm");
    let arm = format!("COALESCE({}, {})", arm_of("x"), arm_of("y"));
    let products: String = pairs
        .iter()
        .enumerate()
        .map(|(place, [(x, x_centres), (y, y_centres)])| {
            product_columns(scope, place, &arm, [(x, x_centres, "x."), (y, y_centres, "y.")])
        })
        .collect();
    let [x, y] = tables.map(|table| dialect.intermediate(table));
    let sql = format!(
        "SELECT {arm} AS arm{products}\nFROM {x} AS x FULL JOIN {y} AS y ON y.subject = x.subject\nGROUP BY {arm}"
    );
    Step::fetched(format!("{name}: products"), sql)
}

/// Whether a subject has one of both, and the product of what both deviate by, with what stands for nothing on one side.
fn product(scope: &Scope<'_>, arm: &str, sides: [(&Measured, &Centres, &str); 2]) -> (String, String) {
    let values = sides.map(|(column, _, table)| column.sql(scope, table));
    let is_either = format!("({} IS NOT NULL OR {} IS NOT NULL)", values[0], values[1]);
    let deviations: Vec<_> = sides
        .iter()
        .zip(&values)
        .map(|((column, centres, _), value)| {
            let absent = scope.dialect.number(column.absent());
            format!("(COALESCE({value}, {absent}) - {})", by_arm(scope, arm, centres))
        })
        .collect();
    (is_either.clone(), format!("CASE WHEN {is_either} THEN {} END", deviations.join(" * ")))
}

/// A number for each arm.
pub(super) fn by_arm(scope: &Scope<'_>, arm: &str, centres: &[f64]) -> String {
    let cases: String = centres
        .iter()
        .enumerate()
        .map(|(place, centre)| format!(" WHEN {place} THEN {}", scope.dialect.number(*centre)))
        .collect();
    format!("(CASE {arm}{cases} END)")
}
