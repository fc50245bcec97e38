//! Connections from outside: how many, how slow, and how they end. A connection costs at most a
//! small buffer until its request's head is there, and none can keep another out by doing nothing:
//! when all places are taken, the one that has been idle longest gives its place up.
//!
//! At the end nothing is cut that was sent before: for `http.drain_ms` all is taken and every
//! answer closes its connection; then the door is shut behind whoever had come through it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::peer::Peer;
use super::tls::Tls;
use crate::config;

/// The largest head of a request, beyond which 431, and about what a connection may buffer.
const MAX_HEAD: usize = 64 << 10;
/// How long a connection that nothing has come from is kept once the door is shut: what was sent
/// before may not have been read yet.
const LAST_LOOK: Duration = Duration::from_millis(200);
/// How long a connection that gives its place up may take to send what it still has.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long a TLS handshake may take.
const GREETING: Duration = Duration::from_secs(10);
/// How long a client may take nothing of what is sent to it.
#[cfg(target_os = "linux")]
const STALLED: Duration = Duration::from_secs(60);
/// How often an idle connection is looked for while all places are taken.
const CROWDED: Duration = Duration::from_millis(10);
/// How long to wait after the system has refused a connection, mostly for want of descriptors.
const REFUSED: Duration = Duration::from_millis(50);

/// Serves until `shutdown` and then drains. Connections are cut when this is dropped.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: &config::Http,
    tls: Option<Arc<Tls>>,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_HEAD);
    let cut = CancellationToken::new();
    let door = Door {
        http,
        router: TowerToHyperService::new(router),
        tls: tls.clone(),
        names_peers: settings.proxy.is_there(),
        places: Arc::new(Semaphore::new(settings.max_connections)),
        guests: Arc::default(),
        tasks: TaskTracker::new(),
        draining: shutdown.clone(),
        shut: CancellationToken::new(),
        cut: cut.clone(),
    };
    let _guard = cut.drop_guard();
    tokio::select! {
        () = door.take_all(&listener) => {}
        () = async { shutdown.cancelled().await; tokio::time::sleep(settings.drain).await } => {}
        () = keep(tls.as_deref()) => {}
    }
    door.take_last(listener)?;
    door.shut.cancel();
    door.tasks.close();
    door.tasks.wait().await;
    Ok(())
}

/// Never ends.
async fn keep(tls: Option<&Tls>) {
    match tls {
        Some(tls) => tls.keep().await,
        None => std::future::pending().await,
    }
}

/// What all connections share.
struct Door {
    http: http1::Builder,
    router: TowerToHyperService<Router>,
    tls: Option<Arc<Tls>>,
    /// Whether requests must bear where they come from.
    names_peers: bool,
    places: Arc<Semaphore>,
    guests: Arc<Guests>,
    tasks: TaskTracker,
    /// Answers close their connections.
    draining: CancellationToken,
    /// No connection comes any more.
    shut: CancellationToken,
    cut: CancellationToken,
}

impl Door {
    async fn take_all(&self, listener: &TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, address)) => {
                    let place = self.place().await;
                    self.take(stream, address, place);
                }
                // One that has gone again matters to nobody. For all else: fewer connections help.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    self.guests.dismiss_one();
                    tokio::time::sleep(REFUSED).await;
                }
            }
        }
    }

    /// Those that the system has already let in; then nobody.
    fn take_last(&self, listener: TcpListener) -> std::io::Result<()> {
        let listener = listener.into_std()?;
        while let (Ok((stream, address)), Ok(place)) = (
            listener.accept(),
            Arc::clone(&self.places).try_acquire_owned(),
        ) {
            stream.set_nonblocking(true)?;
            self.take(TcpStream::from_std(stream)?, address, place);
        }
        Ok(())
    }

    /// A place, that of the longest idle connection if there is no other.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        metrics::counter!("twotick_http_connections_crowded_total").increment(1);
        loop {
            self.guests.dismiss_one();
            let place = Arc::clone(&self.places).acquire_owned();
            // Should all be busy: one of them is idle soon.
            if let Ok(place) = tokio::time::timeout(CROWDED, place).await {
                // Never closed, so never `None`.
                return place.ok();
            }
        }
    }

    fn take(&self, stream: TcpStream, address: SocketAddr, place: impl Send + 'static) {
        give_up_on_stalled(&stream);
        let guest = Guests::enter(&self.guests, self.shut.child_token());
        let visit = Visit {
            http: self.http.clone(),
            router: self.router.clone(),
            guests: Arc::clone(&self.guests),
            state: Arc::clone(&guest.state),
            leave: guest.leave.clone(),
            draining: self.draining.clone(),
            shut: self.shut.clone(),
        };
        let (tls, names_peers, cut) = (self.tls.clone(), self.names_peers, self.cut.clone());
        let visited = async move {
            match tls {
                Some(tls) => visit.encrypted(stream, address, &tls).await,
                None => {
                    let peer = names_peers.then(|| Peer::new(address, None));
                    visit.held(stream, peer).await;
                }
            }
        };
        self.tasks.spawn(async move {
            let _held = (place, guest);
            tokio::select! {
                () = visited => {}
                () = cut.cancelled() => {}
            }
        });
    }
}

