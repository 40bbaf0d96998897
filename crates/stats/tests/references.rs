//! Every method against published packages in one Python process, on thousands of seeded data sets (`references.py`).
//!
//! A number may differ from its reference by 10⁻⁹ of the larger of the reference and its standard error; probabilities by
//! 10⁻⁹ of themselves. The largest difference of each method is printed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what the script prints is there")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use bellwether_stats::DesiredChange::{Decrease, Increase};
use bellwether_stats::{
    Arm, Estimate, Figure, IMBALANCE_ALPHA, JointMoments, Lift, Moments, PercentileFacts, RatioMoments, adjust,
    difference, imbalance, lift, percentile, posterior, preferential_bonferroni, ranks, sequential_interval,
    sequential_p,
};
use serde_json::Value;

const TOLERANCE: f64 = 1e-9;

/// What the script prints, of the packages that `cargo xtask setup` installs.
fn ask() -> Value {
    // Asked for at run time: what was built in another checkout of the same cache names that one's folder.
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    let oracles = std::env::var_os("BELLWETHER_ORACLES").map(PathBuf::from);
    let python = oracles.unwrap_or_else(|| cache.join("bellwether/oracles")).join("references/bin/python");
    assert!(python.exists(), "{} is missing; run `cargo xtask setup`", python.display());
    let answer = Command::new(python).arg(package.join("tests/references.py")).output().unwrap();
    assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    serde_json::from_slice(&answer.stdout).unwrap()
}

