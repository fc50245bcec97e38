//! Numbers at the providers: their lists, profiles and registration. One of Meta's by its id comes
//! by `nodes`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{OriginalUri, Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::dialect::Dialect;
use super::super::nodes;
use super::super::number::Number;
use super::super::state::Simulator;
use super::super::trouble::Trouble;
use super::Simulated;
use super::flows::form;
use super::manage::{done, read};
use super::pictures;

pub fn router() -> Router<Arc<Simulator>> {
    let signup = "/whatsapp/1/embedded-signup/registrations";
    let at = |end: &str| format!("{signup}{end}");
    let meta = |step: &str| format!("/{{version}}/{{id}}/{step}");
    let mut router = Router::new()
        .route(&meta("phone_numbers"), get(meta_list).post(meta_add))
        .route(
            &meta("whatsapp_business_profile"),
            get(meta_profile).post(meta_profile),
        )
        .route(
            "/whatsapp_business_profile",
            get(dialog360_profile).post(dialog360_profile),
        )
        .route("/health_status", get(dialog360_health))
        .route(
            "/v1/settings/{part}/{name}",
            get(onprem_profile)
                .post(onprem_profile)
                .patch(onprem_profile),
        )
        .route("/whatsapp/1/senders/quality", get(quality))
        .route(
            "/whatsapp/1/senders/{sender}/business-info",
            get(business_info).patch(business_info),
        )
        .route(
            &at("/business-account/{account}/senders"),
            post(infobip_add),
        )
        .route(
            &at("/senders/{sender}/verification"),
            post(verification).put(verification),
        )
        .route("/_control/senders", get(all));
    for step in ["register", "deregister", "request_code", "verify_code"] {
        router = router.route(&meta(step), post(meta_step));
    }
    router
}

/// A number of a dialect, which may be changed. At Meta every id is one that is in use.
pub fn with<T>(
    simulator: &Simulator,
    dialect: Dialect,
    id: &str,
    change: impl FnOnce(&mut Number) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    let mut state = simulator.state();
    let key = (dialect, id.to_owned());
    let is_there = dialect != Dialect::Infobip || id == simulator.config.phone_number_id;
    if is_there {
        state
            .numbers
            .entry(key.clone())
            .or_insert_with(Number::in_use);
    }
    let number = state.numbers.get_mut(&key);
    let number = number.ok_or_else(|| Trouble::UnknownObject(id.to_owned()))?;
    let before = (number.verified, number.registered);
    let changed = change(number);
    let (verified, registered) = (number.verified, number.registered);
    if dialect == Dialect::Meta && before != (verified, registered) {
        let word = |is: bool, yes: &'static str, no: &'static str| if is { yes } else { no };
        let fields = json!({
            "status": word(registered, "CONNECTED", "DISCONNECTED"),
            "code_verification_status": word(verified, "VERIFIED", "NOT_VERIFIED"),
        });
        state.nodes.say(id, fields);
    }
    changed
}

fn text<'a>(body: &'a Value, name: &str) -> Result<&'a str, Trouble> {
    let missing = || Trouble::invalid(name, format!("The parameter {name} is required."));
    body[name].as_str().ok_or_else(missing)
}

type Node = Path<(String, String)>;

#[derive(Deserialize)]
struct Fields {
    fields: Option<String>,
}

async fn meta_list(
    State(simulator): Simulated,
    Path((version, waba_id)): Node,
    Query(asked): Query<Fields>,
    headers: HeaderMap,
) -> Response {
    done(&simulator, Dialect::Meta, &headers, StatusCode::OK, || {
        if waba_id != simulator.config.waba_id {
            return Err(Trouble::UnknownObject(waba_id));
        }
        with(
            &simulator,
            Dialect::Meta,
            &simulator.config.phone_number_id,
            |_| Ok(()),
        )?;
        let state = simulator.state();
        let ids: Vec<_> = state.numbers.keys().cloned().collect();
        let ids = ids
            .into_iter()
            .filter(|(dialect, _)| *dialect == Dialect::Meta);
        let mut data = Vec::new();
        for (_, id) in ids {
            let number = nodes::number(&state, &version, &waba_id, &id);
            let shown = nodes::only(number, asked.fields.as_deref());
            data.push(shown.map_err(|_| Trouble::invalid("fields", "nonexisting field"))?);
        }
        Ok(json!({"data": data, "paging": {"cursors": {"before": "QV", "after": "QV"}}}))
    })
}

