//! `/openapi.json` says what is: every answer that any test of the API gets is held against it.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::schema::{From, Schemas};
use crate::support::{Answer, App, send};

/// What is served. A line that comes or goes changes what clients can rely on.
const OPERATIONS: &str = "\
DELETE /v1/connections/{id}/webhook_subscriptions/{level} remove_webhook_subscription
DELETE /v1/flows/{id} delete_flow
DELETE /v1/keys/{id} revoke_key
DELETE /v1/media/{id} delete_media
DELETE /v1/recipients/{id} erase_recipient
DELETE /v1/subscriptions/{id} delete_subscription
DELETE /v1/templates delete_template_name
DELETE /v1/templates/{id} delete_template
DELETE /v1/welcome_sequences/{id} delete_welcome_sequence
GET /health/live live
GET /health/ready ready
GET /metrics metrics
GET /openapi.json openapi
GET /v1/audit list_audit
GET /v1/campaigns list_campaigns
GET /v1/campaigns/{id} get_campaign
GET /v1/campaigns/{id}/recipients list_campaign_recipients
GET /v1/capabilities get_capabilities
GET /v1/connections list_connections
GET /v1/connections/{id} get_connection
GET /v1/connections/{id}/token get_connection_token
GET /v1/connections/{id}/webhook_subscriptions get_webhook_subscriptions
GET /v1/connections/{id}/webhook_subscriptions/{level} get_webhook_subscription
GET /v1/events list_events
GET /v1/events/stream stream_events
GET /v1/flows list_flows
GET /v1/flows/{id} get_flow
GET /v1/flows/{id}/json get_flow_json
GET /v1/flows/{id}/preview preview_flow
GET /v1/keys list_keys
GET /v1/keys/{id} get_key
GET /v1/media/{id} get_media
GET /v1/media/{id}/content download_media
GET /v1/messages list_messages
GET /v1/messages/counts count_messages
GET /v1/messages/{id} get_message
GET /v1/messages/{id}/history get_message_history
GET /v1/senders list_senders
GET /v1/senders/{id} get_sender
GET /v1/senders/{id}/logo get_sender_logo
GET /v1/senders/{id}/profile get_sender_profile
GET /v1/sequences list_sequences
GET /v1/sequences/{id} get_sequence
GET /v1/subscriptions list_subscriptions
GET /v1/subscriptions/{id} get_subscription
GET /v1/subscriptions/{id}/deliveries list_deliveries
GET /v1/subscriptions/{id}/undelivered list_undelivered
GET /v1/templates list_templates
GET /v1/templates/{id} get_template
GET /v1/templates/{id}/history get_template_history
GET /v1/webhooks list_webhooks
GET /v1/webhooks/{id} get_webhook
GET /v1/welcome_sequences list_welcome_sequences
GET /v1/welcome_sequences/{id} get_welcome_sequence
GET /webhooks/{connection} verify_webhook_address
PATCH /v1/connections/{id} update_connection
PATCH /v1/flows/{id} update_flow
PATCH /v1/messages/{id} update_message
PATCH /v1/senders/{id} update_sender
PATCH /v1/senders/{id}/profile update_sender_profile
PATCH /v1/subscriptions/{id} update_subscription
PATCH /v1/templates/{id} edit_template
PATCH /v1/welcome_sequences/{id} update_welcome_sequence
POST /v1/campaigns create_campaign
POST /v1/campaigns/{id}/activate activate_campaign
POST /v1/campaigns/{id}/cancel cancel_campaign
POST /v1/campaigns/{id}/pause pause_campaign
POST /v1/campaigns/{id}/recipients upload_recipients
POST /v1/campaigns/{id}/resume resume_campaign
POST /v1/connections create_connection
POST /v1/flows create_flow
POST /v1/flows/{id}/deprecate deprecate_flow
POST /v1/flows/{id}/publish publish_flow
POST /v1/keys create_key
POST /v1/keys/{id}/rotate rotate_key
POST /v1/media upload_media
POST /v1/media/samples upload_sample
POST /v1/messages create_message
POST /v1/messages/lookup lookup_messages
POST /v1/messages/{id}/cancel cancel_message
POST /v1/messages/{id}/retry retry_message
POST /v1/senders create_sender
POST /v1/senders/registrations add_sender
POST /v1/senders/sync sync_senders
POST /v1/senders/{id}/code request_sender_code
POST /v1/senders/{id}/deregister deregister_sender
POST /v1/senders/{id}/register register_sender
POST /v1/senders/{id}/verify verify_sender
POST /v1/sequences create_sequence
POST /v1/sequences/{id}/cancel cancel_sequence
POST /v1/sequences/{id}/messages append_to_sequence
POST /v1/sequences/{id}/pause pause_sequence
POST /v1/sequences/{id}/resume resume_sequence
POST /v1/sequences/{id}/retry retry_sequence
POST /v1/subscriptions create_subscription
POST /v1/subscriptions/{id}/ping ping_subscription
POST /v1/subscriptions/{id}/replay replay_deliveries
POST /v1/subscriptions/{id}/rotate-secret rotate_subscription_secret
POST /v1/templates create_template
POST /v1/templates/diff diff_templates
POST /v1/templates/sync sync_templates
POST /v1/templates/{id}/unpause unpause_template
POST /v1/webhooks/replay replay_webhooks
POST /v1/webhooks/{id}/replay replay_webhook
POST /v1/welcome_sequences create_welcome_sequence
POST /webhooks/{connection} receive_webhook
PUT /v1/connections/{id}/webhook_subscriptions/{level} set_webhook_subscription
PUT /v1/flows/{id}/json upload_flow_json
PUT /v1/senders/{id}/logo set_sender_logo
PUT /v1/senders/{id}/pin set_sender_pin";

