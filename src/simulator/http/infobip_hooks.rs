//! Infobip's subscriptions: events, with a profile that says where they go, and a security setting
//! that says what proves them. The first subscription is the one that counts here.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post, put};
use serde_json::{Value, json};

use super::super::auth::{Algorithm, Auth, Basic, Signature};
use super::super::dialect::Dialect;
use super::super::state::{Simulator, State as Known};
use super::super::trouble::Trouble;
use super::Simulated;
use super::manage::{done, read};

const INFOBIP: Dialect = Dialect::Infobip;

pub fn router() -> Router<Arc<Simulator>> {
    let at = |end: &str| format!("/subscriptions/1/{end}");
    Router::new()
        .route(&at("subscription/WHATSAPP"), get(list).post(create))
        .route(
            &at("subscription/WHATSAPP/{id}"),
            put(update).delete(remove),
        )
        .route(&at("profiles/{id}"), get(profile).put(update_profile))
        .route(&at("security"), post(create_security))
        .route(&at("security/{id}"), put(update_security))
}

fn text(it: &Value, name: &str) -> Result<String, Trouble> {
    let text = it[name].as_str().filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| Trouble::missing(name, "must not be null"))?;
    Ok(text.to_owned())
}

fn missing(id: &str) -> Trouble {
    Trouble::UnknownObject(id.to_owned())
}

/// What the simulator posts from now on, and where.
fn apply(state: &mut Known) {
    let hooks = &state.hooks;
    let Some(subscription) = hooks.subscriptions.values().next() else {
        state.targets.entry(INFOBIP).or_default().url = None;
        return;
    };
    let id = subscription["profile"]["profileId"]
        .as_str()
        .unwrap_or_default();
    let profile = hooks.profiles.get(id).cloned().unwrap_or_default();
    let auth = profile["security"]["authId"].as_str().unwrap_or_default();
    let security = hooks.securities.get(auth).cloned().unwrap_or_default();
    let target = state.targets.entry(INFOBIP).or_default();
    target.url = profile["webhook"]["notifyUrl"].as_str().map(str::to_owned);
    target.auth = proofs(&profile, &security);
}

fn proofs(profile: &Value, security: &Value) -> Auth {
    let credentials = &security["credentials"];
    let word = |name: &str| credentials[name].as_str().unwrap_or_default().to_owned();
    let headers = profile["headers"].as_object().into_iter().flatten();
    let headers =
        headers.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    Auth {
        signature: (security["type"] == "HMAC").then(|| Signature {
            algorithm: algorithm(&word("algorithm")),
            ..Signature::of(word("secretKey"))
        }),
        basic: (security["type"] == "BASIC").then(|| Basic {
            username: word("username"),
            password: word("password"),
        }),
        headers: headers.collect(),
    }
}

fn algorithm(word: &str) -> Algorithm {
    match word {
        "HMAC_MD5" => Algorithm::Md5,
        "HMAC_SHA_1" => Algorithm::Sha1,
        "HMAC_SHA_224" => Algorithm::Sha224,
        "HMAC_SHA_384" => Algorithm::Sha384,
        "HMAC_SHA_512" => Algorithm::Sha512,
        _ => Algorithm::Sha256,
    }
}

/// Does it, and posts by it.
fn changed(
    simulator: &Simulator,
    headers: &HeaderMap,
    status: StatusCode,
    doing: impl FnOnce(&mut Known) -> Result<Value, Trouble>,
) -> Response {
    let response = done(simulator, INFOBIP, headers, status, || {
        let mut state = simulator.state();
        let answer = doing(&mut state)?;
        apply(&mut state);
        Ok(answer)
    });
    simulator.queue.wake();
    response
}

async fn list(State(simulator): Simulated, headers: HeaderMap) -> Response {
    done(&simulator, INFOBIP, &headers, StatusCode::OK, || {
        let state = simulator.state();
        let all: Vec<_> = state.hooks.subscriptions.values().cloned().collect();
        let paging = json!({"page": 0, "size": 100, "totalPages": 1, "totalResults": all.len()});
        Ok(json!({"results": all, "paging": paging}))
    })
}

/// What an inner object names: it is made with the outer, or there already.
fn inner(known: &mut BTreeMap<String, Value>, given: &Value, name: &str) -> Result<Value, Trouble> {
    let id = text(given, name)?;
    if given.as_object().is_some_and(|members| members.len() > 1) {
        if known.contains_key(&id) {
            return Err(Trouble::invalid(name, "already exists"));
        }
        known.insert(id.clone(), given.clone());
    }
    match known.contains_key(&id) {
        true => Ok(json!({name: id})),
        false => Err(missing(&id)),
    }
}

async fn create(State(simulator): Simulated, headers: HeaderMap, body: Bytes) -> Response {
    changed(&simulator, &headers, StatusCode::CREATED, |state| {
        let mut said = read(&body)?;
        let id = text(&said, "subscriptionId")?;
        let hooks = &mut state.hooks;
        if hooks.subscriptions.contains_key(&id) {
            return Err(Trouble::invalid("subscriptionId", "already exists"));
        }
        if !said["profile"]["security"].is_null() {
            let security = said["profile"]["security"].take();
            said["profile"]["security"] = inner(&mut hooks.securities, &security, "authId")?;
        }
        let profile = said["profile"].take();
        said["profile"] = inner(&mut hooks.profiles, &profile, "profileId")?;
        hooks.subscriptions.insert(id.clone(), said.clone());
        Ok(json!({"subscriptionId": id, "profile": said["profile"]}))
    })
}

async fn update(
    State(simulator): Simulated,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    changed(&simulator, &headers, StatusCode::OK, |state| {
        let mut said = read(&body)?;
        let known = state.hooks.subscriptions.get_mut(&id);
        let known = known.ok_or_else(|| missing(&id))?;
        said["subscriptionId"] = id.as_str().into();
        *known = said;
        Ok(json!({"subscriptionId": id}))
    })
}

async fn remove(
    State(simulator): Simulated,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    changed(&simulator, &headers, StatusCode::NO_CONTENT, |state| {
        let gone = state.hooks.subscriptions.remove(&id);
        gone.map(|_| Value::Null).ok_or_else(|| missing(&id))
    })
}

async fn profile(
    State(simulator): Simulated,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    done(&simulator, INFOBIP, &headers, StatusCode::OK, || {
        let profile = simulator.state().hooks.profiles.get(&id).cloned();
        profile.ok_or_else(|| missing(&id))
    })
}

async fn update_profile(
    State(simulator): Simulated,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    changed(&simulator, &headers, StatusCode::OK, |state| {
        let mut said = read(&body)?;
        let known = state.hooks.profiles.get_mut(&id);
        let known = known.ok_or_else(|| missing(&id))?;
        said["profileId"] = id.as_str().into();
        *known = said;
        Ok(json!({"profileId": id}))
    })
}

async fn create_security(State(simulator): Simulated, headers: HeaderMap, body: Bytes) -> Response {
    changed(&simulator, &headers, StatusCode::CREATED, |state| {
        let said = read(&body)?;
        inner(&mut state.hooks.securities, &said, "authId")
    })
}

async fn update_security(
    State(simulator): Simulated,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    changed(&simulator, &headers, StatusCode::OK, |state| {
        let said = read(&body)?;
        let known = state.hooks.securities.get_mut(&id);
        *known.ok_or_else(|| missing(&id))? = said;
        Ok(json!({"authId": id}))
    })
}
