//! Identifiers: typed, prefixed, ordered by time (`evt_06f2…`): 48 bits of milliseconds, 80 random bits,
//! in Crockford's base 32, lower case, so that text order is time order. Experiments alone are numbered.

use std::fmt;

use super::clock::Timestamp;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 26;

/// Where identifiers come from. Handed in, so that tests decide them.
pub trait Ids: Send + Sync + 'static {
    fn next(&self) -> u128;

    /// Bytes that nobody can guess: for secrets, keys and nonces.
    fn secret_bytes(&self) -> [u8; 32];
}

/// The value of an id that is made at `at`, of as much of `random` as there is room for.
pub fn at(at: Timestamp, random: u128) -> u128 {
    (millis(at) << 80) | (random >> 48)
}

fn millis(at: Timestamp) -> u128 {
    u128::from(at.as_micros().max(0).unsigned_abs() / 1000)
}

/// The digits of `value`. Ids are written for every webhook, so this is done 60 bits at a time.
fn encode(value: u128) -> [u8; LENGTH] {
    const DIGITS: usize = 12;
    let mut out = [0; LENGTH];
    let mut rest = value;
    for part in out.rchunks_mut(DIGITS) {
        let mut bits = rest as u64 & ((1 << (5 * DIGITS)) - 1);
        for slot in part.iter_mut().rev() {
            *slot = ALPHABET[(bits & 31) as usize];
            bits >>= 5;
        }
        rest >>= 5 * DIGITS;
    }
    out
}

fn decode(text: &str) -> Option<u128> {
    if text.len() != LENGTH || text.as_bytes()[0] > b'7' {
        return None;
    }
    text.bytes().try_fold(0_u128, |value, byte| {
        let digit = ALPHABET.iter().position(|&letter| letter == byte)?;
        Some((value << 5) | digit as u128)
    })
}

/// The text form of `value` without a prefix; for names that need no type of their own.
pub fn text(value: u128) -> String {
    String::from_utf8_lossy(&encode(value)).into_owned()
}

/// The 16 bytes of an id in its text form, whatever its kind.
pub fn bytes_of_text(text: &str) -> Result<[u8; 16], String> {
    let digits = text.split_once('_').and_then(|(_, digits)| decode(digits));
    digits.map(u128::to_be_bytes).ok_or_else(|| format!("'{text}' is no id"))
}

/// An id that tells its kind by its prefix.
pub trait TypedId: std::str::FromStr<Err = String> + schemars::JsonSchema {}

macro_rules! typed_ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            pub const PREFIX: &'static str = concat!($prefix, "_");

            pub const fn of(value: u128) -> Self {
                Self(value)
            }

            /// Every id made earlier than `at` is smaller, every later one is not.
            pub fn first_at(at: Timestamp) -> Self {
                Self(millis(at) << 80)
            }

            /// The text form, made at once.
            pub fn text(self) -> String {
                let mut text = String::with_capacity(Self::PREFIX.len() + LENGTH);
                text.push_str(Self::PREFIX);
                text.extend(encode(self.0).map(char::from));
                text
            }

            /// In whose order time goes, as in that of the text.
            pub const fn to_bytes(self) -> [u8; 16] {
                self.0.to_be_bytes()
            }

            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(u128::from_be_bytes(bytes))
            }

            /// When it was made, to the millisecond.
            pub fn made_at(self) -> Timestamp {
                Timestamp::from_micros(i64::try_from(self.0 >> 80).unwrap_or(0).saturating_mul(1000))
            }
        }

        impl From<u128> for $name {
            fn from(value: u128) -> Self {
                Self(value)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Self::PREFIX)?;
                f.write_str(std::str::from_utf8(&encode(self.0)).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(given: &str) -> Result<Self, String> {
                given.strip_prefix(Self::PREFIX).and_then(decode).map(Self).ok_or_else(|| {
                    format!("'{given}' is not an id of this kind; these begin with '{}' and have 26 letters or digits after it", Self::PREFIX)
                })
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "pattern": format!("^{}[0-7][0-9a-hjkmnp-tv-z]{{25}}$", Self::PREFIX),
                    "examples": [Self(0x019d_4b5e_8000_u128 << 80 | 7).text()],
                })
            }
        }

        impl TypedId for $name {}

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let given = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
                given.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

typed_ids! {
    EventId = "evt";
    EndpointId = "ep";
    EndpointChangeId = "epc";
    DeliveryId = "dlv";
    RecoveryId = "rcv";
    NodeId = "node";
    RunId = "run";
    KeyId = "key";
    EntityId = "ent";
    WarehouseId = "wh";
    AssignmentSourceId = "as";
    FactSourceId = "fs";
    FactId = "fact";
    MetricId = "met";
    CollectionId = "col";
    /// A collection's copy in an experiment.
    GroupId = "grp";
    ScheduleId = "sch";
    TeamId = "team";
    PersonId = "per";
    LoginLinkId = "ll";
    SessionId = "ses";
}

/// How many low bits of a change's delivery tell its lane.
const LANE_BITS: u32 = 32;

impl DeliveryId {
    /// Of the delivery that a change makes of its event to a lane: the event's id with the lane's number at its end. So what
    /// is owed of an event lies together, and needs no index of its own.
    pub const fn of_event(event: EventId, lane: LaneNumber) -> Self {
        Self(Self::first_of(event).0 | lane as u128)
    }

    /// From here to [`Self::last_of`] lie all that a change makes of its event.
    pub const fn first_of(event: EventId) -> Self {
        Self(event.0 >> LANE_BITS << LANE_BITS)
    }

    pub const fn last_of(event: EventId) -> Self {
        Self::of_event(event, LaneNumber::MAX)
    }
}

/// A lane's number, from 1 up: shorter than its endpoint's id, for tables with a row for every delivery.
pub type LaneNumber = u32;

/// An experiment's number: from 1 up, below 2^53, so that every JSON reader keeps it exact.
pub type ExperimentId = i64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_form_round_trips_and_keeps_order(a: u128, b: u128) {
            let (x, y) = (EventId::of(a), EventId::of(b));
            prop_assert_eq!(x.to_string().parse::<EventId>().unwrap(), x);
            prop_assert_eq!(x.text(), x.to_string());
            prop_assert_eq!(a.cmp(&b), x.to_string().cmp(&y.to_string()));
        }
    }

    #[test]
    fn another_kind_is_refused_by_name() {
        let error = EndpointId::of(7).to_string().parse::<EventId>().unwrap_err();
        assert!(error.contains("evt_"), "{error}");
        assert!("evt_zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<EventId>().is_err(), "beyond 128 bits");
    }
}
