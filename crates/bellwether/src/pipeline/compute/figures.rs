//! What columns come to for a metric: its figures, those by the values of properties, and those without the noise that is
//! known. The arithmetic is in `analysis` and `adjusting`.

use bellwether_warehouse::Session;

use super::values::{Computed, Values, ordered};
use super::work::Tables;
use super::{Computation, Failed, Judging, MOST_CELLS};
use crate::domain::results::{Breakdown, BreakdownValue, VariationResult};
use crate::pipeline::adjusting::{self, Adjustment, Crossed, Known};
use crate::pipeline::analysis::{self, Figure};
use crate::pipeline::plan::PlannedMetric;
use crate::pipeline::properties::{Property, covariates};
use crate::pipeline::steps;
use crate::pipeline::tables::{self, Column, Typed};

/// A metric's figures.
pub(super) struct Figures {
    pub arms: Vec<Figure>,
    pub adjustment: Option<Adjustment>,
}

impl Values {
    /// The figures of one metric, once its parts are there; notes the steps that they come from.
    pub(super) fn figures(
        &self,
        typed: &Typed,
        properties: &[Property],
        used: &mut Vec<u32>,
    ) -> Result<Figures, Failed> {
        let parts = self.of(typed.metric);
        let sides = typed.sides.len();
        if parts.len() < sides || parts.is_empty() {
            return Err(Failed("it was not computed".to_owned()));
        }
        used.extend(parts[..sides].iter().flat_map(|part| part.steps.clone()));
        let arms = match parts[..sides] {
            [only] => analysis::means(&only.column),
            [numerator, denominator, ..] => {
                let found = self.co_moments(numerator, denominator)?;
                used.push(found.1);
                analysis::ratios(&numerator.column, &denominator.column, &found.0)
            }
            [] => Vec::new(),
        };
        let adjustment = self.adjustment(&parts, sides, properties, &arms);
        Ok(Figures { arms, adjustment })
    }

    /// Co-moments of the sides of a ratio; of one column with itself, its own second moments.
    fn co_moments(&self, x: &Computed, y: &Computed) -> Result<(Vec<f64>, u32), Failed> {
        if x.place == y.place {
            return Ok((own_moments(&x.column), x.steps.last().copied().unwrap_or_default()));
        }
        let reason = || self.failure.clone().unwrap_or_else(|| "its sides were not computed together".to_owned());
        self.products_of(&x.place, &y.place).cloned().ok_or_else(|| Failed(reason()))
    }

    fn adjustment(
        &self,
        parts: &[&Computed],
        sides: usize,
        properties: &[Property],
        figures: &[Figure],
    ) -> Option<Adjustment> {
        let usable = covariates(properties);
        let co_moments = |i: usize, j: usize| self.co_moments(parts[i], parts[j]).ok().map(|(found, _)| found);
        let aged = parts.first().map(|part| &part.column.measured.rules.aged)?;
        let crossed = |x: usize, y: usize| {
            let found = self.crossed.get(&(usable[x], usable[y]))?;
            found.iter().find(|(limits, _)| limits == aged).map(|(_, counts)| counts)
        };
        let known = Known {
            columns: parts.iter().map(|part| &part.column).collect(),
            sides,
            co_moments: &co_moments,
            properties: usable
                .iter()
                .map(|at| (&properties[*at], parts.iter().map(|part| &part.cells[*at]).collect()))
                .collect(),
            crossed: &crossed,
        };
        adjusting::adjusted(&known, figures)
    }
}

fn own_moments(column: &Column) -> Vec<f64> {
    column.moments.iter().map(|moments| moments.m2).collect()
}

