//! The embedded engine: DataFusion over a folder of files, confined to reading registered tables.
//!
//! It runs in the worker only. It knows nothing of requests, nor of the process around it; what it may read is decided by
//! [`crate::files`], what it may be asked by [`statement`].

mod advice;
mod arrays;
mod cells;
mod checked;
mod checked_sum;
mod csv_files;
mod csv_table;
mod failure;
mod finite;
mod group_join;
mod intermediate;
mod parquet_table;
mod printing;
mod quantile;
mod rewriting;
mod statement;
mod sum;
mod tables;
mod tally;

use crate::dialect::SCRATCH_SCHEMA;
use crate::files::FileTables;
use crate::protocol::{Setup, WarehouseConfig};
use crate::reading::Memory;
use crate::{Cell, Column, ErrorKind, Failure, Table, TableInfo};
use datafusion::catalog::MemorySchemaProvider;
use datafusion::common::TableReference;
use datafusion::common::config::ConfigNonZeroUsize;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{AggregateUDF, LogicalPlan, ScalarUDF};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::{ExecutionPlanProperties, execute_stream, execute_stream_partitioned};
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use failure::{failure, is_exhausted};
use futures::StreamExt;
use group_join::GroupJoins;
use intermediate::Intermediate;
use statement::{Author, Query};
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tables::Tables;

/// Parallel parts of a query. Few, as the server has the machine first.
pub const PARTITIONS: usize = 2;

const CATALOG: &str = "warehouse";
/// Where unqualified names are looked up: the files.
const FILES_SCHEMA: &str = "files";

/// Rows a batch once joins spill.
const SPILLING_BATCH_ROWS: usize = 1024;

/// How joins are done: with their aggregation in one where that goes, then by hash; by sorting when memory runs out, as only
/// that spills.
#[derive(Clone, Copy)]
enum Joins {
    Grouped,
    Hash,
    SortMerge,
}

impl Joins {
    /// What to try after an error, if anything.
    fn after(self, error: &DataFusionError) -> Option<Self> {
        match self {
            Joins::Grouped if group_join::is_declined(error) => Some(Joins::Hash),
            Joins::Grouped | Joins::Hash if is_exhausted(error) => Some(Joins::SortMerge),
            _ => None,
        }
    }
}

/// What is shown of a value, and of all the rows of a preview, in bytes.
const LONGEST_SHOWN: usize = 1000;
const LARGEST_PREVIEW: usize = 1024 * 1024;

/// A preview is for people: long values are cut, and rows left out where they come to too much.
fn shorten(table: &mut Table) {
    let mut size = 0;
    let mut kept = 0;
    for row in &mut table.rows {
        for cell in row {
            if let Cell::Text(text) = cell
                && text.len() > LONGEST_SHOWN
            {
                text.truncate(text.floor_char_boundary(LONGEST_SHOWN));
                text.push('…');
            }
            size += if let Cell::Text(text) = cell { text.len() } else { 16 };
        }
        if size > LARGEST_PREVIEW {
            break;
        }
        kept += 1;
    }
    table.rows.truncate(kept);
}

pub struct Engine {
    context: SessionContext,
    tables: Tables,
    scratch: PathBuf,
    memory_limit_bytes: u64,
    intermediates: HashMap<String, Intermediate>,
    /// How many results were written to `scratch`; it numbers them.
    written: u64,
}

impl Engine {
    pub fn start(setup: &Setup) -> Result<Engine, Failure> {
        let WarehouseConfig::Files { path, roots, tables: settings } = &setup.warehouse;
        let memory = setup.memory.as_deref().and_then(Memory::at);
        let tables = Tables::of(FileTables::of_folder(path, roots)?, settings.clone(), memory);
        let spill = setup.scratch.join("spill");
        std::fs::create_dir_all(&spill)
            .map_err(|error| Failure::of(ErrorKind::File, format!("{}: {error}; check the folder", spill.display())))?;
        let limit = setup.memory_limit_bytes;
        let context = context(limit, &spill).map_err(|error| failure(&error, limit))?;
        let scratch = setup.scratch.clone();
        Ok(Engine { context, tables, scratch, memory_limit_bytes: limit, intermediates: HashMap::new(), written: 0 })
    }

    /// Runs `sql` and returns its rows; more than `row_limit` are an error, or are left out if `truncate`.
    pub async fn query(&self, sql: &str, row_limit: usize, truncate: bool) -> Result<Table, Failure> {
        let query = self.prepare(sql, Author::Pipeline).await?;
        let mut joins = Joins::Grouped;
        let table = loop {
            let table = self.collect(&query, joins, row_limit).await;
            match table.as_ref().err().and_then(|error| joins.after(error)) {
                Some(next) => joins = next,
                None => break table,
            }
        };
        // Before what the engine says: a file that was changed may be what it stumbles over.
        self.still_the_same(&query)?;
        let mut table = match table {
            Ok(table) => table,
            Err(error) => return Err(self.advised(&error, &query).await),
        };
        if table.rows.len() > row_limit && !truncate {
            return Err(Failure::of(
                ErrorKind::RowLimit,
                format!("the query has more than the {row_limit} rows allowed; aggregate, or add a LIMIT"),
            ));
        }
        table.rows.truncate(row_limit);
        if truncate {
            shorten(&mut table);
        }
        Ok(table)
    }

