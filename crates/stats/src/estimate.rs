//! What is known of one variation: a mean of its subjects, or a ratio of two, each with its uncertainty.
//!
//! Comparisons of variations are made of these, and need not know which of the two they compare.

use crate::Moments;
use crate::distribution::normal_quantile;
use crate::moments::ROUNDING;

/// One variation's figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// How many subjects it is of.
    pub n: u64,
    pub value: f64,
    /// Of one subject's value; for a ratio, of its linear part. `None` below two subjects.
    pub standard_deviation: Option<f64>,
    /// Whether the value is 0 but for rounding, so that nothing can be relative to it.
    pub is_zero: bool,
}

impl Estimate {
    /// The standard error of the value: its standard deviation by √n. `None` below two subjects.
    pub fn standard_error(&self) -> Option<f64> {
        self.standard_deviation.map(|deviation| deviation / libm::sqrt(self.n as f64))
    }

    /// The two-sided z interval (low, high) at `confidence` in (0, 1).
    pub fn interval(&self, confidence: f64) -> Option<(f64, f64)> {
        self.standard_error().map(|error| interval(self.value, error, confidence))
    }

    /// Whether it lies so near 0, within 4 of its own standard errors, that a lift relative to it means little: the delta
    /// method takes the control for far from 0 (Fieller 1954, J. R. Stat. Soc. B 16, 175–185).
    pub fn is_near_zero(&self) -> bool {
        self.standard_error().is_some_and(|error| self.value.abs() < 4.0 * error)
    }
}

impl From<&Moments> for Estimate {
    fn from(moments: &Moments) -> Self {
        Estimate {
            n: moments.n,
            value: moments.mean,
            standard_deviation: moments.variance().map(libm::sqrt),
            is_zero: moments.is_mean_zero(),
        }
    }
}

/// The moments of a numerator and a denominator of the same subjects.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RatioMoments {
    pub numerator: Moments,
    pub denominator: Moments,
    /// Σ(x − x̄)(y − ȳ).
    pub co_moment: f64,
}

impl RatioMoments {
    /// Of pairs at hand.
    pub fn of(pairs: &[(f64, f64)]) -> RatioMoments {
        let numerator = Moments::of(pairs.iter().map(|pair| pair.0));
        let denominator = Moments::of(pairs.iter().map(|pair| pair.1));
        let co_moment = pairs.iter().map(|(x, y)| (x - numerator.mean) * (y - denominator.mean)).sum();
        RatioMoments { numerator, denominator, co_moment }
    }

    /// Σx / Σy; `None` where Σy is 0 but for rounding, or there are no subjects.
    ///
    /// Its variance by the delta method is that of the linear part x − r·y over n·ȳ² (Deng, Knoblich & Lu 2018, "Applying
    /// the Delta Method in Metric Analytics", KDD, section 3.1), with sample moments over n − 1. It is 0 where the linear part
    /// is nothing but rounding, of the values or of the moments that cancel in it: the same ratio for everybody is no
    /// evidence of anything.
    pub fn estimate(&self) -> Option<Estimate> {
        let (x, y) = (&self.numerator, &self.denominator);
        if y.n == 0 || y.is_mean_zero() {
            return None;
        }
        let ratio = x.mean / y.mean;
        let terms = [x.m2, -2.0 * ratio * self.co_moment, ratio * ratio * y.m2];
        let m2: f64 = terms.iter().sum();
        let cancelled: f64 = terms.iter().map(|term| term.abs()).sum();
        let noise = ROUNDING * (x.max_abs + ratio.abs() * y.max_abs);
        let is_rounding = m2.is_finite() && (m2 <= ROUNDING * cancelled || m2 / y.n as f64 <= noise * noise);
        let variance = if is_rounding { 0.0 } else { m2 / (y.n.max(2) - 1) as f64 };
        Some(Estimate {
            n: y.n,
            value: ratio,
            standard_deviation: (y.n >= 2).then(|| libm::sqrt(variance) / y.mean.abs()),
            is_zero: x.is_mean_zero(),
        })
    }
}

pub(crate) fn interval(value: f64, standard_error: f64, confidence: f64) -> (f64, f64) {
    let reach = normal_quantile(0.5 + confidence / 2.0) * standard_error;
    (value - reach, value + reach)
}
