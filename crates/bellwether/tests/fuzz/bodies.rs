//! Request bodies: reading and judging them never fails but by a refusal, and what is accepted is read again as the same from
//! what is written of it.

use std::fmt::Debug;

use bellwether::api::parse_json;
use bellwether::domain::address::AddressPolicy;
use bellwether::domain::collection::Collection;
use bellwether::domain::configuration::Configuration;
use bellwether::domain::definition::{AssignmentSource, Entity, FactSource, Schedule, Team};
use bellwether::domain::endpoint::Settings;
use bellwether::domain::error::{Refusal, Validate};
use bellwether::domain::input;
use bellwether::domain::metric::Metric;
use bellwether::domain::person::Person;
use bellwether::domain::warehouse::Warehouse;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The first byte says what the body is to be; the rest is the body.
pub fn run(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else { return };
    let Some(fields) = object(body) else { return };
    match kind % 11 {
        0 => read(fields, Configuration::validate),
        1 => read(fields, |settings: &Settings| settings.validate(&AddressPolicy::default())),
        2 => read(fields, Entity::validate),
        3 => read(fields, Warehouse::validate),
        4 => read(fields, AssignmentSource::validate),
        5 => read(fields, FactSource::validate),
        6 => read(fields, Metric::validate),
        7 => read(fields, Collection::validate),
        8 => read(fields, Schedule::validate),
        9 => read(fields, Team::validate),
        _ => read(fields, Person::validate),
    }
}

/// The reader agrees with the library's, but for names that stand twice.
fn object(body: &[u8]) -> Option<Map<String, Value>> {
    let (ours, theirs) = (parse_json(body), serde_json::from_slice::<Value>(body));
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => {
            assert_eq!(ours, theirs);
            let Value::Object(fields) = ours else { return None };
            Some(fields)
        }
        (Err(ours), Ok(_)) => {
            assert!(ours.to_string().contains("stands twice"), "{ours}");
            None
        }
        (Ok(_), Err(theirs)) => panic!("only ours reads it: {theirs}"),
        (Err(_), Err(_)) => None,
    }
}

fn read<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    fields: Map<String, Value>,
    validate: impl Fn(&T) -> Result<(), Refusal>,
) {
    let Ok(read) = input::read::<T>(fields) else { return };
    if validate(&read).is_err() {
        return;
    }
    let written = serde_json::to_string(&read).expect("what is accepted can be written");
    let Ok(Value::Object(fields)) = parse_json(written.as_bytes()) else { panic!("{written} is no object") };
    let again = input::read::<T>(fields).unwrap_or_else(|refusal| panic!("{written} is not read again: {refusal}"));
    assert_eq!(again, read, "{written}");
    validate(&again).expect("what was accepted is accepted again");
}
