//! What can be read: templates, page by page or one by one, and numbers, with the fields that are
//! asked for. `control` says how numbers stand, refuses readings, and tells what was read.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use axum::extract::{OriginalUri, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use data_encoding::BASE64URL_NOPAD as CURSOR;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::dialect::Dialect;
use super::dialect::envelope::display_phone_number;
use super::dialect::graph::{Unread, refuse_read};
use super::http::{media_node, preview};
use super::state::{Simulator, State as Known};
use super::template::{Key, Template};
use super::trouble::Trouble;

/// Elements of a page, where nothing is asked for.
const PAGE: usize = 25;
/// The longest page.
const LONGEST_PAGE: usize = 1000;
/// Readings that are remembered.
const REMEMBERED: usize = 10_000;
/// From this version on, a cursor that leads nowhere is refused with a code of its own.
const CURSOR_ERRORS: u16 = 24;

/// Fields that a template may have or not.
const OF_TEMPLATES: [&str; 13] = [
    "components",
    "correct_category",
    "cta_url_link_tracking_opted_out",
    "degrees_of_freedom_spec",
    "health_status",
    "last_updated_time",
    "library_template_name",
    "message_send_ttl_seconds",
    "parameter_format",
    "previous_category",
    "rejected_reason",
    "source",
    "sub_category",
];

/// Fields that a number may have or not.
const OF_NUMBERS: [&str; 15] = [
    "certificate",
    "conversational_automation",
    "country_code",
    "country_dial_code",
    "eligibility_for_api_business_global_search",
    "is_official_business_account",
    "is_on_biz_app",
    "is_pin_enabled",
    "is_preverified_number",
    "last_onboarded_time",
    "new_certificate",
    "new_name_status",
    "quality_score",
    "search_visibility",
    "unified_cert_status",
];

/// Fields that an account may have or not.
const OF_ACCOUNTS: [&str; 16] = [
    "account_review_status",
    "business_verification_status",
    "country",
    "disable_marketing_messages_on_cloud_api",
    "health_status",
    "is_enabled_for_insights",
    "marketing_messages_lite_api_status",
    "marketing_messages_onboarding_status",
    "on_behalf_of_business_info",
    "owner_business",
    "owner_business_info",
    "ownership_type",
    "primary_business_location",
    "purchase_order_number",
    "status",
    "subscribed_apps",
];

/// What readings find, and what became of them.
#[derive(Debug, Default)]
pub struct Nodes {
    /// How numbers differ from one that is well, by their ids.
    numbers: BTreeMap<String, Map<String, Value>>,
    refused: Refused,
    reads: VecDeque<Read>,
}

/// The next so many readings get 429.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    times: usize,
    /// Seconds, for `Retry-After`.
    retry_after: Option<u32>,
}

/// A reading.
#[derive(Debug, Clone, Serialize)]
struct Read {
    /// When it came, in milliseconds since 1970.
    at_ms: i64,
    path: String,
    status: u16,
}

impl Nodes {
    /// Sets fields of a number.
    pub fn say(&mut self, id: &str, fields: Value) {
        let number = self.numbers.entry(id.to_owned()).or_default();
        number.extend(fields.as_object().cloned().unwrap_or_default());
    }

    /// Tells what was said of a number, in another dialect's words: members that are there alone.
    pub fn told(&self, id: &str, shown: &mut Value) {
        for (name, value) in self.numbers.get(id).into_iter().flatten() {
            if !shown[name.as_str()].is_null() {
                shown[name.as_str()] = value.clone();
            }
        }
    }
}

type Simulated = State<Arc<Simulator>>;

pub fn router() -> Router<Arc<Simulator>> {
    Router::new()
        .route("/{version}/{id}/message_templates", get(templates))
        .route("/{version}/{id}", get(one))
        .route("/_control/reads", get(reads).put(refuse))
        .route("/_control/numbers/{id}", axum::routing::put(set_number))
}

#[derive(Deserialize)]
struct Asked {
    fields: Option<String>,
    name: Option<String>,
    status: Option<String>,
    language: Option<String>,
    category: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
    summary: Option<String>,
}

async fn one(
    State(simulator): Simulated,
    Path((version, id)): Path<(String, String)>,
    OriginalUri(uri): OriginalUri,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    answer(&simulator, &headers, &uri.to_string(), || {
        let query = uri.query().unwrap_or_default();
        if let Some(media) = media_node(&simulator, &headers, &id, query) {
            return match asked.fields.as_deref() {
                Some(fields) => only(media?, Some(fields)),
                None => Ok(media?),
            };
        }
        let state = simulator.state();
        let of = |t: &&Template| t.key.dialect == Dialect::Meta && t.id.to_string() == id;
        let template = state.templates.values().find(of);
        if let Some(template) = template {
            return only(shown(template), asked.fields.as_deref());
        }
        let flow = state
            .flows
            .get(&id)
            .filter(|flow| flow.dialect == Dialect::Meta);
        if let Some(flow) = flow {
            let mut shown = flow.shown();
            let (url, until) = preview(&simulator);
            shown["preview"] = json!({"preview_url": url, "expires_at": until});
            return Ok(shown);
        }
        let is_number = id.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || state.media.had(&id) {
            return Err(Trouble::UnknownObject(id).into());
        }
        let waba_id = &simulator.config.waba_id;
        if id == *waba_id {
            return only(account(waba_id), asked.fields.as_deref());
        }
        let number = number(&state, &version, waba_id, &id);
        only(number, asked.fields.as_deref())
    })
}

