//! From what the files of a metric sync say to what is declared: names of entities, teams, facts and properties become what they
//! name. All that is wrong is told at once.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};

use super::aggregation_form::{AggregationForm, FilterForm, Named};
use super::files::{MetricFile, Payload, SourceFile, place, read_item};
use super::numbers::{Number, Numbered};
use super::words::in_eppos_words;
use crate::domain::definition::{Entity, EntityColumn, FactSource, Team};
use crate::domain::error::{FieldErrors, Refusal, Validate};
use crate::domain::id::{EntityId, FactId, Ids, TeamId, WarehouseId};
use crate::domain::managed::ManagedBy;
use crate::domain::metric::Metric;
use crate::domain::metric_sync::Declared;
use crate::store::definitions;
use crate::store::{StoreError, Tx};

const LONGEST_URL: usize = 2000;
/// Of one tag.
const MOST_SOURCES: usize = 1000;
const MOST_METRICS: usize = 5000;

/// What files may name that is not declared in them.
pub struct Known {
    entities: HashMap<String, EntityId>,
    teams: Numbered<TeamId>,
}

impl Known {
    pub fn load(tx: &mut dyn Tx) -> Result<Self, StoreError> {
        let entities = definitions::all::<Entity>(tx)?.into_iter().map(|entity| (entity.body.name, entity.id));
        Ok(Self { entities: entities.collect(), teams: Numbered::load::<Team>(tx)? })
    }

    fn entity(&self, name: &str, errors: &mut FieldErrors, field: &str) -> Option<EntityId> {
        let found = self.entities.get(name).copied();
        errors.check(found.is_some(), field, || {
            let mut names: Vec<_> = self.entities.keys().map(String::as_str).take(20).collect();
            names.sort_unstable();
            format!(
                "there is no entity '{name}'; there are: {}; make it first (POST /api/v1/entities)",
                names.join(", ")
            )
        });
        found
    }
}

/// The declared facts by their names, each with the properties of its source.
#[derive(Default)]
struct DeclaredFacts {
    ids: HashMap<String, FactId>,
    properties: HashMap<FactId, HashSet<String>>,
}

impl Named for DeclaredFacts {
    fn fact(&self, form: &AggregationForm, errors: &mut FieldErrors, field: &str) -> Option<FactId> {
        let field = format!("{field}.fact_name");
        let Some(name) = &form.fact_name else {
            errors.add(field, "it is missing; give the name of a fact");
            return None;
        };
        let found = self.ids.get(name).copied();
        errors.check(found.is_some(), &field, || {
            format!("no fact source of this sync has a fact '{name}'; declare it, or name another")
        });
        found
    }

    fn property(&self, fact: FactId, form: &FilterForm, errors: &mut FieldErrors, field: &str) -> Option<String> {
        let field = format!("{field}.fact_property");
        let Some(name) = &form.fact_property else {
            errors.add(field, "it is missing; give the name of a property of the fact's source");
            return None;
        };
        let is_known = self.properties.get(&fact).is_some_and(|properties| properties.contains(name));
        errors.check(is_known, &field, || format!("the fact's source has no property '{name}'"));
        is_known.then(|| name.clone())
    }
}

/// Of everything that decides what a sync does.
pub fn digest(body: &[u8], warehouse: Option<WarehouseId>) -> String {
    let mut digest = Sha256::new();
    digest.update(body);
    digest.update(warehouse.map(|id| id.to_string()).unwrap_or_default());
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is declared, as far as the files themselves can be judged; what is wrong is noted, and left out.
pub fn declared(
    payload: &Payload,
    known: &Known,
    warehouse: Option<WarehouseId>,
    ids: &dyn Ids,
    errors: &mut FieldErrors,
) -> Declared {
    let tag = payload.sync_tag.clone().unwrap_or_default();
    errors.name("sync_tag", &tag);
    check_url(errors, "reference_url", payload.reference_url.as_deref());
    let mut facts = DeclaredFacts::default();
    let mut translation = Translation { known, tag: &tag, payload, ids, errors };
    let sources = translation.sources(warehouse, &mut facts);
    let metrics = translation.metrics(&facts);
    Declared { tag, allow_upgrades: false, digest: String::new(), sources, metrics }
}

fn check_url(errors: &mut FieldErrors, field: &str, url: Option<&str>) {
    errors.text(field, url.unwrap_or_default(), LONGEST_URL);
}

struct Translation<'a> {
    known: &'a Known,
    tag: &'a str,
    payload: &'a Payload,
    ids: &'a dyn Ids,
    errors: &'a mut FieldErrors,
}

