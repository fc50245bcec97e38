//! Managing flows: which calls, and what their answers say. Only Meta and Infobip have them; what
//! callers give and are shown is the same with both.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::content::{Fault, Faults, Place, Wrong};
use super::lenient;
use super::operations::{Ask, Body, Operation, flows as op};
use super::templates::{Account, Named, names};
use crate::model::Timestamp;
use crate::model::provider::Provider;

/// What Meta is asked of a flow, but for its preview.
const FIELDS: &str = "id,name,status,categories,validation_errors,json_version,data_api_version,\
                      endpoint_uri";

/// Meta's words, which Infobip's `FlowCategory` has too.
const CATEGORIES: [&str; 9] = [
    "SIGN_UP",
    "SIGN_IN",
    "APPOINTMENT_BOOKING",
    "LEAD_GENERATION",
    "CONTACT_US",
    "CUSTOMER_SUPPORT",
    "SURVEY",
    "SHOPPING",
    "OTHER",
];

/// Infobip's `CreateFlowRequest.name`.
const NAME: usize = 200;

/// The largest JSON of a flow, by the pages of both.
pub const LARGEST_JSON: usize = 10 << 20;

/// Between the parts of a body that has several.
const BOUNDARY: &str = "twotick-3b1f0c5e7d9a4826";

/// A flow as it is shown.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the API's own words")]
pub struct Flow {
    pub id: String,
    pub name: Option<String>,
    pub status: Option<String>,
    pub categories: Vec<String>,
    pub errors: Vec<FlowError>,
}

/// What is wrong with a flow's JSON, as the provider says it.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the API's own words")]
pub struct FlowError {
    pub error: Option<String>,
    pub error_type: Option<String>,
    pub message: Option<String>,
    pub line_start: Option<i64>,
    pub line_end: Option<i64>,
    pub column_start: Option<i64>,
    pub column_end: Option<i64>,
}

/// What keeps a flow from being made or changed.
pub fn check(provider: Provider, given: &Value, is_new: bool) -> Vec<Fault> {
    let faults = Faults::default();
    let place = Place::new("", Some(given), &faults);
    let name = place.member("name");
    if is_new || name.value().is_some() {
        name.text_within(NAME);
    }
    let categories = place.member("categories");
    if is_new || categories.value().is_some() {
        for category in categories.items() {
            if category
                .text()
                .is_some_and(|word| !CATEGORIES.contains(&word))
            {
                category.expected(&format!("one of `{}`", CATEGORIES.join("`, `")));
            }
        }
    }
    place.member("clone_flow_id").maybe_text();
    let endpoint = place.member("endpoint_uri");
    let is_address = |text: &str| text.starts_with("https://");
    if endpoint.maybe_text().is_some_and(|text| !is_address(text)) {
        endpoint.expected("an address that begins with `https://`");
    }
    if provider == Provider::Infobip && !faults.are_of(Wrong::Malformed) {
        let known = ["name", "categories", "clone_flow_id"];
        place.only(&known, "Infobip's flows have nothing for it");
    }
    faults.into_vec()
}

/// Makes or changes a flow.
pub fn write(
    provider: Provider,
    account: &Account<'_>,
    id: Option<&str>,
    given: &Map<String, Value>,
) -> Ask {
    let operation = match id {
        None => &op::CREATE_FLOW,
        Some(_) => &op::UPDATE_FLOW,
    };
    let ask = about(operation, account, id.unwrap_or_default());
    match provider {
        Provider::Infobip => {
            let renamed = given.iter().map(|(name, value)| match name.as_str() {
                "clone_flow_id" => ("cloneFlowId".to_owned(), value.clone()),
                _ => (name.clone(), value.clone()),
            });
            ask.body(Value::Object(renamed.collect()))
        }
        // A form, in which a list is its JSON.
        _ => {
            let known = ["name", "categories", "clone_flow_id", "endpoint_uri"];
            let text = |value: &Value| match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let pairs = known
                .iter()
                .filter_map(|name| Some((*name, text(given.get(*name)?))));
            ask.saying(Body::Form(pairs.collect()))
        }
    }
}

