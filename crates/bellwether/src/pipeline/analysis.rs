//! From aggregates to results: traffic, imbalance, means, lifts. Pure; the formulas are in `bellwether_stats`.

use bellwether_stats::{
    Arm, Estimate, IMBALANCE_ALPHA, Imbalance, LiftError, RatioMoments, difference, imbalance, lift,
};
use bellwether_warehouse::{Table, TableError};

use super::inference::{Inference, Judged};
use super::steps::AgedBefore;
use super::tables::{Column, Subjects};
use crate::domain::configuration::Variation;
use crate::domain::results::{Traffic, VariationResult, VariationTraffic};

/// Subjects of each active variation, whether they are as the weights say, and how many are old enough by each of `limits`.
pub fn traffic(
    variations: &[&Variation],
    limits: &[Vec<AgedBefore>],
    table: &Table,
) -> Result<(Traffic, Subjects), TableError> {
    let mut excluded = 0;
    let mut subjects = Subjects {
        all: vec![0; variations.len()],
        aged: limits.iter().map(|limit| (limit.clone(), vec![0; variations.len()])).collect(),
    };
    for row in 0..table.rows.len() {
        let count = table.int(row, "subjects")?.unsigned_abs();
        let Some(arm) = table.optional_int(row, "arm")? else {
            excluded = count;
            continue;
        };
        let arm = usize::try_from(arm).unwrap_or(usize::MAX);
        if let Some(all) = subjects.all.get_mut(arm) {
            *all = count;
            for (place, (_, aged)) in subjects.aged.iter_mut().enumerate() {
                aged[arm] = table.int(row, &format!("aged_{place}"))?.unsigned_abs();
            }
        }
    }
    let counted: Vec<VariationTraffic> = variations
        .iter()
        .zip(&subjects.all)
        .map(|(variation, subjects)| VariationTraffic {
            key: variation.key.clone(),
            weight: variation.weight,
            subjects: *subjects,
        })
        .collect();
    let arms: Vec<_> =
        counted.iter().map(|variation| Arm { weight: variation.weight, subjects: variation.subjects }).collect();
    let verdict = imbalance(&arms, IMBALANCE_ALPHA).unwrap_or(Imbalance {
        chi_squared: None,
        p_value: None,
        is_imbalance: false,
    });
    let traffic = Traffic {
        is_imbalance: verdict.is_imbalance,
        p_value: verdict.p_value,
        excluded,
        without_entry: None,
        variations: counted,
    };
    Ok((traffic, subjects))
}

/// One metric's figure in one arm.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// `None`: a ratio without a denominator.
    pub estimate: Option<Estimate>,
    pub subjects: u64,
    pub total: f64,
    pub denominator_total: Option<f64>,
}

/// Of a simple metric.
pub fn means(column: &Column) -> Vec<Figure> {
    column
        .moments
        .iter()
        .enumerate()
        .map(|(arm, moments)| Figure {
            estimate: (moments.n > 0).then(|| moments.into()),
            subjects: moments.n,
            total: column.total(arm),
            denominator_total: None,
        })
        .collect()
}

/// Of a ratio, with the co-moments of its sides.
pub fn ratios(numerator: &Column, denominator: &Column, co_moments: &[f64]) -> Vec<Figure> {
    co_moments
        .iter()
        .enumerate()
        .map(|(arm, co_moment)| {
            let moments = RatioMoments {
                numerator: numerator.moments[arm],
                denominator: denominator.moments[arm],
                co_moment: *co_moment,
            };
            Figure {
                estimate: moments.estimate(),
                subjects: moments.denominator.n,
                total: numerator.total(arm),
                denominator_total: Some(denominator.total(arm)),
            }
        })
        .collect()
}

/// Each active variation, and against the control. Where a lift cannot be had it says why; the means stand.
pub fn compare(
    variations: &[&Variation],
    figures: &[Figure],
    inference: &Inference,
    judged: &Judged,
) -> Vec<VariationResult> {
    let confidence = inference.confidence();
    let pair = |interval: (f64, f64)| [interval.0, interval.1];
    let control = variations.iter().position(|variation| variation.is_control);
    let control = control.and_then(|arm| figures.get(arm));
    variations
        .iter()
        .zip(figures)
        .map(|(variation, figure)| {
            let mut result = VariationResult {
                key: variation.key.clone(),
                subjects: figure.subjects,
                mean: figure.estimate.map(|estimate| estimate.value),
                standard_deviation: figure.estimate.and_then(|estimate| estimate.standard_deviation),
                mean_interval: figure.estimate.and_then(|estimate| estimate.interval(confidence)).map(pair),
                total: Some(figure.total),
                denominator_total: figure.denominator_total,
                ..VariationResult::default()
            };
            let Some(control) = control.filter(|_| !variation.is_control) else { return result };
            against(&mut result, figure, control, inference, judged);
            inference.judge(&mut result, judged);
            result
        })
        .collect()
}

