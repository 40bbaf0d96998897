//! Facts and their properties by the numbers that Eppo's clients know them by.

use std::collections::HashMap;

use crate::domain::definition::FactSource;
use crate::domain::id::FactId;
use crate::store::definitions;
use crate::store::{StoreError, Tx};

/// All facts of all sources.
pub struct Facts {
    sources: Vec<FactSource>,
    /// Of each fact its number, and the place of its source.
    known: HashMap<FactId, (i64, usize)>,
    ids: HashMap<i64, FactId>,
}

impl Facts {
    pub fn load(tx: &mut dyn Tx) -> Result<Self, StoreError> {
        let sources = definitions::all::<FactSource>(tx)?.into_iter().map(|source| source.body).collect();
        Ok(Self::of(sources))
    }

    fn of(sources: Vec<FactSource>) -> Self {
        let places = sources.iter().enumerate();
        let facts = places.flat_map(|(place, source)| source.facts.iter().map(move |fact| (fact, place)));
        let known: HashMap<_, _> = facts.filter_map(|(fact, place)| Some((fact.id?, (fact.number?, place)))).collect();
        let ids = known.iter().map(|(id, (number, _))| (*number, *id)).collect();
        Self { sources, known, ids }
    }

    pub fn id(&self, number: i64) -> Option<FactId> {
        self.ids.get(&number).copied()
    }

    pub fn number(&self, id: FactId) -> Option<i64> {
        self.known.get(&id).map(|(number, _)| *number)
    }

    fn source(&self, fact: FactId) -> Option<&FactSource> {
        self.known.get(&fact).and_then(|(_, place)| self.sources.get(*place))
    }

    /// The name of a property of the fact's source.
    pub fn property(&self, fact: FactId, number: i64) -> Option<&str> {
        let mut properties = self.source(fact)?.properties.iter();
        properties.find(|property| property.number == Some(number)).map(|property| property.name.as_str())
    }

    pub fn property_number(&self, fact: FactId, name: &str) -> Option<i64> {
        self.source(fact)?.properties.iter().find(|property| property.name == name)?.number
    }
}
