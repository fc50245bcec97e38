//! One worker's world: a database, a clock, a provider, and the instances of the service that run
//! over them. Histories run in it one after the other, each with its own connection and sender;
//! everything is on one thread, so that only the database and the sockets bring disorder.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use axum::body::Bytes;
use serde_json::{Map, Value};
use sqlx::{Connection as _, PgConnection};
use time::OffsetDateTime;
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;
use twotick::clock::Clock;
use twotick::config::Config;
use twotick::ingest::Webhook;
use twotick::model::ids::{ConnectionId, SenderId};
use twotick::postgres::{Options, TestDatabase, TestServer};
use twotick::seal::SealingKey;
use twotick::store::senders::NewSender;
use twotick::store::{self, Credentials, NewConnection, Once, Store};
use uuid::Uuid;

use crate::instance::{Common, Instance, Intake};
use crate::provider::{Provider, WABA};
use crate::run::{ANSWER_TIMEOUT, BACKOFF, MAX_ATTEMPTS, POST_TIMEOUT, UNKNOWN_AFTER};

pub const NUMBER: &str = "310022446688199";

/// A machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct World {
    pub clock: Clock,
    pub store: Store,
    pub provider: Provider,
    pub config: Config,
    common: Common,
    /// How long the service may take to do what it can do now, in real time.
    pub patience: Duration,
    /// The test's own session.
    pub session: PgConnection,
    provider_url: String,
    instances: Vec<Instance>,
    /// Of instances that are gone.
    intakes: Vec<Intake>,
    histories: u64,
    _database: TestDatabase,
}

/// What there is to do for the service.
#[derive(Debug)]
pub struct Agenda {
    /// Something is being posted, or is due and may be.
    pub is_busy: bool,
    /// Sender or connection: a refusal has closed it.
    pub is_closed: bool,
    /// When something will be due that is not now; of a sequence that nobody has paused, or of a
    /// template that is closed.
    pub next_due: Option<OffsetDateTime>,
}

/// Where a history runs.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub number: u64,
    pub connection: ConnectionId,
    /// The connection's own stream.
    pub stream: i32,
    pub sender: SenderId,
}

impl World {
    pub async fn new() -> Self {
        let database = server().await.create_database().await.unwrap();
        let clock = Clock::system();
        let mut config = Config::load(None::<&Path>).unwrap();
        config.database.max_connections = 8;
        config.database.acquire_timeout = Duration::from_secs(10);
        config.send.poll = Duration::from_millis(200);
        config.send.lease = Duration::from_secs(3);
        config.send.post_timeout = POST_TIMEOUT;
        config.send.answer_timeout = ANSWER_TIMEOUT;
        config.send.max_attempts = MAX_ATTEMPTS;
        config.send.backoff = BACKOFF;
        config.send.unknown_after = UNKNOWN_AFTER;
        config.send.rate_limit_wait = Duration::from_millis(20);
        let key = SealingKey::parse(&SealingKey::generate()).unwrap();
        let store = Store::open(&database.url, &config.database, key, clock.clone());
        let (provider, provider_url) = Provider::start(clock.clone()).await;
        let common = Common {
            store: store.await.unwrap(),
            client: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(config.send.post_timeout / 2)
                .build()
                .unwrap(),
            config: config.clone(),
        };
        Self {
            store: common.store.clone(),
            session: PgConnection::connect(&database.url).await.unwrap(),
            common,
            config,
            patience: PATIENCE,
            clock,
            provider,
            provider_url,
            instances: Vec::new(),
            intakes: Vec::new(),
            histories: 0,
            _database: database,
        }
    }

    /// The service has seen that the server flushes; from now on it may spare the disk.
    pub async fn stop_flushing(&mut self) {
        if is_given() {
            return;
        }
        for sql in ["ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"] {
            sqlx::raw_sql(sql).execute(&mut self.session).await.unwrap();
        }
    }

    /// A connection and a sender of its own for a history.
    pub async fn begin(&mut self) -> Place {
        self.histories += 1;
        let connection = NewConnection {
            name: "shop".to_owned(),
            provider: twotick::model::provider::Provider::Meta,
            base_url: format!("{}/h{}", self.provider_url, self.histories),
            api_version: Some("v25.0".to_owned()),
            client_certificate_names: Vec::new(),
            credentials: Credentials {
                access_token: "token".into(),
                app_secrets: vec!["secret".into()],
                verify_token: "verify".into(),
                proofs: Vec::new(),
            },
        };
        let once = Once::default();
        let mut made = None;
        let keep = std::sync::Mutex::new(&mut made);
        let show = |c: store::Connection| {
            **keep.lock().unwrap() = Some((c.id, c.stream));
        };
        self.store
            .create_connection(connection, &once, show)
            .await
            .unwrap();
        let (connection, stream) = made.unwrap();
        let sender = NewSender {
            connection,
            phone_number_id: NUMBER.to_owned(),
            display_phone_number: None,
            waba_id: Some(WABA.to_owned()),
            messages_per_second: 1000,
        };
        let made = std::sync::Mutex::new(None);
        let show = |sender: store::senders::Sender| *made.lock().unwrap() = Some(sender.id);
        self.store
            .create_sender(&sender, &once, show)
            .await
            .unwrap();
        let sender = made.lock().unwrap().unwrap();
        Place {
            number: self.histories,
            connection,
            stream,
            sender,
        }
    }

