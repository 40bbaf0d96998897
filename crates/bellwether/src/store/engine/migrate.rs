//! Brings a database's schema up to date, one numbered file after the other, each in a transaction of its own.

use crate::params;
use crate::store::{Dialect, StoreError, Tx, query_one};

struct Migration {
    version: i64,
    sqlite: &'static str,
    postgres: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        sqlite: include_str!("../../../migrations/sqlite/0001_initial.sql"),
        postgres: include_str!("../../../migrations/postgres/0001_initial.sql"),
    },
    Migration {
        version: 2,
        sqlite: include_str!("../../../migrations/sqlite/0002_delivery.sql"),
        postgres: include_str!("../../../migrations/postgres/0002_delivery.sql"),
    },
    Migration {
        version: 3,
        sqlite: include_str!("../../../migrations/sqlite/0003_references.sql"),
        postgres: include_str!("../../../migrations/postgres/0003_references.sql"),
    },
    Migration {
        version: 4,
        sqlite: include_str!("../../../migrations/sqlite/0004_undelivered.sql"),
        postgres: include_str!("../../../migrations/postgres/0004_undelivered.sql"),
    },
    Migration {
        version: 5,
        sqlite: include_str!("../../../migrations/sqlite/0005_facts.sql"),
        postgres: include_str!("../../../migrations/postgres/0005_facts.sql"),
    },
    Migration {
        version: 6,
        sqlite: include_str!("../../../migrations/sqlite/0006_lived.sql"),
        postgres: include_str!("../../../migrations/postgres/0006_lived.sql"),
    },
];

/// `run_script` runs several statements at once on the connection of `tx`.
pub fn bring_up_to_date(
    tx: &mut dyn Tx,
    mut run_script: impl FnMut(&str) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    run_script("CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT NOT NULL PRIMARY KEY)")?;
    let sql = "SELECT COALESCE(MAX(version), 0) AS version FROM schema_migrations";
    let current = query_one(tx, "schema_migrations", sql, &[], |row| row.get("version"))?.unwrap_or(0);
    let newest = MIGRATIONS.last().map_or(0, |migration| migration.version);
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
        run_script("BEGIN")?;
        let applied = run_script(script).and_then(|()| {
            tx.execute("INSERT INTO schema_migrations (version) VALUES ($1)", params![migration.version])
        });
        run_script(if applied.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        applied?;
    }
    Ok(())
}
