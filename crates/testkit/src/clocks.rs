//! Clocks that tests move.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bellwether::domain::clock::{Clock, Sleep, Timestamp};
use bellwether::platform::clock::SystemClock;
use tokio::sync::watch;

/// The machine's clock, whose wall time can be moved.
pub struct JumpingClock {
    machine: SystemClock,
    ahead: AtomicI64,
}

impl JumpingClock {
    pub fn start() -> Self {
        Self { machine: SystemClock::start(), ahead: AtomicI64::new(0) }
    }

    /// Moves the wall clock by so many microseconds.
    pub fn jump(&self, by: i64) {
        self.ahead.fetch_add(by, Ordering::AcqRel);
    }
}

impl Clock for JumpingClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.machine.now().as_micros() + self.ahead.load(Ordering::Acquire))
    }

    fn monotonic(&self) -> Duration {
        self.machine.monotonic()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        self.machine.sleep(duration)
    }
}

/// A clock that stands still until it is moved on.
pub struct ManualClock {
    started_at: Timestamp,
    passed: Mutex<Duration>,
    sleepers: watch::Sender<Duration>,
}

impl ManualClock {
    pub fn start() -> Self {
        let sleepers = watch::Sender::new(Duration::ZERO);
        Self { started_at: SystemClock::start().now(), passed: Mutex::default(), sleepers }
    }

    pub fn advance(&self, by: Duration) {
        let mut passed = self.passed.lock().unwrap();
        *passed += by;
        self.sleepers.send_replace(*passed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.started_at.plus(self.monotonic())
    }

    fn monotonic(&self) -> Duration {
        *self.passed.lock().unwrap()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let (until, mut sleeping) = (self.monotonic() + duration, self.sleepers.subscribe());
        Box::pin(async move {
            let _ = sleeping.wait_for(|passed| *passed >= until).await;
        })
    }
}
