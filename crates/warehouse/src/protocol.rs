//! The words between a session and its worker: one JSON object a line, one answer for each request, in order.
//!
//! Standard input carries [`Setup`] first, then [`Request`]s; standard output carries [`Answer`]s alone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::files::FileTables;
use crate::{Column, Dialect, ErrorKind, Failure, Table, TableInfo, TableSettings};

/// The first line: what the worker works on. It is answered too, so that a wrong path shows at the start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    pub warehouse: WarehouseConfig,
    /// A folder of this session's own for intermediate results and spilled data; made if missing. The caller deletes it
    /// when the session has ended, however it ended.
    pub scratch: PathBuf,
    /// A folder that all sessions share, where is remembered what was found in files; made if missing. Without one, every
    /// session looks at them anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<PathBuf>,
    /// How much memory the worker may take: the engine holds half of it, beyond which it spills to `scratch`, then fails. At
    /// this plus 512 MiB the system stops it.
    pub memory_limit_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum WarehouseConfig {
    /// A folder of CSV and Parquet files, which must lie below one of `roots` once symlinks are followed. `tables` says by
    /// name what their columns are, where the files do not tell.
    Files {
        path: PathBuf,
        roots: Vec<PathBuf>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        tables: BTreeMap<String, TableSettings>,
    },
}

impl WarehouseConfig {
    /// How its engine is spoken to.
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Files { .. } => Dialect::DataFusion,
        }
    }

    /// Whether there is such a warehouse, by a look that costs little. It may take as long as a disk or a server takes.
    pub fn look(&self) -> Result<(), Failure> {
        match self {
            Self::Files { path, roots, tables } => {
                let listed = FileTables::of_folder(path, roots)?;
                match tables.keys().find(|name| listed.get(name).is_none()) {
                    None => Ok(()),
                    Some(name) => {
                        let known: Vec<&str> = listed.names().take(50).collect();
                        let message = format!(
                            "`tables` speaks of {name:?}, but there is no such table; the tables are {known:?}: name one of \
                             them, or leave it out"
                        );
                        Err(Failure::of(ErrorKind::MissingTable, message))
                    }
                }
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Run `sql` and keep the result as `bellwether.<name>`, replacing an earlier one of that name.
    Materialize { name: String, sql: String },
    /// Run `sql` and answer its rows: an error if there are more than `row_limit`, unless `truncate`.
    Query {
        sql: String,
        row_limit: usize,
        #[serde(default)]
        truncate: bool,
    },
    /// The columns `sql` would have, without running it.
    Describe { sql: String },
    /// Whether `sql` is a query that users may write: as `Describe`, and it names no intermediate results.
    Check { sql: String },
    /// The tables that SQL can name, with their columns.
    Tables {},
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Ok(Answered),
    Error(Failure),
}

/// What came of a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// Rows materialized or answered.
    pub rows: u64,
    /// How long the worker took.
    pub duration_us: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Table>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<Column>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<Vec<TableInfo>>,
}
