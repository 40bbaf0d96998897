//! How the demo prints results and traffic.

use std::fmt::Write;

use crate::domain::results::{MetricResult, Traffic, VariationResult};

/// A table of a metric's variations, one line each.
pub fn metric(metric: &MetricResult) -> String {
    let primary = if metric.is_primary { ", primary" } else { "" };
    let mut table = format!("{}{primary}\n", metric.name);
    if let Some(error) = &metric.error {
        return table + &format!("  no figures: {error}\n");
    }
    let head = ["variation", "subjects", "mean", "lift", "std error", "95 % interval", "p"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(metric.variations.iter().map(cells));
    let widths: [usize; 7] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    for row in rows {
        // Writing to text does not fail.
        let _ = write!(table, "  {:<1$}", row[0], widths[0]);
        for (cell, width) in row.iter().zip(widths).skip(1) {
            let _ = write!(table, "  {cell:>width$}");
        }
        table.push('\n');
    }
    table
}

fn cells(variation: &VariationResult) -> [String; 7] {
    let shown = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
    [
        variation.key.clone(),
        variation.subjects.to_string(),
        shown(variation.mean.map(|mean| format!("{mean:.4}"))),
        shown(variation.lift.map(|lift| format!("{lift:+.6}"))),
        shown(variation.standard_error.filter(|_| variation.lift.is_some()).map(|error| format!("{error:.6}"))),
        shown(variation.interval.map(|[low, high]| format!("[{low:+.6}, {high:+.6}]"))),
        shown(variation.p_value.map(|p| format!("{p:.6}"))),
    ]
}

/// One line: who came where, against which weights, and the verdict.
pub fn traffic(traffic: &Traffic) -> String {
    let arms = traffic.variations.iter().map(|arm| format!("{} {} (weight {})", arm.key, arm.subjects, arm.weight));
    let arms = arms.collect::<Vec<_>>().join(", ");
    let p = traffic.p_value.map_or_else(|| "no test".to_owned(), |p| format!("p = {p:.6}"));
    let verdict = if traffic.is_imbalance { "TRAFFIC IMBALANCE" } else { "no imbalance" };
    format!("traffic: {arms}; {} excluded; {verdict} ({p})", traffic.excluded)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::results::Results;

    #[test]
    fn figures_stand_in_columns() {
        let found: Results = serde_json::from_value(json!({
            "run_id": crate::domain::id::RunId::of(1),
            "metrics": [{
                "metric_id": crate::domain::id::MetricId::of(1), "name": "Earnings", "is_primary": true, "error": null,
                "variations": [
                    {"key": "control", "subjects": 260, "mean": 4554.8011, "lift": null, "standard_error": null,
                     "interval": null, "p_value": null},
                    {"key": "treatment", "subjects": 185, "mean": 6349.1435, "lift": 0.393945, "standard_error": 0.164195,
                     "interval": [0.072129, 0.715761], "p_value": 0.016442},
                ],
            }],
            "traffic": {"is_imbalance": true, "p_value": 0.000378, "excluded": 0, "variations": [
                {"key": "control", "weight": 1.0, "subjects": 260}, {"key": "treatment", "weight": 1.0, "subjects": 185},
            ]},
        }))
        .unwrap();
        let expected = "\
Earnings, primary
  variation  subjects       mean       lift  std error           95 % interval         p
  control         260  4554.8011          –          –                       –         –
  treatment       185  6349.1435  +0.393945   0.164195  [+0.072129, +0.715761]  0.016442
traffic: control 260 (weight 1), treatment 185 (weight 1); 0 excluded; TRAFFIC IMBALANCE (p = 0.000378)";
        assert_eq!(metric(&found.metrics[0]) + &traffic(&found.traffic), expected);
    }
}
