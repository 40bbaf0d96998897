//! Intermediate results, as files of ours. Each part of a query writes its own, so that no thread waits for another's.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};
use futures::StreamExt;
use tokio::task::JoinSet;

use super::listing_url;

/// Small row groups bound the memory of the writers, which the engine does not count.
const ROW_GROUP_ROWS: usize = 64 * 1024;

/// The files of one result. They go when it does.
#[derive(Default)]
pub struct Intermediate {
    files: Vec<PathBuf>,
    pub rows: u64,
}

impl Drop for Intermediate {
    fn drop(&mut self) {
        // Should one stay, it goes with the scratch folder.
        self.files.iter().for_each(|file| drop(std::fs::remove_file(file)));
    }
}

impl Intermediate {
    /// Writes each stream to a file, whose names begin with `stem`.
    pub async fn write(streams: Vec<SendableRecordBatchStream>, stem: &Path) -> Result<Self> {
        let mut written = Intermediate::default();
        let mut parts = JoinSet::new();
        for (part, stream) in (0..).zip(streams) {
            let file: PathBuf = stem.with_added_extension(format!("{part}.parquet"));
            written.files.push(file.clone());
            parts.spawn(write_part(stream, file));
        }
        while let Some(part) = parts.join_next().await {
            let rows = part.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error))).flatten();
            match rows {
                Ok(rows) => written.rows += rows,
                Err(error) => {
                    // What they hold is gone before the query is tried another way.
                    parts.shutdown().await;
                    return Err(error);
                }
            }
        }
        Ok(written)
    }

    pub async fn table(&self, state: &SessionState) -> Result<Arc<ListingTable>> {
        let places = self.files.iter().map(|file| listing_url(file)).collect::<Result<_>>()?;
        let options = ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension("");
        let config = ListingTableConfig::new_with_multi_paths(places).with_listing_options(options);
        Ok(Arc::new(ListingTable::try_new(config.infer_schema(state).await?)?))
    }
}

async fn write_part(mut rows: SendableRecordBatchStream, file: PathBuf) -> Result<u64> {
    // Read once or twice and whole, soon, and then gone: compression, dictionaries and statistics cost more than they save.
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build();
    let mut writer = ArrowWriter::try_new(File::create(file)?, rows.schema(), Some(properties))?;
    let mut written = 0;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        written += batch.num_rows() as u64;
        writer.write(&batch)?;
    }
    writer.close()?;
    Ok(written)
}
