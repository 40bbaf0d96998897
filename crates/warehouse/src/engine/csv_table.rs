//! A table of text files: what the scans of its files come to, and reading them in parts at the same time.

use super::arrays::ReadAs;
use crate::files::FilePart;
use crate::reading::{Evidence, Identity, Records, Scan, Start, TextFile};
use crate::{ErrorKind, Failure, TableSettings};
use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use std::collections::VecDeque;
use std::sync::Arc;

/// A file, what was found in it, and where the table's columns stand in it.
#[derive(Debug)]
struct Found {
    file: TextFile,
    identity: Identity,
    starts: Vec<Start>,
    /// The names of its columns, as its header gives them.
    header: Vec<String>,
    columns: Vec<Place>,
}

/// Where a column of the table is found.
#[derive(Clone, Debug)]
enum Place {
    InFile(usize),
    /// In the name of a folder: one value for all rows.
    Above(Option<String>),
}

#[derive(Debug)]
struct Files {
    files: Vec<Found>,
    schema: SchemaRef,
    types: Vec<ReadAs>,
}

#[derive(Debug)]
pub struct CsvTable {
    files: Arc<Files>,
    /// What each column's type was chosen by.
    pub why: Vec<String>,
}

impl CsvTable {
    /// The table of `parts`, which have been scanned.
    pub fn of(
        parts: Vec<(FilePart, TextFile, Scan)>,
        settings: &TableSettings,
    ) -> std::result::Result<CsvTable, Failure> {
        let columns = joined_columns(&parts)?;
        let mut why = Vec::new();
        let mut types = Vec::new();
        let mut fields = Vec::new();
        for (name, evidence) in &columns {
            let said = settings.columns.get(name);
            types.push(said.map_or_else(|| ReadAs::Found(evidence.kind()), |said| ReadAs::Said(*said)));
            why.push(
                said.map_or_else(
                    || evidence.why(),
                    |said| format!("{}: said by the warehouse's `tables`", said.name()),
                ),
            );
            fields.extend(types.last().map(|read_as| read_as.field(name)));
        }
        let found = parts.into_iter().map(|(part, file, scan)| {
            let header: Vec<String> = scan.columns.into_iter().map(|(name, _)| name).collect();
            let above =
                |name: &String| part.partition.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
            let place = |name: &String| match header.iter().position(|other| other == name) {
                Some(index) => Place::InFile(index),
                None => Place::Above(above(name).flatten()),
            };
            let columns = columns.iter().map(|(name, _)| place(name)).collect();
            Found { file, identity: scan.identity, starts: scan.starts, header, columns }
        });
        let files = Files { files: found.collect(), schema: Arc::new(Schema::new(fields)), types };
        Ok(CsvTable { files: Arc::new(files), why })
    }
}

/// The columns of all files, in the first one's order, then those of the folders above; with what all values have shown.
fn joined_columns(parts: &[(FilePart, TextFile, Scan)]) -> std::result::Result<Vec<(String, Evidence)>, Failure> {
    let Some((first, _, scan)) = parts.first() else { return Ok(Vec::new()) };
    let mut columns = scan.columns.clone();
    let is_alone = parts.len() == 1;
    if !is_alone {
        columns = columns.into_iter().map(|(name, evidence)| (name, evidence.in_file(&first.name))).collect();
    }
    for (part, _, scan) in &parts[1..] {
        let names = |columns: &[(String, Evidence)]| columns.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let (mine, theirs) = (names(&columns), names(&scan.columns));
        if mine.len() != theirs.len() || !mine.iter().all(|name| theirs.contains(name)) {
            let message = format!(
                "{:?} has the columns {theirs:?}, but {:?} has {mine:?}: the files of a folder have the same columns, in any \
                 order; mend the header, or move the file to a folder of its own",
                part.name, first.name
            );
            return Err(Failure::of(ErrorKind::File, message));
        }
        for (name, evidence) in &mut columns {
            let other = scan.columns.iter().find(|(other, _)| other == name);
            other.iter().for_each(|(_, other)| evidence.join(other, &part.name));
        }
    }
    columns.extend(partition_columns(parts.iter().map(|(part, _, _)| part))?);
    for (key, _) in &first.partition {
        if columns.iter().filter(|(name, _)| name == key).count() > 1 {
            let message = format!(
                "{:?} has a column {key:?}, and so has the name of a folder above it: rename one of them",
                first.name
            );
            return Err(Failure::of(ErrorKind::File, message));
        }
    }
    Ok(columns)
}

/// The columns that the names of folders add, with what their values have shown.
pub fn partition_columns<'a>(
    parts: impl Iterator<Item = &'a FilePart>,
) -> std::result::Result<Vec<(String, Evidence)>, Failure> {
    let mut columns: Vec<(String, Evidence)> = Vec::new();
    for part in parts {
        for (key, value) in &part.partition {
            let evidence = value.as_deref().map_or_else(Evidence::default, Evidence::of_one);
            match columns.iter_mut().find(|(name, _)| name == key) {
                Some((_, joined)) => joined.join(&evidence, &part.name),
                None => columns.push((key.clone(), evidence.in_file(&part.name))),
            }
        }
    }
    Ok(columns)
}

#[async_trait]
impl TableProvider for CsvTable {
    fn schema(&self) -> SchemaRef {
        self.files.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let projection = projection.cloned().unwrap_or_else(|| (0..self.files.types.len()).collect());
        let schema = Arc::new(self.files.schema.project(&projection)?);
        let streams = self.files.shared_out(state.config().target_partitions()).into_iter().map(|stretches| {
            let (files, projection, schema) = (self.files.clone(), projection.clone(), schema.clone());
            Arc::new(Part { files, projection, schema, stretches }) as Arc<dyn PartitionStream>
        });
        Ok(Arc::new(StreamingTableExec::try_new(schema.clone(), streams.collect(), None, [], false, limit)?))
    }
}

