//! What was found, in words: of one variation by one metric, and of the experiment. How a word is come to is the pipeline's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is found of a metric in a treatment, against the control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Better,
    Worse,
    /// Enough was measured to have found what matters.
    NoDifferenceFound,
    NotEnoughData,
}

/// What is known of a metric that must not get worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GuardrailState {
    /// The whole interval lies beyond the cutoff.
    Breached,
    /// None of it does.
    Safe,
    AtRisk,
}

/// The experiment's verdict: that of its primary metric, and what is to be known besides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExperimentVerdict {
    /// `None` without a primary metric, and where that failed.
    pub verdict: Option<Verdict>,
    /// For those who decide: what happened to the primary metric, to the guardrails, and whether there is enough data.
    pub sentence: String,
}
