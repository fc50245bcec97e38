//! The rules by which `/openapi.json` is finished: what follows for every request from its path,
//! its parameters and its body.
//!
//! A handler names the problems that are its own by their codes, with commas, as the description
//! of a response; here they become responses with an example each.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::problem::ApiError;
use crate::provider::operations;

/// What schemas look like that have more members than fit beside them.
const EXAMPLES: &str = include_str!("examples.json");

/// By status and code: title and example.
type Problems = BTreeMap<(u16, &'static str), Value>;

/// Finishes the document.
pub fn describe(document: &mut Value) {
    let problems: Problems = ApiError::examples()
        .iter()
        .map(ApiError::problem)
        .map(|problem| ((problem.status, problem.code), json!(problem)))
        .collect();
    let codes: BTreeSet<_> = problems.keys().map(|(_, code)| *code).collect();
    document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] = json!(codes);
    give_examples(&mut document["components"]["schemas"]);
    document["components"]["examples"] = problems
        .iter()
        .map(|((status, code), problem)| (format!("{status}_{code}"), json!({"value": problem})))
        .collect::<Map<_, _>>()
        .into();
    document["components"]["securitySchemes"] = json!({"api_key": {
        "type": "http", "scheme": "bearer",
        "description": "An API key, as `twotick keys create` prints it.",
    }});
    document["security"] = json!([{"api_key": []}]);
    for (path, operations) in members(&mut document["paths"]) {
        for (method, operation) in members(operations) {
            finish(method, path, operation, &problems);
        }
    }
    let mut shown = BTreeSet::new();
    for (_, operations) in members(&mut document["paths"].clone()) {
        for (_, operation) in members(operations) {
            references(&operation["responses"], document, &mut shown);
        }
    }
    document["components"]["schemas"]["MessageDetail"]["additionalProperties"] =
        json!({"description": "What the message says, under the name that `type` says."});
    for name in shown {
        require_all(&mut document["components"]["schemas"][&name]);
    }
}

/// Examples of what has none of its own: those of a file, and pages of one.
fn give_examples(schemas: &mut Value) {
    // It is ours, and a test reads every one.
    let examples: Map<_, _> = serde_json::from_str(EXAMPLES).unwrap_or_default();
    for (name, example) in examples {
        schemas[&name]["example"] = example;
    }
    let rows: Vec<_> = members(schemas)
        .filter(|(_, schema)| schema["properties"].get("next_cursor").is_some())
        .filter_map(|(name, schema)| {
            let row = schema["properties"]["data"]["items"]["$ref"].as_str()?;
            Some((name.clone(), row.rsplit('/').next()?.to_owned()))
        })
        .collect();
    for (page, row) in rows {
        let row = schemas[&row]["example"].clone();
        let example = &mut schemas[&page]["example"];
        if example.is_null() {
            *example = json!({"next_cursor": null});
        }
        example["data"] = json!([row]);
    }
}

fn members(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flatten()
}

/// The items of a list that may be missing.
fn items<'a>(value: &'a mut Value, name: &str) -> impl Iterator<Item = &'a mut Value> {
    let list = value.get_mut(name).and_then(Value::as_array_mut);
    list.into_iter().flatten()
}

fn finish(method: &str, path: &str, operation: &mut Value, problems: &Problems) {
    if !path.starts_with("/v1/") {
        operation["security"] = json!([]);
    }
    let once = items(operation, "parameters").any(|it| it["name"] == "Idempotency-Key");
    let met = standard(method, path, operation, once);
    let tagged = method == "get" && path.starts_with("/v1/");
    let responses = &mut operation["responses"];
    let mut own = Map::new();
    for (status, response) in members(responses) {
        if status.starts_with(['4', '5']) {
            own.insert(status.clone(), response["description"].clone());
            continue;
        }
        if tagged {
            response["headers"]["ETag"] = json!({
                "description": "Names this answer: in `If-None-Match` it spares the same again.",
                "schema": {"type": "string"},
            });
        }
        if response.get("description").is_none() {
            response["description"] = json!(word(status));
        }
        if once {
            response["headers"]["Idempotency-Replayed"] = json!({
                "description": "`true` where this is the answer to an earlier request.",
                "schema": {"type": "string", "const": "true"},
            });
        }
    }
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (status, code) in met {
        all.entry(status.to_owned())
            .or_default()
            .insert(code.to_owned());
    }
    for (status, codes) in own {
        let codes = codes.as_str().unwrap_or_default().split(", ");
        all.entry(status)
            .or_default()
            .extend(codes.map(str::to_owned));
    }
    if tagged {
        responses["304"] = json!({"description": "It is as `If-None-Match` has it."});
    }
    for (status, codes) in all {
        responses[&status] = response(&status, &codes, problems);
    }
}

