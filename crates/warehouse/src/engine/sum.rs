//! The aggregate function `exact_sum(double)`: the correctly rounded sum in SQL, which no order of addition changes, for
//! few groups as for millions. A sum beyond the greatest double is an error.
//!
//! A group holds two doubles that do not overlap, whose sum is exact (Shewchuk 1997, Discrete Comput. Geom. 18, 305–363).
//! Where two are not enough, the group gets an [`ExactSum`] of its own.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};
use datafusion::scalar::ScalarValue;

use crate::exact_sum::ExactSum;

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct ExactSumFunction {
    signature: Signature,
}

impl Default for ExactSumFunction {
    fn default() -> Self {
        ExactSumFunction { signature: Signature::exact(vec![DataType::Float64], Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for ExactSumFunction {
    fn name(&self) -> &str {
        "exact_sum"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if arguments.is_distinct {
            return Err(DataFusionError::Plan("exact_sum takes no DISTINCT; select the distinct values first".into()));
        }
        Ok(Box::new(OneSum::default()))
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs) -> bool {
        !arguments.is_distinct
    }

    fn create_groups_accumulator(&self, _arguments: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Sums::default()))
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |part: &str, kind| Arc::new(Field::new(format!("{}[{part}]", arguments.name), kind, true));
        Ok(vec![field("high", DataType::Float64), field("low", DataType::Float64), field("limbs", DataType::Binary)])
    }
}

/// The sums of groups by their index. What belongs to one group lies together: there are millions, and to fetch one is what
/// an addition costs.
#[derive(Debug, Default)]
struct Sums {
    groups: Vec<Sum>,
    promoted: usize,
}

#[derive(Debug)]
struct Sum {
    /// NaN as long as the group has no value.
    pair: Pair,
    /// In its place, for a group whose exact sum two doubles do not hold.
    limbs: Option<Box<ExactSum>>,
}

/// Two doubles whose sum is exact.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    /// The sum, rounded.
    pub high: f64,
    /// What `high` lacks of it.
    pub low: f64,
}

impl Pair {
    /// Of one value, if it is finite.
    #[inline]
    pub fn of(value: f64) -> Option<Self> {
        value.is_finite().then_some(Pair { high: value, low: 0.0 })
    }

    /// The sum with one value more, if two doubles hold it.
    #[inline]
    pub fn plus(self, value: f64) -> Option<Self> {
        let (sum, error) = two_sum(self.high, value);
        let (rest, lost) = two_sum(self.low, error);
        let (high, low) = two_sum(sum, rest);
        (lost == 0.0 && high.is_finite()).then_some(Pair { high, low })
    }
}

impl Sum {
    const NOTHING: Sum = Sum { pair: Pair { high: f64::NAN, low: 0.0 }, limbs: None };
}

/// A sum and what rounding took from it, exactly (Knuth, The Art of Computer Programming 2, 4.2.2, theorem B).
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}

impl Sums {
    fn resize(&mut self, groups: usize) {
        self.groups.resize_with(groups, || Sum::NOTHING);
    }

    #[inline]
    fn add(&mut self, group: usize, value: f64) {
        let Sum { pair, limbs } = &mut self.groups[group];
        if let Some(limbs) = limbs {
            limbs.add(value);
            return;
        }
        let (sum, parts) = match pair.high.is_nan() {
            true => (Pair::of(value), [value, 0.0, 0.0]),
            false => (pair.plus(value), [pair.high, pair.low, value]),
        };
        match sum {
            Some(sum) => *pair = sum,
            None => self.promote(group, &parts),
        }
    }

    fn promote(&mut self, group: usize, parts: &[f64]) {
        self.groups[group] = Sum { limbs: Some(Box::new(exact(parts))), ..Sum::NOTHING };
        self.promoted += 1;
    }

    /// Takes the groups out, in the order of their indexes.
    fn take(&mut self, emit_to: EmitTo) -> Vec<Sum> {
        let groups = emit_to.take_needed(&mut self.groups);
        self.promoted -= groups.iter().filter(|sum| sum.limbs.is_some()).count();
        groups
    }
}

