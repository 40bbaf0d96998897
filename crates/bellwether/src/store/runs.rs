//! Runs, the log of their statements, and the results they found.

use super::engine::value::to_json;
use super::{Row, StoreError, Tx, query_as, query_one};
use crate::domain::id::{ExperimentId, NodeId, RunId};
use crate::domain::progress::Progress;
use crate::domain::results::Results;
use crate::domain::run::{LoggedStep, Mode, Run, RunState, Window};
use crate::params;

const COLUMNS: &str = "id, experiment_id, mode, is_manual, state, actor, window_start, window_end, created_at, started_at, ended_at, \
                       error, is_data_updated, is_traffic_imbalance, imbalance_p_value, warnings, definitions, fills_history";

fn decode(row: &Row) -> Result<Run, StoreError> {
    Ok(Run {
        id: row.get("id")?,
        experiment_id: row.get("experiment_id")?,
        mode: row.word("mode", Mode::parse)?,
        is_manual: row.get("is_manual")?,
        state: row.word("state", RunState::parse)?,
        actor: row.json("actor")?,
        window: Window { start: row.get("window_start")?, end: row.get("window_end")? },
        created_at: row.get("created_at")?,
        started_at: row.get("started_at")?,
        ended_at: row.get("ended_at")?,
        error: row.get("error")?,
        is_data_updated: row.get("is_data_updated")?,
        is_traffic_imbalance: row.get("is_traffic_imbalance")?,
        imbalance_p_value: row.get("imbalance_p_value")?,
        warnings: row.optional_json("warnings")?.unwrap_or_default(),
        definitions: row.get("definitions")?,
        fills_history: row.get("fills_history")?,
    })
}

/// Writes a run, new or not.
pub fn save(tx: &mut dyn Tx, run: &Run) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO runs (id, experiment_id, mode, is_manual, state, actor, window_start, window_end, created_at, started_at, ended_at, \
         error, is_data_updated, is_traffic_imbalance, imbalance_p_value, warnings, definitions, fills_history) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) ON CONFLICT (id) DO UPDATE SET \
         state = excluded.state, started_at = excluded.started_at, ended_at = excluded.ended_at, error = excluded.error, \
         is_data_updated = excluded.is_data_updated, is_traffic_imbalance = excluded.is_traffic_imbalance, \
         imbalance_p_value = excluded.imbalance_p_value, warnings = excluded.warnings",
        params![
            run.id,
            run.experiment_id,
            run.mode.as_str(),
            run.is_manual,
            run.state.as_str(),
            to_json(&run.actor)?,
            run.window.start,
            run.window.end,
            run.created_at,
            run.started_at,
            run.ended_at,
            run.error.clone(),
            run.is_data_updated,
            run.is_traffic_imbalance,
            run.imbalance_p_value,
            to_json(&run.warnings)?,
            run.definitions.clone(),
            run.fills_history
        ],
    )
    .map(drop)
}

pub fn get(tx: &mut dyn Tx, id: RunId) -> Result<Option<Run>, StoreError> {
    query_one(tx, "runs", &format!("SELECT {COLUMNS} FROM runs WHERE id = $1"), params![id], decode)
}

/// The same, locked against other writers until the transaction ends.
pub fn lock(tx: &mut dyn Tx, id: RunId) -> Result<Option<Run>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM runs WHERE id = $1{}", tx.dialect().for_update());
    query_one(tx, "runs", &sql, params![id], decode)
}

/// Makes a queued run a full one, that fills in earlier days if that is asked for; `false` if it is queued no more.
pub fn make_full(tx: &mut dyn Tx, id: RunId, fills_history: bool) -> Result<bool, StoreError> {
    let sql = "UPDATE runs SET mode = $2, fills_history = CASE WHEN $3 = 1 THEN 1 ELSE fills_history END \
               WHERE id = $1 AND state = 'queued'";
    Ok(tx.execute(sql, params![id, Mode::Full.as_str(), fills_history])? == 1)
}

/// Notes which node carries a run out.
pub fn set_node(tx: &mut dyn Tx, id: RunId, node: NodeId) -> Result<(), StoreError> {
    tx.execute("UPDATE runs SET node_id = $2 WHERE id = $1", params![id, node]).map(drop)
}

/// Notes how many steps a run is expected to have.
pub fn expect_steps(tx: &mut dyn Tx, id: RunId, count: u64) -> Result<(), StoreError> {
    tx.execute("UPDATE runs SET steps_expected = $2 WHERE id = $1", params![id, count]).map(drop)
}

