//! The aggregate `sum`, which fails where a sum of integers does not fit into 64 bits.
//!
//! Integers are summed as decimals of 38 digits, for which there is room whatever is added; other types as the engine does.

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
};
use datafusion::scalar::ScalarValue;
use std::sync::Arc;

const WIDE: DataType = DataType::Decimal128(38, 0);

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct CheckedSum {
    engine: Arc<AggregateUDF>,
}

impl Default for CheckedSum {
    fn default() -> Self {
        CheckedSum { engine: sum_udaf() }
    }
}

fn wide() -> FieldRef {
    Arc::new(Field::new("sum", WIDE, true))
}

/// Where the sum is one of integers, its type.
fn narrow(result: &FieldRef) -> Option<DataType> {
    let data_type = result.data_type();
    matches!(data_type, DataType::Int64 | DataType::UInt64).then(|| data_type.clone())
}

impl AggregateUDFImpl for CheckedSum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        self.engine.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.engine.return_type(arguments)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.engine.coerce_types(arguments)
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        match narrow(&arguments.return_field) {
            Some(_) => self.engine.state_fields(StateFieldsArgs { return_field: wide(), ..arguments }),
            None => self.engine.state_fields(arguments),
        }
    }

    fn accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let Some(narrow) = narrow(&arguments.return_field) else { return self.engine.accumulator(arguments) };
        let sum = self.engine.accumulator(AccumulatorArgs { return_field: wide(), ..arguments })?;
        Ok(Box::new(Narrowed { sum, narrow }))
    }

    fn create_sliding_accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match narrow(&arguments.return_field).filter(|_| !arguments.is_distinct) {
            Some(narrow) => {
                let arguments = AccumulatorArgs { return_field: wide(), ..arguments };
                Ok(Box::new(Narrowed { sum: self.engine.create_sliding_accumulator(arguments)?, narrow }))
            }
            None => self.engine.create_sliding_accumulator(arguments),
        }
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs) -> bool {
        self.engine.groups_accumulator_supported(arguments)
    }

    fn create_groups_accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let Some(narrow) = narrow(&arguments.return_field) else {
            return self.engine.create_groups_accumulator(arguments);
        };
        let sum = self.engine.create_groups_accumulator(AccumulatorArgs { return_field: wide(), ..arguments })?;
        Ok(Box::new(Narrowed { sum, narrow }))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// A sum of decimals that takes integers and gives one.
#[derive(Debug)]
struct Narrowed<T> {
    sum: T,
    narrow: DataType,
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    Ok(cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() })?)
}

fn widened(values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    values.iter().map(|array| cast(array, &WIDE)).collect()
}

impl<T> Narrowed<T> {
    fn narrowed(&self, sums: &ArrayRef) -> Result<ArrayRef> {
        cast(sums, &self.narrow).map_err(|error| {
            DataFusionError::Execution(format!(
                "a sum does not fit into 64 bits ({}); cast what is summed to DOUBLE or DECIMAL(38, 0)",
                error.strip_backtrace()
            ))
        })
    }
}

impl Accumulator for Narrowed<Box<dyn Accumulator>> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.sum.update_batch(&widened(values)?)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.sum.retract_batch(&widened(values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.sum.supports_retract_batch()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = self.sum.evaluate()?.to_array()?;
        ScalarValue::try_from_array(&self.narrowed(&sum)?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.sum.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.sum.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.sum.merge_batch(states)
    }
}

impl GroupsAccumulator for Narrowed<Box<dyn GroupsAccumulator>> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        self.sum.update_batch(&widened(values)?, groups, filter, count)
    }

    fn evaluate(&mut self, emitted: EmitTo) -> Result<ArrayRef> {
        let sums = self.sum.evaluate(emitted)?;
        self.narrowed(&sums)
    }

    fn state(&mut self, emitted: EmitTo) -> Result<Vec<ArrayRef>> {
        self.sum.state(emitted)
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        self.sum.merge_batch(states, groups, count)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.sum.convert_to_state(&widened(values)?, filter)
    }

    fn size(&self) -> usize {
        self.sum.size()
    }
}
