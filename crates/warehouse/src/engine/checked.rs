//! Arithmetic on integers that fails where the result has no room, as scalar functions.
//!
//! The engine's own goes on silently from the largest number to the smallest.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::compute::kernels::arity::try_binary;
use datafusion::arrow::compute::kernels::numeric::{add, mul, neg, sub};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, Operator, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use datafusion::scalar::ScalarValue;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Add,
    Subtract,
    Multiply,
    ShiftLeft,
    Negate,
}

impl Operation {
    pub const ALL: [Operation; 5] =
        [Operation::Add, Operation::Subtract, Operation::Multiply, Operation::ShiftLeft, Operation::Negate];

    pub fn of(operator: Operator) -> Option<Operation> {
        match operator {
            Operator::Plus => Some(Operation::Add),
            Operator::Minus => Some(Operation::Subtract),
            Operator::Multiply => Some(Operation::Multiply),
            Operator::BitwiseShiftLeft => Some(Operation::ShiftLeft),
            _ => None,
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Checked {
    operation: Operation,
    signature: Signature,
}

impl Checked {
    pub fn of(operation: Operation) -> Checked {
        let count = if operation == Operation::Negate { 1 } else { 2 };
        Checked { operation, signature: Signature::any(count, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.operation {
            Operation::Add => "checked_add",
            Operation::Subtract => "checked_subtract",
            Operation::Multiply => "checked_multiply",
            Operation::ShiftLeft => "checked_shift_left",
            Operation::Negate => "checked_negate",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments.first().cloned().unwrap_or(DataType::Null))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_one = arguments.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let made = match (self.operation, &arrays[..]) {
            (Operation::Add, [left, right]) => add(left, right),
            (Operation::Subtract, [left, right]) => sub(left, right),
            (Operation::Multiply, [left, right]) => mul(left, right),
            (Operation::ShiftLeft, [left, right]) => shift_left(left, right),
            (Operation::Negate, [value]) => neg(value),
            _ => return Err(DataFusionError::Internal(format!("{} of {} values", self.name(), arrays.len()))),
        };
        let made: ArrayRef = made.map_err(|error| overflow(&error))?;
        Ok(if is_one {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?)
        } else {
            ColumnarValue::Array(made)
        })
    }
}

/// What the author of the SQL is told.
fn overflow(error: &ArrowError) -> DataFusionError {
    DataFusionError::Execution(format!(
        "{error}: the result does not fit into its 64 bits or less; cast a value to DOUBLE or DECIMAL(38, 0) before calculating"
    ))
}

/// A value times a power of two.
fn shift_left(values: &ArrayRef, shifts: &ArrayRef) -> std::result::Result<ArrayRef, ArrowError> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let whole = |array: &ArrayRef| cast_with_options(array, &DataType::Int64, &strict);
    let (values_as_int, shifts) = (whole(values)?, whole(shifts)?);
    let shifted = try_binary::<_, _, _, Int64Type>(
        values_as_int.as_primitive::<Int64Type>(),
        shifts.as_primitive::<Int64Type>(),
        |value, shift| {
            let power = u32::try_from(shift).ok().filter(|shift| *shift < 63).map(|shift| 1_i64 << shift);
            let made = power.and_then(|power| value.checked_mul(power));
            made.ok_or_else(|| ArrowError::ArithmeticOverflow(format!("Overflow happened on: {value} << {shift}")))
        },
    )?;
    cast_with_options(&(Arc::new(shifted) as ArrayRef), values.data_type(), &strict)
}
