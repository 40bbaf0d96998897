//! What runs by itself beside commands and deliveries: heartbeats, what is due by date, the numbers of the log, retention,
//! recoveries, what remains of metric syncs. Each loop ends when it is asked to.

pub mod due;
pub mod lived;
pub mod log;
pub mod membership;
pub mod metric_syncs;
pub mod nodes;
pub mod recovery;
pub mod retention;
pub mod sequencer;
