//! What arguments may be, and what is said of one that is not: the one error of all methods that take plain numbers.

/// An argument outside its range.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{name} is {value}; {allowed}")]
pub struct OutOfRange {
    pub name: &'static str,
    pub value: f64,
    /// What is allowed, and what to do.
    pub allowed: &'static str,
}

/// A probability or share strictly between 0 and 1.
pub(crate) fn between_0_and_1(name: &'static str, value: f64) -> Result<f64, OutOfRange> {
    let allowed = "it lies between 0 and 1, both excluded: set one such as 0.05, 0.5 or 0.95";
    if value > 0.0 && value < 1.0 { Ok(value) } else { Err(OutOfRange { name, value, allowed }) }
}

/// A finite number above 0.
pub(crate) fn positive(name: &'static str, value: f64) -> Result<f64, OutOfRange> {
    let allowed = "it is a finite number above 0: set or wait for one";
    if value > 0.0 && value.is_finite() { Ok(value) } else { Err(OutOfRange { name, value, allowed }) }
}

/// A finite number of 0 or more.
pub(crate) fn not_negative(name: &'static str, value: f64) -> Result<f64, OutOfRange> {
    let allowed = "it is a finite number of 0 or more: look for very large values in the facts";
    if value >= 0.0 && value.is_finite() { Ok(value) } else { Err(OutOfRange { name, value, allowed }) }
}

/// Any finite number.
pub(crate) fn finite(name: &'static str, value: f64) -> Result<f64, OutOfRange> {
    let allowed = "it is a finite number: look for very large values in the facts";
    if value.is_finite() { Ok(value) } else { Err(OutOfRange { name, value, allowed }) }
}

/// A number of at least 1.
pub(crate) fn at_least_one(name: &'static str, value: u64) -> Result<f64, OutOfRange> {
    let allowed = "it is 1 or more: add one, or leave the method out";
    if value >= 1 { Ok(value as f64) } else { Err(OutOfRange { name, value: value as f64, allowed }) }
}
