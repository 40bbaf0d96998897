//! One part of a group join at work: reads all groups, then adds each fact to its group, then gives the groups that have any.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat_batches, take};
use datafusion::arrow::datatypes::{DataType, Int64Type, SchemaRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt, stream};

use super::accumulation::{Accumulated, Accumulation};
use super::index::{ABSENT, Index, Keys};
use super::states::{Int, Layout, States};
use super::{Declined, Work};

pub fn stream(
    work: Arc<Work>,
    groups: SendableRecordBatchStream,
    facts: SendableRecordBatchStream,
    room: MemoryReservation,
    batch_rows: usize,
) -> SendableRecordBatchStream {
    let schema = work.schema.clone();
    let rows = stream::once(async move {
        let done = Arc::new(fill(work, groups, facts, room).await?);
        let batches = (0..done.count).step_by(batch_rows.max(1)).map(move |start| {
            let end = done.count.min(start.saturating_add(batch_rows));
            done.batch(start as u32..end as u32)
        });
        Ok::<_, DataFusionError>(stream::iter(batches))
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, rows.try_flatten()))
}

async fn fill(
    work: Arc<Work>,
    groups: SendableRecordBatchStream,
    mut facts: SendableRecordBatchStream,
    room: MemoryReservation,
) -> Result<Done> {
    let mut part = Part::of(work, read(groups, &room).await?, room)?;
    while let Some(batch) = facts.next().await {
        part.add(&batch?)?;
    }
    part.finish()
}

/// Or else the query is to be run without this operator.
fn reserve(room: &MemoryReservation, bytes: usize) -> Result<()> {
    room.try_resize(bytes).map_err(|_| Declined::Memory.into())
}

/// All rows of the groups' side as one batch.
async fn read(mut groups: SendableRecordBatchStream, room: &MemoryReservation) -> Result<RecordBatch> {
    let (mut batches, mut rows, mut bytes) = (Vec::new(), 0, 0);
    while let Some(batch) = groups.next().await {
        let batch = compact(&batch?)?;
        rows += batch.num_rows();
        bytes += size(&batch)?;
        // For a moment they will be there twice.
        reserve(room, 2 * bytes)?;
        batches.push(batch);
    }
    if rows >= ABSENT as usize {
        return Err(Declined::TooMany.into());
    }
    Ok(concat_batches(&groups.schema(), &batches)?)
}

/// With texts of its own: those of a batch may lie in the buffers of a larger one.
fn compact(batch: &RecordBatch) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(|column| match column.as_string_view_opt() {
        Some(texts) => Arc::new(texts.gc()) as ArrayRef,
        None => column.clone(),
    });
    Ok(RecordBatch::try_new(batch.schema(), columns.collect())?)
}

fn size(batch: &RecordBatch) -> Result<usize> {
    let sizes = batch.columns().iter().map(|column| column.to_data().get_slice_memory_size());
    Ok(sizes.sum::<std::result::Result<usize, _>>()?)
}

/// A column of the groups' side that joined rows need.
enum Carried {
    /// Among the numbers of a group, where they are at hand when its counts and sums are.
    Int(Int),
    Apart(ArrayRef),
}

/// Groups that facts are added to.
struct Part {
    work: Arc<Work>,
    index: Index,
    by: ArrayRef,
    carried: Vec<Carried>,
    states: States,
    accumulation: Accumulation,
    count: usize,
    /// How many facts were added, so that no count is greater.
    added: usize,
    /// All that is held, but for what grows.
    held: usize,
    room: MemoryReservation,
}

