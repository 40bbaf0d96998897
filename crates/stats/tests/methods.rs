//! The methods of an analysis plan: golden values of each, worked out with scipy and by hand, and what each refuses.

use bellwether_stats::DesiredChange::{Decrease, Increase};
use bellwether_stats::distribution::{normal_cdf, normal_density, normal_survival};
use bellwether_stats::{
    Arm, Guardrail, Measurement, PercentileError, PercentileFacts, RatioMoments, Verdict, expected_duration, guardrail,
    imbalance, imbalances, is_decided, percentile, posterior, preferential_bonferroni, progress, ranks,
    sequential_interval, sequential_p, verdict,
};

fn assert_near(what: &str, got: f64, expected: f64) {
    assert!((got - expected).abs() <= 1e-12 * expected.abs(), "{what}: {got:?}, expected {expected:?}");
}

#[test]
fn normal_probabilities() {
    // scipy.stats.norm: cdf, sf, pdf.
    assert_near("Φ(1)", normal_cdf(1.0), 0.8413447460685429);
    assert_near("Φ(−20)", normal_cdf(-20.0), 2.7536241186062337e-89);
    assert_near("survival of 20", normal_survival(20.0), 2.7536241186062337e-89);
    assert_near("φ(0.5)", normal_density(0.5), 0.3520653267642995);
    assert_eq!((normal_cdf(f64::INFINITY), normal_density(1e300)), (1.0, 0.0));
}

#[test]
fn sequential_intervals_and_p_values_say_the_same() {
    let (low, high) = sequential_interval(0.1, 0.02, 4_000, 0.05).unwrap();
    // ρ = 10000/(ln(1 − 2 ln 0.05) − 2 ln 0.05), and the formula, in Python's floats.
    assert_near("low", low, GOLDEN_SEQUENTIAL.0);
    assert_near("high", high, GOLDEN_SEQUENTIAL.1);
    assert_near("p", sequential_p(0.1, 0.02, 4_000, 0.05).unwrap(), GOLDEN_SEQUENTIAL.2);
    assert_eq!(sequential_p(0.0, 0.02, 4_000, 0.05).unwrap(), 1.0);
    assert_eq!(sequential_p(1e3, 1e-3, 4_000, 0.05).unwrap(), 0.0);
    assert_eq!(sequential_interval(3.0, 0.0, 1, 0.05).unwrap(), (3.0, 3.0));
}

const GOLDEN_SEQUENTIAL: (f64, f64, f64) = (0.03752441816650542, 0.1624755818334946, 0.00015207916961566825);

#[test]
fn sequential_arguments_are_refused_by_name() {
    for (estimate, error, subjects, alpha, name) in [
        (f64::NAN, 1.0, 10, 0.05, "the estimate"),
        (0.0, -1.0, 10, 0.05, "the standard error"),
        (0.0, f64::INFINITY, 10, 0.05, "the standard error"),
        (0.0, 1.0, 0, 0.05, "the number of subjects"),
        (0.0, 1.0, 10, 0.0, "alpha"),
        (0.0, 1.0, 10, 1.0, "alpha"),
    ] {
        assert_eq!(sequential_interval(estimate, error, subjects, alpha).unwrap_err().name, name);
        assert_eq!(sequential_p(estimate, error, subjects, alpha).unwrap_err().name, name);
    }
    assert!(sequential_p(1.0, 0.0, 10, 0.05).is_err());
}

#[test]
fn a_posterior_is_shrunk_towards_0() {
    // Equal precisions: halfway, at a standard deviation of 0.05/√2. scipy: norm.cdf(√2), norm.ppf, and quad for the risk.
    let found = posterior(0.1, 0.05, 0.05, Increase, 0.95).unwrap();
    assert_near("mean", found.mean, 0.05);
    assert_near("deviation", found.standard_deviation, 0.05 / 2_f64.sqrt());
    assert_near("low", found.interval.0, GOLDEN_POSTERIOR.0);
    assert_near("better", found.better, GOLDEN_POSTERIOR.1);
    assert_near("risk", found.risk, GOLDEN_POSTERIOR.2);
    let feared = posterior(0.1, 0.05, 0.05, Decrease, 0.95).unwrap();
    assert_near("better", feared.better, 1.0 - GOLDEN_POSTERIOR.1);
    // What is lost by taking it, less what is lost by leaving it, is the mean.
    assert_near("risk", feared.risk - found.risk, 0.05);
    assert_eq!((feared.mean, feared.interval), (found.mean, found.interval));
}

const GOLDEN_POSTERIOR: (f64, f64, f64) = (-0.01929519121748391, 0.9213503964748575, 0.0012563635415003055);

