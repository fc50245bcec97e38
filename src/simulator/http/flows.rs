//! Flows at Meta and at Infobip. At Meta a flow is a node like any other: what is asked of one by
//! its id alone comes by `nodes` and `manage`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::{delete, get, patch, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::super::dialect::Dialect;
use super::super::flow::{Flow, Wish};
use super::super::state::Simulator;
use super::super::trouble::Trouble;
use super::Simulated;
use super::manage::{done, read};

pub fn router() -> Router<Arc<Simulator>> {
    let infobip = "/whatsapp/1/senders/{sender}/flows";
    let of = |end: &str| format!("{infobip}{end}");
    Router::new()
        .route("/{version}/{id}/flows", get(meta_list).post(meta_create))
        .route("/{version}/{id}/assets", get(meta_json).post(meta_upload))
        .route("/{version}/{id}/publish", post(meta_publish))
        .route("/{version}/{id}/deprecate", post(meta_deprecate))
        .route("/{version}/{id}", delete(meta_delete))
        .route(infobip, get(infobip_list).post(infobip_create))
        .route(&of("/{id}"), patch(infobip_update).delete(infobip_delete))
        .route(&of("/{id}/publish"), post(infobip_publish))
        .route(&of("/{id}/deprecate"), post(infobip_deprecate))
        .route(&of("/{id}/json"), get(infobip_json).put(infobip_upload))
        .route(&of("/{id}/preview"), get(infobip_preview))
        .route("/_flows/{id}/flow.json", get(download))
}

/// A flow of a dialect, changed.
fn change<T>(
    simulator: &Simulator,
    dialect: Dialect,
    id: &str,
    change: impl FnOnce(&mut Flow) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    let mut state = simulator.state();
    let flow = state
        .flows
        .get_mut(id)
        .filter(|flow| flow.dialect == dialect);
    change(flow.ok_or_else(|| Trouble::UnknownObject(id.to_owned()))?)
}

/// What a form says, where lists are their JSON; Graph takes all of it as JSON, too.
pub fn form(body: &[u8]) -> Value {
    if let Ok(said @ Value::Object(_)) = serde_json::from_slice(body) {
        return said;
    }
    let mut said = json!({});
    for (name, value) in
        reqwest::Url::parse(&format!("http://x/?{}", String::from_utf8_lossy(body)))
            .iter()
            .flat_map(reqwest::Url::query_pairs)
    {
        said[name.as_ref()] = match name.as_ref() {
            "categories" => serde_json::from_str(&value).unwrap_or_default(),
            _ => value.into_owned().into(),
        };
    }
    said
}

/// Takes what a body says of a flow.
pub fn update(
    simulator: &Simulator,
    dialect: Dialect,
    id: &str,
    said: &Value,
) -> Result<(), Trouble> {
    change(simulator, dialect, id, |flow| {
        flow.lets(Wish::Change)?;
        flow.updated_at = at(simulator, time::Duration::ZERO);
        if let Some(name) = said["name"].as_str() {
            name.clone_into(&mut flow.name);
        }
        if let Some(categories) = said["categories"].as_array() {
            flow.categories.clone_from(categories);
        }
        Ok(())
    })
}

fn moved(simulator: &Simulator, dialect: Dialect, id: &str, wish: Wish) -> Result<(), Trouble> {
    change(simulator, dialect, id, |flow| {
        flow.lets(wish)?;
        flow.updated_at = at(simulator, time::Duration::ZERO);
        match wish {
            Wish::Publish => flow.status = "PUBLISHED",
            Wish::Deprecate => flow.status = "DEPRECATED",
            Wish::Change | Wish::Delete => {}
        }
        Ok(())
    })?;
    if wish == Wish::Delete {
        simulator.state().flows.remove(id);
    }
    Ok(())
}

fn all(simulator: &Simulator, dialect: Dialect) -> Vec<Value> {
    let state = simulator.state();
    let own = state.flows.values().filter(|flow| flow.dialect == dialect);
    own.map(Flow::shown).collect()
}

fn create(simulator: &Simulator, dialect: Dialect, said: &Value) -> Result<Flow, Trouble> {
    let now = at(simulator, time::Duration::ZERO);
    Flow::made(&mut simulator.state().flows, dialect, said, &now)
}

