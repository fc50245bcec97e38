//! Where providers post webhooks. 200, with an empty body, means that the webhook and all its
//! effects are committed; anything else makes the provider post it again. Nothing is stored
//! before the request has proved whose it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{Path, Query as Pairs, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::timeout_at;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::body::webhook_body;
use super::peer::Peer;
use super::problem::ApiError;
use super::request::{Query, id};
use crate::config::Proxy;
use crate::ingest::{NotCommitted, Webhook};
use crate::model::ids::ConnectionId;
use crate::model::proof::ProofBy;
use crate::model::provider::Provider;
use crate::provider::meta::webhook::{
    HandshakeError, SIGNATURE_HEADER, verify_handshake, verify_signature,
};
use crate::provider::proof::{self, DIALOG360_SIGNATURE_HEADER, Presented};
use crate::store::Connection;

/// What is kept of a request's headers: nothing that could be a secret.
const KEPT_HEADERS: [&str; 4] = [
    "content-type",
    "user-agent",
    "x-hub-signature-256",
    DIALOG360_SIGNATURE_HEADER,
];

/// A body that takes until so shortly before the deadline is too slow itself: 408 says so.
const TO_ANSWER: Duration = Duration::from_millis(50);

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(handshake, receive))
}

/// Meta's parameters. Others may stand beside them.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Handshake {
    /// `subscribe`
    #[serde(rename = "hub.mode")]
    mode: Option<String>,
    #[serde(rename = "hub.verify_token")]
    verify_token: Option<String>,
    #[serde(rename = "hub.challenge")]
    challenge: Option<String>,
}

/// Meta asks whether the address is ours, when it is set.
#[utoipa::path(
    get,
    path = "/webhooks/{connection}",
    operation_id = "verify_webhook_address",
    tag = "Webhooks",
    params(("connection" = ConnectionId, Path), Handshake),
    responses((status = 200, description = "`hub.challenge`, as it came.", body = String, content_type = "text/plain"), (status = 403, description = "forbidden")),
)]
async fn handshake(
    State(api): State<Api>,
    Path(connection): Path<String>,
    Query(asked): Query<Handshake>,
) -> Result<impl IntoResponse, ApiError> {
    let connection = find(&api, &connection).await?;
    let token = [connection.credentials.verify_token.clone()];
    let answer = verify_handshake(
        asked.mode.as_deref(),
        asked.verify_token.as_deref(),
        asked.challenge.as_deref(),
        &token,
    );
    let challenge = answer.map_err(|error| {
        refused("handshake");
        match error {
            HandshakeError::Mode => ApiError::field("hub.mode", error),
            HandshakeError::Challenge => ApiError::field("hub.challenge", error),
            HandshakeError::Token | HandshakeError::NoToken => {
                ApiError::Forbidden(error.to_string())
            }
        }
    })?;
    // As plain text, so that no browser takes the echo for a page.
    let text = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((text, challenge.to_owned()))
}

/// Takes what a provider posts.
///
/// 200, with an empty body, means that the webhook and all its effects are committed. After
/// anything else the provider posts it again.
#[utoipa::path(
    post,
    path = "/webhooks/{connection}",
    operation_id = "receive_webhook",
    tag = "Webhooks",
    params(
        ("connection" = ConnectionId, Path),
        ("secret" = Option<String>, Query, description = "A connection's `webhook_auth.url_secret`."),
        ("X-Hub-Signature-256" = Option<String>, Header, description = "Meta: `sha256=` and the HMAC of the body under an app secret."),
        ("x-360dialog-signature" = Option<String>, Header, description = "360dialog: the HMAC-SHA256 of the body, in hexadecimal."),
    ),
    request_body = Value,
    responses((status = 200, description = "Committed."), (status = 401, description = "unauthorized")),
)]
async fn receive(
    State(api): State<Api>,
    Path(connection): Path<String>,
    request: Request,
) -> Result<(), ApiError> {
    // From here on, because the provider counts from here on.
    let deadline = api.clock().monotonic() + api.ingest.deadline();
    let webhook = timeout_at(deadline.into(), take(&api, &connection, request, deadline))
        .await
        .unwrap_or_else(|_| Err(not_committed(NotCommitted::Deadline)))?;
    let committed = api.ingest.commit(webhook, deadline).await;
    committed.map_err(not_committed)
}