/// The document.
#[derive(Debug)]
pub struct Document(Value);

/// The document of the service at an address. All of a run are the same.
pub async fn of(url: &Url) -> &'static Document {
    static DOCUMENT: OnceCell<Document> = OnceCell::const_new();
    let read = async || {
        let answer = reqwest::get(url.join("/openapi.json").unwrap()).await;
        Document(answer.unwrap().json().await.unwrap())
    };
    DOCUMENT.get_or_init(read).await
}

impl Document {
    /// Method, path template and operation.
    fn operations(&self) -> impl Iterator<Item = (String, &str, &Value)> {
        let paths = self.0["paths"].as_object().unwrap().iter();
        paths.flat_map(|(path, item)| {
            let operations = item.as_object().unwrap().iter();
            operations
                .map(move |(method, operation)| (method.to_uppercase(), path.as_str(), operation))
        })
    }

    fn operation(&self, method: &Method, path: &str) -> Option<&Value> {
        // A path that is written out stands above one with a parameter.
        let fits = |template: &str| {
            let (given, template) = (path.split('/'), template.split('/'));
            given.clone().count() == template.clone().count()
                && given
                    .zip(template)
                    .all(|(a, b)| a == b || (b.starts_with('{') && !a.is_empty()))
        };
        self.operations()
            .filter(|(other, template, _)| other == method.as_str() && fits(template))
            .min_by_key(|(_, template, _)| template.matches('{').count())
            .map(|(_, _, operation)| operation)
    }

    /// Fails when an answer is not as described, or a request was taken that is not.
    #[track_caller]
    pub fn check(&self, method: &Method, path: &str, asked: Option<Value>, answer: &Answer) {
        let said = format!("{method} {path} {}", answer.status);
        let problem = json!({"$ref": "#/components/schemas/Problem"});
        let Some(operation) = self.operation(method, path) else {
            let status = answer.status;
            assert!(
                matches!(
                    status,
                    StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
                ),
                "{said}"
            );
            return self.fits(&problem, &answer.body, From::Service, &said);
        };
        let response = &operation["responses"][answer.status.as_str()];
        assert!(response.is_object(), "{said} is not described: {answer:?}");
        let body = asked.filter(|_| answer.status.is_success());
        if let (Some(body), Some(described)) = (body, operation.get("requestBody")) {
            let schema = &described["content"]["application/json"]["schema"];
            self.fits(
                schema,
                &body,
                From::Caller,
                &format!("{said}: what was asked"),
            );
        }
        let Some(content) = response.get("content") else {
            return assert_eq!(answer.body, "", "{said}: no body is described");
        };
        let kind = answer.headers["content-type"].to_str().unwrap();
        let kind = kind.split(';').next().unwrap();
        let schema = &content[kind]["schema"];
        assert!(schema.is_object(), "{said}: {kind} is not described");
        self.fits(schema, &answer.body, From::Service, &said);
        if !answer.status.is_success() {
            let code = answer.body["code"].as_str().unwrap();
            let described = &content[kind]["examples"][code];
            assert!(described.is_object(), "{said}: {code} is not described");
        }
    }

