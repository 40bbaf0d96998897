//! Dates and times as text: the notations that are read, and reading them. Times without a zone are UTC.
//!
//! Nothing is guessed: a notation in which day and month might be taken for each other is not among them.

use serde::{Deserialize, Serialize};

/// How a time is written. Seconds and their fraction may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notation {
    Iso,
    IsoZoned,
    Blank,
    BlankZoned,
    BlankOffset,
    BlankUtc,
}

/// All notations, each with an example; docs/analysis.md lists the same.
pub const NOTATIONS: [(Notation, &str); 6] = [
    (Notation::Iso, "2026-03-01T10:00:00"),
    (Notation::IsoZoned, "2026-03-01T10:00:00Z"),
    (Notation::Blank, "2026-03-01 10:00:00"),
    (Notation::BlankZoned, "2026-03-01 10:00:00+00"),
    (Notation::BlankOffset, "2026-03-01 10:00:00.000 +0000"),
    (Notation::BlankUtc, "2026-03-01 10:00:00 UTC"),
];

impl Notation {
    pub fn example(self) -> &'static str {
        NOTATIONS.iter().find(|(notation, _)| *notation == self).map_or("", |(_, example)| example)
    }
}

/// A time, with what is beyond its microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since 1970-01-01T00:00:00Z.
    pub micros: i64,
    /// 0 to 999.
    pub nanos: i64,
}

const MICROS_A_DAY: i64 = 86_400_000_000;

/// The days since 1970-01-01 of `2026-03-01`.
pub fn date(text: &str) -> Option<i32> {
    if text.len() == 10 { days(text.as_bytes()) } else { None }
}

/// A time in one of [`NOTATIONS`].
pub fn time(text: &str) -> Option<(Notation, Moment)> {
    let bytes = text.as_bytes();
    if bytes.len() < 16 {
        return None;
    }
    let day = days(&bytes[..10])?;
    let (clock, nanos, rest) = clock(&bytes[11..])?;
    let (notation, offset_minutes) = match (bytes[10], rest) {
        (b'T', []) => (Notation::Iso, 0),
        (b' ', []) => (Notation::Blank, 0),
        (b' ', b" UTC") => (Notation::BlankUtc, 0),
        (b' ', [b' ', zone @ ..]) if zone != b"Z" => (Notation::BlankOffset, offset(zone)?),
        (b'T', zone) => (Notation::IsoZoned, offset(zone)?),
        (b' ', zone) => (Notation::BlankZoned, offset(zone)?),
        _ => return None,
    };
    let micros = i64::from(day) * MICROS_A_DAY + clock - offset_minutes * 60_000_000;
    Some((notation, Moment { micros, nanos }))
}

/// A number of `bytes.len()` digits.
fn number(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

fn days(bytes: &[u8]) -> Option<i32> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = *bytes else { return None };
    let (year, month, day) = (number(&[y0, y1, y2, y3])?, number(&[m0, m1])?, number(&[d0, d1])?);
    let is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let longest = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(is_leap),
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=longest).contains(&day) {
        return None;
    }
    // Years that begin in March, so that a leap day is the last (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    i32::try_from(era * 146_097 + year * 365 + year / 4 - year / 100 + day_of_year - 719_468).ok()
}

/// `10:00`, `10:00:00` or `10:00:00.000` in microseconds, what is beyond them, and what follows.
fn clock(bytes: &[u8]) -> Option<(i64, i64, &[u8])> {
    let [h0, h1, b':', m0, m1, rest @ ..] = bytes else { return None };
    let (hour, minute) = (number(&[*h0, *h1])?, number(&[*m0, *m1])?);
    let (mut second, mut fraction, mut rest) = (0, 0, rest);
    if let [b':', s0, s1, after @ ..] = rest {
        (second, rest) = (number(&[*s0, *s1])?, after);
        if let [b'.', after @ ..] = rest {
            let count = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&count) {
                return None;
            }
            let missing = u32::try_from(9 - count).ok()?;
            (fraction, rest) = (number(&after[..count])? * 10_i64.pow(missing), &after[count..]);
        }
    }
    let is_valid = hour < 24 && minute < 60 && second < 60;
    is_valid.then_some((((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction / 1000, fraction % 1000, rest))
}

/// `Z`, `+00`, `+0000` or `+00:00` in minutes.
fn offset(bytes: &[u8]) -> Option<i64> {
    let (sign, hour, minute) = match bytes {
        b"Z" => return Some(0),
        [sign, h0, h1] => (sign, number(&[*h0, *h1])?, 0),
        [sign, h0, h1, m0, m1] | [sign, h0, h1, b':', m0, m1] => (sign, number(&[*h0, *h1])?, number(&[*m0, *m1])?),
        _ => return None,
    };
    let minutes = hour * 60 + minute;
    match sign {
        _ if hour > 23 || minute > 59 => None,
        b'+' => Some(minutes),
        b'-' => Some(-minutes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_of_its_notation_and_means_the_same() {
        for (notation, example) in NOTATIONS {
            assert_eq!(
                time(example),
                Some((notation, Moment { micros: 1_772_359_200_000_000, nanos: 0 })),
                "{example}"
            );
        }
    }

    #[test]
    fn the_documents_list_every_notation() {
        let analysis = include_str!("../../../../docs/analysis.md");
        for (_, example) in NOTATIONS {
            assert!(analysis.contains(&format!("| `{example}` |")), "{example}");
        }
    }

    #[test]
    fn fractions_and_offsets_count() {
        let micros = |text: &str| time(text).map(|(_, moment)| moment.micros);
        let base = 1_772_359_200_000_000;
        for (text, expected) in [
            ("2026-03-01 10:00:00.123456 UTC", base + 123_456),
            ("2026-03-01T12:00:00.5+02:00", base + 500_000),
            ("2026-03-01 04:30:00 -0530", base),
            ("2026-03-01 09:00-01", base),
            ("2026-03-01T10:00", base),
        ] {
            assert_eq!(micros(text), Some(expected), "{text}");
        }
        let fine = time("2026-03-01T10:00:00.123456789Z").unwrap().1;
        assert_eq!((fine.micros - base, fine.nanos), (123_456, 789));
    }

    #[test]
    fn what_is_no_time_or_date() {
        for text in [
            "2026-03-01T24:00:00",
            "2026-02-29T10:00:00",
            "2026-13-01 10:00:00",
            "2026-03-01 10:00:60",
            "2026-03-01 10:00:00 CET",
            "2026-03-01 10:00:00.",
            "01.03.2026 10:00:00",
            "2026-03-01 10:00:00 Z",
            "2026-03-01  10:00:00",
            "2026-03-01T10:00:00 UTC",
            "2026-03-01",
        ] {
            assert_eq!(time(text), None, "{text}");
        }
        assert_eq!(date("1970-01-02"), Some(1));
        assert_eq!(date("0001-01-01"), Some(-719_162));
        assert_eq!(date("2000-02-29"), Some(11_016));
        for text in ["1900-02-29", "2026-00-10", "2026-3-01", "20260301", "2026-04-31", "+026-03-01"] {
            assert_eq!(date(text), None, "{text}");
        }
    }
}
