//! What a run needs to know before its first query: the definitions that the experiment refers to, as they are now.

use crate::domain::aggregation::{Aggregation, Comparison};
use crate::domain::configuration::{EntryPoint, FieldChange, Variation};
use crate::domain::definition::{AssignmentSource, DesiredChange, FactSource};
use crate::domain::error::Refusal;
use crate::domain::experiment::Experiment;
use crate::domain::funnel::{ConversionWindow, Funnel};
use crate::domain::id::{FactSourceId, MetricId, WarehouseId};
use crate::domain::metric::{Display, Metric};
use crate::domain::percentile::Percentile;
use crate::domain::warehouse::{Engine, Warehouse};
use crate::registry::{Error, Registry};
use crate::store::definitions::Definition;
use crate::store::{Tx, changes, definitions, experiments};

pub struct Plan {
    pub assignments: AssignmentSource,
    pub engine: Engine,
    pub metrics: Vec<PlannedMetric>,
    /// Each fact source that a metric needs, once.
    pub sources: Vec<PlannedSource>,
    /// The source that subjects enter by, or why there is none.
    pub entry: Option<Result<PlannedSource, String>>,
    /// Whether the weights were edited while it ran.
    pub weights_changed: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PlannedMetric {
    pub id: MetricId,
    pub name: String,
    pub is_primary: bool,
    pub desired_change: DesiredChange,
    pub display: Display,
    pub minimum_detectable_effect: Option<f64>,
    pub is_guardrail: bool,
    pub guardrail_cutoff: Option<f64>,
    pub made: Made,
    /// One, or a numerator and a denominator, or a funnel's steps; or why it cannot be computed, found before any query.
    pub measures: Result<Vec<Measure>, String>,
}

/// What is made of a metric's measures.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Made {
    /// A mean of one value for each subject, or the ratio of two.
    #[default]
    Means,
    Percentile {
        level: f64,
    },
    /// The names of the steps, one for each measure.
    Funnel {
        steps: Vec<String>,
        window: Option<ConversionWindow>,
    },
}

/// An aggregation, and the columns that it is of.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// Its place among the plan's sources.
    pub source: usize,
    /// `None`: each row counts 1.
    pub value_column: Option<String>,
    pub filters: Vec<ColumnFilter>,
    pub aggregation: Aggregation,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnFilter {
    pub column: String,
    pub comparison: Comparison,
    pub values: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedSource {
    pub id: FactSourceId,
    pub name: String,
    pub sql: String,
    pub subject_column: String,
    pub timestamp_column: String,
}

impl Plan {
    pub async fn load(registry: &Registry, experiment: &Experiment) -> Result<Self, Error> {
        let (id, entry_point) = (experiment.id, experiment.configuration.entry_point);
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
                let assignments = source_id
                    .map_or(Ok(None), |source| definitions::get::<AssignmentSource>(tx, source))?
                    .ok_or_else(missing)?;
                let warehouse = definitions::get::<Warehouse>(tx, assignments.body.warehouse_id)?
                    .ok_or_else(|| Refusal::not_found("warehouse", assignments.body.warehouse_id))?;
                let mut planning =
                    Planning { assignments: assignments.body, warehouse: warehouse.id, sources: Vec::new() };
                let mut metrics: Vec<PlannedMetric> = Vec::new();
                let all = experiments::attached_metrics(tx, id)?;
                for attached in &all {
                    // Where it is attached by itself as well, that says how it is measured.
                    let own = all.iter().find(|it| it.metric_id == attached.metric_id && it.group_id.is_none());
                    let attached = own.unwrap_or(attached).clone();
                    // A metric may be attached by itself and with groups; it is computed once, as it is set first.
                    if let Some(there) = metrics.iter_mut().find(|there| there.id == attached.metric_id) {
                        there.is_primary |= attached.is_primary;
                        there.is_guardrail |= attached.settings.is_guardrail;
                        continue;
                    }
                    let metric = definitions::get::<Metric>(tx, attached.metric_id)?;
                    let metric = metric.map(|metric| attached.settings.applied_to(&metric.body));
                    let mut planned = PlannedMetric {
                        id: attached.metric_id,
                        name: attached.name,
                        is_primary: attached.is_primary,
                        desired_change: DesiredChange::default(),
                        display: Display::default(),
                        minimum_detectable_effect: None,
                        is_guardrail: attached.settings.is_guardrail,
                        guardrail_cutoff: None,
                        made: Made::default(),
                        measures: Err("the metric is gone".to_owned()),
                    };
                    if let Some(metric) = &metric {
                        planning.plan(tx, metric, &mut planned)?;
                    }
                    metrics.push(planned);
                }
                let entry = entry_point.map_or(Ok(None), |entry| planning.entry(tx, entry).map(Some))?;
                let edits = changes::variations_edited_since_start(tx, id)?;
                let weights_changed = edits.iter().any(changes_shares);
                let Planning { assignments, sources, .. } = planning;
                Ok(Self { assignments, engine: warehouse.body.engine, metrics, sources, entry, weights_changed })
            })
            .await
    }
}

impl Made {
    /// `facts` are the names of its facts; a step without a name has that of its fact.
    fn of(percentile: Option<&Percentile>, funnel: Option<&Funnel>, facts: Vec<String>) -> Self {
        match (percentile, funnel) {
            (Some(percentile), _) => Self::Percentile { level: percentile.level },
            (_, Some(funnel)) => {
                let named = funnel.steps.iter().zip(facts);
                let steps = named.map(|(step, fact)| step.name.clone().unwrap_or(fact)).collect();
                Self::Funnel { steps, window: funnel.conversion_window }
            }
            (None, None) => Self::Means,
        }
    }
}