    /// Runs `sql` and keeps its rows as the table `bellwether.<name>`, replacing an earlier one; returns their number. A
    /// failure leaves the earlier one.
    pub async fn materialize(&mut self, name: &str, sql: &str) -> Result<u64, Failure> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || name.len() > 100 || !name.chars().all(is_word) {
            return Err(Failure::of(
                ErrorKind::Internal,
                format!("{name:?} cannot name an intermediate result; use 1 to 100 ASCII letters, digits and `_`"),
            ));
        }
        let query = self.prepare(sql, Author::Pipeline).await?;
        let mut joins = Joins::Grouped;
        let written = loop {
            self.written += 1;
            let stem = self.scratch.join(format!("{name}.{}", self.written));
            let written = self.write(&query, joins, &stem).await;
            match written.as_ref().err().and_then(|error| joins.after(error)) {
                Some(next) => joins = next,
                None => break written,
            }
        };
        self.still_the_same(&query)?;
        let kept = match written {
            Ok(written) => self.keep(name, written).await,
            Err(error) => Err(error),
        };
        match kept {
            Ok(rows) => Ok(rows),
            Err(error) => Err(self.advised(&error, &query).await),
        }
    }

    async fn advised(&self, error: &DataFusionError, query: &Query) -> Failure {
        advice::advised(self.failure(error), error, query, &self.tables, &self.context).await
    }

    /// Refuses what was read of files that were changed meanwhile.
    fn still_the_same(&self, query: &Query) -> Result<(), Failure> {
        query.tables.iter().try_for_each(|name| self.tables.check(name))
    }

    /// The columns `sql` would have, without running it.
    pub async fn describe(&self, sql: &str) -> Result<Vec<Column>, Failure> {
        self.columns_of(sql, Author::Pipeline).await
    }

    /// As [`Engine::describe`], for SQL that users wrote: it must not name intermediate results.
    pub async fn check(&self, sql: &str) -> Result<Vec<Column>, Failure> {
        self.columns_of(sql, Author::User).await
    }

    /// The tables of the folder, with their columns or why those cannot be read.
    pub async fn tables(&self) -> Vec<TableInfo> {
        self.tables.list(&self.context).await
    }

    async fn columns_of(&self, sql: &str, author: Author) -> Result<Vec<Column>, Failure> {
        let query = self.prepare(sql, author).await?;
        let plan = self.plan(&self.context.state(), &query).await.map_err(|error| self.failure(&error))?;
        Ok(cells::columns(plan.schema().fields()))
    }

    /// Checks `sql` and registers the files it names.
    async fn prepare(&self, sql: &str, author: Author) -> Result<Query, Failure> {
        let mut query = statement::parse(sql)?;
        let state = self.context.state();
        let references = state.resolve_table_references(query.statement()).map_err(|error| self.failure(&error))?;
        for reference in references {
            query.tables.extend(self.provide(&state, &reference, author).await?);
        }
        let plan = match self.plan(&state, &query).await {
            Ok(plan) => plan,
            Err(error) => return Err(self.advised(&error, &query).await),
        };
        let reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        reading.verify_plan(&plan).map_err(|error| statement::forbidden(&error.strip_backtrace()))?;
        Ok(query)
    }

    /// Makes the table behind `reference` known to the engine, or says why there is none. Answers its name if it is of files.
    async fn provide(
        &self,
        state: &SessionState,
        reference: &TableReference,
        author: Author,
    ) -> Result<Option<String>, Failure> {
        if reference.schema() == Some(SCRATCH_SCHEMA) {
            return match author {
                Author::Pipeline if self.intermediates.contains_key(reference.table()) => Ok(None),
                Author::Pipeline => Err(self.missing(reference)),
                Author::User => Err(statement::forbidden(&format!("intermediate results ({reference})"))),
            };
        }
        let is_of_files = reference.schema().is_none_or(|schema| schema == FILES_SCHEMA)
            && reference.catalog().is_none_or(|catalog| catalog == CATALOG);
        let Some(name) = self.tables.find(reference.table()).filter(|_| is_of_files) else {
            let is_function = reference.schema().is_none() && state.table_functions().contains_key(reference.table());
            return if is_function { Ok(None) } else { Err(self.missing(reference)) };
        };
        let registered = TableReference::full(CATALOG, FILES_SCHEMA, reference.table());
        if self.context.table_exist(registered.clone()).map_err(|error| self.failure(&error))? {
            self.tables.check(name)?;
            return Ok(Some(name.to_owned()));
        }
        let opened = self.tables.open(name, &self.context).await?;
        self.tables.check(name)?;
        self.context.register_table(registered, opened.provider.clone()).map_err(|error| self.failure(&error))?;
        Ok(Some(name.to_owned()))
    }

    fn missing(&self, reference: &TableReference) -> Failure {
        self.tables.missing(reference)
    }

    /// Makes a result the table of this name, in place of an earlier one; gives the number of its rows.
    async fn keep(&mut self, name: &str, written: Intermediate) -> Result<u64, DataFusionError> {
        let table = written.table(&self.context.state()).await?;
        let reference = TableReference::full(CATALOG, SCRATCH_SCHEMA, name);
        self.context.deregister_table(reference.clone())?;
        self.context.register_table(reference, table)?;
        let rows = written.rows;
        self.intermediates.insert(name.to_owned(), written);
        Ok(rows)
    }

    async fn plan(&self, state: &SessionState, query: &Query) -> Result<LogicalPlan, DataFusionError> {
        state.statement_to_plan(query.statement().clone()).await
    }

    async fn frame(&self, query: &Query, joins: Joins) -> Result<DataFrame, DataFusionError> {
        let state = self.state(joins)?;
        let plan = self.plan(&state, query).await?;
        Ok(DataFrame::new(state, plan))
    }

    fn state(&self, joins: Joins) -> Result<SessionState, DataFusionError> {
        let mut state = self.context.state();
        match joins {
            Joins::Grouped => {
                let first: Arc<dyn PhysicalOptimizerRule + Send + Sync> = Arc::new(GroupJoins);
                let rules = std::iter::once(first).chain(state.physical_optimizers().iter().cloned()).collect();
                state = SessionStateBuilder::new_from_existing(state).with_physical_optimizer_rules(rules).build();
            }
            Joins::Hash => {}
            Joins::SortMerge => {
                let options = state.config_mut().options_mut();
                options.optimizer.prefer_hash_join = false;
                // Merging spilled runs holds a batch of each, so smaller ones let more be merged at once.
                options.execution.batch_size = ConfigNonZeroUsize::try_new(SPILLING_BATCH_ROWS)?;
            }
        }
        Ok(state)
    }

    /// The rows of a query, stopping as soon as there are more than `row_limit`.
    async fn collect(&self, query: &Query, joins: Joins, row_limit: usize) -> Result<Table, DataFusionError> {
        let mut stream = self.frame(query, joins).await?.execute_stream().await?;
        let mut table = Table { columns: cells::names(&stream.schema()), rows: Vec::new() };
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            let wanted = (row_limit + 1).saturating_sub(table.rows.len()).min(batch.num_rows());
            table.rows.extend(cells::rows(&batch.slice(0, wanted))?);
            if table.rows.len() > row_limit {
                break;
            }
        }
        Ok(table)
    }

    async fn write(&self, query: &Query, joins: Joins, stem: &Path) -> Result<Intermediate, DataFusionError> {
        let frame = self.frame(query, joins).await?;
        let context = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await?;
        let streams = match plan.output_partitioning().partition_count() <= PARTITIONS {
            true => execute_stream_partitioned(plan, context)?,
            false => vec![execute_stream(plan, context)?],
        };
        Intermediate::write(streams, stem).await
    }

    fn failure(&self, error: &DataFusionError) -> Failure {
        failure(error, self.memory_limit_bytes)
    }
}

