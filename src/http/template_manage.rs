//! `/v1/templates`, as far as it changes something at the provider, or reads from it. What is asked
//! for is checked whole before anything is sent; who hangs up meanwhile does not undo it.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::at_provider::AtProvider;
use super::json::Json;
use super::managed::{Whose, given, note, refuse};
use super::once::{OnceBody, answer};
use super::problem::ApiError;
use super::request::{Body, Query};
use super::templates::{View, find};
use crate::manage::{Account, Changed, Failed};
use crate::model::ids::{ConnectionId, SenderId, TemplateId};
use crate::model::provider::Provider;
use crate::provider::operations::templates::{
    CREATE_TEMPLATE, CREATE_TEMPLATE_V1, DELETE_TEMPLATE_NAME, EDIT_TEMPLATE, LIST_TEMPLATES,
    LIST_TEMPLATES_V1,
};
use crate::provider::templates::{Filter, check, check_edit, check_v1};
use crate::store::Once;
use crate::store::templates_read::Template;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create, delete_name))
        .routes(routes!(edit, delete))
        .routes(routes!(unpause))
        .routes(routes!(sync))
}

/// A new template, in Meta's words with every provider.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewTemplate)]
struct Create {
    /// A sender of the account: its connection and its account are meant.
    sender: Option<SenderId>,
    /// Needed without `sender`.
    connection: Option<ConnectionId>,
    /// Meta's account; needed where the connection's senders are of several, or of none.
    waba_id: Option<String>,
    #[schema(pattern = "^[a-z0-9_]{1,512}$", example = "order_ready")]
    name: String,
    #[schema(example = "en_GB")]
    language: String,
    /// Infobip: submit it by its first API, deprecated since 29 June 2022, with a category of that.
    #[serde(default)]
    deprecated_v1: bool,
    #[serde(flatten)]
    #[schema(value_type = TemplateContent)]
    content: Map<String, Value>,
}

/// What a template holds: what `provider::meta::definition` knows. What is `null` is not submitted.
#[allow(dead_code, reason = "it is described, and read as it is")]
#[derive(Debug, ToSchema)]
pub(super) struct TemplateContent {
    /// `MARKETING`, `UTILITY` or `AUTHENTICATION`; a new template needs one. The provider may decide
    /// otherwise.
    #[schema(example = "UTILITY")]
    category: Option<String>,
    /// `HEADER`, `BODY`, `FOOTER`, `BUTTONS`, `CAROUSEL`, `LIMITED_TIME_OFFER`, as Meta's page on
    /// template components has them. A new template needs them; an edit replaces all of them.
    #[schema(value_type = Option<Vec<Object>>)]
    components: Option<Value>,
    /// `POSITIONAL` (`{{1}}`) where nothing is said, or `NAMED` (`{{first_name}}`).
    parameter_format: Option<String>,
    /// How long the provider tries to deliver a message of it, in seconds; -1: its default.
    message_send_ttl_seconds: Option<i64>,
    /// Such as `ORDER_STATUS`.
    sub_category: Option<String>,
    /// Meta's: made from a template of its library.
    library_template_name: Option<String>,
    /// Meta's.
    #[schema(value_type = Option<Vec<Object>>)]
    library_template_button_inputs: Option<Value>,
    /// Meta's.
    #[schema(value_type = Option<Object>)]
    library_template_body_inputs: Option<Value>,
    /// Meta's: whether clicks on its URL buttons are not counted.
    cta_url_link_tracking_opted_out: Option<bool>,
}

impl Api {
    /// The account of a template that is known.
    async fn account_of(&self, template: &Template) -> Result<Account, ApiError> {
        let account = self.manage.account_of_template(template).await?;
        account.ok_or(ApiError::NotFound("connection"))
    }

    /// Infobip's account is that of a number: a connection's numbers may be of several.
    async fn only_number(&self, account: &Account) -> Result<(), ApiError> {
        let connection = &account.connection;
        if connection.provider != Provider::Infobip {
            return Ok(());
        }
        match self.store.listing_numbers(connection.id).await?.len() {
            0 | 1 => Ok(()),
            _ => Err(ApiError::field(
                "sender",
                "is needed: the connection has several numbers, which may be of several accounts",
            )),
        }
    }

    /// A template as its provider shows it now.
    pub(super) async fn read_template(&self, template: Template) -> Result<Template, ApiError> {
        let account = self.account_of(&template).await?;
        let id = TemplateId(template.id);
        if !self.manage.read(&account, &template).await? {
            let gone = Box::new(AtProvider::not_there());
            return Err(ApiError::AtProvider(gone));
        }
        let now = self.store.template(id).await?;
        Ok(now.unwrap_or(template))
    }
}