    /// Nobody owns what is left of a history; its rows stay, for who wants to look.
    pub async fn end(&mut self, place: &Place) {
        for instance in std::mem::take(&mut self.instances) {
            self.intakes.push(instance.stop_at_once().await);
        }
        for sql in [
            "DELETE FROM templates WHERE connection = $1",
            "DELETE FROM senders WHERE connection = $1",
            "DELETE FROM instances WHERE $1::uuid IS NOT NULL",
        ] {
            let delete = sqlx::query(sql).bind(place.connection.0);
            delete.execute(&mut self.session).await.unwrap();
        }
    }

    pub fn is_served(&self) -> bool {
        !self.instances.is_empty()
    }

    /// One more instance, up to two.
    pub fn start(&mut self) {
        if self.instances.len() >= 2 {
            return;
        }
        let intake = self.intakes.pop();
        let intake = intake.unwrap_or_else(|| Intake::begin(&self.common));
        self.instances.push(Instance::begin(intake, &self.common));
    }

    /// An instance dies: every one of its tasks is dropped where it stands. Once they are gone
    /// the time in which they could have been alive is over for the others.
    pub async fn crash(&mut self, which: usize, place: &Place) {
        if self.instances.is_empty() {
            return;
        }
        let dead = self.instances.swap_remove(which % self.instances.len());
        dead.die().await;
        // A claim whose transaction is still being rolled back, or committed, is waited for.
        self.end_lease(place).await;
        if self.instances.is_empty() {
            self.outlive_claims(place).await;
        }
        self.instances
            .iter()
            .for_each(|other| other.signals.sender_is_free());
    }

    async fn end_lease(&mut self, place: &Place) {
        sqlx::query(
            "UPDATE senders SET lease_until = clock_timestamp()
             WHERE id = $1 AND lease_owner IS NOT NULL",
        )
        .bind(place.sender.0)
        .execute(&mut self.session)
        .await
        .unwrap();
    }

    /// No answer can come any more to what was claimed, as after `post_timeout`.
    async fn outlive_claims(&mut self, place: &Place) {
        sqlx::query(
            "UPDATE sequences SET claim_until = clock_timestamp() - interval '1 s'
             WHERE sender = $1 AND work = 'claimed'",
        )
        .bind(place.sender.0)
        .execute(&mut self.session)
        .await
        .unwrap();
    }

    /// An instance ends as it should: what it does is done, what it owns is given back.
    pub async fn stop(&mut self) {
        if self.instances.len() >= 2 {
            self.drain().await;
        }
    }

    /// The oldest instance ends; every answer that still comes has been recorded by then.
    pub async fn drain(&mut self) {
        if self.instances.is_empty() {
            return;
        }
        let stopped = self.instances.remove(0).stop().await;
        self.intakes.push(stopped);
        for other in &self.instances {
            other.signals.sender_is_free();
        }
    }

    /// The lease ends while its owner lives and does not know.
    pub async fn expire_lease(&mut self, place: &Place) {
        self.end_lease(place).await;
        for instance in &self.instances {
            instance.signals.sender_is_free();
        }
    }

    /// Somebody committed something, or time has passed: a hint, to save waiting for the period.
    pub fn poke(&self, sender: SenderId) {
        for instance in &self.instances {
            instance.signals.due_here(sender);
        }
    }

    /// A webhook, as the handler takes it, at one of the instances.
    pub fn webhook(
        &self,
        place: &Place,
        body: &Value,
        which: usize,
    ) -> Option<impl Future<Output = bool> + use<>> {
        let instance = self.instances.get(which % self.instances.len().max(1))?;
        let ingest = instance.ingest.clone();
        let body = serde_json::to_vec(body).unwrap();
        let body = Bytes::from(body);
        let deadline = self.clock.monotonic() + ingest.deadline();
        let (connection, stream) = (place.connection, place.stream);
        let received_at = self.clock.now();
        Some(async move {
            let Ok((decoded, share)) = ingest
                .decode(twotick::model::provider::Provider::Meta, &body, deadline)
                .await
            else {
                return false;
            };
            let webhook = Webhook {
                connection,
                provider: twotick::model::provider::Provider::Meta,
                stream,
                received_at,
                headers: Map::new(),
                body,
                decoded,
                share,
            };
            ingest.commit(webhook, deadline).await.is_ok()
        })
    }

