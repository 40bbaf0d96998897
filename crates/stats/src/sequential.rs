//! Inference that may be looked at every day: intervals and p-values that hold at all times together.
//!
//! Asymptotic confidence sequences of a normal mixture (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2023, "Time-uniform
//! central limit theory and asymptotic confidence sequences", arXiv 2103.06476v7, equations 9, 155 and 161; the mixture is
//! that of Howard, Ramdas, McAuliffe & Sekhon 2021, Annals of Statistics 49, 1055–1080). An estimate is any that is
//! asymptotically normal, a lift as well as an absolute difference. Nothing here remembers earlier looks.

use crate::range::{OutOfRange, at_least_one, between_0_and_1, finite, not_negative, positive};

/// The number of subjects at which the interval is nearly as narrow as it can be (α moves it a little).
pub const SEQUENTIAL_TUNING: f64 = 10_000.0;

/// The interval (low, high) around `estimate`, in its unit:
/// estimate ± SE·√((t+ρ)/t · ln((t+ρ)/(ρα²))), with t = `subjects`, those of both arms together, SE = `standard_error`, and
/// ρ = 10,000 / (ln(1 − 2 ln α) − 2 ln α).
///
/// With probability 1 − `alpha` it holds the true value at every look there ever is. A corrected `alpha` goes into ρ too.
///
/// Refused: an estimate that is not finite, a standard error that is not finite or below 0, no subjects, and an `alpha`
/// outside (0, 1).
pub fn sequential_interval(
    estimate: f64,
    standard_error: f64,
    subjects: u64,
    alpha: f64,
) -> Result<(f64, f64), OutOfRange> {
    finite("the estimate", estimate)?;
    not_negative("the standard error", standard_error)?;
    let t = at_least_one("the number of subjects", subjects)?;
    let rho = rho(alpha)?;
    let boundary = libm::log1p(t / rho) - 2.0 * libm::log(alpha);
    let reach = standard_error * libm::sqrt((t + rho) / t * boundary);
    Ok((estimate - reach, estimate + reach))
}

/// The p-value of "no effect" that holds at every look, in 0..=1: the least of 1 and of 1 by the e-value
/// exp(z²t / (2(t+ρ))) / √((t+ρ)/ρ), with z = `estimate` / `standard_error`, and t and ρ as of [`sequential_interval`].
///
/// It is below `alpha` exactly if the interval of the same `alpha` excludes 0. It depends on `alpha`, by ρ. It is 1 for an
/// estimate of 0. Refused is what the interval refuses, and a standard error of 0.
pub fn sequential_p(estimate: f64, standard_error: f64, subjects: u64, alpha: f64) -> Result<f64, OutOfRange> {
    finite("the estimate", estimate)?;
    positive("the standard error", standard_error)?;
    let t = at_least_one("the number of subjects", subjects)?;
    let rho = rho(alpha)?;
    let z = estimate / standard_error;
    // In logarithms, for the e-value itself overflows at z = 38.
    let log_p = 0.5 * libm::log1p(t / rho) - 0.5 * z * z * (t / (t + rho));
    Ok(libm::exp(log_p.min(0.0)))
}

fn rho(alpha: f64) -> Result<f64, OutOfRange> {
    let log_alpha = libm::log(between_0_and_1("alpha", alpha)?);
    Ok(SEQUENTIAL_TUNING / (libm::log(1.0 - 2.0 * log_alpha) - 2.0 * log_alpha))
}
