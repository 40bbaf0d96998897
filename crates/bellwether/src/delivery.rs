//! Delivery: sends what is owed. A dispatcher keeps one lane for each endpoint that this node owns, and hands it hints; a
//! recorder writes what came of their attempts. Neither decides what is owed (see `registry`), and the database is asked
//! wherever a hint may have been lost.

mod dispatcher;
mod lane;
pub mod monitor;
mod ping;
mod recorder;
mod threads;
mod traced;
pub mod transport;

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::domain::clock::Clock;
use crate::domain::id::Ids;
use crate::maintenance::nodes::SendPermit;
use crate::registry::{Registry, Report};
pub use dispatcher::Delivery;
use monitor::Monitor;
pub use ping::Pings;
use transport::outbound::Outbound;

/// What all lanes share.
struct Shared {
    registry: Registry,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    outbound: Outbound,
    permit: SendPermit,
    monitor: Arc<Monitor>,
    reports: mpsc::UnboundedSender<Box<Report>>,
}
