//! The service: HTTP, the writer of webhooks, and the sender, over one database. The caller owns
//! the listener and the shutdown signal. Stopping is graceful: what has been taken is answered
//! and written, posts under way are recorded, senders are given back; all within
//! `http.shutdown_ms`. A part that breaks down stops all of it in the same way, with an error:
//! half a service that refuses webhooks or sends nothing would stand for ever, a process that has
//! ended is started again.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Retention};
use crate::forward::{self, Forwarding, NatsError, Sink};
use crate::http::{self, Api, Tls, TlsError};
use crate::manage::{self, Manage, Polling, Reader};
use crate::send::{self, Sending};
use crate::signals::Signals;
use crate::store::erase::FRESH;
use crate::store::{ConnectionCache, Part, Store};
use crate::{ingest, measures, store};

/// How often partitions are made ahead, and what is over is forgotten: days of the journal, and
/// idempotency keys.
const UPKEEP: Duration = Duration::from_secs(3600);

/// So long the audit knows of calls that changed nothing.
const CALLS_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// How often the database's clock is read.
const FOLLOW_CLOCK: Duration = Duration::from_secs(15);

/// How often messages are looked for whose time is over.
const EXPIRE: Duration = Duration::from_secs(2);

/// Seconds by which a machine's clock may be off without a word in the log.
const OFF: f64 = 1.0;

/// What the service runs on.
#[derive(Debug)]
pub struct Service {
    /// All settings.
    pub config: Config,
    /// Everything that is kept.
    pub store: Store,
    /// What `/metrics` shows; `None` where nothing records.
    pub metrics: Option<PrometheusHandle>,
}

