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
        if variables <= last || variables != arms[0].variables().len() {
            return Err(AdjustmentError::NoVariable { place: last, arm, variables });
        }
    }
    let peopled = || arms.iter().filter(|arm| arm.n() > 0);
    let unadjusted = || Adjusted {
        estimates: arms.iter().map(|arm| outcome.estimate(arm)).collect(),
        coefficients: vec![0.0; covariates.len()],
    };
    let Some(whole) = peopled().cloned().reduce(|whole, arm| whole.merge(&arm)) else { return Ok(unadjusted()) };
    let Some(explained) = outcome.linear(&whole) else { return Ok(unadjusted()) };
    let telling: Vec<(usize, Linear)> = covariates
        .iter()
        .map(|covariate| peopled().all(|arm| covariate.linear(arm).is_some()).then(|| covariate.linear(&whole))?)
        .enumerate()
        .filter_map(|(place, covariate)| Some((place, covariate.filter(|covariate| covariate.m2(&whole) != 0.0)?)))
        .collect();
    let mut adjusted = unadjusted();
    let thetas = thetas(&whole, &explained, &telling, covariates.len()).ok_or(AdjustmentError::NotFinite)?;
    for ((place, _), theta) in telling.iter().zip(&thetas) {
        adjusted.coefficients[*place] = *theta;
    }
    if thetas.iter().all(|theta| *theta == 0.0) {
        return Ok(adjusted);
    }
    for (arm, estimate) in arms.iter().zip(&mut adjusted.estimates).filter(|(arm, _)| arm.n() > 0) {
        let Some((estimate, own)) = estimate.as_mut().zip(outcome.linear(arm)) else { continue };
        let terms = telling.iter().zip(&thetas);
        let terms =
            terms.filter_map(|((place, whole), theta)| Some((*theta, covariates[*place].linear(arm)?, whole.value)));
        *estimate = of_arm(arm, own, terms).ok_or(AdjustmentError::NotFinite)?;
    }
    Ok(adjusted)
}

/// θ of each covariate that tells anything. `None` if they are not finite.
fn thetas(whole: &JointMoments, outcome: &Linear, telling: &[(usize, Linear)], given: usize) -> Option<Vec<f64>> {
    let products: Vec<f64> = telling.iter().map(|(_, covariate)| covariate.co_moment(outcome, whole)).collect();
    if given > 1 {
        return ridge(whole.n(), |i, j| telling[i].1.co_moment(&telling[j].1, whole), &products);
    }
    let of_one = |((_, covariate), product): (&(usize, Linear), f64)| {
        let (m2, theta) = (covariate.m2(whole), product / covariate.m2(whole));
        (m2.is_finite() && theta.is_finite()).then_some(theta)
    };
    telling.iter().zip(products).map(of_one).collect()
}

/// One arm's estimate from the linear part of its outcome, and θ, linear part and pooled value of each covariate. `None` if
/// it is not finite.
fn of_arm(arm: &JointMoments, own: Linear, terms: impl Iterator<Item = (f64, Linear, f64)>) -> Option<Estimate> {
    let mut residual = own;
    let mut centre = 0.0;
    let mut magnitude = 0.0;
    for (theta, covariate, pooled) in terms {
        residual = residual.plus(-theta, &covariate);
        centre += theta * pooled;
        magnitude += (theta * pooled).abs();
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