async fn meta_add(
    State(simulator): Simulated,
    Path((_version, waba_id)): Node,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    done(&simulator, Dialect::Meta, &headers, StatusCode::OK, || {
        if waba_id != simulator.config.waba_id {
            return Err(Trouble::UnknownObject(waba_id));
        }
        let body = read(&body)?;
        // An id of fifteen digits that the number itself tells.
        let id = format!("77{:0>13}", text(&body, "phone_number")?);
        let name = text(&body, "verified_name")?.to_owned();
        let display = format!("+{}", text(&body, "phone_number")?);
        let mut state = simulator.state();
        let number = state
            .numbers
            .entry((Dialect::Meta, id.clone()))
            .or_default();
        if number.added > 0 {
            return Err(Trouble::Number {
                http: 409,
                code: 100,
                message: "Phone number is already registered with WhatsApp Business",
            });
        }
        number.added += 1;
        let fields = json!({"verified_name": name, "display_phone_number": display,
            "status": "PENDING", "code_verification_status": "NOT_VERIFIED",
            "quality_rating": "UNKNOWN"});
        state.nodes.say(&id, fields);
        Ok(json!({"id": id}))
    })
}

/// What is said by the last part of the path.
async fn meta_step(
    State(simulator): Simulated,
    Path((_version, id)): Node,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    done(&simulator, Dialect::Meta, &headers, StatusCode::OK, || {
        let step = uri.path().rsplit('/').next().unwrap_or_default();
        let body = match step {
            "deregister" => Value::Null,
            // Graph takes what a query says, too.
            _ if body.is_empty() => form(uri.query().unwrap_or_default().as_bytes()),
            _ => read(&body)?,
        };
        with(&simulator, Dialect::Meta, &id, |number| match step {
            "register" => {
                if text(&body, "messaging_product")? != "whatsapp" {
                    return Err(Trouble::invalid("messaging_product", "must be whatsapp"));
                }
                number.register(text(&body, "pin")?)
            }
            "deregister" => number.deregister(),
            "request_code" => {
                if !["SMS", "VOICE"].contains(&text(&body, "code_method")?) {
                    let message = "Invalid parameter: code_method must be SMS or VOICE";
                    return Err(Trouble::invalid("code_method", message));
                }
                text(&body, "language")?;
                number.request_code()
            }
            _ => number.verify(text(&body, "code")?),
        })?;
        Ok(match step {
            "verify_code" => json!({"success": true, "id": id}),
            _ => json!({"success": true}),
        })
    })
}

/// What a body changes of a profile.
fn changed(number: &mut Number, body: &Value) {
    for (name, value) in body.as_object().into_iter().flatten() {
        number.profile.insert(name.clone(), value.clone());
    }
    number.profile.remove("messaging_product");
}

