//! The aggregate function `exact_sum(double)`: [`ExactSum`] in SQL.

use crate::exact_sum::ExactSum;
use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};
use datafusion::scalar::ScalarValue;
use std::sync::Arc;

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
        Ok(Box::new(RunningSum::default()))
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format!("{}[sum]", arguments.name), DataType::Binary, true))])
    }
}

#[derive(Debug, Default)]
struct RunningSum(ExactSum);

impl Accumulator for RunningSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for array in values {
            array.as_primitive::<Float64Type>().iter().flatten().for_each(|value| self.0.add(value));
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.0.value()))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(Some(self.0.encode()))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for encoded in states.iter().flat_map(|array| array.as_binary::<i32>().iter().flatten()) {
            let sum = ExactSum::decode(encoded)
                .ok_or_else(|| DataFusionError::Internal(format!("a partial sum of {} bytes", encoded.len())))?;
            self.0.merge(&sum);
        }
        Ok(())
    }
}
