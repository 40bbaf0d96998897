//! The scalar function `finite(double, text)`: the number itself, or an error that says where a number stands that is
//! none. One NaN among millions of facts would make every sum NaN, and infinity every mean.

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use datafusion::scalar::ScalarValue;

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct FiniteFunction {
    signature: Signature,
}

impl Default for FiniteFunction {
    fn default() -> Self {
        let arguments = vec![DataType::Float64, DataType::Utf8];
        FiniteFunction { signature: Signature::exact(arguments, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for FiniteFunction {
    fn name(&self) -> &str {
        "finite"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let place = match &arguments.args[1] {
            ColumnarValue::Scalar(ScalarValue::Utf8(Some(place))) => place.as_str(),
            _ => "a value",
        };
        let strange = match &arguments.args[0] {
            ColumnarValue::Scalar(ScalarValue::Float64(value)) => value.filter(|value| !value.is_finite()),
            ColumnarValue::Scalar(_) => None,
            ColumnarValue::Array(array) => {
                let values = array.as_primitive::<Float64Type>();
                match values.null_count() {
                    0 => values.values().iter().copied().find(|value| !value.is_finite()),
                    _ => values.iter().flatten().find(|value| !value.is_finite()),
                }
            }
        };
        match strange {
            None => Ok(arguments.args[0].clone()),
            Some(value) => Err(DataFusionError::Execution(format!(
                "{place} holds {value}, which is no finite number; leave it out or make it NULL in the source's SQL, as \
                 by NULLIF or WHERE isnan(…) = false"
            ))),
        }
    }
}
