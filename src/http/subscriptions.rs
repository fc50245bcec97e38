//! `/v1/subscriptions`: where internal services want events posted. A secret is shown once, when
//! it is made; what comes of deliveries is in `deliveries.rs`.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::content::Span;
use super::json::Json;
use super::moment::Moment;
use super::once::{OnceBody, answer};
use super::page::{IdCursor, Limit, Page};
use super::problem::{ApiError, FieldError};
use super::request::{Body, Query, id};
use super::schema::{SubscriptionFormat, SubscriptionStatus};
use crate::config::LONGEST_DELIVERY;
use crate::feed::TypePattern;
use crate::forward::new_secret;
use crate::model::duration;
use crate::model::ids::{ConnectionId, SenderId, SubscriptionId};
use crate::store::Once;
use crate::store::subscriptions::{Secrets, Subscription, SubscriptionChange, Wanted};

type Subscriptions = Page<View>;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(one, update, remove))
        .routes(routes!(rotate))
}

/// The most entries of a filter.
const MOST: usize = 100;

/// The longest URL, and the longest description.
const LONGEST_TEXT: usize = 2048;

/// Where events are to be posted, and which.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSubscription)]
struct Create {
    /// `https://`, unless `forward.allow_http` is on. Redirects are not followed, and nothing is
    /// posted to an address that is not public, unless `forward.allow` names it.
    #[schema(
        max_length = 2048,
        example = "https://orders.example.com/hooks/twotick"
    )]
    url: String,
    /// For people.
    #[schema(max_length = 2048)]
    description: Option<String>,
    /// Types of events; one that ends in `*` stands for all that begin so. None: all types.
    #[schema(max_items = 100, example = json!(["message.*", "sequence.completed"]))]
    types: Option<Vec<String>>,
    /// Events of these senders alone.
    #[schema(max_items = 100)]
    senders: Option<Vec<SenderId>>,
    /// Events of these connections alone.
    #[schema(max_items = 100)]
    connections: Option<Vec<ConnectionId>>,
    /// `event`.
    #[schema(value_type = Option<SubscriptionFormat>)]
    format: Option<String>,
    /// How long the endpoint may take to answer, `1s` to `30s`; `forward.timeout_ms` where
    /// nothing is said.
    timeout: Option<Span>,
}

/// What may be changed; an empty list narrows nothing. `status` `active` opens one that was
/// disabled: it goes on where it stopped.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SubscriptionChange)]
struct Update {
    #[schema(max_length = 2048)]
    url: Option<String>,
    /// An empty text takes it away.
    #[schema(max_length = 2048)]
    description: Option<String>,
    #[schema(max_items = 100)]
    types: Option<Vec<String>>,
    #[schema(max_items = 100)]
    senders: Option<Vec<SenderId>>,
    #[schema(max_items = 100)]
    connections: Option<Vec<ConnectionId>>,
    #[schema(value_type = Option<SubscriptionFormat>)]
    format: Option<String>,
    timeout: Option<Span>,
    #[schema(value_type = Option<SubscriptionStatus>)]
    status: Option<String>,
}

/// Where events are posted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Subscription)]
struct View {
    id: SubscriptionId,
    url: String,
    description: Option<String>,
    /// Empty: all.
    types: Vec<String>,
    /// Empty: all.
    senders: Vec<SenderId>,
    /// Empty: all.
    connections: Vec<ConnectionId>,
    #[schema(value_type = SubscriptionFormat)]
    format: String,
    #[schema(value_type = Span)]
    timeout: String,
    #[schema(value_type = SubscriptionStatus)]
    status: String,
    disabled_reason: Option<String>,
    disabled_at: Option<Moment>,
    /// Since when it has taken nothing of what was posted to it.
    failing_since: Option<Moment>,
    /// Until when deliveries are signed with secrets of before, too.
    previous_secret_until: Option<Moment>,
    created_at: Moment,
}

/// The same with its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SubscriptionWithSecret)]
struct WithSecret {
    /// Shown this once. Deliveries are signed with it as Standard Webhooks says: `whsec_`, and 32
    /// bytes in base64.
    #[schema(example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")]
    secret: String,
    #[serde(flatten)]
    subscription: View,
}

impl From<Subscription> for View {
    fn from(subscription: Subscription) -> Self {
        let wanted = subscription.wanted;
        Self {
            id: subscription.id,
            url: wanted.url,
            description: wanted.description,
            types: wanted.types,
            senders: wanted.senders,
            connections: wanted.connections,
            format: wanted.format,
            timeout: duration::show(wanted.timeout),
            status: subscription.status,
            disabled_reason: subscription.disabled_reason,
            disabled_at: subscription.disabled_at.map(Moment),
            failing_since: subscription.failing_since.map(Moment),
            previous_secret_until: subscription
                .secrets
                .and_then(|secrets| secrets.previous.iter().map(|(_, until)| *until).max())
                .map(Moment),
            created_at: subscription.created_at.into(),
        }
    }
}