/// How far a run is, by its log; `None` where it is not under way.
pub fn progress(tx: &mut dyn Tx, id: RunId) -> Result<Option<Progress>, StoreError> {
    let sql = "SELECT steps_expected, \
               (SELECT COUNT(*) FROM run_steps WHERE run_id = $1 AND (duration_us IS NOT NULL OR error IS NOT NULL)) AS done, \
               (SELECT name FROM run_steps WHERE run_id = $1 AND duration_us IS NULL AND error IS NULL \
                ORDER BY position DESC LIMIT 1) AS step \
               FROM runs WHERE id = $1 AND state = 'running'";
    query_one(tx, "runs", sql, params![id], |row| {
        Ok(Progress::of(row.get("done")?, row.get("steps_expected")?, row.get("step")?))
    })
}

/// Runs that are called running, each with the node that began it.
pub fn running(tx: &mut dyn Tx) -> Result<Vec<(RunId, Option<NodeId>)>, StoreError> {
    let sql = "SELECT id, node_id FROM runs WHERE state = 'running' ORDER BY id";
    query_as(tx, "runs", sql, &[], |row| Ok((row.get("id")?, row.get("node_id")?)))
}

/// Asks the node that carries a run out to stop it.
pub fn ask_to_cancel(tx: &mut dyn Tx, id: RunId) -> Result<(), StoreError> {
    tx.execute("UPDATE runs SET is_to_stop = 1 WHERE id = $1", params![id]).map(drop)
}

/// Runs of a node that it was asked to stop.
pub fn to_stop(tx: &mut dyn Tx, node: NodeId) -> Result<Vec<RunId>, StoreError> {
    let sql = "SELECT id FROM runs WHERE state = 'running' AND node_id = $1 AND is_to_stop = 1";
    query_as(tx, "runs", sql, params![node], |row| row.get("id"))
}

/// Those that have not ended: at most one that is queued, and one that is running.
pub fn open_of(tx: &mut dyn Tx, experiment: ExperimentId) -> Result<Vec<Run>, StoreError> {
    let sql =
        format!("SELECT {COLUMNS} FROM runs WHERE experiment_id = $1 AND state IN ('queued', 'running') ORDER BY id");
    query_as(tx, "runs", &sql, params![experiment], decode)
}

/// Those that may start, oldest first: they are queued, and no other of their experiment is running.
pub fn startable(tx: &mut dyn Tx, limit: u32) -> Result<Vec<RunId>, StoreError> {
    let sql = "SELECT id FROM runs q WHERE state = 'queued' AND NOT EXISTS \
               (SELECT 1 FROM runs r WHERE r.experiment_id = q.experiment_id AND r.state = 'running') ORDER BY id LIMIT $1";
    query_as(tx, "runs", sql, params![limit], |row| row.get("id"))
}

/// Newest first, before a cursor.
pub fn list(
    tx: &mut dyn Tx,
    experiment: ExperimentId,
    before: Option<RunId>,
    limit: u32,
) -> Result<Vec<Run>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM runs WHERE experiment_id = $1 AND ($2 = '' OR id < $2) ORDER BY id DESC LIMIT $3"
    );
    let before = before.map_or_else(String::new, |id| id.to_string());
    query_as(tx, "runs", &sql, params![experiment, before, limit], decode)
}

/// Writes one statement of the run's log, when it begins and again when it has ended.
pub fn save_step(tx: &mut dyn Tx, run: RunId, position: u32, step: &LoggedStep) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO run_steps (run_id, position, name, sql, row_count, duration_us, error, kept_as) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (run_id, position) DO UPDATE SET row_count = excluded.row_count, duration_us = excluded.duration_us, error = excluded.error",
        params![
            run,
            position,
            &step.name,
            &step.sql,
            step.rows,
            step.duration_us,
            step.error.clone(),
            step.kept_as.clone()
        ],
    )
    .map(drop)
}

pub fn steps(tx: &mut dyn Tx, run: RunId) -> Result<Vec<LoggedStep>, StoreError> {
    let sql =
        "SELECT name, sql, row_count, duration_us, error, kept_as FROM run_steps WHERE run_id = $1 ORDER BY position";
    query_as(tx, "run_steps", sql, params![run], |row| {
        Ok(LoggedStep {
            name: row.get("name")?,
            sql: row.get("sql")?,
            rows: row.get("row_count")?,
            duration_us: row.get("duration_us")?,
            error: row.get("error")?,
            kept_as: row.get("kept_as")?,
        })
    })
}

pub fn insert_results(tx: &mut dyn Tx, experiment: ExperimentId, results: &Results) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO results (run_id, experiment_id, body) VALUES ($1, $2, $3)",
        params![results.run_id, experiment, to_json(results)?],
    )
    .map(drop)
}

pub fn results(tx: &mut dyn Tx, run: RunId) -> Result<Option<Results>, StoreError> {
    let sql = "SELECT run_id, body FROM results WHERE run_id = $1";
    query_one(tx, "results", sql, params![run], |row| row.json("body"))
}
