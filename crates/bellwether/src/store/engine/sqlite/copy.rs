//! Copies of the embedded database: one made of a database in use, whole as of one moment; and the look at one before it is
//! put back.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use url::Url;

use super::tx::sort_error;
use crate::store::StoreError;
use crate::store::engine::migrate;

/// What is known of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    pub schema_version: i64,
    /// Which key its secrets were encrypted with, if it has any.
    pub secret_key_name: Option<String>,
}

/// Writes `database` into `to`, which must not be there, and looks at what was written. Nobody who uses the database waits.
/// `key_setting` is the setting that names the key.
pub fn make(database: &Path, to: &Path, key_setting: &str) -> Result<Copy, StoreError> {
    let connection = open(database)?;
    let target = to.to_str().ok_or_else(|| StoreError::Failed("the name of the copy is no text".to_owned()))?;
    connection.execute("VACUUM INTO ?1", [target]).map_err(sort_error)?;
    look(to, key_setting)
}

/// Reads a copy through, whether it is one of ours and whole.
pub fn look(copy: &Path, key_setting: &str) -> Result<Copy, StoreError> {
    let connection = open(copy)?;
    let failed = |reason: String| StoreError::Failed(format!("{}: {reason}", copy.display()));
    let verdict: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(sort_error)?;
    if verdict != "ok" {
        return Err(failed(format!("it is damaged: {verdict}")));
    }
    let sql = "SELECT COALESCE(MAX(version), 0) FROM schema_migrations";
    let version = connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let schema_version = version.map_err(|_| failed("it is no database of Bellwether".to_owned()))?;
    let newest = migrate::newest();
    if schema_version > newest {
        return Err(failed(format!(
            "its schema has version {schema_version}, this program knows up to {newest}; take the newer program"
        )));
    }
    let sql = "SELECT value FROM settings WHERE name = ?1";
    let name = connection.query_row(sql, [key_setting], |row| row.get(0)).optional();
    Ok(Copy { schema_version, secret_key_name: name.map_err(sort_error)? })
}

/// It changes nothing, and makes nothing that is not there.
fn open(path: &Path) -> Result<Connection, StoreError> {
    open_as(path, path, OpenFlags::empty())
}

/// The same, without the log that even a reader makes where none is: without one nobody uses the database.
pub fn open_to_look(path: &Path) -> Result<Connection, StoreError> {
    let log = PathBuf::from(format!("{}-wal", path.display()));
    let mut name = Url::from_file_path(path).map_err(|()| StoreError::Failed("the path is not whole".to_owned()))?;
    if !log.exists() {
        name.set_query(Some("immutable=1"));
    }
    open_as(path, Path::new(name.as_str()), OpenFlags::SQLITE_OPEN_URI)
}

fn open_as(path: &Path, name: &Path, more: OpenFlags) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let connection = Connection::open_with_flags(name, flags).map_err(sort_error);
    let connection = connection.map_err(|error| error.in_file(&path.display().to_string()))?;
    connection.busy_timeout(std::time::Duration::from_secs(10)).map_err(sort_error)?;
    Ok(connection)
}
