//! A percentile of all facts of an arm pooled, with a standard error that knows whose facts they are.
//!
//! Deng, Knoblich & Lu 2018, "Applying the Delta Method in Metric Analytics", KDD, sections 4.1 and 4.2. Facts of one
//! subject are alike, so that those of few subjects tell less than as many of as many. Facts are not read here: the
//! warehouse counts and sorts them, in this order:
//!
//! 1. n, the number of the arm's facts. [`ranks`] says which places in their order are needed.
//! 2. The facts at those places (or the type-7 quantiles at [`Ranks::level`] of them, which are the same).
//!    [`Ranks::quantile`] makes the percentile of two of them.
//! 3. Of each subject, how many of its facts are at or below the percentile, and how many it has; of these pairs the moments.
//!    [`percentile`] makes the estimate of all.
//!
//! n is known before where facts are counted for other reasons; then two passes do.

use crate::distribution::normal_quantile;
use crate::range::{OutOfRange, between_0_and_1};
use crate::{Estimate, RatioMoments};

/// Where in the order of n facts, from 1 the smallest to n the greatest, those stand that a percentile is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranks {
    pub facts: u64,
    /// The last one at or below the percentile's place. The next above is also needed, unless `fraction` is 0.
    pub below: u64,
    /// How far the percentile lies from that to the next, in 0..1.
    pub fraction: f64,
    /// The ends of the outer interval, so of the 95 % interval of the percentile if all facts were independent.
    pub outer: (u64, u64),
}

/// What a warehouse found of one arm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PercentileFacts {
    /// As [`Ranks::quantile`] gives it.
    pub quantile: f64,
    /// The facts at [`Ranks::outer`].
    pub outer: (f64, f64),
    /// Of each subject: how many of its facts are at or below the quantile (the numerator), and how many it has (the
    /// denominator). Whether subjects without facts count as pairs of zeros moves the variance by 1/(number of subjects) at
    /// most.
    pub subjects: RatioMoments,
}

/// Why a percentile has no estimate.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum PercentileError {
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    #[error("there are {facts} facts; this percentile's standard error needs at least {needed}: wait for more")]
    TooFewFacts { facts: u64, needed: u64 },
    #[error("{subjects} subjects have facts; a percentile's standard error needs at least 2: wait for more")]
    TooFewSubjects { subjects: u64 },
    #[error("the facts at the percentile are not finite numbers, or not in order: look for very large values")]
    NotFinite,
}

/// The ranks that the percentile at `level`, in (0, 1), of `facts` facts needs.
///
/// The percentile is type 7 of Hyndman & Fan 1996 (The American Statistician 50, 361–365), as in `numpy.quantile` and SQL's
/// `percentile_cont`: at the place h = (n − 1)·level + 1. The ends of the outer interval are ⌊n·level − c⌋ and
/// ⌊n·level + c⌋ + 1 with c = z₀.₉₇₅·√(n·level·(1 − level)).
///
/// Refused: a level outside (0, 1), and facts too few for both ends to be there.
pub fn ranks(level: f64, facts: u64) -> Result<Ranks, PercentileError> {
    between_0_and_1("the percentile's level", level)?;
    let outer = outer(level, facts).ok_or_else(|| PercentileError::TooFewFacts { facts, needed: needed(level) })?;
    let place = (facts - 1) as f64 * level + 1.0;
    let below = libm::floor(place);
    Ok(Ranks { facts, below: below as u64, fraction: place - below, outer })
}

fn outer(level: f64, facts: u64) -> Option<(u64, u64)> {
    let n = facts as f64;
    let reach = z() * libm::sqrt(n * level * (1.0 - level));
    let (low, high) = (libm::floor(n * level - reach), libm::floor(n * level + reach) + 1.0);
    (low >= 1.0 && high <= n).then_some((low as u64, high as u64))
}

/// The fewest facts that have both ends. Below n·tail = c, with the smaller side of the level as its tail, there are none,
/// and soon above there are.
fn needed(level: f64) -> u64 {
    let tail = level.min(1.0 - level);
    let start = libm::floor(z() * z() * (1.0 - tail) / tail);
    let start = if start < 9e15 { start as u64 } else { return u64::MAX };
    (start..).find(|&facts| outer(level, facts).is_some()).unwrap_or(u64::MAX)
}

fn z() -> f64 {
    normal_quantile(0.975)
}

impl Ranks {
    /// The percentile from the fact at `below` and the next above it.
    pub fn quantile(&self, below: f64, above: f64) -> f64 {
        if self.fraction == 0.0 { below } else { below + self.fraction * (above - below) }
    }

    /// The level at which a type-7 quantile is the fact of this rank: (rank − 1) / (n − 1).
    pub fn level(&self, rank: u64) -> f64 {
        rank.saturating_sub(1) as f64 / self.facts.saturating_sub(1).max(1) as f64
    }
}

/// The estimate of the percentile at `level`, to be compared by `lift` and `difference` as any other. Its n is the number of
/// subjects; its standard deviation is √n times the standard error.
///
/// SE = (U − L) / (2 z₀.₉₇₅) · √(v / (level·(1 − level)/N)), with L, U the facts at the ends of the outer interval, N the
/// number of facts, and v the variance, by the delta method with subjects as clusters, of the share of facts at or below
/// the percentile (section 4.2, the outer interval corrected afterwards). It is 0 where L = U, so among facts of few
/// distinct values; then two arms may have no lift.
///
/// Refused: a level outside (0, 1), facts of fewer than two subjects, facts that are not finite or not in order.
pub fn percentile(level: f64, found: &PercentileFacts) -> Result<Estimate, PercentileError> {
    between_0_and_1("the percentile's level", level)?;
    let (low, high) = found.outer;
    let width = high - low;
    if !(found.quantile.is_finite() && width.is_finite() && width >= 0.0) {
        return Err(PercentileError::NotFinite);
    }
    let subjects = found.subjects.denominator.n;
    let too_few = PercentileError::TooFewSubjects { subjects };
    let share = found.subjects.estimate().ok_or(too_few)?;
    let deviation = share.standard_deviation.ok_or(too_few)?;
    let independent = level * (1.0 - level) / found.subjects.denominator.sum();
    // √n times the standard error, so the deviation of the share takes the place of its standard error.
    let deviation = width / (2.0 * z()) * deviation / libm::sqrt(independent);
    if !deviation.is_finite() {
        return Err(PercentileError::NotFinite);
    }
    Ok(Estimate {
        n: subjects,
        value: found.quantile,
        standard_deviation: Some(deviation),
        is_zero: found.quantile == 0.0,
    })
}
