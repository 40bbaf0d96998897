//! What is believed of a lift after the data, from what was believed before: a normal prior around 0.
//!
//! The prior's width is the analysis plan's to say. Nothing here knows of several metrics: beliefs need no correction.

use crate::DesiredChange;
use crate::distribution::{normal_cdf, normal_density};
use crate::estimate::interval;
use crate::range::{OutOfRange, between_0_and_1, finite, positive};

/// The posterior distribution of a lift, which is normal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Posterior {
    /// Its mean, in the unit of the lift.
    pub mean: f64,
    /// Its standard deviation, always above 0.
    pub standard_deviation: f64,
    /// The central credible interval (low, high).
    pub interval: (f64, f64),
    /// The probability that the lift lies on the desired side of 0, in 0..=1.
    pub better: f64,
    /// What is to be lost by taking the treatment: the mean of how far the lift lies on the undesired side of 0, taken as 0
    /// where it lies on the desired one. In the unit of the lift, 0 or more.
    pub risk: f64,
}

/// The posterior of a lift that was measured as `lift` with `standard_error`, under the prior N(0, `prior_sd`²), with a
/// credible interval at `confidence`.
///
/// By the conjugate rule (Gelman et al., "Bayesian Data Analysis", 3rd edition, section 2.5): precisions add, and with a
/// prior mean of 0 the posterior's is lift · prior_sd² / (prior_sd² + standard_error²). The risk is
/// E\[max(0, −δ)\] = σ φ(μ/σ) − μ Φ(−μ/σ), with μ, σ the posterior's and the sign turned where a decrease is desired
/// (the expected loss of Stucchio 2015, "Bayesian A/B Testing at VWO", for a normal posterior).
///
/// Refused: a lift that is not finite, a standard error or a prior width that is not a finite number above 0, and a
/// confidence outside (0, 1).
pub fn posterior(
    lift: f64,
    standard_error: f64,
    prior_sd: f64,
    desired: DesiredChange,
    confidence: f64,
) -> Result<Posterior, OutOfRange> {
    finite("the lift", lift)?;
    positive("the standard error", standard_error)?;
    positive("the prior's standard deviation", prior_sd)?;
    between_0_and_1("the confidence level", confidence)?;
    let both = libm::hypot(prior_sd, standard_error);
    let shrinkage = (prior_sd / both) * (prior_sd / both);
    let mean = lift * shrinkage;
    let standard_deviation = standard_error * (prior_sd / both);
    let towards = mean * desired.sign() / standard_deviation;
    let risk = standard_deviation * (normal_density(towards) - towards * normal_cdf(-towards));
    Ok(Posterior {
        mean,
        standard_deviation,
        interval: interval(mean, standard_deviation, confidence),
        better: normal_cdf(towards),
        // Far on the desired side both terms vanish, and their difference is rounding.
        risk: risk.max(0.0),
    })
}
