//! Writes a change: the experiment's row, the history, the event with its exact bytes, and a delivery for each endpoint
//! that wants it. There is no second path.

use std::sync::{Arc, PoisonError};

use bellwether_webhook::EventType;

use super::{Context, DeliveryHint, Error, Result};
use crate::domain::actor::Actor;
use crate::domain::change::Change;
use crate::domain::configuration::FieldChange;
use crate::domain::delivery::Origin;
use crate::domain::endpoint::Endpoint;
use crate::domain::error::{Conflict, Refusal};
use crate::domain::event::Event;
use crate::domain::experiment::Experiment;
use crate::domain::filter::{Before, Facts};
use crate::domain::id::{DeliveryId, EndpointId, EventId, ExperimentId};
use crate::domain::lifecycle;
use crate::domain::run::Run;
use crate::domain::topic::{EndpointEvent, Topic};
use crate::store::endpoints::{self, Subscription};
use crate::store::events::{self, Remembered};
use crate::store::experiments::Touched;
use crate::store::{StoreError, Tx, Write, changes, deliveries, execute_all, experiments, settings};

/// What is to be recorded of a change, besides the experiment as it is after it.
pub struct Action {
    pub event_type: EventType,
    /// A word for the history.
    pub name: &'static str,
    pub changes: Vec<FieldChange>,
    pub reason: String,
}

impl Action {
    pub fn new(event_type: EventType, name: &'static str, changes: Vec<FieldChange>) -> Self {
        Self { event_type, name, changes, reason: String::new() }
    }
}

/// Who wants which events, as of a generation of the endpoints.
#[derive(Default, Clone)]
pub struct Subscriptions {
    generation: String,
    all: Arc<[Subscription]>,
}

impl Context {
    /// Loads an experiment to change it; nobody else can until the transaction ends.
    pub fn lock(&self, tx: &mut dyn Tx, id: ExperimentId) -> Result<Experiment> {
        experiments::lock(tx, id)?.ok_or_else(|| Refusal::not_found("experiment", id).into())
    }

    /// The next revision of `experiment`, by `actor`: writes its row, then all that follows from the change.
    pub fn advance(
        &self,
        tx: &mut dyn Tx,
        experiment: &mut Experiment,
        actor: &Actor,
        action: Action,
        run: Option<&Run>,
    ) -> Result<()> {
        experiment.revision += 1;
        if run.is_none() {
            experiment.version = experiment.revision;
        }
        experiment.updated_at = self.setup.clock.now();
        let due_before = experiment.due_at;
        experiment.due_at = lifecycle::due_at(experiment, self.trusted_now());
        let is_edited = |field: &str| action.changes.iter().any(|change| change.field == field);
        let touched = Touched {
            key: is_edited("key"),
            due_at: experiment.due_at != due_before,
            standing: run.is_some(),
            status: action.event_type == EventType::StatusUpdated,
            words: ["key", "name", "owner", "team", "tags", "hypothesis"].into_iter().any(is_edited),
            rare: ["entity_id", "assignment_source_id", "schedule_id", "team_id", "is_archived", "entry_point"]
                .into_iter()
                .any(is_edited),
        };
        let update = experiments::updating(tx, experiment, touched)?;
        self.record_with(vec![update], tx, experiment, actor, action, run)
    }

    /// History, event and deliveries of the revision that `experiment` is at.
    pub fn record(
        &self,
        tx: &mut dyn Tx,
        experiment: &Experiment,
        actor: &Actor,
        action: Action,
        run: Option<&Run>,
    ) -> Result<()> {
        self.record_with(Vec::new(), tx, experiment, actor, action, run)
    }

