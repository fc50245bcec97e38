//! Where webhooks are to go, as callers set it: Meta's app, account and number, of which each
//! address is asked first whether it is its owner's; 360dialog's number and account. And what Meta
//! says of a key.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::auth::Target;
use super::super::deliver::client;
use super::super::dialect::Dialect;
use super::super::hooks::App;
use super::super::state::Simulator;
use super::super::trouble::Trouble;
use super::Simulated;
use super::flows::form;
use super::manage::{done, of_dialog360, read};
use super::numbers;

/// How long Meta waits for the answer to a handshake.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a handshake's answer has to repeat.
const CHALLENGE: &str = "1158201444";

pub fn router() -> Router<Arc<Simulator>> {
    Router::new()
        .route("/{version}/debug_token", get(debug_token))
        .route(
            "/{version}/{id}/subscriptions",
            get(read_app).post(set_app).delete(remove_app),
        )
        .route(
            "/{version}/{id}/subscribed_apps",
            get(read_account).post(set_account).delete(remove_account),
        )
        .route("/v1/configs/webhook", get(read_channel).post(set_channel))
        .route("/waba_webhook", get(read_waba).post(set_waba))
        .route(
            "/api/v2/partners/{partner}/webhook_url",
            get(read_partner).post(set_partner),
        )
        .route("/_control/token", put(set_token))
        .route("/_control/app", put(set_elsewhere))
}

type Node = Path<(String, String)>;

fn key(headers: &HeaderMap) -> Option<&str> {
    Dialect::Meta.key(headers)
}

/// Whether the caller is the app itself, by its id and its secret.
fn is_app(simulator: &Simulator, headers: &HeaderMap, app: &str) -> Result<(), Trouble> {
    let state = simulator.state();
    let target = state.targets.get(&Dialect::Meta);
    let signature = target.and_then(|target| target.auth.signature.as_ref());
    let secret = signature.map(|signature| signature.secret.as_str());
    let own = &simulator.config.app_id;
    let wanted = format!("{own}|{}", secret.unwrap_or_default());
    match key(headers) {
        Some(key) if key == wanted && app == own => Ok(()),
        // A caller's own key, which is good for all else.
        Some(key) if !key.contains('|') && simulator.config.knows(Some(key)) => {
            Err(Trouble::NoAppKey)
        }
        _ => Err(Trouble::BadKey),
    }
}

fn permitted(simulator: &Simulator, headers: &HeaderMap, changes: bool) -> Result<(), Trouble> {
    match simulator.config.knows(key(headers)) {
        true => simulator.state().hooks.permit(changes),
        false => Err(Trouble::BadKey),
    }
}

/// Answers, counted.
fn answered(simulator: &Simulator, came: Result<Value, Trouble>) -> Response {
    simulator.count_managed(Dialect::Meta);
    match came {
        Ok(answer) => Json(answer).into_response(),
        Err(trouble) => Dialect::Meta.refuse(&trouble),
    }
}

/// Whether an address is the caller's: it repeats the challenge, if the token is its own.
async fn handshake(url: &str, token: &str) -> Result<(), Trouble> {
    let failed = |why: String| Trouble::Handshake(why);
    let client = client().map_err(|error| failed(error.to_string()))?;
    let asked = [
        ("hub.mode", "subscribe"),
        ("hub.challenge", CHALLENGE),
        ("hub.verify_token", token),
    ];
    let mut address =
        reqwest::Url::parse(url).map_err(|_| Trouble::invalid("callback_url", "Not a URL."))?;
    address.query_pairs_mut().extend_pairs(asked);
    let answer = client.get(address).timeout(PATIENCE).send().await;
    let answer = answer.map_err(|_| failed("curl_errno = 7".to_owned()))?;
    let status = answer.status();
    if status != StatusCode::OK {
        let reason = status.canonical_reason().unwrap_or_default();
        let why = format!(
            "HTTP Status Code = {}; HTTP Message = {reason}",
            status.as_u16()
        );
        return Err(failed(why));
    }
    let text = answer.text().await.unwrap_or_default();
    match text == CHALLENGE {
        true => Ok(()),
        false => Err(failed("The challenge was not repeated".to_owned())),
    }
}

#[derive(Deserialize)]
struct Inspected {
    input_token: Option<String>,
}

