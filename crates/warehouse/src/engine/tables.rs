//! The tables of a warehouse's folder as the engine knows them: opened when they are first named, and looked at again with
//! every query, so that no query reads a file that has been changed since its types were found.

use super::csv_table::CsvTable;
use super::failure::failure;
use super::parquet_table::{ParquetTable, may_become};
use super::{PARTITIONS, cells};
use crate::files::{FileFormat, FilePart, FileTables};
use crate::reading::{Identity, Memory, Scan, TextFile, scan};
use crate::{ErrorKind, Failure, SaidType, TableColumn, TableInfo, TableSettings};
use datafusion::arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::logical_expr::{Expr, cast, ident};
use datafusion::prelude::SessionContext;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub struct Tables {
    files: FileTables,
    settings: BTreeMap<String, TableSettings>,
    memory: Option<Memory>,
    opened: Mutex<HashMap<String, Arc<Opened>>>,
}

/// A table that was opened: what reads it, and which files it was made of.
pub struct Opened {
    pub provider: Arc<dyn TableProvider>,
    pub why: Vec<String>,
    parts: Vec<(FilePart, Identity)>,
}

impl Tables {
    pub fn of(files: FileTables, settings: BTreeMap<String, TableSettings>, memory: Option<Memory>) -> Tables {
        Tables { files, settings, memory, opened: Mutex::default() }
    }

    /// The table behind a name: spelled exactly, or the only one that differs in case alone, as SQL folds unquoted names.
    pub fn find(&self, name: &str) -> Option<&str> {
        if let Some(exact) = self.files.names().find(|other| *other == name) {
            return Some(exact);
        }
        let mut alike = self.files.names().filter(|other| other.eq_ignore_ascii_case(name));
        alike.next().filter(|_| alike.next().is_none())
    }

    pub fn missing(&self, reference: &TableReference) -> Failure {
        let known: Vec<&str> = self.files.names().take(50).collect();
        let there = self.files.no_table(reference.table()).map_or_else(String::new, |there| format!("; {there}"));
        let message = format!(
            "there is no table {reference}; the tables are {known:?}: a file that ends in {}, or a folder of such files, is a \
             table named by its stem{there} (quote names with other than lower-case letters, digits and `_`)",
            crate::files::READ
        );
        Failure::of(ErrorKind::MissingTable, message)
    }

    /// All tables, with their columns or why those cannot be read.
    pub async fn list(&self, context: &SessionContext) -> Vec<TableInfo> {
        let mut tables = Vec::new();
        for name in self.files.names() {
            let Some(table) = self.files.get(name) else { continue };
            let mut info = TableInfo {
                name: name.to_owned(),
                file: table.file.clone(),
                files: 0,
                columns: Vec::new(),
                error: None,
            };
            match self.open(name, context).await {
                Ok(opened) => {
                    let columns = cells::columns(opened.provider.schema().fields()).into_iter().zip(&opened.why);
                    info.files = opened.parts.len() as u64;
                    let column = |(column, why): (crate::Column, &String)| TableColumn {
                        name: column.name,
                        kind: column.kind,
                        why: why.clone(),
                    };
                    info.columns = columns.map(column).collect();
                }
                Err(failure) => info.error = Some(failure.message),
            }
            tables.push(info);
        }
        tables
    }

    /// A table that was opened.
    pub fn opened(&self, name: &str) -> Option<Arc<Opened>> {
        self.lock().get(name).cloned()
    }

    /// Opens the table `name`, which is one of the folder's, once.
    pub async fn open(&self, name: &str, context: &SessionContext) -> Result<Arc<Opened>, Failure> {
        if let Some(known) = self.opened(name) {
            return Ok(known);
        }
        let parts = self.parts(name)?;
        let opened = Arc::new(self.open_parts(name, parts, context).await?);
        self.lock().insert(name.to_owned(), opened.clone());
        Ok(opened)
    }

