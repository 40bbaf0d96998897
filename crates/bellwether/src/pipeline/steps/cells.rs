//! The same by the values of a property: a cell is an arm's subjects with one value. Cells are numbered value by value, the
//! arms of each in their order.

use super::assignments::{AgedBefore, all_aged};
use super::moments::{deviation_columns, product_columns, total_columns};
use super::{Centres, Measured, Pair, SUBJECTS, Scope, Step};

/// Values of a property that are told apart.
pub const MOST_VALUES: usize = 50;

/// The values of a property that are told apart, the most frequent first, and whether there are more, which are one
/// together, after them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The property's number among those of the source.
    pub property: usize,
    /// `None`: subjects without one.
    pub values: Vec<Option<String>>,
    pub has_rest: bool,
}

impl Places {
    pub fn count(&self) -> usize {
        self.values.len() + usize::from(self.has_rest)
    }

    /// The place of a subject's value.
    fn sql(&self, scope: &Scope<'_>) -> String {
        let column = format!("a.p{}", self.property);
        let rest = self.values.len();
        let (mut none, mut cases) = (rest, String::new());
        for (place, value) in self.values.iter().enumerate() {
            match value {
                Some(value) => cases.push_str(&format!(" WHEN {} THEN {place}", scope.dialect.text(value))),
                None => none = place,
            }
        }
        match cases.is_empty() {
            true => format!("CASE WHEN {column} IS NULL THEN {none} ELSE {rest} END"),
            false => format!("CASE WHEN {column} IS NULL THEN {none} ELSE CASE {column}{cases} ELSE {rest} END END"),
        }
    }

    fn cell(&self, scope: &Scope<'_>) -> String {
        format!("({}) * {} + a.arm", self.sql(scope), scope.variations.len())
    }
}

/// The values of a property by how many subjects have them: of each arm (`arm_0`), and of those the ones that are old enough
/// by each of `limits` (`arm_0_aged_0`).
pub fn property_values(scope: &Scope<'_>, property: usize, name: &str, limits: &[Vec<AgedBefore>]) -> Step {
    let mut columns = String::new();
    for arm in 0..scope.variations.len() {
        let of_arm = format!("a.arm = {arm}");
        columns.push_str(&format!(", {} AS arm_{arm}", scope.dialect.count_if(&of_arm)));
        for (place, limits) in limits.iter().enumerate() {
            let aged = all_aged(limits, "a.assigned_at").unwrap_or_else(|| "TRUE".to_owned());
            let counted = scope.dialect.count_if(&format!("{of_arm} AND {aged}"));
            columns.push_str(&format!(", {counted} AS arm_{arm}_aged_{place}"));
        }
    }
    let sql = format!(
        "SELECT a.p{property} AS value, COUNT(*) AS subjects{columns}\nFROM {} AS a\nWHERE NOT a.is_mixed\n\
         GROUP BY a.p{property}\nORDER BY subjects DESC, value\nLIMIT {MOST_VALUES}",
        scope.dialect.intermediate(SUBJECTS),
    );
    Step::fetched(format!("values of '{name}'"), sql)
}

/// For each cell what [`super::totals`] and [`super::deviations`] tell of each arm, of columns whose centres are known. `full`
/// are first, of the others only the totals are told.
pub fn cells(
    scope: &Scope<'_>,
    name: &str,
    table: &str,
    places: &Places,
    measured: &[(Measured, Centres)],
    full: usize,
    pairs: &[Pair],
) -> Step {
    let cell = places.cell(scope);
    let sql = format!(
        "SELECT {cell} AS arm{totals}{deviations}\nFROM {subjects} AS a JOIN {table} AS v ON v.subject = a.subject\nGROUP BY {cell}",
        totals = total_columns(scope, "v.", measured.iter().map(|(column, _)| column)),
        deviations = deviation_columns(scope, "v.", "a.arm", &measured[..full], pairs),
        subjects = scope.dialect.intermediate(SUBJECTS),
        table = scope.dialect.intermediate(table),
    );
    Step::fetched(name.to_owned(), sql)
}

/// The products of pairs of which each side is in another table, for each cell.
pub fn cell_products(
    scope: &Scope<'_>,
    name: &str,
    tables: [&str; 2],
    places: &Places,
    pair: [(&Measured, &Centres); 2],
) -> Step {
    let cell = places.cell(scope);
    let [(x, x_centres), (y, y_centres)] = pair;
    let [x_table, y_table] = tables.map(|table| scope.dialect.intermediate(table));
    let sql = format!(
        "SELECT {cell} AS arm{products}\nFROM {subjects} AS a LEFT JOIN {x_table} AS x ON x.subject = a.subject\n\
         LEFT JOIN {y_table} AS y ON y.subject = a.subject\nWHERE NOT a.is_mixed\nGROUP BY {cell}",
        products = product_columns(scope, 0, "a.arm", [(x, x_centres, "x."), (y, y_centres, "y.")]),
        subjects = scope.dialect.intermediate(SUBJECTS),
    );
    Step::fetched(name.to_owned(), sql)
}

/// How many subjects of each arm have one value of a property and one of another, and how many of them are old enough by
/// each of `limits`.
pub fn crossed(scope: &Scope<'_>, sides: [&Places; 2], limits: &[Vec<AgedBefore>]) -> Step {
    let [x, y] = sides.map(|places| places.sql(scope));
    let aged = limits.iter().enumerate().map(|(place, limits)| {
        let aged = all_aged(limits, "a.assigned_at").unwrap_or_else(|| "TRUE".to_owned());
        format!(", {} AS aged_{place}", scope.dialect.count_if(&aged))
    });
    let sql = format!(
        "SELECT a.arm AS arm, {x} AS x, {y} AS y, COUNT(*) AS subjects{}\nFROM {} AS a\nWHERE NOT a.is_mixed\n\
         GROUP BY a.arm, {x}, {y}",
        aged.collect::<String>(),
        scope.dialect.intermediate(SUBJECTS),
    );
    Step::fetched("properties together", sql)
}
