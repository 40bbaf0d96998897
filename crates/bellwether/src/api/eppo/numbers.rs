//! Eppo's clients know everything by its number: which is whose.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

use serde::{Deserialize, Deserializer, Serialize};

use crate::domain::definition::{AssignmentSource, Entity};
use crate::domain::id::{AssignmentSourceId, EntityId, MetricId};
use crate::domain::metric::Metric;
use crate::store::definitions::{Stored, numbers};
use crate::store::{StoreError, Tx};

/// The definitions of a kind, by id and by number.
pub struct Numbered<I> {
    numbers: HashMap<I, i64>,
    ids: HashMap<i64, I>,
}

impl<I: Copy + Eq + Hash> Numbered<I> {
    pub fn of(pairs: impl IntoIterator<Item = (I, i64)>) -> Self {
        let numbers: HashMap<I, i64> = pairs.into_iter().collect();
        let ids = numbers.iter().map(|(id, number)| (*number, *id)).collect();
        Self { numbers, ids }
    }

    pub fn load<D: Stored<Id = I>>(tx: &mut dyn Tx) -> Result<Self, StoreError> {
        Ok(Self::of(numbers::<D>(tx)?))
    }

    pub fn number(&self, id: I) -> Option<i64> {
        self.numbers.get(&id).copied()
    }

    pub fn id(&self, number: i64) -> Option<I> {
        self.ids.get(&number).copied()
    }
}

/// What experiments refer to.
pub struct Numbers {
    pub entities: Numbered<EntityId>,
    pub sources: Numbered<AssignmentSourceId>,
    pub metrics: Numbered<MetricId>,
}

impl Numbers {
    pub fn load(tx: &mut dyn Tx) -> Result<Self, StoreError> {
        Ok(Self {
            entities: Numbered::load::<Entity>(tx)?,
            sources: Numbered::load::<AssignmentSource>(tx)?,
            metrics: Numbered::load::<Metric>(tx)?,
        })
    }
}

/// A number in a body, which some clients write as a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Number(pub i64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }

            fn visit_i64<E>(self, given: i64) -> Result<Number, E> {
                Ok(Number(given))
            }

            fn visit_u64<E: serde::de::Error>(self, given: u64) -> Result<Number, E> {
                i64::try_from(given)
                    .map(Number)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(given), &self))
            }

            fn visit_str<E: serde::de::Error>(self, given: &str) -> Result<Number, E> {
                given.parse().map(Number).map_err(|_| E::invalid_value(serde::de::Unexpected::Str(given), &self))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
