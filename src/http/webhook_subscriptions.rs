//! `/v1/connections/{id}/webhook_subscriptions`: where the provider posts webhooks, beside where it
//! should. Nothing of it is kept here, and no secret is shown; none is sent elsewhere than here, unless
//! a key says so that may do everything.

mod check;
mod view;

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::check::{check, check_partner};
use self::view::{PARTNER, ProblemView, View};
use super::Api;
use super::at_provider::{AtProvider, Outcome};
use super::connections::SecretText;
use super::json::Json;
use super::permit;
use super::problem::ApiError;
use super::request::{Body, Query, id};
use crate::manage::{Manage, Wish};
use crate::model::ids::ConnectionId;
use crate::model::provider::Provider;
use crate::provider::subscriptions::{Level, Ours, Partner, Place, Wanted, shown};
use crate::store::Connection;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(all))
        .routes(routes!(one, set, remove))
}

/// Where a provider posts webhooks, beside where it should.
#[derive(Debug, Serialize, ToSchema)]
struct WebhookSubscriptions {
    /// Where webhooks should go: `http.public_url` and the connection's path. `null`: that setting is
    /// empty.
    callback_url: Option<String>,
    data: Vec<View>,
    /// What is wrong, and how to mend it; empty: nothing is.
    problems: Vec<ProblemView>,
    /// How many seconds the provider's clock is ahead of this service's.
    provider_clock_offset_seconds: Option<i64>,
}

/// What is to be set.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewWebhookSubscription)]
struct Change {
    /// Where webhooks are to go; else to `http.public_url` and the connection's path. What proves them
    /// is added: only a key with the scope `admin` may name an address that is not below
    /// `http.public_url`.
    callback_url: Option<String>,
    /// What is to be told, where it can be chosen; else all that is understood here, and what is told
    /// already.
    #[schema(min_items = 1)]
    events: Option<Vec<String>>,
    /// Meta, level `account`: what is said of messages is to come here although the app's webhooks go
    /// elsewhere. Template webhooks do not follow it.
    #[serde(default)]
    r#override: bool,
    /// Meta's account; else all that are known.
    waba_id: Option<String>,
    /// Meta's id of the number, for the level `number`.
    phone_number_id: Option<String>,
    /// 360dialog's partner, for the level `partner`. Its key is used for this call and not kept.
    partner: Option<PartnerKey>,
}

/// A partner of 360dialog's.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PartnerKey {
    /// As the Partner Hub shows it.
    #[schema(min_length = 1, max_length = 64, example = "9Mg0AiPA")]
    id: String,
    /// The key of its Partner API.
    api_key: SecretText,
}

/// Of which account, or number.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Of {
    /// Meta's account; else all that are known.
    waba_id: Option<String>,
}

/// What is not to be set any more.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Removed {
    /// Meta's account, for the level `account`.
    waba_id: Option<String>,
    /// Meta's id of the number, for the level `number`.
    phone_number_id: Option<String>,
}

/// What is set now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookSubscriptionList)]
struct Listed {
    data: Vec<View>,
}

/// What is set now, and what the provider answered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChangedWebhookSubscription)]
struct Changed {
    data: Vec<View>,
    provider_answers: Vec<Value>,
    /// Why it could not be read afterwards, where `data` is empty for that: it was done all the same.
    problems: Vec<ProblemView>,
}

impl Api {
    pub(super) async fn connection_of(
        &self,
        connection: &str,
    ) -> Result<Arc<Connection>, ApiError> {
        let connection: ConnectionId = id(connection, "connection")?;
        let known = self.connections.get(connection).await?;
        known.ok_or(ApiError::NotFound("connection"))
    }

    /// What should be at the provider; the address is `given`, else the service's own.
    fn ours(&self, connection: &Connection, given: Option<&str>) -> Option<Ours> {
        use secrecy::ExposeSecret as _;
        let own = self.config.http.public_url.trim_end_matches('/');
        let address = match given {
            Some(address) => address.to_owned(),
            None if own.is_empty() => return None,
            None => format!("{own}/webhooks/{}", connection.id),
        };
        let credentials = &connection.credentials;
        let verify_token = credentials.verify_token.expose_secret();
        Some(Ours::new(&address, verify_token, &credentials.proofs))
    }
}

/// 360dialog's third webhook is read with a key that no connection has.
const SET_ALONE: &str = "360dialog's partner webhook, by which it tells of templates and channels, is \
                         a partner's, and a connection has the key of a number: here it is set, with \
                         the partner's key beside it (`PUT …/partner`), and answered with. See the \
                         Partner Hub for the rest";

