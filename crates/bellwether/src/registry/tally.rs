//! What this process has recorded, counted: for metrics. Counts begin with the process; what is stored is not counted here.

use bellwether_webhook::EventType;

use crate::domain::run::RunState;
use crate::domain::topic::{EndpointEvent, Topic};
use crate::platform::telemetry::Counter;

/// Every name that an event may have.
fn topics() -> impl Iterator<Item = Topic> {
    let experiment = EventType::ALL.into_iter().map(Topic::Experiment);
    experiment.chain(EndpointEvent::ALL.into_iter().map(Topic::Endpoint))
}

#[derive(Default)]
pub struct Tally {
    events: [Counter; EventType::ALL.len() + EndpointEvent::ALL.len()],
    runs_succeeded: Counter,
    runs_failed: Counter,
    /// Outcomes of lanes that another node had taken over.
    pub outcomes_refused: Counter,
}

impl Tally {
    pub(super) fn recorded(&self, topic: Topic, run: Option<RunState>) {
        if let Some(place) = topics().position(|known| known == topic) {
            self.events[place].add(1);
        }
        match run {
            Some(RunState::Success) => self.runs_succeeded.add(1),
            Some(_) => self.runs_failed.add(1),
            None => {}
        }
    }

    pub fn events(&self) -> impl Iterator<Item = (Topic, u64)> {
        topics().zip(self.events.iter().map(Counter::get))
    }

    pub fn runs(&self) -> [(&'static str, u64); 2] {
        let (success, failure) = (RunState::Success.as_str(), RunState::Failure.as_str());
        [(success, self.runs_succeeded.get()), (failure, self.runs_failed.get())]
    }
}