fn about(operation: &'static Operation, account: &Account<'_>, id: &str) -> Ask {
    let named = Named { id, name: "" };
    Ask::of(operation, &names(account, Some(named)))
}

/// Whatever is said by its path alone: to delete, publish, deprecate, or ask for the JSON.
pub fn simple(operation: &'static Operation, account: &Account<'_>, id: &str) -> Ask {
    about(operation, account, id)
}

/// A page of the list.
pub fn list(provider: Provider, account: &Account<'_>, after: Option<&str>) -> Ask {
    let ask = about(&op::LIST_FLOWS, account, "");
    match provider {
        Provider::Meta => ask
            .query("fields", Some(FIELDS))
            .query("limit", Some("100"))
            .query("after", after),
        _ => ask,
    }
}

/// One flow, or a list in which it is.
pub fn read(provider: Provider, account: &Account<'_>, id: &str) -> Ask {
    let ask = about(&op::READ_FLOW, account, id);
    ask.query("fields", (provider == Provider::Meta).then_some(FIELDS))
}

/// A flow to look at.
pub fn preview(provider: Provider, account: &Account<'_>, id: &str) -> Ask {
    let ask = about(&op::PREVIEW_FLOW, account, id);
    let fields = "preview.invalidate(false)";
    ask.query("fields", (provider == Provider::Meta).then_some(fields))
}

/// A flow's JSON: a file of a form at Meta.
pub fn upload(provider: Provider, account: &Account<'_>, id: &str, flow: &[u8]) -> Ask {
    let ask = about(&op::UPLOAD_FLOW_JSON, account, id);
    if provider == Provider::Infobip {
        return ask.saying(Body::Raw {
            content_type: "application/json".to_owned(),
            bytes: flow.to_vec().into(),
        });
    }
    let mut bytes = Vec::with_capacity(flow.len() + 1024);
    for (name, value) in [("name", "flow.json"), ("asset_type", "FLOW_JSON")] {
        let part = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
        bytes.extend_from_slice(part.as_bytes());
    }
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"flow.json\"\r\n\
         Content-Type: application/json\r\n\r\n"
    );
    bytes.extend_from_slice(head.as_bytes());
    bytes.extend_from_slice(flow);
    bytes.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    ask.saying(Body::Raw {
        content_type: format!("multipart/form-data; boundary={BOUNDARY}"),
        bytes: bytes.into(),
    })
}

