//! The aggregate function `tally(arm, is_before, is_after)`: of each subject its arm, how many facts it has, and how many of
//! them lie before and after its time. One function, and not four: there are millions of subjects, and to fetch what belongs
//! to one is what an addition costs.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, StructArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};

/// The parts of a tally, in their order.
const PARTS: [&str; 4] = ["arm", "facts", "before_assignment", "after_end"];

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct TallyFunction {
    signature: Signature,
}

impl Default for TallyFunction {
    fn default() -> Self {
        let arguments = vec![DataType::Int64, DataType::Boolean, DataType::Boolean];
        TallyFunction { signature: Signature::exact(arguments, Volatility::Immutable) }
    }
}

/// A tally, of its parts.
pub fn of_parts(parts: Vec<ArrayRef>) -> Result<ArrayRef> {
    Ok(Arc::new(StructArray::try_new(fields(), parts, None)?))
}

fn fields() -> Fields {
    PARTS.iter().map(|part| Arc::new(Field::new(*part, DataType::Int64, false))).collect()
}

impl AggregateUDFImpl for TallyFunction {
    fn name(&self) -> &str {
        "tally"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(fields()))
    }

    fn accumulator(&self, _arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Err(DataFusionError::Plan("tally is for queries with GROUP BY".into()))
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs) -> bool {
        !arguments.is_distinct
    }

    fn create_groups_accumulator(&self, _arguments: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Tallies::default()))
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |part: &&str| Arc::new(Field::new(format!("{}[{part}]", arguments.name), DataType::Int64, false));
        Ok(PARTS.iter().map(field).collect())
    }
}

/// The parts of each group, side by side.
#[derive(Debug, Default)]
struct Tallies(Vec<[i64; PARTS.len()]>);

impl Tallies {
    fn resize(&mut self, groups: usize) {
        self.0.resize(groups, [i64::MAX, 0, 0, 0]);
    }

    fn parts(&mut self, emit_to: EmitTo) -> Vec<ArrayRef> {
        let taken = emit_to.take_needed(&mut self.0);
        (0..PARTS.len())
            .map(|part| Arc::new(taken.iter().map(|tally| tally[part]).collect::<Int64Array>()) as _)
            .collect()
    }
}

impl GroupsAccumulator for Tallies {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.resize(total_num_groups);
        let arms = values[0].as_primitive::<Int64Type>();
        let (before, after) = (values[1].as_boolean(), values[2].as_boolean());
        let is_true = |flags: &BooleanArray, row| i64::from(flags.is_valid(row) && flags.value(row));
        for (row, group) in group_indices.iter().enumerate() {
            if opt_filter.is_some_and(|filter| is_true(filter, row) == 0) {
                continue;
            }
            let [arm, facts, early, late] = &mut self.0[*group];
            *arm = (*arm).min(arms.value(row));
            *facts += 1;
            *early += is_true(before, row);
            *late += is_true(after, row);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.resize(total_num_groups);
        let parts: Vec<&Int64Array> = states.iter().map(|state| state.as_primitive::<Int64Type>()).collect();
        for (row, group) in group_indices.iter().enumerate() {
            let [arm, facts, early, late] = &mut self.0[*group];
            *arm = (*arm).min(parts[0].value(row));
            *facts += parts[1].value(row);
            *early += parts[2].value(row);
            *late += parts[3].value(row);
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        of_parts(self.parts(emit_to))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(self.parts(emit_to))
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut each = Tallies::default();
        let rows: Vec<usize> = (0..values[0].len()).collect();
        each.update_batch(values, &rows, opt_filter, rows.len())?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.0.capacity() * size_of::<[i64; PARTS.len()]>()
    }
}