impl Translation<'_> {
    fn sources(&mut self, warehouse: Option<WarehouseId>, facts: &mut DeclaredFacts) -> Vec<FactSource> {
        let Some(warehouse) = warehouse.or_else(|| self.payload.fact_sources.is_empty().then(|| WarehouseId::of(0)))
        else {
            let message = "no warehouse is set for them: have the operator set default_warehouse_id \
                           (BELLWETHER_DEFAULT_WAREHOUSE_ID) to the id of one of /api/v1/warehouses, and sync again";
            self.errors.add("fact_sources", message);
            return Vec::new();
        };
        let (mut sources, mut names) = (Vec::new(), HashSet::new());
        let payload = self.payload;
        for (i, item) in self.errors.at_most("fact_sources", &payload.fact_sources, MOST_SOURCES).iter().enumerate() {
            let path = place("fact_sources", i, item);
            let Some(file) = self.noted(read_item::<SourceFile>("fact_sources", i, item)) else { continue };
            self.check_once(!names.insert(file.name.clone()), &path, &file.name);
            let Some(source) = self.source(&file, &path, warehouse, facts) else { continue };
            let valid = source.validate().map_err(|refusal| refusal.below(&path));
            if self.noted(valid).is_some() {
                sources.push(source);
            }
        }
        sources
    }

    fn source(
        &mut self,
        file: &SourceFile,
        path: &str,
        warehouse_id: WarehouseId,
        declared: &mut DeclaredFacts,
    ) -> Option<FactSource> {
        file.check(self.errors, path);
        check_url(self.errors, &format!("{path}reference_url"), file.reference_url.as_deref());
        let entities = file.entities.iter().enumerate().map(|(i, entity)| {
            let field = format!("{path}entities[{i}].entity_name");
            let entity_id = self.known.entity(&entity.entity_name, self.errors, &field);
            entity_id.map(|entity_id| EntityColumn { entity_id, column: entity.column.clone() })
        });
        // All are looked at, whatever is wrong with the first.
        let entities: Vec<_> = entities.collect();
        let properties: HashSet<String> = file.properties.iter().map(|property| property.name.clone()).collect();
        let mut facts = Vec::new();
        for (i, fact) in file.facts.iter().enumerate() {
            let mut fact = fact.fact();
            let id = FactId::of(self.ids.next());
            let is_taken = declared.ids.insert(fact.name.clone(), id).is_some();
            self.check_once(is_taken, &format!("{path}facts[{i}]."), &fact.name);
            declared.properties.insert(id, properties.clone());
            fact.id = Some(id);
            facts.push(fact);
        }
        Some(FactSource {
            name: file.name.clone(),
            warehouse_id,
            sql: file.sql.clone(),
            timestamp_column: file.timestamp_column.clone(),
            entities: entities.into_iter().collect::<Option<_>>()?,
            facts,
            properties: file.properties.iter().map(|property| property.property()).collect(),
            managed_by: Some(self.mark(file.reference_url.as_ref())),
        })
    }

    fn metrics(&mut self, facts: &DeclaredFacts) -> Vec<Metric> {
        let (mut metrics, mut names) = (Vec::new(), HashSet::new());
        let payload = self.payload;
        for (i, item) in self.errors.at_most("metrics", &payload.metrics, MOST_METRICS).iter().enumerate() {
            let path = place("metrics", i, item);
            let Some(file) = self.noted(read_item::<MetricFile>("metrics", i, item)) else { continue };
            self.check_once(!names.insert(file.name.clone()), &path, &file.name);
            let Some(metric) = self.metric(&file, &path, facts) else { continue };
            let valid = metric.validate().map_err(|refusal| in_eppos_words(refusal).below(&path));
            if self.noted(valid).is_some() {
                metrics.push(metric);
            }
        }
        metrics
    }

    /// `None` where something of it is wrong, which is noted.
    fn metric(&mut self, file: &MetricFile, path: &str, facts: &DeclaredFacts) -> Option<Metric> {
        let (known, errors) = (self.known, &mut *self.errors);
        let kind = file.kind(errors, path);
        check_url(errors, &format!("{path}reference_url"), file.reference_url.as_deref());
        let entity_id = known.entity(&file.entity, errors, &format!("{path}entity"));
        let team_id = file.team_id.map(|Number(number)| {
            let found = known.teams.id(number);
            errors.check(found.is_some(), &format!("{path}team_id"), || format!("there is no team {number}"));
            found
        });
        let mut side = |form: Option<&AggregationForm>, name: &str| match form {
            Some(form) => form.read(facts, errors, &format!("{path}{name}")).map(Some),
            None => Some(None),
        };
        let (numerator, denominator) =
            (side(file.numerator.as_ref(), "numerator"), side(file.denominator.as_ref(), "denominator"));
        let percentile = match &file.percentile {
            Some(form) => form.read(facts, None, errors, &format!("{path}percentile")).map(Some),
            None => Some(None),
        };
        Some(Metric {
            name: file.name.clone(),
            description: file.description.clone(),
            team_id: team_id.flatten(),
            entity_id: entity_id?,
            kind,
            numerator: numerator?,
            denominator: denominator?,
            percentile: percentile?,
            funnel: None,
            desired_change: file.desired_change,
            display: file.metric_display_style.unwrap_or_default(),
            minimum_detectable_effect: file.minimum_detectable_effect,
            is_guardrail: file.is_guardrail,
            guardrail_cutoff: file.guardrail_cutoff,
            managed_by: Some(self.mark(file.reference_url.as_ref())),
        })
    }

    fn mark(&self, own: Option<&String>) -> ManagedBy {
        let reference_url = own.or(self.payload.reference_url.as_ref()).cloned();
        ManagedBy { sync_tag: self.tag.to_owned(), reference_url }
    }

    fn check_once(&mut self, is_taken: bool, path: &str, name: &str) {
        self.errors
            .check(!is_taken, &format!("{path}name"), || format!("'{name}' stands twice; each has a name of its own"));
    }

    fn noted<T>(&mut self, read: Result<T, Refusal>) -> Option<T> {
        match read {
            Ok(read) => Some(read),
            Err(Refusal::Invalid(errors)) => {
                errors.into_iter().for_each(|error| self.errors.add(error.field, error.message));
                None
            }
            Err(other) => {
                self.errors.add("body", other.to_string());
                None
            }
        }
    }
}