#[test]
fn posteriors_refuse_what_is_no_measurement() {
    for (lift, error, prior, confidence) in
        [(f64::NAN, 1.0, 1.0, 0.9), (0.0, 0.0, 1.0, 0.9), (0.0, 1.0, 0.0, 0.9), (0.0, 1.0, 1.0, 1.0)]
    {
        assert!(posterior(lift, error, prior, Increase, confidence).is_err());
    }
}

#[test]
fn the_primary_metric_is_preferred() {
    let alphas = preferential_bonferroni(0.05, 2, 5, Some(0.5)).unwrap();
    assert_near("primary", alphas.primary.unwrap(), 0.0125);
    assert_near("other", alphas.other.unwrap(), 0.003125);
    let alone = preferential_bonferroni(0.05, 2, 1, Some(0.5)).unwrap();
    assert_eq!((alone.primary, alone.other), (Some(0.025), None));
    let equal = preferential_bonferroni(0.05, 2, 5, None).unwrap();
    assert_eq!((equal.primary, equal.other), (None, Some(0.005)));
    for (alpha, treatments, metrics, weight, name) in [
        (0.0, 1, 1, None, "alpha"),
        (0.05, 0, 1, None, "the number of treatments"),
        (0.05, 1, 0, None, "the number of metrics"),
        (0.05, 1, 2, Some(1.0), "the primary metric's weight"),
        (0.05, 1, 2, Some(-0.1), "the primary metric's weight"),
    ] {
        assert_eq!(preferential_bonferroni(alpha, treatments, metrics, weight).unwrap_err().name, name);
    }
}

#[test]
fn progress_is_the_square_of_the_width() {
    assert_near("half", progress(0.01, (-0.02, 0.02)).unwrap(), 0.25);
    assert_eq!(progress(0.01, (0.1, 0.11)), Ok(1.0));
    assert_eq!(progress(0.01, (0.1, 0.1)), Ok(1.0));
    assert_eq!(progress(0.01, (f64::NEG_INFINITY, f64::INFINITY)), Ok(0.0));
    for (target, interval) in [(0.0, (0.0, 1.0)), (f64::NAN, (0.0, 1.0)), (0.1, (1.0, 0.0)), (0.1, (f64::NAN, 0.0))] {
        assert!(progress(target, interval).is_err(), "{target} {interval:?}");
    }
    assert_eq!(expected_duration(7.0, 0.25), Some(28.0));
    assert_eq!(expected_duration(7.0, 1.0), Some(7.0));
    assert_eq!((expected_duration(7.0, 0.0), expected_duration(0.0, 0.5)), (None, None));
    assert_eq!((expected_duration(7.0, f64::NAN), expected_duration(1e300, 1e-300)), (None, None));
}

#[test]
fn guardrails_by_side_and_cutoff() {
    for (interval, cutoff, increase, decrease) in [
        ((-0.05, -0.03), -0.02, "breached", "safe"),
        ((-0.05, -0.02), -0.02, "at_risk", "safe"),
        ((-0.05, 0.01), -0.02, "at_risk", "at_risk"),
        ((-0.02, 0.01), -0.02, "safe", "at_risk"),
        ((0.03, 0.05), 0.02, "safe", "breached"),
        ((f64::NEG_INFINITY, f64::INFINITY), 0.0, "at_risk", "at_risk"),
    ] {
        assert_eq!(guardrail(Some(interval), cutoff, Increase).as_str(), increase, "{interval:?}");
        assert_eq!(guardrail(Some(interval), cutoff, Decrease).as_str(), decrease, "{interval:?}");
    }
    assert_eq!(guardrail(None, 0.0, Increase), Guardrail::AtRisk);
}

#[test]
fn verdicts() {
    let (above, below, around) = (Some((0.1, 0.2)), Some((-0.2, -0.1)), Some((-0.1, 0.1)));
    for (interval, progress, meets_minimum, increase, decrease) in [
        (above, None, false, "better", "worse"),
        (below, Some(0.2), false, "worse", "better"),
        (around, Some(1.0), false, "no_difference_found", "no_difference_found"),
        (around, Some(0.99), true, "not_enough_data", "not_enough_data"),
        (around, None, true, "no_difference_found", "no_difference_found"),
        (around, None, false, "not_enough_data", "not_enough_data"),
        (Some((0.0, 0.1)), Some(1.0), true, "no_difference_found", "no_difference_found"),
        (None, Some(1.0), true, "not_enough_data", "not_enough_data"),
    ] {
        assert_eq!(verdict(interval, progress, meets_minimum, Increase).as_str(), increase, "{interval:?}");
        assert_eq!(verdict(interval, progress, meets_minimum, Decrease).as_str(), decrease, "{interval:?}");
    }
    assert_eq!(verdict(None, None, true, Increase), Verdict::NotEnoughData);
}

