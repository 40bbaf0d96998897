//! Golden values from independent implementations: scipy 1.x (`stats.norm`, `stats.chisquare`, `np.var(ddof=1)`) and
//! mpmath at 40 digits (`gammainc(regularized=True)`, means and moments), printed by Python's `repr`.
#![allow(clippy::excessive_precision, reason = "digits as the oracle printed them, so that they can be compared")]

use bellwether_stats::distribution::{chi_squared_survival, normal_quantile, two_sided_p, upper_gamma_ratio};
use bellwether_stats::{
    Arm, Estimate, IMBALANCE_ALPHA, LiftError, Moments, Passes, RatioMoments, difference, imbalance, lift,
};
use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};

fn assert_near(what: &str, got: f64, expected: f64, relative: f64) {
    let allowed = expected.abs() * relative;
    assert!((got - expected).abs() <= allowed, "{what}: {got:?}, expected {expected:?} within {allowed:e}");
}

/// Weight and subjects of each arm.
type Counts = &'static [(f64, u64)];

fn arms(counts: &[(f64, u64)]) -> Vec<Arm> {
    counts.iter().map(|&(weight, subjects)| Arm { weight, subjects }).collect()
}

/// `re78` of the National Supported Work trial (LaLonde 1986; the sample of Dehejia & Wahba 1999), by `treat`.
const NSW_TREATED: Moments = Moments { n: 185, mean: 6349.143502162162, m2: 11388867143.191357, ..Moments::NONE };
const NSW_CONTROL: Moments = Moments { n: 260, mean: 4554.801117307692, m2: 7788766425.399716, ..Moments::NONE };

#[test]
fn lift_of_the_nsw_trial() {
    let lift = lift(&(&NSW_TREATED).into(), &(&NSW_CONTROL).into(), 0.95).unwrap();
    assert_eq!(format!("{:.6} {:.6}", lift.lift, lift.standard_error), "0.393945 0.164195");
    assert_near("lift", lift.lift, 0.3939452763450386, 1e-13);
    assert_near("standard error", lift.standard_error, 0.16419479954573124, 1e-13);
    assert_near("low", lift.interval.0, 0.07212938278663178, 1e-12);
    assert_near("high", lift.interval.1, 0.7157611699034454, 1e-12);
    assert_near("p", lift.p_value, 0.01642844698362604, 1e-12);
}

#[test]
fn two_passes_give_the_same_moments_wherever_the_centre_is() {
    for centre in [6349.0, 6349.143502162162, 6400.0] {
        // Σx = 1174591.5479 and Σx² = 18846517437.23523767, moved to the centre.
        let deviations = 1174591.5479 - 185.0 * centre;
        let squares = 11388867143.191357 + 185.0 * f64::powi(6349.143502162162 - centre, 2);
        let treated = Moments::of_passes(Passes { n: 185, centre, deviations, squares, ..Passes::default() });
        assert_near("mean", treated.mean, NSW_TREATED.mean, 1e-14);
        assert_near("m2", treated.m2, NSW_TREATED.m2, 1e-13);
    }
}

#[test]
fn the_difference_of_the_nsw_trial() {
    let found = difference(&(&NSW_TREATED).into(), &(&NSW_CONTROL).into(), 0.95).unwrap();
    // statsmodels: CompareMeans.zconfint_diff(usevar="unequal").
    assert_near("difference", found.difference, 1794.3423848544698, 1e-13);
    assert_near("standard error", found.standard_error, 670.9965442471573, 1e-12);
    assert_near("low", found.interval.0, 479.21332437920387, 1e-12);
    assert_near("high", found.interval.1, 3109.471445329734, 1e-12);
}

#[test]
fn everybody_having_the_same_is_no_evidence_whatever_the_rounding() {
    // Values that no double holds exactly; Welford's mean of them is off by some of the last digits.
    for (value, n, other) in [(0.35, 3_usize, 4_usize), (5.14, 399, 400), (1e9 / 3.0, 1000, 1001), (0.1, 12345, 54321)]
    {
        let of = |n| Estimate::from(&Moments::of(std::iter::repeat_n(value, n)));
        assert_eq!(lift(&of(n), &of(other), 0.95), Err(LiftError::NoVariance), "{value}");
    }
    // A true deviation as small as it gets beside its values is still one.
    let of = |last: f64| Estimate::from(&Moments::of([1.0, 1.0, last]));
    assert!(lift(&of(1.0 + 1e-9), &of(1.0), 0.95).is_ok());
}

