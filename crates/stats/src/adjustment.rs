//! CUPED: what the subjects did before explains a part of what they do after, and is taken off both arms alike.
//!
//! Deng, Xu, Kohavi & Walker 2013, "Improving the Sensitivity of Online Controlled Experiments by Utilizing Pre-Experiment
//! Data", WSDM, section 3. What the covariates are, and of which time, is the caller's to know.

use crate::figure::Linear;
use crate::moments::ROUNDING;
use crate::ridge::ridge;
use crate::{Estimate, Figure, JointMoments};

/// An outcome without what its covariates explain.
#[derive(Clone, Debug, PartialEq)]
pub struct Adjusted {
    /// Of each arm, in their order, to be compared by `lift` and `difference` as any other. `None` where the outcome is a
    /// ratio without a denominator.
    pub estimates: Vec<Option<Estimate>>,
    /// θ of each covariate, in their order, in the unit of the outcome by that of the covariate: 0 for one that tells
    /// nothing. If all are 0 the estimates are those without an adjustment, to the last digit.
    pub coefficients: Vec<f64>,
}

/// Why nothing can be adjusted.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum AdjustmentError {
    #[error("variable {place} was named, but arm {arm} has {variables}: name one that every arm has")]
    NoVariable { place: usize, arm: usize, variables: usize },
    #[error("the arms' moments are not finite numbers: look for very large values in the facts")]
    NotFinite,
}

/// The outcome of each arm, adjusted by the covariates: y′ = y − Σ θⱼ(xⱼ − x̄ⱼ), so that an arm's value is
/// ȳ − Σ θⱼ(x̄ⱼ of the arm − x̄ⱼ) and the variance of one subject's is that of y − Σ θⱼxⱼ within the arm, over n − 1; for one
/// covariate var y − 2θ cov(y, x) + θ² var x.
///
/// `arms` are all active ones, control among them. θ and x̄ are of all arms pooled, about the mean of the whole:
///
/// - One covariate, usually the same metric before the experiment: θ = cov(y, x) / var x.
/// - More: those of a ridge regression with penalty 1, on covariates divided by their pooled standard deviation over n, so
///   that the penalty is added to n · correlations. It is not given up if all but one of them tell nothing.
///
/// Figures that are ratios, outcome or covariates, go by their linear parts (x − r·y)/ȳ: about the pooled means for θ, about
/// the arm's own for its variance; x̄ is the ratio of all arms pooled (Deng, Knoblich & Lu 2018, "Applying the Delta Method
/// in Metric Analytics", KDD, section 3.1; so does tea-tasting's `RatioOfMeans`).
///
/// θ is 0 for a covariate without variance, but for rounding, and for a ratio without a denominator in any arm that has
/// subjects.
pub fn adjust(arms: &[JointMoments], outcome: Figure, covariates: &[Figure]) -> Result<Adjusted, AdjustmentError> {
    let last = covariates.iter().map(|covariate| covariate.last()).fold(outcome.last(), usize::max);
    for (arm, variables) in arms.iter().map(|arm| arm.variables().len()).enumerate() {
        if variables <= last {
            return Err(AdjustmentError::NoVariable { place: last, arm, variables });
        }
    }
    let estimates = arms.iter().map(|arm| outcome.estimate(arm)).collect();
    let mut adjusted = Adjusted { estimates, coefficients: vec![0.0; covariates.len()] };
    let peopled: Vec<&JointMoments> = arms.iter().filter(|arm| arm.n() > 0).collect();
    let whole = peopled.iter().fold(JointMoments::default(), |whole, arm| whole.merge(arm));
    let Some(explained) = (whole.n() > 0).then(|| outcome.linear(&whole)).flatten() else { return Ok(adjusted) };

    let telling = telling(&peopled, &whole, covariates);
    let thetas = thetas(&whole, &explained, &telling, covariates.len()).ok_or(AdjustmentError::NotFinite)?;
    for (covariate, theta) in telling.iter().zip(&thetas) {
        adjusted.coefficients[covariate.place] = *theta;
    }
    if thetas.iter().all(|theta| *theta == 0.0) {
        return Ok(adjusted);
    }
    for (arm, estimate) in arms.iter().zip(&mut adjusted.estimates) {
        if arm.n() > 0
            && let Some((estimate, own)) = estimate.as_mut().zip(outcome.linear(arm))
        {
            *estimate = of_arm(arm, own, &telling, &thetas).ok_or(AdjustmentError::NotFinite)?;
        }
    }
    Ok(adjusted)
}

/// A covariate that tells anything.
struct Covariate {
    /// Among those given.
    place: usize,
    figure: Figure,
    pooled: Linear,
}

/// Those that are there in every arm, and differ among subjects.
fn telling(arms: &[&JointMoments], whole: &JointMoments, covariates: &[Figure]) -> Vec<Covariate> {
    let of = |(place, &figure): (usize, &Figure)| {
        let is_everywhere = arms.iter().all(|arm| figure.linear(arm).is_some());
        let pooled = figure.linear(whole).filter(|pooled| is_everywhere && pooled.m2(whole) != 0.0)?;
        Some(Covariate { place, figure, pooled })
    };
    covariates.iter().enumerate().filter_map(of).collect()
}

/// θ of each, by the plain rule if one covariate was given. `None` if they are not finite.
fn thetas(whole: &JointMoments, outcome: &Linear, telling: &[Covariate], given: usize) -> Option<Vec<f64>> {
    let products: Vec<f64> = telling.iter().map(|covariate| covariate.pooled.co_moment(outcome, whole)).collect();
    if given > 1 {
        return ridge(whole.n(), |i, j| telling[i].pooled.co_moment(&telling[j].pooled, whole), &products);
    }
    let of = |(covariate, product): (&Covariate, &f64)| {
        let m2 = covariate.pooled.m2(whole);
        Some(product / m2).filter(|theta| theta.is_finite() && m2.is_finite())
    };
    telling.iter().zip(&products).map(of).collect()
}

/// One arm's estimate from the linear part of its outcome. `None` if it is not finite.
fn of_arm(arm: &JointMoments, own: Linear, telling: &[Covariate], thetas: &[f64]) -> Option<Estimate> {
    let (mut residual, mut centre, mut magnitude) = (own, 0.0, 0.0);
    for (covariate, theta) in telling.iter().zip(thetas) {
        residual = residual.plus(-theta, &covariate.figure.linear(arm)?);
        centre += theta * covariate.pooled.value;
        magnitude += (theta * covariate.pooled.value).abs();
    }
    let value = residual.value + centre;
    let variance = residual.m2(arm) / (arm.n().max(2) - 1) as f64;
    (value.is_finite() && variance.is_finite()).then(|| Estimate {
        n: arm.n(),
        value,
        standard_deviation: (arm.n() >= 2).then(|| libm::sqrt(variance)),
        is_zero: value.abs() <= ROUNDING * (residual.magnitude(arm) + magnitude),
    })
}
