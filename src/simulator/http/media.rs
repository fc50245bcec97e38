//! Media at the providers. At Meta an id of media is a node like any other, and so is the session of
//! a sample's upload: what is asked of one by its id alone comes by `nodes`, `manage` and `flows`.

use std::sync::Arc;

use axum::body::{Bytes, to_bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::dialect::Dialect;
use super::super::media::{ADDRESS_SECONDS, File};
use super::super::state::Simulator;
use super::super::trouble::Trouble;
use super::Simulated;
use super::flows::here;
use super::manage::done;

/// The largest file, and what stands around it.
const MOST: usize = 101 << 20;

pub fn router() -> Router<Arc<Simulator>> {
    let infobip = "/whatsapp/1/senders/{sender}/media";
    Router::new()
        .route("/{version}/{id}/media", post(meta_upload))
        .route("/{version}/{id}/uploads", post(meta_begin))
        .route("/media", post(dialog360_upload))
        .route("/{id}", get(dialog360_one).delete(dialog360_delete))
        .route("/v1/media", post(onprem_upload))
        .route("/v1/media/{id}", get(onprem_bytes).delete(onprem_delete))
        .route(infobip, delete(infobip_delete))
        // As Infobip's own client for Node.js asks for it.
        .route(&format!("{infobip}/"), delete(infobip_delete))
        .route(&format!("{infobip}/{{id}}"), get(infobip_bytes))
        .route("/_media/{id}", get(download))
        .route("/whatsapp_business/attachments/{id}", get(download))
        .route("/_control/media", post(sent_by_user))
}

#[derive(Debug, Deserialize)]
struct Begun {
    file_length: Option<usize>,
}

async fn all(request: Request) -> Result<(HeaderMap, Bytes), StatusCode> {
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, MOST).await;
    let bytes = bytes.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    Ok((parts.headers, bytes))
}

/// The parts of a form: name, type, bytes.
fn parts(headers: &HeaderMap, body: &Bytes) -> Option<Vec<(String, Option<String>, Bytes)>> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let boundary = kind.strip_prefix("multipart/form-data; boundary=")?;
    let line = format!("--{boundary}");
    let mut found = Vec::new();
    let mut at = find(body, line.as_bytes(), 0)? + line.len();
    while body.get(at..at + 2)? == b"\r\n" {
        let head_end = find(body, b"\r\n\r\n", at)?;
        let end = find(body, format!("\r\n{line}").as_bytes(), head_end)?;
        let head = std::str::from_utf8(body.get(at..head_end)?).ok()?;
        let name = head.split("name=\"").nth(1)?.split('"').next()?;
        let kind = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Type: "));
        let bytes = body.slice(head_end + 4..end);
        found.push((name.to_owned(), kind.map(str::to_owned), bytes));
        at = end + 2 + line.len();
    }
    Some(found)
}

fn find(body: &[u8], what: &[u8], from: usize) -> Option<usize> {
    let first = *what.first()?;
    let mut at = from;
    loop {
        at += body.get(at..)?.iter().position(|byte| *byte == first)?;
        if body.get(at..)?.starts_with(what) {
            return Some(at);
        }
        at += 1;
    }
}

