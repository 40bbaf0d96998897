//! A table of Parquet files, read by the engine's own reader: their footers are looked at here, so that all files of a folder
//! have the same columns, and the names of folders add theirs.

use super::arrays::ReadAs;
use super::csv_table::partition_columns;
use super::listing_url;
use crate::files::FilePart;
use crate::{ErrorKind, Failure, SaidType};
use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::scalar::ScalarValue;
use std::borrow::Cow;
use std::fs::File;
use std::sync::Arc;

#[derive(Debug)]
pub struct ParquetTable {
    schema: TableSchema,
    files: Vec<PartitionedFile>,
    rows: usize,
    /// What each column's type was chosen by.
    pub why: Vec<String>,
}

impl ParquetTable {
    pub fn of(parts: &[FilePart]) -> std::result::Result<ParquetTable, Failure> {
        let partitions = partition_columns(parts.iter())?;
        let types: Vec<ReadAs> = partitions.iter().map(|(_, evidence)| ReadAs::Found(evidence.kind())).collect();
        let mut schema: Option<SchemaRef> = None;
        let (mut files, mut rows) = (Vec::with_capacity(parts.len()), 0);
        for part in parts {
            let (found, count, size) = footer(part)?;
            match &schema {
                None => schema = Some(found),
                Some(first) => same_columns(first, &found, &parts[0].name, &part.name)?,
            }
            rows += count;
            let mut file = PartitionedFile::new("", size);
            let url = listing_url(&part.path).map_err(|error| failure(part, &error.strip_backtrace()))?;
            file.object_meta.location = url.prefix().clone();
            for ((name, _), read_as) in partitions.iter().zip(&types) {
                let value = part.partition.iter().find(|(key, _)| key == name).and_then(|(_, value)| value.clone());
                file.partition_values.push(constant(*read_as, value).map_err(|what| failure(part, &what))?);
            }
            files.push(file);
        }
        let schema = schema.unwrap_or_else(|| Arc::new(Schema::empty()));
        if let Some((twice, _)) = partitions.iter().find(|(name, _)| schema.index_of(name).is_ok()) {
            let what =
                format!("it has a column {twice:?}, and so has the name of a folder above it: rename one of them");
            return Err(failure(&parts[0], &what));
        }
        let mut why = vec!["as the file says".to_owned(); schema.fields().len()];
        why.extend(partitions.iter().map(|(_, evidence)| evidence.why()));
        let of_folders: Vec<FieldRef> =
            partitions.iter().zip(&types).map(|((name, _), read_as)| Arc::new(read_as.field(name))).collect();
        Ok(ParquetTable {
            schema: TableSchema::builder(schema).with_table_partition_cols(of_folders).build(),
            files,
            rows,
            why,
        })
    }
}

/// The columns of a file, its rows and its size.
fn footer(part: &FilePart) -> std::result::Result<(SchemaRef, usize, u64), Failure> {
    let file = File::open(&part.path).map_err(|error| failure(part, &format!("{error}: check its permissions")))?;
    let size = file.metadata().map_err(|error| failure(part, &error.to_string()))?.len();
    if size == 0 {
        return Err(failure(part, "it is empty: write it again, or move it away"));
    }
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
        .map_err(|error| failure(part, &format!("{error}: is it complete, and of Parquet?")))?;
    let rows = metadata.metadata().file_metadata().num_rows();
    let fields: Vec<Field> = metadata.schema().fields().iter().map(|field| as_view(field)).collect();
    if fields.is_empty() {
        return Err(failure(part, "it has no columns"));
    }
    Ok((Arc::new(Schema::new(fields)), usize::try_from(rows).unwrap_or_default(), size))
}

/// Texts as the engine reads them fastest.
fn as_view(field: &Field) -> Field {
    let data_type = match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        other => other.clone(),
    };
    Field::new(field.name(), data_type, true)
}

fn same_columns(one: &Schema, other: &Schema, first: &str, file: &str) -> std::result::Result<(), Failure> {
    let names = |schema: &Schema| schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    let differs = |what: String| {
        let advice = "the files of a folder have the same columns, of the same types; write one of them again, or move it to \
                      a folder of its own";
        Err(Failure::of(ErrorKind::File, format!("{what}: {advice}")))
    };
    let (mine, theirs) = (names(one), names(other));
    if mine.len() != theirs.len() || !mine.iter().all(|name| theirs.contains(name)) {
        return differs(format!("{file:?} has the columns {theirs:?}, but {first:?} has {mine:?}"));
    }
    for field in one.fields() {
        let Ok(theirs) = other.field_with_name(field.name()) else { continue };
        if theirs.data_type() != field.data_type() {
            let (mine, theirs) = (field.data_type(), theirs.data_type());
            return differs(format!("{:?} is {theirs} in {file:?}, but {mine} in {first:?}", field.name()));
        }
    }
    Ok(())
}

fn constant(read_as: ReadAs, value: Option<String>) -> std::result::Result<ScalarValue, String> {
    let array = read_as.array(std::iter::once(Cow::Owned(value.unwrap_or_default())), 1);
    let array = array.map_err(|(_, value)| format!("its folder's value {value:?} cannot be read"))?;
    ScalarValue::try_from_array(&array, 0).map_err(|error| error.to_string())
}

fn failure(part: &FilePart, what: &str) -> Failure {
    Failure::of(ErrorKind::File, format!("{:?} cannot be read as a table: {what}", part.name))
}

#[async_trait]
impl TableProvider for ParquetTable {
    fn schema(&self) -> SchemaRef {
        self.schema.table_schema().clone()
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
        let options = state.config_options().execution.parquet.clone();
        let options = datafusion::common::config::TableParquetOptions { global: options, ..Default::default() };
        let source = ParquetSource::new(self.schema.clone()).with_table_parquet_options(options);
        let groups = FileGroup::new(self.files.clone()).split_files(state.config().target_partitions());
        let statistics = Statistics::new_unknown(self.schema.table_schema()).with_num_rows(Precision::Exact(self.rows));
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

/// Whether a column of a file may be said to be something else: where that loses nothing.
pub fn may_become(data_type: &DataType, said: SaidType) -> bool {
    let is_text = matches!(data_type, DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8);
    let is_number = data_type.is_integer() || data_type.is_floating() || data_type.is_decimal();
    let is_date = matches!(data_type, DataType::Date32 | DataType::Date64);
    match said {
        SaidType::Text => true,
        SaidType::Int => is_text || data_type.is_integer(),
        SaidType::Float => is_text || is_number,
        SaidType::Bool => is_text || *data_type == DataType::Boolean,
        SaidType::Date => is_text || is_date,
        SaidType::Timestamp => is_text || is_date || matches!(data_type, DataType::Timestamp(_, _)),
    }
}
