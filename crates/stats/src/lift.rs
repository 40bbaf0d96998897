//! A treatment beside the control: their difference, and the relative lift, each with its uncertainty.
//!
//! One comparison at a time, at a fixed sample size: no correction for several metrics or for looking early.

use crate::Estimate;
use crate::distribution::two_sided_p;
use crate::estimate::interval;

/// The confidence level of intervals, unless an analysis plan sets another.
pub const DEFAULT_CONFIDENCE: f64 = 0.95;

/// A relative lift: 0.1 means that the treatment's value is above the control's by 10 % of the control's absolute value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lift {
    /// (treatment − control) / |control|.
    pub lift: f64,
    /// The standard error of `lift`, always above 0.
    pub standard_error: f64,
    /// The two-sided z interval (low, high) around `lift`.
    pub interval: (f64, f64),
    /// The two-sided p-value of "no lift", in 0..=1.
    pub p_value: f64,
}

/// The absolute difference, in the unit of the values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// treatment − control.
    pub difference: f64,
    pub standard_error: f64,
    /// The two-sided z interval (low, high) around `difference`.
    pub interval: (f64, f64),
}

/// Why two variations cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum LiftError {
    #[error("{arm} has {n} subjects; a variance needs at least 2: wait for more")]
    TooFewSubjects { arm: &'static str, n: u64 },
    #[error("the control's mean is 0, so that nothing can be relative to it: look at the difference")]
    ControlMeanZero,
    #[error(
        "all subjects of both variations have the same value, but for rounding, so that the lift has no standard error: wait for more"
    )]
    NoVariance,
    #[error("the figures of {arm} are not finite numbers: look for very large values in the facts")]
    NotFinite { arm: &'static str },
    #[error("the confidence level is {0}; it lies between 0 and 1, both excluded: set one such as 0.95")]
    Confidence(f64),
}

/// The lift of `treatment` over `control` by the delta method on the ratio of two independent estimates, with a z
/// interval at `confidence` (usually [`DEFAULT_CONFIDENCE`]).
///
/// se² = vt / c² + vc · t² / c⁴, with t, c the estimates and vt, vc the variances of those (Deng, Knoblich & Lu 2018,
/// "Applying the Delta Method in Metric Analytics", KDD, section 2.2). It is relative to the absolute value of the
/// control's, so that its sign is that of the difference.
pub fn lift(treatment: &Estimate, control: &Estimate, confidence: f64) -> Result<Lift, LiftError> {
    let (treatment_error, control_error) = errors(treatment, control, confidence)?;
    if control.is_zero {
        return Err(LiftError::ControlMeanZero);
    }
    let scale = control.value.abs();
    let ratio = treatment.value / scale;
    // Relative errors are squared after the scale is applied, so that c⁴ can neither overflow nor vanish.
    let standard_error = libm::hypot(treatment_error / scale, control_error / scale * ratio);
    let lift = (treatment.value - control.value) / scale;
    if !standard_error.is_finite() || !lift.is_finite() {
        return Err(LiftError::NotFinite { arm: "both variations" });
    }
    if standard_error == 0.0 {
        return Err(LiftError::NoVariance);
    }
    Ok(Lift {
        lift,
        standard_error,
        interval: interval(lift, standard_error, confidence),
        p_value: two_sided_p(lift / standard_error),
    })
}

/// The difference of `treatment` and `control`, two independent estimates, with a z interval at `confidence`. It exists
/// where the lift does not, for a control of 0. Its standard error is 0 where all subjects have the same value.
pub fn difference(treatment: &Estimate, control: &Estimate, confidence: f64) -> Result<Difference, LiftError> {
    let (treatment_error, control_error) = errors(treatment, control, confidence)?;
    let difference = treatment.value - control.value;
    let standard_error = libm::hypot(treatment_error, control_error);
    if !standard_error.is_finite() || !difference.is_finite() {
        return Err(LiftError::NotFinite { arm: "both variations" });
    }
    Ok(Difference { difference, standard_error, interval: interval(difference, standard_error, confidence) })
}

fn errors(treatment: &Estimate, control: &Estimate, confidence: f64) -> Result<(f64, f64), LiftError> {
    if !(confidence > 0.0 && confidence < 1.0) {
        return Err(LiftError::Confidence(confidence));
    }
    Ok((standard_error("the treatment", treatment)?, standard_error("the control", control)?))
}

fn standard_error(arm: &'static str, estimate: &Estimate) -> Result<f64, LiftError> {
    let error = estimate.standard_error().ok_or(LiftError::TooFewSubjects { arm, n: estimate.n })?;
    if !error.is_finite() || !estimate.value.is_finite() {
        return Err(LiftError::NotFinite { arm });
    }
    Ok(error)
}
