//! What measuring and killing a server needs: the server as a process, a client of its API, a load, a fast receiver that
//! keeps a ledger. Used by the load tool beside it and by the server's fault tests; knows nothing of the server's inside.

pub mod api;
pub mod load;
pub mod process;
pub mod receiver;
pub mod server;
pub mod wire;

/// Why a measurement or a test cannot go on, in words.
pub type Problem = Box<dyn std::error::Error + Send + Sync>;
