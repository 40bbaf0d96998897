//! The status of an experiment, and what was decided about it. Which status may follow which is `lifecycle`'s.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::{Conflict, Refusal};
use super::schema;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Draft,
    Running,
    ReadyForReview,
    WrapUp,
    Concluded,
}

impl Status {
    pub const ALL: [Self; 5] = [Self::Draft, Self::Running, Self::ReadyForReview, Self::WrapUp, Self::Concluded];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Running => "running",
            Self::ReadyForReview => "ready_for_review",
            Self::WrapUp => "wrap_up",
            Self::Concluded => "concluded",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// What a user may do from here.
    pub const fn legal_actions(self) -> &'static [&'static str] {
        match self {
            Self::Draft => &["start"],
            Self::Running | Self::ReadyForReview | Self::WrapUp => &["decide"],
            Self::Concluded => &["reopen"],
        }
    }

    /// Why an action is not possible.
    pub fn refuse(self, action: &str) -> Refusal {
        Refusal::conflict(
            Conflict::IllegalTransition,
            format!(
                "'{action}' is not possible while the status is '{}'; possible now: {}",
                self.as_str(),
                self.legal_actions().join(", ")
            ),
        )
    }
}

/// What was decided about an experiment, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    pub outcome: DecisionOutcome,
    /// The key of the variation to keep; with the outcome `ship` or `rollback`, and only of this experiment.
    #[serde(default)]
    #[schemars(schema_with = "schema::optional_text::<200>")]
    pub winning_variation: Option<String>,
    #[serde(default)]
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecisionOutcome {
    /// A variation won and is kept.
    Ship,
    /// The control is kept.
    Rollback,
    /// Nothing was learned that decides.
    Inconclusive,
}
