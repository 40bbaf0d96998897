//! What was seen in assignment sources: kept as the last scan of each, and made into experiments.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Registry, Result};
use crate::domain::clock::Timestamp;
use crate::domain::definition::AssignmentSource;
use crate::domain::discovery::{FromSource, Scan};
use crate::domain::error::Refusal;
use crate::domain::experiment::{GivenMetric, NewExperiment};
use crate::domain::id::AssignmentSourceId;
use crate::domain::input;
use crate::store::{Tx, definitions, scans};

/// The field of a new experiment that names what it is made from.
const FROM_SOURCE: &str = "from_source";
/// The one that names metrics to attach.
const METRICS: &str = "metrics";

/// That field alone, so that errors name it with its path.
#[derive(Deserialize)]
struct Origin {
    from_source: FromSource,
}

/// The same of the metrics.
#[derive(Deserialize)]
struct Attached {
    metrics: Vec<GivenMetric>,
}

impl Registry {
    /// Keeps what a scan has found, in place of what an earlier one did.
    pub async fn keep_scan(&self, id: AssignmentSourceId, scan: Scan) -> Result<Timestamp> {
        self.command(move |context, tx| {
            let source = definitions::get::<AssignmentSource>(tx, id)?;
            source.ok_or_else(|| Refusal::not_found("assignment source", id))?;
            let now = context.setup.clock.now();
            scans::save(tx, id, &scan, now)?;
            Ok(now)
        })
        .await
    }

    /// A new experiment as somebody wrote it: all its fields, or what it is made from and what is to be otherwise, and the
    /// metrics to attach.
    pub async fn read_new_experiment(&self, mut given: Map<String, Value>) -> Result<NewExperiment> {
        let only = |field: &str, value: Value| Map::from_iter([(field.to_owned(), value)]);
        let metrics = given.shift_remove(METRICS).map(|metrics| input::read(only(METRICS, metrics)));
        let metrics = metrics.transpose()?.map_or_else(Vec::new, |attached: Attached| attached.metrics);
        let fields = match given.shift_remove(FROM_SOURCE) {
            None => given,
            Some(from) => {
                let Origin { from_source } = input::read(only(FROM_SOURCE, from))?;
                self.db().read(move |tx: &mut dyn Tx| fields_from(tx, &from_source, &given)).await?
            }
        };
        Ok(NewExperiment { configuration: input::read(fields)?, metrics })
    }
}

fn fields_from(tx: &mut dyn Tx, from: &FromSource, given: &Map<String, Value>) -> Result<Map<String, Value>> {
    const FIELD: &str = "from_source.assignment_source_id";
    let id = from.assignment_source_id;
    let unknown =
        || Refusal::invalid(FIELD, format!("there is no assignment source '{id}'; see /api/v1/assignment_sources"));
    let source = definitions::get::<AssignmentSource>(tx, id)?.ok_or_else(unknown)?.body;
    let unscanned = || {
        let message =
            format!("the source '{}' was not scanned yet; POST assignment_sources/{id}/scan first", source.name);
        Refusal::invalid(FIELD, message)
    };
    let (scan, _) = scans::get(tx, id)?.ok_or_else(unscanned)?;
    Ok(scan.configuration(from, &source, given)?)
}
