//! What lists are found and sorted by, filled in for all that was stored before this program kept it: once, before anything is
//! asked of the lists.

use super::{Registry, Result};
use crate::domain::collection::Collection;
use crate::domain::definition::{AssignmentSource, Entity, FactSource, Schedule, Team};
use crate::domain::id::ExperimentId;
use crate::domain::metric::Metric;
use crate::domain::warehouse::Warehouse;
use crate::store::{Tx, definition_list, definitions, experiment_list, settings};

/// Another text makes everything be filled in anew.
const CURRENT: &str = "2";
const EXPERIMENTS_A_TRANSACTION: u32 = 500;

impl Registry {
    /// Goes on from the beginning where it was broken off: what is filled in already stays as it is.
    pub async fn index_lists(&self) -> Result<()> {
        let indexed = self.db().look(|tx: &mut dyn Tx| settings::get(tx, settings::LISTS_INDEXED)).await?;
        if indexed.as_deref() == Some(CURRENT) {
            return Ok(());
        }
        let mut after: Option<ExperimentId> = Some(0);
        while let Some(last) = after {
            after = self.command(move |_, tx| Ok(experiment_list::index(tx, last, EXPERIMENTS_A_TRANSACTION)?)).await?;
        }
        self.command(|_, tx| {
            number_facts(tx)?;
            definition_list::index::<Entity>(tx)?;
            definition_list::index::<Warehouse>(tx)?;
            definition_list::index::<AssignmentSource>(tx)?;
            definition_list::index::<FactSource>(tx)?;
            definition_list::index::<Metric>(tx)?;
            definition_list::index::<Collection>(tx)?;
            definition_list::index::<Schedule>(tx)?;
            definition_list::index::<Team>(tx)?;
            Ok(settings::set(tx, settings::LISTS_INDEXED, CURRENT)?)
        })
        .await
    }
}

/// Gives numbers to facts and properties that were stored before there were any.
fn number_facts(tx: &mut dyn Tx) -> Result<()> {
    for mut source in definitions::all::<FactSource>(tx)? {
        let before = source.body.clone();
        source.body.number(tx)?;
        if source.body != before {
            definitions::update(tx, &source)?;
        }
    }
    Ok(())
}
