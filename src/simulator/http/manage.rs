//! Managing templates at the providers: what is submitted, edited, deleted and unpaused. Reading is
//! in `templates` and `nodes`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, OriginalUri, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::dialect::{Dialect, submission};
use super::super::review::with_id;
use super::super::state::Simulator;
use super::super::template::{Key, Template};
use super::super::trouble::Trouble;
use super::{Simulated, flows, hooks, media, numbers, pictures};

/// Of a template: more than Meta takes of any that is shown here.
const LARGEST_SAMPLE: usize = 32 << 20;

pub fn router() -> Router<Arc<Simulator>> {
    let infobip = "/whatsapp/2/senders/{sender}/templates";
    Router::new()
        .route(
            "/{version}/{id}/message_templates",
            post(meta_create).delete(meta_delete),
        )
        .route(
            "/{version}/{id}",
            post(meta_edit).layer(DefaultBodyLimit::max(LARGEST_SAMPLE)),
        )
        // Graph takes both, and clients write both.
        .route("/{version}/{id}/", post(meta_edit))
        .route("/{version}/{id}/unpause", post(meta_unpause))
        .route("/v1/configs/templates", post(dialog360_create))
        .route("/v1/configs/templates/{name}", delete(dialog360_delete))
        .route(infobip, post(infobip_create))
        .route(
            "/whatsapp/1/senders/{sender}/templates",
            post(infobip_create_v1).get(infobip_list_v1),
        )
        .route(
            &format!("{infobip}/{{id}}"),
            axum::routing::patch(infobip_edit).delete(infobip_delete),
        )
}

/// Does it for who has a key, in the dialect's own words.
pub(super) fn done(
    simulator: &Simulator,
    dialect: Dialect,
    headers: &HeaderMap,
    status: StatusCode,
    doing: impl FnOnce() -> Result<Value, Trouble>,
) -> Response {
    simulator.count_managed(dialect);
    let did = match simulator.config.knows(dialect.key(headers)) {
        true if dialect == Dialect::Meta => permitted(simulator).and_then(|()| doing()),
        true => doing(),
        false => Err(Trouble::BadKey),
    };
    match did {
        Ok(_) if status == StatusCode::NO_CONTENT => status.into_response(),
        Ok(answer) => (status, Json(answer)).into_response(),
        Err(trouble) => dialect.refuse(&trouble),
    }
}

/// Meta's keys may not all manage.
fn permitted(simulator: &Simulator) -> Result<(), Trouble> {
    simulator.state().hooks.permit(true)
}

pub(super) fn read(body: &[u8]) -> Result<Value, Trouble> {
    serde_json::from_slice(body).map_err(|_| Trouble::invalid("body", "Invalid JSON."))
}

fn text<'a>(body: &'a Value, name: &str) -> Result<&'a str, Trouble> {
    let missing = || Trouble::invalid(name, format!("The parameter {name} is required."));
    body[name].as_str().ok_or_else(missing)
}

/// Submits what a body defines.
fn create(
    simulator: &Simulator,
    dialect: Dialect,
    body: &[u8],
    show: impl Fn(&Template) -> Value,
) -> Result<Value, Trouble> {
    let body = read(body)?;
    let key = Key::new(dialect, text(&body, "name")?, text(&body, "language")?);
    simulator.submit(key, submission::read(dialect, &body), show)
}

/// Meta's and 360dialog's answer.
fn brief(template: &Template) -> Value {
    json!({"id": template.id.to_string(), "status": template.status,
        "category": template.category})
}

