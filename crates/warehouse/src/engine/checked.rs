//! Arithmetic on integers that fails where the result has no room, as scalar functions.
//!
//! The engine's own goes on silently from the largest number to the smallest.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::compute::kernels::numeric::{add, mul, neg, sub};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, Operator, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use datafusion::scalar::ScalarValue;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Add,
    Subtract,
    Multiply,
    Negate,
}

impl Operation {
    pub const ALL: [Operation; 4] = [Operation::Add, Operation::Subtract, Operation::Multiply, Operation::Negate];

    pub fn of(operator: Operator) -> Option<Operation> {
        match operator {
            Operator::Plus => Some(Operation::Add),
            Operator::Minus => Some(Operation::Subtract),
            Operator::Multiply => Some(Operation::Multiply),
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
