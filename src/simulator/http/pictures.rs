//! Pictures of numbers: resumable uploads whose handle a profile takes, the On-Premises API's bytes,
//! and Infobip's address. Whoever has a picture's address may have it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::dialect::Dialect;
use super::super::state::Simulator;
use super::super::trouble::Trouble;
use super::Simulated;
use super::flows::here;
use super::manage::done;
use super::numbers;

/// Uploads by their handles, and those that were begun by their ids, with their lengths.
#[derive(Debug, Default)]
pub struct Pictures {
    begun: BTreeMap<String, usize>,
    all: BTreeMap<String, Vec<u8>>,
}

impl Pictures {
    /// Whether an upload of this id was begun.
    pub fn awaits(&self, id: &str) -> bool {
        self.begun.contains_key(id)
    }
}

pub fn router() -> Router<Arc<Simulator>> {
    Router::new()
        .route("/{version}/app/uploads", post(meta_begin))
        .route("/uploads", post(dialog360_begin))
        .route("/{id}", post(dialog360_upload))
        .route("/v1/settings/profile/photo", get(photo).post(photo))
        .route("/whatsapp/1/senders/{sender}/business-info/logo", get(logo))
        .route("/_pictures/{handle}", get(picture))
}

#[derive(Deserialize)]
struct Begin {
    file_length: usize,
    file_type: String,
}

fn begin(simulator: &Simulator, dialect: Dialect, headers: &HeaderMap, said: &Begin) -> Response {
    done(simulator, dialect, headers, StatusCode::OK, || {
        if !["image/jpeg", "image/png"].contains(&said.file_type.as_str()) {
            return Err(Trouble::invalid("file_type", "Unsupported file type."));
        }
        let begun = &mut simulator.state().pictures.begun;
        let id = format!("upload:SIMULATED{}", begun.len());
        begun.insert(id.clone(), said.file_length);
        Ok(json!({"id": format!("{id}?sig=simulated")}))
    })
}

async fn meta_begin(
    State(simulator): Simulated,
    Path(_version): Path<String>,
    Query(said): Query<Begin>,
    headers: HeaderMap,
) -> Response {
    begin(&simulator, Dialect::Meta, &headers, &said)
}

async fn dialog360_begin(
    State(simulator): Simulated,
    Query(said): Query<Begin>,
    headers: HeaderMap,
) -> Response {
    begin(&simulator, Dialect::Dialog360, &headers, &said)
}

/// Takes the bytes of an upload that was begun.
pub fn upload(
    simulator: &Simulator,
    id: &str,
    headers: &HeaderMap,
    bytes: &[u8],
) -> Result<Value, Trouble> {
    let pictures = &mut simulator.state().pictures;
    let length = pictures.begun.get(id);
    let length = *length.ok_or_else(|| Trouble::UnknownObject(id.to_owned()))?;
    let from = headers.get("file_offset").map(|from| from.as_bytes());
    if from != Some(b"0") || bytes.len() != length {
        return Err(Trouble::invalid("file_offset", "The upload is not whole."));
    }
    let handle = format!("4:{}", id.trim_start_matches("upload:"));
    pictures.all.insert(handle.clone(), bytes.to_vec());
    Ok(json!({"h": handle}))
}

async fn dialog360_upload(
    State(simulator): Simulated,
    Path(id): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    done(
        &simulator,
        Dialect::Dialog360,
        &headers,
        StatusCode::OK,
        || upload(&simulator, &id, &headers, &bytes),
    )
}

/// Where the picture of a handle is that a profile is given.
pub fn address(simulator: &Simulator, headers: &HeaderMap, handle: &str) -> Result<Value, Trouble> {
    if !simulator.state().pictures.all.contains_key(handle) {
        return Err(Trouble::Number {
            http: 422,
            code: 100,
            message: "The profile picture handle is invalid or expired",
        });
    }
    Ok(format!("{}/_pictures/{handle}", here(headers)).into())
}

async fn photo(
    State(simulator): Simulated,
    method: Method,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    const PHOTO: &str = "on-premises";
    if method == Method::GET
        && simulator
            .config
            .knows(Dialect::Dialog360Onprem.key(&headers))
    {
        return picture(State(simulator), Path(PHOTO.to_owned())).await;
    }
    done(
        &simulator,
        Dialect::Dialog360Onprem,
        &headers,
        StatusCode::OK,
        || {
            let all = &mut simulator.state().pictures.all;
            all.insert(PHOTO.to_owned(), bytes.to_vec());
            Ok(json!({"meta": {"api_status": "stable", "version": "2.33.4"}}))
        },
    )
}

/// Of a sender that was given the address of one: as it were fetched from there.
async fn logo(
    State(simulator): Simulated,
    Path(sender): Path<String>,
    headers: HeaderMap,
) -> Response {
    let has = numbers::with(&simulator, Dialect::Infobip, &sender, |number| {
        Ok(number.profile.contains_key("logoUrl"))
    });
    if has == Ok(true) && simulator.config.knows(Dialect::Infobip.key(&headers)) {
        return shown(
            &[
                b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x02\x80".as_slice(),
                b"fetched",
            ]
            .concat(),
        );
    }
    done(
        &simulator,
        Dialect::Infobip,
        &headers,
        StatusCode::OK,
        || Err(Trouble::UnknownObject(sender)),
    )
}

async fn picture(State(simulator): Simulated, Path(handle): Path<String>) -> Response {
    match simulator.state().pictures.all.get(&handle) {
        Some(bytes) => shown(bytes),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn shown(bytes: &[u8]) -> Response {
    let kind = match bytes.starts_with(b"\x89PNG") {
        true => "image/png",
        false => "image/jpeg",
    };
    ([(header::CONTENT_TYPE, kind)], bytes.to_vec()).into_response()
}