struct Planning {
    assignments: AssignmentSource,
    warehouse: WarehouseId,
    sources: Vec<PlannedSource>,
}

impl Planning {
    fn plan(&mut self, tx: &mut dyn Tx, metric: &Metric, planned: &mut PlannedMetric) -> Result<(), Error> {
        planned.display = metric.display;
        planned.minimum_detectable_effect = metric.minimum_detectable_effect;
        planned.guardrail_cutoff = metric.guardrail_cutoff;
        let (mut measures, mut facts) = (Ok(Vec::new()), Vec::new());
        for (_, aggregation) in metric.aggregations() {
            let measure = match definitions::source_of_fact(tx, aggregation.fact_id)? {
                None => Err("the metric's fact is gone; edit the metric".to_owned()),
                Some(source) => {
                    let fact = source.body.facts.iter().find(|fact| fact.id == Some(aggregation.fact_id));
                    if metric.leading_fact() == Some(aggregation.fact_id) {
                        let usual = fact.map_or_else(DesiredChange::default, |fact| fact.desired_change);
                        planned.desired_change = metric.desired_change.unwrap_or(usual);
                    }
                    facts.push(fact.map_or_else(String::new, |fact| fact.name.clone()));
                    self.measure(&source, aggregation)
                }
            };
            measures = measures.and_then(|mut measures| {
                measures.push(measure?);
                Ok(measures)
            });
        }
        planned.measures = measures;
        planned.made = Made::of(metric.percentile.as_ref(), metric.funnel.as_ref(), facts);
        Ok(())
    }

    fn entry(&self, tx: &mut dyn Tx, entry: EntryPoint) -> Result<Result<PlannedSource, String>, Error> {
        let Some(source) = definitions::get::<FactSource>(tx, entry.fact_source_id)? else {
            return Ok(Err("its fact source is gone; set another".to_owned()));
        };
        Ok(self.subject_column(&source).map(|column| planned(&source, &column)))
    }

    /// The column of a source that has the assignments' subjects.
    fn subject_column(&self, source: &Definition<FactSource>) -> Result<String, String> {
        let body = &source.body;
        if body.warehouse_id != self.warehouse {
            return Err(format!(
                "its fact source '{}' lies in another warehouse than the assignments; both must be in one",
                body.name
            ));
        }
        let entity = self.assignments.entity_id;
        let column = body.entities.iter().find(|there| there.entity_id == entity);
        column.map(|column| column.column.clone()).ok_or_else(|| {
            format!("its fact source '{}' has no column for the entity of the assignments; add one", body.name)
        })
    }

    fn measure(&mut self, source: &Definition<FactSource>, aggregation: Aggregation) -> Result<Measure, String> {
        let body = &source.body;
        let subject_column = self.subject_column(source)?;
        let fact = body.facts.iter().find(|fact| fact.id == Some(aggregation.fact_id));
        let fact =
            fact.ok_or_else(|| format!("its fact source '{}' no longer has the fact; edit the metric", body.name))?;
        let filters = aggregation.filters.iter().map(|filter| {
            let property = body.properties.iter().find(|property| property.name == filter.property);
            let property = property.ok_or_else(|| {
                format!(
                    "its fact source '{}' no longer has the property '{}'; edit the metric",
                    body.name, filter.property
                )
            })?;
            let (column, values) = (property.column.clone(), filter.values.clone());
            Ok(ColumnFilter { column, comparison: filter.operation, values })
        });
        let filters = filters.collect::<Result<_, String>>()?;
        let source = self.place(source, &subject_column);
        Ok(Measure { source, value_column: fact.column.clone(), filters, aggregation })
    }

    fn place(&mut self, source: &Definition<FactSource>, subject_column: &str) -> usize {
        let place = self.sources.iter().position(|there| there.id == source.id);
        place.unwrap_or_else(|| {
            self.sources.push(planned(source, subject_column));
            self.sources.len() - 1
        })
    }
}

fn planned(source: &Definition<FactSource>, subject_column: &str) -> PlannedSource {
    PlannedSource {
        id: source.id,
        name: source.body.name.clone(),
        sql: source.body.sql.clone(),
        subject_column: subject_column.to_owned(),
        timestamp_column: source.body.timestamp_column.clone(),
    }
}

/// Whether an edit of the variations has changed which share of the subjects each gets.
fn changes_shares(edit: &FieldChange) -> bool {
    let shares = |variations: &serde_json::Value| {
        let variations: Vec<Variation> = serde_json::from_value(variations.clone()).unwrap_or_default();
        let active: Vec<_> = variations.into_iter().filter(|variation| variation.is_active).collect();
        let whole: f64 = active.iter().map(|variation| variation.weight).sum();
        let mut shares: Vec<_> = active.into_iter().map(|it| (it.key, it.weight / whole)).collect();
        shares.sort_by(|a, b| a.0.cmp(&b.0));
        shares
    };
    let (before, after) = (shares(&edit.from), shares(&edit.to));
    let is_same =
        |((key, share), (other, later)): (&(String, f64), &(String, f64))| key == other && (share - later).abs() < 1e-9;
    before.len() != after.len() || !before.iter().zip(&after).all(is_same)
}
