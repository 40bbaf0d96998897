//! The operator behind a run's tables of values: a join and the aggregation by its key in one, with one hash table.
//!
//! `SELECT a.subject, tally(…), … FROM subjects AS a JOIN facts AS f ON … GROUP BY a.subject` has one row of `subjects` for
//! each group. So the place of a subject's row is its group, and what is counted and added for it lies side by side in one
//! row of numbers: a fact costs one search and one or two lines of memory, where a join with an aggregation behind it copies
//! what it joins, searches twice, and goes to one array for each aggregate.
//!
//! [`recognition`] puts it into a plan, and only where `tally` is asked for, so that users' own SQL runs as the engine plans
//! it. It holds all subjects in memory. Where there is no room, or one has two rows, it [declines](is_declined), and the
//! query is run again without it.

mod accumulation;
mod execution;
mod index;
mod inputs;
mod recognition;
mod states;

#[cfg(test)]
mod tests;

use std::fmt::{Display, Formatter};
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties, InputDistributionRequirements,
    Partitioning, PlanProperties,
};
use inputs::Inputs;

pub use recognition::GroupJoins;

type Expression = Arc<dyn PhysicalExpr>;

/// Whether the operator has given up, so that the query should be run without it.
pub fn is_declined(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::External(external) if external.is::<Declined>())
}

/// Why the operator does not do what it was planned for.
#[derive(Debug)]
enum Declined {
    Memory,
    TwoRows,
    TooMany,
}

impl Display for Declined {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Declined::Memory => "there is no room for all groups at once",
            Declined::TwoRows => "a key stands in two rows",
            Declined::TooMany => "there are more rows than 32 bits count",
        })
    }
}

impl std::error::Error for Declined {}

impl From<Declined> for DataFusionError {
    fn from(declined: Declined) -> Self {
        DataFusionError::External(Box::new(declined))
    }
}

/// An aggregate, and how it is kept.
#[derive(Debug)]
struct Aggregate {
    kept: Kept,
    /// Over what [`Inputs`] make of joined rows, as is the filter.
    arguments: Vec<Expression>,
    filter: Option<Expression>,
}

#[derive(Debug)]
enum Kept {
    /// `tally`: the column of the groups' side that holds the arm, and three counts.
    Tally {
        arm: usize,
    },
    Count,
    ExactSum,
    /// Any other, as the engine does it.
    Apart(Arc<AggregateFunctionExpr>),
}

/// What is done with the rows of both sides.
#[derive(Debug)]
struct Work {
    groups_key: Expression,
    facts_key: Expression,
    /// The column of the groups' side by which is grouped.
    group: usize,
    inputs: Inputs,
    aggregates: Vec<Aggregate>,
    /// The group, and then the aggregates.
    schema: SchemaRef,
}

#[derive(Debug)]
struct GroupJoinExec {
    groups: Arc<dyn ExecutionPlan>,
    facts: Arc<dyn ExecutionPlan>,
    work: Arc<Work>,
    properties: Arc<PlanProperties>,
}

impl GroupJoinExec {
    fn of(groups: Arc<dyn ExecutionPlan>, facts: Arc<dyn ExecutionPlan>, work: Arc<Work>) -> Self {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(work.schema.clone()),
            Partitioning::UnknownPartitioning(facts.output_partitioning().partition_count()),
            EmissionType::Final,
            Boundedness::Bounded,
        ));
        GroupJoinExec { groups, facts, work, properties }
    }
}

impl DisplayAs for GroupJoinExec {
    fn fmt_as(&self, _type: DisplayFormatType, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "GroupJoinExec: on={} = {}", self.work.groups_key, self.work.facts_key)
    }
}

impl ExecutionPlan for GroupJoinExec {
    fn name(&self) -> &str {
        "GroupJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.groups, &self.facts]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let keys = [&self.work.groups_key, &self.work.facts_key];
        InputDistributionRequirements::co_partitioned(
            keys.map(|key| Distribution::KeyPartitioned(vec![key.clone()])).to_vec(),
        )
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Expression) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for key in [&self.work.groups_key, &self.work.facts_key] {
            if visit(key)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let [groups, facts] = <[_; 2]>::try_from(children)
            .map_err(|those| DataFusionError::Internal(format!("{} sides of a group join", those.len())))?;
        Ok(Arc::new(GroupJoinExec::of(groups, facts, self.work.clone())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let groups = self.groups.execute(partition, context.clone())?;
        let facts = self.facts.execute(partition, context.clone())?;
        let room = MemoryConsumer::new("GroupJoin").register(context.memory_pool());
        let batch_rows = context.session_config().batch_size();
        Ok(execution::stream(self.work.clone(), groups, facts, room, batch_rows))
    }
}