/// A piece of a file that is read in one go.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    file: usize,
    start: Start,
    end: Option<u64>,
}

impl Files {
    /// All stretches, in order, in as many parts of about the same size as there are to be.
    fn shared_out(&self, parts: usize) -> Vec<VecDeque<Stretch>> {
        let mut all = Vec::new();
        for (index, found) in self.files.iter().enumerate() {
            for (place, start) in found.starts.iter().enumerate() {
                let end = found.starts.get(place + 1).map(|next| next.offset);
                let size = end.unwrap_or(found.identity.size).saturating_sub(start.offset);
                all.push((size, Stretch { file: index, start: *start, end }));
            }
        }
        let share = all.iter().map(|(size, _)| size).sum::<u64>() / parts.max(1) as u64 + 1;
        let mut shares: Vec<VecDeque<Stretch>> = vec![VecDeque::new()];
        let mut taken = 0;
        for (size, stretch) in all {
            if taken >= share * shares.len() as u64 && shares.len() < parts {
                shares.push(VecDeque::new());
            }
            taken += size;
            shares.last_mut().into_iter().for_each(|last| last.push_back(stretch));
        }
        shares
    }
}

/// What one thread reads.
#[derive(Debug)]
struct Part {
    files: Arc<Files>,
    projection: Vec<usize>,
    schema: SchemaRef,
    stretches: VecDeque<Stretch>,
}

impl PartitionStream for Part {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut reader = Reader {
            files: self.files.clone(),
            projection: self.projection.clone(),
            schema: self.schema.clone(),
            stretches: self.stretches.clone(),
            current: None,
        };
        // Read where it is asked for: a thread of its own for each file might wait for one that never gets any.
        let batches = std::iter::from_fn(move || reader.next().transpose());
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), futures::stream::iter(batches)))
    }
}

struct Reader {
    files: Arc<Files>,
    projection: Vec<usize>,
    schema: SchemaRef,
    stretches: VecDeque<Stretch>,
    current: Option<(usize, Records)>,
}

impl Reader {
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if self.current.is_none() {
                let Some(stretch) = self.stretches.pop_front() else { return Ok(None) };
                let opened = self.files.files[stretch.file].open(&stretch).map_err(external)?;
                self.current = Some((stretch.file, opened));
            }
            let Some((index, records)) = &mut self.current else { continue };
            let found = &self.files.files[*index];
            let block = records.next_block().map_err(|what| external(found.failure(&what)))?;
            let Some(block) = block else {
                found.is_unchanged().map_err(external)?;
                self.current = None;
                continue;
            };
            let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.projection.len());
            for column in &self.projection {
                let read_as = self.files.types[*column];
                let array = match &found.columns[*column] {
                    Place::InFile(place) => read_as.array(block.column(*place), block.rows()),
                    Place::Above(value) => {
                        let value = value.as_deref().unwrap_or_default();
                        read_as.array(std::iter::repeat_n(value.into(), block.rows()), block.rows())
                    }
                };
                let name = self.files.schema.field(*column).name();
                let misfit = |(row, value): (usize, String)| found.misfit(name, read_as, block.place(row), &value);
                arrays.push(array.map_err(|error| external(misfit(error)))?);
            }
            let options = RecordBatchOptions::new().with_row_count(Some(block.rows()));
            return Ok(Some(RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?));
        }
    }
}

impl Found {
    /// The records of a stretch, if the file is still the one that was scanned.
    fn open(&self, stretch: &Stretch) -> std::result::Result<Records, Failure> {
        let unreadable = |error: std::io::Error| self.failure(&format!("{error}: check its permissions"));
        let (identity, bytes) = self.file.open().map_err(unreadable)?;
        let mut records = Records::of(bytes, self.file.separator).map_err(|what| self.failure(&what))?;
        if identity != self.identity || records.header() != self.header {
            return Err(self.changed());
        }
        let Start { offset, row, line } = stretch.start;
        if row > 1 || stretch.end.is_some() {
            let bytes = self.file.open_between(offset, stretch.end).map_err(unreadable)?;
            records.go_on(bytes, offset, row, line);
        }
        Ok(records)
    }

    fn is_unchanged(&self) -> std::result::Result<(), Failure> {
        match self.file.identity() {
            Ok(identity) if identity == self.identity => Ok(()),
            _ => Err(self.changed()),
        }
    }

    fn changed(&self) -> Failure {
        self.failure("it was changed while it was in use: run again once it is complete")
    }

    fn failure(&self, what: &str) -> Failure {
        Failure::of(ErrorKind::File, format!("{:?} cannot be read as a table: {what}", self.file.name))
    }

    fn misfit(&self, column: &str, read_as: ReadAs, (row, line): (u64, u64), value: &str) -> Failure {
        let ReadAs::Said(said) = read_as else { return self.changed() };
        let shown: String = value.chars().take(60).collect();
        Failure::of(
            ErrorKind::Sql,
            format!(
                "{:?}, row {row} (line {line}): column {column:?} holds {shown:?}, which is no {name}, as the warehouse's \
                 `tables` says of it: mend the value, or say `text` there and use TRY_CAST or NULLIF in the SQL",
                self.file.name,
                name = said.name()
            ),
        )
    }
}

/// A failure of ours on its way through the engine.
fn external(failure: Failure) -> DataFusionError {
    DataFusionError::External(Box::new(failure))
}
