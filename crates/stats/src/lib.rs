//! The statistics of experiments, as pure functions of aggregates.
//!
//! Nothing here reads data, keeps state, or knows what an experiment is stored as: callers hand in counts and moments
//! and get estimates back. Every formula names its source, and every one is tested against an independent
//! implementation.

pub mod distribution;
mod estimate;
mod imbalance;
mod lift;
mod moments;

pub use estimate::{Estimate, RatioMoments};
pub use imbalance::{Arm, IMBALANCE_ALPHA, Imbalance, InvalidArms, MIN_EXPECTED_COUNT, imbalance};
pub use lift::{DEFAULT_CONFIDENCE, Difference, Lift, LiftError, difference, lift};
pub use moments::{Moments, Passes};
