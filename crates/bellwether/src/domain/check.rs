//! What a look at an installation finds, as `doctor` tells it: whether it is well, and what to do where it is not. Pure data; how
//! it is found out stands in `doctor`.

use schemars::JsonSchema;
use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    /// What was looked at; stable.
    pub name: &'static str,
    pub verdict: Verdict,
    pub finding: String,
    /// What to do; nothing where all is well.
    pub advice: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "CheckVerdict")]
pub enum Verdict {
    Ok,
    /// It works, and may not go on doing so.
    Warning,
    /// It does not work.
    Failure,
    /// It could not be looked at, or there is nothing to look at; the finding says why.
    Skipped,
}

impl Verdict {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
            Self::Skipped => "skipped",
        }
    }
}

impl Check {
    pub fn ok(name: &'static str, finding: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, finding: finding.into(), advice: None }
    }

    pub fn warning(name: &'static str, finding: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warning, finding: finding.into(), advice: Some(advice.into()) }
    }

    pub fn failure(name: &'static str, finding: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Failure, finding: finding.into(), advice: Some(advice.into()) }
    }

    pub fn skipped(name: &'static str, why: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Skipped, finding: why.into(), advice: None }
    }
}
