//! The description of the API (docs/openapi.json), as it follows from the handlers' signatures: each argument of a handler says
//! what it adds to the operation, and so does the answer. What has no description cannot be put into the table of routes.
//!
//! Only the test that writes the document calls any of this; the program serves the document as it is checked in, and holds
//! nothing of its generator.

#![cfg_attr(not(test), expect(dead_code, reason = "the program is without the generator"))]

mod answers;
mod arguments;

use std::collections::{BTreeMap, BTreeSet};

use schemars::SchemaGenerator;
use serde_json::{Value, json};

use super::problem::Kind;

/// Where the generators write references to, before the document gives every schema its name.
pub const GIVEN: &str = "/given";
pub const SHOWN: &str = "/shown";

/// One operation, as far as its handler's signature tells.
#[derive(Default)]
pub struct Operation {
    /// Schemas of the path's parameters, in their order; what is not told is a text.
    pub path: Vec<Option<Value>>,
    /// Parameters in the query and in headers, whole.
    pub parameters: Vec<Value>,
    pub body: Option<Value>,
    /// Answers of success, by their status.
    pub answers: BTreeMap<u16, Value>,
    pub problems: BTreeSet<Kind>,
}

/// The schemas of what is given to the API, and of what it shows: the same type may need less in one than it has in the other.
pub struct Schemas {
    pub given: SchemaGenerator,
    pub shown: SchemaGenerator,
}

impl Operation {
    /// Says what a parameter of the path is, unless that was said.
    pub fn describe_path(&mut self, place: usize, schema: Value) {
        if self.path.len() <= place {
            self.path.resize(place + 1, None);
        }
        self.path[place].get_or_insert(schema);
    }

    pub fn describe_header(&mut self, name: &str, description: &str, schema: Value) {
        if !self.parameters.iter().any(|parameter| parameter["name"] == name) {
            self.parameters.push(json!({"name": name, "in": "header", "description": description, "schema": schema}));
        }
    }

    pub fn may_answer<const COUNT: usize>(&mut self, kinds: [Kind; COUNT]) {
        self.problems.extend(kinds);
    }
}

/// What a handler takes: an extractor.
pub trait Argument {
    fn describe(operation: &mut Operation, schemas: &mut Schemas);
}

/// What a handler gives.
pub trait Answered {
    fn describe(operation: &mut Operation, schemas: &mut Schemas);
}

/// A handler of which everything is described. `T` are its arguments, as axum tells handlers apart by them.
pub trait Described<T> {
    fn describe(operation: &mut Operation, schemas: &mut Schemas);
}

macro_rules! described {
    ($($argument:ident)*) => {
        impl<F, Future, Given, Marker, $($argument,)*> Described<(Marker, $($argument,)*)> for F
        where
            F: Fn($($argument,)*) -> Future,
            Future: std::future::Future<Output = Given>,
            Given: Answered,
            $($argument: Argument,)*
        {
            fn describe(operation: &mut Operation, schemas: &mut Schemas) {
                $($argument::describe(operation, schemas);)*
                Given::describe(operation, schemas);
            }
        }
    };
}

described!();
described!(A);
described!(A B);
described!(A B C);
described!(A B C D);
described!(A B C D E);
described!(A B C D E G);
described!(A B C D E G H);
