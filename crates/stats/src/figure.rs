//! A figure of an arm, a mean or a ratio of two, as a linear combination of variables: what the delta method makes of it.
//!
//! Only the combination and its moments; what is regressed on what is the adjustment's.

use crate::moments::ROUNDING;
use crate::{Estimate, JointMoments, RatioMoments};

/// One figure of some variables, named by their place in [`JointMoments`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    Mean(usize),
    /// Σ of one by Σ of the other.
    Ratio {
        numerator: usize,
        denominator: usize,
    },
}

impl Figure {
    /// The figure of one sample, as of its variables alone. `None` for a ratio without a denominator.
    pub(crate) fn estimate(self, of: &JointMoments) -> Option<Estimate> {
        match self {
            Figure::Mean(place) => Some(Estimate::from(&of.variables()[place])),
            Figure::Ratio { numerator, denominator } => RatioMoments {
                numerator: of.variables()[numerator],
                denominator: of.variables()[denominator],
                co_moment: of.co_moment(numerator, denominator),
            }
            .estimate(),
        }
    }

    /// The highest place it names.
    pub(crate) fn last(self) -> usize {
        match self {
            Figure::Mean(place) => place,
            Figure::Ratio { numerator, denominator } => numerator.max(denominator),
        }
    }

    /// A mean is linear as it stands; the linear part of a ratio r about the means of the sample is (x − r·y)/ȳ. `None` for
    /// a ratio without a denominator.
    pub(crate) fn linear(self, of: &JointMoments) -> Option<Linear> {
        let value = self.estimate(of)?.value;
        let terms = match self {
            Figure::Mean(place) => vec![(place, 1.0)],
            Figure::Ratio { numerator, denominator } => {
                let scale = of.variables()[denominator].mean;
                vec![(numerator, 1.0 / scale), (denominator, -value / scale)]
            }
        };
        Some(Linear { value, terms })
    }
}

/// Σ weight · variable, of which only the deviations from its mean count.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    /// The figure's own value, where it is one.
    pub value: f64,
    /// Places of variables and their weights.
    pub terms: Vec<(usize, f64)>,
}

impl Linear {
    /// This, and `factor` times the other.
    pub fn plus(mut self, factor: f64, other: &Linear) -> Linear {
        self.value += factor * other.value;
        self.terms.extend(other.terms.iter().map(|&(place, weight)| (place, factor * weight)));
        self
    }

    /// The centred cross moment of two.
    pub fn co_moment(&self, other: &Linear, of: &JointMoments) -> f64 {
        self.products(other, of).sum()
    }

    /// The centred second moment: 0 where it is nothing but rounding, of the values (see [`crate::Moments::variance`]) or of
    /// the terms that cancel in it, m2 ≤ 2⁻⁴⁶ Σ|term|.
    pub fn m2(&self, of: &JointMoments) -> f64 {
        let m2 = self.co_moment(self, of);
        let cancelled: f64 = self.products(self, of).map(f64::abs).sum();
        let noise =
            ROUNDING * self.terms.iter().map(|&(i, weight)| weight.abs() * of.variables()[i].max_abs).sum::<f64>();
        let is_rounding = m2 <= ROUNDING * cancelled || m2 / of.n() as f64 <= noise * noise;
        if m2.is_finite() && is_rounding { 0.0 } else { m2 }
    }

    /// Σ|weight| · mean|variable|: beside it, the value may be nothing but rounding.
    pub fn magnitude(&self, of: &JointMoments) -> f64 {
        self.terms.iter().map(|&(i, weight)| weight.abs() * of.variables()[i].mean_abs).sum()
    }

    fn products(&self, other: &Linear, of: &JointMoments) -> impl Iterator<Item = f64> {
        self.terms
            .iter()
            .flat_map(move |&(i, left)| other.terms.iter().map(move |&(j, right)| left * right * of.co_moment(i, j)))
    }
}
