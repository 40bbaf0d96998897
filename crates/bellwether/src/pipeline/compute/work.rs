//! What the statements of a run work on: its sources, its subjects, and what is known of them so far.

use bellwether_warehouse::{Column as ColumnInfo, Session, Table, TableError};

use super::{Computation, Failed};
use crate::domain::results::FactCounts;
use crate::pipeline::columns::KeyKind;
use crate::pipeline::counts;
use crate::pipeline::plan::Plan;
use crate::pipeline::properties::Property;
use crate::pipeline::steps::percentile::Pooled;
use crate::pipeline::steps::{Facts, Output, Scope};
use crate::pipeline::tables::{Subjects, Typed};

/// A fact source in use: its columns, and what became of its rows.
pub struct Source {
    pub facts: Result<(Facts, Vec<ColumnInfo>), String>,
    pub counts: Option<FactCounts>,
    /// What was joined of it is known.
    pub is_joined: bool,
}

/// What all tables have in common.
pub struct Tables<'a> {
    pub scope: &'a Scope<'a>,
    pub plan: &'a Plan,
    pub subjects: &'a Subjects,
    pub subject_kind: KeyKind,
    pub sources: &'a mut [Source],
    pub properties: &'a [Property],
    /// The metrics, in the plan's order.
    pub typed: &'a [Result<Typed, String>],
    pub pooled: Vec<PooledFacts>,
}

/// The facts of one output, kept in the warehouse: all percentiles of them are of one table.
#[derive(Clone)]
pub struct PooledFacts {
    pub source: usize,
    pub output: Output,
    pub table: String,
    pub arms: Vec<Pooled>,
    pub steps: [u32; 2],
}

impl Computation<'_> {
    /// What a source has, asked once for all metrics that are of it.
    pub(super) async fn census_of_facts(
        &mut self,
        session: &mut Session,
        work: &mut Tables<'_>,
        place: usize,
    ) -> Result<(), Failed> {
        let source = &mut work.sources[place];
        if source.counts.is_some() {
            return Ok(());
        }
        let (facts, _) = source.facts.as_ref().map_err(|reason| Failed(reason.clone()))?;
        let sides = work.typed.iter().flatten().flat_map(|typed| &typed.sides);
        let outputs: Vec<Output> = sides.filter(|side| side.source == place).map(|side| side.output.clone()).collect();
        let (rows, _) = self.step(session, &facts.census(work.scope, &outputs)).await?;
        let (counts, warnings) = counts::facts(work.scope, &work.plan.sources[place], &rows)?;
        source.counts = Some(counts);
        self.found.warnings.extend(warnings);
        Ok(())
    }

    /// What of a source's facts is joined, where no table of values has said so.
    pub(super) async fn count_joined(
        &mut self,
        session: &mut Session,
        work: &mut Tables<'_>,
        place: usize,
    ) -> Result<(), Failed> {
        let source = &mut work.sources[place];
        if let (false, Ok((facts, _)), Some(counts)) = (source.is_joined, &source.facts, &mut source.counts) {
            let (rows, _) = self.step(session, &facts.joined(work.scope, work.subject_kind)).await?;
            join(counts, &rows)?;
            source.is_joined = true;
        }
        Ok(())
    }
}

/// What of the source's facts was joined: as its first table says, for all see the same.
pub(super) fn join(counts: &mut FactCounts, totals: &Table) -> Result<(), TableError> {
    let sum = |column: &str| -> Result<u64, TableError> {
        let each = (0..totals.rows.len()).map(|row| Ok(totals.optional_int(row, column)?.unwrap_or(0).unsigned_abs()));
        each.sum()
    };
    counts.joined = sum("facts")?;
    counts.before_assignment = sum("before_assignment")?;
    counts.after_end = sum("after_end")?;
    Ok(())
}