fn context(memory_limit_bytes: u64, spill: &Path) -> Result<SessionContext, DataFusionError> {
    const CONSUMERS_NAMED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(2);
    // Half is for what the engine does not count: buffers of readers and writers, batches on their way.
    let limit = usize::try_from(memory_limit_bytes / 2).unwrap_or(usize::MAX);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(TrackConsumersPool::new(FairSpillPool::new(limit), CONSUMERS_NAMED)))
        .with_temp_file_path(spill)
        .build_arc()?;
    let mut config = SessionConfig::new()
        .with_target_partitions(PARTITIONS)
        .with_information_schema(false)
        .with_default_catalog_and_schema(CATALOG, FILES_SCHEMA);
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".to_owned());
    options.sql_parser.collect_spans = true;
    let context = SessionContext::new_with_config_rt(config, runtime);
    if let Some(catalog) = context.catalog(CATALOG) {
        catalog.register_schema(SCRATCH_SCHEMA, Arc::new(MemorySchemaProvider::new()))?;
    }
    context.register_udaf(AggregateUDF::from(sum::ExactSumFunction::default()));
    context.register_udaf(AggregateUDF::from(tally::TallyFunction::default()));
    context.register_udaf(AggregateUDF::from(quantile::QuantileFunction::default()));
    context.register_udf(ScalarUDF::from(finite::FiniteFunction::default()));
    context.register_udaf(AggregateUDF::from(checked_sum::CheckedSum::default()));
    context.add_analyzer_rule(Arc::new(rewriting::Rewriting::default()));
    Ok(context)
}

fn listing_url(path: &Path) -> Result<ListingTableUrl, DataFusionError> {
    let url = url::Url::from_file_path(path)
        .map_err(|()| DataFusionError::Plan(format!("{} is not an absolute path", path.display())))?;
    ListingTableUrl::try_new(url, None)
}