    /// Waits until nothing is being posted and nothing is due that may be posted or decided. With
    /// `true`, also until no POST is under way at the provider. `None`: it never came to rest.
    pub async fn settle(&mut self, place: &Place, exchanges: bool) -> Option<Agenda> {
        let until = self.clock.monotonic() + self.patience;
        loop {
            // Marked as seen before the look, so that no change is missed after it.
            let changes: Vec<_> = self.instances.iter().map(|i| i.signals.changes()).collect();
            let open = exchanges && self.provider.log().open > 0;
            let agenda = self.look(place).await;
            if !open && !agenda.is_busy {
                return Some(agenda);
            }
            if self.clock.monotonic() > until {
                return None;
            }
            if !any_changes(changes).await {
                self.poke(place.sender);
            }
        }
    }

    /// What is to be done now and later, all at one moment: time goes on between two looks.
    pub async fn look(&mut self, place: &Place) -> Agenda {
        let agenda: (bool, bool, Option<OffsetDateTime>) = sqlx::query_as(
            "SELECT EXISTS (
                 SELECT FROM sequences q
                 WHERE q.sender = $1 AND (q.work = 'claimed' OR (q.due_at <= $2 AND (q.lane = '' OR (
                     q.lane <> '=' AND s.status = 'active' AND c.stopped_at IS NULL
                     AND NOT EXISTS (SELECT FROM templates t WHERE t.connection = c.id
                         AND NOT t.sendable AND t.name || '/' || t.language = q.lane)))))
             ) OR EXISTS (
                 SELECT FROM templates t WHERE t.connection = $3 AND t.read_due_at <= $2
             ),
             s.status <> 'active' OR c.stopped_at IS NOT NULL,
             (SELECT min(at) FROM (
                 SELECT due_at AS at FROM sequences WHERE sender = $1 AND lane <> '='
                 UNION ALL
                 SELECT read_due_at FROM templates WHERE connection = $3
             ) x WHERE at > $2)
             FROM senders s JOIN connections c ON c.id = s.connection WHERE s.id = $1",
        )
        .bind(place.sender.0)
        .bind(self.clock.now())
        .bind(place.connection.0)
        .fetch_one(&mut self.session)
        .await
        .unwrap();
        let (is_busy, is_closed, next_due) = agenda;
        Agenda {
            is_busy,
            is_closed,
            next_due,
        }
    }

    /// Transactions that hold the feed back, on this server.
    pub async fn open_transactions(&mut self) -> Vec<String> {
        sqlx::query_scalar(
            "SELECT concat_ws(' ', datname, pid, state, clock_timestamp() - state_change, wait_event_type, query)
             FROM pg_stat_activity
             WHERE backend_xid IS NOT NULL AND xact_start < clock_timestamp() - interval '1 s'",
        )
        .fetch_all(&mut self.session)
        .await
        .unwrap()
    }

    /// The ids of the facts of a stream.
    pub async fn facts_of(&mut self, stream: i32) -> HashSet<Uuid> {
        let ids: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM facts WHERE stream = $1")
            .bind(stream)
            .fetch_all(&mut self.session)
            .await
            .unwrap();
        ids.into_iter().collect()
    }
}

/// The worlds' own, so that it may do without what only a crash of the machine needs.
async fn server() -> &'static TestServer {
    static OWN: OnceCell<TestServer> = OnceCell::const_new();
    let migrate = |url: String| async move { store::migrate(&url).await };
    if is_given() {
        return TestServer::shared(migrate).await.unwrap();
    }
    let settings = [
        ("full_page_writes", "off"),
        ("wal_level", "minimal"),
        ("max_wal_senders", "0"),
        ("max_wal_size", "2GB"),
        ("checkpoint_timeout", "1h"),
        ("autovacuum", "off"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let options = Options {
        settings: settings.to_vec(),
        ..Options::default()
    };
    let start = || async { TestServer::private(options, migrate).await.unwrap() };
    OWN.get_or_init(start).await
}

/// Waits until an instance says that it has committed something, for a while: what it decides
/// without saying so, and what the provider does, is seen then.
async fn any_changes(changes: Vec<watch::Receiver<u64>>) -> bool {
    const A_WHILE: Duration = Duration::from_millis(15);
    let mut waiting = JoinSet::new();
    for mut change in changes {
        waiting.spawn(async move { change.changed().await.is_ok() });
    }
    let changed = tokio::time::timeout(A_WHILE, waiting.join_next()).await;
    matches!(changed, Ok(Some(Ok(true))))
}

/// Whether the server is somebody else's.
fn is_given() -> bool {
    std::env::var("DATABASE_URL").is_ok_and(|url| !url.is_empty())
}