/// Where the simulator is, as its caller called it.
pub fn here(headers: &HeaderMap) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    format!("http://{}", host.unwrap_or("localhost"))
}

fn put(simulator: &Simulator, dialect: Dialect, id: &str, flow: Value) -> Result<Value, Trouble> {
    change(simulator, dialect, id, |known| {
        known.lets(Wish::Change)?;
        known.updated_at = at(simulator, time::Duration::ZERO);
        known.json = Some(flow);
        Ok(known.validation_errors())
    })
}

const PREVIEW: &str = "https://business.facebook.com/wa/manage/flows/preview/?token=simulated";

/// Where a flow can be looked at, for 30 days.
pub fn preview(simulator: &Simulator) -> (&'static str, String) {
    (PREVIEW, at(simulator, time::Duration::days(30)))
}

/// So long from now, as Meta writes it.
fn at(simulator: &Simulator, from_now: time::Duration) -> String {
    let format =
        time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]+0000");
    let time = simulator.clock.now() + from_now;
    time.format(format).unwrap_or_default()
}

async fn meta_list(State(simulator): Simulated, headers: HeaderMap) -> Response {
    done(&simulator, Dialect::Meta, &headers, StatusCode::OK, || {
        let data = all(&simulator, Dialect::Meta);
        Ok(json!({"data": data, "paging": {"cursors": {"before": "QV", "after": "QV"}}}))
    })
}

async fn meta_create(State(simulator): Simulated, headers: HeaderMap, body: Bytes) -> Response {
    done(&simulator, Dialect::Meta, &headers, StatusCode::OK, || {
        let flow = create(&simulator, Dialect::Meta, &form(&body))?;
        Ok(json!({"id": flow.id}))
    })
}

type Node = Path<(String, String)>;

async fn meta_delete(
    State(simulator): Simulated,
    Path((_version, id)): Node,
    headers: HeaderMap,
) -> Response {
    done(&simulator, Dialect::Meta, &headers, StatusCode::OK, || {
        if super::media::deleted(&simulator, Dialect::Meta, &id, None).is_ok() {
            return Ok(json!({"success": true}));
        }
        moved(&simulator, Dialect::Meta, &id, Wish::Delete)?;
        Ok(json!({"success": true}))
    })
}

async fn meta_publish(
    State(simulator): Simulated,
    Path((_version, id)): Node,
    headers: HeaderMap,
) -> Response {
    done(&simulator, Dialect::Meta, &headers, StatusCode::OK, || {
        moved(&simulator, Dialect::Meta, &id, Wish::Publish)?;
        Ok(json!({"success": true}))
    })
}

async fn meta_deprecate(
    State(simulator): Simulated,
    Path((_version, id)): Node,
    headers: HeaderMap,
) -> Response {
    done(&simulator, Dialect::Meta, &headers, StatusCode::OK, || {
        moved(&simulator, Dialect::Meta, &id, Wish::Deprecate)?;
        Ok(json!({"success": true}))
    })
}

async fn meta_json(
    State(simulator): Simulated,
    Path((_version, id)): Node,
    headers: HeaderMap,
) -> Response {
    done(&simulator, Dialect::Meta, &headers, StatusCode::OK, || {
        change(&simulator, Dialect::Meta, &id, |_| Ok(()))?;
        let url = format!("{}/_flows/{id}/flow.json", here(&headers));
        Ok(json!({"data": [{"name": "flow.json", "asset_type": "FLOW_JSON", "download_url": url}]}))
    })
}

/// The file of a form with several parts.
fn file(headers: &HeaderMap, body: &[u8]) -> Option<Value> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let boundary = kind.strip_prefix("multipart/form-data; boundary=")?;
    let text = std::str::from_utf8(body).ok()?;
    let parts: Vec<_> = text.split(&format!("--{boundary}")).collect();
    let part = |name: &str| {
        let is = |part: &&&str| part.contains(&format!("name=\"{name}\""));
        let (_, content) = parts.iter().find(is)?.split_once("\r\n\r\n")?;
        content.strip_suffix("\r\n")
    };
    if part("name")? != "flow.json" || part("asset_type")? != "FLOW_JSON" {
        return None;
    }
    serde_json::from_str(part("file")?).ok()
}