/// The file of a form.
fn file(
    dialect: Dialect,
    number: String,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<File, Trouble> {
    let missing = |name: &str| Trouble::invalid(name, format!("The parameter {name} is required."));
    let parts = parts(headers, body).ok_or_else(|| missing("file"))?;
    let part = |name: &str| parts.iter().find(|(of, _, _)| of == name);
    let product = part("messaging_product").ok_or_else(|| missing("messaging_product"))?;
    if product.2 != "whatsapp" {
        return Err(Trouble::invalid(
            "messaging_product",
            "It must be whatsapp.",
        ));
    }
    let (_, kind, bytes) = part("file").ok_or_else(|| missing("file"))?;
    Ok(File {
        dialect,
        number,
        kind: kind.clone().unwrap_or_default(),
        bytes: bytes.clone(),
    })
}

async fn meta_upload(
    State(simulator): Simulated,
    Path((_version, number)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (headers, body) = match all(request).await {
        Ok(all) => all,
        Err(status) => return status.into_response(),
    };
    done(&simulator, Dialect::Meta, &headers, StatusCode::OK, || {
        let file = file(Dialect::Meta, number, &headers, &body)?;
        Ok(json!({"id": simulator.state().media.keep(file)?}))
    })
}

async fn dialog360_upload(State(simulator): Simulated, request: Request) -> Response {
    let (headers, body) = match all(request).await {
        Ok(all) => all,
        Err(status) => return status.into_response(),
    };
    let dialect = Dialect::Dialog360;
    done(&simulator, dialect, &headers, StatusCode::OK, || {
        let file = file(dialect, String::new(), &headers, &body)?;
        Ok(json!({"id": simulator.state().media.keep(file)?}))
    })
}

async fn onprem_upload(State(simulator): Simulated, request: Request) -> Response {
    let (headers, bytes) = match all(request).await {
        Ok(all) => all,
        Err(status) => return status.into_response(),
    };
    let dialect = Dialect::Dialog360Onprem;
    done(&simulator, dialect, &headers, StatusCode::CREATED, || {
        let kind = headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let file = File {
            dialect,
            number: String::new(),
            kind: kind.to_owned(),
            bytes,
        };
        let id = simulator.state().media.keep(file)?;
        Ok(json!({"media": [{"id": id}], "meta": {"api_status": "stable", "version": "2.53"}}))
    })
}

/// Where the bytes of media are, for five minutes.
fn address(simulator: &Simulator, before: &str, id: &str) -> String {
    let until = simulator.clock.now().unix_timestamp() + ADDRESS_SECONDS;
    format!("{before}/{id}?ext={until}&hash=ATs")
}

/// A node of Meta's, if it is media or a sample's upload.
pub fn node(
    simulator: &Simulator,
    headers: &HeaderMap,
    id: &str,
    query: &str,
) -> Option<Result<Value, Trouble>> {
    let media = &simulator.state().media;
    if id.starts_with("upload:") {
        return Some(media.came(&session(id, query)));
    }
    media.find(Dialect::Meta, id, None).ok()?;
    let number = query
        .split('&')
        .find_map(|it| it.strip_prefix("phone_number_id="));
    let file = media.find(Dialect::Meta, id, number);
    let url = address(simulator, &format!("{}/_media", here(headers)), id);
    Some(file.map(|file| file.shown(id, &url)))
}

/// The id of a sample's upload has a signature behind a `?`.
pub fn session(id: &str, query: &str) -> String {
    format!("{id}?{query}")
}

/// More of a sample.
pub fn more(
    simulator: &Simulator,
    headers: &HeaderMap,
    session: &str,
    body: &[u8],
) -> Result<Value, Trouble> {
    let offset = headers
        .get("file_offset")
        .and_then(|it| it.to_str().ok()?.parse().ok());
    let offset = offset.ok_or_else(|| Trouble::invalid("file_offset", "It is required."))?;
    simulator.state().media.more(session, offset, body.len())
}

async fn meta_begin(
    State(simulator): Simulated,
    Query(begun): Query<Begun>,
    headers: HeaderMap,
) -> Response {
    done(&simulator, Dialect::Meta, &headers, StatusCode::OK, || {
        let missing = || Trouble::invalid("file_length", "It is required.");
        let length = begun.file_length.ok_or_else(missing)?;
        Ok(json!({"id": simulator.state().media.begin(length)}))
    })
}

async fn dialog360_one(
    State(simulator): Simulated,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let dialect = Dialect::Dialog360;
    done(&simulator, dialect, &headers, StatusCode::OK, || {
        // Meta's own address, which takes no key of 360dialog's.
        let meta = "https://lookaside.fbsbx.com/whatsapp_business/attachments";
        let url = address(&simulator, meta, &id);
        Ok(simulator
            .state()
            .media
            .find(dialect, &id, None)?
            .shown(&id, &url))
    })
}

/// Deletes.
pub fn deleted(
    simulator: &Simulator,
    dialect: Dialect,
    id: &str,
    number: Option<&str>,
) -> Result<Value, Trouble> {
    simulator.state().media.delete(dialect, id, number)?;
    Ok(json!({"success": true}))
}

async fn dialog360_delete(
    State(simulator): Simulated,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let dialect = Dialect::Dialog360;
    done(&simulator, dialect, &headers, StatusCode::OK, || {
        deleted(&simulator, dialect, &id, None)
    })
}

async fn onprem_delete(
    State(simulator): Simulated,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let dialect = Dialect::Dialog360Onprem;
    done(&simulator, dialect, &headers, StatusCode::OK, || {
        deleted(&simulator, dialect, &id, None)
    })
}

/// The bytes themselves.
fn bytes(simulator: &Simulator, dialect: Dialect, headers: &HeaderMap, id: &str) -> Response {
    simulator.count_managed(dialect);
    if !simulator.config.knows(dialect.key(headers)) {
        return dialect.refuse(&Trouble::BadKey);
    }
    match simulator.state().media.find(dialect, id, None) {
        Ok(file) => {
            let kind = [(header::CONTENT_TYPE, file.kind.clone())];
            (kind, file.bytes.clone()).into_response()
        }
        Err(trouble) => dialect.refuse(&trouble),
    }
}

async fn onprem_bytes(
    State(simulator): Simulated,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    bytes(&simulator, Dialect::Dialog360Onprem, &headers, &id)
}

async fn infobip_bytes(
    State(simulator): Simulated,
    Path((_sender, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    bytes(&simulator, Dialect::Infobip, &headers, &id)
}

async fn infobip_delete(
    State(simulator): Simulated,
    Path(sender): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (dialect, status) = (Dialect::Infobip, StatusCode::NO_CONTENT);
    done(&simulator, dialect, &headers, status, || {
        let body = super::manage::read(&body)?;
        let url = body["url"].as_str().unwrap_or_default();
        let before = format!("/whatsapp/1/senders/{sender}/media/");
        let id = url.split_once(&before).map(|(_, id)| id);
        let id = id.ok_or_else(|| Trouble::invalid("url", "must not be blank"))?;
        deleted(&simulator, dialect, id, None)
    })
}

#[derive(Debug, Deserialize)]
struct Ext {
    ext: i64,
}

/// An address of Meta's, which 360dialog stands in front of: with the key, for five minutes.
async fn download(
    State(simulator): Simulated,
    Path(id): Path<String>,
    Query(Ext { ext }): Query<Ext>,
    headers: HeaderMap,
) -> Response {
    if simulator.clock.now().unix_timestamp() >= ext {
        return (StatusCode::NOT_FOUND, "URL signature expired").into_response();
    }
    let dialect = match headers.contains_key("d360-api-key") {
        true => Dialect::Dialog360,
        false => Dialect::Meta,
    };
    bytes(&simulator, dialect, &headers, &id)
}

#[derive(Debug, Deserialize)]
struct Sent {
    provider: Dialect,
    mime_type: String,
    text: String,
}

/// A user sent it: what an inbound message names.
async fn sent_by_user(State(simulator): Simulated, Json(sent): Json<Sent>) -> Response {
    let file = File {
        dialect: sent.provider,
        number: String::new(),
        kind: sent.mime_type,
        bytes: sent.text.into(),
    };
    match simulator.state().media.keep(file) {
        Ok(id) => Json(json!({"id": id})).into_response(),
        Err(trouble) => (StatusCode::BAD_REQUEST, format!("{trouble:?}")).into_response(),
    }
}
