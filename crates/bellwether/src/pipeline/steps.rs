//! The steps of a run: its SQL, in order, each with what becomes of its rows. Pure: what runs them is elsewhere.
//!
//! ```text
//! assignment source ─▶ census of assignments
//!         └──────────▶ (assigned ─▶ entries) ─▶ subjects ─▶ traffic ─▶ (values of properties)
//!                                                   │
//! fact source ─▶ census                             │
//!         └─────────────────────────────────────────┴─▶ values of all its metrics
//!                                                  ─▶ (bounds) ─▶ totals ─▶ deviations ─▶ (cells)
//! ```
//!
//! A source's facts are joined with the subjects once for all of its metrics; for percentiles (`percentile`) and funnels
//! (`funnel`) once more, as these need the facts themselves. What comes out of the warehouse has one row for each variation.

mod assignments;
mod cells;
mod entries;
mod facts;
pub mod funnel;
mod moments;
pub mod percentile;

#[cfg(test)]
mod tests;

use bellwether_warehouse::Dialect;

pub use assignments::{AgedBefore, Assignments, MOST_KEYS};
pub use cells::{MOST_VALUES, Places, cell_products, cells, crossed, property_values};
pub use entries::ASSIGNED;
pub use facts::{Facts, Output, OutputRules};
pub use moments::{Bounds, Centres, Measured, Pair, bounds, deviations, products, totals};

use crate::domain::clock::Timestamp;
use crate::domain::run::Window;

/// The table of one row for each subject.
pub const SUBJECTS: &str = "subjects";

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub name: String,
    pub sql: String,
    pub rows: Rows,
}

/// What becomes of a step's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// They are kept in the warehouse, as a table of this name, for later steps.
    Kept(String),
    /// They are few, and come here.
    Fetched,
}

impl Step {
    fn kept(name: impl Into<String>, table: &str, sql: String) -> Self {
        Self { name: name.into(), sql, rows: Rows::Kept(table.to_owned()) }
    }

    fn fetched(name: impl Into<String>, sql: String) -> Self {
        Self { name: name.into(), sql, rows: Rows::Fetched }
    }
}

/// What all steps of a run have in common.
pub struct Scope<'a> {
    pub dialect: Dialect,
    pub experiment_key: &'a str,
    /// Keys of the active variations: their places are what the warehouse calls an arm.
    pub variations: Vec<&'a str>,
    /// Keys of those that are not active.
    pub inactive: Vec<&'a str>,
    pub window: Window,
    /// Facts from then on do not count.
    pub facts_end: Timestamp,
    /// When the run was made: what lies after it lies in the future.
    pub now: Timestamp,
}

const DAY: i64 = 86_400_000_000;

/// The midnight (UTC) at or before a time, both in microseconds.
fn day_of(time: &str) -> String {
    format!("({time} - {time} % {DAY})")
}
