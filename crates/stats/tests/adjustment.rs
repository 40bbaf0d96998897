//! CUPED: golden values of numpy, what must hold for all inputs, and what there is no adjusting of.
#![allow(clippy::unwrap_used, reason = "what is asked of a test's own input is there")]

use bellwether_stats::{
    AdjustmentError, Estimate, Figure, InvalidMoments, JointMoments, Moments, RatioMoments, adjust, lift,
};
use proptest::prelude::*;

const CONTROL: [[f64; 2]; 5] = [[1.0, 2.0], [4.0, 3.0], [2.0, 1.0], [6.0, 7.0], [3.0, 3.0]];
const TREATMENT: [[f64; 2]; 4] = [[2.0, 1.0], [7.0, 6.0], [5.0, 4.0], [3.0, 3.0]];

fn near(left: f64, right: f64, scale: f64) -> bool {
    (left - right).abs() <= 1e-9 * scale.max(left.abs()).max(right.abs())
}

fn mean_of<const V: usize>(rows: &[[f64; V]], variable: usize) -> Estimate {
    Estimate::from(&Moments::of(rows.iter().map(|row| row[variable])))
}

#[test]
fn one_covariate_as_numpy_has_it() {
    let arms = [JointMoments::of(&CONTROL), JointMoments::of(&TREATMENT)];
    let found = adjust(&arms, Figure::Mean(0), &[Figure::Mean(1)]).unwrap();
    // np.cov(y, x)[0, 1] / x.var(ddof=1) of both; then the mean and std(ddof=1) of y − θ(x − x̄) of each.
    assert!(near(found.coefficients[0], 0.8823529411764705, 0.0));
    for (estimate, (value, deviation)) in
        found.estimates.iter().zip([(3.3176470588235296, 0.8819606971290026), (4.102941176470589, 0.5909252221929272)])
    {
        let estimate = estimate.unwrap();
        assert!(near(estimate.value, value, 0.0), "{estimate:?}");
        assert!(near(estimate.standard_deviation.unwrap(), deviation, 0.0), "{estimate:?}");
    }
    let [control, treatment] = [0, 1].map(|arm| found.estimates[arm].unwrap());
    let plain = lift(&mean_of(&TREATMENT, 0), &mean_of(&CONTROL, 0), 0.95).unwrap();
    assert!(lift(&treatment, &control, 0.95).unwrap().standard_error < plain.standard_error / 2.0);
}

#[test]
fn a_covariate_that_tells_nothing_changes_no_digit() {
    let rows: Vec<[f64; 3]> = (0..50).map(|i| [f64::from(i % 7) / 3.0, 0.35, f64::from(i % 4) + 1.0]).collect();
    let arms = [JointMoments::of(&rows[..20]), JointMoments::of(&rows[20..])];
    for covariates in [&[Figure::Mean(1)][..], &[Figure::Ratio { numerator: 1, denominator: 1 }], &[]] {
        let found = adjust(&arms, Figure::Mean(0), covariates).unwrap();
        assert!(found.coefficients.iter().all(|theta| *theta == 0.0), "{covariates:?}: {found:?}");
        assert_eq!(found.estimates, [Some(mean_of(&rows[..20], 0)), Some(mean_of(&rows[20..], 0))]);
    }
    let outcome = Figure::Ratio { numerator: 0, denominator: 2 };
    let found = adjust(&arms, outcome, &[Figure::Mean(1)]).unwrap();
    let pairs: Vec<_> = rows[..20].iter().map(|row| (row[0], row[2])).collect();
    assert_eq!(found.estimates[0], RatioMoments::of(&pairs).estimate());
}

#[test]
fn what_is_wholly_explained_has_no_variance_left() {
    // 1/3 of the covariate, so that rounding leaves something in every term.
    let rows: Vec<[f64; 2]> = (0..997).map(|i| [f64::from(i * i % 101) / 3.0, f64::from(i * i % 101)]).collect();
    let arms = [JointMoments::of(&rows[..500]), JointMoments::of(&rows[500..])];
    let found = adjust(&arms, Figure::Mean(0), &[Figure::Mean(1)]).unwrap();
    assert!(found.estimates.iter().all(|estimate| estimate.unwrap().standard_deviation == Some(0.0)), "{found:?}");
}

#[test]
fn empty_and_lone_arms_stay_as_they_are() {
    let arms = [JointMoments::of(&CONTROL), JointMoments::of::<2>(&[]), JointMoments::of(&TREATMENT[..1])];
    let found = adjust(&arms, Figure::Mean(0), &[Figure::Mean(1)]).unwrap();
    assert_eq!(found.estimates[1], Some(Estimate::from(&Moments::NONE)));
    assert_eq!(found.estimates[2].unwrap().standard_deviation, None);
    assert_eq!(adjust(&[], Figure::Mean(0), &[]).unwrap().estimates, []);
    // Nobody had a denominator in one arm: no ratio there, and no adjustment by such a covariate anywhere.
    let rows = [[1.0, 2.0, 0.0], [3.0, 5.0, 0.0], [4.0, 4.0, 0.0]];
    let others = [[1.0, 2.0, 1.0], [2.0, 5.0, 3.0], [4.0, 3.0, 0.0]];
    let arms = [JointMoments::of(&rows), JointMoments::of(&others)];
    let ratio = Figure::Ratio { numerator: 1, denominator: 2 };
    assert_eq!(adjust(&arms, ratio, &[Figure::Mean(0)]).unwrap().estimates[0], None);
    assert_eq!(adjust(&arms, Figure::Mean(0), &[ratio]).unwrap().coefficients, [0.0]);
}

