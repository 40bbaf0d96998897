//! What all values of a column have shown about its type, and the reason that is told for it.
//!
//! It starts with every type and strikes out what a value would not survive. Evidence of several files is joined, so that a
//! type holds over all of them together.

use super::numbers::{Custom, Shape, print};
use super::times::{self, Notation};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// How much of a value is told.
const LONGEST_TOLD: usize = 60;
/// The digits of a decimal, and of what sums of them may come to.
const MOST_DIGITS: u8 = 38;
/// Microseconds within which a time of nanoseconds can be held: 1678 to 2261.
const FINE_REACH: i64 = 9_214_000_000_000_000;

/// What a column of a text file becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Text,
    Int,
    Bool,
    Date,
    Decimal {
        digits: u8,
        scale: u8,
    },
    Double(Custom),
    /// `is_fine`: to the nanosecond, as more than microseconds are written.
    Time {
        is_fine: bool,
    },
}

/// A type that a column may have, in the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Candidate {
    Int,
    Bool,
    Date,
    Decimal,
    Plain,
    Pointed,
    Time,
}

use Candidate::{Bool, Date, Decimal, Int, Plain, Pointed, Time};

const CANDIDATES: [Candidate; 7] = [Int, Bool, Date, Decimal, Plain, Pointed, Time];

impl Candidate {
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

const NUMBERS: u8 = Int.bit() | Decimal.bit() | Plain.bit() | Pointed.bit();
const ALL: u8 = NUMBERS | Bool.bit() | Date.bit() | Time.bit();

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    value: String,
    row: u64,
    /// The file, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The candidates that every value so far would survive.
    open: u8,
    /// The first value.
    first: Option<Witness>,
    /// The value that struck out the last of the open candidates, and which ones it struck out.
    last: Option<(u8, Witness)>,
    /// Of decimals: the most digits before the point, and the number of digits after it.
    whole: u8,
    scale: Option<u8>,
    notation: Option<Notation>,
    /// Whether some time is finer than a microsecond, and whether some is out of reach for such.
    is_fine: bool,
    is_far: bool,
}

impl Default for Evidence {
    fn default() -> Self {
        Evidence {
            open: ALL,
            first: None,
            last: None,
            whole: 0,
            scale: None,
            notation: None,
            is_fine: false,
            is_far: false,
        }
    }
}