fn level(word: &str, connection: &Connection) -> Result<Level, ApiError> {
    if word == PARTNER {
        Manage::has_partners(connection)?;
        return Err(ApiError::AtProvider(Box::new(AtProvider {
            outcome: Outcome::Lacking,
            detail: SET_ALONE.to_owned(),
            said: None,
            wait: None,
        })));
    }
    Level::parse(word).ok_or(ApiError::NotFound("level"))
}

/// Shows where the provider posts webhooks, beside where it should, and what is wrong.
#[utoipa::path(
    get,
    path = "/connections/{id}/webhook_subscriptions",
    operation_id = "get_webhook_subscriptions",
    tag = "Connections",
    params(("id" = ConnectionId, Path)),
    responses((status = 200, body = WebhookSubscriptions)),
)]
async fn all(
    State(api): State<Api>,
    Path(connection): Path<String>,
) -> Result<Json<WebhookSubscriptions>, ApiError> {
    let connection = api.connection_of(&connection).await?;
    let ours = api.ours(&connection, None);
    let overview = api.manage.subscriptions(&connection, ours.as_ref()).await?;
    let problems = overview.problems.into_iter().map(ProblemView::from);
    let unread = overview.unread.into_iter().map(ProblemView::from);
    Ok(Json(WebhookSubscriptions {
        callback_url: ours.as_ref().map(|ours| shown(&ours.url)),
        problems: problems.chain(unread).collect(),
        data: View::all(overview.found, ours.as_ref()),
        provider_clock_offset_seconds: overview.clock_offset,
    }))
}

/// Shows where the provider posts webhooks, at one level.
#[utoipa::path(
    get,
    path = "/connections/{id}/webhook_subscriptions/{level}",
    operation_id = "get_webhook_subscription",
    tag = "Connections",
    params(("id" = ConnectionId, Path), ("level" = String, Path, description = "`app`, `account`, `number` or `events`."), Of),
    responses((status = 200, body = Listed)),
)]
async fn one(
    State(api): State<Api>,
    Path((connection, word)): Path<(String, String)>,
    Query(of): Query<Of>,
) -> Result<Json<Listed>, ApiError> {
    let connection = api.connection_of(&connection).await?;
    let level = level(&word, &connection)?;
    let ours = api.ours(&connection, None);
    let found = api
        .manage
        .subscribed(&connection, level, of.waba_id.as_deref());
    let data = View::all(found.await?, ours.as_ref());
    Ok(Json(Listed { data }))
}

/// Lets the provider's webhooks come here, with what proves them.
#[utoipa::path(
    put,
    path = "/connections/{id}/webhook_subscriptions/{level}",
    operation_id = "set_webhook_subscription",
    tag = "Connections",
    params(("id" = ConnectionId, Path), ("level" = String, Path, description = "`app`, `account`, `number`, `partner` or `events`.")),
    request_body = Change,
    responses((status = 200, body = Changed)),
)]
async fn set(
    State(api): State<Api>,
    Path((connection, word)): Path<(String, String)>,
    Body(change): Body<Change>,
) -> Result<Json<Changed>, ApiError> {
    let connection = api.connection_of(&connection).await?;
    let ours = api.ours(&connection, change.callback_url.as_deref());
    if word == PARTNER {
        return set_partner(&api, &connection, change, ours).await.map(Json);
    }
    let level = level(&word, &connection)?;
    Manage::can_set(&connection, level, false)?;
    let ours = check(&connection, Some(level), &change, ours)?;
    api.may_be_told(change.callback_url.as_deref())?;
    let places = api.places(
        &connection,
        level,
        change.waba_id.as_deref(),
        change.phone_number_id,
    );
    let places = places.await?;
    permit::note(format!(
        "webhooks of the {word} at {} go to {}",
        connection.provider.as_str(),
        shown(&ours.url)
    ));
    let wanted = Wanted {
        events: change.events,
        overriding: change.r#override,
    };
    let wish = Wish {
        level,
        ours,
        wanted,
    };
    let answers = api.manage.subscribe(&connection, &places, &wish).await?;
    // An address that was given may be anybody's.
    let ours = api.ours(&connection, None);
    Ok(Json(changed(&api, &connection, level, answers, ours).await))
}

