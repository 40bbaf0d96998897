//! What is told to a lane. Hints are bounded: what is beyond, the lane finds in the database. What it must hear is not: of
//! outcomes there are no more than the lane may have unrecorded, and of commands as many as somebody gives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::Message;

/// Messages that wait, from which on hints are dropped.
const MOST_WAITING: usize = 4096;

pub struct Mailbox {
    messages: mpsc::UnboundedSender<Message>,
    shared: Arc<Shared>,
}

pub struct Inbox {
    messages: mpsc::UnboundedReceiver<Message>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    waiting: AtomicUsize,
    /// Hints were dropped since the lane last heard so.
    has_dropped: AtomicBool,
}

pub fn mailbox() -> (Mailbox, Inbox) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let shared = Arc::<Shared>::default();
    (Mailbox { messages: sender, shared: shared.clone() }, Inbox { messages: receiver, shared })
}

impl Mailbox {
    /// A lane whose task has ended hears nothing more: it is deleted, or will be set up anew.
    pub fn send(&self, message: Message) {
        let is_hint = matches!(message, Message::Offer(_) | Message::FallBehind);
        if is_hint && self.shared.waiting.load(Ordering::Relaxed) >= MOST_WAITING {
            self.shared.has_dropped.store(true, Ordering::Release);
            // Should the lane have read all meanwhile, nothing else would wake it to hear of this.
            if self.shared.waiting.load(Ordering::Acquire) >= MOST_WAITING / 2 {
                return;
            }
        }
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        let _ = self.messages.send(message);
    }

    pub fn is_closed(&self) -> bool {
        self.messages.is_closed()
    }
}

impl Inbox {
    /// `None` when nobody can send any more and all is read. Whoever drops hints has seen that much waits here, or sends one more, and so
    /// there is a next call to hear of it.
    pub async fn recv(&mut self) -> Option<Message> {
        if self.shared.has_dropped.swap(false, Ordering::AcqRel) {
            return Some(Message::FallBehind);
        }
        let message = self.messages.recv().await?;
        self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hints_are_dropped_for_a_look_into_the_database_and_nothing_else_is() {
        let (mailbox, mut inbox) = mailbox();
        for _ in 0..3 * MOST_WAITING {
            mailbox.send(Message::FallBehind);
        }
        mailbox.send(Message::Recorded(Vec::new()));
        mailbox.send(Message::Stop);
        let mut heard = Vec::new();
        while !matches!(heard.last(), Some(Message::Stop)) {
            heard.push(inbox.recv().await.unwrap());
        }
        assert_eq!(heard.len(), MOST_WAITING + 1 + 2, "one for all that were dropped");
        assert!(matches!(heard[0], Message::FallBehind) && matches!(heard[MOST_WAITING + 1], Message::Recorded(_)));
        mailbox.send(Message::FallBehind);
        assert!(matches!(inbox.recv().await, Some(Message::FallBehind)), "there is room again");
        drop(mailbox);
        assert!(inbox.recv().await.is_none());
    }
}