fn profile(
    simulator: &Simulator,
    dialect: Dialect,
    id: &str,
    method: &Method,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Value, Trouble> {
    if method == Method::GET {
        let mut shown = with(simulator, dialect, id, |number| Ok(number.profile.clone()))?;
        shown.insert("messaging_product".to_owned(), "whatsapp".into());
        if dialect == Dialect::Meta {
            let vertical = shown.entry("vertical").or_insert(Value::Null);
            if vertical.is_null() {
                *vertical = "UNDEFINED".into();
            }
        }
        return Ok(json!({"data": [shown]}));
    }
    let mut body = read(body)?;
    if text(&body, "messaging_product")? != "whatsapp" {
        return Err(Trouble::invalid("messaging_product", "must be whatsapp"));
    }
    if let Some(handle) = body["profile_picture_handle"].as_str() {
        body["profile_picture_url"] = pictures::address(simulator, headers, handle)?;
        body["profile_picture_handle"].take();
    }
    with(simulator, dialect, id, |number| {
        changed(number, &body);
        Ok(json!({"success": true}))
    })
}

async fn meta_profile(
    State(simulator): Simulated,
    Path((_version, id)): Node,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    done(&simulator, Dialect::Meta, &headers, StatusCode::OK, || {
        profile(&simulator, Dialect::Meta, &id, &method, &headers, &body)
    })
}

async fn dialog360_profile(
    State(simulator): Simulated,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let id = simulator.config.phone_number_id.clone();
    done(
        &simulator,
        Dialect::Dialog360,
        &headers,
        StatusCode::OK,
        || {
            profile(
                &simulator,
                Dialect::Dialog360,
                &id,
                &method,
                &headers,
                &body,
            )
        },
    )
}

async fn dialog360_health(State(simulator): Simulated, headers: HeaderMap) -> Response {
    done(
        &simulator,
        Dialect::Dialog360,
        &headers,
        StatusCode::OK,
        || {
            let (id, waba_id) = (&simulator.config.phone_number_id, &simulator.config.waba_id);
            let number = nodes::number(&simulator.state(), "v25.0", waba_id, id);
            Ok(json!({"health_status": number["health_status"], "id": id}))
        },
    )
}

const ONPREM: Dialect = Dialect::Dialog360Onprem;

/// `business/profile`, and `profile/about`.
async fn onprem_profile(
    State(simulator): Simulated,
    Path((part, name)): Node,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    done(&simulator, ONPREM, &headers, StatusCode::OK, || {
        let id = &simulator.config.phone_number_id;
        let is_about = match (part.as_str(), name.as_str()) {
            ("business", "profile") => false,
            ("profile", "about") => true,
            _ => return Err(Trouble::UnknownObject(name)),
        };
        let known = with(&simulator, ONPREM, id, |number| Ok(number.profile.clone()))?;
        if method != Method::GET {
            let mut body = read(&body)?;
            if is_about {
                body = json!({"about": text(&body, "text")?});
            }
            with(&simulator, ONPREM, id, |number| {
                changed(number, &body);
                Ok(())
            })?;
            return Ok(json!({"meta": {"api_status": "stable", "version": "2.33.4"}}));
        }
        let about = known.get("about").cloned().unwrap_or_default();
        let business: Map<_, _> = known
            .into_iter()
            .filter(|(name, _)| name != "about")
            .collect();
        Ok(match is_about {
            true => json!({"settings": {"profile": {"about": {"text": about}}}}),
            false => json!({"settings": {"business": {"profile": business}}}),
        })
    })
}

const INFOBIP: Dialect = Dialect::Infobip;

#[derive(Deserialize)]
struct Senders {
    senders: String,
}

/// Of numbers that are the account's alone.
async fn quality(
    State(simulator): Simulated,
    Query(Senders { senders }): Query<Senders>,
    headers: HeaderMap,
) -> Response {
    done(&simulator, INFOBIP, &headers, StatusCode::OK, || {
        let mut results = Vec::new();
        for id in senders.split(',') {
            let Ok(verified) = with(&simulator, INFOBIP, id, |number| Ok(number.verified)) else {
                continue;
            };
            let (rating, status) = match verified {
                true => ("HIGH", "CONNECTED"),
                false => ("UNKNOWN", "UNVERIFIED"),
            };
            let mut shown = json!({"sender": id, "qualityRating": rating, "status": status,
                "currentLimit": "LIMIT_10K", "lastUpdated": "2026-02-18T08:12:26.422Z"});
            simulator.state().nodes.told(id, &mut shown);
            results.push(shown);
        }
        Ok(json!({ "results": results }))
    })
}

async fn business_info(
    State(simulator): Simulated,
    Path(id): Path<String>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if method == Method::GET {
        return done(&simulator, INFOBIP, &headers, StatusCode::OK, || {
            let known = with(&simulator, INFOBIP, &id, |number| {
                Ok(number.profile.clone())
            })?;
            let mut shown = json!({"about": "", "address": "", "description": "", "email": "",
                "vertical": "OTHER", "websites": [], "displayName": "Simulated Shop"});
            for (name, value) in known.into_iter().filter(|(name, _)| name != "logoUrl") {
                shown[name] = value;
            }
            Ok(shown)
        });
    }
    done(
        &simulator,
        INFOBIP,
        &headers,
        StatusCode::NO_CONTENT,
        || {
            let body = read(&body)?;
            with(&simulator, INFOBIP, &id, |number| {
                changed(number, &body);
                Ok(Value::Null)
            })
        },
    )
}

fn is_kind(body: &Value) -> Result<(), Trouble> {
    let kind = text(body, "type")?;
    text(body, "locale")?;
    match kind {
        "EXTERNAL_SMS" | "EXTERNAL_VOICE" => Ok(()),
        _ => Err(Trouble::invalid(
            "type",
            "must be one of EXTERNAL_SMS, EXTERNAL_VOICE",
        )),
    }
}

async fn infobip_add(
    State(simulator): Simulated,
    Path(_account): Path<u64>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    done(&simulator, INFOBIP, &headers, StatusCode::ACCEPTED, || {
        let body = read(&body)?;
        is_kind(&body)?;
        text(&body, "displayName")?;
        let id = format!(
            "{}{}",
            text(&body, "countryCode")?,
            text(&body, "phoneNumber")?
        );
        let mut state = simulator.state();
        let number = state.numbers.entry((INFOBIP, id)).or_default();
        number.added += 1;
        if number.verified {
            return Ok(json!({"status": "SUBMITTED_FOR_REGISTRATION"}));
        }
        number.request_code()?;
        Ok(json!({"status": "OTP_REQUESTED"}))
    })
}

async fn verification(
    State(simulator): Simulated,
    Path(id): Path<String>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    done(&simulator, INFOBIP, &headers, StatusCode::ACCEPTED, || {
        let body = read(&body)?;
        with(&simulator, INFOBIP, &id, |number| {
            if method == Method::PUT {
                is_kind(&body)?;
                return number.request_code();
            }
            number.verify(text(&body, "code")?)?;
            // It is registered by itself.
            number.registered = true;
            Ok(())
        })?;
        Ok(json!({}))
    })
}

/// Every number, for scripts.
async fn all(State(simulator): Simulated) -> Json<Value> {
    let state = simulator.state();
    let shown = state.numbers.iter().map(|((dialect, id), number)| {
        let mut shown = json!(number);
        shown["provider"] = json!(dialect);
        shown["id"] = id.as_str().into();
        shown
    });
    Json(json!({"senders": shown.collect::<Vec<_>>()}))
}
