//! What a fact source refers to, what its facts and properties are known by, and what others need of it.

use super::Result;
use super::defining::{Completion, Defined, refuse_in_use, require};
use crate::domain::definition::{Entity, Fact, FactSource};
use crate::domain::error::FieldErrors;
use crate::domain::id::{EntityId, FactId};
use crate::domain::managed::ManagedBy;
use crate::domain::metric::Metric;
use crate::domain::warehouse::Warehouse;
use crate::store::definitions::{self, Definition};
use crate::store::{Tx, settings};

impl Defined for FactSource {
    const KIND: &'static str = "fact source";

    fn managed_by(&self) -> Option<&ManagedBy> {
        self.managed_by.as_ref()
    }

    fn check_needed(&self, tx: &mut dyn Tx, before: &Definition<Self>) -> Result<()> {
        let dropped = Dropped::between(&before.body, self);
        if dropped.is_nothing() {
            return Ok(());
        }
        let metrics = definitions::metrics_of_source(tx, before.id)?;
        let metrics: Vec<_> = metrics.into_iter().map(|metric| metric.body).collect();
        dropped.check(&before.body, &metrics)
    }

    /// A fact keeps its id by its id or its name; another source's id cannot be taken.
    fn complete(&mut self, completion: &Completion<'_>, tx: &mut dyn Tx, before: Option<&Self>) -> Result<()> {
        let mut errors = FieldErrors::default();
        require::<Warehouse>(tx, &mut errors, "warehouse_id", self.warehouse_id)?;
        for (i, entity) in self.entities.iter().enumerate() {
            require::<Entity>(tx, &mut errors, &format!("entities[{i}].entity_id"), entity.entity_id)?;
        }
        let known = before.map_or(&[][..], |before| &before.facts);
        for i in 0..self.facts.len() {
            let named = known.iter().find(|fact| fact.name == self.facts[i].name).and_then(|fact| fact.id);
            match self.facts[i].id {
                None => self.facts[i].id = named.or_else(|| Some(FactId::of(completion.context.setup.ids.next()))),
                Some(id) => {
                    errors.check(known.iter().any(|fact| fact.id == Some(id)), &format!("facts[{i}].id"), || {
                        format!("{id} is not a fact of this source; leave the id out for a new fact")
                    })
                }
            }
            let twice = self.facts[..i].iter().any(|fact| fact.id == self.facts[i].id);
            errors.check(!twice, &format!("facts[{i}].id"), || "it stands twice".to_owned());
            let kept = known.iter().find(|fact| fact.id == self.facts[i].id).and_then(|fact| fact.number);
            check_number(&mut errors, &format!("facts[{i}].number"), self.facts[i].number, kept);
            self.facts[i].number = kept;
        }
        let known = before.map_or(&[][..], |before| &before.properties);
        for (i, property) in self.properties.iter_mut().enumerate() {
            let kept = known.iter().find(|there| there.name == property.name).and_then(|there| there.number);
            check_number(&mut errors, &format!("properties[{i}].number"), property.number, kept);
            property.number = kept;
        }
        errors.finish()?;
        self.number(tx)
    }
}

/// What an edit takes out of a source.
struct Dropped<'a> {
    facts: Vec<&'a Fact>,
    properties: Vec<&'a str>,
    entities: Vec<EntityId>,
}

impl<'a> Dropped<'a> {
    fn between(before: &'a FactSource, after: &FactSource) -> Self {
        // A fact that is given without its id is known by its name.
        let is_same = |old: &Fact, it: &Fact| it.id == old.id || it.id.is_none() && it.name == old.name;
        let has_fact = |old: &&Fact| after.facts.iter().any(|it| is_same(old, it));
        let properties = before.properties.iter().map(|property| property.name.as_str());
        let entities = before.entities.iter().map(|entity| entity.entity_id);
        Self {
            facts: before.facts.iter().filter(|old| !has_fact(old)).collect(),
            properties: properties.filter(|name| !after.properties.iter().any(|it| it.name == *name)).collect(),
            entities: entities.filter(|id| !after.entities.iter().any(|it| it.entity_id == *id)).collect(),
        }
    }

    fn is_nothing(&self) -> bool {
        self.facts.is_empty() && self.properties.is_empty() && self.entities.is_empty()
    }

    /// Refuses to drop what these metrics of the source go by.
    fn check(&self, source: &FactSource, metrics: &[Metric]) -> Result<()> {
        for fact in &self.facts {
            let is_of_it = |metric: &&Metric| metric.aggregations().any(|(_, it)| Some(it.fact_id) == fact.id);
            let users = metrics.iter().filter(is_of_it).map(|metric| ("metric".to_owned(), metric.name.clone()));
            let users: Vec<_> = users.collect();
            if !users.is_empty() {
                return Err(refuse_in_use("fact", &fact.name, &users));
            }
        }
        let mut errors = FieldErrors::default();
        for metric in metrics {
            errors.check(!self.entities.contains(&metric.entity_id), "entities", || {
                format!(
                    "{} is left out, and the metric '{}' is of it; change that first",
                    metric.entity_id, metric.name
                )
            });
            for property in &self.properties {
                errors.check(!filters_by(metric, source, property), "properties", || {
                    format!(
                        "'{property}' is left out, and the metric '{}' filters by it; change that first",
                        metric.name
                    )
                });
            }
        }
        Ok(errors.finish()?)
    }
}

/// Whether the metric filters facts of this source by the property; those of another may have one of the same name.
fn filters_by(metric: &Metric, source: &FactSource, property: &str) -> bool {
    let is_of_it = |fact_id| source.facts.iter().any(|fact| fact.id == Some(fact_id));
    let mut aggregations = metric.aggregations().filter(|(_, aggregation)| is_of_it(aggregation.fact_id));
    aggregations.any(|(_, aggregation)| aggregation.filters.iter().any(|filter| filter.property == property))
}

impl FactSource {
    /// Numbers the facts and properties that have none.
    pub(super) fn number(&mut self, tx: &mut dyn Tx) -> Result<()> {
        for fact in self.facts.iter_mut().filter(|fact| fact.number.is_none()) {
            fact.number = Some(settings::next_number(tx, settings::FACTS)?);
        }
        for property in self.properties.iter_mut().filter(|property| property.number.is_none()) {
            property.number = Some(settings::next_number(tx, settings::FACT_PROPERTIES)?);
        }
        Ok(())
    }
}

/// A number is Bellwether's to give.
fn check_number(errors: &mut FieldErrors, field: &str, given: Option<i64>, kept: Option<i64>) {
    errors.check(given.is_none() || given == kept, field, || match kept {
        Some(kept) => format!("{} was given; it is {kept} and stays so: leave it out", given.unwrap_or_default()),
        None => format!("{} was given; it gets one by itself: leave it out", given.unwrap_or_default()),
    });
}
