//! Which experiments an assignment source has rows of: the one statement that asks it, and what is made of its rows. Pure.

use bellwether_warehouse::{Dialect, Table, TableError};

use super::steps::Assignments;
use crate::domain::clock::Timestamp;
use crate::domain::discovery::{MOST_EXPERIMENTS, MOST_VARIATIONS, Scan, SeenExperiment, SeenVariation};
use crate::domain::error::LONGEST_NAME;

/// Rows of the answer: one for each variation that is shown. One experiment more tells whether there are more, and one is
/// of the rows without a key.
pub const MOST_ROWS: usize = (MOST_EXPERIMENTS + 2) * MOST_VARIATIONS;

/// One row for each experiment and variation. What was seen last comes first, and of an experiment the variation with the
/// most rows; what is too long to be a key counts as none, so that the answer is bounded whatever the columns hold.
pub fn statement(dialect: Dialect, source: &Assignments) -> String {
    let short = |text: String| format!("CASE WHEN {} <= {LONGEST_NAME} THEN {text} END", dialect.length(&text));
    format!(
        "SELECT experiment_key, variation, row_count, earliest, latest, variation_count, key_rows, key_earliest, key_latest\n\
         FROM (SELECT *, DENSE_RANK() OVER (ORDER BY CASE WHEN experiment_key IS NULL THEN 0 ELSE 1 END,\n\
         key_latest DESC NULLS LAST, experiment_key) AS key_place\n\
         FROM (SELECT *, SUM(row_count) OVER (PARTITION BY experiment_key) AS key_rows,\n\
         MIN(earliest) OVER (PARTITION BY experiment_key) AS key_earliest,\n\
         MAX(latest) OVER (PARTITION BY experiment_key) AS key_latest,\n\
         COUNT(*) OVER (PARTITION BY experiment_key) AS variation_count,\n\
         ROW_NUMBER() OVER (PARTITION BY experiment_key ORDER BY row_count DESC, variation) AS place\n\
         FROM (SELECT experiment_key, variation, COUNT(*) AS row_count, MIN(assigned_at) AS earliest, MAX(assigned_at) AS latest\n\
         FROM (SELECT {key} AS experiment_key, {variation} AS variation, {at} AS assigned_at\n\
         FROM {source}) AS named\n\
         GROUP BY experiment_key, variation) AS counted) AS placed) AS ranked\n\
         WHERE place <= {MOST_VARIATIONS} AND key_place <= {most}\n\
         ORDER BY key_place, place",
        key = short(source.experiment_key.text(dialect)),
        variation = short(source.variation.text(dialect)),
        at = source.time.sql,
        source = dialect.subquery(&source.sql, "assignments"),
        most = MOST_EXPERIMENTS + 2,
    )
}

/// What the statement's rows say.
pub fn read(rows: &Table, source_version: i64) -> Result<Scan, TableError> {
    let mut scan = Scan { source_version, experiments: Vec::new(), rows_without_key: 0, is_cut: false };
    let count = |row: usize, column: &str| Ok::<_, TableError>(rows.int(row, column)?.unsigned_abs());
    let time = |row: usize, column: &str| {
        let micros = rows.optional_int(row, column)?;
        Ok::<_, TableError>(micros.map(Timestamp::from_micros))
    };
    for row in 0..rows.rows.len() {
        let Some(key) = rows.optional_text(row, "experiment_key")? else {
            scan.rows_without_key = count(row, "key_rows")?;
            continue;
        };
        if scan.experiments.last().is_none_or(|last| last.experiment_key != key) {
            if scan.experiments.len() == MOST_EXPERIMENTS {
                scan.is_cut = true;
                break;
            }
            scan.experiments.push(SeenExperiment {
                experiment_key: key.to_owned(),
                rows: count(row, "key_rows")?,
                first_at: time(row, "key_earliest")?,
                last_at: time(row, "key_latest")?,
                variations: Vec::new(),
                variation_count: count(row, "variation_count")?,
            });
        }
        let variation = SeenVariation {
            key: rows.optional_text(row, "variation")?.map(str::to_owned),
            rows: count(row, "row_count")?,
            first_at: time(row, "earliest")?,
            last_at: time(row, "latest")?,
        };
        if let Some(experiment) = scan.experiments.last_mut() {
            experiment.variations.push(variation);
        }
    }
    Ok(scan)
}
