//! A percentile of all facts of an arm: they are kept row by row, counted, put in order, and counted again by subject. Here is
//! the SQL of that, and what its rows say.

use bellwether_stats::{Moments, Ranks, RatioMoments};
use bellwether_warehouse::{Table, TableError};

use super::moments::by_arm;
use super::{Facts, Output, Scope, Step};
use crate::pipeline::columns::KeyKind;

/// How many facts an arm has, of how many subjects, and the sum of their values.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pooled {
    pub subjects: u64,
    pub facts: u64,
    pub total: f64,
}

/// The facts at some places in the order of an arm, by their places.
pub type Placed = Vec<(u64, f64)>;

/// The facts that count, one row each: `subject`, `arm` and `value`. Kept as `table`.
pub fn pool(scope: &Scope<'_>, facts: &Facts, subjects: KeyKind, output: &Output, table: &str) -> Step {
    let rows = facts.rows(scope, subjects, std::slice::from_ref(output), None);
    let sql = format!("SELECT subject, arm, x0 AS value\nFROM {rows}\nWHERE is0");
    Step::kept(format!("{}: pooled facts", facts.name), table, sql)
}

/// Of each arm how many subjects have facts, how many facts there are, and their sum.
pub fn pooled(scope: &Scope<'_>, name: &str, table: &str) -> Step {
    let dialect = scope.dialect;
    let sql = format!(
        "SELECT arm, COUNT(*) AS subjects, SUM(facts) AS facts, {total} AS total\n\
         FROM (SELECT subject, arm, COUNT(*) AS facts, {sum} AS total\nFROM {table}\nGROUP BY subject, arm) AS subjects_with_facts\n\
         GROUP BY arm",
        total = dialect.exact_sum("total"),
        sum = dialect.exact_sum("value"),
        table = dialect.intermediate(table),
    );
    Step::fetched(format!("{name}: facts by arm"), sql)
}

/// The facts at these places in the order of each arm, counted from 1.
pub fn ordered(scope: &Scope<'_>, name: &str, table: &str, places: &[(usize, Vec<u64>)]) -> Step {
    let conditions: Vec<_> = places
        .iter()
        .map(|(arm, places)| {
            let places: Vec<_> = places.iter().map(u64::to_string).collect();
            format!("arm = {arm} AND place IN ({})", places.join(", "))
        })
        .collect();
    let sql = format!(
        "SELECT arm, place, value\n\
         FROM (SELECT arm, value, ROW_NUMBER() OVER (PARTITION BY arm ORDER BY value) AS place\nFROM {table}) AS facts_in_order\n\
         WHERE {conditions}",
        table = scope.dialect.intermediate(table),
        conditions = conditions.join("\nOR "),
    );
    Step::fetched(format!("{name}: facts at the percentile"), sql)
}

/// Of each arm the sums over its subjects of how many facts a subject has, how many of them lie at or below the arm's
/// quantile, and of the squares and products of both.
pub fn shares(scope: &Scope<'_>, name: &str, table: &str, quantiles: &[f64]) -> Step {
    let dialect = scope.dialect;
    let below = dialect.count_if(&format!("value <= {}", by_arm(scope, "arm", quantiles)));
    let sql = format!(
        "SELECT arm, COUNT(*) AS subjects, SUM(facts) AS facts, SUM(facts * facts) AS facts_squared,\n\
         SUM(below) AS below, SUM(below * below) AS below_squared, SUM(below * facts) AS products,\n\
         MAX(facts) AS most_facts, MAX(below) AS most_below\n\
         FROM (SELECT subject, arm, COUNT(*) AS facts, {below} AS below\nFROM {table}\nGROUP BY subject, arm) AS subjects_with_facts\n\
         GROUP BY arm",
        table = dialect.intermediate(table),
    );
    Step::fetched(format!("{name}: shares of subjects"), sql)
}

