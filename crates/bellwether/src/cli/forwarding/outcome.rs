//! What came of an attempt, as it is printed: a line for people, or one of JSON.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::logged::Logged;
use crate::delivery::transport::answer::Answer;
use crate::domain::clock::Timestamp;

/// As much of an answer's body as a line has room for.
const MOST_SHOWN: usize = 200;

pub struct Outcome<'a> {
    pub at: Timestamp,
    pub event: &'a Logged,
    /// Counted from 1.
    pub attempt: u32,
    pub answer: &'a Answer,
    pub took: Duration,
    /// It is sent again, after so long.
    pub again_in: Option<Duration>,
}

impl Outcome<'_> {
    pub fn to_json(&self) -> Value {
        let (status, body, error) = match self.answer {
            Answer::Status { code, body, .. } => (Some(*code), Some(body), None),
            Answer::Failed { class, message } => {
                (None, None, Some(json!({"class": class.as_str(), "message": message})))
            }
        };
        json!({
            "at": self.at, "webhook_id": self.event.id, "cursor": self.event.cursor, "event": self.event.event,
            "data": self.event.data, "revision": self.event.revision, "attempt": self.attempt, "answer": status,
            "answer_body": body, "error": error, "took_ms": self.took.as_secs_f64() * 1000.0,
            "retry_in_seconds": self.again_in.map(|wait| wait.as_secs_f64()),
        })
    }
}

impl fmt::Display for Outcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.at.to_jiff().strftime("%H:%M:%S%.3f");
        write!(f, "{time}  {}  attempt {}  {}  → ", self.event, self.attempt, self.event.id)?;
        match self.answer {
            Answer::Status { code, body, .. } => {
                write!(f, "{code} in {} ms", self.took.as_millis())?;
                let line = body.trim().lines().next().unwrap_or_default();
                if !line.is_empty() {
                    // As debug text: what a program answers shall not write control characters to a terminal.
                    write!(f, ": {}", line[..line.floor_char_boundary(MOST_SHOWN)].escape_debug())?;
                }
                Ok(())
            }
            Answer::Failed { class, message } => {
                write!(f, "no answer ({class}): {message}; ")?;
                match self.again_in {
                    Some(wait) => write!(f, "again in {} s", wait.as_secs_f64()),
                    None => write!(f, "given up: --replay-since sends it again"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::transport::error::ErrorClass;

    fn shown(answer: &Answer, again_in: Option<Duration>) -> (String, Value) {
        let event = r#"{"id":"evt_1","cursor":"7","event":"experiment.status.updated","experiment_id":42,"revision":3,
            "occurred_at":"2026-03-01T09:30:00Z","data":{"experiment_id":42,"experiment_key":"a\u001b[2J"}}"#;
        let event: Logged = serde_json::from_str(event).unwrap();
        let at = "2026-03-01T09:30:00.142Z".parse().unwrap();
        let outcome = Outcome { at, event: &event, attempt: 2, answer, took: Duration::from_millis(3), again_in };
        (outcome.to_string(), outcome.to_json())
    }

    fn status(code: u16, body: &str) -> Answer {
        Answer::Status { code, retry_after: None, headers: String::new(), body: body.to_owned() }
    }

    #[test]
    fn a_line_says_what_was_answered_without_control_characters() {
        let (line, json) = shown(&status(500, "\u{1b}[2Jno such column\nat line 3"), None);
        let expected = "09:30:00.142  experiment.status.updated              \"a\\u{1b}[2J\" (42)  revision 3  attempt 2  \
                        evt_1  → 500 in 3 ms: \\u{1b}[2Jno such column";
        assert_eq!(line, expected);
        assert_eq!((&json["answer"], &json["error"], &json["took_ms"]), (&json!(500), &Value::Null, &json!(3.0)));
        let (line, _) = shown(&status(200, &"é".repeat(MOST_SHOWN)), None);
        assert!(line.ends_with(&format!(": {}", "é".repeat(MOST_SHOWN / 2))), "{line}");
    }

    #[test]
    fn a_line_says_when_there_was_no_answer_and_what_follows() {
        let refused = Answer::failed(ErrorClass::Connect, "connection refused");
        let (line, json) = shown(&refused, Some(Duration::from_millis(500)));
        assert!(line.ends_with("→ no answer (connect): connection refused; again in 0.5 s"), "{line}");
        assert_eq!((&json["answer"], &json["error"]["class"]), (&Value::Null, &json!("connect")));
        assert_eq!(json["retry_in_seconds"], 0.5);
        let (line, json) = shown(&refused, None);
        assert!(line.ends_with("given up: --replay-since sends it again"), "{line}");
        assert_eq!(json["retry_in_seconds"], Value::Null);
    }
}