/// Submits a new template for review.
#[utoipa::path(
    post,
    path = "/templates",
    operation_id = "create_template",
    tag = "Templates",
    params(Once),
    request_body = Create,
    responses((status = 201, body = View)),
)]
async fn create(
    State(api): State<Api>,
    OnceBody(once, new): OnceBody<Create>,
) -> Result<Response, ApiError> {
    let whose = Whose::of(new.sender, new.connection, new.waba_id);
    let operation = match new.deprecated_v1 {
        true => &CREATE_TEMPLATE_V1,
        false => &CREATE_TEMPLATE,
    };
    let account = api.account(&whose, operation).await?;
    note(&account, &format!("template {} {}", new.name, new.language));
    let mut definition = given(new.content);
    definition.insert("name".to_owned(), new.name.into());
    definition.insert("language".to_owned(), new.language.into());
    let definition = Value::Object(definition);
    let by_v1 = new.deprecated_v1;
    refuse(match by_v1 {
        true => check_v1(&definition),
        false => check(account.connection.provider, &definition),
    })?;
    let show = |template| api.show_template(template);
    let reply = api.manage.create(&account, &definition, by_v1, &once, show);
    answer(StatusCode::CREATED, reply.await?)
}

fn note_template(account: &Account, template: &Template) {
    note(
        account,
        &format!("template {} {}", template.name, template.language),
    );
}

/// Edits a template: what is not named stays, but all components are replaced where any are named.
/// The provider reviews it again.
#[utoipa::path(
    patch,
    path = "/templates/{id}",
    operation_id = "edit_template",
    tag = "Templates",
    params(("id" = TemplateId, Path), Once),
    request_body = Edit,
    responses((status = 200, body = Answered)),
)]
async fn edit(
    State(api): State<Api>,
    Path(template): Path<String>,
    OnceBody(once, Edit { content }): OnceBody<Edit>,
) -> Result<Response, ApiError> {
    let template = find(&api, &template).await?;
    let account = api.account_of(&template).await?;
    account.has(&EDIT_TEMPLATE)?;
    let change = given(content);
    if change.is_empty() {
        return Err(ApiError::field("", "expected something to change"));
    }
    let change = Value::Object(change);
    let provider = account.connection.provider;
    refuse(check_edit(provider, &change, template.category.as_deref()))?;
    note_template(&account, &template);
    let work = async {
        let changed = api.manage.edit(&account, &template, &change).await?;
        Ok(Answered::of(&api, changed))
    };
    api.once(&once, StatusCode::OK, work).await
}

/// What is to be changed of a template.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = TemplateChange)]
struct Edit {
    #[serde(flatten)]
    #[schema(value_type = TemplateContent)]
    content: Map<String, Value>,
}

/// A template after a change, and what the provider answered to it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChangedTemplate)]
struct Answered {
    #[serde(flatten)]
    template: View,
    /// What the provider answered to the change itself.
    provider_answer: Value,
}

impl Answered {
    fn of(api: &Api, changed: Changed) -> Self {
        Self {
            template: api.show_template(changed.template),
            provider_answer: changed.answer,
        }
    }
}

/// Ends a pause that the provider does not end by itself.
#[utoipa::path(
    post,
    path = "/templates/{id}/unpause",
    operation_id = "unpause_template",
    tag = "Templates",
    params(("id" = TemplateId, Path), Once),
    responses((status = 200, body = Answered)),
)]
async fn unpause(
    State(api): State<Api>,
    Path(template): Path<String>,
    once: Once,
) -> Result<Response, ApiError> {
    let template = find(&api, &template).await?;
    let account = api.account_of(&template).await?;
    note_template(&account, &template);
    let work = async {
        let changed = api.manage.unpause(&account, &template).await?;
        Ok(Answered::of(&api, changed))
    };
    api.once(&once, StatusCode::OK, work).await
}

/// Deletes one language of a template. Others than Meta delete names alone.
#[utoipa::path(
    delete,
    path = "/templates/{id}",
    operation_id = "delete_template",
    tag = "Templates",
    params(("id" = TemplateId, Path)),
    responses((status = 200, body = View)),
)]
async fn delete(
    State(api): State<Api>,
    Path(template): Path<String>,
) -> Result<Json<View>, ApiError> {
    let template = find(&api, &template).await?;
    let account = api.account_of(&template).await?;
    note_template(&account, &template);
    let id = TemplateId(template.id);
    api.manage.delete(&account, &template).await?;
    let now = api
        .store
        .template(id)
        .await?
        .ok_or(ApiError::NotFound("template"))?;
    Ok(Json(api.show_template(now)))
}

