//! A table of text files: what the scans of its files come to, columns by name and types that hold over all of them.

use super::arrays::ReadAs;
use super::csv_files::{Files, Found, Part, Place};
use crate::files::FilePart;
use crate::reading::{Evidence, Scan, TextFile};
use crate::{ErrorKind, Failure, TableSettings};
use async_trait::async_trait;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use std::sync::Arc;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SaidType;
    use crate::files::{FileFormat, Packing};
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::{SessionConfig, SessionContext};
    use std::path::Path;

    const ROWS: usize = 500;

    /// A file of many stretches, as these are short in tests, with line breaks in its values.
    fn table(path: &Path, settings: &TableSettings) -> CsvTable {
        let format = FileFormat::Csv { separator: b',', packing: Packing::None };
        let part = FilePart { path: path.to_owned(), name: "facts.csv".into(), format, partition: Vec::new() };
        let file =
            TextFile { path: path.to_owned(), name: "facts.csv".into(), separator: b',', packing: Packing::None };
        let scan = Scan::of(&file).unwrap();
        assert!(scan.starts.len() > 20, "{:?}", scan.starts);
        CsvTable::of(vec![(part, file, scan)], settings).unwrap()
    }

    fn written(folder: &Path, last: &str) -> std::path::PathBuf {
        let mut text = "n,note,id\n".to_owned();
        (0..ROWS).for_each(|row| text.push_str(&format!("{row},\"a\n\"\"{row}\"\"\",{}\n", row % 7)));
        text.push_str(last);
        let path = folder.join("facts.csv");
        std::fs::write(&path, text).unwrap();
        path
    }

    async fn asked(table: CsvTable, sql: &str) -> Result<String> {
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(3));
        context.register_table("facts", Arc::new(table))?;
        Ok(pretty_format_batches(&context.sql(sql).await?.collect().await?)?.to_string())
    }

    #[tokio::test]
    async fn a_file_that_is_read_in_parts_gives_every_row_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), "");
        let sql = "SELECT count(*), count(DISTINCT n), sum(n), count(*) FILTER (WHERE note = concat('a\n\"', n, '\"')) AS whole FROM facts";
        let found = asked(table(&path, &TableSettings::default()), sql).await.unwrap();
        let row = found.lines().nth(3).unwrap();
        let numbers: Vec<&str> = row.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect();
        assert_eq!(numbers, ["500", "500", "124750", "500"]);
        let found = asked(table(&path, &TableSettings::default()), "SELECT id FROM facts LIMIT 3").await.unwrap();
        assert_eq!(found.lines().count(), 7, "{found}");
    }

    #[tokio::test]
    async fn rows_and_lines_are_counted_from_the_start_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), "x,,1\n");
        let settings = TableSettings { columns: [("n".to_owned(), SaidType::Int)].into() };
        let error = asked(table(&path, &settings), "SELECT sum(n) FROM facts").await.unwrap_err().to_string();
        assert!(error.contains("row 501 (line 1002)"), "{error}");
    }

    #[tokio::test]
    async fn a_file_that_was_changed_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let table = table(&written(folder.path(), ""), &TableSettings::default());
        written(folder.path(), "1,,1\n");
        let error = asked(table, "SELECT count(*) FROM facts").await.unwrap_err().to_string();
        assert!(error.contains("facts.csv") && error.contains("it was changed"), "{error}");
    }
}
