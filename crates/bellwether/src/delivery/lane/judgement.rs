//! What an answer means: for the delivery, for its place in the lane, and for the endpoint. Pure: clock and chance come in.

use std::time::Duration;

use super::retry;
use crate::delivery::transport::answer::Answer;
use crate::delivery::transport::error::ErrorClass;
use crate::domain::clock::Timestamp;
use crate::domain::delivery::DeliveryState;
use crate::domain::endpoint::Settings;
use crate::domain::health::{Failure, Health, HealthChange, LONGEST_PAUSE};
use crate::store::pending::Pending;

/// How an attempt came about, and when it was answered.
pub struct Answered<'a> {
    pub pending: &'a Pending,
    pub answer: &'a Answer,
    /// Made while the breaker was open.
    pub is_probe: bool,
    /// Whether a failure counts in the delivery's schedule.
    pub is_charged: bool,
    /// Probes that have failed since the breaker opened, without this one.
    pub probes: u32,
    pub now: Timestamp,
    /// How long the installation has lived.
    pub lived: Duration,
    /// Any number, for the jitter.
    pub random: &'a dyn Fn() -> u128,
}

/// Where the delivery goes from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Onward {
    Ended(DeliveryState),
    /// It is tried again after this time, and holds its experiment back for a while. `is_asked`: the receiver asked for it.
    Retry {
        after: Duration,
        is_asked: bool,
    },
    /// It stands where it stood until the lane sends again. `is_holding`: the failure may be its own, and the time for
    /// which it holds its experiment back runs on.
    Front {
        is_holding: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    pub place: Onward,
    pub failure_count: u32,
    /// The lane is to send nothing for so long.
    pub pause: Option<Duration>,
    pub health_change: Option<HealthChange>,
    /// The receiver wants nothing any more.
    pub is_gone: bool,
}

