//! What is wrong with a field, said of the field that the client knows: Eppo's names in place of ours.

use crate::domain::error::{FieldError, Refusal};
use crate::registry;

/// Ours, and Eppo's; what stands first is looked for first.
const NAMES: [(&str, &str); 17] = [
    ("threshold.within.length", "threshold_metric_settings.timeframe_value"),
    ("threshold.within.unit", "threshold_metric_settings.timeframe_unit"),
    ("threshold.value", "threshold_metric_settings.breach_value"),
    ("winsorization.lower_percentile", "winsorization_lower_percentile"),
    ("winsorization.upper_percentile", "winsorization_upper_percentile"),
    ("winsorization.lower_value", "winsor_lower_fixed_value"),
    ("winsorization.upper_value", "winsor_upper_fixed_value"),
    (".winsorization", ".winsorization_upper_percentile"),
    (".timeframe", ".aggregation_timeframe_end_value"),
    ("percentile.level", "percentile.percentile_value"),
    ("funnel.conversion_window", "funnel_aggregation.conversion_time_value"),
    ("funnel.steps", "funnel_aggregation.funnel_steps"),
    (".threshold", ".threshold_metric_settings"),
    ("fact_id", "metric_event_measure_id"),
    (".weight", ".weighted_expected_traffic"),
    (".key", ".variant_key"),
    ("display", "metric_display_style"),
];

pub fn in_eppos_words(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Invalid(errors) => Refusal::Invalid(errors.into_iter().map(with_eppos_name).collect()),
        other => other,
    }
}

/// The same of what a command was refused for.
pub fn renamed(error: registry::Error) -> registry::Error {
    match error {
        registry::Error::Refused(refusal) => in_eppos_words(refusal).into(),
        other => other,
    }
}

fn with_eppos_name(error: FieldError) -> FieldError {
    let found = NAMES.iter().find(|(ours, _)| error.field.contains(ours) && !error.field.contains(&format!("{ours}_")));
    let field = if error.field == "key" {
        "experiment_key".to_owned()
    } else {
        found.map_or(error.field.clone(), |(ours, theirs)| error.field.replace(ours, theirs))
    };
    FieldError { field, ..error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_as_the_client_wrote_them() {
        for (ours, theirs) in [
            ("numerator.threshold.value", "numerator.threshold_metric_settings.breach_value"),
            ("denominator.winsorization.lower_percentile", "denominator.winsorization_lower_percentile"),
            ("funnel.steps[0].fact_id", "funnel_aggregation.funnel_steps[0].fact_id"),
            ("variations[1].key", "variations[1].variant_key"),
            ("key", "experiment_key"),
            ("name", "name"),
        ] {
            let Refusal::Invalid(errors) = in_eppos_words(Refusal::invalid(ours, "x")) else {
                panic!("another refusal")
            };
            assert_eq!(errors[0].field, theirs);
        }
    }
}
