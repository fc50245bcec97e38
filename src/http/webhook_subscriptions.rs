//! `/v1/connections/{id}/webhook_subscriptions`: where the provider posts webhooks, beside where it
//! should. Nothing of it is kept here, and no secret is shown; none is sent elsewhere than here, unless
//! a key says so that may do everything.

mod view;

use std::sync::Arc;

use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::view::{PARTNER, ProblemView, View};
use super::Api;
use super::at_provider::{AtProvider, Outcome};
use super::connections::SecretText;
use super::json::Json;
use super::permit;
use super::problem::ApiError;
use super::request::{Body, Query, id};
use super::wording;
use crate::manage::{Manage, Wish};
use crate::model::ids::ConnectionId;
use crate::model::provider::Provider;
use crate::model::scope::Scope;
use crate::provider::subscriptions::infobip::ALL_EVENTS;
use crate::provider::subscriptions::{
    LONGEST_OVERRIDE, Level, Ours, Partner, Place, Wanted, proves_partner, shown,
};
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
    let is_id = |id: &str| {
        let mut bytes = id.bytes();
        (1..=64).contains(&id.len()) && bytes.all(|byte| byte.is_ascii_alphanumeric())
    };
    if !is_id(&partner.id) {
        let message = "expected the id that the Partner Hub shows, such as `9Mg0AiPA`";
        return Err(ApiError::field("partner.id", message));
    }
    if partner.api_key.is_empty() {
        return Err(ApiError::field("partner.api_key", "must not be empty"));
    }
    if !proves_partner(&connection.credentials.proofs) {
        let message = "360dialog shows no way to have headers sent to a partner, so that the \
                       connection would refuse its webhooks: let its `webhook_auth` be a `url_secret`, \
                       or the `signature` that the Partner Hub shows the secret of, alone; or make a \
                       connection for it";
        return Err(ApiError::field("partner", message));
    }
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

/// The address that is to be told, if it can be one.
fn check(
    connection: &Connection,
    level: Option<Level>,
    change: &Change,
    ours: Option<Ours>,
) -> Result<Ours, ApiError> {
    let ours = ours.ok_or_else(|| {
        ApiError::field("callback_url", "is needed: `http.public_url` is not set")
    })?;
    let is_address = reqwest::Url::parse(&ours.url)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let given = change.callback_url.as_deref().unwrap_or_default();
    if !is_address || given.contains(['?', '#']) {
        let message = "expected an address such as `https://twotick.example/webhooks/con_…`, \
                       without a query";
        return Err(ApiError::field("callback_url", message));
    }
    let is_override =
        level == Some(Level::Number) || (level == Some(Level::Account) && change.r#override);
    let meta = connection.provider == Provider::Meta;
    if meta && is_override && ours.url.chars().count() > LONGEST_OVERRIDE {
        let message = format!("Meta takes at most {LONGEST_OVERRIDE} characters");
        return Err(ApiError::field("callback_url", message));
    }
    if change.r#override && !(meta && level == Some(Level::Account)) {
        let message = "is for the account at Meta alone";
        return Err(ApiError::field("override", message));
    }
    let chooses = (meta && level == Some(Level::App)) || level == Some(Level::Events);
    if change.events.is_some() && !chooses {
        return Err(ApiError::field("events", "cannot be chosen here"));
    }
    if change.partner.is_some() && level.is_some() {
        let message = "is for the level `partner` at 360dialog alone";
        return Err(ApiError::field("partner", message));
    }
    let events = change.events.as_deref();
    if events.is_some_and(<[_]>::is_empty) {
        return Err(ApiError::field("events", "expected at least one"));
    }
    if connection.provider == Provider::Infobip {
        known_events(events.unwrap_or_default())?;
    }
    let of_dialog360 = ".360dialog.io";
    let is_theirs = |host: &str| host.ends_with(of_dialog360);
    if host(&connection.base_url).is_some_and(|(host, _)| is_theirs(&host))
        && host(&ours.url).is_some_and(|(host, port)| host.contains('_') || port.is_some())
    {
        let message = "360dialog posts to no address with a port, and to no host with a `_`";
        return Err(ApiError::field("callback_url", message));
    }
    Ok(ours)
}

/// The host of an address, and the port that it names.
fn host(address: &str) -> Option<(String, Option<u16>)> {
    let url = reqwest::Url::parse(address).ok()?;
    Some((url.host_str()?.to_owned(), url.port()))
}

/// Infobip refuses no event that it does not know: the subscription would be told of nothing.
fn known_events(events: &[String]) -> Result<(), ApiError> {
    for (n, event) in events.iter().enumerate() {
        if !ALL_EVENTS.contains(&event.as_str()) {
            let field = format!("events[{n}]");
            let message = match wording::nearest(event, ALL_EVENTS.into_iter()) {
                Some(nearest) => format!("Infobip has no such event: did you mean `{nearest}`?"),
                None => format!("expected one of `{}`", ALL_EVENTS.join("`, `")),
            };
            return Err(ApiError::field(&field, &message));
        }
    }
    Ok(())
}

/// Whether an address is below another.
fn is_below(address: &str, own: &str) -> bool {
    let (Ok(address), Ok(own)) = (reqwest::Url::parse(address), reqwest::Url::parse(own)) else {
        return false;
    };
    let path = own.path().trim_end_matches('/');
    let rest = address.path().strip_prefix(path);
    address.origin() == own.origin() && rest.is_some_and(|rest| rest.starts_with('/'))
}

impl Api {
    /// Webhooks bring what proves them: whoever has the address is told the receiver's secrets.
    fn may_be_told(&self, given: Option<&str>) -> Result<(), ApiError> {
        let own = &self.config.http.public_url;
        match given {
            Some(address) if !is_below(address, own) && !permit::has(Scope::Admin) => {
                let message = "is not below `http.public_url`, and the connection's webhook secrets \
                               would go there: set `http.public_url` to this service's public \
                               address, or use an API key with the scope `admin`";
                Err(ApiError::field("callback_url", message))
            }
            _ => Ok(()),
        }
    }

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

#[cfg(test)]
mod tests {
    use super::is_below;

    #[test]
    fn an_address_below_another_does_not_only_begin_like_it() {
        let own = "https://twotick.example/in/";
        for (address, expected) in [
            ("https://twotick.example/in/webhooks/con_a", true),
            ("https://TWOTICK.example:443/in/webhooks/con_a", true),
            ("https://twotick.example/webhooks/con_a", false),
            ("https://twotick.example/in/../webhooks/con_a", false),
            ("https://twotick.example/in%2F..", false),
            ("https://twotick.example/inside", false),
            ("https://twotick.example.evil/in/webhooks", false),
            ("https://twotick.example@evil.example/in/webhooks", false),
            ("http://twotick.example/in/webhooks", false),
        ] {
            assert_eq!(is_below(address, own), expected, "{address}");
        }
        assert!(!is_below("https://twotick.example/webhooks", ""));
    }
}
