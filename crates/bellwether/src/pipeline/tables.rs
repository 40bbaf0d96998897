//! Which tables of values a run makes, one for each fact source and all its metrics, and what is made of the passes over
//! them. Pure: the SQL is `steps`, what runs it is `compute`.

use bellwether_stats::{Moments, Passes};
use bellwether_warehouse::{Table, TableError};

use super::steps::{AgedBefore, Bounds, Centres, Measured, Output, Pair};
use crate::domain::aggregation::Winsorization;

/// Columns of one table: more metrics of a source are another scan of it.
const MOST_OUTPUTS: usize = 100;

/// A metric that can be asked for: its outputs, one, or a numerator's and a denominator's.
#[derive(Debug, Clone)]
pub struct Typed {
    /// Its place among the plan's metrics.
    pub metric: usize,
    pub sides: Vec<Side>,
    /// What takes noise out of it, if the plan says so; its own past first, with as many sides.
    pub covariates: Vec<Side>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Side {
    pub source: usize,
    pub output: Output,
    pub winsorization: Option<Winsorization>,
}

impl Typed {
    /// Both sides of a ratio are of the same subjects: of those that both count.
    pub fn of(metric: usize, mut sides: Vec<Side>) -> Self {
        let aged: Vec<AgedBefore> = sides.iter().flat_map(|side| side.output.rules.aged.clone()).collect();
        if sides.len() > 1 {
            for side in &mut sides {
                side.output.rules.aged.clone_from(&aged);
                side.output.rules.only_present = false;
            }
        }
        Self { metric, sides, covariates: Vec::new() }
    }

    /// The same without what belongs to other metrics.
    pub fn alone(&self) -> Self {
        let own = self.covariates.iter().take(self.sides.len()).cloned().collect();
        Self { covariates: own, ..self.clone() }
    }

    /// The same without anything that takes noise out.
    pub fn bare(&self) -> Self {
        Self { covariates: Vec::new(), ..self.clone() }
    }

    /// Sides and covariates, in this order: what stands for the metric in tables.
    pub fn parts(&self) -> impl Iterator<Item = &Side> {
        self.sides.iter().chain(&self.covariates)
    }

    pub fn aged(&self) -> &[AgedBefore] {
        self.sides.first().map_or(&[], |side| &side.output.rules.aged)
    }
}

/// A table of values to make of one source.
#[derive(Debug, Clone)]
pub struct ValuesTable {
    pub name: String,
    pub source: usize,
    pub outputs: Vec<Output>,
    pub measured: Vec<Measured>,
    pub owners: Vec<Owner>,
}

/// A part of a metric, a side or a covariate, and where it stands among what is measured of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub metric: usize,
    pub part: usize,
    pub measured: usize,
}

/// The tables for these metrics; `prefix` sets their names apart from others'.
pub fn tables(metrics: &[Typed], prefix: &str) -> Vec<ValuesTable> {
    let mut tables: Vec<ValuesTable> = Vec::new();
    for typed in metrics {
        for (place, side) in typed.parts().enumerate() {
            let open = tables.iter().rposition(|table| {
                table.source == side.source
                    && (table.outputs.len() < MOST_OUTPUTS || table.outputs.contains(&side.output))
            });
            let open = open.unwrap_or_else(|| {
                let name = format!("{prefix}values_{}", tables.len());
                let (outputs, measured, owners) = (Vec::new(), Vec::new(), Vec::new());
                tables.push(ValuesTable { name, source: side.source, outputs, measured, owners });
                tables.len() - 1
            });
            tables[open].add(typed.metric, place, side);
        }
    }
    tables
}

impl ValuesTable {
    fn add(&mut self, metric: usize, place: usize, side: &Side) {
        let output = self.outputs.iter().position(|there| *there == side.output).unwrap_or_else(|| {
            self.outputs.push(side.output.clone());
            self.outputs.len() - 1
        });
        let fixed = side.winsorization.as_ref();
        let bounds = Bounds {
            lower: fixed.and_then(|winsorization| winsorization.lower_value),
            upper: fixed.and_then(|winsorization| winsorization.upper_value),
        };
        let (rules, winsorization) = (side.output.rules.clone(), side.winsorization.clone());
        let column = Measured { output, rules, winsorization, bounds };
        let measured = self.measured.iter().position(|there| *there == column).unwrap_or_else(|| {
            self.measured.push(column);
            self.measured.len() - 1
        });
        self.owners.push(Owner { metric, part: place, measured });
    }

