//! Connections from outside: how many, how slow, and how they end. A connection costs at most a
//! small buffer until its request's head is there, and none can keep another out by doing nothing:
//! when all places are taken, the one that has been idle longest gives its place up.
//!
//! At the end nothing is cut that was sent before: for `http.drain_ms` all is taken and every
//! answer closes its connection; then the door is shut behind whoever had come through it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config;

/// The largest head of a request, beyond which 431, and about what a connection may buffer.
const MAX_HEAD: usize = 64 << 10;
/// How long a connection that nothing has come from is kept once the door is shut: what was sent
/// before may not have been read yet.
const LAST_LOOK: Duration = Duration::from_millis(200);
/// How long a connection that gives its place up may take to send what it still has.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long to wait after the system has refused a connection, mostly for want of descriptors.
const REFUSED: Duration = Duration::from_millis(50);

/// Serves until `shutdown` and then drains. Connections are cut when this is dropped.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: &config::Http,
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
        places: Arc::new(Semaphore::new(settings.max_connections)),
        crowded: Arc::default(),
        tasks: TaskTracker::new(),
        draining: shutdown.clone(),
        shut: CancellationToken::new(),
        cut: cut.clone(),
    };
    let _guard = cut.drop_guard();
    tokio::select! {
        () = door.take_all(&listener) => {}
        () = async { shutdown.cancelled().await; tokio::time::sleep(settings.drain).await } => {}
    }
    door.take_last(listener)?;
    door.shut.cancel();
    door.tasks.close();
    door.tasks.wait().await;
    Ok(())
}

/// What all connections share.
struct Door {
    http: http1::Builder,
    router: TowerToHyperService<Router>,
    places: Arc<Semaphore>,
    /// Tells the connection that has been idle longest that its place is needed.
    crowded: Arc<Notify>,
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
                Ok((stream, _)) => {
                    let place = self.place().await;
                    self.take(stream, place);
                }
                // One that has gone again matters to nobody. For all else: fewer connections help.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    self.crowded.notify_one();
                    tokio::time::sleep(REFUSED).await;
                }
            }
        }
    }

    /// Those that the system has already let in; then nobody.
    fn take_last(&self, listener: TcpListener) -> std::io::Result<()> {
        let listener = listener.into_std()?;
        while let (Ok((stream, _)), Ok(place)) = (
            listener.accept(),
            Arc::clone(&self.places).try_acquire_owned(),
        ) {
            stream.set_nonblocking(true)?;
            self.take(TcpStream::from_std(stream)?, place);
        }
        Ok(())
    }

    /// A place, that of the longest idle connection if there is no other.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        metrics::counter!("twotick_http_connections_crowded_total").increment(1);
        self.crowded.notify_one();
        // Never closed, so never `None`.
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    fn take(&self, stream: TcpStream, place: impl Send + 'static) {
        // Whether a request is being answered.
        let (busy, is_busy) = watch::channel(false);
        let (router, draining) = (self.router.clone(), self.draining.clone());
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            busy.send_replace(true);
            let (answer, busy) = (router.call(request), busy.clone());
            let draining = draining.clone();
            async move {
                let answer = answer.await;
                busy.send_replace(false);
                answer.map(|response| closing(response, draining.is_cancelled()))
            }
        });
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        let (crowded, shut) = (Arc::clone(&self.crowded), self.shut.clone());
        let served = async move {
            let mut connection = std::pin::pin!(connection);
            let given_up = tokio::select! {
                _ = connection.as_mut() => return,
                () = needed_by_another(&crowded, is_busy) => true,
                () = async { shut.cancelled().await; tokio::time::sleep(LAST_LOOK).await } => false,
            };
            connection.as_mut().graceful_shutdown();
            if given_up {
                let _ = tokio::time::timeout(LAST_WORDS, connection).await;
            } else {
                let _ = connection.await;
            }
        };
        let cut = self.cut.clone();
        self.tasks.spawn(async move {
            let _place = place;
            tokio::select! {
                () = served => {}
                () = cut.cancelled() => {}
            }
        });
    }
}

fn closing(mut response: Response, closes: bool) -> Response {
    if closes {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

/// Waits until no request is being answered and this connection has waited longest of all those
/// when a place is needed (`Notify` wakes in the order of waiting).
async fn needed_by_another(crowded: &Notify, mut busy: watch::Receiver<bool>) {
    loop {
        // The sender lives as long as the connection.
        let _ = busy.wait_for(|busy| !busy).await;
        tokio::select! {
            () = crowded.notified() => return,
            _ = busy.wait_for(|busy| *busy) => {}
        }
    }
}
