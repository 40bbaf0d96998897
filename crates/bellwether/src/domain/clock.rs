//! Time as Bellwether keeps it: UTC microseconds, read from a [`Clock`] that is handed in, so that tests decide what time it
//! is. The machine's own is in `platform::clock`.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment in UTC, microseconds since 1970-01-01T00:00:00Z. In JSON: RFC 3339 with a `Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Time from `earlier` to `self`; zero if the wall clock went backwards in between.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The UTC day this moment lies in.
    pub fn date(self) -> jiff::civil::Date {
        self.to_jiff().to_zoned(jiff::tz::TimeZone::UTC).date()
    }

    /// The UTC midnight at or before this moment.
    pub fn midnight(self) -> Self {
        Self(self.0 - self.0.rem_euclid(86_400_000_000))
    }

    /// The first moment of a UTC day.
    pub fn of_date(date: jiff::civil::Date) -> Self {
        Self(date.to_zoned(jiff::tz::TimeZone::UTC).map(|zoned| zoned.timestamp().as_microsecond()).unwrap_or(0))
    }

    pub fn to_jiff(self) -> jiff::Timestamp {
        // Of what is beyond its ends, the end is shown: 9999-12-31 stands for "never" in many tables.
        let end = if self.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(end)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_jiff().fmt(f)
    }
}

impl std::str::FromStr for Timestamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<jiff::Timestamp>().map(|at| Self(at.as_microsecond())).map_err(|_| {
            let shown: String = text.chars().take(40).collect();
            if looks_like_rfc_3339(text) {
                format!("'{shown}' is out of range; years from -9999 to 9999 are allowed, less a day at the ends")
            } else {
                format!("'{shown}' is not an RFC 3339 time; write it like 2026-03-01T09:30:00Z")
            }
        })
    }
}

/// Whether only the range can be what is wrong with it: a date and a time stand there as they should.
fn looks_like_rfc_3339(text: &str) -> bool {
    let civil = text.get(..19).filter(|_| text.len() > 19).map(|civil| civil.replacen(['t', ' '], "T", 1));
    civil.is_some_and(|civil| civil.contains('T') && civil.parse::<jiff::civil::DateTime>().is_ok())
        && (text.ends_with(['Z', 'z']) || text.get(text.len() - 6..).is_some_and(|end| end.starts_with(['+', '-'])))
}

impl schemars::JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "date-time"})
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync + 'static {
    /// Wall time. It may jump; nothing that must not is decided by it.
    fn now(&self) -> Timestamp;

    /// Time that only moves forward, from an arbitrary start: for waiting and for measuring.
    fn monotonic(&self) -> Duration;

    /// Ends when so much of that time has passed. Runs, deliveries and upkeep wait by this, so that tests decide for how
    /// long. Limits on what others take to answer are tokio's, and so are the pauses of connections: what clients and
    /// receivers are given and made to wait (`api/acceptor.rs`, `access.rs`, `connection.rs` and `stream.rs`; `dial.rs`).
    fn sleep(&self, duration: Duration) -> Sleep;
}

pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses_rfc_3339() {
        let at: Timestamp = "2026-03-01T10:30:00.25+01:00".parse().unwrap();
        assert_eq!(at.to_string(), "2026-03-01T09:30:00.25Z");
        assert_eq!(at.date().to_string(), "2026-03-01");
        assert_eq!(at.midnight().to_string(), "2026-03-01T00:00:00Z");
        assert!("yesterday".parse::<Timestamp>().unwrap_err().contains("'yesterday' is not"));
        assert!("9999-12-31T23:59:59Z".parse::<Timestamp>().unwrap_err().contains("out of range"));
        assert!("2026-13-01T00:00:00Z".parse::<Timestamp>().unwrap_err().contains("is not an RFC 3339"));
    }

    #[test]
    fn midnight_before_the_epoch_is_earlier_not_later() {
        assert_eq!(Timestamp::from_micros(-1).midnight().to_string(), "1969-12-31T00:00:00Z");
    }
}
