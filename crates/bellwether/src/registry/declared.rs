//! What a metric sync declares, written: sources, then metrics; and what it declares no more, found and checked. Everything that
//! is wrong is told at once, by the names that the files give, and then nothing is written.

use std::collections::{HashMap, HashSet};

use super::metric_sync::reason;
use super::{Context, Defined, Error, Result};
use crate::domain::actor::Actor;
use crate::domain::collection::Collection;
use crate::domain::definition::FactSource;
use crate::domain::error::{FieldErrors, Refusal};
use crate::domain::id::{FactId, FactSourceId, MetricId};
use crate::domain::metric::Metric;
use crate::domain::metric_sync::{Declared, Remaining};
use crate::store::Tx;
use crate::store::definitions::{self, Definition};

/// The work on one sync's declaration.
struct Applying<'a> {
    context: &'a Context,
    actor: &'a Actor,
    declared: &'a Declared,
    reason: String,
    errors: FieldErrors,
    /// What facts are called in what is declared, and what they are.
    facts: HashMap<FactId, FactId>,
    remaining: Remaining,
}

impl Context {
    /// Writes what is declared, and tells what is to be removed then.
    pub(super) fn apply(&self, tx: &mut dyn Tx, actor: &Actor, declared: &Declared) -> Result<Remaining> {
        let mut applying = Applying {
            context: self,
            actor,
            declared,
            reason: reason(&declared.tag),
            errors: FieldErrors::default(),
            facts: HashMap::new(),
            remaining: Remaining::default(),
        };
        for source in &declared.sources {
            applying.source(tx, source)?;
        }
        for metric in &declared.metrics {
            applying.metric(tx, metric)?;
        }
        applying.find_undeclared(tx)?;
        applying.free_collections(tx)?;
        applying.errors.finish()?;
        Ok(applying.remaining)
    }
}