#[test]
fn a_control_of_nothing_but_rounding_is_zero() {
    let control = Moments::of([0.1, 0.2, -0.3]);
    assert!(control.mean != 0.0, "the doubles do not cancel: {}", control.mean);
    let treatment = Moments::of([1.0, 2.0, 3.0]);
    assert_eq!(lift(&(&treatment).into(), &(&control).into(), 0.95), Err(LiftError::ControlMeanZero));
    assert!(difference(&(&treatment).into(), &(&control).into(), 0.95).is_ok());
}

#[test]
fn the_sign_of_a_lift_is_that_of_the_difference() {
    let (loss, gain) = (Moments::of([-4.0, -2.0, -3.0]), Moments::of([-2.0, -1.0, -1.5]));
    let found = lift(&(&gain).into(), &(&loss).into(), 0.95).unwrap();
    assert_near("lift", found.lift, 0.5, 1e-15);
    // By the delta method, with mpmath: sqrt(vt/c² + vc·t²/c⁴), vt = 1/12, vc = 1/3, c = -3, t = -1.5.
    assert_near("standard error", found.standard_error, 0.13608276348795434, 1e-14);
    let back = lift(&(&loss).into(), &(&gain).into(), 0.95).unwrap();
    assert_near("lift", back.lift, -1.0, 1e-15);
}

/// Clicks and views of eight users of each arm, then what numpy gives for Σx/Σy, `sqrt(var(x - r*y, ddof=1) / n) / mean(y)`,
/// and the lift of the second over the first with its standard error.
#[test]
fn a_ratio_of_two_means() {
    let control = [(1.0, 10.0), (0.0, 3.0), (2.0, 8.0), (5.0, 20.0), (0.0, 0.0), (3.0, 12.0), (1.0, 7.0), (4.0, 9.0)];
    let treatment = [(2.0, 9.0), (1.0, 4.0), (2.0, 7.0), (8.0, 22.0), (0.0, 1.0), (3.0, 10.0), (0.0, 5.0), (6.0, 11.0)];
    let [control, treatment] = [control, treatment].map(|pairs| RatioMoments::of(&pairs).estimate().unwrap());
    assert_near("control", control.value, RATIOS[0], 1e-15);
    assert_near("its error", control.standard_error().unwrap(), RATIOS[1], 1e-13);
    assert_near("treatment", treatment.value, RATIOS[2], 1e-15);
    assert_near("its error", treatment.standard_error().unwrap(), RATIOS[3], 1e-13);
    let lift = lift(&treatment, &control, 0.95).unwrap();
    assert_near("lift", lift.lift, RATIOS[4], 1e-13);
    assert_near("its error", lift.standard_error, RATIOS[5], 1e-13);
}

const RATIOS: [f64; 6] = [
    0.2318840579710145,
    0.03941209716595316,
    0.3188405797101449,
    0.05079716173638726,
    0.3749999999999998,
    0.32031991271747656,
];

#[test]
fn a_ratio_without_a_denominator_is_none_and_a_constant_one_has_no_variance() {
    assert_eq!(RatioMoments::of(&[(1.0, 0.0), (2.0, 0.0)]).estimate(), None);
    assert_eq!(RatioMoments::default().estimate(), None);
    let constant = RatioMoments::of(&[(0.3, 0.1), (0.9, 0.3), (2.1, 0.7)]).estimate().unwrap();
    assert_eq!(constant.standard_deviation, Some(0.0));
    // The moments of many do not cancel to the last digit.
    for (ratio, n) in [(0.3, 1000_u32), (0.1, 5000), (1.0 / 3.0, 997)] {
        let pairs: Vec<_> = (0..n).map(|i| f64::from(i * i % 101 + 1) * 1.1).map(|y| (ratio * y, y)).collect();
        assert_eq!(RatioMoments::of(&pairs).estimate().unwrap().standard_deviation, Some(0.0), "{ratio}");
    }
    assert_eq!(RatioMoments::of(&[(0.3, 0.1)]).estimate().unwrap().standard_error(), None);
}

