//! `/v1/senders/{id}/profile`: what users see of a number, at the provider. Nothing of it is kept
//! here.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::json::Json;
use super::managed::{given, note, refuse};
use super::once::OnceBody;
use super::problem::ApiError;
use super::sender_manage::Done;
use crate::model::ids::SenderId;
use crate::provider::operations::senders::{READ_PROFILE, UPDATE_PROFILE};
use crate::provider::profile::{self, Profile};
use crate::store::Once;

/// How to find out whether a change was made.
const LOOK: &str = "look with `GET /v1/senders/{id}/profile`; the same change again does no harm";

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(one, update))
}

/// A number's business profile, in Meta's words.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BusinessProfile)]
struct View {
    sender: SenderId,
    about: Option<String>,
    address: Option<String>,
    description: Option<String>,
    email: Option<String>,
    websites: Vec<String>,
    /// What the business does, such as `RETAIL`.
    vertical: Option<String>,
    /// Infobip's: the name that users see.
    display_name: Option<String>,
    /// Meta's and 360dialog's: where its picture is.
    picture_url: Option<String>,
    /// The provider's own answer; a list of them where it takes several calls.
    provider: Value,
}

impl View {
    fn of(sender: SenderId, profile: Profile, provider: Value) -> Self {
        Self {
            sender,
            about: profile.about,
            address: profile.address,
            description: profile.description,
            email: profile.email,
            websites: profile.websites,
            vertical: profile.vertical,
            display_name: profile.display_name,
            picture_url: profile.picture_url,
            provider,
        }
    }
}

/// Shows a number's business profile, from the provider.
#[utoipa::path(
    get,
    path = "/senders/{id}/profile",
    operation_id = "get_sender_profile",
    tag = "Senders",
    params(("id" = SenderId, Path)),
    responses((status = 200, body = View)),
)]
async fn one(State(api): State<Api>, Path(sender): Path<String>) -> Result<Json<View>, ApiError> {
    let (sender, account) = api.sender_account(&sender, &READ_PROFILE).await?;
    api.keys_own(&account, &sender).await?;
    let (profile, provider) = api.manage.profile(&account).await?;
    Ok(Json(View::of(sender.id, profile, provider)))
}

/// What is to be changed of a business profile. An empty text takes away what stands there.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BusinessProfileChange)]
struct Update {
    /// 139 characters, at Infobip 130.
    #[schema(max_length = 139)]
    about: Option<String>,
    #[schema(max_length = 256)]
    address: Option<String>,
    #[schema(max_length = 512)]
    description: Option<String>,
    #[schema(max_length = 128)]
    email: Option<String>,
    #[schema(max_items = 2)]
    websites: Option<Vec<String>>,
    /// Meta's word, such as `RETAIL`.
    vertical: Option<String>,
}

/// Changes a number's business profile: what is not named stays.
#[utoipa::path(
    patch,
    path = "/senders/{id}/profile",
    operation_id = "update_sender_profile",
    tag = "Senders",
    params(("id" = SenderId, Path), Once),
    request_body = Update,
    responses((status = 200, body = Done)),
)]
async fn update(
    State(api): State<Api>,
    Path(sender): Path<String>,
    OnceBody(once, change): OnceBody<Update>,
) -> Result<Response, ApiError> {
    let (sender, account) = api.sender_account(&sender, &UPDATE_PROFILE).await?;
    note(&account, &format!("number {}", sender.phone_number_id));
    let change = match serde_json::to_value(change) {
        Ok(Value::Object(members)) => given(members),
        _ => return Err(ApiError::Internal),
    };
    if change.is_empty() {
        return Err(ApiError::field("", "expected something to change"));
    }
    let provider = account.connection.provider;
    refuse(profile::check(provider, &Value::Object(change.clone())))?;
    let work = async {
        api.keys_own(&account, &sender).await?;
        let done = api.manage.update_profile(&account, &change).await?;
        Ok(Done::of(sender.id, done))
    };
    let done = api.once(&once, StatusCode::OK, work).await;
    done.map_err(|error| error.found_out_by(LOOK))
}