    /// The same behind other writes.
    fn record_with(
        &self,
        mut writes: Vec<Write>,
        tx: &mut dyn Tx,
        experiment: &Experiment,
        actor: &Actor,
        action: Action,
        run: Option<&Run>,
    ) -> Result<()> {
        let ids = &self.setup.ids;
        let change = Change {
            revision: experiment.revision,
            action: action.name.to_owned(),
            actor: actor.clone(),
            occurred_at: experiment.updated_at,
            changes: action.changes,
            reason: action.reason,
        };
        let event = Event::of(EventId::of(ids.next()), action.event_type, experiment, &change, run);
        writes.push(changes::inserting(experiment.id, &change)?);
        let configuration = &experiment.configuration;
        // Whoever asks for a tag hears of the edit that removes it.
        let before = Before::of(&change.changes);
        let (tags, entity_id) = (configuration.tags.clone(), configuration.entity_id);
        let remembered = Remembered { tags, entity_id, before: before.clone() };
        writes.push(events::inserting_with(&event, &remembered)?);
        let facts = Facts {
            topic: event.topic,
            experiment_key: &experiment.configuration.key,
            tags: &experiment.configuration.tags,
            entity_id: experiment.configuration.entity_id,
            run: run.map(Run::facts),
        };
        let (tally, topic, run) = (self.tally.clone(), event.topic, run.map(|run| run.state));
        tx.after_commit(Box::new(move || tally.recorded(topic, run)));
        let facts = [facts, before.facts(facts)];
        let facts = if before.is_nothing() { &facts[..1] } else { &facts };
        self.owe(writes, tx, event, facts, None).map_err(|error| match error {
            Error::Store(error) => taken_key(error, experiment),
            refused => refused,
        })
    }

    /// Writes what is given, and a delivery of `event` for each endpoint that wants it by any of these facts, `about`
    /// excepted.
    fn owe(
        &self,
        mut writes: Vec<Write>,
        tx: &mut dyn Tx,
        event: Event,
        facts: &[Facts<'_>],
        about: Option<EndpointId>,
    ) -> Result<()> {
        let subscriptions = self.subscriptions(tx)?;
        let is_wanted = |it: &&Subscription| {
            Some(it.endpoint) != about && facts.iter().any(|facts| it.settings.unmet_by(facts).is_none())
        };
        let wanted = || subscriptions.all.iter().filter(is_wanted);
        let owed: Vec<_> = wanted().map(|it| (DeliveryId::of_event(event.id, it.lane), it.lane)).collect();
        let told = wanted().map(|it| (DeliveryId::of_event(event.id, it.lane), it.endpoint)).collect();
        writes.extend(deliveries::inserting(tx.dialect(), &event, Origin::Change, event.occurred_at, &owed));
        execute_all(tx, &writes)?;
        let (hints, is_numbered) = (self.hints.clone(), tx.dialect().numbers_events_in_transaction());
        tx.after_commit(Box::new(move || {
            hints.deliveries(DeliveryHint::Owed { event: Arc::new(event), deliveries: told });
            if is_numbered {
                hints.log_grew();
            }
        }));
        Ok(())
    }

    /// Tells the endpoints that ask for it what has become of another: an event that is of no experiment.
    pub fn tell_of_endpoint(
        &self,
        tx: &mut dyn Tx,
        endpoint_event: EndpointEvent,
        endpoint: &Endpoint,
        reason: &str,
    ) -> Result<()> {
        let topic = Topic::Endpoint(endpoint_event);
        let facts = Facts { topic, experiment_key: "", tags: &[], entity_id: None, run: None };
        let is_wanted =
            |other: &Subscription| other.endpoint != endpoint.id && other.settings.unmet_by(&facts).is_none();
        if !self.subscriptions(tx)?.all.iter().any(is_wanted) {
            return Ok(());
        }
        let number = settings::next_number(tx, settings::ENDPOINT_EVENTS)?;
        let id = EventId::of(self.setup.ids.next());
        let event = endpoint.event(id, endpoint_event, number, reason, self.setup.clock.now());
        let insert = events::inserting(&event);
        let tally = self.tally.clone();
        tx.after_commit(Box::new(move || tally.recorded(topic, None)));
        self.owe(vec![insert], tx, event, &[facts], Some(endpoint.id))
    }

    /// The copy in memory, if no endpoint has changed since it was made.
    fn subscriptions(&self, tx: &mut dyn Tx) -> Result<Subscriptions> {
        let generation = endpoints::generation(tx)?;
        {
            let held = self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner);
            if held.generation == generation && !generation.is_empty() {
                return Ok(held.clone());
            }
        }
        let fresh = Subscriptions { generation, all: endpoints::subscriptions(tx)?.into() };
        *self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner) = fresh.clone();
        Ok(fresh)
    }
}

/// The key is the only unique thing that an experiment's row can offend.
pub fn taken_key(error: StoreError, experiment: &Experiment) -> Error {
    match error {
        StoreError::Unique(_) => key_is_taken(&experiment.configuration.key),
        other => other.into(),
    }
}

pub fn key_is_taken(key: &str) -> Error {
    Refusal::conflict(Conflict::Taken, format!("key: another experiment has the key '{key}'; choose another")).into()
}