/// What was posted, once it has proved whose it is.
async fn take(
    api: &Api,
    connection: &str,
    request: Request,
    deadline: Instant,
) -> Result<Webhook, ApiError> {
    let connection = find(api, connection).await?;
    let head = Head::of(&request, &api.config.http.proxy);
    let left = deadline.saturating_duration_since(api.clock().monotonic());
    let body = webhook_body(request, api, left.saturating_sub(TO_ANSWER))
        .await
        .inspect_err(|_| refused("body"))?;
    let connection = verify(api, connection, &head, &body).await?;

    let received_at = api.clock().now();
    let decoded = api
        .ingest
        .decode(connection.provider, &body, deadline)
        .await;
    let (decoded, share) = decoded.map_err(not_committed)?;
    Ok(Webhook {
        connection: connection.id,
        provider: connection.provider,
        stream: connection.stream,
        received_at,
        headers: head.kept(&connection),
        body,
        decoded,
        share,
    })
}

fn not_committed(error: NotCommitted) -> ApiError {
    refused("not_committed");
    ApiError::Overloaded(error.to_string())
}

async fn find(api: &Api, connection: &str) -> Result<Arc<Connection>, ApiError> {
    let found = match id::<ConnectionId>(connection, "connection") {
        Ok(connection) => api.connections.get(connection).await?,
        Err(_) => None,
    };
    found.ok_or_else(|| {
        refused("unknown_connection");
        ApiError::NotFound("connection")
    })
}

/// A proof that does not fit is tried again with secrets that may be newer. Returns the connection
/// that it fits.
async fn verify(
    api: &Api,
    connection: Arc<Connection>,
    head: &Head,
    body: &Bytes,
) -> Result<Arc<Connection>, ApiError> {
    let Err(error) = head.proves(&connection, body) else {
        return Ok(connection);
    };
    if let Some(newer) = api.connections.newer(&connection).await?
        && head.proves(&newer, body).is_ok()
    {
        return Ok(newer);
    }
    refused("signature");
    Err(ApiError::BadSignature(error))
}

/// What stands before a request's body.
struct Head {
    headers: HeaderMap,
    /// The parameter `secret` of the URL.
    url_secret: Option<String>,
    /// Of the certificate that it came with.
    certificate_name: Option<String>,
}

impl Head {
    fn of(request: &Request, proxy: &Proxy) -> Self {
        let pairs = Pairs::<Vec<(String, String)>>::try_from_uri(request.uri());
        let pairs = pairs.map(|Pairs(pairs)| pairs).unwrap_or_default();
        let secret = pairs.into_iter().find(|(name, _)| name == "secret");
        Self {
            headers: request.headers().clone(),
            url_secret: secret.map(|(_, secret)| secret),
            certificate_name: Peer::certificate_name(request, proxy),
        }
    }

    /// Whether this is the connection's; else why not.
    fn proves(&self, connection: &Connection, body: &[u8]) -> Result<(), String> {
        let names = &connection.client_certificate_names;
        if !names.is_empty() {
            let Some(name) = &self.certificate_name else {
                return Err("the client certificate is missing".to_owned());
            };
            if !names.contains(name) {
                return Err("the client certificate is somebody else's".to_owned());
            }
        }
        let header = |name: &str| Some(self.headers.get(name)?.as_bytes());
        let credentials = &connection.credentials;
        if connection.provider == Provider::Meta {
            return verify_signature(header(SIGNATURE_HEADER), body, &credentials.app_secrets)
                .map_err(|error| error.to_string());
        }
        let presented = Presented {
            header: &header,
            url_secret: self.url_secret.as_deref(),
            body,
        };
        proof::verify(&credentials.proofs, &presented).map_err(|error| error.to_string())
    }

    /// The headers that the journal has.
    fn kept(&self, connection: &Connection) -> Map<String, Value> {
        let proofs = connection.credentials.proofs.iter();
        let signatures = proofs.filter_map(|proof| match &proof.by {
            ProofBy::Signature { header, .. } => Some(header.as_str()),
            _ => None,
        });
        KEPT_HEADERS
            .into_iter()
            .chain(signatures)
            .filter_map(|name| {
                let value = String::from_utf8_lossy(self.headers.get(name)?.as_bytes());
                Some((name.to_owned(), value.replace('\0', "").into()))
            })
            .collect()
    }
}

fn refused(reason: &'static str) {
    metrics::counter!("twotick_webhooks_refused_total", "reason" => reason).increment(1);
}