async fn templates(
    State(simulator): Simulated,
    Path((version, waba_id)): Path<(String, String)>,
    OriginalUri(uri): OriginalUri,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    answer(&simulator, &headers, &uri.to_string(), || {
        if waba_id != simulator.config.waba_id {
            return Err(Trouble::UnknownObject(waba_id).into());
        }
        let begin = match &asked.after {
            Some(cursor) => Bound::Excluded(place(&version, cursor)?),
            None => Bound::Unbounded,
        };
        let limit = asked.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
        let wanted = |key: &Key| {
            key.dialect == Dialect::Meta
                && asked.name.as_deref().is_none_or(|name| key.name == name)
        };
        let state = simulator.state();
        let rest = state.templates.range((begin, Bound::Unbounded));
        // One word, or several.
        let is = |wanted: &Option<String>, word: &str| {
            let wanted = wanted.as_deref();
            wanted.is_none_or(|wanted| wanted.split(',').any(|wanted| wanted == word))
        };
        let narrowed = |template: &Template| {
            is(&asked.status, &template.status)
                && is(&asked.language, &template.key.language)
                && is(&asked.category, &template.category)
        };
        let mut rest = rest
            .filter(|(key, template)| wanted(key) && narrowed(template))
            .peekable();
        let mut data = Vec::new();
        let mut ends: Option<(String, String)> = None;
        for (key, template) in rest.by_ref().take(limit) {
            data.push(only(shown(template), asked.fields.as_deref())?);
            let cursor = CURSOR.encode(format!("{}\n{}", key.name, key.language).as_bytes());
            let before = ends.take().map_or(cursor.clone(), |(before, _)| before);
            ends = Some((before, cursor));
        }
        let more = rest.peek().is_some();
        let mut page = json!({"data": data});
        if asked.summary.is_some() {
            page["summary"] = summary(&state);
        }
        let Some((before, after)) = ends else {
            return Ok(page);
        };
        let mut paging = json!({"cursors": {"before": before, "after": after}});
        if more {
            let list = format!("{version}/{waba_id}/message_templates");
            let next = format!("https://graph.facebook.com/{list}?limit={limit}&after={after}");
            paging["next"] = next.into();
        }
        page["paging"] = paging;
        Ok(page)
    })
}

/// Of an account's templates.
fn summary(state: &Known) -> Value {
    let of_meta = |key: &&Key| key.dialect == Dialect::Meta;
    let count = state.templates.keys().filter(of_meta).count();
    json!({"total_count": count, "message_template_count": count,
        "message_template_limit": 250, "are_translations_complete": true})
}

/// The account.
fn account(id: &str) -> Value {
    json!({"id": id, "name": "Simulated account", "currency": "GBP", "timezone_id": "1",
        "message_template_namespace": "ba30dd89_2ebd_41e4_b805_f2c05ae04cc9",
        "account_review_status": "APPROVED"})
}

