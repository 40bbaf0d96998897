//! The tail probabilities and quantiles the tests and intervals need, in double precision.
//!
//! Not a library of distributions: only the normal and the χ², and only the directions in use.

/// The most terms a series or continued fraction may take. Both converge in about √a terms near their border x ≈ a, so
/// this is enough far beyond any number of arms; past it the value is returned as it stands.
const MAX_TERMS: u32 = 100_000;

/// Survival function of the χ² distribution: the probability of a value above `x` with `degrees` degrees of freedom,
/// Q(degrees/2, x/2). 1 for `x` ≤ 0; NaN if `x` is NaN or `degrees` is 0.
pub fn chi_squared_survival(x: f64, degrees: u32) -> f64 {
    upper_gamma_ratio(f64::from(degrees) / 2.0, x / 2.0)
}

/// The regularized upper incomplete gamma function Q(a, x) = Γ(a, x) / Γ(a), for a > 0 (NaN otherwise).
///
/// The series of NIST DLMF 8.11.4 (as P = 1 − Q) below x = a + 1, the continued fraction of DLMF 8.9.2 above, as
/// arranged in Numerical Recipes, 3rd edition, section 6.2. Relative error about 10⁻¹³ for a below 100.
pub fn upper_gamma_ratio(a: f64, x: f64) -> f64 {
    if a.is_nan() || a <= 0.0 || x.is_nan() {
        return f64::NAN;
    }
    if x <= 0.0 {
        return 1.0;
    }
    if x.is_infinite() {
        return 0.0;
    }
    let scale = libm::exp(a * libm::log(x) - x - libm::lgamma(a));
    if x < a + 1.0 { 1.0 - scale * lower_series(a, x) } else { scale * upper_fraction(a, x) }
}

/// Σ xᵏ / (a (a+1) … (a+k)), which is P(a, x) without its scale.
fn lower_series(a: f64, x: f64) -> f64 {
    let mut term = 1.0 / a;
    let mut sum = term;
    for k in 1..MAX_TERMS {
        term *= x / (a + f64::from(k));
        sum += term;
        if term < sum * f64::EPSILON {
            break;
        }
    }
    sum
}

/// The continued fraction of Q(a, x) without its scale, by the modified method of Lentz.
fn upper_fraction(a: f64, x: f64) -> f64 {
    const TINY: f64 = f64::MIN_POSITIVE / f64::EPSILON;
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / b;
    let mut fraction = d;
    for k in 1..MAX_TERMS {
        let k = f64::from(k);
        let numerator = -k * (k - a);
        b += 2.0;
        d = numerator * d + b;
        if d.abs() < TINY {
            d = TINY;
        }
        c = b + numerator / c;
        if c.abs() < TINY {
            c = TINY;
        }
        d = 1.0 / d;
        let step = d * c;
        fraction *= step;
        if (step - 1.0).abs() <= f64::EPSILON {
            break;
        }
    }
    fraction
}

/// The two-sided p-value of a standard normal statistic: P(|Z| ≥ |z|) = erfc(|z| / √2).
pub fn two_sided_p(z: f64) -> f64 {
    libm::erfc(z.abs() / std::f64::consts::SQRT_2)
}

/// The density of the standard normal distribution, e^(−z²/2) / √(2π).
pub fn normal_density(z: f64) -> f64 {
    // The square is 0 or infinite far out, where the density is 1/√(2π) or 0 all the same.
    libm::exp(-0.5 * z * z) / libm::sqrt(2.0 * std::f64::consts::PI)
}

/// The distribution function of the standard normal distribution: Φ(z) = P(Z ≤ z), exact in the lower tail too.
pub fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

/// The survival function of the standard normal distribution: P(Z > z) = Φ(−z), exact in the upper tail too.
pub fn normal_survival(z: f64) -> f64 {
    normal_cdf(-z)
}

/// The quantile of the standard normal distribution at `probability` in (0, 1); −∞ at 0, +∞ at 1, NaN outside.
///
/// Algorithm AS 241, PPND16 (Wichura 1988, Applied Statistics 37, 477–484), relative error about 10⁻¹⁶.
pub fn normal_quantile(probability: f64) -> f64 {
    if !(0.0..=1.0).contains(&probability) {
        return f64::NAN;
    }
    let q = probability - 0.5;
    if q.abs() <= 0.425 {
        return q * ratio(&CENTRE, 0.180625 - q * q);
    }
    let tail = if q < 0.0 { probability } else { 1.0 - probability };
    if tail <= 0.0 {
        return f64::INFINITY.copysign(q);
    }
    let r = libm::sqrt(-libm::log(tail));
    let magnitude = if r <= 5.0 { ratio(&NEAR_TAIL, r - 1.6) } else { ratio(&FAR_TAIL, r - 5.0) };
    magnitude.copysign(q)
}

/// A rational function: the coefficients of the numerator and of the denominator, by rising power.
type Rational = ([f64; 8], [f64; 8]);

fn ratio((numerator, denominator): &Rational, x: f64) -> f64 {
    let horner = |coefficients: &[f64; 8]| coefficients.iter().rev().fold(0.0, |sum, c| sum * x + c);
    horner(numerator) / horner(denominator)
}

#[allow(clippy::excessive_precision, reason = "the digits as Wichura printed them, so that they can be compared")]
const CENTRE: Rational = (
    [
        3.3871328727963666080e0,
        1.3314166789178437745e2,
        1.9715909503065514427e3,
        1.3731693765509461125e4,
        4.5921953931549871457e4,
        6.7265770927008700853e4,
        3.3430575583588128105e4,
        2.5090809287301226727e3,
    ],
    [
        1.0,
        4.2313330701600911252e1,
        6.8718700749205790830e2,
        5.3941960214247511077e3,
        2.1213794301586595867e4,
        3.9307895800092710610e4,
        2.8729085735721942674e4,
        5.2264952788528545610e3,
    ],
);

#[allow(clippy::excessive_precision, reason = "the digits as Wichura printed them, so that they can be compared")]
const NEAR_TAIL: Rational = (
    [
        1.42343711074968357734e0,
        4.63033784615654529590e0,
        5.76949722146069140550e0,
        3.64784832476320460504e0,
        1.27045825245236838258e0,
        2.41780725177450611770e-1,
        2.27238449892691845833e-2,
        7.74545014278341407640e-4,
    ],
    [
        1.0,
        2.05319162663775882187e0,
        1.67638483018380384940e0,
        6.89767334985100004550e-1,
        1.48103976427480074590e-1,
        1.51986665636164571966e-2,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ],
);

#[allow(clippy::excessive_precision, reason = "the digits as Wichura printed them, so that they can be compared")]
const FAR_TAIL: Rational = (
    [
        6.65790464350110377720e0,
        5.46378491116411436990e0,
        1.78482653991729133580e0,
        2.96560571828504891230e-1,
        2.65321895265761230930e-2,
        1.24266094738807843860e-3,
        2.71155556874348757815e-5,
        2.01033439929228813265e-7,
    ],
    [
        1.0,
        5.99832206555887937690e-1,
        1.36929880922735805310e-1,
        1.48753612908506148525e-2,
        7.86869131145613259100e-4,
        1.84631831751005468180e-5,
        1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    ],
);
