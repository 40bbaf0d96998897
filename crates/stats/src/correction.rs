//! How a level of significance is shared out among the metrics and treatments of one experiment.
//!
//! Only levels: what counts as a metric, and where they are used, is the caller's to know.

use crate::range::{OutOfRange, at_least_one, between_0_and_1};

/// The level of each comparison of a metric of one treatment with the control.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alphas {
    /// Of the primary metric; `None` without one.
    pub primary: Option<f64>,
    /// Of every other metric; `None` if the primary is the only one.
    pub other: Option<f64>,
}

/// The preferential Bonferroni correction: of k = `treatments` and m = `metrics`, of which one is the primary with the
/// weight γ = `primary_weight`, the primary is tested at γα/k and every other at (1−γ)α/(k(m−1)). If it is the only
/// metric it is tested at α/k. Without a primary (`None`) each is tested at α/(km).
///
/// The levels of all comparisons add up to `alpha`, so that by Bonferroni's inequality any false finding at all has at most
/// that probability, however they depend on each other (Dunn 1961, J. Am. Stat. Assoc. 56, 52–64; unequal shares: Rosenthal
/// & Rubin 1983, Psychological Bulletin 94, 540–541; "preferential" is Eppo's name for them).
///
/// Refused: an `alpha` or a weight outside (0, 1), no treatments, no metrics. A weight of 0 or 1 would leave a metric that
/// can never be found to differ.
pub fn preferential_bonferroni(
    alpha: f64,
    treatments: u64,
    metrics: u64,
    primary_weight: Option<f64>,
) -> Result<Alphas, OutOfRange> {
    between_0_and_1("alpha", alpha)?;
    let k = at_least_one("the number of treatments", treatments)?;
    let m = at_least_one("the number of metrics", metrics)?;
    let Some(weight) = primary_weight else {
        return Ok(Alphas { primary: None, other: Some(alpha / (k * m)) });
    };
    between_0_and_1("the primary metric's weight", weight)?;
    if metrics == 1 {
        return Ok(Alphas { primary: Some(alpha / k), other: None });
    }
    let other = (1.0 - weight) * alpha / (k * (m - 1.0));
    Ok(Alphas { primary: Some(weight * alpha / k), other: Some(other) })
}