impl Computation<'_> {
    /// The metric by the values of each property. A ratio of two tables needs one more step for each.
    pub(super) async fn breakdowns(
        &mut self,
        session: &mut Session,
        work: &Tables<'_>,
        metric: (&PlannedMetric, &Typed),
        values: &Values,
        judging: Judging<'_>,
    ) -> Result<Vec<Breakdown>, Failed> {
        let (planned, typed) = metric;
        let parts = values.of(typed.metric);
        let mut breakdowns = Vec::new();
        for (number, property) in work.properties.iter().enumerate() {
            let cells = match parts[..typed.sides.len()] {
                [only] => analysis::means(&only.cells[number]),
                [x, y, ..] => {
                    let (a, b) = ordered(&x.place, &y.place);
                    let known = values.cell_products.get(&(number, a, b)).cloned();
                    let sides = [&x.cells[number], &y.cells[number]];
                    let found = match known {
                        Some(found) => found,
                        None if x.place == y.place => own_moments(sides[0]),
                        None => {
                            let name = format!("{}: by '{}'", planned.name, property.name);
                            let tables = [x.place.table.as_str(), y.place.table.as_str()];
                            let pair =
                                [(&x.column.measured, &x.column.centres), (&y.column.measured, &y.column.centres)];
                            let step = steps::cell_products(work.scope, &name, tables, &property.places, pair);
                            let (rows, _) = self.step_of(session, &step, MOST_CELLS).await?;
                            tables::co_moments(0, &rows, sides)?
                        }
                    };
                    analysis::ratios(sides[0], sides[1], &found)
                }
                [] => Vec::new(),
            };
            breakdowns.push(breakdown(property, &cells, judging));
        }
        Ok(breakdowns)
    }

    /// How many subjects have which values of two properties, for each two whose values are variables.
    pub(super) async fn crossed(
        &mut self,
        session: &mut Session,
        work: &Tables<'_>,
        values: &mut Values,
    ) -> Result<(), Failed> {
        let limits: Vec<_> = work.subjects.aged.iter().map(|(limits, _)| limits.clone()).collect();
        let usable: Vec<(usize, &Property)> =
            covariates(work.properties).into_iter().map(|at| (at, &work.properties[at])).collect();
        for (i, (x, x_property)) in usable.iter().enumerate() {
            for (y, y_property) in &usable[i + 1..] {
                let step = steps::crossed(work.scope, [&x_property.places, &y_property.places], &limits);
                let (rows, _) = self.step_of(session, &step, MOST_CELLS).await?;
                let empty =
                    vec![vec![vec![0; y_property.places.count()]; x_property.places.count()]; work.subjects.all.len()];
                let mut found: Vec<(Vec<_>, Crossed)> = vec![(Vec::new(), empty.clone())];
                found.extend(limits.iter().map(|limits| (limits.clone(), empty.clone())));
                for row in 0..rows.rows.len() {
                    let place =
                        |column: &str| Ok::<_, Failed>(usize::try_from(rows.int(row, column)?).unwrap_or(usize::MAX));
                    let (arm, x, y) = (place("arm")?, place("x")?, place("y")?);
                    for (number, (_, counts)) in found.iter_mut().enumerate() {
                        let column =
                            number.checked_sub(1).map_or("subjects".to_owned(), |place| format!("aged_{place}"));
                        if let Some(count) =
                            counts.get_mut(arm).and_then(|it| it.get_mut(x)).and_then(|it| it.get_mut(y))
                        {
                            *count = rows.int(row, &column)?.unsigned_abs();
                        }
                    }
                }
                values.crossed.insert((*x, *y), found);
            }
        }
        Ok(())
    }
}

fn breakdown(
    property: &Property,
    cells: &[Figure],
    Judging { inference, judged, variations }: Judging<'_>,
) -> Breakdown {
    let of_value = |(place, figures): (usize, &[Figure])| {
        let compared = analysis::compare(variations, figures, inference, judged);
        BreakdownValue {
            value: property.places.values.get(place).cloned().flatten(),
            is_rest: place >= property.places.values.len(),
            variations: compared.iter().map(VariationResult::short).collect(),
        }
    };
    let values = cells.chunks(variations.len().max(1)).enumerate().map(of_value).collect();
    Breakdown { property: property.name.clone(), values }
}