/// `health` goes on to what it is after this answer.
pub fn reach(answered: &Answered<'_>, settings: &Settings, health: &mut Health) -> Judgement {
    let failures = answered.pending.failure_count;
    let place = Onward::Front { is_holding: answered.answer.may_be_of_event() };
    let stays = Judgement { place, failure_count: failures, pause: None, health_change: None, is_gone: false };
    if answered.answer.is_success() {
        return Judgement {
            place: Onward::Ended(DeliveryState::Delivered),
            health_change: health.succeeded(answered.now),
            ..stays
        };
    }
    let (code, asked) = match answered.answer {
        Answer::Status { code, retry_after, .. } => (Some(*code), retry_after.as_deref()),
        Answer::Failed { .. } => (None, None),
    };
    if code == Some(410) {
        let reason = "the receiver answered 410 Gone: it wants nothing any more".to_owned();
        return Judgement { health_change: Some(HealthChange::GivenUp { reason }), is_gone: true, ..stays };
    }
    let asked = asked.and_then(|text| retry::asked_delay(text, answered.now)).map(|delay| delay.min(LONGEST_PAUSE));
    let pause = asked.filter(|delay| matches!(code, Some(429 | 503)) && !delay.is_zero());
    let health_change = match pause {
        // A receiver that says when to come back is not failing.
        Some(pause) => {
            health.paused(pause, answered.now);
            None
        }
        None => {
            let probes = answered.probes + u32::from(answered.is_probe);
            let class = answered.answer.class().map_or("status", ErrorClass::as_str);
            // An answer that judges the event tells of the endpoint only if many events are judged so.
            let counts = !answered.answer.judges_event() || answered.pending.attempt_count == 0;
            let (delivery, at, lived) = (answered.pending.id, answered.now, answered.lived);
            health.failed(Failure { delivery, with: class, counts, probes, at, lived })
        }
    };
    let asked = asked.unwrap_or_default();
    if !answered.is_charged {
        return match pause {
            None if !asked.is_zero() => {
                Judgement { place: Onward::Retry { after: asked, is_asked: true }, health_change, ..stays }
            }
            _ => Judgement { pause, health_change, ..stays },
        };
    }
    let failure_count = failures + 1;
    let place = match settings.retry_after(failure_count) {
        None => Onward::Ended(DeliveryState::Exhausted),
        Some(base) => {
            let delay = retry::with_jitter(base, (answered.random)());
            // While the lane pauses nothing of the experiment passes it, so it keeps its place at the front.
            match pause {
                Some(pause) if pause >= delay => stays.place,
                _ => Onward::Retry { after: delay.max(asked), is_asked: asked >= delay },
            }
        }
    };
    Judgement { place, failure_count, pause, health_change, is_gone: false }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bellwether_webhook::EventType;

    use super::*;
    use crate::domain::event::Event;
    use crate::domain::id::{DeliveryId, EventId};
    use crate::domain::topic::Topic;

    const NOW: Timestamp = Timestamp::from_micros(1_795_420_800_000_000);

    fn settings() -> Settings {
        serde_json::from_value(serde_json::json!({"url": "https://example.com", "retry_schedule": [10, 100]})).unwrap()
    }

    fn status(code: u16, retry_after: Option<&str>) -> Answer {
        Answer::Status {
            code,
            retry_after: retry_after.map(str::to_owned),
            headers: String::new(),
            body: String::new(),
        }
    }

    const fn retry(seconds: u64, is_asked: bool) -> Onward {
        Onward::Retry { after: Duration::from_secs(seconds), is_asked }
    }

    const FRONT: Onward = Onward::Front { is_holding: false };

    fn judged(answer: &Answer, failures: u32, is_probe: bool, health: &mut Health) -> Judgement {
        let event = Event {
            id: EventId::of(1),
            experiment_id: 1,
            revision: 1,
            topic: Topic::Experiment(EventType::StatusUpdated),
            occurred_at: NOW,
            data: String::new(),
            detailed: String::new(),
        };
        let pending = Pending {
            id: DeliveryId::of(1),
            is_resent: false,
            attempt_count: failures,
            failure_count: failures,
            due_at: NOW,
            event: Arc::new(event),
        };
        // 200 is no jitter at all.
        let (probes, is_charged) = (0, !is_probe);
        let (now, lived, random) = (NOW, Duration::ZERO, &|| 200);
        let answered = Answered { pending: &pending, answer, is_probe, is_charged, probes, now, lived, random };
        reach(&answered, &settings(), health)
    }

    #[test]
    fn a_failure_takes_the_next_of_the_schedule_until_it_is_exhausted() {
        let mut health = Health::default();
        let places: Vec<_> =
            (0..3).map(|failures| judged(&status(500, None), failures, false, &mut health).place).collect();
        assert_eq!(places, [retry(10, false), retry(100, false), Onward::Ended(DeliveryState::Exhausted)]);
        assert_eq!(health.failure_count, 3);
        let ended = judged(&status(204, None), 1, false, &mut health);
        assert_eq!((ended.place, health), (Onward::Ended(DeliveryState::Delivered), Health::default()));
    }

    #[test]
    fn a_probe_is_not_charged() {
        let mut health =
            Health { failure_count: 5, failing_since: Some(NOW), probe_at: Some(NOW), ..Health::default() };
        let judgement = judged(&status(500, None), 1, true, &mut health);
        assert_eq!((judgement.place, judgement.failure_count), (Onward::Front { is_holding: true }, 1));
        assert_eq!(health.probe_at, Some(NOW.plus(Duration::from_secs(10))), "the second probe comes later");
        let judgement = judged(&status(200, None), 1, true, &mut health);
        assert_eq!(judgement.health_change, Some(HealthChange::Recovered { frees: true }));
    }

    #[test]
    fn a_probe_is_not_repeated_before_the_time_that_its_receiver_asks_for() {
        let mut health = Health { failure_count: 5, probe_at: Some(NOW), ..Health::default() };
        let judgement = judged(&status(500, Some("600")), 1, true, &mut health);
        assert_eq!((judgement.place, judgement.failure_count, judgement.pause), (retry(600, true), 1, None));
        let judgement = judged(&status(503, Some("600")), 1, true, &mut health);
        assert_eq!((judgement.place, judgement.pause), (FRONT, Some(Duration::from_secs(600))));
    }

    #[test]
    fn an_answer_that_judges_the_event_counts_once_for_each() {
        for code in [400, 413, 415, 422] {
            let mut health = Health::default();
            for failures in 0..20 {
                judged(&status(code, None), failures, false, &mut health);
            }
            assert_eq!((health.failure_count, health.is_open()), (1, false), "{code}");
            for _ in 0..4 {
                judged(&status(code, None), 0, false, &mut health);
            }
            assert!(health.is_open(), "{code}: five different ones");
        }
    }

    #[test]
    fn retry_after_only_delays_and_pauses_the_lane_on_429_and_503_alone() {
        let mut health = Health::default();
        let asked = judged(&status(429, Some("60")), 0, false, &mut health);
        assert_eq!((asked.place, asked.pause), (FRONT, Some(Duration::from_secs(60))));
        assert_eq!((asked.failure_count, health.failure_count), (1, 0), "charged to the delivery, not to the endpoint");
        assert_eq!(health.paused_until, Some(NOW.plus(Duration::from_secs(60))));
        let shorter = judged(&status(503, Some("1")), 0, false, &mut health);
        assert_eq!((shorter.place, shorter.pause), (retry(10, false), Some(Duration::from_secs(1))));
        let other = judged(&status(500, Some("60")), 0, false, &mut health);
        assert_eq!((other.place, other.pause), (retry(60, true), None));
        let absurd = judged(&status(429, Some("99999999")), 0, false, &mut health);
        assert_eq!(absurd.pause, Some(LONGEST_PAUSE));
        assert_eq!(judged(&status(429, Some("soon")), 0, false, &mut health).pause, None);
    }

    #[test]
    fn gone_gives_the_endpoint_up_and_charges_nothing() {
        let judgement = judged(&status(410, None), 1, false, &mut Health::default());
        assert!(judgement.is_gone && matches!(judgement.health_change, Some(HealthChange::GivenUp { .. })));
        assert_eq!((judgement.place, judgement.failure_count), (FRONT, 1), "it is still owed, should it be enabled");
    }
}
