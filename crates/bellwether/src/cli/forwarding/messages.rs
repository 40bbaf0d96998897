//! Server-sent events as our server writes them, out of bytes as they come. Of the format it knows what is written there.

use memchr::memmem;

/// No event is as large as that.
const LARGEST: usize = 4 * 1024 * 1024;

/// What stands between two blank lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Where the reader stands behind it.
    pub id: Option<String>,
    pub event: Option<String>,
    pub data: Option<String>,
}

/// What has come and was not taken yet.
#[derive(Default)]
pub struct Messages(Vec<u8>);

impl Messages {
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next message, if it is there whole; an error if there can be none.
    pub fn next(&mut self) -> Result<Option<Message>, String> {
        let Some(end) = memmem::find(&self.0, b"\n\n") else {
            let is_endless = self.0.len() > LARGEST;
            return if is_endless { Err(format!("a message has more than {LARGEST} bytes")) } else { Ok(None) };
        };
        let text = std::str::from_utf8(&self.0[..end]).map_err(|_| "a message is not UTF-8")?;
        let message = Message::of(text);
        self.0.drain(..end + 2);
        Ok(Some(message))
    }
}

impl Message {
    fn of(text: &str) -> Self {
        let mut message = Self::default();
        for line in text.lines() {
            match line.split_once(": ") {
                Some(("id", id)) => message.id = Some(id.to_owned()),
                Some(("event", event)) => message.event = Some(event.to_owned()),
                Some(("data", data)) => message.data = Some(data.to_owned()),
                // Comments, and what later versions may add.
                _ => {}
            }
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All messages, the bytes coming `step` at a time.
    fn read(text: &str, step: usize) -> Vec<Message> {
        let mut messages = Messages::default();
        let mut read = Vec::new();
        for bytes in text.as_bytes().chunks(step) {
            messages.push(bytes);
            while let Some(message) = messages.next().unwrap() {
                read.push(message);
            }
        }
        read
    }

    #[test]
    fn messages_are_the_same_however_they_come() {
        let text =
            ": heartbeat\nid: 41\n\nid: 42\nevent: experiment.status.updated\ndata: {\"k\": \"ä\u{2028}: \"}\n\nid: 4";
        let some = |text: &str| Some(text.to_owned());
        let expected = [
            Message { id: some("41"), ..Message::default() },
            Message {
                id: some("42"),
                event: some("experiment.status.updated"),
                data: some("{\"k\": \"ä\u{2028}: \"}"),
            },
        ];
        for step in 1..=text.len() {
            assert_eq!(read(text, step), expected, "{step} bytes at a time");
        }
    }

    #[test]
    fn what_cannot_be_a_message_is_an_error() {
        let mut messages = Messages::default();
        messages.push(b"data: \xff\n\n");
        assert!(messages.next().unwrap_err().contains("UTF-8"));
        let mut messages = Messages::default();
        messages.push(&vec![b'x'; LARGEST + 1]);
        assert!(messages.next().unwrap_err().contains("bytes"));
    }
}
