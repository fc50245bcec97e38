//! `/v1/audit`: what was done with keys that manage or administer, and which calls to providers there
//! were beside.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::json::Json;
use super::moment::Moment;
use super::page::{IdCursor, Limit, Page};
use super::problem::ApiError;
use super::request::Query;
use crate::model::ids::KeyId;
use crate::store::audit::Act;

type Acts = Page<View>;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct List {
    /// What was done with this key.
    key: Option<KeyId>,
    #[serde(default)]
    limit: Limit,
    cursor: Option<IdCursor>,
}

/// Something that was done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
struct View {
    /// When it was begun.
    at: Moment,
    /// The key's id, `command` for what was done by command, or `twotick` for what the service reads
    /// at the providers by itself.
    #[schema(example = "key_…")]
    by: String,
    /// The key's name then.
    #[schema(example = "ops")]
    name: String,
    /// A request of this API; where `calls` are counted, an operation at a provider, such as
    /// `templates.read`.
    #[schema(example = "POST /v1/connections")]
    action: String,
    /// The HTTP status that it was answered with; `null` where nobody knows what came of it: the
    /// instance ended meanwhile, or the provider did not answer.
    status: Option<i16>,
    /// Of what was only read at a provider: how many such calls an instance made within the hour of
    /// `at`, the first of them; within the day, by `twotick`. `null` for a request.
    calls: Option<i32>,
    request_id: Option<String>,
    /// What it was about, where its path does not say, and what came of it at a provider.
    detail: Option<String>,
}

impl From<Act> for View {
    fn from(act: Act) -> Self {
        Self {
            at: act.at.into(),
            by: act.by_key,
            name: act.by_name,
            action: act.action,
            status: act.status,
            calls: act.calls,
            request_id: act.request_id,
            detail: act.detail,
        }
    }
}

/// Lists what was done with keys that manage or administer, and what was read at the providers, the
/// newest first.
#[utoipa::path(
    get,
    path = "/audit",
    operation_id = "list_audit",
    tag = "Keys",
    params(List),
    responses((status = 200, body = Acts)),
)]
async fn list(
    State(api): State<Api>,
    Query(asked): Query<List>,
) -> Result<Json<Page<View>>, ApiError> {
    let (before, limit) = (asked.cursor.map(IdCursor::id), asked.limit);
    let by = asked.key.map(|key| key.to_string());
    let found = api
        .store
        .list_acts(by.as_deref(), before, limit.rows())
        .await?;
    let place = |act: &Act| act.id.into_bytes();
    Ok(Json(Page::of(found, limit, place, View::from)))
}
