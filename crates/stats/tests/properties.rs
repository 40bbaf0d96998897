//! What must hold for all inputs: merging, and indifference to units.

use bellwether_stats::{Arm, Estimate, IMBALANCE_ALPHA, Moments, RatioMoments, imbalance, lift};
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
}
