//! Finds in a plan the join and aggregation that a group join does at once, and puts one in their place.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{JoinType, NullEquality};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::projection::ProjectionExec;

use super::inputs::Inputs;
use super::{Aggregate, Expression, GroupJoinExec, Kept, Work};

/// The rule. It belongs before all others, where a join's sides are still as they were written and nothing is distributed.
#[derive(Debug)]
pub struct GroupJoins;

impl PhysicalOptimizerRule for GroupJoins {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let replaced = plan.transform_down(|plan| {
            Ok(match group_join(&plan)? {
                Some(join) => Transformed::yes(Arc::new(join) as _),
                None => Transformed::no(plan),
            })
        })?;
        Ok(replaced.data)
    }

    fn name(&self) -> &str {
        "group_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// What stands between an aggregation and the join below it.
struct Below<'a> {
    projections: Vec<&'a ProjectionExec>,
    join: &'a HashJoinExec,
}

impl<'a> Below<'a> {
    fn of(mut plan: &'a Arc<dyn ExecutionPlan>) -> Option<Self> {
        let mut projections = Vec::new();
        while let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
            projections.push(projection);
            plan = projection.input();
        }
        Some(Below { projections, join: plan.downcast_ref()? })
    }

    /// The column of the join's left side that `expression` is, untouched.
    fn left_column(&self, expression: &Expression) -> Option<usize> {
        let mut column = expression.downcast_ref::<Column>()?.index();
        for projection in &self.projections {
            column = projection.expr()[column].expr.downcast_ref::<Column>()?.index();
        }
        (column < self.join.left().schema().fields().len()).then_some(column)
    }
}

fn group_join(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<GroupJoinExec>> {
    let Some((partial, below)) = grouped(plan) else { return Ok(None) };
    let Some((groups_key, facts_key, group)) = keys(partial, &below)? else { return Ok(None) };
    let filters = partial.filter_expr().iter().cloned();
    let aggregates: Option<Vec<_>> =
        partial.aggr_expr().iter().zip(filters).map(|(function, filter)| aggregate(function, filter, &below)).collect();
    let Some(mut aggregates) = aggregates else { return Ok(None) };
    if !aggregates.iter().any(|aggregate| matches!(aggregate.kept, Kept::Tally { .. })) {
        return Ok(None);
    }
    let (groups, facts) = (below.join.left(), below.join.right());
    let inputs = Inputs::of(&below.projections, groups.schema(), facts.schema(), &mut aggregates)?;
    let schema = plan.schema();
    let work = Work { groups_key, facts_key, group, inputs, aggregates, schema };
    Ok(Some(GroupJoinExec::of(groups.clone(), facts.clone(), Arc::new(work))))
}

/// The first half of an aggregation in two steps by one expression, if it is over an inner join.
fn grouped(plan: &Arc<dyn ExecutionPlan>) -> Option<(&AggregateExec, Below<'_>)> {
    let last = plan.downcast_ref::<AggregateExec>()?;
    let is_last = matches!(last.mode(), AggregateMode::Final | AggregateMode::FinalPartitioned);
    let first = last.input().downcast_ref::<AggregateExec>()?;
    let is_first = matches!(first.mode(), AggregateMode::Partial);
    let is_by_one = first.group_expr().is_single() && first.group_expr().expr().len() == 1;
    let is_cut = last.limit_options().is_some() || first.limit_options().is_some();
    let below = Below::of(first.input())?;
    let join = below.join;
    let is_inner = *join.join_type() == JoinType::Inner && join.null_equality() == NullEquality::NullEqualsNothing;
    let is_plain = join.filter().is_none() && !join.contains_projection();
    (is_last && is_first && is_by_one && !is_cut && is_inner && is_plain).then_some((first, below))
}

/// What both sides are joined on, and the left side's column by which is grouped. Each row of it is a group only if rows
/// with different keys have different ones: the key must be made of this column alone.
fn keys(partial: &AggregateExec, below: &Below<'_>) -> Result<Option<(Expression, Expression, usize)>> {
    let [(left, right)] = below.join.on() else { return Ok(None) };
    let (by, _) = &partial.group_expr().expr()[0];
    let Some(group) = below.left_column(by) else { return Ok(None) };
    let is_made_of_it = is_made_of(left, group, below.join.left());
    let (left_type, right_type) =
        (left.data_type(&below.join.left().schema())?, right.data_type(&below.join.right().schema())?);
    let is_held = left_type == right_type && is_key(&left_type);
    Ok((is_made_of_it && is_held).then(|| (left.clone(), right.clone(), group)))
}

/// Whether an expression over a plan's rows depends on one column of them alone.
fn is_made_of(expression: &Expression, column: usize, plan: &Arc<dyn ExecutionPlan>) -> bool {
    let used = collect_columns(expression);
    if used.iter().all(|used| used.index() == column) {
        return true;
    }
    let Some(projection) = plan.downcast_ref::<ProjectionExec>() else { return false };
    let below = |column: usize| &projection.expr()[column].expr;
    let Some(column) = below(column).downcast_ref::<Column>() else { return false };
    used.iter().all(|used| is_made_of(below(used.index()), column.index(), projection.input()))
}

/// Whether a type is one that [`super::index`] finds: texts, and integers of at most 64 bits with a sign.
fn is_key(data_type: &DataType) -> bool {
    let is_text = matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    is_text || (data_type.is_integer() && *data_type != DataType::UInt64)
}

fn aggregate(
    function: &Arc<AggregateFunctionExpr>,
    filter: Option<Expression>,
    below: &Below<'_>,
) -> Option<Aggregate> {
    let mut arguments = function.expressions();
    let kept = match (function.fun().name(), arguments.len()) {
        ("tally", 3) if filter.is_none() => Kept::Tally { arm: below.left_column(&arguments.remove(0))? },
        ("tally", _) => return None,
        ("count", 1) if !function.is_distinct() => Kept::Count,
        ("exact_sum", 1) if !function.is_distinct() => Kept::ExactSum,
        _ => {
            // Those that depend on an order find it among their arguments.
            arguments.extend(function.order_bys().iter().map(|by| by.expr.clone()));
            Kept::Apart(function.clone())
        }
    };
    Some(Aggregate { kept, arguments, filter })
}
