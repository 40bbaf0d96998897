//! The connections of one target: those that wait to be used again, and no more of them than requests may be under way. What
//! goes over them is not known here.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, Semaphore, SemaphorePermit};

use super::connector::{Connected, Connector};
use super::error::{ConnectError, ErrorClass, failed};
use super::slots::Idle;
use super::{http1, http2};
use crate::domain::clock::Clock;

/// How long a connection without work is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

pub struct Pool {
    connector: Connector,
    /// Each request under way has a permit. One connects only when none waits, so there are never more than permits.
    permits: Semaphore,
    shelf: Arc<Mutex<Shelf>>,
    /// Held by whoever connects while it may turn out that one connection carries all requests: the others wait for that,
    /// and fail with it.
    handshake: AsyncMutex<Option<ConnectError>>,
    /// Handshakes that have failed.
    failures: AtomicU64,
    /// The other side has chosen HTTP/1.1.
    speaks_http1: AtomicBool,
    /// The other side has asked for HTTP/1.1, so HTTP/2 is not offered any more.
    wants_http1: AtomicBool,
}

/// What waits to be used again.
#[derive(Default)]
struct Shelf {
    /// The one that was used last is at the end.
    http1: Vec<(http1::Connection, Duration)>,
    http2: Option<(http2::Connection, Duration)>,
    /// Somebody looks after them.
    is_swept: bool,
}

impl Shelf {
    /// The one that carries all requests, if it is there and can be used.
    fn http2(&mut self, now: Duration) -> Option<Connection> {
        let (connection, used_at) = self.http2.as_mut()?;
        if !connection.is_usable() {
            self.http2 = None;
            return None;
        }
        *used_at = now;
        Some(Connection::Http2(connection.clone()))
    }
}

impl Idle for Mutex<Shelf> {
    fn give_way(&self) -> usize {
        let mut shelf = self.lock().unwrap_or_else(PoisonError::into_inner);
        let count = shelf.http1.len() + usize::from(shelf.http2.is_some());
        // One of HTTP/2 that has requests under way ends with the last of them.
        shelf.http1.clear();
        shelf.http2 = None;
        count
    }
}

/// Something that a request can go over.
pub enum Connection {
    Http1(http1::Connection),
    Http2(http2::Connection),
}

impl Pool {
    pub fn of(connector: Connector, most: usize) -> Self {
        let shelf = Arc::<Mutex<Shelf>>::default();
        connector.outbound().slots.note(Arc::downgrade(&shelf) as Weak<dyn Idle>);
        Self {
            permits: Semaphore::new(most),
            shelf,
            handshake: AsyncMutex::new(None),
            failures: AtomicU64::new(0),
            // Without TLS there is nothing to choose.
            speaks_http1: AtomicBool::new(!connector.is_tls()),
            wants_http1: AtomicBool::new(false),
            connector,
        }
    }

    pub fn is_tls(&self) -> bool {
        self.connector.is_tls()
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.connector.outbound().clock
    }

    /// HTTP/2 is not offered any more.
    pub fn keep_to_http1(&self) {
        self.wants_http1.store(true, Ordering::Relaxed);
        self.speaks_http1.store(true, Ordering::Relaxed);
        locked(&self.shelf).http2 = None;
    }

    /// Waits until a request may be made.
    pub async fn permit(&self) -> Result<SemaphorePermit<'_>, ConnectError> {
        self.permits.acquire().await.map_err(|error| failed(ErrorClass::Connect, error.to_string()))
    }

    /// One that was used before, and can be used again.
    pub fn take(&self) -> Option<Connection> {
        let mut shelf = locked(&self.shelf);
        if let Some(shared) = shelf.http2(self.clock().monotonic()) {
            return Some(shared);
        }
        while let Some((mut connection, _)) = shelf.http1.pop() {
            if connection.is_usable() {
                return Some(Connection::Http1(connection));
            }
        }
        None
    }

    pub async fn connect(&self) -> Result<Connection, ConnectError> {
        if self.speaks_http1.load(Ordering::Relaxed) {
            return self.open().await;
        }
        let before = self.failures.load(Ordering::Acquire);
        let mut last = self.handshake.lock().await;
        if let Some(shared) = locked(&self.shelf).http2(self.clock().monotonic()) {
            return Ok(shared);
        }
        if self.speaks_http1.load(Ordering::Relaxed) {
            drop(last);
            return self.open().await;
        }
        if let Some(error) = last.as_ref().filter(|_| self.failures.load(Ordering::Acquire) != before) {
            return Err(error.clone());
        }
        let opened = self.open().await;
        if let Err(error) = &opened {
            self.failures.fetch_add(1, Ordering::AcqRel);
            *last = Some(error.clone());
        }
        opened
    }

    async fn open(&self) -> Result<Connection, ConnectError> {
        let Connected { stream, slot, is_h2 } =
            self.connector.connect(self.wants_http1.load(Ordering::Relaxed)).await?;
        self.speaks_http1.store(!is_h2, Ordering::Relaxed);
        if !is_h2 {
            return Ok(Connection::Http1(http1::Connection::over(stream, slot)));
        }
        let fresh = http2::Connection::over(stream, slot).await;
        let fresh = fresh.map_err(|error| failed(ErrorClass::Exchange, error.to_string()))?;
        let mut shelf = locked(&self.shelf);
        // Another request may have been first, and one carries all.
        let shared = match shelf.http2(self.clock().monotonic()) {
            Some(shared) => shared,
            None => {
                shelf.http2 = Some((fresh.clone(), self.clock().monotonic()));
                Connection::Http2(fresh)
            }
        };
        self.sweep(&mut shelf);
        Ok(shared)
    }

    /// Keeps one for the next request.
    pub fn put(&self, connection: http1::Connection) {
        // Somebody else has none: it is closed, so that they may connect.
        if self.connector.outbound().slots.is_wanted() {
            return;
        }
        let mut shelf = locked(&self.shelf);
        shelf.http1.push((connection, self.clock().monotonic()));
        self.sweep(&mut shelf);
    }

    /// Has what is not used for long closed, by a task that lives as long as there is anything.
    fn sweep(&self, shelf: &mut Shelf) {
        if !shelf.is_swept {
            shelf.is_swept = true;
            tokio::spawn(sweep(Arc::downgrade(&self.shelf), self.clock().clone()));
        }
    }
}

fn locked(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn sweep(shelf: Weak<Mutex<Shelf>>, clock: Arc<dyn Clock>) {
    let mut wait = IDLE_TIMEOUT;
    loop {
        clock.sleep(wait).await;
        let Some(shelf) = shelf.upgrade() else { return };
        let mut shelf = locked(&shelf);
        let now = clock.monotonic();
        let is_fresh = |used_at: &Duration| now.saturating_sub(*used_at) < IDLE_TIMEOUT;
        shelf.http1.retain(|(_, used_at)| is_fresh(used_at));
        shelf.http2.take_if(|(connection, used_at)| !is_fresh(used_at) || !connection.is_usable());
        let used =
            shelf.http1.iter().map(|(_, used_at)| *used_at).chain(shelf.http2.iter().map(|(_, used_at)| *used_at));
        match used.min() {
            Some(oldest) => wait = (oldest + IDLE_TIMEOUT).saturating_sub(now),
            None => {
                shelf.is_swept = false;
                return;
            }
        }
    }
}