/// How many data sets each method was held against, and the largest difference in shares of what is the measure of it.
#[derive(Default)]
struct Tally(BTreeMap<&'static str, (usize, f64)>);

impl Tally {
    /// A number whose reference has a standard error.
    fn number(&mut self, method: &'static str, found: f64, reference: &Value, standard_error: f64) {
        let reference = number(reference);
        let measure = reference.abs().max(standard_error);
        let off = if found == reference { 0.0 } else { (found - reference).abs() / measure };
        let (count, largest) = self.0.entry(method).or_default();
        *count += 1;
        // Not by `max`, which passes over what is no number.
        if off > *largest || off.is_nan() {
            *largest = off;
        }
    }

    /// A probability or a standard error, whose measure is itself.
    fn exact(&mut self, method: &'static str, found: f64, reference: &Value) {
        self.number(method, found, reference, 0.0);
    }

    fn interval(&mut self, method: &'static str, found: (f64, f64), reference: &Value, standard_error: f64) {
        self.number(method, found.0, &reference[0], standard_error);
        self.number(method, found.1, &reference[1], standard_error);
    }

    fn judge(self, at_least: usize) {
        for (method, (count, largest)) in &self.0 {
            println!("{method}: at most {largest:.1e} off, {count} comparisons");
        }
        for (method, (count, largest)) in &self.0 {
            assert!(*largest <= TOLERANCE, "{method} differs by {largest:e}");
            assert!(*count >= at_least, "{method} was held against {count} references, {at_least} are due");
        }
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn whole(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

fn joint(value: &Value) -> JointMoments {
    let of = |one: &Value| Moments {
        n: whole(&one["n"]),
        mean: number(&one["mean"]),
        m2: number(&one["m2"]),
        max_abs: number(&one["max_abs"]),
        mean_abs: number(&one["mean_abs"]),
    };
    let variables = value["variables"].as_array().unwrap().iter().map(of).collect();
    JointMoments::new(variables, numbers(&value["co_moments"])).unwrap()
}

fn ratio(value: &Value) -> RatioMoments {
    let moments = joint(value);
    let [numerator, denominator] = moments.variables() else { panic!("two") };
    RatioMoments { numerator: *numerator, denominator: *denominator, co_moment: number(&value["co_moments"][0]) }
}

/// A mean of one variable, or a ratio of two.
fn estimate(value: &Value) -> Estimate {
    match joint(value).variables() {
        [mean] => Estimate::from(mean),
        _ => ratio(value).estimate().unwrap(),
    }
}

fn comparison(tally: &mut Tally, set: &Value) {
    let [control, treatment] = ["control", "treatment"].map(|arm| estimate(&set[arm]));
    let (alpha, subjects) = (number(&set["alpha"]), control.n + treatment.n);
    let found = lift(&treatment, &control, 1.0 - alpha).unwrap();
    let is_mean = set.get("difference").is_some();
    let [of_lift, of_error] = if is_mean {
        ["lift of means (gbstats)", "its standard error (gbstats)"]
    } else {
        ["lift of ratios (gbstats)", "its standard error, of ratios (gbstats)"]
    };
    tally.number(of_lift, found.lift, &set["lift"], found.standard_error);
    tally.exact(of_error, found.standard_error, &set["standard_error"]);
    tally.exact("p-value of a lift (scipy)", found.p_value, &set["p_value"]);
    let absolute = difference(&treatment, &control, 1.0 - alpha).unwrap();
    for (name, value, error) in [
        ("sequential", found.lift, found.standard_error),
        ("sequential_difference", absolute.difference, absolute.standard_error),
    ] {
        let interval = sequential_interval(value, error, subjects, alpha).unwrap();
        tally.interval("sequential interval (gbstats)", interval, &set[name]["interval"], error);
        let p = sequential_p(value, error, subjects, alpha).unwrap();
        tally.exact("sequential p-value (gbstats)", p, &set[name]["p_value"]);
    }
    if let Some(reference) = set.get("difference") {
        let error = absolute.standard_error;
        tally.number("difference (statsmodels)", absolute.difference, &reference["difference"], error);
        tally.exact("its standard error (statsmodels)", error, &reference["standard_error"]);
        tally.interval("its interval (statsmodels)", absolute.interval, &reference["interval"], error);
    }
    bayes(tally, set, &found);
}

fn bayes(tally: &mut Tally, set: &Value, lift: &Lift) {
    let (confidence, prior_sd) = (1.0 - number(&set["alpha"]), number(&set["prior_sd"]));
    for (place, desired) in [Increase, Decrease].into_iter().enumerate() {
        let reference = &set["bayes"][place];
        let found = posterior(lift.lift, lift.standard_error, prior_sd, desired, confidence).unwrap();
        let error = found.standard_deviation;
        tally.number("posterior mean (gbstats)", found.mean, &reference["mean"], error);
        tally.exact("posterior deviation (gbstats)", error, &reference["standard_deviation"]);
        tally.interval("credible interval (gbstats)", found.interval, &reference["interval"], error);
        // Its smaller ones have few digits there, so the measure is the whole, and scipy's are held against too.
        tally.number("probability to be better (gbstats)", found.better, &reference["better"], 1.0);
        tally.exact("probability to be better (scipy)", found.better, &reference["better_tail"]);
        tally.number("risk (gbstats)", found.risk, &reference["risk"], error);
    }
}

fn figure(value: &Value) -> Figure {
    let places: Vec<_> = value.as_array().unwrap().iter().map(|place| whole(place) as usize).collect();
    match places[..] {
        [place] => Figure::Mean(place),
        [numerator, denominator] => Figure::Ratio { numerator, denominator },
        _ => panic!("{value} is no figure"),
    }
}

fn adjustment(tally: &mut Tally, set: &Value) {
    let arms: Vec<_> = set["arms"].as_array().unwrap().iter().map(joint).collect();
    let covariates: Vec<_> = set["covariates"].as_array().unwrap().iter().map(figure).collect();
    let found = adjust(&arms, figure(&set["outcome"]), &covariates).unwrap();
    let estimates: Vec<_> = found.estimates.into_iter().map(Option::unwrap).collect();
    let [of_value, of_error, of_lift_error] = if covariates.len() == 1 {
        ["CUPED: values (numpy)", "CUPED: standard errors (numpy)", "CUPED: standard error of the lift (numpy)"]
    } else {
        ["ridge: values (numpy)", "ridge: standard errors (numpy)", "ridge: standard error of the lift (numpy)"]
    };
    for (arm, estimate) in estimates.iter().enumerate() {
        let error = estimate.standard_error().unwrap();
        tally.number(of_value, estimate.value, &set["values"][arm], error);
        tally.exact(of_error, error, &set["errors"][arm]);
    }
    let lifts: Vec<_> = estimates[1..].iter().map(|one| lift(one, &estimates[0], 0.95).unwrap()).collect();
    for (lift, reference) in lifts.iter().zip(set["lift_errors"].as_array().unwrap()) {
        tally.exact(of_lift_error, lift.standard_error, reference);
    }
    if let Some(reference) = set.get("tea_tasting") {
        for (arm, estimate) in estimates.iter().enumerate() {
            let error = estimate.standard_error().unwrap();
            tally.number("CUPED: values (tea-tasting)", estimate.value, &reference["values"][arm], error);
        }
        tally.number("CUPED: lift (tea-tasting)", lifts[0].lift, &reference["relative"], lifts[0].standard_error);
    }
}

fn percentiles(tally: &mut Tally, set: &Value) {
    let level = number(&set["level"]);
    let of = |arm: &Value| {
        let ranks = ranks(level, whole(&arm["facts"])).unwrap();
        let found = [ranks.outer.0, ranks.outer.1, ranks.below];
        assert_eq!(found.to_vec(), arm["ranks"].as_array().unwrap().iter().map(whole).collect::<Vec<_>>(), "{level}");
        let quantile = ranks.quantile(number(&arm["around"][0]), number(&arm["around"][1]));
        let outer = (number(&arm["outer"][0]), number(&arm["outer"][1]));
        percentile(level, &PercentileFacts { quantile, outer, subjects: ratio(&arm["subjects"]) }).unwrap()
    };
    let estimates: Vec<_> = set["arms"].as_array().unwrap().iter().map(of).collect();
    for (estimate, arm) in estimates.iter().zip(set["arms"].as_array().unwrap()) {
        let error = estimate.standard_error().unwrap();
        tally.number("percentile (numpy)", estimate.value, &arm["quantile"], error);
        tally.exact("percentile: standard error (gbstats)", error, &arm["standard_error"]);
    }
    let found = lift(&estimates[1], &estimates[0], 0.95).unwrap();
    tally.number("percentile: lift (gbstats)", found.lift, &set["lift"], found.standard_error);
    tally.exact("percentile: standard error of the lift (gbstats)", found.standard_error, &set["standard_error"]);
}

fn traffic(tally: &mut Tally, set: &Value) {
    let subjects = set["subjects"].as_array().unwrap().iter().map(whole);
    let arms = numbers(&set["weights"]).into_iter().zip(subjects);
    let arms: Vec<_> = arms.map(|(weight, subjects)| Arm { weight, subjects }).collect();
    let found = imbalance(&arms, IMBALANCE_ALPHA).unwrap();
    tally.number("χ² (scipy)", found.chi_squared.unwrap(), &set["chi_squared"], 1.0);
    tally.exact("p-value of χ² (scipy)", found.p_value.unwrap(), &set["p_value"]);
}

fn correction(tally: &mut Tally, set: &Value) {
    let of = |weight| {
        let (treatments, metrics) = (whole(&set["treatments"]), whole(&set["metrics"]));
        preferential_bonferroni(number(&set["alpha"]), treatments, metrics, weight).unwrap()
    };
    let preferential = of(Some(number(&set["weight"])));
    tally.exact("Bonferroni: primary (numpy)", preferential.primary.unwrap(), &set["primary"]);
    match preferential.other {
        Some(other) => tally.exact("Bonferroni: other (numpy)", other, &set["other"]),
        None => assert_eq!(set["other"], Value::Null),
    }
    let equal = of(None);
    assert_eq!(equal.primary, None);
    tally.exact("Bonferroni: without a primary (numpy)", equal.other.unwrap(), &set["equal"]);
}

/// What the script calls the data sets of a method, and how they are compared.
type Method = (&'static str, fn(&mut Tally, &Value));

#[test]
fn every_method_gives_what_published_packages_give() {
    let sets = ask();
    let mut tally = Tally::default();
    let methods: [Method; 5] = [
        ("comparisons", comparison),
        ("adjustments", adjustment),
        ("percentiles", percentiles),
        ("traffic", traffic),
        ("corrections", correction),
    ];
    for (kind, compare) in methods {
        let sets = sets[kind].as_array().unwrap();
        println!("{}: {} data sets", kind, sets.len());
        sets.iter().for_each(|set| compare(&mut tally, set));
    }
    tally.judge(900);
}