/// What compares a treatment with the control.
fn against(result: &mut VariationResult, figure: &Figure, control: &Figure, inference: &Inference, judged: &Judged) {
    let (Some(own), Some(other)) = (&figure.estimate, &control.estimate) else {
        let is_empty = figure.subjects == 0 || control.subjects == 0;
        let reason = match is_empty {
            true => "a variation has no subjects that it could be of: wait for more",
            false => "the sum of a denominator is 0, so that there is no ratio: wait for facts",
        };
        result.no_lift_reason = Some(reason.to_owned());
        return;
    };
    let (subjects, confidence) = (own.n + other.n, inference.confidence());
    if let Ok(found) = difference(own, other, confidence) {
        inference.difference(result, &found, subjects, judged.alpha);
    }
    match lift(own, other, confidence) {
        Ok(found) => {
            if let Err(error) = inference.lift(result, &found, subjects, judged) {
                result.no_lift_reason = Some(error.to_string());
            }
        }
        Err(error) => result.no_lift_reason = Some(LiftError::to_string(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::analysis_plan::AnalysisPlan;
    use crate::domain::definition::DesiredChange;
    use bellwether_stats::Moments;
    use bellwether_warehouse::Cell;

    fn variations() -> Vec<Variation> {
        serde_json::from_value(serde_json::json!([
            {"key": "control", "weight": 1, "is_control": true},
            {"key": "treatment", "weight": 1},
        ]))
        .unwrap()
    }

    fn compared(variations: &[&Variation], figures: &[Figure]) -> Vec<VariationResult> {
        let inference = Inference::of(&AnalysisPlan::default(), 1, 1, false, true).unwrap();
        compare(variations, figures, &inference, &inference.judged(false, DesiredChange::Increase, None, None))
    }

    fn counted(control: i64, treatment: i64, mixed: i64) -> Table {
        let row = |arm, subjects| vec![arm, Cell::Int(subjects), Cell::Int(subjects / 2)];
        Table {
            columns: vec!["arm".into(), "subjects".into(), "aged_0".into()],
            rows: vec![row(Cell::Int(0), control), row(Cell::Int(1), treatment), row(Cell::Null, mixed)],
        }
    }

    fn figure(values: &[f64]) -> Figure {
        let moments = Moments::of(values.iter().copied());
        Figure { estimate: Some((&moments).into()), subjects: moments.n, total: moments.sum(), denominator_total: None }
    }

    #[test]
    fn the_trials_arms_are_an_imbalance_against_equal_weights_and_not_against_their_own() {
        let mut variations = variations();
        let limits = [Vec::new()];
        let (equal, subjects) =
            traffic(&variations.iter().collect::<Vec<_>>(), &limits, &counted(260, 185, 3)).unwrap();
        assert!(equal.is_imbalance && equal.excluded == 3);
        assert_eq!((subjects.all, subjects.aged[0].1.clone()), (vec![260, 185], vec![130, 92]));
        (variations[0].weight, variations[1].weight) = (260.0, 185.0);
        let (own, _) = traffic(&variations.iter().collect::<Vec<_>>(), &limits, &counted(260, 185, 0)).unwrap();
        assert!(!own.is_imbalance);
    }

    #[test]
    fn where_there_is_no_lift_it_says_why_and_the_difference_may_stand() {
        let variations = variations();
        let of = |control: &[f64], treatment: &[f64]| {
            let figures = [figure(control), figure(treatment)];
            compared(&variations.iter().collect::<Vec<_>>(), &figures).remove(1)
        };
        let none = of(&[1.0, 2.0, 3.0], &[]);
        assert_eq!((none.subjects, none.lift, none.difference), (0, None, None));
        assert!(none.no_lift_reason.unwrap().contains("at least 2"));
        let from_zero = of(&[-1.0, 1.0], &[1.0, 2.0]);
        assert_eq!((from_zero.lift, from_zero.difference), (None, Some(1.5)));
        assert!(from_zero.no_lift_reason.unwrap().contains("the control's mean is 0"));
        let found = of(&[1.0, 2.0, 3.0], &[2.0, 3.0, 4.0]);
        assert_eq!((found.lift, found.no_lift_reason), (Some(0.5), None));
    }

    #[test]
    fn a_ratio_without_a_denominator_has_no_mean() {
        let variations = variations();
        let none = Figure { estimate: None, subjects: 3, total: 5.0, denominator_total: Some(0.0) };
        let compared = compared(&variations.iter().collect::<Vec<_>>(), &[figure(&[1.0, 2.0]), none]);
        assert_eq!((compared[1].mean, compared[1].total), (None, Some(5.0)));
        assert!(compared[1].no_lift_reason.as_ref().unwrap().contains("denominator"));
    }
}