impl Service {
    /// Serves until `shutdown`, or until a part of it breaks down; then drains.
    pub async fn run(
        self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<(), ServiceError> {
        let Self {
            config,
            store,
            metrics,
        } = self;
        let tls = Tls::load(&config.http.tls).await?;
        // Ours to cancel, where a part breaks down.
        let shutdown = shutdown.child_token();
        store.make_journal_partitions().await;
        let (signals, outbox) = Signals::new();
        let writing = store.of(Part::Ingest);
        let (ingest, batches) = ingest::start(writing, signals.clone(), &config.ingest);
        let connections = ConnectionCache::new(store.of(Part::LookUps));
        let sending = Sending {
            store: store.of(Part::Sending),
            connections: connections.clone(),
            signals: signals.clone(),
            settings: Arc::new(config.send.clone()),
            client: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                // Who cannot be reached is known not to have the message: sooner than an answer
                // that does not come, which leaves its fate unknown.
                .connect_timeout(config.send.post_timeout / 2)
                .build()?,
            instance: store.clock().new_id(),
        };
        let show = http::show_event;
        let forwarding = Forwarding::new(&store, signals.clone(), &config.forward, show)?;
        let manage = Manage::new(
            store.clone(),
            connections.clone(),
            sending.client.clone(),
            config.manage.clone(),
        );
        let limits = config.http.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(batches.run());
        tasks.spawn(send::run(sending.clone(), shutdown.clone()));
        tasks.spawn(forwarding.tail.clone().run(shutdown.clone()));
        let forwards = forward::run(
            forwarding.clone(),
            sending.instance,
            config.send.lease,
            shutdown.clone(),
        );
        tasks.spawn(forwards);
        if let Some(sink) = Sink::new(&forwarding, &config.nats, sending.instance)? {
            tasks.spawn(sink.run(shutdown.clone()));
        }
        let polling = Polling {
            manage: manage.clone(),
            signals: signals.clone(),
            settings: config.poll,
        };
        tasks.spawn(manage::poll(polling, shutdown.clone()));
        let reader = Reader {
            manage: manage.clone(),
            signals: signals.clone(),
            poll: config.send.poll,
            every: config.send.template_read,
        };
        tasks.spawn(manage::read_templates(reader, shutdown.clone()));
        tasks.spawn(send::keep_campaigns(sending, shutdown.clone()));
        // Webhooks that are still taken may release what others send.
        let served = CancellationToken::new();
        tasks.spawn(manage.keep_ledger(served.clone()));
        tasks.spawn(send::send_hints(
            store.of(Part::Sending),
            outbox,
            served.clone(),
        ));
        tasks.spawn(send::listen(
            store.of(Part::Sending),
            signals.clone(),
            shutdown.clone(),
        ));
        tasks.spawn({
            let (signals, shutdown) = (signals.clone(), shutdown.clone());
            async move {
                shutdown.cancelled().await;
                tracing::info!("stopping");
                signals.stop();
            }
        });
        let keeping = store.of(Part::Sending);
        let kept = (config.retention, config.forward.log_days);
        tasks.spawn(upkeep(keeping.clone(), kept, shutdown.clone()));
        tasks.spawn(follow_clock(keeping.clone(), shutdown.clone()));
        tasks.spawn(expire(keeping.clone(), shutdown.clone()));
        tasks.spawn(know_erased(keeping.clone(), shutdown.clone()));
        tasks.spawn(erase(keeping.clone(), shutdown.clone()));
        if let Some(metrics) = metrics.clone() {
            tasks.spawn(measures::sample(keeping, metrics, shutdown.clone()));
        }
        let api = Api::new(
            store.clone(),
            connections,
            ingest,
            signals,
            forwarding,
            manage,
            Arc::new(config),
            metrics,
        );
        let work = api.work();
        let router = http::router(api);
        let broken = CancellationToken::new();
        let serving = async {
            http::serve(listener, router, &limits, tls, shutdown.clone()).await?;
            // Of callers that are gone.
            work.close();
            work.wait().await;
            // The last handler has gone and its `Ingest` with it: the writer ends by itself.
            served.cancel();
            Ok::<_, ServiceError>(())
        };
        let working = async {
            watch(tasks, &shutdown, &broken).await;
            Ok::<_, ServiceError>(())
        };
        let all = async {
            tokio::try_join!(serving, working)?;
            store.close().await;
            Ok::<_, ServiceError>(())
        };
        let too_long = async {
            shutdown.cancelled().await;
            tokio::time::sleep(limits.shutdown).await;
        };
        tokio::select! {
            ended = all => ended?,
            () = too_long => {
                tracing::warn!("stopped with work under way: it is not answered, and is done again");
            }
        }
        match broken.is_cancelled() {
            true => Err(ServiceError::Broken),
            false => Ok(()),
        }
    }
}

/// Waits until all tasks have ended. One that panics, or ends before it should, stops the others.
async fn watch(mut tasks: JoinSet<()>, shutdown: &CancellationToken, broken: &CancellationToken) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = &ended {
            tracing::error!(%error, "a part of the service broke down");
        }
        if ended.is_err() || !shutdown.is_cancelled() {
            broken.cancel();
            shutdown.cancel();
        }
    }
}

async fn upkeep(
    store: Store,
    (retention, log_days): (Retention, u16),
    shutdown: CancellationToken,
) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(UPKEEP) => {}
        }
        store.make_journal_partitions().await;
        if let Err(error) = store.forget_webhooks(retention.journal_days).await {
            tracing::warn!(%error, "an old day of the journal could not be dropped yet");
        }
        // There may be many: it stops between two batches, or gives one up.
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = forget(&store, log_days) => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = forget_settled(&store, retention.message_days) => {}
        }
    }
}

/// What was settled so many days ago.
async fn forget_settled(store: &Store, days: u16) {
    if days == 0 {
        return;
    }
    let before = store.clock().now() - time::Duration::days(days.into());
    match store.forget_settled(before).await {
        Ok(Some(gone)) => tracing::debug!(?gone, "what was settled long ago is forgotten"),
        Ok(None) => {}
        Err(error) => tracing::error!(%error, "what was settled long ago could not be deleted"),
    }
}

