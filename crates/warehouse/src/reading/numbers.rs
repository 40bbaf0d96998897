//! Numbers as text: whether a number's text is the one that it is printed as, and printing it.
//!
//! There are two customs for the shortest text of a double: `1` and `0.00001` (JavaScript, PostgreSQL, Rust), and `1.0` and
//! `1e-05` (Python and what is made with it). Either survives if a whole column keeps to it.

use serde::{Deserialize, Serialize};

/// Digits that a double holds for sure, whatever number they make.
const SURE_DIGITS: usize = 15;
/// Digits of a decimal.
const MOST_DIGITS: usize = 38;

/// How the doubles of a column are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Custom {
    /// `1`, `1.5`, `0.00001`
    Plain,
    /// `1.0`, `1.5`, `1e-05`
    Pointed,
}

/// What a text looks like that may be a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    is_negative: bool,
    /// Digits before the point.
    whole: usize,
    /// Digits after the point, if there is one.
    fraction: Option<usize>,
    /// Zeros right after the point.
    small: usize,
    has_exponent: bool,
    is_zero: bool,
    /// Nothing but zeros before the point.
    has_zero_before_point: bool,
    /// No `+`, and no zero before another digit.
    is_canonical: bool,
    ends_in_zero: bool,
}

impl Shape {
    /// `None` if the text is no number in the usual notation.
    pub fn of(text: &str) -> Option<Shape> {
        let bytes = text.as_bytes();
        let (is_negative, has_plus) = (bytes.first() == Some(&b'-'), bytes.first() == Some(&b'+'));
        let digits = &bytes[usize::from(is_negative || has_plus)..];
        let whole = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut rest = &digits[whole..];
        let has_zero_before_point = digits[..whole].iter().all(|byte| *byte == b'0');
        let (mut fraction, mut small, mut is_zero) = (None, 0, has_zero_before_point);
        let mut ends_in_zero = false;
        if let Some((b'.', after)) = rest.split_first() {
            let count = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
            small = after[..count].iter().take_while(|byte| **byte == b'0').count();
            is_zero &= small == count;
            ends_in_zero = count > 0 && after[count - 1] == b'0';
            (fraction, rest) = (Some(count), &after[count..]);
        }
        if whole == 0 && fraction.unwrap_or(0) == 0 {
            return None;
        }
        let mut has_exponent = false;
        if let Some((b'e' | b'E', after)) = rest.split_first() {
            let after = if let Some((b'+' | b'-', after)) = after.split_first() { after } else { after };
            if after.is_empty() || !after.iter().all(u8::is_ascii_digit) {
                return None;
            }
            (has_exponent, rest) = (true, &[]);
        }
        let leads_with_zero = whole > 1 && digits[0] == b'0';
        let is_canonical = !has_plus && whole > 0 && !leads_with_zero && fraction != Some(0);
        rest.is_empty().then_some(Shape {
            is_negative,
            whole,
            fraction,
            small,
            has_exponent,
            is_zero,
            has_zero_before_point,
            is_canonical,
            ends_in_zero,
        })
    }

    /// Whether it is a whole number of 64 bits, printed as such.
    pub fn is_int(&self, text: &str) -> bool {
        let is_whole = self.is_canonical && self.fraction.is_none() && !self.has_exponent;
        is_whole && !(self.is_negative && self.is_zero) && (self.whole <= 18 || text.parse::<i64>().is_ok())
    }

    /// Digits before and after the point, if it is a decimal that is printed as such. A zero before the point is none.
    pub fn decimal(&self) -> Option<(u8, u8)> {
        let scale = self.fraction.filter(|_| self.is_canonical && !self.has_exponent)?;
        let is_small = self.is_zero || (self.whole == 1 && self.has_zero_before_point);
        let whole = if is_small { 0 } else { self.whole };
        let fits = whole + scale <= MOST_DIGITS && !(self.is_negative && self.is_zero);
        fits.then_some((u8::try_from(whole).ok()?, u8::try_from(scale).ok()?))
    }

