//! What touches the machine: clocks, randomness, keys on disk, measurements, points of failure. It knows nothing of experiments.

pub mod descriptors;
pub mod fault;
pub mod secret;
pub mod telemetry;