    /// Refuses a table that was opened and whose files are not the same any more.
    pub fn check(&self, name: &str) -> Result<(), Failure> {
        let Some(opened) = self.opened(name) else { return Ok(()) };
        let now = self.parts(name)?;
        let differs = |what: String| {
            Err(Failure::of(ErrorKind::File, format!("{what} while it was in use: run again once it is complete")))
        };
        if let Some(new) = now.iter().find(|part| !opened.parts.iter().any(|(known, _)| known == *part)) {
            return differs(format!("{:?} was added to the table {name:?}", new.name));
        }
        for (part, identity) in &opened.parts {
            if !now.contains(part) {
                return differs(format!("{:?} was removed from the table {name:?}", part.name));
            }
            if identity_of(part)? != *identity {
                return differs(format!("{:?} was changed", part.name));
            }
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Opened>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parts(&self, name: &str) -> Result<Vec<FilePart>, Failure> {
        let table = self.files.get(name);
        let table = table.ok_or_else(|| Failure::of(ErrorKind::MissingTable, format!("there is no table {name:?}")))?;
        self.files.parts(table)
    }

    async fn open_parts(&self, name: &str, parts: Vec<FilePart>, context: &SessionContext) -> Result<Opened, Failure> {
        let nothing = TableSettings::default();
        let settings = self.settings.get(name).unwrap_or(&nothing);
        let identities: Vec<Identity> = parts.iter().map(identity_of).collect::<Result<_, _>>()?;
        let identified = parts.iter().cloned().zip(identities).collect();
        let is_parquet = parts.first().is_some_and(|part| part.format == FileFormat::Parquet);
        let (provider, why): (Arc<dyn TableProvider>, _) = if is_parquet {
            let table = ParquetTable::of(&parts)?;
            let mut why = table.why.clone();
            check_names(settings, &table.schema(), name)?;
            (said(Arc::new(table), settings, &mut why, context)?, why)
        } else {
            let table = CsvTable::of(scan_all(&parts, self.memory.as_ref())?, settings)?;
            check_names(settings, &table.schema(), name)?;
            let why = table.why.clone();
            (Arc::new(table), why)
        };
        Ok(Opened { provider, why, parts: identified })
    }
}

fn identity_of(part: &FilePart) -> Result<Identity, Failure> {
    let metadata = std::fs::metadata(&part.path);
    let unreadable = |error| Failure::of(ErrorKind::File, format!("{:?}: {error}; check the file", part.name));
    metadata.map(|metadata| Identity::of(&metadata)).map_err(unreadable)
}

fn check_names(settings: &TableSettings, schema: &SchemaRef, table: &str) -> Result<(), Failure> {
    match settings.columns.keys().find(|name| schema.index_of(name).is_err()) {
        None => Ok(()),
        Some(name) => {
            let known: Vec<&str> = schema.fields().iter().take(100).map(|field| field.name().as_str()).collect();
            let message = format!(
                "the warehouse's `tables` speaks of a column {name:?} of {table:?}, which has none of that name; its columns \
                 are {known:?}: name one of them, or leave it out"
            );
            Err(Failure::of(ErrorKind::File, message))
        }
    }
}

/// A table with the columns cast of which the warehouse's author has said so.
fn said(
    table: Arc<ParquetTable>,
    settings: &TableSettings,
    why: &mut [String],
    context: &SessionContext,
) -> Result<Arc<dyn TableProvider>, Failure> {
    if settings.columns.is_empty() {
        return Ok(table);
    }
    let schema = table.schema();
    let mut columns: Vec<Expr> = Vec::new();
    for (index, field) in schema.fields().iter().enumerate() {
        let Some(said) = settings.columns.get(field.name()) else {
            columns.push(ident(field.name()));
            continue;
        };
        if !may_become(field.data_type(), *said) {
            let message = format!(
                "the warehouse's `tables` says that column {:?} is {}, but its files hold {}: leave it out there, and cast it \
                 in the SQL",
                field.name(),
                said.name(),
                field.data_type()
            );
            return Err(Failure::of(ErrorKind::File, message));
        }
        why[index] = format!("{}: said by the warehouse's `tables`", said.name());
        columns.push(cast(ident(field.name()), data_type(*said)).alias(field.name()));
    }
    let view = context.read_table(table).and_then(|frame| frame.select(columns));
    Ok(view.map_err(|error| failure(&error, 0))?.into_view())
}

fn data_type(said: SaidType) -> DataType {
    match said {
        SaidType::Text => DataType::Utf8View,
        SaidType::Int => DataType::Int64,
        SaidType::Float => DataType::Float64,
        SaidType::Bool => DataType::Boolean,
        SaidType::Date => DataType::Date32,
        SaidType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
    }
}

/// Scans the files of a table, some at the same time.
fn scan_all(parts: &[FilePart], memory: Option<&Memory>) -> Result<Vec<(FilePart, TextFile, Scan)>, Failure> {
    let next = AtomicUsize::new(0);
    let scan_some = || {
        let mut scanned = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = parts.get(index) else { return scanned };
            let FileFormat::Csv { separator, packing } = part.format else { continue };
            let file = TextFile { path: part.path.clone(), name: part.name.clone(), separator, packing };
            let scan = scan(&file, memory);
            scanned.push((index, file, scan));
        }
    };
    let mut scanned = std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..PARTITIONS.min(parts.len())).map(|_| scope.spawn(scan_some)).collect();
        let mut scanned = scan_some();
        helpers.into_iter().for_each(|helper| scanned.extend(helper.join().unwrap_or_default()));
        scanned
    });
    scanned.sort_by_key(|(index, _, _)| *index);
    if scanned.len() != parts.len() {
        return Err(Failure::of(ErrorKind::Internal, "a thread that looks at files has failed"));
    }
    let mut found = Vec::with_capacity(scanned.len());
    for ((_, file, scan), part) in scanned.into_iter().zip(parts) {
        let unreadable =
            |what| Failure::of(ErrorKind::File, format!("{:?} cannot be read as a table: {what}", part.name));
        found.push((part.clone(), file, scan.map_err(unreadable)?));
    }
    Ok(found)
}
