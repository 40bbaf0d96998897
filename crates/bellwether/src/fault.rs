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
    let process = std::process::id().to_string();
    let _ = std::process::Command::new("kill").args(["-KILL", &process]).status();
    loop {
        std::thread::park();
    }
}

/// Dies here if a test says so.
#[macro_export]
macro_rules! kill_point {
    ($name:literal) => {
        fail::fail_point!($name, |_| $crate::fault::die())
    };
}
