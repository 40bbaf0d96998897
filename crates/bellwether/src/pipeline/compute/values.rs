//! The tables of values of a run: made, and looked through twice. What their columns come to for metrics is `figures`.

use std::collections::{HashMap, VecDeque};

use bellwether_warehouse::Session;

use super::work::{Tables, join};
use super::{Computation, Failed, MOST_CELLS};
use crate::pipeline::adjusting::Crossed;
use crate::pipeline::properties::Property;
use crate::pipeline::steps::{self, AgedBefore, Pair, Scope};
use crate::pipeline::tables::{self, Column, Typed, ValuesTable};

/// A part of a metric, computed: where it stands, and the steps that it comes from.
#[derive(Debug, Clone)]
pub struct Computed {
    pub metric: usize,
    pub part: usize,
    pub place: Place,
    pub column: Column,
    /// Of each property, its cells.
    pub cells: Vec<Column>,
    pub steps: Vec<u32>,
    reduced: Reduced,
}

/// A column among all that was computed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub table: String,
    pub measured: usize,
}

/// The subjects of two properties' values, by the limits of their age.
pub type CrossedByAge = Vec<(Vec<AgedBefore>, Crossed)>;

/// What was left out of a table after another that had it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reduced {
    Not,
    /// Other metrics, and what belongs to them.
    Alone,
    /// All that takes noise out, too.
    Bare,
}

/// All that was computed.
#[derive(Default)]
pub struct Values {
    pub parts: Vec<Computed>,
    /// The co-moments of two columns, the lesser place first, arm by arm, and the step that they come from.
    pub products: HashMap<(Place, Place), (Vec<f64>, u32)>,
    /// The same of the sides of ratios, cell by cell of each property.
    pub cell_products: HashMap<(usize, Place, Place), Vec<f64>>,
    /// Why some of the products are not there.
    pub failure: Option<String>,
    /// Of two properties: of all subjects, and of those that are old enough by some limits.
    pub crossed: HashMap<(usize, usize), CrossedByAge>,
}

impl Values {
    /// The parts of a metric as they were computed last, its sides first.
    pub fn of(&self, metric: usize) -> Vec<&Computed> {
        let last = |part| self.parts.iter().rfind(|it| (it.metric, it.part) == (metric, part));
        (0..).map_while(last).collect()
    }

    pub fn products_of(&self, a: &Place, b: &Place) -> Option<&(Vec<f64>, u32)> {
        self.products.get(&ordered(a, b))
    }
}

/// Two places in the order in which they are looked up.
pub fn ordered(a: &Place, b: &Place) -> (Place, Place) {
    if a <= b { (a.clone(), b.clone()) } else { (b.clone(), a.clone()) }
}

