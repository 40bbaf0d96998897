//! PostgreSQL, where it is measured: an empty database for each scenario, and the settings that the figures depend on.

use bellwether_bench::Problem;
use postgres::{Client, NoTls};

/// Made anew for each scenario, next to the database that is given.
const NAME: &str = "bellwether_bench";
/// What a report says of the database.
const SETTINGS: [&str; 6] =
    ["server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size"];

/// Runs `work` on a connection, on a thread of its own: this client blocks, and brings a runtime along.
fn with<T: Send>(url: &str, work: impl FnOnce(&mut Client) -> Result<T, postgres::Error> + Send) -> Result<T, Problem> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| work(&mut Client::connect(url, NoTls)?));
        Ok(thread.join().map_err(|_| "the database client panicked")??)
    })
}

/// Does at once what autovacuum does by and by: without it, what was just filled is read with plans for empty tables.
pub fn vacuum(url: &str) -> Result<(), Problem> {
    with(&made(url)?, |client| client.batch_execute("VACUUM ANALYZE"))
}

fn made(url: &str) -> Result<String, Problem> {
    let mut made = url::Url::parse(url)?;
    made.set_path(NAME);
    Ok(made.into())
}

/// Makes an empty database, drops the one of the last time, and gives its URL.
pub fn make_empty(url: &str) -> Result<String, Problem> {
    with(url, |client| {
        client.batch_execute(&format!("DROP DATABASE IF EXISTS {NAME} WITH (FORCE)"))?;
        client.batch_execute(&format!("CREATE DATABASE {NAME}"))
    })?;
    made(url)
}

pub fn describe(url: &str) -> Result<String, Problem> {
    let settings = with(url, |client| {
        let mut listed = Vec::new();
        for name in SETTINGS {
            let value: String = client.query_one(&format!("SHOW {name}"), &[])?.get(0);
            listed.push(format!("{name}={value}"));
        }
        Ok(listed)
    })?;
    Ok(format!("PostgreSQL: {}", settings.join(", ")))
}
