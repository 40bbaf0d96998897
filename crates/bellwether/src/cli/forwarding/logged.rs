//! An event as the stream gives it: all that its webhook is made of.

use std::fmt;

use bellwether_webhook::MetaData;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::receiver::write_event;
use crate::delivery::transport::client::Message;

#[derive(Debug, Deserialize)]
pub struct Logged {
    pub id: String,
    pub cursor: String,
    /// As text, for a newer server may know more.
    pub event: String,
    pub revision: i64,
    /// The exact bytes.
    pub data: Box<RawValue>,
}

/// What is shown of `data`.
#[derive(Deserialize)]
struct Shown {
    experiment_id: u64,
    experiment_key: String,
    meta_data: Option<MetaData>,
}

impl Logged {
    pub fn message(&self, attempt: u32) -> Message<'_> {
        Message { id: &self.id, event: &self.event, data: self.data.get(), revision: Some(self.revision), attempt }
    }
}

impl fmt::Display for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match serde_json::from_str::<Shown>(self.data.get()) {
            Ok(shown) => {
                let experiment = (shown.experiment_id, shown.experiment_key.as_str());
                write_event(f, &self.event, experiment, shown.meta_data.as_ref())?;
            }
            Err(_) => write!(f, "{:37}", self.event)?,
        }
        write!(f, "  revision {}", self.revision)
    }
}