    /// Which two columns must be known together, each once: all parts of a metric with each other.
    pub fn pairs(&self) -> Vec<Pair> {
        let mut pairs = Vec::new();
        for (i, x) in self.owners.iter().enumerate() {
            for y in self.owners[i + 1..].iter().filter(|y| y.metric == x.metric && y.measured != x.measured) {
                let pair = Pair::of(x.measured, y.measured);
                if !pairs.contains(&pair) {
                    pairs.push(pair);
                }
            }
        }
        pairs
    }

    /// The ratios of which both sides are here.
    pub fn ratios(&self, metrics: &[Typed]) -> Vec<Pair> {
        let of = |metric: &Typed| {
            let measured = |part| self.owners.iter().find(|it| (it.metric, it.part) == (metric.metric, part));
            let sides = (measured(0)?.measured, measured(1)?.measured);
            (metric.sides.len() == 2 && sides.0 != sides.1).then(|| Pair::of(sides.0, sides.1))
        };
        let mut pairs: Vec<Pair> = Vec::new();
        for pair in metrics.iter().filter_map(of) {
            if !pairs.contains(&pair) {
                pairs.push(pair);
            }
        }
        pairs
    }

    /// The columns that are sides of metrics, and so more than what takes noise out.
    pub fn is_side(&self, metrics: &[Typed], measured: usize) -> bool {
        let sides = |metric: usize| metrics.iter().find(|it| it.metric == metric).map_or(0, |it| it.sides.len());
        self.owners.iter().any(|owner| owner.measured == measured && owner.part < sides(owner.metric))
    }

    /// Why its bounds cannot be: a percentile may turn out to lie beyond the value that bounds the other side.
    pub fn crossed_bounds(&self) -> Option<String> {
        self.measured.iter().find_map(|column| match column.bounds {
            Bounds { lower: Some(lower), upper: Some(upper) } if lower > upper => Some(format!(
                "its winsorization's lower bound, {lower}, is above its upper one, {upper}, for these data: give other bounds"
            )),
            _ => None,
        })
    }

    /// Notes the bounds that were asked for.
    pub fn set_bounds(&mut self, found: &Table) -> Result<(), TableError> {
        for (place, column) in self.measured.iter_mut().enumerate() {
            let Some(winsorization) = column.winsorization.as_ref() else { continue };
            if winsorization.lower_percentile.is_some() {
                column.bounds.lower = found.optional_float(0, &format!("lower_{place}"))?;
            }
            if winsorization.upper_percentile.is_some() {
                column.bounds.upper = found.optional_float(0, &format!("upper_{place}"))?;
            }
        }
        Ok(())
    }
}

/// How many subjects each arm has: all of them, and those that are old enough by each limit.
#[derive(Debug, Clone, Default)]
pub struct Subjects {
    pub all: Vec<u64>,
    pub aged: Vec<(Vec<AgedBefore>, Vec<u64>)>,
}

impl Subjects {
    /// Of those that such a column is of. A column of only those with a value counts them itself.
    fn of(&self, measured: &Measured) -> &[u64] {
        self.aged_by(&measured.rules.aged)
    }

    /// Of those that are old enough by these limits.
    pub fn aged_by(&self, limits: &[AgedBefore]) -> &[u64] {
        match self.aged.iter().find(|(there, _)| there == limits) {
            Some((_, counts)) if !limits.is_empty() => counts,
            _ => &self.all,
        }
    }
}

/// What the first pass found of one column in one arm.
#[derive(Debug, Clone, Copy, Default)]
pub struct Total {
    present: u64,
    sum: f64,
    greatest: f64,
    sum_abs: f64,
}

/// A measured column with all that is known of it, arm by arm or cell by cell.
#[derive(Debug, Clone)]
pub struct Column {
    pub measured: Measured,
    totals: Vec<Total>,
    counts: Vec<u64>,
    means: Centres,
    /// What the second pass takes off: near the means.
    pub centres: Centres,
    pub moments: Vec<Moments>,
    /// Σ(x − centre), for what is made of pairs.
    deviations: Vec<f64>,
}

