//! Writes what has happened already, and must not be lost for a database that is away: again and again until it is taken.

use std::time::Duration;

use super::{Error, Result};
use crate::domain::clock::Clock;

const SHORTEST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Tries until the database has taken it, or until it is certain that it never will. `write` may find that it was taken
/// before, by an attempt whose answer was lost.
pub async fn until_taken<T, F>(clock: &dyn Clock, what: &str, write: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut wait = SHORTEST_WAIT;
    loop {
        match write().await {
            Err(Error::Store(error)) if error.is_passing() => {
                tracing::warn!(%error, "{what} cannot be recorded yet; trying again");
            }
            other => return other,
        }
        clock.sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}
