//! What is computed of a joined row before it is aggregated: the projections between join and aggregation, less what nobody
//! asks for.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;

use super::{Aggregate, Expression};

#[derive(Debug)]
pub struct Inputs {
    /// The columns of either side that are used. Of joined rows, the groups' come first.
    pub of_groups: Vec<usize>,
    pub of_facts: Vec<usize>,
    joined: SchemaRef,
    /// Each over the columns of the one before it, the first over those that are joined.
    projections: Vec<(SchemaRef, Vec<Expression>)>,
}

impl Inputs {
    /// Of `projections`, the topmost first, what `aggregates` need. Their columns become those of the last that is kept.
    pub fn of(
        projections: &[&ProjectionExec],
        groups: SchemaRef,
        facts: SchemaRef,
        aggregates: &mut [Aggregate],
    ) -> Result<Self> {
        let expressions = aggregates.iter_mut().flat_map(|it| it.arguments.iter_mut().chain(&mut it.filter));
        let mut used = narrow(expressions)?;
        let mut kept = Vec::new();
        for projection in projections {
            let schema = projection.schema();
            let fields: Vec<FieldRef> = used.iter().map(|column| schema.fields()[*column].clone()).collect();
            let mut expressions: Vec<_> = used.iter().map(|column| projection.expr()[*column].expr.clone()).collect();
            used = narrow(expressions.iter_mut())?;
            kept.push((Arc::new(Schema::new(fields)), expressions));
        }
        kept.reverse();
        let split = groups.fields().len();
        let fields = used.iter().map(|column| match column.checked_sub(split) {
            None => groups.fields()[*column].clone(),
            Some(column) => facts.fields()[column].clone(),
        });
        let joined = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let (of_groups, of_facts): (Vec<usize>, Vec<usize>) = used.into_iter().partition(|column| *column < split);
        let of_facts = of_facts.into_iter().map(|column| column - split).collect();
        Ok(Inputs { of_groups, of_facts, joined, projections: kept })
    }

    /// What is computed of joined rows, given their columns.
    pub fn evaluate(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let mut batch = batch(&self.joined, columns, rows)?;
        for (schema, expressions) in &self.projections {
            let columns = expressions.iter().map(|it| it.evaluate(&batch)?.into_array(rows));
            batch = self::batch(schema, columns.collect::<Result<_>>()?, rows)?;
        }
        Ok(batch)
    }
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// The columns that expressions use, in order; they use them by their places there from now on.
fn narrow<'a>(expressions: impl Iterator<Item = &'a mut Expression>) -> Result<Vec<usize>> {
    let expressions: Vec<_> = expressions.collect();
    let mut used: Vec<usize> =
        expressions.iter().flat_map(|it| collect_columns(it)).map(|column| column.index()).collect();
    used.sort_unstable();
    used.dedup();
    for expression in expressions {
        let moved = expression.clone().transform(|it| {
            Ok(match it.downcast_ref::<Column>() {
                Some(column) => {
                    let place = used.partition_point(|used| *used < column.index());
                    Transformed::yes(Arc::new(Column::new(column.name(), place)) as _)
                }
                None => Transformed::no(it),
            })
        })?;
        *expression = moved.data;
    }
    Ok(used)
}