impl Evidence {
    /// Takes the values of a column; the first stands in `row(0)`. Empty ones decide nothing.
    pub fn take<'a>(&mut self, values: impl Iterator<Item = Cow<'a, str>>, row: impl Fn(usize) -> u64) {
        if self.open == 0 {
            return;
        }
        for (index, value) in values.enumerate() {
            if value.is_empty() {
                continue;
            }
            let witness = || Witness { value: cut(&value), row: row(index), file: None };
            if self.first.is_none() {
                self.first = Some(witness());
            }
            let struck = self.open & !self.fitting(&value);
            if struck != 0 {
                self.strike(struck, witness());
                if self.open == 0 {
                    return;
                }
            }
        }
    }

    /// One value that stands for all rows of a file.
    pub fn of_one(value: &str) -> Evidence {
        let mut evidence = Evidence::default();
        evidence.take(std::iter::once(Cow::Borrowed(value)), |_| 1);
        evidence
    }

    /// Adds what another file has shown, which comes after this one.
    pub fn join(&mut self, other: &Evidence, file: &str) {
        let named = |witness: &Witness| Witness { file: Some(file.to_owned()), ..witness.clone() };
        if let Some((_, witness)) = &other.last {
            let struck = self.open & !other.open;
            if struck != 0 {
                self.strike(struck, named(witness));
            }
        }
        if let Some(first) = &other.first {
            let differs = |mine: bool, bit: u8| if mine { self.open & other.open & bit } else { 0 };
            let struck =
                differs(self.scale.is_some() && other.scale.is_some() && self.scale != other.scale, Decimal.bit())
                    | differs(
                        self.notation.is_some() && other.notation.is_some() && self.notation != other.notation,
                        Time.bit(),
                    );
            if struck != 0 {
                self.strike(struck, named(first));
            }
            if self.first.is_none() {
                self.first = Some(named(first));
            }
        }
        self.whole = self.whole.max(other.whole);
        self.scale = self.scale.or(other.scale);
        self.notation = self.notation.or(other.notation);
        self.is_fine |= other.is_fine;
        self.is_far |= other.is_far;
    }

    /// Names the file that everything so far is of.
    pub fn in_file(mut self, file: &str) -> Evidence {
        let witnesses = self.first.iter_mut().chain(self.last.iter_mut().map(|(_, witness)| witness));
        witnesses.for_each(|witness| witness.file = Some(file.to_owned()));
        self
    }

    pub fn kind(&self) -> Kind {
        let candidate =
            CANDIDATES.into_iter().find(|candidate| self.open & candidate.bit() != 0 && self.holds(*candidate));
        match candidate.filter(|_| self.first.is_some()) {
            None => Kind::Text,
            Some(Int) => Kind::Int,
            Some(Bool) => Kind::Bool,
            Some(Date) => Kind::Date,
            Some(Decimal) => {
                let scale = self.scale.unwrap_or_default();
                Kind::Decimal { digits: (self.whole + scale).max(1), scale }
            }
            Some(Plain) => Kind::Double(Custom::Plain),
            Some(Pointed) => Kind::Double(Custom::Pointed),
            Some(Time) => Kind::Time { is_fine: self.is_fine },
        }
    }

    /// Why the column has its type.
    pub fn why(&self) -> String {
        match self.kind() {
            Kind::Int => "every value is an integer, printed back identically".to_owned(),
            Kind::Bool => "every value is true or false".to_owned(),
            Kind::Date => "every value is a date, printed back identically".to_owned(),
            Kind::Decimal { scale, .. } => {
                format!("every value has {scale} digit{} after the point, printed back identically", plural(scale))
            }
            Kind::Double(_) => "every value is the shortest text of its number, printed back identically".to_owned(),
            Kind::Time { .. } => {
                let example = self.notation.map_or("", Notation::example);
                format!("every value is a time written like {example}")
            }
            Kind::Text => format!("text: {}", self.why_text()),
        }
    }

    fn why_text(&self) -> String {
        let Some((struck, witness)) = &self.last else {
            return match self.first {
                None => "every value is empty".to_owned(),
                Some(_) => "its values differ too much in size for one type".to_owned(),
            };
        };
        let Witness { value, row, file } = witness;
        let place = file.as_ref().map_or_else(|| format!("row {row}"), |file| format!("row {row} of {file}"));
        let before = if struck & NUMBERS != 0 {
            if let Some(number) = became(value) {
                return match &number == value {
                    false => format!("{value} would become {number} ({place})"),
                    true => format!("{value} is written another way than the numbers before it ({place})"),
                };
            }
            "number"
        } else if struck & Bool.bit() != 0 {
            "true or false"
        } else if struck & Date.bit() != 0 {
            "date"
        } else {
            let example = self.notation.map_or("", Notation::example);
            return format!("{value:?} is no time written like {example}, as those before it ({place})");
        };
        if value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false") {
            return format!("{value} would become {} ({place})", value.to_ascii_lowercase());
        }
        format!("{value:?} is no {before} ({place})")
    }

    fn holds(&self, candidate: Candidate) -> bool {
        match candidate {
            Decimal => self.whole + self.scale.unwrap_or_default() <= MOST_DIGITS,
            Time => !(self.is_fine && self.is_far),
            _ => true,
        }
    }

    fn strike(&mut self, struck: u8, witness: Witness) {
        self.open &= !struck;
        self.last = Some((struck, witness));
    }

    /// The open candidates that `value` would survive.
    fn fitting(&mut self, value: &str) -> u8 {
        let mut fits = 0;
        if self.open & NUMBERS != 0
            && let Some(shape) = Shape::of(value)
        {
            fits |= self.fitting_numbers(value, &shape);
        }
        if self.open & Bool.bit() != 0 && (value == "true" || value == "false") {
            fits |= Bool.bit();
        }
        if self.open & Date.bit() != 0 && times::date(value).is_some() {
            fits |= Date.bit();
        }
        if self.open & Time.bit() != 0
            && let Some((notation, moment)) = times::time(value)
            && *self.notation.get_or_insert(notation) == notation
        {
            self.is_fine |= moment.nanos != 0;
            self.is_far |= moment.micros.abs() > FINE_REACH;
            fits |= Time.bit();
        }
        fits
    }

    fn fitting_numbers(&mut self, value: &str, shape: &Shape) -> u8 {
        let mut fits = 0;
        if self.open & Int.bit() != 0 && shape.is_int(value) {
            fits |= Int.bit();
        }
        if self.open & Decimal.bit() != 0
            && let Some((whole, scale)) = shape.decimal()
            && *self.scale.get_or_insert(scale) == scale
        {
            self.whole = self.whole.max(whole);
            fits |= Decimal.bit();
        }
        if self.open & Plain.bit() != 0 && shape.is_shortest(value, Custom::Plain) {
            fits |= Plain.bit();
        }
        if self.open & Pointed.bit() != 0 && shape.is_shortest(value, Custom::Pointed) {
            fits |= Pointed.bit();
        }
        fits
    }
}