async fn debug_token(
    State(simulator): Simulated,
    Path(_version): Path<String>,
    Query(asked): Query<Inspected>,
    headers: HeaderMap,
) -> Response {
    let config = &simulator.config;
    let came = match config.knows(key(&headers)) {
        true => Ok(()),
        false => Err(Trouble::BadKey),
    };
    let came = came.and_then(|()| {
        let missing = || Trouble::invalid("input_token", "(#100) You must provide an input token.");
        let token = asked.input_token.ok_or_else(missing)?;
        let hooks = simulator.state().hooks.clone();
        let permissions = hooks.permissions();
        let granular = permissions.iter();
        let granular =
            granular.map(|scope| json!({"scope": scope, "target_ids": [config.waba_id]}));
        Ok(json!({"data": {
            "app_id": config.app_id, "type": "SYSTEM_USER", "application": "Simulated app",
            "is_valid": config.knows(Some(&token)), "issued_at": 1_762_335_000,
            "expires_at": hooks.expires_at, "data_access_expires_at": 0,
            "user_id": "122100000000001", "scopes": permissions,
            "granular_scopes": granular.collect::<Vec<_>>(),
        }}))
    });
    answered(&simulator, came)
}

async fn read_app(
    State(simulator): Simulated,
    Path((version, app)): Node,
    headers: HeaderMap,
) -> Response {
    let came = is_app(&simulator, &headers, &app).map(|()| {
        let app = simulator.state().hooks.app.clone();
        let shown = app.map(|app| {
            let fields = app.fields.iter();
            let fields = fields.map(|name| json!({"name": name, "version": version}));
            json!({"object": "whatsapp_business_account", "callback_url": app.url,
                "active": true, "fields": fields.collect::<Vec<_>>()})
        });
        json!({"data": shown.into_iter().collect::<Vec<_>>()})
    });
    answered(&simulator, came)
}

async fn set_app(
    State(simulator): Simulated,
    Path((_version, app)): Node,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let came = subscribe_app(&simulator, &app, &headers, &body).await;
    answered(&simulator, came)
}

/// Fields that Meta has for an account.
const FIELDS: [&str; 25] = [
    "account_alerts",
    "account_review_update",
    "account_settings_update",
    "account_update",
    "automatic_events",
    "business_capability_update",
    "business_status_update",
    "calls",
    "flows",
    "history",
    "message_echoes",
    "message_template_components_update",
    "message_template_quality_update",
    "message_template_status_update",
    "messages",
    "messaging_handovers",
    "partner_solutions",
    "payment_configuration_update",
    "phone_number_name_update",
    "phone_number_quality_update",
    "security",
    "smb_app_state_sync",
    "smb_message_echoes",
    "template_category_update",
    "user_preferences",
];

