//! In which form an endpoint is sent events: as data for programs, or as sentences for people.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::event::Format;
use crate::domain::sentence::Chat;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BodyFormat {
    /// The upstream body, exactly.
    #[default]
    Eppo,
    /// The same, with more about the change in `data`.
    Detailed,
    /// A sentence for Slack, Mattermost, Rocket.Chat or Google Chat.
    Slack,
    /// A sentence for Discord.
    Discord,
    /// A sentence for Microsoft Teams, by Workflows.
    Teams,
}

/// What chat services take: requests a second, unless the endpoint says otherwise.
pub const CHAT_RATE: f64 = 1.0;

impl BodyFormat {
    /// The form of the event that it is made of.
    pub const fn of_event(self) -> Format {
        match self {
            Self::Eppo => Format::Eppo,
            Self::Detailed | Self::Slack | Self::Discord | Self::Teams => Format::Detailed,
        }
    }

    /// The service that takes it, if it is a sentence.
    pub const fn chat(self) -> Option<Chat> {
        match self {
            Self::Eppo | Self::Detailed => None,
            Self::Slack => Some(Chat::Slack),
            Self::Discord => Some(Chat::Discord),
            Self::Teams => Some(Chat::Teams),
        }
    }
}
