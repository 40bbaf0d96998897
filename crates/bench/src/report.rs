//! What every report says first: on what it was measured. And percentiles.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use bellwether_bench::Problem;

const SYNCS: u32 = 200;

/// Prints processors, memory, and how long a durable write of 4 KiB takes where the data lie.
#[expect(clippy::disallowed_methods, reason = "a measurement reads the machine's clock")]
pub fn machine(data: &Path, is_postgres: bool) -> Result<(), Problem> {
    let processors = std::thread::available_parallelism()?;
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().next().unwrap_or("MemTotal: unknown").to_owned();
    let path = data.join("sync");
    let mut file = File::create(&path)?;
    let start = Instant::now();
    for _ in 0..SYNCS {
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
    }
    let sync = start.elapsed() / SYNCS;
    std::fs::remove_file(path)?;
    let database = if is_postgres { "PostgreSQL, as it is set up" } else { "SQLite, WAL, synchronous=FULL" };
    println!("{processors} processors, {memory}; fdatasync of 4 KiB: {sync:?}; {database}");
    Ok(())
}

/// p50, p90, p99 and the longest.
pub fn percentiles(name: &str, mut measured: Vec<Duration>) {
    measured.sort_unstable();
    let Some(last) = measured.len().checked_sub(1) else { return println!("{name}: nothing measured") };
    let at = |share: f64| measured[((last as f64) * share).round() as usize];
    println!(
        "{name}: p50 {:?}, p90 {:?}, p99 {:?}, longest {:?} ({} measured)",
        at(0.5),
        at(0.9),
        at(0.99),
        measured[last],
        last + 1
    );
}
