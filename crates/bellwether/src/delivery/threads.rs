//! The threads that lanes run on. Each has a runtime to itself: a lane, its sockets and its timers stay where they began, so
//! that an answer wakes the one thread that waits for it and no other, and finds what it needs at hand. What runs there is not
//! known here.

use std::io;

use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

pub struct Threads {
    runtimes: Vec<Handle>,
    next: usize,
    /// They end when this is dropped.
    _alive: watch::Sender<()>,
}

impl Threads {
    /// One for every two processors: the others are for changes and the database.
    pub fn start() -> io::Result<Self> {
        let count = std::thread::available_parallelism().map_or(1, |processors| (processors.get() / 2).max(1));
        let (alive, ends) = watch::channel(());
        let runtimes = (0..count).map(|number| start(number, ends.clone())).collect::<io::Result<_>>()?;
        Ok(Self { runtimes, next: 0, _alive: alive })
    }

    /// Where what all lanes share runs.
    pub fn first(&self) -> &Handle {
        &self.runtimes[0]
    }

    /// Where the next lane runs: they take turns.
    pub fn next(&mut self) -> &Handle {
        self.next = (self.next + 1) % self.runtimes.len();
        &self.runtimes[self.next]
    }
}

fn start(number: usize, mut ends: watch::Receiver<()>) -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let run = move || drop(runtime.block_on(ends.changed()));
    std::thread::Builder::new().name(format!("lanes-{number}")).spawn(run)?;
    Ok(handle)
}
