//! From a delivery to an answer: connects, sends and reads, within bounds. What an answer means is the lane's.

pub mod answer;
pub mod client;
pub mod connector;
pub mod dial;
pub mod error;
pub mod guard;
pub mod http1;
pub mod http2;
pub mod metered;
pub mod outbound;
pub mod pool;
pub mod proxy;
pub mod reach;
pub mod redaction;
pub mod request;
pub mod resolver;
pub mod settings;
pub mod slots;
pub mod stream;
pub mod target;
pub mod tls;