/// What a call of a provider may come to.
const AT_PROVIDER: [(&str, &str); 12] = [
    ("404", "not_found_at_provider"),
    ("409", "already_exists"),
    ("409", "in_use"),
    ("409", "wrong_template_state"),
    ("422", "invalid_request"),
    ("422", "not_supported_by_provider"),
    ("422", "provider_refused"),
    ("429", "provider_limit"),
    ("501", "not_supported_by_provider"),
    ("502", "provider_failed"),
    ("502", "provider_key"),
    ("504", "outcome_unknown"),
];

/// Whether a call leads to one of a provider.
fn calls_out(method: &str, path: &str) -> bool {
    // One call for what several lead to.
    const OF_ALL_LEVELS: &str = "GET /v1/connections/{id}/webhook_subscriptions";
    let call = format!("{} {path}", method.to_uppercase());
    if call == OF_ALL_LEVELS {
        return true;
    }
    let mut calls = operations::all().flat_map(|operation| operation.api);
    calls.any(|known| *known == call)
}

/// The problems that follow from what is asked.
fn standard(
    method: &str,
    path: &str,
    operation: &Value,
    once: bool,
) -> Vec<(&'static str, &'static str)> {
    // These look at nothing.
    if matches!(path, "/health/live" | "/health/ready" | "/openapi.json") {
        return Vec::new();
    }
    if path == "/metrics" {
        return vec![("404", "not_found")];
    }
    let mut met = vec![("500", "internal"), ("503", "overloaded")];
    let has_body = operation.get("requestBody").is_some();
    let reads_query = operation["parameters"]
        .as_array()
        .is_some_and(|all| all.iter().any(|parameter| parameter["in"] == "query"));
    if path.starts_with("/v1/") {
        met.extend([
            ("401", "unauthorized"),
            ("403", "forbidden"),
            ("403", "missing_scope"),
            ("429", "too_many_requests"),
        ]);
    }
    if path.contains('{') {
        met.push(("404", "not_found"));
    }
    if has_body || once || reads_query {
        met.extend([("400", "invalid_request"), ("422", "invalid_request")]);
    }
    if has_body || once {
        met.extend([("408", "request_timeout"), ("413", "payload_too_large")]);
    }
    if once {
        met.push(("409", "idempotency_conflict"));
    }
    if calls_out(method, path) {
        met.extend(AT_PROVIDER);
        if method != "get" {
            met.push(("502", "partly_done"));
        }
        if once {
            met.push(("409", "under_way"));
        }
    }
    met
}

/// One status, with the codes it may have.
fn response(status: &str, codes: &BTreeSet<String>, problems: &Problems) -> Value {
    let number = status.parse().unwrap_or(0);
    let mut lines = Vec::new();
    let mut examples = Map::new();
    for code in codes {
        // A code that is in no example would be shown without: a test looks for it.
        if let Some(example) = problems.get(&(number, code.as_str())) {
            let title = example["title"].as_str().unwrap_or_default();
            lines.push(format!("`{code}`: {title}."));
            let example = json!({"$ref": format!("#/components/examples/{status}_{code}")});
            examples.insert(code.clone(), example);
        }
    }
    let mut response = json!({
        "description": lines.join(" "),
        "content": {"application/problem+json": {
            "schema": {"$ref": "#/components/schemas/Problem"},
            "examples": examples,
        }},
    });
    let header = match status {
        "401" => Some(("WWW-Authenticate", "The scheme: `Bearer`.")),
        "429" | "503" => Some(("Retry-After", "Seconds.")),
        _ => None,
    };
    if let Some((name, says)) = header {
        response["headers"][name] = json!({"description": says, "schema": {"type": "string"}});
    }
    response
}

fn word(status: &str) -> &'static str {
    match status {
        "201" => "Made.",
        "202" => "Taken: it will be sent.",
        _ => "What was asked for.",
    }
}

/// The names of the schemas that a value refers to, and those that they refer to.
fn references(value: &Value, document: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items
            .iter()
            .for_each(|item| references(item, document, found)),
        Value::Object(members) => {
            let name = members
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|path| path.strip_prefix("#/components/schemas/"));
            if let Some(name) = name
                && found.insert(name.to_owned())
            {
                references(&document["components"]["schemas"][name], document, found);
            }
            members
                .values()
                .for_each(|member| references(member, document, found));
        }
        _ => {}
    }
}

/// Answers have every field: what is absent is `null`.
fn require_all(schema: &mut Value) {
    if let Some(properties) = schema["properties"].as_object() {
        let names: Vec<_> = properties.keys().cloned().collect();
        schema["required"] = json!(names);
    }
    for part in items(schema, "allOf") {
        require_all(part);
    }
}
