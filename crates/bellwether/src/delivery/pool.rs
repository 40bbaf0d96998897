//! The connections of one target: those that wait to be used again, and no more of them than requests may be under way. What
//! goes over them is not known here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::answer::ErrorClass;
use super::connector::{ConnectError, Connected, Connector, failed};
use super::{http1, http2};

/// How long a connection without work is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

pub struct Pool {
    connector: Connector,
    /// Each request under way has a permit. One connects only when none waits, so there are never more than permits.
    permits: Semaphore,
    shelf: Arc<Mutex<Shelf>>,
}

/// What waits to be used again.
#[derive(Default)]
struct Shelf {
    /// The one that was used last is at the end.
    http1: Vec<(http1::Connection, Instant)>,
    http2: Option<(http2::Connection, Instant)>,
    /// Somebody looks after them.
    is_swept: bool,
}

/// Something that a request can go over.
pub enum Connection {
    Http1(http1::Connection),
    Http2(http2::Connection),
}

impl Pool {
    pub fn of(connector: Connector, most: usize) -> Self {
        Self { connector, permits: Semaphore::new(most), shelf: Arc::default() }
    }

    /// Waits until a request may be made.
    pub async fn permit(&self) -> Result<SemaphorePermit<'_>, ConnectError> {
        self.permits.acquire().await.map_err(|error| failed(ErrorClass::Connect, error.to_string()))
    }

    /// One that was used before, and can be used again.
    pub fn take(&self) -> Option<Connection> {
        let mut shelf = locked(&self.shelf);
        if let Some((connection, used_at)) = &mut shelf.http2 {
            if connection.is_usable() {
                *used_at = Instant::now();
                return Some(Connection::Http2(connection.clone()));
            }
            shelf.http2 = None;
        }
        while let Some((mut connection, _)) = shelf.http1.pop() {
            if connection.is_usable() {
                return Some(Connection::Http1(connection));
            }
        }
        None
    }

    pub async fn connect(&self) -> Result<Connection, ConnectError> {
        let Connected { stream, is_h2 } = self.connector.connect().await?;
        if !is_h2 {
            return Ok(Connection::Http1(http1::Connection::over(stream)));
        }
        let fresh = http2::Connection::over(stream).await;
        let fresh = fresh.map_err(|error| failed(ErrorClass::Exchange, error.to_string()))?;
        let mut shelf = locked(&self.shelf);
        // Another request may have been first, and one carries all.
        let shared = match &shelf.http2 {
            Some((connection, _)) if connection.is_usable() => connection.clone(),
            _ => fresh,
        };
        shelf.http2 = Some((shared.clone(), Instant::now()));
        self.sweep(&mut shelf);
        Ok(Connection::Http2(shared))
    }

    /// Keeps one for the next request.
    pub fn put(&self, connection: http1::Connection) {
        let mut shelf = locked(&self.shelf);
        shelf.http1.push((connection, Instant::now()));
        self.sweep(&mut shelf);
    }

    /// Has what is not used for long closed, by a task that lives as long as there is anything.
    fn sweep(&self, shelf: &mut Shelf) {
        if !shelf.is_swept {
            shelf.is_swept = true;
            tokio::spawn(sweep(Arc::downgrade(&self.shelf)));
        }
    }
}

fn locked(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn sweep(shelf: Weak<Mutex<Shelf>>) {
    let mut until = Instant::now() + IDLE_TIMEOUT;
    loop {
        tokio::time::sleep_until(until).await;
        let Some(shelf) = shelf.upgrade() else { return };
        let mut shelf = locked(&shelf);
        let now = Instant::now();
        let is_fresh = |used_at: &Instant| now.saturating_duration_since(*used_at) < IDLE_TIMEOUT;
        shelf.http1.retain(|(_, used_at)| is_fresh(used_at));
        shelf.http2.take_if(|(connection, used_at)| !is_fresh(used_at) || !connection.is_usable());
        let used =
            shelf.http1.iter().map(|(_, used_at)| *used_at).chain(shelf.http2.iter().map(|(_, used_at)| *used_at));
        match used.min() {
            Some(oldest) => until = oldest + IDLE_TIMEOUT,
            None => {
                shelf.is_swept = false;
                return;
            }
        }
    }
}
