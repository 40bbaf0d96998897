//! Points at which tests have the process killed, or the disk full. A program that was not built together with its tests has
//! none of them: the macro leaves nothing behind.
//!
//! Which point, and the how-manieth time it is passed, is said in FAILPOINTS: `commit.before=37*off->return`.

/// Reads what the environment says of the points.
pub fn set_up() {
    if fail::has_failpoints() {
        // Held for as long as the process lives.
        std::mem::forget(fail::FailScenario::setup());
    }
}

/// SIGKILL: no time for anything. Whoever passes the point goes no further.
pub fn die<T>() -> T {
    // The shell's own, for a small machine has no program of that name.
    let kill = format!("kill -KILL {}", std::process::id());
    let _ = std::process::Command::new("sh").args(["-c", &kill]).status();
    loop {
        std::thread::park();
    }
}

/// Dies here if a test says so.
#[macro_export]
macro_rules! kill_point {
    ($name:literal) => {
        fail::fail_point!($name, |_| $crate::platform::fault::die())
    };
}