#[test]
fn arms_that_do_not_fit_are_refused() {
    let moments = Moments::of([1.0, 2.0]);
    assert_eq!(
        JointMoments::new(vec![moments; 3], vec![0.0; 2]),
        Err(InvalidMoments::CoMoments { variables: 3, found: 2, expected: 3 })
    );
    assert_eq!(JointMoments::new(vec![moments, Moments::NONE], vec![0.0]), Err(InvalidMoments::Counts));
    let arms = [JointMoments::of(&CONTROL), JointMoments::new(vec![moments], vec![]).unwrap()];
    let refused = AdjustmentError::NoVariable { place: 1, arm: 1, variables: 1 };
    assert_eq!(adjust(&arms, Figure::Mean(0), &[Figure::Mean(1)]), Err(refused));
    let huge = Moments { n: 2, mean: 1e308, m2: f64::INFINITY, ..Moments::NONE };
    let arms = [JointMoments::new(vec![moments, huge], vec![1.0]).unwrap()];
    assert_eq!(adjust(&arms, Figure::Mean(0), &[Figure::Mean(1)]), Err(AdjustmentError::NotFinite));
}

fn rows() -> impl Strategy<Value = Vec<[f64; 4]>> {
    prop::collection::vec(prop::array::uniform4(0.5..100.0_f64), 6..40)
}

fn estimates(arms: &[&[[f64; 4]]], outcome: Figure, covariates: &[Figure]) -> Vec<Estimate> {
    let arms: Vec<_> = arms.iter().map(|rows| JointMoments::of(rows)).collect();
    adjust(&arms, outcome, covariates).unwrap().estimates.into_iter().flatten().collect()
}

fn agree(left: &[Estimate], right: &[Estimate]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).all(|(left, right)| {
            let [own, other] = [left, right].map(|estimate| estimate.standard_error().unwrap());
            near(left.value, right.value, own) && near(own, other, 0.0)
        })
}

proptest! {
    #[test]
    fn adjusting_by_what_is_there_takes_variance_off_the_whole(rows in rows()) {
        for covariates in [&[Figure::Mean(1)][..], &[Figure::Mean(1), Figure::Mean(2), Figure::Mean(3)]] {
            // One arm alone: θ is its own, so its value stays and its variance shrinks.
            let found = estimates(&[&rows], Figure::Mean(0), covariates)[0];
            let plain = mean_of(&rows, 0);
            prop_assert!(near(found.value, plain.value, 0.0));
            prop_assert!(found.standard_deviation <= plain.standard_deviation);
        }
    }

    #[test]
    fn covariates_know_no_unit_and_no_origin(left in rows(), right in rows(), scale in 1e-3..1e3_f64, shift in -1e3..1e3_f64) {
        let moved = |rows: &[[f64; 4]]| -> Vec<[f64; 4]> { rows.iter().map(|row| [row[0], scale * row[1] + shift, -scale * row[2], row[3]]).collect() };
        for covariates in [&[Figure::Mean(1)][..], &[Figure::Mean(1), Figure::Mean(2), Figure::Mean(3)]] {
            let plain = estimates(&[&left, &right], Figure::Mean(0), covariates);
            let other = estimates(&[&moved(&left), &moved(&right)], Figure::Mean(0), covariates);
            prop_assert!(agree(&plain, &other), "{plain:?} {other:?}");
        }
    }

    #[test]
    fn a_ratio_over_one_for_each_subject_is_the_mean(left in rows(), right in rows()) {
        let ones = |rows: &[[f64; 4]]| -> Vec<[f64; 4]> { rows.iter().map(|row| [row[0], row[1], 1.0, 1.0]).collect() };
        let [left, right] = [ones(&left), ones(&right)];
        let ratio = |numerator, denominator| Figure::Ratio { numerator, denominator };
        let ratios = estimates(&[&left, &right], ratio(0, 2), &[ratio(1, 3)]);
        prop_assert!(agree(&ratios, &estimates(&[&left, &right], Figure::Mean(0), &[Figure::Mean(1)])));
    }

    #[test]
    fn the_order_of_covariates_does_not_matter(left in rows(), right in rows()) {
        let forward = estimates(&[&left, &right], Figure::Mean(0), &[Figure::Mean(1), Figure::Mean(2), Figure::Mean(3)]);
        let backward = estimates(&[&left, &right], Figure::Mean(0), &[Figure::Mean(3), Figure::Mean(2), Figure::Mean(1)]);
        prop_assert!(agree(&forward, &backward));
    }
}