async fn subscribe_app(
    simulator: &Simulator,
    app: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Value, Trouble> {
    is_app(simulator, headers, app)?;
    let said = form(body);
    let text = |name: &str| {
        let missing = || Trouble::invalid(name, format!("The parameter {name} is required"));
        said[name].as_str().ok_or_else(missing)
    };
    if text("object")? != "whatsapp_business_account" {
        return Err(Trouble::invalid("object", "Not an object of this app."));
    }
    let fields: Vec<_> = text("fields")?.split(',').map(str::to_owned).collect();
    if let Some(unknown) = fields.iter().find(|it| !FIELDS.contains(&it.as_str())) {
        let message = format!("Param fields has no field {unknown}.");
        return Err(Trouble::invalid("fields", message));
    }
    let url = text("callback_url")?.to_owned();
    handshake(&url, text("verify_token")?).await?;
    let mut state = simulator.state();
    let target = state.targets.entry(Dialect::Meta).or_default();
    target.url = Some(url.clone());
    state.hooks.app = Some(App { url, fields });
    drop(state);
    simulator.queue.wake();
    Ok(json!({"success": true}))
}

async fn remove_app(
    State(simulator): Simulated,
    Path((_version, app)): Node,
    headers: HeaderMap,
) -> Response {
    let came = is_app(&simulator, &headers, &app).map(|()| {
        let mut state = simulator.state();
        state.hooks.app = None;
        if let Some(target) = state.targets.get_mut(&Dialect::Meta) {
            target.url = None;
        }
        json!({"success": true})
    });
    answered(&simulator, came)
}

fn own_account(simulator: &Simulator, waba_id: &str) -> Result<(), Trouble> {
    match waba_id == simulator.config.waba_id {
        true => Ok(()),
        false => Err(Trouble::UnknownObject(waba_id.to_owned())),
    }
}

async fn read_account(
    State(simulator): Simulated,
    Path((_version, waba_id)): Node,
    headers: HeaderMap,
) -> Response {
    let came = permitted(&simulator, &headers, false)
        .and_then(|()| own_account(&simulator, &waba_id))
        .map(|()| {
            let state = simulator.state();
            let own = state.hooks.accounts.get(&waba_id).map(|url| {
                let app = json!({"id": simulator.config.app_id, "name": "Simulated app",
                    "link": "https://www.facebook.com/games/"});
                let mut shown = json!({"whatsapp_business_api_data": app});
                if let Some(url) = url {
                    shown["override_callback_uri"] = url.as_str().into();
                }
                shown
            });
            json!({"data": own.into_iter().collect::<Vec<_>>()})
        });
    answered(&simulator, came)
}

async fn set_account(
    State(simulator): Simulated,
    Path((_version, waba_id)): Node,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let came = async {
        permitted(&simulator, &headers, true)?;
        own_account(&simulator, &waba_id)?;
        let said = match body.is_empty() {
            true => json!({}),
            false => read(&body)?,
        };
        let url = overriding(&said).await?;
        simulator.state().hooks.accounts.insert(waba_id, url);
        Ok(json!({"success": true}))
    };
    let came = came.await;
    answered(&simulator, came)
}

/// The address that a body names, once it has proved to be the caller's; an empty one is none.
async fn overriding(said: &Value) -> Result<Option<String>, Trouble> {
    let url = said["override_callback_uri"].as_str().unwrap_or_default();
    if url.is_empty() {
        return Ok(None);
    }
    if url.len() > 200 {
        let message = "Param override_callback_uri must be at most 200 characters long.";
        return Err(Trouble::invalid("override_callback_uri", message));
    }
    handshake(url, said["verify_token"].as_str().unwrap_or_default()).await?;
    Ok(Some(url.to_owned()))
}

async fn remove_account(
    State(simulator): Simulated,
    Path((_version, waba_id)): Node,
    headers: HeaderMap,
) -> Response {
    let came = permitted(&simulator, &headers, true).and_then(|()| {
        own_account(&simulator, &waba_id)?;
        simulator.state().hooks.accounts.remove(&waba_id);
        Ok(json!({"success": true}))
    });
    answered(&simulator, came)
}

/// A change of where a number's webhooks go, if that is what a body says.
pub async fn set_number(
    simulator: &Simulator,
    number: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Option<Response> {
    let said: Value = serde_json::from_slice(body).ok()?;
    let said = said.get("webhook_configuration")?;
    let came = async {
        permitted(simulator, headers, true)?;
        let url = overriding(said).await?;
        // It is a number of the account from now on, if it was none.
        numbers::with(simulator, Dialect::Meta, number, |_| Ok(()))?;
        let numbers = &mut simulator.state().hooks.numbers;
        match url {
            Some(url) => numbers.insert(number.to_owned(), url),
            None => numbers.remove(number),
        };
        Ok(json!({"success": true}))
    };
    Some(answered(simulator, came.await))
}

/// What a body of 360dialog's says.
fn channel(body: &[u8]) -> Result<(String, BTreeMap<String, String>), Trouble> {
    let said = read(body)?;
    let url = said["url"].as_str().filter(|url| url.starts_with("http"));
    let url = url.ok_or_else(|| Trouble::invalid("url", "Not a valid URL."))?;
    let headers = said["headers"].as_object().into_iter().flatten();
    let headers = headers.filter_map(|(name, value)| {
        let value = value.as_str()?;
        Some((name.clone(), value.to_owned()))
    });
    Ok((url.to_owned(), headers.collect()))
}

/// All that webhooks bring from now on, but for the provider's own signature.
fn set_target(target: &mut Target, url: &str, headers: &BTreeMap<String, String>) {
    target.url = Some(url.to_owned());
    target.auth.basic = None;
    target.auth.headers = headers.clone();
}

async fn read_channel(State(simulator): Simulated, headers: HeaderMap) -> Response {
    let dialect = of_dialog360(&simulator);
    done(&simulator, dialect, &headers, StatusCode::OK, || {
        let state = simulator.state();
        let target = state.targets.get(&dialect).cloned().unwrap_or_default();
        Ok(json!({"url": target.url, "headers": target.auth.headers}))
    })
}

async fn set_channel(State(simulator): Simulated, headers: HeaderMap, body: Bytes) -> Response {
    let dialect = of_dialog360(&simulator);
    let response = done(&simulator, dialect, &headers, StatusCode::OK, || {
        let (url, headers) = channel(&body)?;
        let mut state = simulator.state();
        let target = state.targets.entry(dialect).or_default();
        let before = target.url.clone();
        set_target(target, &url, &headers);
        // Both APIs have this path: as long as nobody has said otherwise it is of either.
        let other = state.targets.entry(Dialect::Dialog360Onprem).or_default();
        if other.url == before {
            set_target(other, &url, &headers);
        }
        Ok(json!({"url": url, "headers": headers}))
    });
    simulator.queue.wake();
    response
}

async fn read_waba(State(simulator): Simulated, headers: HeaderMap) -> Response {
    let dialect = Dialect::Dialog360;
    done(&simulator, dialect, &headers, StatusCode::OK, || {
        Ok(match simulator.state().hooks.waba_webhook.clone() {
            Some((url, headers)) => json!({"url": url, "headers": headers}),
            None => json!({}),
        })
    })
}

/// It counts while the number has none of its own.
async fn set_waba(State(simulator): Simulated, headers: HeaderMap, body: Bytes) -> Response {
    let dialect = Dialect::Dialog360;
    let response = done(&simulator, dialect, &headers, StatusCode::OK, || {
        let (url, headers) = channel(&body)?;
        let mut state = simulator.state();
        state.hooks.waba_webhook = Some((url.clone(), headers.clone()));
        let target = state.targets.entry(dialect).or_default();
        if target.url.is_none() {
            set_target(target, &url, &headers);
        }
        Ok(json!({"url": url, "headers": headers}))
    });
    simulator.queue.wake();
    response
}

/// With a partner's key, which is a header of its own; counted.
fn as_partner(
    simulator: &Simulator,
    headers: &HeaderMap,
    answer: impl FnOnce() -> Result<Value, Trouble>,
) -> Response {
    let dialect = of_dialog360(simulator);
    simulator.count_managed(dialect);
    let key = headers.get("x-api-key").and_then(|key| key.to_str().ok());
    let answered = match key.is_some() && simulator.config.knows(key) {
        true => answer(),
        false => Err(Trouble::BadKey),
    };
    match answered {
        Ok(answer) => Json(answer).into_response(),
        Err(trouble) => dialect.refuse(&trouble),
    }
}

async fn read_partner(
    State(simulator): Simulated,
    Path(partner): Path<String>,
    headers: HeaderMap,
) -> Response {
    as_partner(&simulator, &headers, || {
        let url = simulator
            .state()
            .hooks
            .partner_webhooks
            .get(&partner)
            .cloned();
        Ok(json!({"webhook_url": url}))
    })
}

async fn set_partner(
    State(simulator): Simulated,
    Path(partner): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    as_partner(&simulator, &headers, || {
        let body = read(&body)?;
        let url = body["webhook_url"].as_str().unwrap_or_default();
        if reqwest::Url::parse(url).is_err() {
            return Err(Trouble::invalid("webhook_url", "Not a valid URL."));
        }
        let webhooks = &mut simulator.state().hooks.partner_webhooks;
        webhooks.insert(partner.clone(), url.to_owned());
        Ok(json!({"id": partner, "webhook_url": url}))
    })
}

/// What the caller's key may do, and until when.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfToken {
    permissions: Option<Vec<String>>,
    #[serde(default)]
    expires_at: i64,
}

async fn set_token(State(simulator): Simulated, Json(new): Json<OfToken>) {
    let hooks = &mut simulator.state().hooks;
    hooks.permissions = new.permissions;
    hooks.expires_at = new.expires_at;
}

/// Sets where an app's webhooks go, unasked, as if somebody else had.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Elsewhere {
    url: String,
    fields: Vec<String>,
}

async fn set_elsewhere(State(simulator): Simulated, Json(new): Json<Elsewhere>) {
    let mut state = simulator.state();
    let target = state.targets.entry(Dialect::Meta).or_default();
    target.url = Some(new.url.clone());
    state.hooks.app = Some(App {
        url: new.url,
        fields: new.fields,
    });
}
