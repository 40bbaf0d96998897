//! From an interval to a word: how far a measurement is, whether it has found anything, and whether a guardrail holds.
//!
//! Each judges one metric of one treatment by the interval it is given, whichever method made it and whatever correction
//! widened it. What follows for the experiment is the caller's.

use crate::range::{OutOfRange, positive};

/// Which way a metric should move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DesiredChange {
    Increase,
    Decrease,
}

impl DesiredChange {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Increase => "increase",
            Self::Decrease => "decrease",
        }
    }

    /// 1 for an increase, −1 for a decrease: what a change is multiplied by so that above 0 means desired.
    pub(crate) const fn sign(self) -> f64 {
        match self {
            Self::Increase => 1.0,
            Self::Decrease => -1.0,
        }
    }

    /// The interval turned so that above 0 means desired.
    fn turned(self, (low, high): (f64, f64)) -> (f64, f64) {
        match self {
            Self::Increase => (low, high),
            Self::Decrease => (-high, -low),
        }
    }
}

/// What is known of a guardrail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guardrail {
    Breached,
    Safe,
    AtRisk,
}

impl Guardrail {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Breached => "breached",
            Self::Safe => "safe",
            Self::AtRisk => "at_risk",
        }
    }
}

/// What is found of a metric of one treatment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Better,
    Worse,
    NoDifferenceFound,
    NotEnoughData,
}

impl Verdict {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NoDifferenceFound => "no_difference_found",
            Self::NotEnoughData => "not_enough_data",
        }
    }
}

/// How far a measurement is, in 0..=1: min(1, (`target` / half the interval's width)²), for the width shrinks by the root
/// of the number of subjects. `target` is the half width that is wanted, in the unit of the interval.
///
/// 1 for an interval without width, 0 for an infinite one. Refused: a target that is not a finite number above 0, an end
/// that is not a number, and a low end above the high one.
pub fn progress(target: f64, (low, high): (f64, f64)) -> Result<f64, OutOfRange> {
    positive("the target", target)?;
    let half_width = high / 2.0 - low / 2.0;
    if half_width.is_nan() || half_width < 0.0 {
        let allowed = "the low end lies at or below the high end, and both are numbers";
        return Err(OutOfRange { name: "half the interval's width", value: half_width, allowed });
    }
    let share = target / half_width;
    Ok((share * share).min(1.0))
}

/// How long the whole will take, in the unit of `elapsed`, if progress goes on as it did: `elapsed` / `progress`. It is
/// `elapsed` itself once progress is 1. `None` where there is no telling: before the start, without any progress, or
/// beyond the numbers.
pub fn expected_duration(elapsed: f64, progress: f64) -> Option<f64> {
    let duration = elapsed / progress.min(1.0);
    (elapsed > 0.0 && progress > 0.0 && duration.is_finite()).then_some(duration)
}

/// A guardrail's state: breached if the whole interval lies beyond `cutoff`, safe if none of it does, else at risk. Beyond
/// is strictly below the cutoff where an increase is desired, strictly above where a decrease is. At risk also without an
/// interval.
pub fn guardrail(interval: Option<(f64, f64)>, cutoff: f64, desired: DesiredChange) -> Guardrail {
    let cutoff = cutoff * desired.sign();
    match interval.map(|interval| desired.turned(interval)) {
        Some((_, high)) if high < cutoff => Guardrail::Breached,
        Some((low, _)) if low >= cutoff => Guardrail::Safe,
        _ => Guardrail::AtRisk,
    }
}

/// The verdict on one metric of one treatment. Better or worse if the interval excludes 0, by what is desired. Else no
/// difference found, if the measurement is as far as it should be: `progress` has reached 1, or without a target
/// (`None`) the plan's minimum requirements are met. Else not enough data; so it is without an interval.
pub fn verdict(
    interval: Option<(f64, f64)>,
    progress: Option<f64>,
    meets_minimum: bool,
    desired: DesiredChange,
) -> Verdict {
    match interval.map(|interval| desired.turned(interval)) {
        None => Verdict::NotEnoughData,
        Some((low, _)) if low > 0.0 => Verdict::Better,
        Some((_, high)) if high < 0.0 => Verdict::Worse,
        Some(_) if progress.map_or(meets_minimum, |progress| progress >= 1.0) => Verdict::NoDifferenceFound,
        Some(_) => Verdict::NotEnoughData,
    }
}

/// One treatment's measurement of the primary metric, for [`is_decided`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    pub interval: Option<(f64, f64)>,
    /// `None` without a target.
    pub progress: Option<f64>,
}

/// Whether an experiment is decided: the interval of any treatment excludes 0, or progress is 1 on all. It holds only of
/// intervals that may be looked at every day, sequential or Bayesian ones.
pub fn is_decided(treatments: &[Measurement]) -> bool {
    let excludes_0 = |one: &Measurement| one.interval.is_some_and(|(low, high)| low > 0.0 || high < 0.0);
    let is_done = |one: &Measurement| one.progress.is_some_and(|progress| progress >= 1.0);
    treatments.iter().any(excludes_0) || !treatments.is_empty() && treatments.iter().all(is_done)
}