    #[track_caller]
    fn fits(&self, schema: &Value, value: &Value, from: From, said: &str) {
        let errors = Schemas(&self.0, from).errors(schema, value, "");
        assert!(errors.is_empty(), "{said}: {}\n{value}", errors.join("\n"));
    }

    /// The members of an event's `data` that its type's schema does not name. The rest fits it.
    #[track_caller]
    pub fn undescribed_data(&self, r#type: &str, data: &Value) -> Vec<String> {
        let all = &self.0["components"]["schemas"]["EventData"]["anyOf"];
        let fits = |title: &str| match title.split_once('<') {
            Some((prefix, _)) => r#type.starts_with(prefix),
            None => title == r#type,
        };
        let mut all = all.as_array().unwrap().iter();
        let schema = all.find(|schema| fits(schema["title"].as_str().unwrap()));
        let schema = schema.unwrap_or_else(|| panic!("{type} is not described"));
        self.fits(schema, data, From::Service, r#type);
        let named = schema["properties"].as_object().unwrap();
        let members = data.as_object().unwrap().keys();
        members
            .filter(|name| !named.contains_key(*name))
            .cloned()
            .collect()
    }

    /// Every `$ref` in it.
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| Self::references(item, found)),
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members
                    .values()
                    .for_each(|member| Self::references(member, found));
            }
            _ => {}
        }
    }
}

/// What a reference leads to.
fn found<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

async fn read() -> &'static Document {
    let app = App::start().await;
    let served = send(app.request(Method::GET, "/openapi.json")).await.ok();
    let document = of(&app.base.parse().unwrap()).await;
    assert_eq!(served, document.0);
    document
}

#[tokio::test]
async fn what_is_served_is_described_and_the_reverse() {
    let document = read().await;
    let mut operations: Vec<_> = document
        .operations()
        .map(|(method, path, operation)| {
            format!(
                "{method} {path} {}",
                operation["operationId"].as_str().unwrap()
            )
        })
        .collect();
    operations.sort();
    assert_eq!(operations.join("\n"), OPERATIONS);
}

#[tokio::test]
async fn the_document_is_whole() {
    let document = read().await;
    assert_eq!(document.0["openapi"], "3.1.0");
    assert_eq!(document.0["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut references = BTreeSet::new();
    Document::references(&document.0, &mut references);
    for reference in references {
        Schemas(&document.0, From::Service).find(&json!(reference));
    }
    let mut ids = BTreeSet::new();
    for (method, path, operation) in document.operations() {
        let said = format!("{method} {path}");
        assert!(
            ids.insert(operation["operationId"].as_str().unwrap()),
            "{said}"
        );
        assert_ne!(operation["summary"].as_str().unwrap(), "", "{said}");
        assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{said}");
        let named = path.matches('{').count();
        let parameters = operation["parameters"].as_array();
        let given = parameters
            .into_iter()
            .flatten()
            .filter(|p| p["in"] == "path");
        assert_eq!(given.count(), named, "{said}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(
            responses.keys().any(|status| status.starts_with('2')),
            "{said}"
        );
        for (status, response) in responses {
            assert_ne!(
                response["description"].as_str().unwrap(),
                "",
                "{said} {status}"
            );
        }
        let open = operation["security"] == json!([]);
        assert_eq!(open, !path.starts_with("/v1/"), "{said}");
        if !open {
            for status in ["401", "500", "503"] {
                assert!(responses.contains_key(status), "{said} {status}");
            }
        }
    }
}

#[tokio::test]
async fn every_problem_is_described_and_every_example_fits() {
    let document = read().await;
    let problem = json!({"$ref": "#/components/schemas/Problem"});
    let mut shown = BTreeSet::from(["method_not_allowed"]);
    for (method, path, operation) in document.operations() {
        for (status, response) in operation["responses"].as_object().unwrap() {
            if status.starts_with(['2', '3']) {
                continue;
            }
            let examples = response["content"]["application/problem+json"]["examples"].as_object();
            for (code, example) in examples.unwrap() {
                let example = self::found(&document.0, example);
                shown.insert(code);
                let said = format!("{method} {path} {status} {code}");
                assert_eq!(example["value"]["status"].to_string(), *status, "{said}");
                document.fits(&problem, &example["value"], From::Service, &said);
            }
        }
    }
    let codes =
        document.0["components"]["schemas"]["Problem"]["properties"]["code"]["enum"].as_array();
    let codes: BTreeSet<_> = codes.unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(shown, codes);
    let schemas = document.0["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas {
        if let Some(example) = schema.get("example") {
            document.fits(schema, example, From::Service, name);
        }
    }
}
