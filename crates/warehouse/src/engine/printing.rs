//! The scalar function `double_text(double)`, which every cast of a double to text becomes: the shortest text of the number,
//! by the custom of the column that it stands in.
//!
//! The engine's own cast would print `1` as `1.0`, so that ids and variations from different files would not meet.

use super::arrays::CUSTOM_KEY;
use crate::reading::numbers::{Custom, print};
use datafusion::arrow::array::{Array, AsArray, StringViewBuilder};
use datafusion::arrow::datatypes::{DataType, Field, Float32Type};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use std::sync::Arc;

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct DoubleText {
    signature: Signature,
}

impl Default for DoubleText {
    fn default() -> Self {
        let one = |data_type: DataType| TypeSignature::Exact(vec![data_type]);
        let either = vec![one(DataType::Float64), one(DataType::Float32)];
        DoubleText { signature: Signature::one_of(either, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for DoubleText {
    fn name(&self) -> &str {
        "double_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let custom = custom_of(arguments.arg_fields.first().map(AsRef::as_ref));
        let is_one = arguments.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let mut texts = StringViewBuilder::with_capacity(arguments.number_rows);
        for array in &arrays {
            if let Some(singles) = array.as_primitive_opt::<Float32Type>() {
                singles.iter().for_each(|value| texts.append_option(value.map(|value| value.to_string())));
            } else {
                let doubles = array.as_primitive::<datafusion::arrow::datatypes::Float64Type>();
                doubles.iter().for_each(|value| texts.append_option(value.map(|value| print(value, custom))));
            }
        }
        let texts = texts.finish();
        Ok(match is_one && texts.len() == 1 {
            true => ColumnarValue::Scalar(datafusion::scalar::ScalarValue::try_from_array(&texts, 0)?),
            false => ColumnarValue::Array(Arc::new(texts)),
        })
    }
}

fn custom_of(field: Option<&Field>) -> Custom {
    let is_pointed = field.is_some_and(|field| field.metadata().contains_key(CUSTOM_KEY));
    if is_pointed { Custom::Pointed } else { Custom::Plain }
}
