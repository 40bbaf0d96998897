//! What was last seen in each assignment source.

use super::engine::value::to_json;
use super::{StoreError, Tx, query_one};
use crate::domain::clock::Timestamp;
use crate::domain::discovery::Scan;
use crate::domain::id::AssignmentSourceId;
use crate::params;

/// In place of an earlier one.
pub fn save(tx: &mut dyn Tx, source: AssignmentSourceId, scan: &Scan, at: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO assignment_scans (assignment_source_id, body, scanned_at) VALUES ($1, $2, $3) \
         ON CONFLICT (assignment_source_id) DO UPDATE SET body = excluded.body, scanned_at = excluded.scanned_at",
        params![source, to_json(scan)?, at],
    )
    .map(drop)
}

/// The last one, and when it was made.
pub fn get(tx: &mut dyn Tx, source: AssignmentSourceId) -> Result<Option<(Scan, Timestamp)>, StoreError> {
    let sql = "SELECT assignment_source_id, body, scanned_at FROM assignment_scans WHERE assignment_source_id = $1";
    query_one(tx, "assignment_scans", sql, params![source], |row| Ok((row.json("body")?, row.get("scanned_at")?)))
}
