//! What must hold for all inputs: merging, indifference to units, and what one method says of another.

use bellwether_stats::DesiredChange::{Decrease, Increase};
use bellwether_stats::{
    Arm, Estimate, Guardrail, IMBALANCE_ALPHA, Moments, PercentileError, RatioMoments, Verdict, guardrail, imbalance,
    lift, posterior, preferential_bonferroni, progress, ranks, sequential_interval, sequential_p, verdict,
};
use proptest::prelude::*;

fn near(left: f64, right: f64, scale: f64) -> bool {
    (left - right).abs() <= 1e-9 * scale.max(left.abs()).max(right.abs())
}

fn values() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(-1e6..1e6, 0..60)
}

fn positive_sample() -> impl Strategy<Value = Moments> {
    prop::collection::vec(0.5..1e4, 2..40).prop_filter_map("no variance", |values| {
        let moments = Moments::of(values);
        (moments.m2 > 0.0).then_some(moments)
    })
}

proptest! {
    #[test]
    fn merging_parts_equals_the_whole(left in values(), right in values()) {
        let whole = Moments::of(left.iter().chain(&right).copied());
        let merged = Moments::of(left).merge(Moments::of(right));
        prop_assert_eq!(merged.n, whole.n);
        prop_assert!(near(merged.mean, whole.mean, 1.0), "{merged:?} {whole:?}");
        prop_assert!(near(merged.m2, whole.m2, 1.0), "{merged:?} {whole:?}");
    }

    #[test]
    fn imbalance_knows_no_unit_of_weight(
        counts in prop::collection::vec((1_u32..1000, 0_u64..100_000), 0..6),
        exponent in -40_i32..40,
    ) {
        let scaled = |scale: f64| -> Vec<Arm> {
            counts.iter().map(|&(weight, subjects)| Arm { weight: f64::from(weight) * scale, subjects }).collect()
        };
        // A power of two changes no digit, so the outcome must be the same to the last bit.
        let scale = 2_f64.powi(exponent);
        prop_assert_eq!(imbalance(&scaled(1.0), IMBALANCE_ALPHA), imbalance(&scaled(scale), IMBALANCE_ALPHA));
    }

    #[test]
    fn lift_knows_no_unit_of_value(treatment in positive_sample(), control in positive_sample(), scale in 1e-6..1e6_f64) {
        let scaled = |m: Moments| Estimate::from(&Moments { mean: m.mean * scale, m2: m.m2 * scale * scale, max_abs: m.max_abs * scale, mean_abs: m.mean_abs * scale, ..m });
        let plain = lift(&(&treatment).into(), &(&control).into(), 0.9).unwrap();
        let other = lift(&scaled(treatment), &scaled(control), 0.9).unwrap();
        prop_assert!(near(plain.lift, other.lift, 1.0));
        prop_assert!(near(plain.standard_error, other.standard_error, 0.0));
        prop_assert!(near(plain.p_value, other.p_value, 0.0) || plain.p_value < 1e-9);
    }

    #[test]
    fn the_interval_holds_the_lift_and_agrees_with_p(treatment in positive_sample(), control in positive_sample()) {
        let lift = lift(&(&treatment).into(), &(&control).into(), 0.95).unwrap();
        let (low, high) = lift.interval;
        prop_assert!(low < lift.lift && lift.lift < high);
        if (lift.p_value - 0.05).abs() > 1e-9 {
            prop_assert_eq!(lift.p_value < 0.05, low > 0.0 || high < 0.0);
        }
    }

    #[test]
    fn a_ratio_over_one_for_each_subject_is_the_mean(values in prop::collection::vec(-1e3..1e3_f64, 2..40)) {
        let mean = Estimate::from(&Moments::of(values.iter().copied()));
        let pairs: Vec<_> = values.iter().map(|value| (*value, 1.0)).collect();
        let ratio = RatioMoments::of(&pairs).estimate().unwrap();
        prop_assert!(near(ratio.value, mean.value, 1e-3));
        prop_assert!(near(ratio.standard_error().unwrap(), mean.standard_error().unwrap(), 1e-3));
    }

    #[test]
    fn a_sequential_interval_is_wider_and_agrees_with_its_p(
        z in -8.0..8.0_f64, error in 1e-6..1e6_f64, subjects in 1_u64..100_000_000, alpha in 1e-6..0.5_f64,
    ) {
        let (low, high) = sequential_interval(z * error, error, subjects, alpha).unwrap();
        let p = sequential_p(z * error, error, subjects, alpha).unwrap();
        prop_assert!((0.0..=1.0).contains(&p));
        if !near(p, alpha, 0.0) {
            prop_assert_eq!(p < alpha, low > 0.0 || high < 0.0);
        }
        let fixed = -2.0 * bellwether_stats::distribution::normal_quantile(alpha / 2.0) * error;
        prop_assert!(high - low > fixed);
    }

    #[test]
    fn beliefs_of_both_sides_make_the_whole(
        lift in -2.0..2.0_f64, error in 1e-4..1.0_f64, prior in 1e-3..1.0_f64, confidence in 0.5..0.999_f64,
    ) {
        let [up, down] = [Increase, Decrease].map(|desired| posterior(lift, error, prior, desired, confidence).unwrap());
        prop_assert!(near(up.better + down.better, 1.0, 1.0));
        // E[max(0, δ)] − E[max(0, −δ)] = E[δ].
        prop_assert!(near(down.risk - up.risk, up.mean, up.standard_deviation));
        prop_assert!(up.risk >= 0.0 && down.risk >= 0.0);
        prop_assert!(up.mean.abs() <= lift.abs() && up.standard_deviation < error.min(prior));
        let mirrored = posterior(-lift, error, prior, Decrease, confidence).unwrap();
        prop_assert_eq!((mirrored.better, mirrored.risk), (up.better, up.risk));
    }

    #[test]
    fn all_levels_of_a_correction_add_up_to_alpha(
        alpha in 1e-4..0.5_f64, treatments in 1_u64..20, metrics in 1_u64..200, weight in prop::option::of(0.01..0.99_f64),
    ) {
        let levels = preferential_bonferroni(alpha, treatments, metrics, weight).unwrap();
        let others = metrics - u64::from(weight.is_some());
        let spent = levels.primary.unwrap_or(0.0) + levels.other.unwrap_or(0.0) * others as f64;
        prop_assert!(near(spent * treatments as f64, alpha, 0.0));
        prop_assert_eq!((levels.primary.is_some(), levels.other.is_some()), (weight.is_some(), others > 0));
    }

    #[test]
    fn the_ranks_of_a_percentile_are_in_order(level in 0.001..0.999_f64, facts in 0_u64..1_000_000) {
        match ranks(level, facts) {
            Ok(found) => {
                let (low, high) = found.outer;
                prop_assert!(1 <= low && low <= found.below && found.below < high && high <= facts);
                prop_assert!((0.0..1.0).contains(&found.fraction));
            }
            Err(PercentileError::TooFewFacts { needed, .. }) => {
                prop_assert!(facts < needed && ranks(level, needed).is_ok() && ranks(level, needed - 1).is_err());
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
    }

    #[test]
    fn verdicts_and_guardrails_are_mirrored(
        low in -1.0..1.0_f64, width in 0.0..1.0_f64, cutoff in -1.0..1.0_f64, done in prop::option::of(0.0..=1.0_f64), met: bool,
    ) {
        let (interval, mirrored) = (Some((low, low + width)), Some((-low - width, -low)));
        prop_assert_eq!(verdict(interval, done, met, Increase), verdict(mirrored, done, met, Decrease));
        prop_assert_eq!(guardrail(interval, cutoff, Increase), guardrail(mirrored, -cutoff, Decrease));
        // With the cutoff at 0, what is better breaches nothing and what is worse does.
        match verdict(interval, done, met, Increase) {
            Verdict::Better => prop_assert_eq!(guardrail(interval, 0.0, Increase), Guardrail::Safe),
            Verdict::Worse => prop_assert_eq!(guardrail(interval, 0.0, Increase), Guardrail::Breached),
            Verdict::NoDifferenceFound | Verdict::NotEnoughData => {
                prop_assert_ne!(guardrail(interval, 0.0, Increase), Guardrail::Breached);
            }
        }
    }

    #[test]
    fn twice_as_near_takes_four_times_as_long(target in 1e-3..1.0_f64, low in -1.0..1.0_f64, half in 1e-3..1.0_f64) {
        let [once, twice] = [target, 2.0 * target].map(|target| progress(target, (low, low + 2.0 * half)).unwrap());
        prop_assert!(near(twice, (4.0 * once).min(1.0), 0.0) && once <= 1.0);
    }
}
