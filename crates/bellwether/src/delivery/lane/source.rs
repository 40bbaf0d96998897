//! Where a lane's deliveries come from: the passes over the database that fill a window. A lane has two: one for what is due
//! in its time, one for what was recovered or replayed and comes behind.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::window::{Due, LONGEST_AHEAD, Limits, Window, Wish};
use crate::delivery::Shared;
use crate::domain::endpoint::{Endpoint, LONGEST_RETRY};
use crate::domain::event::Format;
use crate::store::pending::{self, Look, Owed, Pending};
use crate::store::{StoreError, Tx, endpoints};

/// Rows read from the database at a time.
const PAGE: u32 = 512;
/// How soon a window that is behind looks into the database though much is still open; twice as late each time in vain.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const LOOK_LATEST: Duration = Duration::from_secs(30);

/// How far ahead of its time a delivery is wanted while its endpoint fails, for then it may be tried before: any.
const LONGEST_PROBED: Duration = LONGEST_RETRY.saturating_mul(2);

/// What is pending, and the version of the endpoint that this was read beside.
pub type Page = Result<(Option<i64>, Vec<Pending>), StoreError>;

pub struct Source {
    shared: Arc<Shared>,
    pub owed: Owed,
    pages: JoinSet<Page>,
    looked_at: Duration,
    look_again: Duration,
    /// The last page could not be read, or was not fit for use.
    has_failed: bool,
}

impl Source {
    pub fn new(shared: Arc<Shared>, owed: Owed) -> Self {
        let looked_at = shared.clock.monotonic();
        Self { shared, owed, pages: JoinSet::new(), looked_at, look_again: LOOK_AGAIN, has_failed: false }
    }

    /// Begins anew with what the database says. A page under way was read before.
    pub fn clear(&mut self, window: &mut Window, limits: Limits) {
        self.pages = JoinSet::new();
        window.clear(limits);
        self.look_again = LOOK_AGAIN;
        self.has_failed = false;
    }

    /// How long it is until another look into the database is due; `None`: none is.
    pub fn next_look(&self, window: &Window, now: Duration) -> Option<Duration> {
        (window.is_out_of_step() && self.pages.is_empty())
            .then(|| (self.looked_at + self.look_again).saturating_sub(now))
    }

    /// `is_probing`: what is due later is wanted too.
    pub fn read_page(&mut self, window: &mut Window, format: Format, is_probing: bool) {
        if !self.pages.is_empty() {
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
        let Some(Wish { after, reach }) = window.next_page(is_overdue) else { return };
        let db = self.shared.registry.db().clone();
        let due_by = self.shared.clock.now().plus(if is_probing { LONGEST_PROBED } else { LONGEST_AHEAD });
        let reach = u32::try_from(reach).unwrap_or(u32::MAX);
        let look = Look { owed: self.owed, after, due_by, reach, limit: PAGE, format };
        let read = move |tx: &mut dyn Tx| Ok((endpoints::version(tx, look.owed.endpoint)?, pending::read(tx, &look)?));
        self.pages.spawn(async move { db.look(read).await });
    }

    /// The page under way, when it has come; pends for ever if there is none.
    pub async fn page(&mut self) -> Page {
        match self.pages.join_next().await {
            Some(page) => page.unwrap_or_else(|error| Err(StoreError::Failed(error.to_string()))),
            None => std::future::pending().await,
        }
    }

    pub fn take_page(&mut self, window: &mut Window, page: Page, endpoint: &Endpoint, is_probing: bool) {
        self.has_failed = true;
        let page = match page {
            Ok((version, page)) if version == Some(endpoint.version) => page,
            // It was edited, and the lane is about to hear of it. What was owed after that must not go out as before.
            Ok(_) => return window.page_failed(),
            Err(error) => {
                tracing::warn!(%error, endpoint = %self.owed.endpoint, "pending deliveries cannot be read yet; trying again");
                return window.page_failed();
            }
        };
        self.has_failed = false;
        let (now, settings) = (self.shared.clock.now(), &endpoint.settings);
        let limit = usize::try_from(PAGE).unwrap_or(usize::MAX);
        let due = |pending: &Pending| {
            let wait = pending.due_at.since(now).min(if is_probing { LONGEST_PROBED } else { LONGEST_AHEAD });
            match settings.retry_after(pending.failure_count) {
                // What never failed is due, whatever the wall clock has done since it was made.
                _ if pending.failure_count == 0 => Due::InOrder(Duration::ZERO),
                // The window had let it go, and its experiment's later ones with it.
                Some(delay) if delay > settings.hold() && !wait.is_zero() && !is_probing => Due::Alone(wait),
                _ => Due::InOrder(wait),
            }
        };
        let is_taken = window.page(page, limit, self.shared.clock.monotonic(), due);
        self.look_again = if is_taken { LOOK_AGAIN } else { (self.look_again * 2).min(LOOK_LATEST) };
    }
}
