//! `/v1/connections/{id}/token`: what the provider says of the connection's key.

use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::json::Json;
use super::moment::Moment;
use super::problem::ApiError;
use crate::model::ids::ConnectionId;
use crate::provider::subscriptions::Token;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(token))
}

/// What the provider says of a connection's key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConnectionToken)]
struct TokenView {
    /// Meta's id of the app that it is of.
    app_id: Option<String>,
    app_name: Option<String>,
    valid: bool,
    /// `null`: it does not expire.
    expires_at: Option<Moment>,
    permissions: Vec<String>,
    /// Those of `whatsapp_business_messaging` and `whatsapp_business_management` that it lacks.
    missing_permissions: Vec<&'static str>,
    /// The accounts that it is for; none are named where it is for all.
    waba_ids: Vec<String>,
    /// How many seconds the provider's clock is ahead of this service's.
    provider_clock_offset_seconds: Option<i64>,
    /// The provider's own answer.
    provider: Value,
}

/// Without the one nothing is sent, without the other nothing is managed.
const NEEDED: [&str; 2] = [
    "whatsapp_business_messaging",
    "whatsapp_business_management",
];

impl From<(Token, Value, Option<i64>)> for TokenView {
    fn from((token, provider, offset): (Token, Value, Option<i64>)) -> Self {
        let missing = NEEDED
            .into_iter()
            .filter(|it| !token.permissions.iter().any(|permission| permission == it));
        let at = |seconds| OffsetDateTime::from_unix_timestamp(seconds).ok();
        Self {
            missing_permissions: missing.collect(),
            app_id: token.app_id,
            app_name: token.app,
            valid: token.is_valid,
            expires_at: token.expires_at.and_then(at).map(Moment),
            permissions: token.permissions,
            waba_ids: token.accounts,
            provider_clock_offset_seconds: offset,
            provider,
        }
    }
}

/// Shows whose the connection's key is, what it may do, and until when.
#[utoipa::path(
    get,
    path = "/connections/{id}/token",
    operation_id = "get_connection_token",
    tag = "Connections",
    params(("id" = ConnectionId, Path)),
    responses((status = 200, body = TokenView)),
)]
async fn token(
    State(api): State<Api>,
    Path(connection): Path<String>,
) -> Result<Json<TokenView>, ApiError> {
    let connection = api.connection_of(&connection).await?;
    Ok(Json(api.manage.token(&connection).await?.into()))
}
