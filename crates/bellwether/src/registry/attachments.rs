//! Commands on an experiment's metrics and collections. Attaching and detaching are `metric.updated`; which metric is
//! primary is configuration.

use bellwether_webhook::EventType;
use serde_json::{Map, Value, json};

use super::edit::overlay;
use super::record::Action;
use super::{Context, Effect, Registry, Result};
use crate::domain::actor::Actor;
use crate::domain::collection::Collection;
use crate::domain::configuration::FieldChange;
use crate::domain::error::{Conflict, Refusal, Validate};
use crate::domain::experiment::{AttachedMetric, Attachment, Experiment, GivenMetric};
use crate::domain::id::{CollectionId, ExperimentId, GroupId, MetricId};
use crate::domain::metric::{Metric, MetricSettings};
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
        given: GivenMetric,
        if_match: Option<String>,
    ) -> Result<Effect<Experiment>> {
        given.attachment().settings().validate()?;
        self.on_experiment(id, if_match, move |context, tx, mut experiment| {
            let metric_id = given.metric_id;
            let attached = experiments::attached_metrics(tx, id)?;
            if let Some(there) = attached.iter().find(|there| there.metric_id == metric_id && there.group_id.is_none())
            {
                if Attachment::from(there) == given.attachment() {
                    return Ok(Effect { value: experiment, is_changed: false });
                }
                let detail = format!("{metric_id} is attached already; edit what is set on it instead");
                return Err(Refusal::conflict(Conflict::Taken, detail).into());
            }
            check_count(attached.len() + 1)?;
            let change = attach(tx, &experiment, &given, "")?;
            let action = Action::new(EventType::MetricUpdated, "metric_added", vec![change]);
            context.advance(tx, &mut experiment, &actor, action, None)?;
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

    /// Edits what is set on an attached metric: whether it is the primary one, of which an experiment has at most one, and
    /// what it measures otherwise than the metric says. All of it is configuration: one edit, one event.
    pub async fn edit_attachment(
        &self,
        actor: Actor,
        id: ExperimentId,
        metric_id: MetricId,
        edit: Map<String, Value>,
        if_match: Option<String>,
    ) -> Result<Effect<Experiment>> {
        self.on_experiment(id, if_match, move |context, tx, mut experiment| {
            let there = find_attached(tx, id, metric_id)?;
            let before = Attachment::from(&there);
            let after: Attachment = overlay(&before, edit.clone())?;
            after.settings().validate()?;
            check_settings(tx, metric_id, &after.settings(), "")?;
            let mut changes = Vec::new();
            if after.is_primary != before.is_primary {
                let primary = experiments::attached_metrics(tx, id)?.into_iter().find(|metric| metric.is_primary);
                experiments::set_primary(tx, id, after.is_primary.then_some(&there))?;
                let from = json!(primary.map(|metric| metric.metric_id));
                let to = json!(after.is_primary.then_some(metric_id));
                changes.push(FieldChange { field: "primary_metric_id".into(), from, to });
            }
            if after.settings() != before.settings() {
                experiments::set_settings(tx, id, &there, &after.settings())?;
                changes.extend(settings_changes(&there, &before.settings(), &after.settings()));
            }
            if changes.is_empty() {
                return Ok(Effect { value: experiment, is_changed: false });
            }
            let action = Action::new(EventType::ConfigurationUpdated, "attached_metric_edited", changes);
            context.advance(tx, &mut experiment, &actor, action, None)?;
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
                experiments::attach(tx, id, *metric_id, Some(group.id), false, &MetricSettings::default())?;
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

impl Context {
    /// Attaches what is given, and the guardrails of the experiment's entity where that has just been set, all as one event.
    pub fn attach_all(
        &self,
        tx: &mut dyn Tx,
        experiment: &mut Experiment,
        actor: &Actor,
        given: &[GivenMetric],
        is_entity_set: bool,
    ) -> Result<()> {
        if given.is_empty() && !is_entity_set {
            return Ok(()); // As with most edits: nothing is looked up.
        }
        let attached = experiments::attached_metrics(tx, experiment.id)?;
        let mut changes = Vec::new();
        for (i, metric) in given.iter().enumerate() {
            if given[..i].iter().any(|earlier| earlier.metric_id == metric.metric_id) {
                let reason = format!("'{}' stands twice; a metric is attached once", metric.metric_id);
                return Err(Refusal::invalid(format!("metrics[{i}].metric_id"), reason).into());
            }
            if metric.attachment().is_primary && given[..i].iter().any(|earlier| earlier.attachment().is_primary) {
                let reason = "an earlier one is the primary metric already; an experiment has one";
                return Err(Refusal::invalid(format!("metrics[{i}].is_primary"), reason).into());
            }
            changes.push(attach(tx, experiment, metric, &format!("metrics[{i}]."))?);
        }
        let entity = experiment.configuration.entity_id.filter(|_| is_entity_set);
        for guardrail in entity.map_or_else(|| Ok(Vec::new()), |entity| definitions::guardrails(tx, entity))? {
            let is_there = given.iter().any(|metric| metric.metric_id == guardrail.id)
                || attached.iter().any(|metric| metric.metric_id == guardrail.id);
            if !is_there {
                changes.push(attach(tx, experiment, &GivenMetric::guardrail(guardrail.id), "")?);
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        check_count(attached.len() + changes.len())?;
        self.advance(tx, experiment, actor, Action::new(EventType::MetricUpdated, "metrics_added", changes), None)
    }
}

/// Attaches a metric by itself. `path` is where the fields of it stand in the request.
fn attach(tx: &mut dyn Tx, experiment: &Experiment, given: &GivenMetric, path: &str) -> Result<FieldChange> {
    let (id, metric_id, attachment) = (experiment.id, given.metric_id, given.attachment());
    let settings = attachment.settings();
    settings.validate().map_err(|refusal| refusal.below(path))?;
    let name = check_metric(tx, experiment, metric_id, &format!("{path}metric_id"))?;
    check_settings(tx, metric_id, &settings, path)?;
    if attachment.is_primary {
        experiments::set_primary(tx, id, None)?;
    }
    experiments::attach(tx, id, metric_id, None, attachment.is_primary, &settings)?;
    let mut to = json!({"metric_id": metric_id, "name": name, "is_primary": attachment.is_primary});
    if settings != MetricSettings::default() {
        to["settings"] = json!(settings);
    }
    Ok(FieldChange { field: "metrics".into(), from: json!(null), to })
}

/// What differs, each under the metric's name and the field: like `metrics.met_….timeframe`.
fn settings_changes(attached: &AttachedMetric, before: &MetricSettings, after: &MetricSettings) -> Vec<FieldChange> {
    let fields = |of: &MetricSettings| serde_json::to_value(of).unwrap_or_default();
    let (before, after) = (fields(before), fields(after));
    let all =
        ["is_guardrail", "guardrail_cutoff", "timeframe", "winsorization", "minimum_detectable_effect"].into_iter();
    all.filter(|field| before[*field] != after[*field])
        .map(|field| FieldChange {
            field: format!("metrics.{}.{field}", attached.metric_id),
            from: before[field].clone(),
            to: after[field].clone(),
        })
        .collect()
}

/// Whether the metric can be measured so.
fn check_settings(tx: &mut dyn Tx, metric_id: MetricId, settings: &MetricSettings, path: &str) -> Result<()> {
    let Some(metric) = definitions::get::<Metric>(tx, metric_id)? else { return Ok(()) };
    let can_be_winsorized = metric.body.aggregations().any(|(_, aggregation)| aggregation.operation.is_amount());
    if settings.winsorization.is_some() && !can_be_winsorized {
        let what = match &metric.body.numerator {
            Some(numerator) => format!("the metric's operation, '{}'", numerator.operation.as_str()),
            None => format!("the metric's kind, '{}'", metric.body.kind.as_str()),
        };
        let reason = format!("it was given, but {what}, makes no amount of each subject: leave it out");
        return Err(Refusal::invalid(format!("{path}winsorization"), reason).into());
    }
    Ok(())
}

/// The metric on this experiment, its own attachment before one that came with a group.
fn find_attached(tx: &mut dyn Tx, id: ExperimentId, metric_id: MetricId) -> Result<AttachedMetric> {
    let mut there: Vec<_> =
        experiments::attached_metrics(tx, id)?.into_iter().filter(|metric| metric.metric_id == metric_id).collect();
    there.sort_by_key(|metric| metric.group_id.is_some());
    there.into_iter().next().ok_or_else(|| Refusal::not_found("metric on this experiment", metric_id).into())
}

/// The metric must be there and measure the experiment's entity. Gives its name.
fn check_metric(tx: &mut dyn Tx, experiment: &Experiment, metric_id: MetricId, field: &str) -> Result<String> {
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
