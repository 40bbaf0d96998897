//! The count, mean and centred second moment of a sample: all that the estimates need to know of it.
//!
//! This module does not read values from anywhere: a warehouse computes the aggregates, here they are held and merged.

/// What is this much smaller than the values it was made of is nothing but their rounding: 2⁻⁴⁶. Doubles carry 52 bits
/// after the first, and reading, summing and centring may each cost some of the last ones.
pub(crate) const ROUNDING: f64 = 1.0 / (1_u64 << 46) as f64;

/// The moments of one variation's per-subject values. The unit of `mean` is that of the values, of `m2` its square.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// How many values.
    pub n: u64,
    /// Their arithmetic mean; 0 when there are none.
    pub mean: f64,
    /// Σ(x − mean)², never negative.
    pub m2: f64,
    /// The greatest |x|: beside it, a deviation may be nothing but rounding. 0 if it is not known.
    pub max_abs: f64,
    /// The mean of |x|: beside it, a mean may be nothing but rounding. 0 if it is not known.
    pub mean_abs: f64,
}

/// What two passes over the values give: their sums, then what remains about a centre.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Passes {
    pub n: u64,
    /// Near the mean; usually the mean as the first pass gives it, rounded.
    pub centre: f64,
    /// Σ(x − centre).
    pub deviations: f64,
    /// Σ(x − centre)².
    pub squares: f64,
    pub max_abs: f64,
    /// Σ|x|.
    pub sum_abs: f64,
}

impl Moments {
    pub const NONE: Moments = Moments { n: 0, mean: 0.0, m2: 0.0, max_abs: 0.0, mean_abs: 0.0 };

    /// Moments of values at hand, in one pass (Welford 1962, Technometrics 4, 419–420).
    pub fn of(values: impl IntoIterator<Item = f64>) -> Moments {
        values.into_iter().fold(Moments::NONE, |sample, value| {
            let n = sample.n + 1;
            let delta = value - sample.mean;
            let mean = sample.mean + delta / n as f64;
            Moments {
                n,
                mean,
                m2: sample.m2 + delta * (value - mean),
                max_abs: sample.max_abs.max(value.abs()),
                mean_abs: sample.mean_abs + (value.abs() - sample.mean_abs) / n as f64,
            }
        })
    }

    /// The corrected two-pass algorithm (Chan, Golub & LeVeque 1983, The American Statistician 37, 242–247, equation
    /// 1.7): what the centre's own rounding adds to the squares is taken off again. Where next to nothing is left of them,
    /// m2 ≤ 2⁻⁴⁶ Σ(x − centre)², that is their rounding, and m2 is 0: a centre may lie far from the mean.
    pub fn of_passes(passes: Passes) -> Moments {
        if passes.n == 0 {
            return Moments::NONE;
        }
        let n = passes.n as f64;
        let off_centre = passes.deviations / n;
        let m2 = passes.squares - passes.deviations * off_centre;
        Moments {
            n: passes.n,
            mean: passes.centre + off_centre,
            m2: if m2 > ROUNDING * passes.squares { m2 } else { 0.0 },
            max_abs: passes.max_abs,
            mean_abs: passes.sum_abs / n,
        }
    }

    /// Moments of both samples together (Chan, Golub & LeVeque 1979, STAN-CS-79-773, equation 2.1).
    pub fn merge(self, other: Moments) -> Moments {
        if self.n == 0 {
            return other;
        }
        if other.n == 0 {
            return self;
        }
        let n = self.n + other.n;
        let (own, others, all) = (self.n as f64, other.n as f64, n as f64);
        let delta = other.mean - self.mean;
        Moments {
            n,
            mean: self.mean + delta * (others / all),
            m2: self.m2 + other.m2 + delta * delta * (own * others / all),
            max_abs: self.max_abs.max(other.max_abs),
            mean_abs: self.mean_abs + (other.mean_abs - self.mean_abs) * (others / all),
        }
    }

    /// The unbiased sample variance m2 / (n − 1); `None` below two values. 0 where the deviations are nothing but rounding,
    /// m2 / n ≤ (2⁻⁴⁶ max|x|)²: everybody having 0.35 is no evidence of anything.
    pub fn variance(&self) -> Option<f64> {
        let noise = ROUNDING * self.max_abs;
        let is_rounding = self.m2 / self.n as f64 <= noise * noise;
        (self.n >= 2).then(|| if is_rounding { 0.0 } else { self.m2 / (self.n - 1) as f64 })
    }

    /// Whether the mean is 0 but for rounding: |mean| ≤ 2⁻⁴⁶ mean|x|.
    pub fn is_mean_zero(&self) -> bool {
        self.mean.abs() <= ROUNDING * self.mean_abs
    }

    /// Σx, rebuilt from the mean.
    pub fn sum(&self) -> f64 {
        self.mean * self.n as f64
    }
}
