//! A lane: the ordered stream of deliveries to one endpoint. One task owns it, so nothing in it needs a lock, and a
//! delivery needs no claim. A lane knows only its own endpoint: a dead one costs the others nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::answer::{Answer, ErrorClass};
use super::client::{self, Client, Credentials, Key, Target};
use super::recorder::Answered;
use super::retry;
use super::window::{Due, LONGEST_HOLD, Taken, Window};
use super::{MOST_UNRECORDED, Shared};
use crate::clock::Timestamp;
use crate::endpoint::{Endpoint, EndpointState};
use crate::id::DeliveryId;
use crate::store::StoreError;
use crate::store::deliveries::{Attempt, DeliveryState, Outcome, Pending, pending_after};

/// Rows read from the database at a time.
const PAGE: u32 = 512;
/// How soon a lane that is behind looks into the database though much is still open; twice as late each time in vain.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const LOOK_LATEST: Duration = Duration::from_secs(30);

pub enum Message {
    Offer(Pending),
    /// Hints were lost, or may have been.
    FallBehind,
    Recorded(Vec<DeliveryId>),
    Endpoint(Arc<Endpoint>),
    /// Send nothing more; end when all that is in flight is answered and on disk.
    Stop,
}

pub struct Lane {
    shared: Arc<Shared>,
    endpoint: Arc<Endpoint>,
    client: Option<Arc<Client>>,
    window: Window,
    in_flight: JoinSet<Sent>,
    pages: JoinSet<Result<Vec<Pending>, StoreError>>,
    is_stopping: bool,
    looked_at: Duration,
    look_again: Duration,
    /// The last page could not be read.
    has_failed: bool,
}

/// An attempt that was answered.
struct Sent {
    taken: Taken,
    answer: Answer,
    started_at: Timestamp,
    duration: Duration,
}

impl Lane {
    pub fn for_endpoint(shared: Arc<Shared>, endpoint: Arc<Endpoint>) -> Self {
        let window = Window::with_ordering(endpoint.settings.ordering);
        let client = connect(&shared, &endpoint);
        let looked_at = shared.clock.monotonic();
        Self {
            shared,
            endpoint,
            client,
            window,
            in_flight: JoinSet::new(),
            pages: JoinSet::new(),
            is_stopping: false,
            looked_at,
            look_again: LOOK_AGAIN,
            has_failed: false,
        }
    }

