//! What the kernel says of a process: its processor time and its memory. From /proc, so on Linux alone.

use std::fs;
use std::time::Duration;

use crate::Problem;

/// The time that all living threads of a process have run, to the nanosecond.
pub fn processor_time(process: u32) -> Result<Duration, Problem> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end while it is looked at.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        nanoseconds += text.split_whitespace().next().unwrap_or("0").parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// The memory that a process holds in RAM, in bytes.
pub fn resident(process: u32) -> Result<u64, Problem> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024)
}
