//! The HTTP side: webhooks in, the API, health. A file a resource, each with its own router;
//! what is the same for all (ids of requests, errors, keys, pages) has a file of its own.
//!
//! Handlers read the request, call `store`, and show what it says. They decide nothing about
//! messages: that is `model`'s.

mod at_provider;
mod audit;
mod auth;
mod body;
mod campaign_view;
mod campaigns;
mod capabilities;
mod carrier;
mod compress;
mod connections;
mod content;
mod deliveries;
mod describe;
mod docs;
mod erase;
mod event_data;
mod event_items;
mod events;
mod flows;
mod health;
mod journal;
mod json;
mod keys;
mod listener;
mod logos;
mod lookup;
mod managed;
mod media;
mod message_edit;
mod message_list;
mod message_view;
mod message_wait;
mod messages;
mod moment;
mod object;
mod observe;
mod once;
mod openapi;
mod page;
mod passing;
mod peer;
mod permit;
mod problem;
mod profiles;
mod quiet;
mod recipient_lines;
mod recipients;
mod request;
mod schema;
mod sender_manage;
mod senders;
mod sequence_view;
mod sequences;
mod stream;
mod subscriptions;
mod tag;
mod template_diff;
mod template_manage;
mod templates;
mod tls;
mod token;
mod webhook_auth;
mod webhook_subscriptions;
mod webhooks;
mod welcome;
mod wording;

use std::ops::Deref;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{MatchedPath, State};
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use utoipa_axum::router::OpenApiRouter;

use self::body::Budget;
use crate::clock::Clock;
use crate::config::Config;
use crate::forward::Forwarding;
use crate::ingest::Ingest;
use crate::manage::Manage;
use crate::signals::Signals;
use crate::store::{ConnectionCache, KeyCache, Store};

pub use events::show as show_event;
pub use listener::serve;
pub use problem::{ApiError, FieldError};
pub use tls::{Tls, TlsError};

/// What handlers work with. Clones share everything: each request makes some.
#[derive(Debug, Clone)]
pub struct Api(Arc<Parts>);

/// What the clones of an [`Api`] share.
#[derive(Debug)]
pub struct Parts {
    store: Store,
    connections: ConnectionCache,
    keys: KeyCache,
    carriers: carrier::Carriers,
    ingest: Ingest,
    signals: Signals,
    forwarding: Forwarding,
    manage: Manage,
    /// What is done to its end, whether its caller waits for it or not.
    work: TaskTracker,
    /// Streams of events that are open.
    streams: Arc<AtomicUsize>,
    /// Requests that may wait for a status.
    waits: Semaphore,
    config: Arc<Config>,
    metrics: Option<PrometheusHandle>,
    /// `/openapi.json`, once the router is made that it describes.
    document: OnceLock<openapi::Document>,
    /// For the bodies of webhooks, and for those of API calls.
    webhook_bytes: Budget,
    api_bytes: Budget,
    /// For recipients that are uploaded.
    upload_bytes: Budget,
}

impl Deref for Api {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Api {
    /// `metrics` is what `/metrics` shows, where this process records any.
    #[allow(
        clippy::too_many_arguments,
        reason = "the parts of the service, each once"
    )]
    pub fn new(
        store: Store,
        connections: ConnectionCache,
        ingest: Ingest,
        signals: Signals,
        forwarding: Forwarding,
        manage: Manage,
        config: Arc<Config>,
        metrics: Option<PrometheusHandle>,
    ) -> Self {
        Self(Arc::new(Parts {
            keys: KeyCache::new(store.clone()),
            carriers: carrier::Carriers::default(),
            store,
            connections,
            ingest,
            signals,
            forwarding,
            manage,
            work: TaskTracker::new(),
            streams: Arc::default(),
            waits: Semaphore::new(config.http.max_waits),
            webhook_bytes: Budget::new(config.ingest.queue_bytes),
            api_bytes: Budget::new(config.http.api_bytes),
            upload_bytes: Budget::new(recipients::ALL_MEMORY),
            config,
            metrics,
            document: OnceLock::new(),
        }))
    }

    /// What goes on although whoever asked for it may have gone.
    pub fn work(&self) -> TaskTracker {
        self.work.clone()
    }

    fn clock(&self) -> &Clock {
        self.store.clock()
    }
}

/// What needs a key.
fn v1() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .merge(connections::router())
        .merge(senders::router())
        .merge(sender_manage::router())
        .merge(profiles::router())
        .merge(logos::router())
        .merge(messages::router())
        .merge(message_list::router())
        .merge(message_edit::router())
        .merge(lookup::router())
        .merge(sequences::router())
        .merge(campaigns::router())
        .merge(recipients::router())
        .merge(erase::router())
        .merge(templates::router())
        .merge(template_manage::router())
        .merge(template_diff::router())
        .merge(flows::router())
        .merge(welcome::router())
        .merge(media::router())
        .merge(capabilities::router())
        .merge(webhook_subscriptions::router())
        .merge(token::router())
        .merge(events::router())
        .merge(stream::router())
        .merge(subscriptions::router())
        .merge(deliveries::router())
        .merge(journal::router())
        .merge(keys::router())
        .merge(audit::router())
}

/// All of it, around what needs a key.
fn all(v1: OpenApiRouter<Api>) -> (Router<Api>, utoipa::openapi::OpenApi) {
    openapi::begin()
        .nest("/v1", v1)
        .merge(webhooks::router())
        .merge(health::router())
        .merge(openapi::router())
        .split_for_parts()
}

/// What `/openapi.json` serves, for people to read.
pub fn openapi() -> Result<String, serde_json::Error> {
    openapi::Document::of(all(v1()).1).pretty()
}

/// The same, to read.
pub fn described() -> serde_json::Value {
    openapi::Document::of(all(v1()).1).value()
}

/// An address that takes other methods; `Allow` names them too.
async fn other_method(
    State(api): State<Api>,
    path: Option<MatchedPath>,
    method: Method,
) -> ApiError {
    let document = api.document.get();
    let taken = path.and_then(|path| document?.methods(path.as_str()));
    ApiError::MethodNotAllowed(match taken {
        Some(taken) => format!("this address takes {taken}, and not `{method}`"),
        None => format!("this address does not take `{method}`"),
    })
}

/// Everything that is served.
pub fn router(api: Api) -> Router {
    let guard = from_fn_with_state(api.clone(), auth::guard);
    let (router, described) = all(v1().route_layer(guard));
    // Whoever makes two routers of one service describes the same twice.
    let _ = api.document.set(openapi::Document::of(described));
    router
        .merge(docs::router())
        .fallback(async || ApiError::NotFound("address"))
        .method_not_allowed_fallback(other_method)
        .layer(from_fn_with_state(api.clone(), observe::observe))
        .with_state(api)
}