#[test]
fn normal_quantiles() {
    let golden = [
        (1e-300, -37.0470962993612),
        (1e-20, -9.262340089798409),
        (1e-06, -4.753424308822899),
        (0.001, -3.090232306167813),
        (0.02425, -1.972961051311885),
        (0.025, -1.9599639845400545),
        (0.1, -1.2815515655446004),
        (0.3, -0.5244005127080409),
        (0.75, 0.6744897501960817),
        (0.975, 1.959963984540054),
        (0.995, 2.5758293035489004),
        (0.9999, 3.719016485455709),
    ];
    for (probability, expected) in golden {
        assert_near(&format!("quantile {probability}"), normal_quantile(probability), expected, 1e-14);
    }
    assert_eq!(normal_quantile(0.5), 0.0);
    assert_eq!(normal_quantile(0.0), f64::NEG_INFINITY);
    assert_eq!(normal_quantile(1.0), f64::INFINITY);
    assert!(normal_quantile(1.5).is_nan() && normal_quantile(f64::NAN).is_nan());
}

#[test]
fn two_sided_p_agrees_with_statrs() {
    let normal = Normal::new(0.0, 1.0).unwrap();
    for z in [0.0, 0.3, -1.0, 1.96, -3.29, 6.0] {
        assert_near(&format!("p of {z}"), two_sided_p(z), 2.0 * normal.cdf(-f64::abs(z)), 1e-9);
    }
}

#[test]
fn upper_gamma() {
    let golden = [
        (0.5, 0.5, 0.31731050786291410283),
        (0.5, 1.92, 0.050043521248705103189),
        (1.0, 1.0, 0.3678794411714423216),
        (1.5, 20.0, 1.0655090334255860815e-8),
        (2.5, 3.4, 0.23594453769452139569),
        (50.0, 40.0, 0.92966493334060504556),
        (50.0, 80.0, 0.00013078397659141033656),
        (5.0, 500.0, 1.8702907209159496958e-208),
        (0.5, 1e-10, 0.999988716208329421),
        (1000.0, 1010.0, 0.37232105526300527247),
    ];
    for (a, x, expected) in golden {
        assert_near(&format!("Q({a}, {x})"), upper_gamma_ratio(a, x), expected, 1e-11);
    }
    assert_eq!(upper_gamma_ratio(2.0, 0.0), 1.0);
    assert_eq!(upper_gamma_ratio(2.0, f64::INFINITY), 0.0);
    assert!(upper_gamma_ratio(0.0, 1.0).is_nan());
}

#[test]
fn chi_squared_agrees_with_statrs() {
    for degrees in [1_u32, 2, 3, 7, 20] {
        let oracle = ChiSquared::new(f64::from(degrees)).unwrap();
        for x in [0.001, 0.5, 1.0, 3.84, 10.83, 40.0] {
            assert_near(&format!("χ²({degrees}) at {x}"), chi_squared_survival(x, degrees), oracle.sf(x), 1e-9);
        }
    }
}

#[test]
fn imbalance_against_scipy_chisquare() {
    let golden: [(Counts, f64, f64, bool); 6] = [
        (&[(1.0, 5000), (1.0, 5000)], 0.0, 1.0, false),
        (&[(1.0, 4736), (1.0, 5264)], 27.8784, 1.291838865196503e-07, true),
        (&[(1.0, 821_588), (1.0, 815_482)], 22.77436884189436, 1.8217928726191858e-06, true),
        (&[(1.0, 185), (1.0, 260)], 12.640449438202246, 0.0003774892144266707, true),
        (&[(1.0, 3300), (1.0, 3400), (1.0, 3300)], 2.0, 0.36787944117144245, false),
        (&[(9.0, 9100), (1.0, 900)], 11.11111111111111, 0.0008581206663936758, true),
    ];
    for (counts, chi_squared, p_value, is_imbalance) in golden {
        let result = imbalance(&arms(counts), IMBALANCE_ALPHA).unwrap();
        assert_near(&format!("χ² of {counts:?}"), result.chi_squared.unwrap(), chi_squared, 1e-12);
        assert_near(&format!("p of {counts:?}"), result.p_value.unwrap(), p_value, 1e-11);
        assert_eq!(result.is_imbalance, is_imbalance, "{counts:?}");
    }
}

