//! What the figures of experiments were at the ends of days.

use super::engine::value::to_json;
use super::{StoreError, Tx, query_as};
use crate::domain::id::ExperimentId;
use crate::domain::point::Point;
use crate::params;

/// Writes what is known of a day now, in place of what was known.
pub fn save(tx: &mut dyn Tx, experiment: ExperimentId, point: &Point) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO result_points (experiment_id, day, run_id, figures) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (experiment_id, day) DO UPDATE SET run_id = excluded.run_id, figures = excluded.figures",
        params![experiment, &point.day, point.run_id, to_json(point)?],
    )
    .map(drop)
}

/// Days after `after`, oldest first.
pub fn list(tx: &mut dyn Tx, experiment: ExperimentId, after: &str, limit: u32) -> Result<Vec<Point>, StoreError> {
    let sql = "SELECT day, figures FROM result_points WHERE experiment_id = $1 AND day > $2 ORDER BY day LIMIT $3";
    query_as(tx, "result_points", sql, params![experiment, after, limit], |row| row.json("figures"))
}

/// The days of which something is known.
pub fn days(tx: &mut dyn Tx, experiment: ExperimentId) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT day FROM result_points WHERE experiment_id = $1 ORDER BY day";
    query_as(tx, "result_points", sql, params![experiment], |row| row.get("day"))
}
