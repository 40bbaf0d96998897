//! Cursors, ids and other words of the API: what is read of one is written as one that is read the same.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use bellwether::config::PublicUrl;
use bellwether::domain::address::Network;
use bellwether::domain::clock::Timestamp;
use bellwether::domain::configuration::Bound;
use bellwether::domain::delivery::Position;
use bellwether::domain::id::{
    AssignmentSourceId, CollectionId, DeliveryId, EndpointChangeId, EndpointId, EntityId, EventId, FactId,
    FactSourceId, KeyId, MetricId, RunId, ScheduleId, WarehouseId,
};
use bellwether::domain::sort::Sort;

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    check::<i64>(text);
    check::<Position>(text);
    check::<Sort>(text);
    check::<Timestamp>(text);
    check::<Network>(text);
    check::<PublicUrl>(text);
    check::<EventId>(text);
    check::<EndpointId>(text);
    check::<EndpointChangeId>(text);
    check::<DeliveryId>(text);
    check::<RunId>(text);
    check::<KeyId>(text);
    check::<EntityId>(text);
    check::<WarehouseId>(text);
    check::<AssignmentSourceId>(text);
    check::<FactSourceId>(text);
    check::<FactId>(text);
    check::<MetricId>(text);
    check::<CollectionId>(text);
    check::<ScheduleId>(text);
    let _ = text.parse::<Bound>();
}

fn check<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(text: &str) {
    let Ok(read) = text.parse::<T>() else { return };
    let written = read.to_string();
    let again = written.parse::<T>().unwrap_or_else(|error| panic!("'{written}' is not read again: {error:?}"));
    assert_eq!(again, read, "'{text}' was written as '{written}'");
}
