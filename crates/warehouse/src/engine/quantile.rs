//! The aggregate function `exact_quantile(double, probability)`: interpolated linearly between neighbours, with all digits.
//! (`percentile_cont` rounds the place between the two to a millionth.) It holds all values in memory, eight bytes each: for
//! queries without groups.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Float64Array, ListArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};
use datafusion::physical_expr::expressions::Literal;
use datafusion::scalar::ScalarValue;

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct QuantileFunction {
    signature: Signature,
}

impl Default for QuantileFunction {
    fn default() -> Self {
        let arguments = vec![DataType::Float64, DataType::Float64];
        QuantileFunction { signature: Signature::exact(arguments, Volatility::Immutable) }
    }
}

fn item() -> FieldRef {
    Arc::new(Field::new("item", DataType::Float64, false))
}

impl AggregateUDFImpl for QuantileFunction {
    fn name(&self) -> &str {
        "exact_quantile"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let literal = arguments.exprs.get(1).and_then(|expr| expr.downcast_ref::<Literal>());
        match literal.map(Literal::value) {
            Some(ScalarValue::Float64(Some(probability))) if (0.0..=1.0).contains(probability) => {
                Ok(Box::new(Values { probability: *probability, values: Vec::new() }))
            }
            _ => Err(DataFusionError::Plan("exact_quantile takes a literal probability from 0 to 1".into())),
        }
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format!("{}[values]", arguments.name), DataType::List(item()), true))])
    }
}

#[derive(Debug)]
struct Values {
    probability: f64,
    values: Vec<f64>,
}

impl Accumulator for Values {
    fn update_batch(&mut self, arrays: &[ArrayRef]) -> Result<()> {
        self.values.extend(arrays[0].as_primitive::<Float64Type>().iter().flatten());
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(quantile(&mut self.values, self.probability)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<f64>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = Float64Array::from(std::mem::take(&mut self.values));
        let offsets = OffsetBuffer::from_lengths([values.len()]);
        Ok(vec![ScalarValue::List(Arc::new(ListArray::try_new(item(), offsets, Arc::new(values), None)?))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for values in states[0].as_list::<i32>().iter().flatten() {
            self.values.extend(values.as_primitive::<Float64Type>().iter().flatten());
        }
        Ok(())
    }
}

/// The quantile of type 7 (Hyndman & Fan 1996, The American Statistician 50, 361–365); `None` without values.
fn quantile(values: &mut [f64], probability: f64) -> Option<f64> {
    let place = values.len().checked_sub(1)? as f64 * probability;
    let (_, lower, above) = values.select_nth_unstable_by(place as usize, f64::total_cmp);
    let upper = above.iter().copied().min_by(f64::total_cmp).unwrap_or(*lower);
    Some(*lower + (upper - *lower) * place.fract())
}