impl Applying<'_> {
    /// Facts that are declared no more stay until nothing is of them.
    fn source(&mut self, tx: &mut dyn Tx, declared: &FactSource) -> Result<()> {
        let found = self.find::<FactSource>(tx, "fact_sources", declared)?;
        let names: Vec<_> = declared.facts.iter().map(|fact| fact.id).collect();
        let mut body = declared.clone();
        body.facts.iter_mut().for_each(|fact| fact.id = None);
        let before = found.as_ref().map_or(&[][..], |found| &found.body.facts);
        let gone = before.iter().filter(|fact| declared.facts.iter().all(|there| there.name != fact.name));
        let gone: Vec<_> = gone.cloned().collect();
        body.facts.extend(gone.iter().cloned());
        let Some(written) = self.write(tx, "fact_sources", found, body)? else { return Ok(()) };
        self.remaining.facts.extend(gone.iter().filter_map(|fact| Some((written.id, fact.id?))));
        let ids = written.body.facts.iter().map(|fact| fact.id);
        self.facts.extend(names.into_iter().zip(ids).filter_map(|(name, id)| Some((name?, id?))));
        Ok(())
    }

    fn metric(&mut self, tx: &mut dyn Tx, declared: &Metric) -> Result<()> {
        let found = self.find::<Metric>(tx, "metrics", declared)?;
        // Where a source could not be written, that is said; what is of it cannot be looked at.
        if declared.aggregations().any(|(_, aggregation)| !self.facts.contains_key(&aggregation.fact_id)) {
            return Ok(());
        }
        let body = declared.clone().with_facts(|name| self.facts.get(&name).copied().unwrap_or(name));
        self.write(tx, "metrics", found, body).map(drop)
    }

    /// What is called so already, if it may be this sync's.
    fn find<D: Defined>(&mut self, tx: &mut dyn Tx, list: &str, declared: &D) -> Result<Option<Definition<D>>> {
        let found = definitions::lock_named::<D>(tx, declared.name())?;
        let owner = found.as_ref().map(|found| found.body.managed_by());
        let refused = owner.and_then(|owner| self.declared.refuse_owner(D::KIND, declared.name(), owner));
        if let Some(reason) = refused {
            self.errors.add(format!("{list}[{}].name", declared.name()), reason);
        }
        Ok(found)
    }

    /// `None` where something of it is wrong, which is noted.
    fn write<D: Defined>(
        &mut self,
        tx: &mut dyn Tx,
        list: &str,
        found: Option<Definition<D>>,
        body: D,
    ) -> Result<Option<Definition<D>>> {
        let path = format!("{list}[{}].", body.name());
        let written = match found {
            Some(found) => self.context.redefine(tx, self.actor, found, body, &self.reason).map(|effect| effect.value),
            None => self.context.define(tx, self.actor, body, &self.reason),
        };
        match written {
            Ok(written) => Ok(Some(written)),
            Err(Error::Refused(refusal)) => {
                self.note(refusal.below(&path), &path);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn note(&mut self, refusal: Refusal, path: &str) {
        match refusal {
            Refusal::Invalid(errors) => {
                errors.into_iter().for_each(|error| self.errors.add(error.field, error.message))
            }
            other => self.errors.add(path.trim_end_matches('.'), other.to_string()),
        }
    }

    /// Notes what this tag keeps and declares no more, and who else needs it.
    fn find_undeclared(&mut self, tx: &mut dyn Tx) -> Result<()> {
        let tag = &self.declared.tag;
        let metrics: HashSet<&str> = self.declared.metrics.iter().map(|metric| metric.name.as_str()).collect();
        let sources: HashSet<&str> = self.declared.sources.iter().map(|source| source.name.as_str()).collect();
        let kept = definitions::managed::<Metric>(tx, tag)?.into_iter();
        let gone = kept.filter(|there| !metrics.contains(there.body.name.as_str()));
        self.remaining.metrics = gone.map(|metric| metric.id).collect();
        let kept = definitions::managed::<FactSource>(tx, tag)?.into_iter();
        let gone: Vec<_> = kept.filter(|there| !sources.contains(there.body.name.as_str())).collect();
        self.remaining.sources = gone.iter().map(|source| source.id).collect();
        for source in &gone {
            for fact in source.body.facts.iter().filter_map(|fact| fact.id) {
                self.check_unneeded(tx, &source.body.name, fact)?;
            }
            self.check_no_entry(tx, source.id, &source.body.name)?;
        }
        for (source, fact) in self.remaining.facts.clone() {
            let name = definitions::get::<FactSource>(tx, source)?.map(|source| source.body.name);
            self.check_unneeded(tx, &name.unwrap_or_default(), fact)?;
        }
        Ok(())
    }

    /// No metric is of the fact but such as are removed with it.
    fn check_unneeded(&mut self, tx: &mut dyn Tx, source: &str, fact: FactId) -> Result<()> {
        let removed = |id: MetricId| self.remaining.metrics.contains(&id);
        let users: Vec<_> =
            definitions::metrics_of_fact(tx, fact)?.into_iter().filter(|(id, _)| !removed(*id)).collect();
        for (_, name) in users {
            let message = format!(
                "a fact of it is declared no more, but the metric '{name}' is of it; delete that metric, or declare the fact"
            );
            self.errors.add(format!("fact_sources[{source}]"), message);
        }
        Ok(())
    }

    fn check_no_entry(&mut self, tx: &mut dyn Tx, id: FactSourceId, name: &str) -> Result<()> {
        let users = definitions::users::<FactSource>(tx, id, 10)?;
        for (_, key) in users.into_iter().filter(|(kind, _)| kind == "experiment") {
            let message = format!(
                "it is declared no more, but it is the entry point of the experiment '{key}'; choose another there first"
            );
            self.errors.add(format!("fact_sources[{name}]"), message);
        }
        Ok(())
    }

    /// Collections lose what is removed, too.
    fn free_collections(&mut self, tx: &mut dyn Tx) -> Result<()> {
        if self.remaining.metrics.is_empty() {
            return Ok(());
        }
        let is_gone = |id: &MetricId| self.remaining.metrics.contains(id);
        for collection in definitions::all::<Collection>(tx)? {
            if !collection.body.metric_ids.iter().any(is_gone) {
                continue;
            }
            let Some(found) = definitions::lock::<Collection>(tx, collection.id)? else { continue };
            let mut body = found.body.clone();
            body.metric_ids.retain(|id| !is_gone(id));
            if body.metric_ids.is_empty() {
                let message =
                    "it holds only metrics that are declared no more; delete it first, or declare one of them";
                self.errors.add(format!("collections[{}]", body.name), message);
                continue;
            }
            self.context.redefine(tx, self.actor, found, body, &self.reason)?;
        }
        Ok(())
    }
}
