//! The aggregate `sum`, which fails where a sum of integers does not fit into 64 bits, or one of decimals into 38 digits.
//!
//! It is made in a wider type, in which there is room whatever is added; of other types as the engine does.

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

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct CheckedSum {
    engine: Arc<AggregateUDF>,
}

impl Default for CheckedSum {
    fn default() -> Self {
        CheckedSum { engine: sum_udaf() }
    }
}

/// Where a sum may not fit into its type: that type, and the one that it is made in.
fn types(result: &FieldRef) -> Option<(DataType, DataType)> {
    let narrow = result.data_type().clone();
    let wide = match narrow {
        DataType::Int64 | DataType::UInt64 => DataType::Decimal128(38, 0),
        // A sum has ten digits more than what is summed, for which there is room below.
        DataType::Decimal128(38, scale) => DataType::Decimal256(76, scale),
        _ => return None,
    };
    Some((narrow, wide))
}

fn field(wide: &DataType) -> FieldRef {
    Arc::new(Field::new("sum", wide.clone(), true))
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
        match types(&arguments.return_field) {
            Some((_, wide)) => self.engine.state_fields(StateFieldsArgs { return_field: field(&wide), ..arguments }),
            None => self.engine.state_fields(arguments),
        }
    }

    fn accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let Some((narrow, wide)) = types(&arguments.return_field) else {
            return self.engine.accumulator(arguments);
        };
        let sum = self.engine.accumulator(AccumulatorArgs { return_field: field(&wide), ..arguments })?;
        Ok(Box::new(Narrowed { sum, narrow, wide }))
    }

    fn create_sliding_accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match types(&arguments.return_field).filter(|_| !arguments.is_distinct) {
            Some((narrow, wide)) => {
                let arguments = AccumulatorArgs { return_field: field(&wide), ..arguments };
                Ok(Box::new(Narrowed { sum: self.engine.create_sliding_accumulator(arguments)?, narrow, wide }))
            }
            None => self.engine.create_sliding_accumulator(arguments),
        }
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs) -> bool {
        self.engine.groups_accumulator_supported(arguments)
    }

    fn create_groups_accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let Some((narrow, wide)) = types(&arguments.return_field) else {
            return self.engine.create_groups_accumulator(arguments);
        };
        let sum = self.engine.create_groups_accumulator(AccumulatorArgs { return_field: field(&wide), ..arguments })?;
        Ok(Box::new(Narrowed { sum, narrow, wide }))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// A sum in a wide type that takes and gives a narrow one.
#[derive(Debug)]
struct Narrowed<T> {
    sum: T,
    narrow: DataType,
    wide: DataType,
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    Ok(cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() })?)
}

impl<T> Narrowed<T> {
    fn widened(&self, values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        values.iter().map(|array| cast(array, &self.wide)).collect()
    }

    fn narrowed(&self, sums: &ArrayRef) -> Result<ArrayRef> {
        cast(sums, &self.narrow).map_err(|error| {
            DataFusionError::Execution(format!(
                "a sum does not fit into {} ({}); cast what is summed to DOUBLE, or integers to DECIMAL(38, 0)",
                self.narrow,
                error.strip_backtrace()
            ))
        })
    }
}

impl Accumulator for Narrowed<Box<dyn Accumulator>> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = self.widened(values)?;
        self.sum.update_batch(&values)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = self.widened(values)?;
        self.sum.retract_batch(&values)
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
        let values = self.widened(values)?;
        self.sum.update_batch(&values, groups, filter, count)
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
        self.sum.convert_to_state(&self.widened(values)?, filter)
    }

    fn size(&self) -> usize {
        self.sum.size()
    }
}