async fn meta_upload(
    State(simulator): Simulated,
    Path((_version, id)): Node,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    done(&simulator, Dialect::Meta, &headers, StatusCode::OK, || {
        let wrong = || Trouble::invalid("file", "Param file is required.");
        let flow = file(&headers, &body).ok_or_else(wrong)?;
        let errors = put(&simulator, Dialect::Meta, &id, flow)?;
        // A success, whatever is wrong with it.
        Ok(json!({"success": true, "validation_errors": errors}))
    })
}

const INFOBIP: Dialect = Dialect::Infobip;

async fn infobip_list(State(simulator): Simulated, headers: HeaderMap) -> Response {
    done(&simulator, INFOBIP, &headers, StatusCode::OK, || {
        Ok(json!({"flows": all(&simulator, INFOBIP)}))
    })
}

async fn infobip_create(State(simulator): Simulated, headers: HeaderMap, body: Bytes) -> Response {
    done(&simulator, INFOBIP, &headers, StatusCode::CREATED, || {
        Ok(create(&simulator, INFOBIP, &read(&body)?)?.shown())
    })
}

async fn infobip_update(
    State(simulator): Simulated,
    Path((_sender, id)): Node,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    done(
        &simulator,
        INFOBIP,
        &headers,
        StatusCode::NO_CONTENT,
        || {
            update(&simulator, INFOBIP, &id, &read(&body)?)?;
            Ok(Value::Null)
        },
    )
}

/// What is said by the path alone.
fn infobip_moved(simulator: &Simulator, headers: &HeaderMap, id: &str, wish: Wish) -> Response {
    done(simulator, INFOBIP, headers, StatusCode::NO_CONTENT, || {
        moved(simulator, INFOBIP, id, wish)?;
        Ok(Value::Null)
    })
}

async fn infobip_delete(
    State(simulator): Simulated,
    Path((_sender, id)): Node,
    headers: HeaderMap,
) -> Response {
    infobip_moved(&simulator, &headers, &id, Wish::Delete)
}

async fn infobip_publish(
    State(simulator): Simulated,
    Path((_sender, id)): Node,
    headers: HeaderMap,
) -> Response {
    infobip_moved(&simulator, &headers, &id, Wish::Publish)
}

async fn infobip_deprecate(
    State(simulator): Simulated,
    Path((_sender, id)): Node,
    headers: HeaderMap,
) -> Response {
    infobip_moved(&simulator, &headers, &id, Wish::Deprecate)
}

async fn infobip_json(
    State(simulator): Simulated,
    Path((_sender, id)): Node,
    headers: HeaderMap,
) -> Response {
    done(&simulator, INFOBIP, &headers, StatusCode::OK, || {
        change(&simulator, INFOBIP, &id, |_| Ok(()))?;
        let url = format!("{}/_flows/{id}/flow.json", here(&headers));
        Ok(json!({"externalDownloadUrl": url}))
    })
}

async fn infobip_upload(
    State(simulator): Simulated,
    Path((_sender, id)): Node,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    done(&simulator, INFOBIP, &headers, StatusCode::CREATED, || {
        let errors = put(&simulator, INFOBIP, &id, read(&body)?)?;
        Ok(json!({"validationErrors": errors}))
    })
}

async fn infobip_preview(
    State(simulator): Simulated,
    Path((_sender, id)): Node,
    headers: HeaderMap,
) -> Response {
    done(&simulator, INFOBIP, &headers, StatusCode::OK, || {
        change(&simulator, INFOBIP, &id, |_| Ok(()))?;
        let (url, until) = preview(&simulator);
        Ok(json!({"previewUrl": url, "expiresAt": until}))
    })
}

/// Whoever has the address may have it.
async fn download(State(simulator): Simulated, Path(id): Path<String>) -> Json<Value> {
    let state = simulator.state();
    let flow = state.flows.get(&id).and_then(|flow| flow.json.clone());
    Json(flow.unwrap_or_default())
}