/// A name in all of its languages.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OfName {
    /// A sender of the account: its connection and its account are meant.
    sender: Option<SenderId>,
    /// Needed without `sender`.
    connection: Option<ConnectionId>,
    /// Meta's account; needed where the connection's senders are of several, or of none.
    waba_id: Option<String>,
    name: String,
}

/// Templates that a call was about.
#[derive(Debug, Serialize, ToSchema)]
struct TemplateList {
    data: Vec<View>,
}

/// Deletes all languages of a name. What was sent is still delivered; the name of an approved one
/// cannot be used again for 30 days.
#[utoipa::path(
    delete,
    path = "/templates",
    operation_id = "delete_template_name",
    tag = "Templates",
    params(OfName),
    responses((status = 200, body = TemplateList)),
)]
async fn delete_name(
    State(api): State<Api>,
    Query(asked): Query<OfName>,
) -> Result<Json<TemplateList>, ApiError> {
    if !crate::provider::meta::definition::is_name(&asked.name) {
        let message = "expected 1 to 512 lower-case letters, digits and `_`";
        return Err(ApiError::field("name", message));
    }
    let whose = Whose::of(asked.sender, asked.connection, asked.waba_id);
    let account = api.account(&whose, &DELETE_TEMPLATE_NAME).await?;
    if asked.sender.is_none() {
        api.only_number(&account).await?;
    }
    note(&account, &format!("templates {}", asked.name));
    let gone = api.manage.delete_name(&account, &asked.name).await?;
    let ids: Vec<_> = gone
        .iter()
        .map(|template| TemplateId(template.id))
        .collect();
    Ok(Json(list(&api, &ids).await?))
}

async fn list(api: &Api, ids: &[TemplateId]) -> Result<TemplateList, ApiError> {
    let found = api.store.templates(ids).await?;
    let data = found
        .into_iter()
        .map(|template| api.show_template(template));
    Ok(TemplateList {
        data: data.collect(),
    })
}

/// Which templates are to be read from the provider.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TemplateSync)]
struct Sync {
    /// A sender of the account: its connection and its account are meant.
    sender: Option<SenderId>,
    /// Needed without `sender`.
    connection: Option<ConnectionId>,
    /// Meta's account; needed where the connection's senders are of several, or of none.
    waba_id: Option<String>,
    /// Those of this name alone.
    name: Option<String>,
    /// Those of this status alone, in Meta's words.
    status: Option<String>,
    /// Those in this language alone.
    language: Option<String>,
    /// Those of this category alone.
    category: Option<String>,
    /// Infobip: ask by its first API, deprecated since 29 June 2022.
    #[serde(default)]
    deprecated_v1: bool,
}

/// What a reading of templates brought.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SyncedTemplates)]
struct SyncedView {
    /// All that were asked for and that the provider showed.
    data: Vec<View>,
    /// How many events tell of what differed from what was known.
    changes: usize,
    /// Whether the provider's list was read to its end, and all of it understood.
    whole: bool,
}

/// Reads templates from the provider, all pages, and shows them.
#[utoipa::path(
    post,
    path = "/templates/sync",
    operation_id = "sync_templates",
    tag = "Templates",
    request_body = Sync,
    responses((status = 200, body = SyncedView)),
)]
async fn sync(
    State(api): State<Api>,
    Body(asked): Body<Sync>,
) -> Result<Json<SyncedView>, ApiError> {
    let whose = Whose::of(asked.sender, asked.connection, asked.waba_id);
    let operation = match asked.deprecated_v1 {
        true => &LIST_TEMPLATES_V1,
        false => &LIST_TEMPLATES,
    };
    let account = api.account(&whose, operation).await?;
    let filter = Filter {
        name: asked.name,
        status: asked.status,
        language: asked.language.map(|language| language.replace('-', "_")),
        category: asked.category,
    };
    note(&account, "read templates");
    let synced = api.manage.sync(&account, &filter, asked.deprecated_v1);
    let synced = synced
        .await
        .map_err(|error: Failed| ApiError::from(error))?;
    let TemplateList { data } = list(&api, &synced.templates).await?;
    Ok(Json(SyncedView {
        data,
        changes: synced.told,
        whole: synced.whole,
    }))
}