impl From<Subscription> for WithSecret {
    fn from(subscription: Subscription) -> Self {
        Self {
            // Made in this request: it is there.
            secret: subscription
                .secrets
                .as_ref()
                .map(|secrets| secrets.current.expose_secret().to_owned())
                .unwrap_or_default(),
            subscription: subscription.into(),
        }
    }
}

/// What is checked of either.
struct Fields<'a> {
    url: Option<&'a str>,
    description: Option<&'a str>,
    types: Option<&'a [String]>,
    filters: [Option<usize>; 2],
    format: Option<&'a str>,
    timeout: Option<Duration>,
}

impl Fields<'_> {
    fn check(&self, api: &Api) -> Result<(), ApiError> {
        let mut errors = Vec::new();
        if let Some(url) = self.url {
            let checked = match url.len() > LONGEST_TEXT {
                true => Err("expected a shorter URL".to_owned()),
                false => api.forwarding.poster.check(url).map(|_| ()),
            };
            errors.extend(checked.err().map(|said| FieldError::new("url", said)));
        }
        if self
            .description
            .is_some_and(|text| text.len() > LONGEST_TEXT)
        {
            errors.push(FieldError::new("description", "expected a shorter text"));
        }
        for (at, text) in self.types.unwrap_or_default().iter().enumerate() {
            let wrong = TypePattern::wanted(text).err();
            errors.extend(wrong.map(|said| FieldError::new(format!("types[{at}]"), said)));
        }
        let lengths = [self.types.map(<[_]>::len), self.filters[0], self.filters[1]];
        for (name, length) in ["types", "senders", "connections"].iter().zip(lengths) {
            if length.is_some_and(|length| length > MOST) {
                errors.push(FieldError::new(*name, format!("expected at most {MOST}")));
            }
        }
        if self
            .format
            .is_some_and(|word| !matches!(word, "event" | "cloudevents"))
        {
            let said = "expected `event` or `cloudevents`";
            errors.push(FieldError::new("format", said));
        }
        let span = Duration::from_secs(1)..=LONGEST_DELIVERY;
        if self.timeout.is_some_and(|timeout| !span.contains(&timeout)) {
            errors.push(FieldError::new("timeout", "expected `1s` to `30s`"));
        }
        match errors.is_empty() {
            true => Ok(()),
            false => Err(ApiError::Invalid(errors)),
        }
    }
}

/// Makes a subscription: it is told of what happens from now on.
///
/// Events are posted at least once, those of one subject in their order, signed as Standard
/// Webhooks says (`webhook-id`, `webhook-timestamp`, `webhook-signature`). Any 2xx takes an event;
/// 410 disables the subscription.
#[utoipa::path(
    post,
    path = "/subscriptions",
    operation_id = "create_subscription",
    tag = "Subscriptions",
    params(Once),
    request_body = Create,
    responses((status = 201, body = WithSecret)),
)]
async fn create(
    State(api): State<Api>,
    OnceBody(once, new): OnceBody<Create>,
) -> Result<Response, ApiError> {
    let timeout = new.timeout.map(|span| span.0);
    let fields = Fields {
        url: Some(&new.url),
        description: new.description.as_deref(),
        types: new.types.as_deref(),
        filters: [
            new.senders.as_ref().map(Vec::len),
            new.connections.as_ref().map(Vec::len),
        ],
        format: new.format.as_deref(),
        timeout,
    };
    fields.check(&api)?;
    let wanted = Wanted {
        url: new.url,
        description: new.description.filter(|text| !text.is_empty()),
        types: new.types.unwrap_or_default(),
        senders: new.senders.unwrap_or_default(),
        connections: new.connections.unwrap_or_default(),
        format: new.format.unwrap_or_else(|| "event".to_owned()),
        timeout: timeout.unwrap_or(api.config.forward.timeout),
    };
    let secrets = Secrets {
        current: new_secret(),
        previous: Vec::new(),
    };
    let made = api
        .store
        .create_subscription(&wanted, &secrets, &once, WithSecret::from);
    answer(StatusCode::CREATED, made.await?)
}