/// What a text would be as a number.
fn became(value: &str) -> Option<String> {
    Shape::of(value)?;
    if let Ok(whole) = value.parse::<i64>() {
        return Some(whole.to_string());
    }
    value.parse::<f64>().ok().map(|number| print(number, Custom::Plain))
}

fn cut(value: &str) -> String {
    match value.len() > LONGEST_TOLD {
        true => format!("{}…", &value[..value.floor_char_boundary(LONGEST_TOLD)]),
        false => value.to_owned(),
    }
}

fn plural(count: u8) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(values: &[&str]) -> Evidence {
        let mut evidence = Evidence::default();
        evidence.take(values.iter().map(|value| Cow::Borrowed(*value)), |index| index as u64 + 1);
        evidence
    }

    #[test]
    fn a_type_is_what_every_value_survives() {
        let plain = Kind::Double(Custom::Plain);
        for (values, expected) in [
            (&["1", "", "-22"][..], Kind::Int),
            (&["007", "8"], Kind::Text),
            (&["12e3", "7"], Kind::Text),
            (&["9223372036854775808"], Kind::Text),
            (&["true", "false"], Kind::Bool),
            (&["True", "False"], Kind::Text),
            (&["2026-03-01", ""], Kind::Date),
            (&["2026-03-01", "2026-02-30"], Kind::Text),
            (&["1.9", "1.10"], Kind::Text),
            (&["3.50", "12.00", "0.05"], Kind::Decimal { digits: 4, scale: 2 }),
            (&["0.05"], Kind::Decimal { digits: 2, scale: 2 }),
            (&["1001.0"], Kind::Decimal { digits: 5, scale: 1 }),
            (&["1", "1.5"], plain),
            (&["1.25", "2.5"], plain),
            (&["1.0", "2.25", "1e-05"], Kind::Double(Custom::Pointed)),
            (&["1", "1.0"], Kind::Text),
            (&["1", "1.50"], Kind::Text),
            (&["2026-03-01T10:00:00Z", "2026-03-01T10:00:00.5+02:00"], Kind::Time { is_fine: false }),
            (&["2026-03-01 10:00:00.1234567 +0000"], Kind::Time { is_fine: true }),
            (&["9026-03-01 10:00:00.1234567"], Kind::Text),
            (&["2026-03-01", "2026-03-01T10:00:00"], Kind::Text),
            (&["2026-03-01 10:00:00", "2026-03-01 10:00:00 UTC"], Kind::Text),
            (&["", ""], Kind::Text),
            (&["NaN", "1.5"], Kind::Text),
        ] {
            assert_eq!(evidence(values).kind(), expected, "{values:?}");
        }
    }

    #[test]
    fn it_says_why() {
        for (values, expected) in [
            (&["1"][..], "every value is an integer, printed back identically"),
            (&["1.9", "1.10"], "text: 1.10 would become 1.1 (row 2)"),
            (&["7", "007"], "text: 007 would become 7 (row 2)"),
            (&["True"], "text: True would become true (row 1)"),
            (&["7", "Z"], "text: \"Z\" is no number (row 2)"),
            (&["", "a"], "text: \"a\" is no number (row 2)"),
            (&["", ""], "text: every value is empty"),
            (&["1.5", "1.55", "1.50"], "text: 1.50 would become 1.5 (row 3)"),
            (
                &["2026-03-01 10:00", "x"],
                "text: \"x\" is no time written like 2026-03-01 10:00:00, as those before it (row 2)",
            ),
        ] {
            assert_eq!(evidence(values).why(), expected, "{values:?}");
        }
    }

    #[test]
    fn files_are_joined_to_what_holds_over_all() {
        for (one, other, expected) in [
            (&["1"][..], &["2"][..], Kind::Int),
            (&["1"], &["1.5"], Kind::Double(Custom::Plain)),
            (&["1.5"], &["1.25"], Kind::Double(Custom::Plain)),
            (&["1.50"], &["1.5"], Kind::Text),
            (&["1"], &["007"], Kind::Text),
            (&[], &["1"], Kind::Int),
            (&["1"], &[], Kind::Int),
            (&["2026-03-01"], &["2026-03-01T10:00:00"], Kind::Text),
            (&["2026-03-01 10:00:00"], &["2026-03-01T10:00:00"], Kind::Text),
        ] {
            let mut joined = evidence(one).in_file("a.csv");
            joined.join(&evidence(other), "b.csv");
            assert_eq!(joined.kind(), expected, "{one:?} {other:?}");
        }
        let mut joined = evidence(&["1.9"]).in_file("a.csv");
        joined.join(&evidence(&["1.10"]), "b.csv");
        assert_eq!(joined.why(), "text: 1.10 would become 1.1 (row 1 of b.csv)");
    }
}