/// Lets a partner of 360dialog's be told here.
async fn set_partner(
    api: &Api,
    connection: &Connection,
    mut change: Change,
    ours: Option<Ours>,
) -> Result<Changed, ApiError> {
    Manage::has_partners(connection)?;
    let ours = check(connection, None, &change, ours)?;
    let partner = change.partner.take();
    let missing = || ApiError::field("partner", "is needed: `id` and `api_key` of the partner");
    let partner = partner.ok_or_else(missing)?;
    check_partner(&partner, connection)?;
    api.may_be_told(change.callback_url.as_deref())?;
    permit::note(format!(
        "webhooks of the partner {} at {} go to {}",
        partner.id,
        connection.provider.as_str(),
        shown(&ours.url)
    ));
    let id = partner.id.clone();
    let partner = Partner {
        id: partner.id,
        key: partner.api_key.0,
    };
    let done = api.manage.subscribe_partner(connection, partner, &ours);
    let answer = done.await?;
    Ok(Changed {
        data: vec![View::of_partner(id, &answer, &ours)],
        provider_answers: vec![answer],
        problems: Vec::new(),
    })
}

/// What is set now. It was done: that it cannot be read changes nothing of that.
async fn changed(
    api: &Api,
    connection: &Connection,
    level: Level,
    provider_answers: Vec<Value>,
    ours: Option<Ours>,
) -> Changed {
    let (data, problems) = match api.manage.subscribed(connection, level, None).await {
        Ok(found) => (View::all(found, ours.as_ref()), Vec::new()),
        Err(failed) => (Vec::new(), vec![ProblemView::from((level, failed))]),
    };
    Changed {
        data,
        provider_answers,
        problems,
    }
}

impl Api {
    /// A restricted key leads to the numbers of its senders alone.
    async fn may_reach(&self, connection: &Connection, number: &str) -> Result<(), ApiError> {
        match self.store.sender_of(connection.id, number).await? {
            Some(sender) => permit::of_sender(sender),
            None => permit::of_all(),
        }
    }

    /// Where it is to be changed.
    async fn places(
        &self,
        connection: &Connection,
        level: Level,
        waba: Option<&str>,
        number: Option<String>,
    ) -> Result<Vec<Place>, ApiError> {
        if connection.provider == Provider::Meta && level == Level::Number {
            let is_id = |number: &String| number.bytes().all(|byte| byte.is_ascii_digit());
            let wrong = || ApiError::field("phone_number_id", "expected Meta's id of a number");
            let number = number.filter(|number| !number.is_empty() && is_id(number));
            let number = number.ok_or_else(wrong)?;
            self.may_reach(connection, &number).await?;
            return Ok(vec![Place {
                api_version: connection.api_version.clone().unwrap_or_default(),
                number,
                ..Place::default()
            }]);
        }
        let is_id = |waba: &str| !waba.is_empty() && waba.bytes().all(|it| it.is_ascii_digit());
        if connection.provider == Provider::Meta && waba.is_some_and(|waba| !is_id(waba)) {
            return Err(ApiError::field(
                "waba_id",
                "expected Meta's id of an account",
            ));
        }
        let places = self.manage.places(connection, level, waba).await?;
        match places.is_empty() {
            true => Err(ApiError::field(
                "waba_id",
                "is needed: no sender of the connection has an account, and its key names none",
            )),
            false => Ok(places),
        }
    }
}

/// Lets the provider's webhooks come no more, or where those of the level above go.
#[utoipa::path(
    delete,
    path = "/connections/{id}/webhook_subscriptions/{level}",
    operation_id = "remove_webhook_subscription",
    tag = "Connections",
    params(("id" = ConnectionId, Path), ("level" = String, Path, description = "`app`, `account`, `number` or `events`."), Removed),
    responses((status = 200, body = Changed)),
)]
async fn remove(
    State(api): State<Api>,
    Path((connection, word)): Path<(String, String)>,
    Query(of): Query<Removed>,
) -> Result<Json<Changed>, ApiError> {
    let connection = api.connection_of(&connection).await?;
    let level = level(&word, &connection)?;
    Manage::can_set(&connection, level, true)?;
    let places = api.places(
        &connection,
        level,
        of.waba_id.as_deref(),
        of.phone_number_id,
    );
    let places = places.await?;
    permit::note(format!(
        "webhooks of the {word} at {} come no more",
        connection.provider.as_str()
    ));
    let answers = api.manage.unsubscribe(&connection, &places, level).await?;
    let ours = api.ours(&connection, None);
    Ok(Json(changed(&api, &connection, level, answers, ours).await))
}
