//! What others may see of the engine while it runs: whether its lanes are there, and what it has counted, endpoint by
//! endpoint. The first so many endpoints are counted apart, all further ones together, so that the number of series is
//! bounded. It decides nothing; what is pending is the database's to say.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::transport::error::ErrorClass;
use crate::domain::id::EndpointId;
use crate::platform::telemetry::{Counter, Gauge, Held, Histogram};

/// Endpoints that are counted each for itself.
pub const MOST_ENDPOINTS: usize = 200;
/// How attempts that succeeded are called among the classes of those that failed.
const OK: &str = "ok";

#[derive(Default)]
pub struct Monitor {
    has_lanes: AtomicBool,
    /// Outcomes on their way to the database.
    pub unrecorded: Gauge,
    pub recorded: Counter,
    /// Endpoints that are not sent to: their rows cannot be read, or nothing can be sent as they are stored.
    pub unreadable: Gauge,
    pub unusable: Arc<Gauge>,
    meters: Mutex<BTreeMap<EndpointId, Arc<Meter>>>,
    other: Arc<Meter>,
}

/// What is counted of an endpoint.
#[derive(Default)]
pub struct Meter {
    /// Successes, then failures by class.
    attempts: [Counter; 1 + ErrorClass::ALL.len()],
    pub durations: Histogram,
    in_flight: Arc<Gauge>,
    pub breaker_openings: Counter,
}

impl Monitor {
    pub fn note_lanes(&self) {
        self.has_lanes.store(true, Ordering::Release);
    }

    /// Whether the lanes were set up since the start.
    pub fn has_lanes(&self) -> bool {
        self.has_lanes.load(Ordering::Acquire)
    }

    /// The meter for a lane that begins. A place is free again when its lane has ended and another needs it.
    pub fn meter(&self, endpoint: EndpointId) -> Arc<Meter> {
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        if meters.len() >= MOST_ENDPOINTS && !meters.contains_key(&endpoint) {
            meters.retain(|_, meter| Arc::strong_count(meter) > 1);
            if meters.len() >= MOST_ENDPOINTS {
                return self.other.clone();
            }
        }
        meters.entry(endpoint).or_default().clone()
    }

    /// Every endpoint that is counted apart, and what the further ones come to together.
    pub fn meters(&self) -> Vec<(Option<EndpointId>, Arc<Meter>)> {
        let meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        let named = meters.iter().map(|(id, meter)| (Some(*id), meter.clone()));
        named.chain([(None, self.other.clone())]).collect()
    }
}

impl Meter {
    /// Counts a request that is under way until what is given back is dropped.
    pub fn begin(&self) -> Held {
        self.in_flight.hold()
    }

    pub fn in_flight(&self) -> i64 {
        self.in_flight.get()
    }

    pub fn answered(&self, class: Option<ErrorClass>, duration: Duration) {
        self.attempts[class.map_or(0, |class| 1 + class as usize)].add(1);
        self.durations.observe(duration);
    }

    /// How many attempts came to each class that there were any of.
    pub fn attempts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let classes = [OK].into_iter().chain(ErrorClass::ALL.map(ErrorClass::as_str));
        classes.zip(self.attempts.iter().map(Counter::get)).filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_own_count() {
        let meter = Meter::default();
        meter.answered(None, Duration::ZERO);
        for class in ErrorClass::ALL {
            meter.answered(Some(class), Duration::ZERO);
        }
        let names: Vec<_> = meter.attempts().map(|(name, count)| (name, count == 1)).collect();
        let all = [OK].into_iter().chain(ErrorClass::ALL.map(ErrorClass::as_str));
        assert_eq!(names, all.map(|name| (name, true)).collect::<Vec<_>>());
    }

    #[test]
    fn more_endpoints_than_places_share_one_until_a_lane_ends() {
        let monitor = Monitor::default();
        let id = |number: usize| EndpointId::of(number as u128);
        let mut held: Vec<_> = (0..MOST_ENDPOINTS).map(|number| monitor.meter(id(number))).collect();
        monitor.meter(id(1000)).breaker_openings.add(1);
        monitor.meter(id(1001)).breaker_openings.add(1);
        let shared = monitor.meters().pop().unwrap();
        assert_eq!((shared.0, shared.1.breaker_openings.get()), (None, 2));
        held.pop();
        monitor.meter(id(1000)).breaker_openings.add(1);
        assert!(monitor.meters().iter().any(|(endpoint, _)| *endpoint == Some(id(1000))));
        assert_eq!(monitor.meters().len(), MOST_ENDPOINTS + 1);
    }
}
