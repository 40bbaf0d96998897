//! What is put in place of parts of a query once its types are known: casts of doubles to text, and arithmetic on integers.

use super::checked::{Checked, Operation};
use super::printing::DoubleText;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{BinaryExpr, Cast, TryCast};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, ScalarUDF};
use datafusion::optimizer::AnalyzerRule;
use std::sync::Arc;

/// Runs after the engine has found all types, and has put in the casts that they need.
#[derive(Debug)]
pub struct Rewriting {
    double_text: Arc<ScalarUDF>,
    checked: Vec<(Operation, Arc<ScalarUDF>)>,
}

impl Default for Rewriting {
    fn default() -> Self {
        let checked = |operation| (operation, Arc::new(ScalarUDF::from(Checked::of(operation))));
        Rewriting {
            double_text: Arc::new(ScalarUDF::from(DoubleText::default())),
            checked: Operation::ALL.into_iter().map(checked).collect(),
        }
    }
}

impl AnalyzerRule for Rewriting {
    fn name(&self) -> &str {
        "bellwether_rewriting"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| self.rewrite_plan(plan)).map(|rewritten| rewritten.data)
    }
}

impl Rewriting {
    fn rewrite_plan(&self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let mut schema = merge_schema(&plan.inputs());
        if let LogicalPlan::TableScan(scan) = &plan {
            schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
        }
        // The names of columns are those of what was written.
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            // A grouping set cannot be given a name, so what is in it is left to the engine.
            if matches!(expr, Expr::GroupingSet(_)) {
                return Ok(Transformed::no(expr));
            }
            let name = names.save(&expr);
            let rewritten = expr.transform_up(|expr| self.rewrite(expr, &schema))?;
            Ok(rewritten.update_data(|expr| name.restore(expr)))
        })?
        .map_data(LogicalPlan::recompute_schema)
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        Ok(match &expr {
            Expr::Cast(Cast { expr: inner, field }) | Expr::TryCast(TryCast { expr: inner, field })
                if is_text(field.data_type()) && is_double(inner, schema) =>
            {
                let text = self.double_text.call(vec![inner.as_ref().clone()]);
                let is_view = *field.data_type() == DataType::Utf8View;
                Transformed::yes(if is_view {
                    text
                } else {
                    datafusion::logical_expr::cast(text, field.data_type().clone())
                })
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match self.checked(Operation::of(*op)) {
                Some(checked) if is_integer(left, schema) && is_integer(right, schema) => {
                    Transformed::yes(checked.call(vec![left.as_ref().clone(), right.as_ref().clone()]))
                }
                _ => Transformed::no(expr),
            },
            Expr::Negative(inner) => match self.checked(Some(Operation::Negate)) {
                Some(checked) if is_integer(inner, schema) => {
                    Transformed::yes(checked.call(vec![inner.as_ref().clone()]))
                }
                _ => Transformed::no(expr),
            },
            _ => Transformed::no(expr),
        })
    }

    fn checked(&self, operation: Option<Operation>) -> Option<&Arc<ScalarUDF>> {
        self.checked.iter().find(|(known, _)| Some(*known) == operation).map(|(_, checked)| checked)
    }
}

/// An expression whose type cannot be told here, as one of an outer query's columns, stays as it is.
fn is_double(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.get_type(schema), Ok(DataType::Float64 | DataType::Float32))
}

fn is_integer(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|data_type| data_type.is_integer())
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}