    pub async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        loop {
            self.read_page();
            self.send_what_is_due();
            if self.is_stopping && self.in_flight.is_empty() && self.window.unrecorded() == 0 {
                return;
            }
            let nap = self.nap();
            tokio::select! {
                Some(Ok(sent)) = self.in_flight.join_next() => self.settle(sent),
                message = messages.recv() => match message {
                    Some(message) => self.receive(message),
                    None => return,
                },
                Some(page) = self.pages.join_next() => self.take_page(page.unwrap_or_else(|error| Err(StoreError::Failed(error.to_string())))),
                () = tokio::time::sleep(nap.unwrap_or_default()), if nap.is_some() => {}
            }
        }
    }

    fn is_sending(&self) -> bool {
        !self.is_stopping && self.endpoint.state == EndpointState::Enabled
    }

    /// How long there is nothing to do unless something happens; `None`: for ever.
    fn nap(&self) -> Option<Duration> {
        if !self.is_sending() {
            return None;
        }
        let now = self.shared.clock.monotonic();
        let due = self.window.next_due().map(|at| at.saturating_sub(now));
        let look = (self.window.is_behind() && self.pages.is_empty())
            .then(|| (self.looked_at + self.look_again).saturating_sub(now));
        let is_full = self.is_full();
        due.filter(|_| !is_full).into_iter().chain(look).min().map(|nap| nap.max(Duration::from_millis(1)))
    }

    fn is_full(&self) -> bool {
        let limit = usize::try_from(self.endpoint.settings.max_in_flight).unwrap_or(usize::MAX);
        self.window.in_flight() >= limit || self.window.unrecorded() >= MOST_UNRECORDED
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Offer(pending) => self.window.offer(pending, self.shared.clock.monotonic()),
            Message::FallBehind => self.window.fall_behind(),
            Message::Recorded(ids) => ids.into_iter().for_each(|id| self.window.recorded(id)),
            Message::Endpoint(endpoint) => self.set_up(endpoint),
            Message::Stop => self.is_stopping = true,
        }
    }

    /// Begins anew with the endpoint as it is now: what waits may have been cancelled meanwhile, or is to wait
    /// differently, and the database knows. A page under way was read before.
    fn set_up(&mut self, endpoint: Arc<Endpoint>) {
        self.client = connect(&self.shared, &endpoint);
        self.pages = JoinSet::new();
        self.window.clear(endpoint.settings.ordering);
        self.endpoint = endpoint;
    }

    fn read_page(&mut self) {
        if !self.is_sending() || !self.pages.is_empty() {
            return;
        }
        let now = self.shared.clock.monotonic();
        let is_overdue = now >= self.looked_at + self.look_again;
        if is_overdue {
            // Whether or not it leads to a page: a full window must not be asked without pause.
            self.looked_at = now;
        }
        if self.has_failed && !is_overdue {
            return;
        }
        let Some(cursor) = self.window.next_page(is_overdue) else { return };
        let (db, id) = (self.shared.db.clone(), self.endpoint.id);
        let due_by = self.shared.clock.now().plus(LONGEST_HOLD);
        self.pages.spawn(async move { db.read(move |tx| pending_after(tx, id, cursor, due_by, PAGE)).await });
    }

    fn take_page(&mut self, page: Result<Vec<Pending>, StoreError>) {
        self.has_failed = page.is_err();
        match page {
            Ok(page) => {
                let now = self.shared.clock.now();
                let limit = usize::try_from(PAGE).unwrap_or(usize::MAX);
                let settings = &self.endpoint.settings;
                let due = |pending: &Pending| {
                    let wait = pending.due_at.since(now).min(LONGEST_HOLD);
                    match settings.retry_after(pending.attempt_count) {
                        // What was never tried is due, whatever the wall clock has done since it was made.
                        _ if pending.attempt_count == 0 => Due::InOrder(Duration::ZERO),
                        // The window had let it go, and its experiment's later ones with it.
                        Some(delay) if delay > LONGEST_HOLD => Due::Alone(wait),
                        _ => Due::InOrder(wait),
                    }
                };
                let is_taken = self.window.page(page, limit, self.shared.clock.monotonic(), due);
                self.look_again = if is_taken { LOOK_AGAIN } else { (self.look_again * 2).min(LOOK_LATEST) };
            }
            Err(error) => {
                tracing::warn!(%error, endpoint = %self.endpoint.id, "pending deliveries cannot be read yet; trying again");
                self.window.page_failed();
            }
        }
    }

    fn send_what_is_due(&mut self) {
        let Some(client) = self.client.clone() else { return };
        while self.is_sending() && !self.is_full() {
            let Some(taken) = self.window.take(self.shared.clock.monotonic()) else { return };
            let (client, clock) = (client.clone(), self.shared.clock.clone());
            let format = self.endpoint.settings.format;
            self.in_flight.spawn(async move {
                let started_at = clock.now();
                let start = clock.monotonic();
                let event = &taken.pending.event;
                let message = client::Message {
                    id: &event.id.to_string(),
                    event: event.event_type.as_str(),
                    data: event.data_in(format),
                    revision: Some(event.revision),
                    attempt: taken.pending.attempt_count + 1,
                };
                let answer = client.send(&message, started_at).await;
                Sent { taken, answer, started_at, duration: clock.monotonic().saturating_sub(start) }
            });
        }
    }

    /// Decides what an answer means, lets the next of the experiment go, and has the outcome written.
    fn settle(&mut self, sent: Sent) {
        let Sent { taken, answer, started_at, duration } = sent;
        let number = taken.pending.attempt_count + 1;
        let now = self.shared.clock.now();
        let delay = if answer.is_success() { None } else { self.endpoint.settings.retry_after(number) };
        let delay = delay.map(|base| retry::with_jitter(base, self.shared.ids.next()));
        let due_at = delay.map_or(taken.pending.due_at, |delay| now.plus(delay));
        let state = match delay {
            Some(_) => DeliveryState::Pending,
            None if answer.is_success() => DeliveryState::Delivered,
            None => DeliveryState::Exhausted,
        };
        let retry = delay.map(|delay| (Pending { attempt_count: number, due_at, ..taken.pending.clone() }, delay));
        self.window.settle(&taken, retry, self.shared.clock.monotonic());
        let outcome = Outcome {
            delivery_id: taken.pending.id,
            attempt: attempt(number, started_at, duration, answer),
            state,
            due_at,
            ended_at: (state != DeliveryState::Pending).then_some(now),
        };
        // The recorder outlives every lane.
        let _ = self.shared.answered.send(Answered { endpoint_id: self.endpoint.id, outcome });
    }
}

fn connect(shared: &Shared, endpoint: &Endpoint) -> Option<Arc<Client>> {
    let key = Key { secret: endpoint.secret.clone(), signing_key: None, until: None };
    let target = Target {
        url: endpoint.settings.url.clone(),
        max_in_flight: endpoint.settings.max_in_flight,
        headers: Vec::new(),
        credentials: Credentials { body: endpoint.secret.clone(), message: vec![key] },
    };
    Client::connect(target, &shared.outbound)
        .inspect_err(|error| tracing::error!(%error, endpoint = %endpoint.id, "edit the endpoint"))
        .ok()
        .map(Arc::new)
}

fn attempt(number: u32, started_at: Timestamp, duration: Duration, answer: Answer) -> Attempt {
    let is_success = answer.is_success();
    let duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let base = Attempt {
        number,
        started_at,
        duration_us,
        status_code: None,
        error_class: None,
        error: None,
        response_body: None,
    };
    match answer {
        Answer::Status { code, body, .. } => Attempt {
            status_code: Some(code.into()),
            error_class: (!is_success).then(|| ErrorClass::Status.to_string()),
            error: (!is_success)
                .then(|| format!("the receiver answered {code}; a status from 200 to 299 is a success")),
            response_body: Some(body).filter(|body| !body.is_empty()),
            ..base
        },
        Answer::Failed { class, message } => {
            Attempt { error_class: Some(class.to_string()), error: Some(message), ..base }
        }
    }
}
