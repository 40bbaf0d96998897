//! What a run warns of: the figures are there, but something about the data may make them mean less than they seem to.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::id::MetricId;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    pub name: WarningName,
    /// What was found, and what to do, in words.
    pub message: String,
    /// The figures are hardly to be used.
    pub is_severe: bool,
    /// The metric that it is about, if it is about one.
    pub metric_id: Option<MetricId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WarningName {
    /// No row of the assignment source has the experiment's key.
    NoAssignments,
    /// Rows of variations that the experiment does not have.
    UnknownVariations,
    /// No fact of a source is of a subject that counts.
    NoFactsJoined,
    /// No subject has a fact that counts for a metric.
    NothingCounted,
    /// Many subjects were seen in more than one variation.
    ManyMixed,
    /// The newest row is much older than the end of the scan.
    StaleData,
    /// Rows from later than now.
    TimesInFuture,
    /// A variation has too few subjects.
    FewSubjects,
    /// All times are midnights, as if the time of day had been lost.
    MidnightTimes,
    /// The control's mean is so near 0 that a lift relative to it means little.
    ControlNearZero,
    /// Texts in a value column that are no numbers.
    UnreadableValues,
    /// Rows without a subject or without a time.
    IncompleteRows,
    /// Among subjects with some value of a property the traffic is not as the weights say.
    PropertyImbalance,
    /// The weights were edited while it ran.
    WeightsChanged,
    /// No subject has come to the entry point.
    NobodyEntered,
}

impl WarningName {
    pub const ALL: [Self; 15] = [
        Self::NoAssignments,
        Self::UnknownVariations,
        Self::NoFactsJoined,
        Self::NothingCounted,
        Self::ManyMixed,
        Self::StaleData,
        Self::TimesInFuture,
        Self::FewSubjects,
        Self::MidnightTimes,
        Self::ControlNearZero,
        Self::UnreadableValues,
        Self::IncompleteRows,
        Self::PropertyImbalance,
        Self::WeightsChanged,
        Self::NobodyEntered,
    ];
}

impl fmt::Display for WarningName {
    /// As it is stored and told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl Warning {
    pub fn of(name: WarningName, message: impl Into<String>) -> Self {
        Self { name, message: message.into(), is_severe: false, metric_id: None }
    }

    pub fn severe(self, is_severe: bool) -> Self {
        Self { is_severe, ..self }
    }

    pub fn about(self, metric_id: MetricId) -> Self {
        Self { metric_id: Some(metric_id), ..self }
    }
}
