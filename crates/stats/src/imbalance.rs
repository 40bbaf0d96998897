//! Whether traffic was split as the weights say: the test for a sample ratio mismatch.
//!
//! It judges counts of subjects only; which variations are active, and what weight each has, is the caller's to know.

use crate::distribution::chi_squared_survival;

/// The level below which a p-value is called an imbalance, unless the caller sets another.
pub const IMBALANCE_ALPHA: f64 = 0.001;

/// The smallest expected count at which Pearson's approximation is trusted (Cochran 1952, Ann. Math. Statist. 23, 315).
pub const MIN_EXPECTED_COUNT: f64 = 5.0;

/// One active variation: its weight, in any unit common to all arms, and the subjects counted in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arm {
    pub weight: f64,
    pub subjects: u64,
}

/// The outcome of the test. Without a verdict both numbers are `None` and `is_imbalance` is false, but for an arm that
/// stayed empty (see [`imbalance`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Imbalance {
    /// Pearson's statistic Σ(observed − expected)² / expected.
    pub chi_squared: Option<f64>,
    /// Its probability under the weights, in 0..=1, with one degree of freedom less than there are arms.
    pub p_value: Option<f64>,
    pub is_imbalance: bool,
}

/// Arms that no test can be made of.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum InvalidArms {
    #[error("the weight of arm {arm} is {weight}; weights are finite numbers of 0 or more: correct it")]
    Weight { arm: usize, weight: f64 },
    #[error("alpha is {0}; it lies between 0 and 1, both excluded: set one such as 0.001")]
    Alpha(f64),
}

/// Pearson's χ² test of the arms' subjects against their weights (Pearson 1900, Phil. Mag. 50, 157), an imbalance below
/// `alpha` (usually [`IMBALANCE_ALPHA`]).
///
/// - Arms of weight 0 take no part: nothing is expected of them.
/// - No verdict, so no imbalance, when fewer than two arms have weight, when there are no subjects at all, or when any
///   expected count is below [`MIN_EXPECTED_COUNT`].
/// - An arm with weight and no subjects is an imbalance whatever the p-value, once at least [`MIN_EXPECTED_COUNT`]
///   subjects were expected in it; before that an empty arm is what few subjects look like. This holds even where the
///   small expected count of another arm leaves the test itself without a verdict.
pub fn imbalance(arms: &[Arm], alpha: f64) -> Result<Imbalance, InvalidArms> {
    if !(alpha > 0.0 && alpha < 1.0) {
        return Err(InvalidArms::Alpha(alpha));
    }
    for (arm, &Arm { weight, .. }) in arms.iter().enumerate() {
        if !weight.is_finite() || weight < 0.0 {
            return Err(InvalidArms::Weight { arm, weight });
        }
    }
    // Weights are divided by the greatest first, so that their sum cannot overflow.
    let greatest = arms.iter().map(|arm| arm.weight).fold(0.0, f64::max);
    let weighted: Vec<(f64, u64)> =
        arms.iter().filter(|arm| arm.weight > 0.0).map(|arm| (arm.weight / greatest, arm.subjects)).collect();
    let whole: f64 = weighted.iter().map(|(share, _)| share).sum();
    let total = weighted.iter().map(|&(_, subjects)| subjects as f64).sum::<f64>();
    let undecided = |is_imbalance| Imbalance { chi_squared: None, p_value: None, is_imbalance };
    if weighted.len() < 2 || total == 0.0 {
        return Ok(undecided(false));
    }

    let counts: Vec<(f64, u64)> = weighted.iter().map(|&(share, subjects)| (total * share / whole, subjects)).collect();
    let empty_arm = counts.iter().any(|&(expected, subjects)| subjects == 0 && expected >= MIN_EXPECTED_COUNT);
    if counts.iter().any(|&(expected, _)| expected < MIN_EXPECTED_COUNT) {
        return Ok(undecided(empty_arm));
    }
    let chi_squared: f64 =
        counts.iter().map(|&(expected, subjects)| (subjects as f64 - expected).powi(2) / expected).sum();
    let p_value = chi_squared_survival(chi_squared, (counts.len() - 1) as u32);
    Ok(Imbalance { chi_squared: Some(chi_squared), p_value: Some(p_value), is_imbalance: empty_arm || p_value < alpha })
}

/// The same test in each of several groups, such as the values of a property, an imbalance of a group below `alpha` by
/// the number of groups that a test could be made of (Bonferroni), so that any false alarm at all has at most the
/// probability `alpha` (usually [`IMBALANCE_ALPHA`]).
///
/// The p-value alone decides: among many small groups some arm is empty by chance, so that what [`imbalance`] says of empty
/// arms does not hold here. Outcomes are in the order of the groups.
pub fn imbalances(groups: &[Vec<Arm>], alpha: f64) -> Result<Vec<Imbalance>, InvalidArms> {
    let outcomes: Vec<Imbalance> = groups.iter().map(|arms| imbalance(arms, alpha)).collect::<Result<_, _>>()?;
    let tested = outcomes.iter().filter(|outcome| outcome.p_value.is_some()).count();
    let level = alpha / tested.max(1) as f64;
    let judged = |outcome: Imbalance| Imbalance { is_imbalance: outcome.p_value.is_some_and(|p| p < level), ..outcome };
    Ok(outcomes.into_iter().map(judged).collect())
}