impl Column {
    /// Of one of a table's columns, by the first pass.
    pub fn of_totals(measured: Measured, place: usize, found: &Table, subjects: &Subjects) -> Result<Self, TableError> {
        let arms = subjects.all.len();
        let mut totals = vec![Total::default(); arms];
        for row in 0..found.rows.len() {
            let arm = usize::try_from(found.int(row, "arm")?).unwrap_or(usize::MAX);
            let Some(total) = totals.get_mut(arm) else { continue };
            let float = |name: &str| Ok(found.optional_float(row, &format!("{name}{place}"))?.unwrap_or(0.0));
            *total = Total {
                present: found.int(row, &format!("n{place}"))?.unsigned_abs(),
                sum: float("t")?,
                greatest: float("g")?,
                sum_abs: float("s")?,
            };
        }
        let counts: Vec<u64> = match measured.rules.only_present {
            true => totals.iter().map(|total| total.present).collect(),
            // A subject with a value is one of the subjects, whatever the counts of another step say.
            false => subjects.of(&measured).iter().zip(&totals).map(|(all, total)| *all.max(&total.present)).collect(),
        };
        let centre = |(total, count): (&Total, &u64)| {
            let absent = (count - total.present) as f64 * measured.absent();
            if *count == 0 { 0.0 } else { (total.sum + absent) / *count as f64 }
        };
        let means: Centres = totals.iter().zip(&counts).map(centre).collect();
        let centres = means.clone();
        Ok(Self { measured, totals, counts, means, centres, moments: Vec::new(), deviations: Vec::new() })
    }

    /// Of cells, whose centres are those of their arms.
    pub fn about(self, centres_of_arms: &Centres) -> Self {
        let centres = centres_of_arms.iter().copied().cycle().take(self.means.len()).collect();
        Self { centres, ..self }
    }

    /// Adds the second pass.
    pub fn deviate(&mut self, place: usize, found: &Table) -> Result<(), TableError> {
        let mut passes = vec![(0.0, 0.0); self.totals.len()];
        for row in 0..found.rows.len() {
            let arm = usize::try_from(found.int(row, "arm")?).unwrap_or(usize::MAX);
            let float = |name: &str| Ok(found.optional_float(row, &format!("{name}{place}"))?.unwrap_or(0.0));
            if let Some(pass) = passes.get_mut(arm) {
                *pass = (float("d")?, float("q")?);
            }
        }
        let absent = self.measured.absent();
        for (arm, (deviations, squares)) in passes.into_iter().enumerate() {
            let (total, n, centre) = (self.totals[arm], self.counts[arm], self.centres[arm]);
            let missing = (n - total.present) as f64;
            let off = absent - centre;
            let passes = Passes {
                n,
                centre,
                deviations: deviations + missing * off,
                squares: squares + missing * off * off,
                max_abs: if missing > 0.0 { total.greatest.max(absent.abs()) } else { total.greatest },
                sum_abs: total.sum_abs + missing * absent.abs(),
            };
            // The mean is the sum by the number, correctly rounded; to correct it could only cost its last digit.
            self.moments.push(Moments { mean: self.means[arm], ..Moments::of_passes(passes) });
            self.deviations.push(passes.deviations);
        }
        Ok(())
    }

    /// How many subjects have a value.
    pub fn present(&self) -> u64 {
        self.totals.iter().map(|total| total.present).sum()
    }

    /// How many subjects of an arm have a value.
    pub fn present_in(&self, arm: usize) -> u64 {
        self.totals[arm].present
    }

    /// How many subjects of an arm it is of.
    pub fn count(&self, arm: usize) -> u64 {
        self.counts[arm]
    }

    /// The sum of the values of an arm, those of subjects without facts among them.
    pub fn total(&self, arm: usize) -> f64 {
        self.totals[arm].sum + (self.counts[arm] - self.totals[arm].present) as f64 * self.measured.absent()
    }
}

/// Σ(x − x̄)(y − ȳ) of each arm, from the products of the subjects that have one of both.
pub fn co_moments(place: usize, found: &Table, sides: [&Column; 2]) -> Result<Vec<f64>, TableError> {
    let arms = sides[0].counts.len();
    let mut products = vec![(0, 0.0); arms];
    for row in 0..found.rows.len() {
        let arm = usize::try_from(found.int(row, "arm")?).unwrap_or(usize::MAX);
        if let Some(product) = products.get_mut(arm) {
            let either = found.int(row, &format!("e{place}"))?.unsigned_abs();
            *product = (either, found.optional_float(row, &format!("p{place}"))?.unwrap_or(0.0));
        }
    }
    let of_arm = |(arm, (either, product)): (usize, (u64, f64))| {
        let n = sides[0].counts[arm];
        let [x, y] = sides.map(|side| side.measured.absent() - side.centres[arm]);
        let [dx, dy] = sides.map(|side| side.deviations[arm]);
        let correction = if n == 0 { 0.0 } else { dx * dy / n as f64 };
        product + n.saturating_sub(either) as f64 * x * y - correction
    };
    Ok(products.into_iter().enumerate().map(of_arm).collect())
}