impl Part {
    fn of(work: Arc<Work>, groups: RecordBatch, room: MemoryReservation) -> Result<Self> {
        let count = groups.num_rows();
        let keys = work.groups_key.evaluate(&groups)?.into_array(count)?;
        let mut held = size(&groups)?;
        let is_column = work.groups_key.is::<Column>();
        if !is_column || !matches!(keys.data_type(), DataType::Int64 | DataType::Utf8View) {
            held += keys.to_data().get_slice_memory_size()?;
        }
        let index = Index::of(Keys::of(&keys)?, |bytes| {
            held += bytes;
            reserve(&room, held)
        })?;
        let mut layout = Layout::default();
        let places = work.inputs.of_groups.iter().map(|column| {
            let column = groups.column(*column);
            let is_int = *column.data_type() == DataType::Int64 && column.null_count() == 0;
            is_int.then(|| layout.int())
        });
        let places: Vec<_> = places.collect();
        let accumulation = Accumulation::of(&work.aggregates, &groups, &mut layout)?;
        held += layout.bytes(count);
        reserve(&room, held)?;
        let mut states = States::of(&layout, count);
        let carried = work.inputs.of_groups.iter().zip(places).map(|(column, place)| {
            let column = groups.column(*column);
            let Some(place) = place else { return Carried::Apart(column.clone()) };
            states.set_ints(place, column.as_primitive::<Int64Type>().values());
            Carried::Int(place)
        });
        let carried = carried.collect();
        let by = groups.column(work.group).clone();
        Ok(Part { work, index, by, carried, states, accumulation, count, added: 0, held, room })
    }

    fn add(&mut self, facts: &RecordBatch) -> Result<()> {
        let keys = self.work.facts_key.evaluate(facts)?.into_array(facts.num_rows())?;
        let mut groups = self.index.find(&Keys::of(&keys)?);
        let inputs = &self.work.inputs;
        let mut of_facts: Vec<_> = inputs.of_facts.iter().map(|column| facts.column(*column).clone()).collect();
        if groups.contains(&ABSENT) {
            let found: UInt32Array =
                (0..).zip(&groups).filter(|(_, group)| **group != ABSENT).map(|(row, _): (u32, _)| row).collect();
            of_facts =
                of_facts.iter().map(|column| take(column, &found, None)).collect::<std::result::Result<_, _>>()?;
            groups.retain(|group| *group != ABSENT);
        }
        if groups.is_empty() {
            return Ok(());
        }
        self.added += groups.len();
        if self.added > u32::MAX as usize {
            return Err(Declined::TooMany.into());
        }
        let mut columns = Vec::with_capacity(self.carried.len() + of_facts.len());
        for carried in &self.carried {
            columns.push(match carried {
                Carried::Int(place) => self.states.ints(*place, &groups),
                Carried::Apart(column) => take(column, &UInt32Array::from(groups.clone()), None)?,
            });
        }
        columns.extend(of_facts);
        let rows = inputs.evaluate(columns, groups.len())?;
        self.accumulation.add(&self.work.aggregates, &rows, &groups, &mut self.states)?;
        reserve(&self.room, self.held + self.states.promoted_bytes() + self.accumulation.bytes())
    }

    fn finish(self) -> Result<Done> {
        let Part { work, by, states, accumulation, count, added, room, .. } = self;
        // Aggregates that were given nothing may have nothing to give.
        let (count, accumulated) = match added {
            0 => (0, Accumulated::default()),
            _ => (count, accumulation.finish()?),
        };
        Ok(Done { schema: work.schema.clone(), by, states, accumulated, count, _room: room })
    }
}

/// Groups that all facts were added to.
struct Done {
    schema: SchemaRef,
    by: ArrayRef,
    states: States,
    accumulated: Accumulated,
    count: usize,
    _room: MemoryReservation,
}

impl Done {
    /// Those of a range that have facts: a join has no others.
    fn batch(&self, range: std::ops::Range<u32>) -> Result<RecordBatch> {
        let groups: Vec<u32> = range.filter(|group| self.accumulated.has_facts(&self.states, *group)).collect();
        let places = UInt32Array::from(groups);
        let mut columns = vec![take(&self.by, &places, None)?];
        columns.extend(self.accumulated.columns(&self.states, &places)?);
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}