/// Answers, and remembers what.
fn answer(
    simulator: &Simulator,
    headers: &HeaderMap,
    path: &str,
    read: impl FnOnce() -> Result<Value, Unread>,
) -> Response {
    let at_ms = simulator.clock.now().unix_timestamp_nanos() / 1_000_000;
    let mut response = match take_refusal(simulator) {
        Some(retry_after) => {
            let mut response = refuse_read(&Unread::TooManyCalls);
            if let Some(seconds) = retry_after {
                let headers = response.headers_mut();
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            response
        }
        None => match authorized(simulator, headers).and_then(|()| read()) {
            Ok(value) => Json(value).into_response(),
            Err(unread) => refuse_read(&unread),
        },
    };
    let mut state = simulator.state();
    let reads = &mut state.nodes.reads;
    if reads.len() >= REMEMBERED {
        reads.pop_front();
    }
    reads.push_back(Read {
        at_ms: i64::try_from(at_ms).unwrap_or(i64::MAX),
        path: path.to_owned(),
        status: response.status().as_u16(),
    });
    let usage = HeaderValue::from_static(r#"{"call_count":0,"total_cputime":0,"total_time":0}"#);
    response.headers_mut().insert("x-app-usage", usage);
    response
}

fn authorized(simulator: &Simulator, headers: &HeaderMap) -> Result<(), Unread> {
    match simulator.config.knows(Dialect::Meta.key(headers)) {
        true => Ok(()),
        false => Err(Trouble::BadKey.into()),
    }
}

fn take_refusal(simulator: &Simulator) -> Option<Option<u32>> {
    let refused = &mut simulator.state().nodes.refused;
    refused.times = refused.times.checked_sub(1)?;
    Some(refused.retry_after)
}

fn shown(template: &Template) -> Value {
    let mut shown = template.to_json();
    if shown["parameter_format"].is_null() {
        shown["parameter_format"] = "POSITIONAL".into();
    }
    shown["rejected_reason"] = template.rejected_reason.as_str().into();
    shown
}

/// A number that is well, but for what `control` said of it.
pub fn number(state: &Known, version: &str, waba_id: &str, id: &str) -> Value {
    let mut number = json!({
        "id": id,
        "display_phone_number": format!("+{}", display_phone_number(id)),
        "verified_name": "Simulated Shop",
        "name_status": "APPROVED",
        "quality_rating": "GREEN",
        "status": "CONNECTED",
        "throughput": {"level": "STANDARD"},
        "code_verification_status": "VERIFIED",
        "platform_type": "CLOUD_API",
        "account_mode": "LIVE",
        "messaging_limit_tier": "TIER_UNLIMITED",
        "health_status": {"can_send_message": "AVAILABLE", "entities": [
            {"entity_type": "PHONE_NUMBER", "id": id, "can_send_message": "AVAILABLE"},
            {"entity_type": "WABA", "id": waba_id, "can_send_message": "AVAILABLE"},
        ]},
    });
    if major(version) >= CURSOR_ERRORS {
        number["whatsapp_business_manager_messaging_limit"] = "TIER_UNLIMITED".into();
    }
    let hooks = &state.hooks;
    let configured = [
        ("phone_number", hooks.numbers.get(id)),
        (
            "whatsapp_business_account",
            hooks.accounts.get(waba_id).and_then(Option::as_ref),
        ),
        ("application", hooks.app.as_ref().map(|app| &app.url)),
    ];
    let configured = configured
        .into_iter()
        .filter_map(|(name, url)| Some((name, url?)));
    number["webhook_configuration"] = configured
        .map(|(name, url)| (name.to_owned(), url.as_str().into()))
        .collect::<Map<_, _>>()
        .into();
    for (name, value) in state.nodes.numbers.get(id).into_iter().flatten() {
        number[name.as_str()] = value.clone();
    }
    number
}

/// The fields that were asked for; what a node does not have is refused.
pub fn only(node: Value, fields: Option<&str>) -> Result<Value, Unread> {
    let Some(fields) = fields else {
        return Ok(node);
    };
    let could_have: &[&str] = match &node {
        node if node.get("language").is_some() => &OF_TEMPLATES,
        node if node.get("display_phone_number").is_some() => &OF_NUMBERS,
        node if node.get("timezone_id").is_some() => &OF_ACCOUNTS,
        _ => &[],
    };
    let mut shown = Map::new();
    for field in std::iter::once("id").chain(fields.split(',')) {
        // Fields of what a field leads to are shown all.
        let field = field.split(['.', '{']).next().unwrap_or_default();
        match node.get(field) {
            Some(value) => shown.insert(field.to_owned(), value.clone()),
            // What a node could have, and has not, is left out.
            None if could_have.contains(&field) => None,
            None => return Err(Unread::NoField(field.to_owned())),
        };
    }
    Ok(shown.into())
}

fn place(version: &str, cursor: &str) -> Result<Key, Unread> {
    let decoded = CURSOR.decode(cursor.as_bytes()).ok();
    let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let key = text.as_deref().and_then(|text| text.split_once('\n'));
    key.map(|(name, language)| Key::new(Dialect::Meta, name, language))
        .ok_or_else(|| match major(version) >= CURSOR_ERRORS {
            true => Unread::BadCursor,
            false => Trouble::invalid("after", "Not a cursor.").into(),
        })
}

fn major(version: &str) -> u16 {
    let digits = version.trim_start_matches('v').split('.').next();
    digits.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Sets fields of a number, for as long as the simulator runs. No webhook tells of it.
async fn set_number(
    State(simulator): Simulated,
    Path(id): Path<String>,
    Json(fields): Json<Map<String, Value>>,
) {
    let mut state = simulator.state();
    let number = state.nodes.numbers.entry(id).or_default();
    number.extend(fields);
}

async fn refuse(State(simulator): Simulated, Json(refused): Json<Refused>) -> StatusCode {
    simulator.state().nodes.refused = refused;
    StatusCode::NO_CONTENT
}

async fn reads(State(simulator): Simulated) -> Json<Value> {
    Json(json!({"reads": simulator.state().nodes.reads}))
}
