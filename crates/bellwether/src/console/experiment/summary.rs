//! What an experiment's last results came to, as a row of the list shows it.

use serde::Deserialize;

use super::overview::{guardrail, verdict};
use crate::domain::figure::{between, count, signed_percent};
use crate::domain::summary::Summary;
use crate::domain::verdict::GuardrailState;

/// As the API shows it.
#[derive(Debug, Deserialize)]
pub struct ResultsSummary {
    subjects: u64,
    #[serde(flatten)]
    found: Summary,
}

impl ResultsSummary {
    pub fn subjects(&self) -> String {
        let noun = if self.subjects == 1 { "subject" } else { "subjects" };
        format!("{} {noun}", count(self.subjects))
    }

    /// Class and words of the verdict's badge.
    pub fn verdict(&self) -> Option<(&'static str, &'static str)> {
        self.found.verdict.map(verdict)
    }

    /// The same of the guardrails, where these may forbid what the verdict allows.
    pub fn guardrail(&self) -> Option<(&'static str, String)> {
        let state = self.found.guardrail.filter(|state| *state != GuardrailState::Safe)?;
        let (class, words) = guardrail(state);
        Some((class, format!("guardrail {words}")))
    }

    pub fn lift(&self) -> Option<String> {
        let leading = self.found.leading.as_ref()?;
        let [low, high] = leading.interval;
        Some(format!("{} {}", leading.metric, signed_percent(leading.lift, high - low)))
    }

    pub fn between(&self) -> Option<String> {
        self.found.leading.as_ref().map(|leading| between(leading.interval))
    }

    /// Whole percents of what is to be measured.
    pub fn progress(&self) -> Option<u32> {
        self.found.progress.map(|progress| (progress * 100.0).clamp(0.0, 100.0) as u32)
    }
}