    /// Whether it is the shortest text of its double by `custom`.
    pub fn is_shortest(&self, text: &str, custom: Custom) -> bool {
        let is_sure = self.is_canonical
            && !self.has_exponent
            && self.whole + self.fraction.unwrap_or(0) <= SURE_DIGITS
            && !(self.is_negative && self.is_zero);
        if is_sure {
            return match custom {
                Custom::Plain => !self.ends_in_zero,
                Custom::Pointed => {
                    let is_shown_with_exponent = !self.is_zero && self.small >= 4 && self.has_zero_before_point;
                    self.fraction.is_some_and(|digits| !self.ends_in_zero || digits == 1) && !is_shown_with_exponent
                }
            };
        }
        // A negative zero is a number of its own only to Python.
        let is_lost = self.is_negative && self.is_zero && custom == Custom::Plain;
        !is_lost && text.parse::<f64>().is_ok_and(|value| value.is_finite() && print(value, custom) == text)
    }
}

/// The shortest text that is read back as the same double.
pub fn print(value: f64, custom: Custom) -> String {
    if custom == Custom::Plain || !value.is_finite() {
        return value.to_string();
    }
    // Digits and exponent are the same in every custom; only their layout differs.
    let scientific = format!("{value:e}");
    let exponent = scientific.split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok()).unwrap_or(0);
    if value != 0.0 && !(-4..16).contains(&exponent) {
        let digits = scientific.split_once('e').map_or("", |(digits, _)| digits);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.unsigned_abs());
    }
    let plain = value.to_string();
    if plain.contains('.') { plain } else { format!("{plain}.0") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds(text: &str) -> (bool, Option<(u8, u8)>, bool, bool) {
        let shape = Shape::of(text).unwrap();
        let shortest = |custom| shape.is_shortest(text, custom);
        (shape.is_int(text), shape.decimal(), shortest(Custom::Plain), shortest(Custom::Pointed))
    }

    #[test]
    fn what_is_printed_back() {
        for (text, expected) in [
            ("0", (true, None, true, false)),
            ("-12", (true, None, true, false)),
            ("9223372036854775807", (true, None, false, false)),
            ("9223372036854775808", (false, None, false, false)),
            ("007", (false, None, false, false)),
            ("+7", (false, None, false, false)),
            ("-0", (false, None, false, false)),
            ("1.0", (false, Some((1, 1)), false, true)),
            ("1.50", (false, Some((1, 2)), false, false)),
            ("-0.50", (false, Some((0, 2)), false, false)),
            ("-0.0", (false, None, false, true)),
            ("-0.00", (false, None, false, false)),
            ("0.00", (false, Some((0, 2)), false, false)),
            ("0.1", (false, Some((0, 1)), true, true)),
            (".5", (false, None, false, false)),
            ("5.", (false, None, false, false)),
            ("12e3", (false, None, false, false)),
            ("1e-05", (false, None, false, true)),
            ("0.00001", (false, Some((0, 5)), true, false)),
            ("1.00001", (false, Some((1, 5)), true, true)),
            ("10.00002", (false, Some((2, 5)), true, true)),
            ("0.0001", (false, Some((0, 4)), true, true)),
            ("1e+16", (false, None, false, true)),
            ("1234567890123456.0", (false, Some((16, 1)), false, true)),
            ("0.30000000000000004", (false, Some((0, 17)), true, true)),
            ("0.30000000000000001", (false, Some((0, 17)), false, false)),
            ("100000000000000000000", (false, None, true, false)),
            ("12345678901234567890", (false, None, false, false)),
        ] {
            assert_eq!(kinds(text), expected, "{text}");
        }
        for text in ["", "-", ".", "1e", "1e5x", "0x10", "1_000", "NaN", "inf", " 1", "1,5", "e5", "--1"] {
            assert_eq!(Shape::of(text), None, "{text}");
        }
    }

    proptest! {
        /// The quick answers are those of printing.
        #[test]
        fn shortest_means_printed_back(text in "-?[0-9]{1,3}(\\.[0-9]{1,8})?(e[-+]?[0-9]{1,2})?") {
            let value: f64 = text.parse().unwrap();
            let shape = Shape::of(&text).unwrap();
            for custom in [Custom::Plain, Custom::Pointed] {
                let is_printed = print(value, custom) == text && !(custom == Custom::Plain && text == "-0");
                prop_assert_eq!(shape.is_shortest(&text, custom), is_printed, "{} {:?}", text, custom);
            }
        }
    }
}