#[test]
fn imbalance_without_a_verdict() {
    let undecided: [&[(f64, u64)]; 5] = [
        &[],
        &[(1.0, 1000)],
        &[(1.0, 0), (1.0, 0)],
        // Expected 4.5 each.
        &[(1.0, 9), (1.0, 0)],
        // Expected 1 in the small arm, which is empty.
        &[(99.0, 100), (1.0, 0)],
    ];
    for counts in undecided {
        let result = imbalance(&arms(counts), IMBALANCE_ALPHA).unwrap();
        assert_eq!((result.p_value, result.is_imbalance), (None, false), "{counts:?}");
    }
}

#[test]
fn an_empty_arm_is_an_imbalance_once_five_were_expected() {
    // The p-value alone, 0.0016, would not be.
    let result = imbalance(&arms(&[(1.0, 0), (1.0, 10)]), IMBALANCE_ALPHA).unwrap();
    assert_near("p", result.p_value.unwrap(), 0.001565402258002549, 1e-12);
    assert!(result.is_imbalance);
    // The third arm's expected count of 2 forbids the test, not the verdict on the empty one.
    let result = imbalance(&arms(&[(49.0, 100), (50.0, 0), (1.0, 2)]), IMBALANCE_ALPHA).unwrap();
    assert_eq!((result.p_value, result.is_imbalance), (None, true));
}

#[test]
fn arms_without_weight_take_no_part() {
    let two = imbalance(&arms(&[(1.0, 510), (1.0, 490)]), IMBALANCE_ALPHA).unwrap();
    let three = imbalance(&arms(&[(1.0, 510), (0.0, 70), (1.0, 490)]), IMBALANCE_ALPHA).unwrap();
    assert_eq!(two, three);
}

#[test]
fn impossible_arms_are_named() {
    let message = imbalance(&arms(&[(1.0, 1), (-0.5, 1)]), IMBALANCE_ALPHA).unwrap_err().to_string();
    assert!(message.contains("arm 1 is -0.5"), "{message}");
    assert!(imbalance(&arms(&[(f64::NAN, 1)]), IMBALANCE_ALPHA).is_err());
    assert!(imbalance(&[], 0.0).is_err());
}

#[test]
fn lifts_that_do_not_exist_say_why() {
    let sample = Estimate::from(&Moments::of([1.0, 2.0, 4.0]));
    let one = Estimate::from(&Moments::of([3.0]));
    let zero_mean = Estimate::from(&Moments::of([-1.0, 1.0]));
    let constant = Estimate::from(&Moments::of([2.0, 2.0]));
    let infinite = Estimate::from(&Moments { n: 3, mean: f64::INFINITY, m2: 1.0, ..Moments::NONE });
    assert_eq!(lift(&one, &sample, 0.95), Err(LiftError::TooFewSubjects { arm: "the treatment", n: 1 }));
    assert_eq!(lift(&sample, &one, 0.95), Err(LiftError::TooFewSubjects { arm: "the control", n: 1 }));
    assert_eq!(lift(&sample, &zero_mean, 0.95), Err(LiftError::ControlMeanZero));
    assert_eq!(lift(&constant, &constant, 0.95), Err(LiftError::NoVariance));
    assert_eq!(lift(&infinite, &sample, 0.95), Err(LiftError::NotFinite { arm: "the treatment" }));
    assert_eq!(lift(&sample, &sample, 1.0), Err(LiftError::Confidence(1.0)));
}

#[test]
fn values_that_are_all_the_same_have_no_moments_about_a_centre_far_from_them() {
    // 999 times 0.7 about 0.31: deviations and squares as a warehouse sums them, each correctly rounded.
    let deviation = 0.7 - 0.31;
    let same = Passes {
        n: 999,
        centre: 0.31,
        deviations: 999.0 * deviation,
        squares: 999.0 * (deviation * deviation),
        ..Passes::default()
    };
    assert_eq!(Moments::of_passes(same).m2, 0.0);
    let differing = Passes { squares: same.squares + 1e-6, ..same };
    assert!((Moments::of_passes(differing).m2 - 1e-6).abs() < 1e-12);
}
