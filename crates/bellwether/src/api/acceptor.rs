//! Accepts connections and serves them, within bounds of number and time: whoever says nothing, or says it without end, gives
//! way to others. From whom a request comes is found out here; what it does is not known.

use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request};
use axum::response::IntoResponse;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::Service;

use super::occupancy::{Bounds, Entered, Id, Occupancy};
use super::peer::{Peer, TrustedProxies};
use super::problem::{Kind, Problem};
use super::secured::Secured;
use super::tls::ServerTls;
use crate::platform::telemetry::Counter;

/// For the head of the first request.
const FIRST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// From one request to the end of the next one's head; over HTTP/2, up to twice as long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// What may come of a head, and what is read ahead of a body.
const LARGEST_HEAD: usize = 32 * 1024;
/// Requests at once on one connection of HTTP/2.
const MOST_STREAMS: u32 = 64;
/// For a newcomer to say what it came for before it may have to give way.
const WELCOME: Duration = Duration::from_millis(100);
/// For the end of an answer to be taken by whoever gives way.
const LAST_BYTES: Duration = Duration::from_secs(1);
/// After the system had no descriptor for a connection.
const REST: Duration = Duration::from_millis(20);

/// How requests come here.
pub struct Entrance {
    /// `None`: they come by plain http.
    pub tls: Option<Arc<ServerTls>>,
    pub proxies: TrustedProxies,
    /// What people and programs reach the API by, without a slash at its end.
    pub public_url: String,
}

impl Entrance {
    /// From whom a request comes over `connection`, if it may come so.
    fn admit(&self, connection: Peer, headers: &HeaderMap) -> Result<Peer, Problem> {
        if self.tls.is_some() && !connection.is_https {
            let detail = format!(
                "this address speaks https, and a key sent by plain http is seen by others; ask {}",
                self.public_url
            );
            return Err(Problem::of(Kind::HttpsOnly, detail));
        }
        Ok(self.proxies.client(connection, headers))
    }
}

struct Door {
    entrance: Entrance,
    occupancy: Mutex<Occupancy>,
    /// How each connection is told to close.
    closing: Mutex<std::collections::HashMap<Id, Arc<Notify>>>,
}

impl Door {
    fn occupancy(&self) -> MutexGuard<'_, Occupancy> {
        self.occupancy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, address: IpAddr) -> Option<(Id, Arc<Notify>)> {
        let Entered::Admitted { id, instead_of } = self.occupancy().enter(address) else { return None };
        let notify = Arc::new(Notify::new());
        let mut closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        closing.insert(id, notify.clone());
        if let Some(other) = instead_of.and_then(|other| closing.remove(&other)) {
            other.notify_one();
        }
        Some((id, notify))
    }

    fn welcome(self: &Arc<Self>, id: Id, place: OwnedSemaphorePermit) -> Arc<Mutex<Option<Newcomer>>> {
        Arc::new(Mutex::new(Some(Newcomer { _under_way: UnderWay { door: self.clone(), id }, _place: place })))
    }

    fn leave(&self, id: Id) {
        self.occupancy().leave(id);
        self.closing.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

/// Answers on `listener` until `stopping` turns true and what is under way is answered.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    entrance: Entrance,
    bounds: Bounds,
    mut stopping: watch::Receiver<bool>,
) {
    let occupancy = Mutex::new(Occupancy::within(bounds));
    let door = Arc::new(Door { entrance, occupancy, closing: Mutex::default() });
    let newcomers = Arc::new(Semaphore::new(bounds.newcomers));
    let mut serving = JoinSet::new();
    let refused = Counter::default();
    loop {
        // While there are many newcomers, more of them wait with the system.
        let accepting = async {
            let place = newcomers.clone().acquire_owned().await.map_err(std::io::Error::other)?;
            Ok::<_, std::io::Error>((place, listener.accept().await?))
        };
        let accepted = tokio::select! {
            _ = stopping.wait_for(|is_stopping| *is_stopping) => break,
            Some(ended) = serving.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection ended badly");
                }
                continue;
            }
            accepted = accepting => accepted,
        };
        match accepted {
            Ok((place, (stream, peer))) => match door.enter(peer.ip()) {
                Some((id, close)) => {
                    let (door, router, stopping) = (door.clone(), router.clone(), stopping.clone());
                    let newcomer = door.welcome(id, place);
                    serving.spawn(async move {
                        Connection { peer, id, close, newcomer, stopping }.serve(stream, router, &door).await;
                        door.leave(id);
                    });
                }
                None => {
                    if let Some(count) = refused.add_notable() {
                        let reason = "a connection was refused: all that there may be have requests under way";
                        tracing::warn!(%peer, count, "{reason}");
                    }
                }
            },
            Err(error) => {
                if let Some(count) = refused.add_notable() {
                    tracing::warn!(%error, count, "a connection could not be accepted");
                }
                tokio::time::sleep(REST).await;
            }
        }
    }
    drop(listener);
    while serving.join_next().await.is_some() {}
}