/// A client that reads nothing of its answer would keep its place for as long as it likes: the system
/// ends such a connection. Elsewhere than on Linux it is kept.
fn give_up_on_stalled(stream: &TcpStream) {
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(STALLED)) {
        tracing::debug!(%error, "a connection may stall");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = stream;
}

/// One connection.
struct Visit {
    http: http1::Builder,
    router: TowerToHyperService<Router>,
    guests: Arc<Guests>,
    state: Arc<AtomicU64>,
    leave: CancellationToken,
    draining: CancellationToken,
    shut: CancellationToken,
}

impl Visit {
    async fn encrypted(self, stream: TcpStream, address: SocketAddr, tls: &Tls) {
        let greeted = tokio::select! {
            greeted = tokio::time::timeout(GREETING, tls.acceptor().accept(stream)) => greeted,
            () = self.leave.cancelled() => return,
        };
        match greeted {
            Ok(Ok(stream)) => {
                let presented = stream.get_ref().1.peer_certificates();
                let own = presented.and_then(|chain| chain.first());
                let peer = Peer::new(address, own);
                self.held(stream, Some(peer)).await;
            }
            // A scanner, or a client whose certificate is of nobody that we know.
            Ok(Err(error)) => {
                metrics::counter!("twotick_webhooks_refused_total", "reason" => "tls").increment(1);
                tracing::info!(%address, %error, "a TLS handshake failed");
            }
            Err(_) => {}
        }
    }

    async fn held(self, stream: impl AsyncRead + AsyncWrite + Unpin, peer: Option<Peer>) {
        let (state, guests) = (Arc::clone(&self.state), self.guests);
        let (router, draining) = (self.router, self.draining);
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            state.store(BUSY, Ordering::Relaxed);
            if let Some(peer) = &peer {
                request.extensions_mut().insert(peer.clone());
            }
            let answer = router.call(request);
            let (state, guests) = (Arc::clone(&state), Arc::clone(&guests));
            let draining = draining.clone();
            async move {
                let answer = answer.await;
                let lasts = |answer: &Response| answer.extensions().get::<Lasting>().is_some();
                if !answer.as_ref().is_ok_and(lasts) {
                    state.store(guests.turn(), Ordering::Relaxed);
                }
                answer.map(|response| closing(response, draining.is_cancelled()))
            }
        });
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            () = self.leave.cancelled() => {}
        }
        if self.shut.is_cancelled() {
            let last_look = tokio::time::timeout(LAST_LOOK, connection.as_mut());
            if last_look.await.is_ok() {
                return;
            }
        }
        connection.as_mut().graceful_shutdown();
        // A request may have begun since this one was found idle.
        if self.state.load(Ordering::Relaxed) == BUSY {
            let _ = connection.await;
        } else {
            // Half a request's head is no reason to wait.
            let _ = tokio::time::timeout(LAST_WORDS, connection).await;
        }
    }
}

/// Marks an answer whose body comes for as long as somebody reads it, on a connection that ends
/// with it: it is not idle meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct Lasting;

/// The state of a connection on which a request is being answered.
const BUSY: u64 = 0;

/// The connections there are. What each request costs here is two writes to an atomic.
#[derive(Debug, Default)]
struct Guests {
    present: Mutex<HashMap<u64, Guest>>,
    turns: AtomicU64,
}

#[derive(Debug, Clone)]
struct Guest {
    /// [`BUSY`], or the turn at which it became idle.
    state: Arc<AtomicU64>,
    leave: CancellationToken,
}

/// A connection's place in [`Guests`], until it is dropped.
struct Present {
    guests: Arc<Guests>,
    id: u64,
    state: Arc<AtomicU64>,
    leave: CancellationToken,
}

impl Guests {
    fn enter(guests: &Arc<Self>, leave: CancellationToken) -> Present {
        let id = guests.turn();
        let state = Arc::new(AtomicU64::new(id));
        let guest = Guest {
            state: Arc::clone(&state),
            leave: leave.clone(),
        };
        guests.present().insert(id, guest);
        Present {
            guests: Arc::clone(guests),
            id,
            state,
            leave,
        }
    }

    fn turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Sends away the one that has been idle longest, if one is.
    fn dismiss_one(&self) {
        let present = self.present();
        let idle = present.values().filter_map(|guest| {
            let since = guest.state.load(Ordering::Relaxed);
            (since != BUSY && !guest.leave.is_cancelled()).then_some((since, guest))
        });
        if let Some((_, longest)) = idle.min_by_key(|(since, _)| *since) {
            longest.leave.cancel();
        }
    }

    fn present(&self) -> MutexGuard<'_, HashMap<u64, Guest>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.guests.present().remove(&self.id);
    }
}

fn closing(mut response: Response, closes: bool) -> Response {
    if closes {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}
