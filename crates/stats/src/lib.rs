//! The statistics of experiments, as pure functions of aggregates.
//!
//! Nothing here reads data, keeps state, or knows what an experiment is stored as: callers hand in counts and moments
//! and get estimates back. Every formula names its source, and every one is tested against an independent
//! implementation.

mod adjustment;
mod bayes;
mod correction;
mod decision;
pub mod distribution;
mod estimate;
mod figure;
mod imbalance;
mod joint;
mod lift;
mod moments;
mod percentile;
mod range;
mod ridge;
mod sequential;

pub use adjustment::{Adjusted, AdjustmentError, adjust};
pub use bayes::{Posterior, posterior};
pub use correction::{Alphas, preferential_bonferroni};
pub use decision::{
    DesiredChange, Guardrail, Measurement, Verdict, expected_duration, guardrail, is_decided, progress, verdict,
};
pub use estimate::{Estimate, RatioMoments};
pub use figure::Figure;
pub use imbalance::{Arm, IMBALANCE_ALPHA, Imbalance, InvalidArms, MIN_EXPECTED_COUNT, imbalance, imbalances};
pub use joint::{InvalidMoments, JointMoments};
pub use lift::{DEFAULT_CONFIDENCE, Difference, Lift, LiftError, difference, lift};
pub use moments::{Moments, Passes};
pub use percentile::{PercentileError, PercentileFacts, Ranks, percentile, ranks};
pub use range::OutOfRange;
pub use sequential::{SEQUENTIAL_TUNING, sequential_interval, sequential_p};
