//! Everything that was ever changed, whatever it was, in order of time: experiments, endpoints, and definitions, keys and people.
//! It is read from where each kind's history lies, and stands nowhere twice.

use super::{Row, StoreError, Tx, Value, query_as};
use crate::domain::actor::Actor;
use crate::domain::clock::Timestamp;
use crate::domain::configuration::FieldChange;
use crate::params;

/// A history: its table, and its columns for the subject and for the place among the subject's changes.
struct History {
    table: &'static str,
    subject: &'static str,
    place: &'static str,
    /// A number, or an id.
    has_numbers: bool,
}

/// In the order in which changes of one moment are told.
const HISTORIES: [History; 3] = [
    History { table: "changes", subject: "experiment_id", place: "revision", has_numbers: true },
    History { table: "definition_changes", subject: "definition_id", place: "version", has_numbers: false },
    History { table: "endpoint_changes", subject: "endpoint_id", place: "id", has_numbers: false },
];

/// One change of something.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub place: Place,
    /// An experiment's number, or an id that says by its beginning of what.
    pub subject: String,
    pub action: String,
    pub actor: Actor,
    pub changes: Vec<FieldChange>,
    pub reason: String,
}

/// Where an entry stands: the later, the earlier it is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub occurred_at: Timestamp,
    history: usize,
    keys: (Key, Key),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(i64),
    Text(String),
}

impl Key {
    fn value(&self) -> Value {
        match self {
            Self::Number(number) => Value::from(*number),
            Self::Text(text) => Value::from(text),
        }
    }

    fn read(text: &str, is_number: bool) -> Option<Self> {
        if is_number { text.parse().ok().map(Self::Number) } else { Some(Self::Text(text.to_owned())) }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// As a cursor: `<microseconds>.<history>.<subject>.<place>`.
impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (subject, place) = &self.keys;
        write!(f, "{}.{}.{subject}.{place}", self.occurred_at.as_micros(), self.history)
    }
}

impl std::str::FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let parts: Vec<_> = text.split('.').collect();
        let [at, history, subject, place] = parts[..] else { return Err(()) };
        let occurred_at = Timestamp::from_micros(at.parse().map_err(|_| ())?);
        let history: usize = history.parse().map_err(|_| ())?;
        let of = HISTORIES.get(history).ok_or(())?;
        let is_number = |column: &str| of.has_numbers || column == "version";
        let keys = (Key::read(subject, is_number(of.subject)), Key::read(place, is_number(of.place)));
        let (Some(subject), Some(place)) = keys else { return Err(()) };
        if text.contains('\0') {
            return Err(());
        }
        Ok(Self { occurred_at, history, keys: (subject, place) })
    }
}

/// The last changes before `after`, the latest first.
pub fn list(tx: &mut dyn Tx, after: Option<&Place>, limit: u32) -> Result<Vec<Entry>, StoreError> {
    let mut all = Vec::new();
    for (number, history) in HISTORIES.iter().enumerate() {
        all.extend(list_of(tx, number, history, after, limit)?);
    }
    all.sort_by(|one, other| other.place.cmp(&one.place));
    all.truncate(limit as usize);
    Ok(all)
}

fn list_of(
    tx: &mut dyn Tx,
    number: usize,
    history: &History,
    after: Option<&Place>,
    limit: u32,
) -> Result<Vec<Entry>, StoreError> {
    let History { table, subject, place, .. } = history;
    let (range, mut values) = match after {
        None => ("$1 = 0".to_owned(), params![0_i64].to_vec()),
        // What is told later in one moment stands before it.
        Some(after) if number < after.history => ("occurred_at <= $1".to_owned(), params![after.occurred_at].to_vec()),
        Some(after) if number > after.history => ("occurred_at < $1".to_owned(), params![after.occurred_at].to_vec()),
        Some(after) => {
            let (first, second) = &after.keys;
            let range = format!("(occurred_at, {subject}, {place}) < ($1, $2, $3)");
            (range, vec![Value::from(after.occurred_at), first.value(), second.value()])
        }
    };
    values.push(limit.into());
    let sql = format!(
        "SELECT {subject} AS subject, {place} AS place, occurred_at, action, actor, changes, reason FROM {table} \
         WHERE {range} ORDER BY occurred_at DESC, {subject} DESC, {place} DESC LIMIT ${}",
        values.len()
    );
    query_as(tx, table, &sql, &values, |row| decode(row, number))
}

fn decode(row: &Row<'_>, history: usize) -> Result<Entry, StoreError> {
    let key = |column: &'static str| row.get(column).map(Key::Number).or_else(|_| row.get(column).map(Key::Text));
    let (subject, place) = (key("subject")?, key("place")?);
    Ok(Entry {
        subject: subject.to_string(),
        place: Place { occurred_at: row.get("occurred_at")?, history, keys: (subject, place) },
        action: row.get("action")?,
        actor: row.json("actor")?,
        changes: row.json("changes")?,
        reason: row.get("reason")?,
    })
}
