//! What touches the machine: clocks, randomness, keys on disk, measurements, points of failure. It knows nothing of experiments.

pub mod clock;
pub mod descriptors;
pub mod fault;
pub mod ids;
pub mod pem;
pub mod secret;
pub mod telemetry;
pub mod traces;
