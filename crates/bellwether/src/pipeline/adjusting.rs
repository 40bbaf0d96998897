//! What subjects did before, and what they are, taken off what they do: a metric's figures without the noise that is known.
//! Pure; the formula is in `bellwether_stats`.

use bellwether_stats as stats;
use bellwether_stats::{Estimate, JointMoments, Moments, adjust};

use super::analysis::Figure;
use super::properties::Property;
use super::tables::Column;

/// Counts of subjects by the places of two properties: of each arm, `[x][y]`.
pub type Crossed = Vec<Vec<Vec<u64>>>;

/// A metric's parts, its sides first, and all that is known of them together.
pub struct Known<'a> {
    pub columns: Vec<&'a Column>,
    pub sides: usize,
    /// Σ(x − x̄)(y − ȳ) of two of the columns, arm by arm.
    pub co_moments: &'a dyn Fn(usize, usize) -> Option<Vec<f64>>,
    /// Properties whose values are variables, each with every column's cells.
    pub properties: Vec<(&'a Property, Vec<&'a Column>)>,
    /// Of two of the properties.
    pub crossed: &'a dyn Fn(usize, usize) -> Option<&'a Crossed>,
}

/// The figures of a metric, adjusted, and for each arm the share of its subjects of whom anything is known from before.
pub struct Adjustment {
    pub figures: Vec<Figure>,
    pub coverage: Vec<f64>,
}

/// `figures` without what the covariates explain; `None` where nothing can be adjusted.
pub fn adjusted(known: &Known<'_>, figures: &[Figure]) -> Option<Adjustment> {
    let arms: Vec<JointMoments> = (0..figures.len()).map(|arm| joint(known, arm)).collect::<Option<_>>()?;
    let outcome = figure(known.sides, 0);
    let own_past = (known.columns.len() >= 2 * known.sides).then(|| figure(known.sides, known.sides))?;
    let others = 2 * known.sides..arms.first()?.variables().len();
    let covariates: Vec<_> = std::iter::once(own_past).chain(others.map(stats::Figure::Mean)).collect();
    let adjusted = adjust(&arms, outcome, &covariates).ok()?;
    let figures = figures
        .iter()
        .zip(adjusted.estimates)
        .map(|(figure, estimate): (&Figure, Option<Estimate>)| Figure { estimate, ..figure.clone() })
        .collect();
    Some(Adjustment { figures, coverage: (0..arms.len()).map(|arm| coverage(known, arm)).collect() })
}

fn figure(sides: usize, at: usize) -> stats::Figure {
    match sides {
        1 => stats::Figure::Mean(at),
        _ => stats::Figure::Ratio { numerator: at, denominator: at + 1 },
    }
}

/// The share of an arm's subjects that had any fact before, by the side that more of them had.
fn coverage(known: &Known<'_>, arm: usize) -> f64 {
    let own = &known.columns[known.sides..2 * known.sides];
    let present = own.iter().map(|column| column.present_in(arm)).max().unwrap_or(0);
    present as f64 / known.columns[0].count(arm).max(1) as f64
}

/// All variables of an arm: the columns, then each value of each property as 0 or 1.
fn joint(known: &Known<'_>, arm: usize) -> Option<JointMoments> {
    let n = known.columns[0].count(arm);
    let mut variables: Vec<Moments> = known.columns.iter().map(|column| column.moments[arm]).collect();
    let mut co_moments = Vec::new();
    for i in 0..known.columns.len() {
        for j in 0..i {
            co_moments.push(*(known.co_moments)(i, j)?.get(arm)?);
        }
    }
    let values = known.properties.iter().enumerate();
    let values = values.flat_map(|(at, (property, _))| (0..property.places.count()).map(move |place| (at, place)));
    let values: Vec<(usize, usize)> = values.collect();
    for (number, &(at, place)) in values.iter().enumerate() {
        let of_value = cell(known, at, place, arm);
        let count = known.properties[at].1[0].count(of_value);
        variables.push(of_share(count, n));
        for (column, cells) in known.columns.iter().zip(&known.properties[at].1) {
            co_moments.push(cells.total(of_value) - count as f64 * column.moments[arm].mean);
        }
        for &(other, other_place) in &values[..number] {
            let others = known.properties[other].1[0].count(cell(known, other, other_place, arm));
            let both = match at == other {
                true => 0,
                false => (known.crossed)(other, at)?.get(arm)?.get(other_place)?.get(place).copied()?,
            };
            co_moments.push(both as f64 - count as f64 * others as f64 / n.max(1) as f64);
        }
    }
    JointMoments::new(variables, co_moments).ok()
}

fn cell(known: &Known<'_>, property: usize, place: usize, arm: usize) -> usize {
    let arms = known.columns[0].moments.len();
    debug_assert!(known.properties[property].0.places.count() > place);
    place * arms + arm
}

/// The moments of a variable that is 1 for `count` of `n` subjects, and 0 for the others.
fn of_share(count: u64, n: u64) -> Moments {
    let (count, all) = (count as f64, n.max(1) as f64);
    let mean = count / all;
    let max_abs = if count > 0.0 { 1.0 } else { 0.0 };
    Moments { n, mean, m2: (count - count * mean).max(0.0), max_abs, mean_abs: mean }
}
