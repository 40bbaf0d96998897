//! What the worker may take from the machine, set by itself at its start.
//!
//! The engine counts its own memory and spills; these limits are for what it does not count.

#[cfg(unix)]
use rustix::process::{Resource, Rlimit, nice, setrlimit};

/// What the process may take beyond the limit before the system stops it: what is mapped and not used, plans.
#[cfg(unix)]
const HEADROOM_BYTES: u64 = 512 * 1024 * 1024;

/// Lowers the priority and bounds the memory of this process.
///
/// The bound is on data (RLIMIT_DATA: heap and private writable mappings), not on address space: allocators reserve far
/// more of that than they use. An allocation beyond it ends the process with a message.
#[cfg(unix)]
pub fn apply(memory_limit_bytes: u64) -> std::io::Result<()> {
    let bound = memory_limit_bytes.saturating_add(HEADROOM_BYTES);
    setrlimit(Resource::Data, Rlimit { current: Some(bound), maximum: Some(bound) })?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    nice(10)?;
    #[cfg(target_os = "linux")]
    die_first()?;
    Ok(())
}

#[cfg(not(unix))]
pub fn apply(_memory_limit_bytes: u64) -> std::io::Result<()> {
    Ok(())
}

/// Should the machine run out of memory, the worker goes before the server; should the server go, the worker follows.
#[cfg(target_os = "linux")]
fn die_first() -> std::io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // Some containers mount /proc read-only. The limit above holds all the same.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    Ok(())
}
