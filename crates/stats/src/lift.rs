//! The relative lift of a treatment over control, with its uncertainty.
//!
//! One comparison at a time, at a fixed sample size: no correction for several metrics or for looking early.

use crate::Moments;
use crate::distribution::{normal_quantile, two_sided_p};

/// The confidence level of intervals, unless an analysis plan sets another.
pub const DEFAULT_CONFIDENCE: f64 = 0.95;

/// A relative lift: 0.1 means the treatment's mean is 10 % above control's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lift {
    /// mean of treatment / mean of control − 1.
    pub lift: f64,
    /// The standard error of `lift`, always above 0.
    pub standard_error: f64,
    /// The two-sided z interval (low, high) around `lift`.
    pub interval: (f64, f64),
    /// The two-sided p-value of "no lift", in 0..=1.
    pub p_value: f64,
}

/// Why there is no lift to speak of.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum LiftError {
    #[error("{arm} has {n} subjects; a variance needs at least 2: wait for more")]
    TooFewSubjects { arm: &'static str, n: u64 },
    #[error("the mean of control is 0, so a lift relative to it does not exist: compare the means themselves")]
    ControlMeanZero,
    #[error("all subjects of both variations have the same value, so the lift has no standard error: wait for more")]
    NoVariance,
    #[error("the moments of {arm} are not finite numbers: look for infinite or overflowing values in the facts")]
    NotFinite { arm: &'static str },
    #[error("the confidence level is {0}; it lies between 0 and 1, both excluded: set one such as 0.95")]
    Confidence(f64),
}

/// The lift of `treatment` over `control` by the delta method on the ratio of two independent means, with a z interval
/// at `confidence` (usually [`DEFAULT_CONFIDENCE`]).
///
/// se² = vt / (nt · mc²) + vc · mt² / (nc · mc⁴), with sample variances over n − 1 (Deng, Knoblich & Lu 2018, "Applying
/// the Delta Method in Metric Analytics", KDD, section 2.2). A negative mean of control turns the sign of the lift, as
/// the quotient does.
pub fn lift(treatment: &Moments, control: &Moments, confidence: f64) -> Result<Lift, LiftError> {
    if !(confidence > 0.0 && confidence < 1.0) {
        return Err(LiftError::Confidence(confidence));
    }
    let treatment_variance_of_mean = variance_of_mean("the treatment", treatment)?;
    let control_variance_of_mean = variance_of_mean("the control", control)?;
    if control.mean == 0.0 {
        return Err(LiftError::ControlMeanZero);
    }
    let ratio = treatment.mean / control.mean;
    // Relative errors are added before the scale is applied, so that mc⁴ can neither overflow nor vanish.
    let variance = treatment_variance_of_mean / control.mean / control.mean
        + control_variance_of_mean / control.mean / control.mean * ratio * ratio;
    let standard_error = libm::sqrt(variance);
    if !standard_error.is_finite() {
        return Err(LiftError::NotFinite { arm: "both variations" });
    }
    if standard_error == 0.0 {
        return Err(LiftError::NoVariance);
    }
    let lift = ratio - 1.0;
    let reach = normal_quantile(0.5 + confidence / 2.0) * standard_error;
    Ok(Lift {
        lift,
        standard_error,
        interval: (lift - reach, lift + reach),
        p_value: two_sided_p(lift / standard_error),
    })
}

fn variance_of_mean(arm: &'static str, moments: &Moments) -> Result<f64, LiftError> {
    let variance = moments.variance().ok_or(LiftError::TooFewSubjects { arm, n: moments.n })?;
    if !variance.is_finite() || !moments.mean.is_finite() {
        return Err(LiftError::NotFinite { arm });
    }
    Ok(variance / moments.n as f64)
}