pub fn read_pooled(table: &Table, arms: usize) -> Result<Vec<Pooled>, TableError> {
    let mut pooled = vec![Pooled::default(); arms];
    for row in 0..table.rows.len() {
        if let Some(arm) = pooled.get_mut(arm(table, row)?) {
            let (subjects, facts) = (table.int(row, "subjects")?, table.int(row, "facts")?);
            let total = table.optional_float(row, "total")?.unwrap_or(0.0);
            *arm = Pooled { subjects: subjects.unsigned_abs(), facts: facts.unsigned_abs(), total };
        }
    }
    Ok(pooled)
}

pub fn read_ordered(table: &Table, arms: usize) -> Result<Vec<Placed>, TableError> {
    let mut placed = vec![Placed::new(); arms];
    for row in 0..table.rows.len() {
        if let Some(arm) = placed.get_mut(arm(table, row)?)
            && let Some(value) = table.optional_float(row, "value")?
        {
            arm.push((table.int(row, "place")?.unsigned_abs(), value));
        }
    }
    Ok(placed)
}

pub fn read_shares(table: &Table, arms: usize) -> Result<Vec<RatioMoments>, TableError> {
    let mut shares = vec![RatioMoments::default(); arms];
    for row in 0..table.rows.len() {
        if let Some(arm) = shares.get_mut(arm(table, row)?) {
            let int = |column: &str| Ok(i128::from(table.int(row, column)?));
            let (n, facts, below) = (int("subjects")?, int("facts")?, int("below")?);
            *arm = RatioMoments {
                numerator: counted(n, below, int("below_squared")?, int("most_below")?),
                denominator: counted(n, facts, int("facts_squared")?, int("most_facts")?),
                co_moment: about_means(n, int("products")?, below, facts),
            };
        }
    }
    Ok(shares)
}

/// The places that a percentile is made of, and those of its interval.
pub fn places(ranks: &Ranks) -> Vec<u64> {
    let mut places = vec![ranks.outer.0, ranks.below, ranks.below + 1, ranks.outer.1];
    places.retain(|place| *place <= ranks.facts);
    places.sort_unstable();
    places.dedup();
    places
}

fn arm(table: &Table, row: usize) -> Result<usize, TableError> {
    Ok(usize::try_from(table.int(row, "arm")?).unwrap_or(usize::MAX))
}

/// Moments of whole numbers that are not negative, from their sums, which are exact.
fn counted(n: i128, sum: i128, squares: i128, greatest: i128) -> Moments {
    let mean = if n == 0 { 0.0 } else { sum as f64 / n as f64 };
    let n_subjects = u64::try_from(n).unwrap_or_default();
    Moments { n: n_subjects, mean, m2: about_means(n, squares, sum, sum), max_abs: greatest as f64, mean_abs: mean }
}

/// Σ(x − x̄)(y − ȳ) from whole sums: Σxy − ΣxΣy/n, rounded once.
fn about_means(n: i128, products: i128, left: i128, right: i128) -> f64 {
    if n == 0 { 0.0 } else { (n * products - left * right) as f64 / n as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_counts_are_those_of_two_passes() {
        let pairs: Vec<(f64, f64)> = [(0.0, 1.0), (2.0, 5.0), (3.0, 3.0), (1.0, 4.0)].into();
        let expected = RatioMoments::of(&pairs);
        let sum = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() as i128;
        let (below, facts) = (sum(|pair| pair.0), sum(|pair| pair.1));
        let found = counted(4, facts, sum(|pair| pair.1 * pair.1), 5);
        assert_eq!((found.n, found.mean, found.max_abs), (4, 3.25, 5.0));
        assert!((found.m2 - expected.denominator.m2).abs() < 1e-12);
        assert!((about_means(4, sum(|pair| pair.0 * pair.1), below, facts) - expected.co_moment).abs() < 1e-12);
        assert_eq!(about_means(0, 0, 0, 0), 0.0);
    }
}
