//! An instance of the service, without its listener: it takes webhooks, and it sends. Its tasks die
//! with it, at whatever await they are.
//!
//! What takes webhooks may outlive a history: its session is a process of Postgres, and to begin one
//! costs as much as half a history. What sends begins anew with every one.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use twotick::config::Config;
use twotick::ingest::{self, Ingest};
use twotick::manage::{Manage, Reader, read_templates};
use twotick::send::{self, Sending};
use twotick::signals::Signals;
use twotick::store::{ConnectionCache, Store};

/// What all instances of a world run on.
#[derive(Clone)]
pub struct Common {
    pub store: Store,
    pub config: Config,
    pub client: reqwest::Client,
}

/// Takes webhooks.
pub struct Intake {
    signals: Signals,
    ingest: Ingest,
    tasks: JoinSet<()>,
}

pub struct Instance {
    pub signals: Signals,
    pub ingest: Ingest,
    taking: JoinSet<()>,
    sending: JoinSet<()>,
    shutdown: CancellationToken,
}

impl Intake {
    pub fn begin(common: &Common) -> Self {
        let Common { store, config, .. } = common;
        let (signals, outbox) = Signals::new();
        let (ingest, writer) = ingest::start(store.clone(), signals.clone(), &config.ingest);
        let mut tasks = JoinSet::new();
        tasks.spawn(writer.run());
        // Never told to stop: it ends with the others.
        let never = CancellationToken::new();
        tasks.spawn(send::send_hints(store.clone(), outbox, never));
        Self {
            signals,
            ingest,
            tasks,
        }
    }
}

impl Instance {
    pub fn begin(intake: Intake, common: &Common) -> Self {
        let Intake {
            signals,
            ingest,
            tasks: taking,
        } = intake;
        let shutdown = CancellationToken::new();
        let sending = Sending {
            store: common.store.clone(),
            connections: ConnectionCache::new(common.store.clone()),
            signals: signals.clone(),
            settings: Arc::new(common.config.send.clone()),
            client: common.client.clone(),
            instance: common.store.clock().new_id(),
        };
        let reader = Reader {
            manage: Manage::new(
                sending.store.clone(),
                sending.connections.clone(),
                sending.client.clone(),
                common.config.manage.clone(),
            ),
            signals: signals.clone(),
            poll: common.config.send.poll,
            every: common.config.send.template_read,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(send::run(sending, shutdown.clone()));
        tasks.spawn(read_templates(reader, shutdown.clone()));
        Self {
            signals,
            ingest,
            taking,
            sending: tasks,
            shutdown,
        }
    }

    /// It dies: every task is dropped where it stands, and is gone when this returns.
    pub async fn die(mut self) {
        end(&mut self.taking).await;
        end(&mut self.sending).await;
    }

    /// What it sends is done, what it owns is given back, every answer that still comes has been
    /// recorded.
    pub async fn stop(mut self) -> Intake {
        self.shutdown.cancel();
        while self.sending.join_next().await.is_some() {}
        self.intake()
    }

    /// What sends dies; webhooks go on being taken.
    pub async fn stop_at_once(mut self) -> Intake {
        end(&mut self.sending).await;
        self.intake()
    }

    fn intake(self) -> Intake {
        Intake {
            signals: self.signals,
            ingest: self.ingest,
            tasks: self.taking,
        }
    }
}

async fn end(tasks: &mut JoinSet<()>) {
    tasks.abort_all();
    while tasks.join_next().await.is_some() {}
}
