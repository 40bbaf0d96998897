//! From aggregates to results: traffic, imbalance, lifts. Pure; the formulas are in `bellwether_stats`.

use bellwether_stats::{Arm, IMBALANCE_ALPHA, Imbalance, Lift, Moments, imbalance, lift};
use bellwether_warehouse::{Table, TableError};

use crate::domain::configuration::Variation;
use crate::domain::run::{Traffic, VariationResult, VariationTraffic};

/// Subjects of each active variation, and whether they are as the weights say.
pub fn traffic(variations: &[&Variation], table: &Table) -> Result<Traffic, TableError> {
    let mut excluded = 0;
    let mut counted: Vec<VariationTraffic> = variations
        .iter()
        .map(|variation| VariationTraffic { key: variation.key.clone(), weight: variation.weight, subjects: 0 })
        .collect();
    for row in 0..table.rows.len() {
        let subjects = table.int(row, "subjects")?.unsigned_abs();
        match table.optional_text(row, "variation")? {
            None => excluded = subjects,
            Some(key) => {
                if let Some(there) = counted.iter_mut().find(|there| there.key == key) {
                    there.subjects = subjects;
                }
            }
        }
    }
    let arms: Vec<_> =
        counted.iter().map(|variation| Arm { weight: variation.weight, subjects: variation.subjects }).collect();
    let verdict = imbalance(&arms, IMBALANCE_ALPHA).unwrap_or(Imbalance {
        chi_squared: None,
        p_value: None,
        is_imbalance: false,
    });
    Ok(Traffic { is_imbalance: verdict.is_imbalance, p_value: verdict.p_value, excluded, variations: counted })
}

/// Number and mean of each variation's values, by key.
pub fn means(table: &Table) -> Result<Vec<(String, u64, f64)>, TableError> {
    (0..table.rows.len())
        .map(|row| {
            let subjects = table.int(row, "subjects")?.unsigned_abs();
            let total = table.optional_float(row, "total")?.unwrap_or(0.0);
            let mean = if subjects == 0 { 0.0 } else { total / subjects as f64 };
            Ok((table.text(row, "variation")?.to_owned(), subjects, mean))
        })
        .collect()
}

/// The moments of each variation, from both passes.
pub fn moments(means: &[(String, u64, f64)], squares: &Table) -> Result<Vec<(String, Moments)>, TableError> {
    let mut found: Vec<_> =
        means.iter().map(|(key, n, mean)| (key.clone(), Moments { n: *n, mean: *mean, m2: 0.0 })).collect();
    for row in 0..squares.rows.len() {
        let key = squares.text(row, "variation")?;
        let sum = squares.optional_float(row, "squares")?.unwrap_or(0.0);
        if let Some((_, moments)) = found.iter_mut().find(|(there, _)| there == key) {
            moments.m2 = sum;
        }
    }
    Ok(found)
}

/// Each active variation against the control. Where a lift cannot be had, it is absent; the means stand.
pub fn compare(variations: &[&Variation], moments: &[(String, Moments)], confidence: f64) -> Vec<VariationResult> {
    let of = |key: &str| moments.iter().find(|(there, _)| there == key).map(|(_, moments)| *moments);
    let control = variations.iter().find(|variation| variation.is_control).and_then(|variation| of(&variation.key));
    variations
        .iter()
        .map(|variation| {
            let own = of(&variation.key).unwrap_or(Moments { n: 0, mean: 0.0, m2: 0.0 });
            let against = control.filter(|_| !variation.is_control);
            let found: Option<Lift> = against.and_then(|control| lift(&own, &control, confidence).ok());
            VariationResult {
                key: variation.key.clone(),
                subjects: own.n,
                mean: own.mean,
                lift: found.as_ref().map(|found| found.lift),
                standard_error: found.as_ref().map(|found| found.standard_error),
                interval: found.as_ref().map(|found| [found.interval.0, found.interval.1]),
                p_value: found.as_ref().map(|found| found.p_value),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bellwether_warehouse::Cell;

    fn variations() -> Vec<Variation> {
        serde_json::from_value(serde_json::json!([
            {"key": "control", "weight": 1, "is_control": true},
            {"key": "treatment", "weight": 1},
        ]))
        .unwrap()
    }

    fn counted(control: i64, treatment: i64, mixed: i64) -> Table {
        let row = |variation, subjects| vec![variation, Cell::Int(subjects)];
        Table {
            columns: vec!["variation".into(), "subjects".into()],
            rows: vec![
                row(Cell::Text("control".into()), control),
                row(Cell::Text("treatment".into()), treatment),
                row(Cell::Null, mixed),
            ],
        }
    }

    #[test]
    fn the_trials_arms_are_an_imbalance_against_equal_weights_and_not_against_their_own() {
        let mut variations = variations();
        let equal = traffic(&variations.iter().collect::<Vec<_>>(), &counted(260, 185, 3)).unwrap();
        assert!(equal.is_imbalance && equal.excluded == 3);
        (variations[0].weight, variations[1].weight) = (260.0, 185.0);
        assert!(!traffic(&variations.iter().collect::<Vec<_>>(), &counted(260, 185, 0)).unwrap().is_imbalance);
    }

    #[test]
    fn a_variation_without_subjects_has_no_lift_and_the_control_never() {
        let variations = variations();
        let moments = [("control".to_owned(), Moments::of([1.0, 2.0, 3.0]))];
        let compared = compare(&variations.iter().collect::<Vec<_>>(), &moments, 0.95);
        assert_eq!((compared[0].subjects, compared[0].mean, compared[0].lift), (3, 2.0, None));
        assert_eq!((compared[1].subjects, compared[1].lift), (0, None));
    }
}
