//! Templates to read at the solution providers: their lists, and one by its id. Meta's are in
//! `nodes`.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::dialect::Dialect;
use super::super::state::Simulator;
use super::super::template::Template;
use super::super::trouble::Trouble;
use super::Simulated;

pub fn router() -> Router<Arc<Simulator>> {
    Router::new()
        .route("/v1/configs/templates", get(dialog360))
        .route("/whatsapp/2/senders/{sender}/templates", get(infobip))
        .route(
            "/whatsapp/2/senders/{sender}/templates/{id}",
            get(infobip_one),
        )
}

/// Why a caller sees nothing.
struct Refused(Dialect, Trouble);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        self.0.refuse(&self.1)
    }
}

/// What a caller sees of one dialect's templates.
fn shown(
    simulator: &Simulator,
    dialect: Dialect,
    headers: &HeaderMap,
    wanted: impl Fn(&Template) -> bool,
) -> Result<Vec<Value>, Refused> {
    if !simulator.config.knows(dialect.key(headers)) {
        return Err(Refused(dialect, Trouble::BadKey));
    }
    let state = simulator.state();
    let templates = state.templates.values();
    let own = templates.filter(|template| template.key.dialect == dialect && wanted(template));
    let waba_id = &simulator.config.waba_id;
    Ok(own
        .map(|template| dialect.template(waba_id, template))
        .collect())
}

/// The template of this id.
fn one(
    simulator: &Simulator,
    dialect: Dialect,
    headers: &HeaderMap,
    id: &str,
) -> Result<Json<Value>, Refused> {
    let found = shown(simulator, dialect, headers, |t| t.id.to_string() == id)?;
    let none = || Refused(dialect, Trouble::UnknownObject(id.to_owned()));
    found.into_iter().next().map(Json).ok_or_else(none)
}

#[derive(Deserialize)]
struct Page {
    limit: Option<usize>,
    offset: Option<usize>,
    /// JSON, as `{"business_templates.name": "x"}`.
    filters: Option<String>,
}

/// Of both its APIs: the path and the key are the same.
async fn dialog360(
    State(simulator): Simulated,
    Query(page): Query<Page>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refused> {
    let filters: Value = page
        .filters
        .and_then(|filters| serde_json::from_str(&filters).ok())
        .unwrap_or_else(|| json!({}));
    let name = filters["business_templates.name"].as_str();
    let wanted = |t: &Template| name.is_none_or(|name| name == t.key.name);
    let mut all = shown(&simulator, Dialect::Dialog360, &headers, wanted)?;
    all.extend(shown(
        &simulator,
        Dialect::Dialog360Onprem,
        &headers,
        wanted,
    )?);
    let total = all.len();
    let (limit, offset) = (page.limit.unwrap_or(1_000), page.offset.unwrap_or(0));
    let some: Vec<_> = all.into_iter().skip(offset).take(limit).collect();
    Ok(Json(
        json!({"count": some.len(), "total": total, "limit": limit, "offset": offset,
        "filters": filters, "sort": ["business_templates.name"], "waba_templates": some}),
    ))
}

async fn infobip(
    State(simulator): Simulated,
    Path(_sender): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refused> {
    let templates = shown(&simulator, Dialect::Infobip, &headers, |_| true)?;
    Ok(Json(json!({"templates": templates})))
}

async fn infobip_one(
    State(simulator): Simulated,
    Path((_sender, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refused> {
    one(&simulator, Dialect::Infobip, &headers, &id)
}
