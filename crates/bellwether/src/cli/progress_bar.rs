//! A line that shows how far a run is, where somebody looks at it: on a terminal, and nowhere else.

use std::io::{IsTerminal, Write, stderr};

use serde_json::Value;

/// In characters.
const WIDTH: u64 = 24;
/// The longest name of a step that is shown whole.
const LONGEST_NAME: usize = 40;

/// Drawn over itself again and again; gone once it is dropped.
pub struct ProgressBar {
    is_shown: bool,
}

impl ProgressBar {
    pub fn on_terminal() -> Self {
        Self { is_shown: stderr().is_terminal() }
    }

    /// Draws what a run's `progress` says, if it says anything.
    pub fn draw(&self, progress: &Value) {
        if self.is_shown && !progress.is_null() {
            // What cannot be drawn is not missed.
            let _ = write!(stderr(), "\r\x1b[K{}", line(progress)).and_then(|()| stderr().flush());
        }
    }
}

impl Drop for ProgressBar {
    fn drop(&mut self) {
        clear();
    }
}

/// Makes room for another line where the bar may stand.
pub fn clear() {
    if stderr().is_terminal() {
        let _ = write!(stderr(), "\r\x1b[K").and_then(|()| stderr().flush());
    }
}

fn line(progress: &Value) -> String {
    let done = progress["steps_done"].as_u64().unwrap_or_default();
    let step: String = progress["step"].as_str().unwrap_or_default().chars().take(LONGEST_NAME).collect();
    match progress["steps_expected"].as_u64().filter(|expected| *expected > 0) {
        Some(expected) => {
            let filled = (done.min(expected) * WIDTH / expected) as usize;
            let bar = "█".repeat(filled) + &"░".repeat(WIDTH as usize - filled);
            format!("{bar} {done} of {expected}  {step}")
        }
        None => format!("{done} steps  {step}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_bar_is_as_full_as_the_run_is_far() {
        let of = |done: u64, expected: Value| {
            line(&json!({"steps_done": done, "steps_expected": expected, "step": "subjects"}))
        };
        assert_eq!(of(0, json!(8)), format!("{} 0 of 8  subjects", "░".repeat(24)));
        assert_eq!(of(4, json!(8)), format!("{}{} 4 of 8  subjects", "█".repeat(12), "░".repeat(12)));
        assert_eq!(of(9, json!(8)), format!("{} 9 of 8  subjects", "█".repeat(24)), "what is tried again comes on top");
        assert_eq!(of(2, Value::Null), "2 steps  subjects");
    }
}
