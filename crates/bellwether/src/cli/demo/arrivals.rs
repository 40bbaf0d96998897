//! What must arrive in the demo, what did, and what is missing.

use std::{collections::BTreeMap, time::Duration};

use bellwether_webhook::{Event, EventType, ExperimentEvent, RunStatus};
use tokio::{sync::watch, time};

use crate::cli::receiver::Received;

/// What the demo does, in order: the event at each revision from 1.
pub const STORY: [Chapter; 9] = [
    Chapter::of("the experiment created", EventType::ConfigurationUpdated),
    Chapter::of("a metric added", EventType::MetricUpdated),
    Chapter::of("a collection of metrics added", EventType::MetricUpdated),
    Chapter::of("the configuration edited", EventType::ConfigurationUpdated),
    Chapter::of("the experiment started", EventType::StatusUpdated),
    Chapter::of_run("the pipeline run, against weights of 1:1", RunStatus::Success, true),
    Chapter::of("the weights corrected to the trial's own, 260:185", EventType::ConfigurationUpdated),
    Chapter::of_run("the pipeline run again", RunStatus::Success, false),
    Chapter::of_run("a run that fails: its SQL names a table that is not there", RunStatus::Failure, false),
];

#[derive(Debug)]
pub struct Chapter {
    pub title: &'static str,
    event_type: EventType,
    /// How the run must end, and whether it must find traffic imbalance.
    run: Option<(RunStatus, bool)>,
}

impl Chapter {
    const fn of(title: &'static str, event_type: EventType) -> Chapter {
        Chapter { title, event_type, run: None }
    }

    const fn of_run(title: &'static str, status: RunStatus, is_imbalance: bool) -> Chapter {
        Chapter { title, event_type: EventType::CalculatedMetricsUpdated, run: Some((status, is_imbalance)) }
    }

    fn is_told_by(&self, event: &ExperimentEvent) -> bool {
        let run = event.meta_data.as_ref().map(|meta_data| (meta_data.status, meta_data.is_traffic_imbalance));
        event.event_type == self.event_type && run == self.run
    }
}

/// The deliveries that have come; shared by the receiver, which adds to it, and the story, which waits for them.
pub struct Arrivals(watch::Sender<Log>);

#[derive(Default)]
struct Log {
    /// By revision.
    events: BTreeMap<u64, ExperimentEvent>,
    refused: Vec<String>,
}

impl Arrivals {
    pub fn none_yet() -> Arrivals {
        Arrivals(watch::Sender::new(Log::default()))
    }

    pub fn add(&self, received: Received) {
        self.0.send_modify(|log| log.add(received));
    }

    /// Waits for an event; without it, for no longer than `limit`.
    pub async fn wait_for(&self, revision: u64, limit: Duration) {
        let mut log = self.0.subscribe();
        // The end of the demo tells what is missing.
        let _ = time::timeout(limit, log.wait_for(|log| log.events.contains_key(&revision))).await;
    }

    /// What is not as the story wants it; nothing, if every event of it arrived, verified, and no other.
    pub fn complaints(&self) -> Vec<String> {
        self.0.borrow().complaints()
    }
}

impl Log {
    fn add(&mut self, received: Received) {
        if let Some(reason) = received.refusal() {
            self.refused.push(reason);
        } else if let (Ok(Event::Experiment(event)), Some(revision)) = (received.by_headers, received.revision) {
            // A copy is as good as the first.
            self.events.entry(revision).or_insert(event);
        }
    }

    fn complaints(&self) -> Vec<String> {
        let told = (1_u64..).zip(&STORY).filter_map(|(revision, chapter)| match self.events.get(&revision) {
            Some(event) if chapter.is_told_by(event) => None,
            Some(event) => Some(format!("revision {revision} ({}) came as {event:?}", chapter.title)),
            None => Some(format!("revision {revision} ({}: {}) did not arrive", chapter.title, chapter.event_type)),
        });
        let unexpected = self.events.range(STORY.len() as u64 + 1..);
        let unexpected =
            unexpected.map(|(revision, event)| format!("revision {revision} was not due: {}", event.event_type));
        let refused = self.refused.iter().map(|reason| format!("one did not verify: {reason}"));
        told.chain(unexpected).chain(refused).collect()
    }
}

#[cfg(test)]
mod tests {
    use bellwether_webhook::MetaData;
    use http::StatusCode;

    use super::*;
    use crate::domain::clock::Timestamp;

    fn received(revision: u64) -> Received {
        let chapter = &STORY[usize::try_from(revision).unwrap() - 1];
        let meta_data = chapter.run.map(|(status, is_traffic_imbalance)| MetaData {
            status,
            is_manual_refresh: true,
            is_data_updated: true,
            time_taken_ms: 1,
            is_traffic_imbalance,
            assignments_scan_start_date: String::new(),
            assignments_scan_end_date: String::new(),
        });
        let event_type = chapter.event_type;
        let (experiment_key, details) = (String::new(), serde_json::Map::new());
        Received {
            at: Timestamp::from_micros(0),
            id: None,
            revision: Some(revision),
            attempt: Some(1),
            by_headers: Ok(Event::Experiment(ExperimentEvent {
                event_type,
                experiment_id: 1,
                experiment_key,
                meta_data,
                details,
            })),
            by_body: Ok(()),
            is_duplicate: false,
            answer: StatusCode::NO_CONTENT,
        }
    }

    #[test]
    fn the_story_is_whole_only_with_every_revision_verified() {
        let all = Arrivals::none_yet();
        (1..=9).for_each(|revision| all.add(received(revision)));
        all.add(received(3));
        assert_eq!(all.complaints(), [""; 0]);

        let gap = Arrivals::none_yet();
        (1..=9).filter(|revision| *revision != 5).for_each(|revision| gap.add(received(revision)));
        let complaints = gap.complaints();
        assert!(
            complaints.len() == 1 && complaints[0].contains("revision 5 (the experiment started"),
            "{complaints:?}"
        );

        all.add(Received { by_body: Err("no signature fits".into()), ..received(2) });
        assert!(all.complaints()[0].contains("did not verify"));
    }

    #[test]
    fn another_event_than_the_storys_is_told() {
        let arrivals = Arrivals::none_yet();
        (1..=9).filter(|revision| *revision != 6).for_each(|revision| arrivals.add(received(revision)));
        // A run without imbalance where there must be one, and one event too many.
        arrivals.add(Received { revision: Some(6), ..received(8) });
        arrivals.add(Received { revision: Some(10), ..received(1) });
        let complaints = arrivals.complaints();
        assert!(complaints.len() == 2 && complaints[0].contains("revision 6"), "{complaints:?}");
        assert!(complaints[1].contains("revision 10 was not due"), "{complaints:?}");
    }

    #[tokio::test]
    async fn waiting_ends_with_the_arrival() {
        let arrivals = std::sync::Arc::new(Arrivals::none_yet());
        let waiting = tokio::spawn({
            let arrivals = arrivals.clone();
            async move { arrivals.wait_for(1, Duration::from_secs(60)).await }
        });
        arrivals.add(received(1));
        waiting.await.unwrap();
    }
}