/// Whether a flow's JSON can be put into such a body: it must not hold what ends it.
pub fn is_uploadable(flow: &[u8]) -> bool {
    let end = BOUNDARY.as_bytes();
    !flow.windows(end.len()).any(|window| window == end)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Whether what Meta shows under an id is a flow: all of its flows have categories.
pub fn is_flow(object: &Value) -> bool {
    object["categories"].is_array()
}

/// Whether a provider refuses to show what it is asked for, because what has this id is no flow:
/// Graph knows no such field of it.
pub fn is_of_another(provider: Provider, body: &Value) -> bool {
    let message = body["error"]["message"].as_str().unwrap_or_default();
    provider == Provider::Meta
        && body["error"]["code"] == 100
        && message.contains("nonexisting field")
}

/// Reads a flow.
pub fn flow(object: &Value) -> Option<Flow> {
    let categories = object["categories"].as_array();
    Some(Flow {
        id: text(&object["id"])?,
        name: text(&object["name"]),
        status: text(&object["status"]),
        categories: categories.into_iter().flatten().filter_map(text).collect(),
        errors: errors(object),
    })
}

/// The flows of a page, as they are, and where the next begins.
pub fn page(body: &Value) -> Option<(Vec<Value>, Option<String>)> {
    let list = body["data"]
        .as_array()
        .or_else(|| body["flows"].as_array())?;
    let paging = &body["paging"];
    let next = (!paging["next"].is_null()).then(|| text(&paging["cursors"]["after"]));
    Some((list.clone(), next.flatten()))
}

/// What is wrong with a flow's JSON.
pub fn errors(body: &Value) -> Vec<FlowError> {
    let list = ["validation_errors", "validationErrors"].map(|name| body[name].as_array());
    let list = list.into_iter().flatten().flatten();
    let of = |error: &Value| {
        let get = |ours: &str, theirs: &str| match &error[ours] {
            Value::Null => error[theirs].clone(),
            value => value.clone(),
        };
        FlowError {
            error: text(&error["error"]),
            error_type: text(&get("error_type", "errorType")),
            message: text(&error["message"]),
            line_start: get("line_start", "lineStart").as_i64(),
            line_end: get("line_end", "lineEnd").as_i64(),
            column_start: get("column_start", "columnStart").as_i64(),
            column_end: get("column_end", "columnEnd").as_i64(),
        }
    };
    list.map(of).collect()
}

/// Where a flow's JSON can be downloaded.
pub fn download_url(body: &Value) -> Option<String> {
    let assets = body["data"].as_array().into_iter().flatten();
    let is_json = |asset: &&Value| asset["asset_type"] == "FLOW_JSON";
    let of_meta = assets
        .clone()
        .find(is_json)
        .and_then(|asset| text(&asset["download_url"]));
    of_meta.or_else(|| text(&body["externalDownloadUrl"]))
}

/// Where a flow can be looked at, and until when.
pub fn preview_of(body: &Value) -> Option<(String, Option<Timestamp>)> {
    let preview = &body["preview"];
    let url = text(&preview["preview_url"]).or_else(|| text(&body["previewUrl"]))?;
    let until = text(&preview["expires_at"]).or_else(|| text(&body["expiresAt"]));
    let until = until.and_then(|until| {
        let raw = RawValue::from_string(json!(until).to_string()).ok()?;
        lenient::date(&raw)
    });
    Some((url, until))
}

/// The answer to a creation, completed by what was given: Meta's has the id alone.
pub fn created(body: &Value, given: &Map<String, Value>) -> Option<Flow> {
    let mut object = Value::Object(given.clone());
    object["status"] = json!("DRAFT");
    for (name, value) in body.as_object()? {
        object[name.as_str()] = value.clone();
    }
    flow(&object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_providers_errors_are_read_alike() {
        let meta = json!({"success": true, "validation_errors": [{"error": "INVALID_PROPERTY_VALUE",
            "error_type": "FLOW_JSON_ERROR", "message": "m", "line_start": 46, "line_end": 46,
            "column_start": 17, "column_end": 30}]});
        let infobip = json!({"validationErrors": [{"error": "INVALID_PROPERTY_VALUE",
            "errorType": "FLOW_JSON_ERROR", "message": "m", "lineStart": 46, "lineEnd": 46,
            "columnStart": 17, "columnEnd": 30}]});
        assert_eq!(errors(&meta), errors(&infobip));
        assert_eq!(errors(&meta)[0].column_end, Some(30));
    }

    #[test]
    fn what_is_wrong_with_a_flow_is_named() {
        let of = |given: Value, provider| {
            let faults = check(provider, &given, true);
            faults.into_iter().map(|it| it.field).collect::<Vec<_>>()
        };
        let fine = json!({"name": "Quote", "categories": ["SURVEY"]});
        assert!(of(fine, Provider::Meta).is_empty());
        let wrong =
            json!({"name": "x".repeat(201), "categories": ["NEWS"], "endpoint_uri": "ftp:"});
        assert_eq!(
            of(wrong, Provider::Meta),
            ["name", "categories[0]", "endpoint_uri"]
        );
        let own = json!({"name": "Quote", "categories": ["SURVEY"], "endpoint_uri": "https://x"});
        assert_eq!(of(own, Provider::Infobip), ["endpoint_uri"]);
    }
}