impl Computation<'_> {
    /// The tables of all metrics, source by source. Where one fails that several share, each gets one of its own, so that
    /// only those fail that do not work, and none for what would take noise out; `errors` says why, by metric.
    pub(super) async fn values(
        &mut self,
        session: &mut Session,
        work: &mut Tables<'_>,
        metrics: &[Typed],
        errors: &mut [Option<String>],
    ) -> Result<Values, Failed> {
        let mut values = Values::default();
        let mut waiting: VecDeque<(ValuesTable, Reduced)> =
            tables::tables(metrics, "").into_iter().map(|table| (table, Reduced::Not)).collect();
        while let Some((table, reduced)) = waiting.pop_front() {
            let mut owners: Vec<usize> = table.owners.iter().map(|owner| owner.metric).collect();
            owners.sort_unstable();
            owners.dedup();
            match self.table(session, work, metrics, (table, reduced), &mut values).await {
                Ok(()) => {}
                Err(failure) if session.worker_id().is_none() => return Err(failure),
                Err(Failed(reason)) => {
                    for metric in owners.iter().copied() {
                        let Some(typed) = metrics.iter().find(|it| it.metric == metric) else { continue };
                        let next = match reduced {
                            Reduced::Not if owners.len() > 1 => (typed.alone(), "", Reduced::Alone),
                            Reduced::Not | Reduced::Alone if !typed.covariates.is_empty() => {
                                (typed.bare(), "bare_", Reduced::Bare)
                            }
                            _ => {
                                errors[metric] = Some(reason.clone());
                                continue;
                            }
                        };
                        let (typed, word, reduced) = next;
                        let tables = tables::tables(&[typed], &format!("metric_{metric}_{word}"));
                        waiting.extend(tables.into_iter().map(|table| (table, reduced)));
                    }
                }
            }
        }
        Ok(values)
    }

    /// One table of values: its census, if its source has none yet, the values, and both passes over them.
    async fn table(
        &mut self,
        session: &mut Session,
        work: &mut Tables<'_>,
        metrics: &[Typed],
        (mut table, reduced): (ValuesTable, Reduced),
        values: &mut Values,
    ) -> Result<(), Failed> {
        let (scope, place) = (work.scope, table.source);
        self.census_of_facts(session, work, place).await?;
        let (planned, source) = (&work.plan.sources[place], &mut work.sources[place]);
        let (facts, _) = source.facts.as_ref().map_err(|reason| Failed(reason.clone()))?;
        let mut used = Vec::new();
        let step = facts.values(scope, work.subject_kind, &table.outputs, &table.name);
        used.push(self.step(session, &step).await?.1);
        if table.measured.iter().any(|column| column.has_percentiles())
            && let Some(step) = steps::bounds(scope, &planned.name, &table.name, &table.measured)
        {
            let (rows, position) = self.step(session, &step).await?;
            used.push(position);
            table.set_bounds(&rows)?;
            if let Some(reason) = table.crossed_bounds() {
                return Err(Failed(reason));
            }
        }
        let step = steps::totals(scope, &planned.name, &table.name, &table.measured);
        let (rows, position) = self.step(session, &step).await?;
        used.push(position);
        if let Some(counts) = &mut source.counts {
            join(counts, &rows)?;
            source.is_joined = true;
        }
        let measured = table.measured.iter().enumerate();
        let columns = measured.map(|(place, it)| Column::of_totals(it.clone(), place, &rows, work.subjects));
        let mut columns = columns.collect::<Result<Vec<_>, _>>()?;
        let pairs = table.pairs();
        let centred: Vec<_> = columns.iter().map(|column| (column.measured.clone(), column.centres.clone())).collect();
        let step = steps::deviations(scope, &planned.name, &table.name, &centred, &pairs);
        let (rows, position) = self.step(session, &step).await?;
        used.push(position);
        for (place, column) in columns.iter_mut().enumerate() {
            column.deviate(place, &rows)?;
        }
        let at = |measured| Place { table: table.name.clone(), measured };
        for (place, pair) in pairs.iter().enumerate() {
            let found = tables::co_moments(place, &rows, [&columns[pair.later], &columns[pair.earlier]])?;
            values.products.insert(ordered(&at(pair.later), &at(pair.earlier)), (found, position));
        }
        let mut cells = Vec::new();
        for (number, property) in work.properties.iter().enumerate() {
            let name = format!("{}: by '{}'", planned.name, property.name);
            cells.push(self.cells(session, scope, metrics, &table, &columns, (number, property, &name), values).await?);
        }
        if reduced != Reduced::Not {
            // What an attempt before has left of it does not go with this.
            values
                .parts
                .retain(|part| table.owners.iter().all(|owner| owner.metric != part.metric) || part.reduced == reduced);
        }
        values.parts.extend(table.owners.iter().map(|owner| Computed {
            metric: owner.metric,
            part: owner.part,
            place: at(owner.measured),
            column: columns[owner.measured].clone(),
            cells: cells.iter().map(|columns: &Vec<Column>| columns[owner.measured].clone()).collect(),
            steps: used.clone(),
            reduced,
        }));
        Ok(())
    }

    /// The columns of a table, cell by cell of a property; what takes noise out needs no more than its totals.
    #[allow(clippy::too_many_arguments)]
    async fn cells(
        &mut self,
        session: &mut Session,
        scope: &Scope<'_>,
        metrics: &[Typed],
        table: &ValuesTable,
        columns: &[Column],
        (number, property, name): (usize, &Property, &str),
        values: &mut Values,
    ) -> Result<Vec<Column>, Failed> {
        // Sides come first, as they must be told in full.
        let (mut order, others): (Vec<usize>, Vec<usize>) =
            (0..columns.len()).partition(|measured| table.is_side(metrics, *measured));
        let full = order.len();
        order.extend(others);
        let rank = |measured: usize| order.iter().position(|it| *it == measured).unwrap_or(measured);
        let ratios = table.ratios(metrics);
        let pairs: Vec<Pair> =
            ratios.iter().map(|pair| Pair { later: rank(pair.later), earlier: rank(pair.earlier) }).collect();
        let centred: Vec<_> =
            order.iter().map(|it| (columns[*it].measured.clone(), columns[*it].centres.clone())).collect();
        let step = steps::cells(scope, name, &table.name, &property.places, &centred, full, &pairs);
        let (rows, _) = self.step_of(session, &step, MOST_CELLS).await?;
        let mut found: Vec<Option<Column>> = vec![None; columns.len()];
        for (place, measured) in order.iter().enumerate() {
            let column = Column::of_totals(columns[*measured].measured.clone(), place, &rows, &property.subjects)?;
            let mut column = column.about(&columns[*measured].centres);
            if place < full {
                column.deviate(place, &rows)?;
            }
            found[*measured] = Some(column);
        }
        let found: Vec<Column> = found.into_iter().flatten().collect();
        let at = |measured| Place { table: table.name.clone(), measured };
        for (place, pair) in ratios.iter().enumerate() {
            let products = tables::co_moments(place, &rows, [&found[pair.later], &found[pair.earlier]])?;
            let (a, b) = ordered(&at(pair.later), &at(pair.earlier));
            values.cell_products.insert((number, a, b), products);
        }
        Ok(found)
    }

    /// The products of columns that stand in two tables, one statement for each two tables. A metric whose sides do has no
    /// figures without them.
    pub(super) async fn products(
        &mut self,
        session: &mut Session,
        work: &Tables<'_>,
        metrics: &[Typed],
        values: &mut Values,
    ) -> Result<(), Failed> {
        let mut wanted: Vec<((Place, Place), [Column; 2])> = Vec::new();
        for metric in metrics {
            let parts = values.of(metric.metric);
            for (i, x) in parts.iter().enumerate() {
                for y in parts[i + 1..].iter().filter(|y| y.place.table != x.place.table) {
                    let pair = ordered(&x.place, &y.place);
                    if wanted.iter().all(|(there, _)| *there != pair) {
                        let is_first = pair.0 == x.place;
                        let columns = if is_first { [&x.column, &y.column] } else { [&y.column, &x.column] };
                        wanted.push((pair, columns.map(Clone::clone)));
                    }
                }
            }
        }
        wanted.sort_by(|(a, _), (b, _)| (&a.0.table, &a.1.table).cmp(&(&b.0.table, &b.1.table)));
        for group in wanted.chunk_by(|(a, _), (b, _)| a.0.table == b.0.table && a.1.table == b.1.table) {
            let tables = [group[0].0.0.table.as_str(), group[0].0.1.table.as_str()];
            let pairs: Vec<_> =
                group.iter().map(|(_, [x, y])| [(&x.measured, &x.centres), (&y.measured, &y.centres)]).collect();
            let name = format!("{} and {}", tables[0], tables[1]);
            match self.step(session, &steps::products(work.scope, &name, tables, &pairs)).await {
                Ok((rows, position)) => {
                    for (place, (pair, [x, y])) in group.iter().enumerate() {
                        let found = tables::co_moments(place, &rows, [x, y])?;
                        values.products.insert(pair.clone(), (found, position));
                    }
                }
                Err(failure) if session.worker_id().is_none() => return Err(failure),
                Err(Failed(reason)) => values.failure = Some(reason),
            }
        }
        Ok(())
    }
}
