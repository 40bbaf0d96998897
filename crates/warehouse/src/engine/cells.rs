//! Arrow's arrays as cells, and its types as ours.

use crate::{Cell, Column, ColumnType};
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{
    DataType, Fields, Float64Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType, UInt64Type,
};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;

pub fn names(schema: &Schema) -> Vec<String> {
    schema.fields().iter().map(|field| field.name().clone()).collect()
}

pub fn columns(fields: &Fields) -> Vec<Column> {
    fields.iter().map(|field| Column { name: field.name().clone(), kind: column_type(field.data_type()) }).collect()
}

fn column_type(data_type: &DataType) -> ColumnType {
    match data_type {
        DataType::Boolean => ColumnType::Bool,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => ColumnType::Float,
        other if other.is_integer() => ColumnType::Int,
        other if other.is_decimal() => ColumnType::Decimal,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnType::Text,
        DataType::Date32 | DataType::Date64 => ColumnType::Date,
        DataType::Timestamp(_, _) => ColumnType::Timestamp,
        DataType::Dictionary(_, values) => column_type(values),
        _ => ColumnType::Other,
    }
}

/// The rows of a batch. A column that no cell can hold is an error that names it.
pub fn rows(batch: &RecordBatch) -> Result<Vec<Vec<Cell>>, DataFusionError> {
    let schema = batch.schema();
    let columns: Vec<Vec<Cell>> = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, array)| {
            cells(array).map_err(|error| error.context(format!("column {:?} cannot be read; cast it", field.name())))
        })
        .collect::<Result<_, _>>()?;
    let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
    let row = |_| columns.iter_mut().map(|column| column.next().unwrap_or(Cell::Null)).collect();
    Ok((0..batch.num_rows()).map(row).collect())
}

fn cells(array: &ArrayRef) -> Result<Vec<Cell>, DataFusionError> {
    let cast = |to: &DataType| cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() });
    Ok(match array.data_type() {
        DataType::Null => vec![Cell::Null; array.len()],
        DataType::Boolean => filled(array.as_boolean().iter(), Cell::Bool),
        DataType::UInt64 => filled(array.as_primitive::<UInt64Type>().iter(), |value| {
            i64::try_from(value).map_or(Cell::Float(value as f64), Cell::Int)
        }),
        other if other.is_integer() => filled(cast(&DataType::Int64)?.as_primitive::<Int64Type>().iter(), Cell::Int),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            filled(cast(&DataType::Float64)?.as_primitive::<Float64Type>().iter(), Cell::Float)
        }
        // By way of text, as only that rounds once.
        other if other.is_decimal() => filled(cast(&DataType::Utf8)?.as_string::<i32>().iter(), |text| {
            text.parse().map_or_else(|_| Cell::Text(text.to_owned()), Cell::Float)
        }),
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => {
            let micros = cast(&DataType::Timestamp(TimeUnit::Microsecond, None))?;
            filled(micros.as_primitive::<TimestampMicrosecondType>().iter(), Cell::Timestamp)
        }
        DataType::Dictionary(_, values) => cells(&cast(values)?)?,
        _ => filled(cast(&DataType::Utf8)?.as_string::<i32>().iter(), |text| Cell::Text(text.to_owned())),
    })
}

fn filled<T>(values: impl Iterator<Item = Option<T>>, cell: impl Fn(T) -> Cell) -> Vec<Cell> {
    values.map(|value| value.map_or(Cell::Null, &cell)).collect()
}
