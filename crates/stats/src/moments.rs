//! The count, mean and centred second moment of a sample: all that the estimates need to know of it.
//!
//! This module does not read values from anywhere: a warehouse computes the aggregates, here they are held and merged.

/// The moments of one variation's per-subject values. The unit of `mean` is that of the values, of `m2` its square.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// How many values.
    pub n: u64,
    /// Their arithmetic mean; 0 when there are none.
    pub mean: f64,
    /// Σ(x − mean)², never negative.
    pub m2: f64,
}

impl Moments {
    /// Moments of values at hand, in one pass (Welford 1962, Technometrics 4, 419–420).
    pub fn of(values: impl IntoIterator<Item = f64>) -> Moments {
        values.into_iter().fold(Moments::default(), |sample, value| {
            let n = sample.n + 1;
            let delta = value - sample.mean;
            let mean = sample.mean + delta / n as f64;
            Moments { n, mean, m2: sample.m2 + delta * (value - mean) }
        })
    }

    /// Moments from n, Σx and Σx².
    ///
    /// Σx² − (Σx)²/n cancels where the mean is large beside the deviation: with a mean of 10⁸ deviations of 1 are lost.
    /// Where a second pass over the data is possible, compute [`Moments::m2`] around the mean there instead.
    pub fn from_sums(n: u64, sum: f64, sum_of_squares: f64) -> Moments {
        if n == 0 {
            return Moments::default();
        }
        let mean = sum / n as f64;
        Moments { n, mean, m2: (sum_of_squares - sum * mean).max(0.0) }
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
        }
    }

    /// The unbiased sample variance m2 / (n − 1); `None` below two values.
    pub fn variance(&self) -> Option<f64> {
        (self.n >= 2).then(|| self.m2 / (self.n - 1) as f64)
    }

    /// Σx, rebuilt from the mean.
    pub fn sum(&self) -> f64 {
        self.mean * self.n as f64
    }
}