#[test]
fn an_experiment_is_decided_by_one_difference_or_by_all_being_done() {
    let at = |interval, progress| Measurement { interval: Some(interval), progress };
    assert!(is_decided(&[at((-0.1, 0.1), Some(0.2)), at((0.1, 0.2), Some(0.2))]));
    assert!(is_decided(&[at((-0.1, 0.1), Some(1.0)), at((-0.1, 0.1), Some(1.0))]));
    assert!(!is_decided(&[at((-0.1, 0.1), Some(1.0)), at((-0.1, 0.1), Some(0.9))]));
    assert!(!is_decided(&[at((-0.1, 0.1), None)]));
    assert!(!is_decided(&[]));
}

#[test]
fn many_groups_share_the_level() {
    let group = |left, right| vec![Arm { weight: 1.0, subjects: left }, Arm { weight: 1.0, subjects: right }];
    // p = 0.00038: an imbalance alone, and none as one of three.
    let lone = imbalances(&[group(185, 260)], 0.001).unwrap();
    assert!(lone[0].is_imbalance && lone[0] == imbalance(&group(185, 260), 0.001).unwrap());
    let groups = [group(185, 260), group(50, 50), group(4736, 5264), group(3, 2)];
    let found = imbalances(&groups, 0.001).unwrap();
    assert_eq!(found.iter().map(|one| one.is_imbalance).collect::<Vec<_>>(), [false, false, true, false]);
    assert_eq!(found[3].p_value, None, "expected counts below 5 make no test, so the level is shared by three");
    // An empty arm among ten is what one of many groups looks like.
    assert!(imbalance(&group(0, 10), 0.001).unwrap().is_imbalance);
    assert!(!imbalances(&[group(0, 10)], 0.001).unwrap()[0].is_imbalance);
    assert!(imbalances(&[vec![Arm { weight: -1.0, subjects: 1 }]], 0.001).is_err());
    assert_eq!(imbalances(&[], 0.001), Ok(vec![]));
}

#[test]
fn the_ranks_of_percentiles() {
    // (100 − 1)·0.5 + 1 = 50.5; 50 ∓ 1.96·5.
    let median = ranks(0.5, 100).unwrap();
    assert_eq!((median.below, median.fraction, median.outer), (50, 0.5, (40, 60)));
    assert_eq!(median.quantile(3.0, 4.0), 3.5);
    assert_eq!((median.level(1), median.level(100)), (0.0, 1.0));
    // z² · 0.99/0.01 = 380.3.
    assert_eq!(ranks(0.99, 380), Err(PercentileError::TooFewFacts { facts: 380, needed: 381 }));
    assert_eq!(ranks(0.99, 381).unwrap().outer.1, 381);
    assert!(matches!(ranks(0.01, 0), Err(PercentileError::TooFewFacts { facts: 0, .. })));
    assert!(matches!(ranks(1.0, 1000), Err(PercentileError::OutOfRange(_))));
}

#[test]
fn a_percentile_of_lone_facts_has_the_error_of_independent_ones() {
    // One fact a subject, half of them at or below: the clusters' variance is p(1 − p)/(n − 1).
    let pairs: Vec<_> = (0..1000).map(|i| (f64::from(u8::from(i < 500)), 1.0)).collect();
    let found = PercentileFacts { quantile: 7.0, outer: (6.0, 8.0), subjects: RatioMoments::of(&pairs) };
    let estimate = percentile(0.5, &found).unwrap();
    assert_eq!((estimate.value, estimate.n), (7.0, 1000));
    let independent = 2.0 / (2.0 * 1.959963984540054);
    assert_near("error", estimate.standard_error().unwrap(), independent * (1000.0_f64 / 999.0).sqrt());
    // Each fact ten times over says no more.
    let tenfold: Vec<_> = pairs.iter().map(|(below, all)| (10.0 * below, 10.0 * all)).collect();
    let tenfold = PercentileFacts { subjects: RatioMoments::of(&tenfold), ..found };
    let wider = percentile(0.5, &tenfold).unwrap().standard_error().unwrap();
    assert_near("error", wider, 10_f64.sqrt() * estimate.standard_error().unwrap());
}

#[test]
fn percentiles_that_do_not_exist_say_why() {
    let found = PercentileFacts { quantile: 7.0, outer: (6.0, 8.0), subjects: RatioMoments::of(&[(1.0, 2.0)]) };
    assert_eq!(percentile(0.5, &found), Err(PercentileError::TooFewSubjects { subjects: 1 }));
    let none = PercentileFacts { subjects: RatioMoments::default(), ..found };
    assert_eq!(percentile(0.5, &none), Err(PercentileError::TooFewSubjects { subjects: 0 }));
    let turned = PercentileFacts { outer: (8.0, 6.0), ..found };
    assert_eq!(percentile(0.5, &turned), Err(PercentileError::NotFinite));
    assert!(matches!(percentile(0.0, &found), Err(PercentileError::OutOfRange(_))));
}