async fn meta_create(
    State(simulator): Simulated,
    Path((_version, waba_id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    done(&simulator, Dialect::Meta, &headers, StatusCode::OK, || {
        if waba_id != simulator.config.waba_id {
            return Err(Trouble::UnknownObject(waba_id));
        }
        create(&simulator, Dialect::Meta, &body, brief)
    })
}

#[derive(Deserialize)]
struct Deleted {
    name: Option<String>,
    hsm_id: Option<String>,
}

async fn meta_delete(
    State(simulator): Simulated,
    Path((_version, waba_id)): Path<(String, String)>,
    Query(Deleted { name, hsm_id }): Query<Deleted>,
    headers: HeaderMap,
) -> Response {
    done(&simulator, Dialect::Meta, &headers, StatusCode::OK, || {
        if waba_id != simulator.config.waba_id {
            return Err(Trouble::UnknownObject(waba_id));
        }
        let name = name.ok_or_else(|| Trouble::invalid("name", "Param name is required."))?;
        let is_gone = |t: &Template| {
            let id = hsm_id.as_ref();
            t.key.name == name && id.is_none_or(|id| *id == t.id.to_string())
        };
        remove(&simulator, Dialect::Meta, is_gone, &name)?;
        Ok(json!({"success": true}))
    })
}

fn remove(
    simulator: &Simulator,
    dialect: Dialect,
    is_gone: impl Fn(&Template) -> bool,
    name: &str,
) -> Result<(), Trouble> {
    let mut state = simulator.state();
    let before = state.templates.len();
    state
        .templates
        .retain(|key, template| key.dialect != dialect || !is_gone(template));
    match state.templates.len() < before {
        true => Ok(()),
        false if dialect == Dialect::Meta => Err(Trouble::Template {
            code: 2_593_002,
            message: format!("No message template of the name {name} was found."),
        }),
        false => Err(Trouble::UnknownObject(name.to_owned())),
    }
}

/// A template by its id, for what is to be done with it.
fn known(simulator: &Simulator, dialect: Dialect, id: &str) -> Result<Key, Trouble> {
    let found = with_id(&simulator.state(), dialect, id);
    found.ok_or_else(|| Trouble::UnknownObject(id.to_owned()))
}

async fn meta_edit(
    State(simulator): Simulated,
    Path((_version, id)): Path<(String, String)>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(answer) = hooks::set_number(&simulator, &id, &headers, &body).await {
        return answer;
    }
    done(&simulator, Dialect::Meta, &headers, StatusCode::OK, || {
        if id.starts_with("upload:") {
            if simulator.state().pictures.awaits(&id) {
                return pictures::upload(&simulator, &id, &headers, &body);
            }
            let session = media::session(&id, uri.query().unwrap_or_default());
            return media::more(&simulator, &headers, &session, &body);
        }
        if simulator.state().flows.contains_key(&id) {
            flows::update(&simulator, Dialect::Meta, &id, &flows::form(&body))?;
            return Ok(json!({"success": true}));
        }
        if let Some(pin) = read(&body)
            .ok()
            .and_then(|body| Some(body["pin"].as_str()?.to_owned()))
        {
            numbers::with(&simulator, Dialect::Meta, &id, |number| {
                number.set_pin(&pin)
            })?;
            return Ok(json!({"success": true}));
        }
        let key = known(&simulator, Dialect::Meta, &id)?;
        let submission = submission::read(Dialect::Meta, &read(&body)?);
        // Meta's page has `success` alone; its clients read the rest.
        simulator.edit(&key, submission, |template| {
            json!({"success": true, "id": template.id.to_string(), "name": template.key.name,
                "category": template.category})
        })
    })
}

async fn meta_unpause(
    State(simulator): Simulated,
    Path((_version, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    done(&simulator, Dialect::Meta, &headers, StatusCode::OK, || {
        let key = known(&simulator, Dialect::Meta, &id)?;
        Ok(match simulator.unpause_by_caller(&key) {
            Ok(()) => json!({"success": true}),
            // A success by its status.
            Err(reason) => json!({"success": false, "reason": reason}),
        })
    })
}

/// Its two APIs have the same path and key: which of them it is, is told by which of them anybody
/// listens to.
pub(super) fn of_dialog360(simulator: &Simulator) -> Dialect {
    let state = simulator.state();
    let has_address = |dialect: Dialect| {
        state
            .targets
            .get(&dialect)
            .is_some_and(|target| target.url.is_some())
    };
    match has_address(Dialect::Dialog360Onprem) && !has_address(Dialect::Dialog360) {
        true => Dialect::Dialog360Onprem,
        false => Dialect::Dialog360,
    }
}

async fn dialog360_create(
    State(simulator): Simulated,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let dialect = of_dialog360(&simulator);
    done(&simulator, dialect, &headers, StatusCode::CREATED, || {
        create(&simulator, dialect, &body, brief)
    })
}

async fn dialog360_delete(
    State(simulator): Simulated,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let dialect = of_dialog360(&simulator);
    done(&simulator, dialect, &headers, StatusCode::OK, || {
        remove(&simulator, dialect, |t| t.key.name == name, &name)?;
        let said = format!("template name={name} was deleted");
        Ok(json!({"meta": {"developer_message": said, "http_code": 200, "success": true}}))
    })
}

async fn infobip_create(
    State(simulator): Simulated,
    Path(_sender): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let waba_id = &simulator.config.waba_id;
    done(
        &simulator,
        Dialect::Infobip,
        &headers,
        StatusCode::CREATED,
        || {
            let show = |template: &Template| Dialect::Infobip.template(waba_id, template);
            create(&simulator, Dialect::Infobip, &body, show)
        },
    )
}

/// Its first API: texts are texts, and categories are others, which WhatsApp has not any more.
async fn infobip_create_v1(
    State(simulator): Simulated,
    Path(_sender): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    done(
        &simulator,
        Dialect::Infobip,
        &headers,
        StatusCode::CREATED,
        || {
            let mut body = read(&body)?;
            let category = text(&body, "category")?.to_owned();
            if !["ALERT_UPDATE", "SHIPPING_UPDATE", "ACCOUNT_UPDATE"].contains(&category.as_str()) {
                return Err(Trouble::invalid("category", "is not a category"));
            }
            body["category"] = "UTILITY".into();
            body["structure"]["body"] = json!({"text": body["structure"]["body"]});
            let waba_id = &simulator.config.waba_id;
            let whole = serde_json::to_vec(&body).unwrap_or_default();
            create(&simulator, Dialect::Infobip, &whole, |template| {
                of_v1(Dialect::Infobip.template(waba_id, template))
            })
        },
    )
}

fn of_v1(mut template: Value) -> Value {
    template["structure"]["body"] = template["structure"]["body"]["text"].take();
    template
}

async fn infobip_list_v1(
    State(simulator): Simulated,
    Path(_sender): Path<String>,
    headers: HeaderMap,
) -> Response {
    done(
        &simulator,
        Dialect::Infobip,
        &headers,
        StatusCode::OK,
        || {
            let state = simulator.state();
            let own = state.templates.values();
            let own = own.filter(|template| template.key.dialect == Dialect::Infobip);
            let waba_id = &simulator.config.waba_id;
            let shown = own.map(|template| of_v1(Dialect::Infobip.template(waba_id, template)));
            Ok(json!({"templates": shown.collect::<Vec<_>>()}))
        },
    )
}

async fn infobip_edit(
    State(simulator): Simulated,
    Path((_sender, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let waba_id = &simulator.config.waba_id;
    done(
        &simulator,
        Dialect::Infobip,
        &headers,
        StatusCode::OK,
        || {
            let key = known(&simulator, Dialect::Infobip, &id)?;
            let show = |template: &Template| Dialect::Infobip.template(waba_id, template);
            let submission = submission::read(Dialect::Infobip, &read(&body)?);
            simulator.edit(&key, submission, show)
        },
    )
}

async fn infobip_delete(
    State(simulator): Simulated,
    Path((_sender, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    done(
        &simulator,
        Dialect::Infobip,
        &headers,
        StatusCode::NO_CONTENT,
        || {
            remove(&simulator, Dialect::Infobip, |t| t.key.name == name, &name)?;
            Ok(Value::Null)
        },
    )
}
