//! Commands on an experiment's metrics and collections. Attaching and detaching are `metric.updated`; which metric is
//! primary is configuration.

use bellwether_webhook::EventType;
use serde_json::json;

use super::record::Action;
use super::{Effect, Registry, Result};
use crate::domain::actor::Actor;
use crate::domain::collection::Collection;
use crate::domain::configuration::FieldChange;
use crate::domain::error::{Conflict, Refusal};
use crate::domain::experiment::{AttachedMetric, Experiment};
use crate::domain::id::{CollectionId, ExperimentId, GroupId, MetricId};
use crate::domain::metric::Metric;
use crate::store::experiments::{self, Group};
use crate::store::{Tx, definitions};

/// The most metrics on one experiment, those of collections included.
const MOST_ATTACHED: usize = 500;

impl Registry {
    /// Attaches a metric by itself. One that is attached by itself already stays as it is.
    pub async fn attach_metric(
        &self,
        actor: Actor,
        id: ExperimentId,
        metric_id: MetricId,
        is_primary: bool,
        if_match: Option<String>,
    ) -> Result<Effect<Experiment>> {
        self.on_experiment(id, if_match, move |context, tx, mut experiment| {
            let attached = experiments::attached_metrics(tx, id)?;
            if let Some(there) = attached.iter().find(|there| there.metric_id == metric_id && there.group_id.is_none())
            {
                if there.is_primary == is_primary {
                    return Ok(Effect { value: experiment, is_changed: false });
                }
                let detail = format!("{metric_id} is attached already; PATCH it to change is_primary");
                return Err(Refusal::conflict(Conflict::Taken, detail).into());
            }
            let name = check_metric(tx, &experiment, metric_id, "metric_id")?;
            check_count(attached.len() + 1)?;
            if is_primary {
                experiments::set_primary(tx, id, None)?;
            }
            experiments::attach(tx, id, metric_id, None, is_primary)?;
            let to = json!({"metric_id": metric_id, "name": name, "is_primary": is_primary});
            let changes = vec![FieldChange { field: "metrics".into(), from: json!(null), to }];
            context.advance(
                tx,
                &mut experiment,
                &actor,
                Action::new(EventType::MetricUpdated, "metric_added", changes),
                None,
            )?;
            Ok(Effect { value: experiment, is_changed: true })
        })
        .await
    }

    pub async fn detach_metric(
        &self,
        actor: Actor,
        id: ExperimentId,
        metric_id: MetricId,
        if_match: Option<String>,
    ) -> Result<Experiment> {
        self.on_experiment(id, if_match, move |context, tx, mut experiment| {
            let there = find_attached(tx, id, metric_id)?;
            if let Some(group) = there.group_id {
                let detail = format!("{metric_id} came with the collection's copy {group}; remove that group, or edit the collection and attach it again");
                return Err(Refusal::conflict(Conflict::State, detail).into());
            }
            experiments::detach(tx, id, metric_id, None)?;
            let changes = vec![FieldChange { field: "metrics".into(), from: json!(there), to: json!(null) }];
            context.advance(tx, &mut experiment, &actor, Action::new(EventType::MetricUpdated, "metric_removed", changes), None)?;
            Ok(experiment)
        })
        .await
    }

    /// Makes a metric the primary one, or not. An experiment has at most one.
    pub async fn set_primary_metric(
        &self,
        actor: Actor,
        id: ExperimentId,
        metric_id: MetricId,
        is_primary: bool,
        if_match: Option<String>,
    ) -> Result<Effect<Experiment>> {
        self.on_experiment(id, if_match, move |context, tx, mut experiment| {
            let there = find_attached(tx, id, metric_id)?;
            if there.is_primary == is_primary {
                return Ok(Effect { value: experiment, is_changed: false });
            }
            let before = experiments::attached_metrics(tx, id)?.into_iter().find(|metric| metric.is_primary);
            experiments::set_primary(tx, id, is_primary.then_some(&there))?;
            let changes = vec![FieldChange {
                field: "primary_metric_id".into(),
                from: json!(before.map(|metric| metric.metric_id)),
                to: json!(is_primary.then_some(metric_id)),
            }];
            context.advance(
                tx,
                &mut experiment,
                &actor,
                Action::new(EventType::ConfigurationUpdated, "primary_metric_set", changes),
                None,
            )?;
            Ok(Effect { value: experiment, is_changed: true })
        })
        .await
    }

