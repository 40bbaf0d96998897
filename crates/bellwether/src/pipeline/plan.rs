//! What a run needs to know before its first query: the definitions that the experiment refers to, as they are now.

use crate::domain::definition::{AssignmentSource, FactSource};
use crate::domain::error::Refusal;
use crate::domain::experiment::Experiment;
use crate::domain::id::{MetricId, WarehouseId};
use crate::domain::metric::{Metric, Operation};
use crate::domain::warehouse::{Engine, Warehouse};
use crate::registry::{Error, Registry};
use crate::store::{Tx, definitions, experiments};

pub struct Plan {
    pub assignments: AssignmentSource,
    pub engine: Engine,
    pub metrics: Vec<PlannedMetric>,
}

pub struct PlannedMetric {
    pub id: MetricId,
    pub name: String,
    pub is_primary: bool,
    /// Why it cannot be computed, found before any query.
    pub measure: Result<Measure, String>,
}

/// Where a metric's facts come from, and what becomes of them.
#[derive(Debug, Clone)]
pub struct Measure {
    pub sql: String,
    pub subject_column: String,
    pub timestamp_column: String,
    /// `None`: each row counts 1.
    pub value_column: Option<String>,
    pub operation: Operation,
}

impl Plan {
    pub async fn load(registry: &Registry, experiment: &Experiment) -> Result<Self, Error> {
        let id = experiment.id;
        let source_id = experiment.configuration.assignment_source_id;
        registry
            .db()
            .read(move |tx| {
                let missing = || {
                    Refusal::invalid(
                        "assignment_source_id",
                        "it is not set or its source is gone; set it, then run again",
                    )
                };
                let source = source_id
                    .map_or(Ok(None), |source| definitions::get::<AssignmentSource>(tx, source))?
                    .ok_or_else(missing)?;
                let warehouse = definitions::get::<Warehouse>(tx, source.body.warehouse_id)?
                    .ok_or_else(|| Refusal::not_found("warehouse", source.body.warehouse_id))?;
                let mut metrics: Vec<PlannedMetric> = Vec::new();
                for attached in experiments::attached_metrics(tx, id)? {
                    // A metric may be attached by itself and with groups; it is computed once.
                    if let Some(there) = metrics.iter_mut().find(|there| there.id == attached.metric_id) {
                        there.is_primary |= attached.is_primary;
                        continue;
                    }
                    let measure = measure(tx, attached.metric_id, &source.body, warehouse.id)?;
                    metrics.push(PlannedMetric {
                        id: attached.metric_id,
                        name: attached.name,
                        is_primary: attached.is_primary,
                        measure,
                    });
                }
                Ok(Self { assignments: source.body, engine: warehouse.body.engine, metrics })
            })
            .await
    }
}

fn measure(
    tx: &mut dyn Tx,
    id: MetricId,
    assignments: &AssignmentSource,
    warehouse: WarehouseId,
) -> Result<Result<Measure, String>, Error> {
    let Some(metric) = definitions::get::<Metric>(tx, id)? else { return Ok(Err("the metric is gone".to_owned())) };
    let Some(source) = definitions::source_of_fact(tx, metric.body.numerator.fact_id)? else {
        return Ok(Err("the metric's fact is gone; edit the metric".to_owned()));
    };
    Ok(measure_of(&metric.body, &source.body, assignments, warehouse))
}

fn measure_of(
    metric: &Metric,
    source: &FactSource,
    assignments: &AssignmentSource,
    warehouse: WarehouseId,
) -> Result<Measure, String> {
    if source.warehouse_id != warehouse {
        return Err(format!(
            "its fact source '{}' lies in another warehouse than the assignments; both must be in one",
            source.name
        ));
    }
    let column = source.entities.iter().find(|entity| entity.entity_id == assignments.entity_id);
    let column = column.ok_or_else(|| {
        format!("its fact source '{}' has no column for the entity of the assignments; add one", source.name)
    })?;
    let fact = source.facts.iter().find(|fact| fact.id == Some(metric.numerator.fact_id));
    let fact =
        fact.ok_or_else(|| format!("its fact source '{}' no longer has the fact; edit the metric", source.name))?;
    Ok(Measure {
        sql: source.sql.clone(),
        subject_column: column.column.clone(),
        timestamp_column: source.timestamp_column.clone(),
        value_column: fact.column.clone(),
        operation: metric.numerator.operation,
    })
}
