//! Brings a database's schema up to date, one numbered file after the other, each in a transaction of its own.

use crate::params;
use crate::store::{Dialect, StoreError, Tx, query_one};

struct Migration {
    version: i64,
    sqlite: &'static str,
    postgres: &'static str,
}

/// Found by the build in the folder `migrations`.
const MIGRATIONS: &[Migration] = include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// The version of the schema that this program makes.
pub fn newest() -> i64 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

/// `run_script` runs several statements at once on the connection of the `Tx`.
pub fn bring_up_to_date<T: Tx>(
    tx: &mut T,
    run_script: impl Fn(&mut T, &str) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    run_script(tx, "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT NOT NULL PRIMARY KEY)")?;
    let sql = "SELECT COALESCE(MAX(version), 0) AS version FROM schema_migrations";
    let current = query_one(tx, "schema_migrations", sql, &[], |row| row.get("version"))?.unwrap_or(0);
    let newest = newest();
    if current > newest {
        return Err(StoreError::Failed(format!(
            "the database has schema version {current}, this program knows up to {newest}; start it with the newer program that made it"
        )));
    }
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > current) {
        let script = match tx.dialect() {
            Dialect::Sqlite => migration.sqlite,
            Dialect::Postgres => migration.postgres,
        };
        run_script(tx, "BEGIN")?;
        let applied = run_script(tx, script).and_then(|()| {
            tx.execute("INSERT INTO schema_migrations (version) VALUES ($1)", params![migration.version])
        });
        run_script(tx, if applied.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        applied?;
    }
    Ok(())
}