    /// Copies a collection's metrics into the experiment as a group: one action, one event.
    pub async fn attach_collection(
        &self,
        actor: Actor,
        id: ExperimentId,
        collection_id: CollectionId,
        if_match: Option<String>,
    ) -> Result<Effect<(Experiment, Group)>> {
        self.on_experiment(id, if_match, move |context, tx, mut experiment| {
            if let Some(group) = experiments::groups(tx, id)?.into_iter().find(|group| group.collection_id == collection_id) {
                return Ok(Effect { value: (experiment, group), is_changed: false });
            }
            let collection = definitions::get::<Collection>(tx, collection_id)?
                .ok_or_else(|| Refusal::invalid("collection_id", format!("there is no collection '{collection_id}'; see /api/v1/collections")))?;
            check_count(experiments::attached_metrics(tx, id)?.len() + collection.body.metric_ids.len())?;
            let group = Group { id: GroupId::of(context.setup.ids.next()), collection_id, name: collection.body.name.clone() };
            experiments::insert_group(tx, id, &group)?;
            for metric_id in &collection.body.metric_ids {
                check_metric(tx, &experiment, *metric_id, "collection_id")?;
                experiments::attach(tx, id, *metric_id, Some(group.id), false)?;
            }
            let to = json!({"group_id": group.id, "collection_id": collection_id, "name": group.name, "metric_ids": collection.body.metric_ids});
            let changes = vec![FieldChange { field: "collections".into(), from: json!(null), to }];
            context.advance(tx, &mut experiment, &actor, Action::new(EventType::MetricUpdated, "collection_added", changes), None)?;
            Ok(Effect { value: (experiment, group), is_changed: true })
        })
        .await
    }

    pub async fn detach_group(
        &self,
        actor: Actor,
        id: ExperimentId,
        group_id: GroupId,
        if_match: Option<String>,
    ) -> Result<Experiment> {
        self.on_experiment(id, if_match, move |context, tx, mut experiment| {
            let group = experiments::groups(tx, id)?.into_iter().find(|group| group.id == group_id);
            let group = group.ok_or_else(|| Refusal::not_found("group on this experiment", group_id))?;
            experiments::delete_group(tx, id, group_id)?;
            let changes = vec![FieldChange { field: "collections".into(), from: json!(group), to: json!(null) }];
            context.advance(
                tx,
                &mut experiment,
                &actor,
                Action::new(EventType::MetricUpdated, "collection_removed", changes),
                None,
            )?;
            Ok(experiment)
        })
        .await
    }
}

/// The metric on this experiment, its own attachment before one that came with a group.
fn find_attached(tx: &mut dyn Tx, id: ExperimentId, metric_id: MetricId) -> Result<AttachedMetric> {
    let mut there: Vec<_> =
        experiments::attached_metrics(tx, id)?.into_iter().filter(|metric| metric.metric_id == metric_id).collect();
    there.sort_by_key(|metric| metric.group_id.is_some());
    there.into_iter().next().ok_or_else(|| Refusal::not_found("metric on this experiment", metric_id).into())
}

/// The metric must be there and measure the experiment's entity. Gives its name.
fn check_metric(tx: &mut dyn Tx, experiment: &Experiment, metric_id: MetricId, field: &'static str) -> Result<String> {
    let metric = definitions::get::<Metric>(tx, metric_id)?
        .ok_or_else(|| Refusal::invalid(field, format!("there is no metric '{metric_id}'; see /api/v1/metrics")))?;
    match experiment.configuration.entity_id {
        Some(entity) if entity != metric.body.entity_id => Err(Refusal::invalid(
            field,
            format!(
                "the metric '{}' measures the entity {}, but the experiment's is {entity}",
                metric.body.name, metric.body.entity_id
            ),
        )
        .into()),
        _ => Ok(metric.body.name),
    }
}

fn check_count(count: usize) -> Result<()> {
    if count <= MOST_ATTACHED {
        return Ok(());
    }
    Err(Refusal::conflict(
        Conflict::State,
        format!("the experiment would have {count} metrics; at most {MOST_ATTACHED} are allowed"),
    )
    .into())
}
