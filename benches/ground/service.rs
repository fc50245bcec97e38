//! The service in this process, with one connection to a provider.

use std::net::SocketAddr;
use std::path::Path;

use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use twotick::clock::Clock;
use twotick::config::Config;
use twotick::model::ids::ConnectionId;
use twotick::model::provider::Provider;
use twotick::seal::SealingKey;
use twotick::service::Service;
use twotick::store::{Credentials, NewConnection, Once, Store};

/// What webhooks are signed with.
pub const SECRET: &str = "an app secret";

/// A store, and a connection in it; nothing runs yet.
pub struct Prepared {
    pub config: Config,
    pub store: Store,
    pub connection: ConnectionId,
    sealing_key: SecretString,
}

pub struct Running {
    pub address: SocketAddr,
    stop: CancellationToken,
    service: JoinHandle<()>,
}

/// With the settings that are the default; `base_url` is the provider's.
pub async fn prepare(url: &str, base_url: String) -> Prepared {
    let config = Config::load(None::<&Path>).unwrap();
    let sealing_key = SealingKey::generate();
    let store = open(url, &config, &sealing_key).await;
    let new = NewConnection {
        name: "bench".to_owned(),
        provider: Provider::Meta,
        base_url,
        api_version: Some("v25.0".to_owned()),
        client_certificate_names: Vec::new(),
        credentials: Credentials {
            access_token: "token".to_owned().into(),
            app_secrets: vec![SECRET.to_owned().into()],
            verify_token: "verify".to_owned().into(),
            proofs: Vec::new(),
        },
    };
    store
        .create_connection(new, &Once::default(), |made| made.id)
        .await
        .unwrap();
    let connection = store.list_connections(None, 1).await.unwrap().remove(0).id;
    Prepared {
        config,
        store,
        connection,
        sealing_key,
    }
}

async fn open(url: &str, config: &Config, sealing_key: &SecretString) -> Store {
    let key = SealingKey::parse(sealing_key).unwrap();
    let store = Store::open(url, &config.database, key, Clock::system());
    store.await.unwrap()
}

impl Prepared {
    /// Another instance over the same database, with connections of its own.
    pub async fn another(&self, url: &str) -> Self {
        Self {
            config: self.config.clone(),
            store: open(url, &self.config, &self.sealing_key).await,
            connection: self.connection,
            sealing_key: self.sealing_key.clone(),
        }
    }

    pub async fn run(self) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let service = Service {
            config: self.config,
            store: self.store,
            metrics: None,
        }
        .run(listener, stop.clone());
        let service = tokio::spawn(async move { service.await.unwrap() });
        Running {
            address,
            stop,
            service,
        }
    }
}

impl Running {
    pub async fn stop(self) {
        self.stop.cancel();
        self.service.await.unwrap();
    }
}