impl GroupsAccumulator for Sums {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        let values = values[0].as_primitive::<Float64Type>();
        if values.null_count() == 0 && opt_filter.is_none() {
            for (group, value) in group_indices.iter().zip(values.values()) {
                self.add(*group, *value);
            }
            return Ok(());
        }
        for (row, group) in group_indices.iter().enumerate() {
            let is_wanted = opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if is_wanted && values.is_valid(row) {
                self.add(*group, values.value(row));
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.resize(total_num_groups);
        let (high, low) = (states[0].as_primitive::<Float64Type>(), states[1].as_primitive::<Float64Type>());
        let limbs = states[2].as_binary::<i32>();
        for (row, group) in group_indices.iter().copied().enumerate() {
            if limbs.is_valid(row) {
                let other = decode(limbs.value(row))?;
                if self.groups[group].limbs.is_none() {
                    let Pair { high, low } = self.groups[group].pair;
                    let parts = [high, low];
                    self.promote(group, if high.is_nan() { &[] } else { &parts });
                }
                self.groups[group].limbs.iter_mut().for_each(|own| own.merge(&other));
            } else if high.is_valid(row) {
                self.add(group, high.value(row));
                self.add(group, low.value(row));
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let values = self.take(emit_to).into_iter().map(|sum| match sum.limbs {
            Some(limbs) => finite(limbs.value()),
            None => Ok((!sum.pair.high.is_nan()).then_some(sum.pair.high)),
        });
        Ok(Arc::new(values.collect::<Result<Float64Array>>()?))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (mut highs, mut lows, mut all_limbs) = (Vec::new(), Vec::new(), Vec::new());
        for Sum { pair: Pair { high, low }, limbs } in self.take(emit_to) {
            highs.push((!high.is_nan()).then_some(high));
            lows.push((!high.is_nan()).then_some(low));
            all_limbs.push(limbs.map(|limbs| limbs.encode()));
        }
        let limbs: BinaryArray = all_limbs.iter().map(|limbs| limbs.as_deref()).collect();
        Ok(vec![Arc::new(Float64Array::from(highs)), Arc::new(Float64Array::from(lows)), Arc::new(limbs)])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut each = Sums::default();
        let rows: Vec<usize> = (0..values[0].len()).collect();
        each.update_batch(values, &rows, opt_filter, rows.len())?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Sum>() + self.promoted * size_of::<ExactSum>()
    }
}

/// The same for a query without groups.
#[derive(Debug, Default)]
struct OneSum(Sums);

impl OneSum {
    fn of_rows(&mut self, rows: usize, add: impl FnOnce(&mut Sums, &[usize]) -> Result<()>) -> Result<()> {
        add(&mut self.0, &vec![0; rows])
    }
}

impl Accumulator for OneSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.of_rows(values[0].len(), |sums, groups| sums.update_batch(values, groups, None, 1))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.resize(1);
        ScalarValue::try_from_array(&self.0.evaluate(EmitTo::All)?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.resize(1);
        self.0.state(EmitTo::All)?.iter().map(|part| ScalarValue::try_from_array(part, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.of_rows(states[0].len(), |sums, groups| sums.merge_batch(states, groups, 1))
    }
}

fn decode(encoded: &[u8]) -> Result<ExactSum> {
    ExactSum::decode(encoded)
        .ok_or_else(|| DataFusionError::Internal(format!("a partial sum of {} bytes", encoded.len())))
}

/// The parts of a sum that two doubles do not hold. Adding 0 changes no sum.
pub fn exact(parts: &[f64]) -> ExactSum {
    let mut limbs = ExactSum::default();
    parts.iter().for_each(|part| limbs.add(*part));
    limbs
}

pub fn finite(sum: Option<f64>) -> Result<Option<f64>> {
    match sum {
        Some(sum) if !sum.is_finite() => Err(DataFusionError::Execution(format!(
            "a sum is {sum}: it is beyond {:e}, the greatest number that there is; divide the values, or leave the wrong ones out",
            f64::MAX
        ))),
        sum => Ok(sum),
    }
}
