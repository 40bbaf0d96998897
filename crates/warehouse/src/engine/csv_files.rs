//! Reads the files of a text table: shared out in stretches among threads, each value as its column's type, and only as long
//! as a file is the one that was scanned.

use super::arrays::ReadAs;
use crate::reading::{Identity, Records, Start, TextFile};
use crate::{ErrorKind, Failure};
use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use std::collections::VecDeque;
use std::sync::Arc;

/// A file, what was found in it, and where the table's columns stand in it.
#[derive(Debug)]
pub struct Found {
    pub file: TextFile,
    pub identity: Identity,
    pub starts: Vec<Start>,
    /// The names of its columns, as its header gives them.
    pub header: Vec<String>,
    pub columns: Vec<Place>,
}

/// Where a column of the table is found.
#[derive(Clone, Debug)]
pub enum Place {
    InFile(usize),
    /// In the name of a folder: one value for all rows.
    Above(Option<String>),
}

#[derive(Debug)]
pub struct Files {
    pub files: Vec<Found>,
    pub schema: SchemaRef,
    pub types: Vec<ReadAs>,
}

/// A piece of a file that is read in one go.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    file: usize,
    start: Start,
    end: Option<u64>,
}

impl Files {
    /// All stretches, in order, in as many parts of about the same size as there are to be.
    pub fn shared_out(&self, parts: usize) -> Vec<VecDeque<Stretch>> {
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
pub struct Part {
    pub files: Arc<Files>,
    pub projection: Vec<usize>,
    pub schema: SchemaRef,
    pub stretches: VecDeque<Stretch>,
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