fn http() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT).max_buf_size(LARGEST_HEAD);
    let most_head = u32::try_from(LARGEST_HEAD).unwrap_or(u32::MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(most_head)
        .max_concurrent_streams(MOST_STREAMS)
        .keep_alive_interval(IDLE_TIMEOUT)
        .keep_alive_timeout(FIRST_HEAD_TIMEOUT);
    builder
}

/// One connection, while it is served.
struct Connection {
    peer: SocketAddr,
    id: Id,
    close: Arc<Notify>,
    newcomer: Arc<Mutex<Option<Newcomer>>>,
    stopping: watch::Receiver<bool>,
}

impl Connection {
    async fn serve(mut self, stream: TcpStream, router: Router, door: &Arc<Door>) {
        // Answers are small and go out at once.
        let _ = stream.set_nodelay(true);
        let (began, begun) = watch::channel(false);
        let (address, id, newcomer) = (self.peer.ip(), self.id, self.newcomer.clone());
        let tls = door.entrance.tls.as_ref().map(|tls| tls.config());
        let stream = Secured::over(stream, tls);
        let is_secure = stream.is_secure();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let _ = began.send(true);
            let (under_way, newcomer) = (UnderWay::begin(door, id), newcomer.clone());
            let connection = Peer { address, is_https: is_secure.load(Ordering::Relaxed) };
            let peer = door.entrance.admit(connection, request.headers());
            let answer = peer.map(|peer| {
                request.extensions_mut().insert(peer);
                router.clone().call(request.map(Body::new))
            });
            async move {
                let answer = match answer {
                    Ok(answer) => answer.await,
                    Err(refused) => Ok(refused.into_response()),
                };
                settle(&newcomer);
                answer.map(|response| response.map(|body| Held { body, _under_way: under_way }))
            }
        });
        let builder = http();
        let io = TokioIo::new(stream);
        let mut connection = pin!(builder.serve_connection(io, service));
        tokio::select! {
            // What has come is read before anybody decides that nothing has.
            biased;
            _ = connection.as_mut() => return,
            () = self.is_to_end(&begun, door) => {}
        }
        connection.as_mut().graceful_shutdown();
        settle(&self.newcomer);
        // Who has no request under way is not waited for, but for what is still to be sent of an answer.
        let is_under_way = door.occupancy().is_under_way(id);
        if is_under_way {
            let _ = connection.await;
        } else if *begun.borrow() {
            let _ = tokio::time::timeout(LAST_BYTES, connection).await;
        }
    }

    /// Waits for a reason to end it from this side.
    async fn is_to_end(&mut self, begun: &watch::Receiver<bool>, door: &Door) {
        let mut welcome = pin!(tokio::time::sleep(WELCOME));
        let mut first = pin!(tokio::time::sleep(FIRST_HEAD_TIMEOUT));
        let (mut is_welcome, mut is_first) = (true, true);
        let mut idling = tokio::time::interval(IDLE_TIMEOUT);
        idling.reset();
        let mut waiting_since = None;
        loop {
            tokio::select! {
                () = self.close.notified() => return,
                _ = self.stopping.wait_for(|is_stopping| *is_stopping) => return,
                () = welcome.as_mut(), if is_welcome => {
                    is_welcome = false;
                    settle(&self.newcomer);
                }
                () = first.as_mut(), if is_first => {
                    is_first = false;
                    if !*begun.borrow() {
                        return;
                    }
                }
                // Over HTTP/2 a connection is kept open by pings, too.
                _ = idling.tick() => {
                    let since = door.occupancy().waiting_since(self.id);
                    if since.is_some() && since == waiting_since {
                        return;
                    }
                    waiting_since = since;
                }
            }
        }
    }
}

/// A connection that has just come, until it has been answered, or says nothing for a while.
struct Newcomer {
    _under_way: UnderWay,
    _place: OwnedSemaphorePermit,
}

fn settle(newcomer: &Mutex<Option<Newcomer>>) {
    drop(newcomer.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// A request under way, until it is dropped.
struct UnderWay {
    door: Arc<Door>,
    id: Id,
}

impl UnderWay {
    fn begin(door: &Arc<Door>, id: Id) -> Self {
        door.occupancy().begin(id);
        Self { door: door.clone(), id }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.door.occupancy().end(self.id);
    }
}

/// The body of an answer, whose request is under way until all of it is sent.
struct Held {
    body: Body,
    _under_way: UnderWay,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