/// What rows there are that nobody needs any more.
async fn forget(store: &Store, log_days: u16) {
    if let Err(error) = store.forget_idempotency_keys().await {
        tracing::error!(%error, "old idempotency keys could not be deleted");
    }
    let before = store.clock().now() - time::Duration::days(log_days.into());
    if let Err(error) = store.forget_deliveries(before).await {
        tracing::error!(%error, "old deliveries could not be deleted");
    }
    let before = store.clock().now() - CALLS_KEPT;
    if let Err(error) = store.forget_calls(before).await {
        tracing::error!(%error, "old calls of the audit could not be deleted");
    }
}

/// Finds messages whose time is over.
async fn expire(store: Store, shutdown: CancellationToken) {
    loop {
        let more = tokio::select! {
            () = shutdown.cancelled() => return,
            more = store.expire_messages() => more.unwrap_or_else(|error| {
                tracing::warn!(%error, "expired messages could not be looked for");
                false
            }),
        };
        if more {
            continue;
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(EXPIRE) => {}
        }
    }
}

/// Keeps up with who was erased: wherever webhooks are decoded. Beside looking for them, because a
/// look may take minutes, and what comes meanwhile may be of them, too.
pub async fn know_erased(store: Store, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(FRESH) => {}
        }
        if let Err(error) = store.read_erasures().await {
            tracing::warn!(%error, "who was erased could not be read");
        }
    }
}

/// Looks again for what was under way when somebody was erased.
async fn erase(store: Store, shutdown: CancellationToken) {
    let look_again = async {
        loop {
            match store.erase_again().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "erased people could not be looked for"),
            }
            tokio::time::sleep(FRESH).await;
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = look_again => {}
    }
}

/// Keeps our clock with the database's.
async fn follow_clock(store: Store, shutdown: CancellationToken) {
    let mut was_off = false;
    loop {
        let ahead = tokio::select! {
            () = shutdown.cancelled() => return,
            ahead = store.follow_clock() => ahead,
        };
        match ahead {
            Ok(ahead) => {
                metrics::gauge!("twotick_clock_ahead_seconds").set(ahead);
                let is_off = ahead.abs() > OFF;
                if is_off && !was_off {
                    tracing::warn!(
                        ahead,
                        "this machine's clock is not with the database's, by which we go"
                    );
                }
                was_off = is_off;
            }
            Err(error) => tracing::debug!(%error, "the database's clock could not be read"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(FOLLOW_CLOCK) => {}
        }
    }
}

/// Why the service ended.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The database failed at start.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The client for calls to the providers could not be made.
    #[error("outgoing calls cannot be made: {0}")]
    Client(#[from] reqwest::Error),
    /// Events are to be published to nowhere.
    #[error(transparent)]
    Nats(#[from] NatsError),
    /// TLS is wanted and cannot be had.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The listener failed.
    #[error("cannot serve: {0}")]
    Listener(#[from] std::io::Error),
    /// A task that must run as long as the service does has ended.
    #[error("a part of the service broke down; the log says which")]
    Broken,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a service of two tasks: this one, and one that runs until `shutdown`.
    async fn ends(task: impl Future<Output = ()> + Send + 'static, stopped: bool) -> bool {
        let (shutdown, broken) = (CancellationToken::new(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(shutdown.clone().cancelled_owned());
        tasks.spawn(task);
        if stopped {
            shutdown.cancel();
        }
        watch(tasks, &shutdown, &broken).await;
        broken.is_cancelled()
    }

    #[tokio::test]
    async fn a_task_that_panics_or_ends_too_soon_stops_the_service_with_an_error() {
        assert!(ends(async { panic!("as it must not") }, false).await);
        assert!(ends(async { panic!("as it must not") }, true).await);
        assert!(ends(async {}, false).await);
        assert!(!ends(async {}, true).await);
    }
}
