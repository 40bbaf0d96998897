//! The aggregates of a group join: those that it knows are kept among the numbers of each group, others as the engine does.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{Float64Type, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::GroupsAccumulatorAdapter;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

use super::states::{Count, Layout, Rows, States, Sum};
use super::{Aggregate, Expression, Kept};
use crate::engine::tally;

/// How many facts are added at once: as many as have their groups in the processor's own memory at the same time.
const AT_ONCE: usize = 512;

/// How an aggregate is kept, and where.
enum Place {
    Tally { arms: ArrayRef, facts: Count, before: Count, after: Count },
    Count(Count),
    Sum(Sum),
    Apart(Box<dyn GroupsAccumulator>),
}

pub struct Accumulation {
    places: Vec<Place>,
    apart: Option<Numbers>,
}

/// What is kept apart is kept for those groups alone that have facts: each of them has a number.
struct Numbers {
    place: Count,
    given: u32,
}

/// What an aggregate is given of some rows.
struct Given {
    values: Vec<ArrayRef>,
    filter: Option<BooleanArray>,
}

impl Accumulation {
    pub fn of(aggregates: &[Aggregate], groups: &RecordBatch, layout: &mut Layout) -> Result<Self> {
        let places = aggregates.iter().map(|aggregate| {
            Ok(match &aggregate.kept {
                Kept::Tally { arm } => Place::Tally {
                    arms: groups.column(*arm).clone(),
                    facts: layout.count(),
                    before: layout.count(),
                    after: layout.count(),
                },
                Kept::Count => Place::Count(layout.count()),
                Kept::ExactSum => Place::Sum(layout.sum()),
                Kept::Apart(function) => Place::Apart(accumulator(function)?),
            })
        });
        let places: Vec<Place> = places.collect::<Result<_>>()?;
        let is_apart = places.iter().any(|place| matches!(place, Place::Apart(_)));
        let apart = is_apart.then(|| Numbers { place: layout.count(), given: 0 });
        Ok(Accumulation { places, apart })
    }

    /// Adds joined rows, each to its group.
    pub fn add(
        &mut self,
        aggregates: &[Aggregate],
        rows: &RecordBatch,
        groups: &[u32],
        states: &mut States,
    ) -> Result<()> {
        let given = aggregates.iter().map(|aggregate| Given::of(aggregate, rows)).collect::<Result<Vec<_>>>()?;
        let masks: Vec<_> = self.places.iter().zip(&given).map(|(place, given)| given.masks(place)).collect();
        for (start, groups) in (0..).step_by(AT_ONCE).zip(groups.chunks(AT_ONCE)) {
            states.touch(groups);
            for ((place, given), masks) in self.places.iter().zip(&given).zip(&masks) {
                let masks = masks.iter().map(|mask| mask.as_ref().map(|mask| mask.slice(start, groups.len())));
                let masks: Vec<Option<BooleanBuffer>> = masks.collect();
                let rows = |mask: usize| Rows { groups, mask: masks[mask].as_ref() };
                match place {
                    Place::Tally { facts, before, after, .. } => {
                        states.increment(*facts, rows(0));
                        states.increment(*before, rows(1));
                        states.increment(*after, rows(2));
                    }
                    Place::Count(count) => states.increment(*count, rows(0)),
                    Place::Sum(sum) => {
                        let values = &given.values[0].as_primitive::<Float64Type>().values()[start..];
                        states.add(*sum, rows(0), values);
                    }
                    Place::Apart(_) => {}
                }
            }
        }
        let Some(Numbers { place, given: groups_given }) = &mut self.apart else { return Ok(()) };
        let numbers = states.numbers(*place, groups, groups_given);
        for (place, given) in self.places.iter_mut().zip(&given) {
            if let Place::Apart(accumulator) = place {
                accumulator.update_batch(&given.values, &numbers, given.filter.as_ref(), *groups_given as usize)?;
            }
        }
        Ok(())
    }

    /// What is held beside the numbers of the groups.
    pub fn bytes(&self) -> usize {
        self.places.iter().map(|place| if let Place::Apart(accumulator) = place { accumulator.size() } else { 0 }).sum()
    }

