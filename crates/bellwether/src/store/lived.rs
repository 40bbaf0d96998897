//! Time that the installation has lived through: one counter in the database, and what the wall clock said meanwhile. A wall
//! clock that jumps makes nothing older than it is.

use std::time::Duration;

use super::{StoreError, Tx, query_one, settings};
use crate::domain::clock::Timestamp;
use crate::params;

/// The setting that holds the counter, in seconds.
const LIVED_SECONDS: &str = "lived_seconds";
/// The setting that holds what the wall clock said last, in microseconds.
const LAST_SEEN: &str = "last_seen";
const HOUR: u64 = 3600;
/// The wall clock is looked at every minute: for so long it may have shown earlier times after a jump.
const UNSEEN: Duration = Duration::from_secs(120);

/// How long the installation has lived.
pub fn read(tx: &mut dyn Tx) -> Result<Duration, StoreError> {
    let text = settings::get(tx, LIVED_SECONDS)?.unwrap_or_else(|| "0".to_owned());
    let seconds =
        text.parse().map_err(|_| StoreError::Failed(format!("the setting {LIVED_SECONDS} is no number: {text}")))?;
    Ok(Duration::from_secs(seconds))
}

/// What the wall clock said when a process last lived, to a minute; `None`: none has.
pub fn last_seen(tx: &mut dyn Tx) -> Result<Option<Timestamp>, StoreError> {
    let seen = settings::get(tx, LAST_SEEN)?.and_then(|text| text.parse().ok());
    Ok(seen.map(Timestamp::from_micros))
}

/// Counts `by` more, if nobody else has counted since the counter stood at `seen`, and notes what the wall clock says. Gives
/// what it stands at now.
pub fn advance(tx: &mut dyn Tx, seen: Duration, by: Duration, wall: Timestamp) -> Result<Duration, StoreError> {
    let stands_at = read(tx)?;
    let is_mine = stands_at == seen && !by.is_zero();
    let lived = if is_mine { seen + Duration::from_secs(by.as_secs()) } else { stands_at };
    if is_mine {
        settings::set(tx, LIVED_SECONDS, &lived.as_secs().to_string())?;
    }
    let sql = "INSERT INTO lived_hours (hour, earliest) VALUES ($1, $2) ON CONFLICT (hour) DO UPDATE SET \
               earliest = CASE WHEN excluded.earliest < lived_hours.earliest THEN excluded.earliest ELSE lived_hours.earliest END";
    tx.execute(sql, params![lived.as_secs() / HOUR, wall])?;
    settings::set(tx, LAST_SEEN, &wall.as_micros().to_string())?;
    Ok(lived)
}

/// What was made before this moment, by the wall clock of then, is older than `keep`; nothing younger is. `None`: nothing
/// has been there for so long. It is the earliest time that the wall clock has shown since.
pub fn older_than(tx: &mut dyn Tx, keep: Duration) -> Result<Option<Timestamp>, StoreError> {
    let Some(boundary) = read(tx)?.checked_sub(keep) else { return Ok(None) };
    let hour = boundary.as_secs() / HOUR;
    let sql = "SELECT MIN(earliest) AS earliest FROM lived_hours WHERE hour >= $1 AND EXISTS \
               (SELECT 1 FROM lived_hours before WHERE before.hour <= $1)";
    let earliest = query_one(tx, "lived_hours", sql, params![hour], |row| row.get::<Option<Timestamp>>("earliest"))?;
    tx.execute("DELETE FROM lived_hours WHERE hour < $1", params![hour])?;
    Ok(earliest.flatten().map(|earliest| earliest.minus(UNSEEN)))
}