/// Changes a subscription, disables it, or opens it again.
#[utoipa::path(
    patch,
    path = "/subscriptions/{id}",
    operation_id = "update_subscription",
    tag = "Subscriptions",
    params(("id" = SubscriptionId, Path)),
    request_body = Update,
    responses((status = 200, body = View)),
)]
async fn update(
    State(api): State<Api>,
    Path(subscription): Path<String>,
    Body(new): Body<Update>,
) -> Result<Json<View>, ApiError> {
    let subscription = id(&subscription, "subscription")?;
    let timeout = new.timeout.map(|span| span.0);
    let fields = Fields {
        url: new.url.as_deref(),
        description: new.description.as_deref(),
        types: new.types.as_deref(),
        filters: [
            new.senders.as_ref().map(Vec::len),
            new.connections.as_ref().map(Vec::len),
        ],
        format: new.format.as_deref(),
        timeout,
    };
    fields.check(&api)?;
    let active = match new.status.as_deref() {
        None => None,
        Some("active") => Some(true),
        Some("disabled") => Some(false),
        Some(_) => return Err(ApiError::field("status", "expected `active` or `disabled`")),
    };
    let change = SubscriptionChange {
        url: new.url,
        description: new
            .description
            .map(|text| Some(text).filter(|text| !text.is_empty())),
        types: new.types,
        senders: new.senders,
        connections: new.connections,
        format: new.format,
        timeout,
        active,
    };
    let updated = api.store.update_subscription(subscription, &change).await?;
    let updated = updated.ok_or(ApiError::NotFound("subscription"))?;
    Ok(Json(updated.into()))
}

/// Deletes a subscription. What it was not told of yet it never will be.
#[utoipa::path(
    delete,
    path = "/subscriptions/{id}",
    operation_id = "delete_subscription",
    tag = "Subscriptions",
    params(("id" = SubscriptionId, Path)),
    responses((status = 204, description = "It is gone.")),
)]
async fn remove(
    State(api): State<Api>,
    Path(subscription): Path<String>,
) -> Result<StatusCode, ApiError> {
    let subscription = id(&subscription, "subscription")?;
    match api.store.delete_subscription(subscription).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::NotFound("subscription")),
    }
}

/// Shows a subscription.
#[utoipa::path(
    get,
    path = "/subscriptions/{id}",
    operation_id = "get_subscription",
    tag = "Subscriptions",
    params(("id" = SubscriptionId, Path)),
    responses((status = 200, body = View)),
)]
async fn one(
    State(api): State<Api>,
    Path(subscription): Path<String>,
) -> Result<Json<View>, ApiError> {
    let subscription = id(&subscription, "subscription")?;
    let found = api.store.subscription(subscription).await?;
    let found = found.ok_or(ApiError::NotFound("subscription"))?;
    Ok(Json(found.into()))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct List {
    #[serde(default)]
    limit: Limit,
    cursor: Option<IdCursor>,
}

/// Lists subscriptions, the newest first.
#[utoipa::path(
    get,
    path = "/subscriptions",
    operation_id = "list_subscriptions",
    tag = "Subscriptions",
    params(List),
    responses((status = 200, body = Subscriptions)),
)]
async fn list(
    State(api): State<Api>,
    Query(List { limit, cursor }): Query<List>,
) -> Result<Json<Page<View>>, ApiError> {
    let before = cursor.map(IdCursor::id);
    let found = api.store.list_subscriptions(before, limit.rows()).await?;
    let place = |subscription: &Subscription| subscription.id.0.into_bytes();
    Ok(Json(Page::of(found, limit, place, View::from)))
}

/// How a secret is replaced.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SecretRotation)]
struct Rotate {
    /// For how long deliveries are signed with the secret of before, too: `24h`.
    overlap: Option<Span>,
}

/// How long the secret of before is good where nothing is said.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);

/// Gives a subscription another secret.
///
/// Until the overlap is over deliveries bear two signatures, of the new secret and of the one
/// before.
#[utoipa::path(
    post,
    path = "/subscriptions/{id}/rotate-secret",
    operation_id = "rotate_subscription_secret",
    tag = "Subscriptions",
    params(("id" = SubscriptionId, Path), Once),
    request_body = Rotate,
    responses((status = 200, body = WithSecret)),
)]
async fn rotate(
    State(api): State<Api>,
    Path(subscription): Path<String>,
    OnceBody(once, Rotate { overlap }): OnceBody<Rotate>,
) -> Result<Response, ApiError> {
    let subscription = id(&subscription, "subscription")?;
    let until = api.clock().now() + overlap.map_or(OVERLAP, |span| span.0);
    let secret = new_secret();
    let rotated = api
        .store
        .rotate_secret(subscription, &secret, until, &once, WithSecret::from);
    let rotated = rotated.await?.ok_or(ApiError::NotFound("subscription"))?;
    answer(StatusCode::OK, rotated)
}