    pub fn finish(self) -> Result<Accumulated> {
        let done = self.places.into_iter().map(|place| {
            Ok(match place {
                Place::Tally { arms, facts, before, after } => Column::Tally { arms, facts, before, after },
                Place::Count(count) => Column::Count(count),
                Place::Sum(sum) => Column::Sum(sum),
                Place::Apart(mut accumulator) => Column::Apart(accumulator.evaluate(EmitTo::All)?),
            })
        });
        Ok(Accumulated { columns: done.collect::<Result<_>>()?, number: self.apart.map(|apart| apart.place) })
    }
}

impl Given {
    fn of(aggregate: &Aggregate, rows: &RecordBatch) -> Result<Self> {
        let array = |it: &Expression| it.evaluate(rows)?.into_array(rows.num_rows());
        let values = aggregate.arguments.iter().map(array).collect::<Result<_>>()?;
        let filter = aggregate.filter.as_ref().map(array).transpose()?.map(|filter| filter.as_boolean().clone());
        Ok(Given { values, filter })
    }

    /// Which rows each number of an aggregate counts; all, where there is none.
    fn masks(&self, place: &Place) -> Vec<Option<BooleanBuffer>> {
        match place {
            Place::Tally { .. } => {
                vec![None, Some(truth(self.values[0].as_boolean())), Some(truth(self.values[1].as_boolean()))]
            }
            Place::Count(_) | Place::Sum(_) => {
                let nulls = self.values[0].logical_nulls().filter(|nulls| nulls.null_count() > 0);
                let present = nulls.as_ref().map(NullBuffer::inner);
                vec![match (self.filter.as_ref().map(truth), present) {
                    (Some(wanted), Some(present)) => Some(&wanted & present),
                    (wanted, present) => wanted.or(present.cloned()),
                }]
            }
            Place::Apart(_) => Vec::new(),
        }
    }
}

/// Where a condition holds: where it is true, and not null.
fn truth(condition: &BooleanArray) -> BooleanBuffer {
    match condition.nulls() {
        Some(nulls) => condition.values() & nulls.inner(),
        None => condition.values().clone(),
    }
}

fn accumulator(function: &Arc<AggregateFunctionExpr>) -> Result<Box<dyn GroupsAccumulator>> {
    if function.groups_accumulator_supported() {
        return function.create_groups_accumulator();
    }
    let function = function.clone();
    Ok(Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator())))
}

/// An aggregate of all groups: found among their numbers, or done.
enum Column {
    Tally { arms: ArrayRef, facts: Count, before: Count, after: Count },
    Count(Count),
    Sum(Sum),
    Apart(ArrayRef),
}

#[derive(Default)]
pub struct Accumulated {
    columns: Vec<Column>,
    /// Where the number of a group is, by which is found what was kept apart.
    number: Option<Count>,
}

impl Accumulated {
    /// Every fact of a group is in its tally, and there is one.
    pub fn has_facts(&self, states: &States, group: u32) -> bool {
        self.columns
            .iter()
            .any(|column| matches!(column, Column::Tally { facts, .. } if states.count(*facts, group) > 0))
    }

    /// The aggregates of some groups.
    pub fn columns(&self, states: &States, groups: &UInt32Array) -> Result<Vec<ArrayRef>> {
        let number = |group: &u32| self.number.map_or(0, |place| states.count(place, *group) - 1);
        let numbers = Int64Array::from_iter_values(groups.values().iter().map(number));
        let columns = self.columns.iter().map(|column| {
            Ok(match column {
                Column::Tally { arms, facts, before, after } => {
                    let arms = take(arms, groups, None)?;
                    let arms = Int64Array::new(arms.as_primitive::<Int64Type>().values().clone(), None);
                    let counts = [facts, before, after].map(|count| states.counts(*count, groups.values()));
                    tally::of_parts(std::iter::once(Arc::new(arms) as ArrayRef).chain(counts).collect())?
                }
                Column::Count(count) => states.counts(*count, groups.values()),
                Column::Sum(sum) => states.sums(*sum, groups.values())?,
                Column::Apart(done) => take(done, &numbers, None)?,
            })
        });
        columns.collect()
    }
}
