//! Connections to solution providers, their senders, and what their webhooks are described to say.

use reqwest::Method;
use serde_json::{Value, json};

use crate::document;
use crate::support::{App, connection, send};

fn dialog360() -> Value {
    json!({"name": "d360", "provider": "dialog360", "base_url": "https://waba-v2.360dialog.io",
        "api_key": "a key", "webhook_auth": {
            "signature_secrets": ["platform secret"], "headers": {"X-Tenant": "tenant seven"},
            "basic": {"username": "d360", "password": "pass word"}}})
}

fn infobip() -> Value {
    json!({"name": "ib", "provider": "infobip", "base_url": "https://xxxxx.api.infobip.com/",
        "api_key": "a key", "webhook_auth": {
            "hmac": {"secrets": ["old one", "new one"], "algorithm": "sha512", "header": "X-Signature"},
            "basic": [{"username": "ib", "password": "pass word"}],
            "headers": {"X-Tenant": ["tenant seven", "tenant eight"]},
            "url_secret": "in the url"}})
}

async fn made(app: &App, new: Value) -> String {
    let made = app.post("/v1/connections", new).await.ok();
    made["id"].as_str().unwrap().to_owned()
}

/// A connection whose webhooks prove themselves by the URL alone.
async fn open(app: &App, provider: &str) -> String {
    let new = json!({"name": provider, "provider": provider, "base_url": "https://a.example.org",
        "api_key": "a key", "webhook_auth": {"url_secret": "in the url"}});
    made(app, new).await
}

#[tokio::test]
async fn connections_of_all_providers_are_made_and_their_secrets_never_come_out() {
    let app = App::start().await;
    let mut onprem = dialog360();
    onprem["provider"] = "dialog360_onprem".into();
    for (n, new) in [dialog360(), onprem, infobip()].into_iter().enumerate() {
        let answer = app.post("/v1/connections", new.clone()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let shown = answer.body;
        assert_eq!(shown["provider"], new["provider"]);
        assert_eq!(shown["api_version"], Value::Null);
        let path = format!("/v1/connections/{}", shown["id"].as_str().unwrap());
        assert_eq!(app.get(&path).await.ok(), shown);
        let listed = app.get("/v1/connections").await.ok();
        assert_eq!(listed["data"].as_array().unwrap().len(), n + 1);
        let stored: Vec<u8> =
            sqlx::query_scalar("SELECT secrets FROM connections ORDER BY id DESC LIMIT 1")
                .fetch_one(&app.pool)
                .await
                .unwrap();
        let stored = String::from_utf8_lossy(&stored).into_owned();
        for secret in [
            "a key",
            "platform secret",
            "tenant seven",
            "pass word",
            "old one",
            "in the url",
        ] {
            assert!(
                !listed.to_string().contains(secret) && !stored.contains(secret),
                "{secret}"
            );
        }
    }
}

#[tokio::test]
async fn a_connection_whose_webhooks_could_not_be_verified_is_not_made() {
    let app = App::start().await;
    let refused = async |mut new: Value, field: &str, value: Value, named: &str| {
        match value {
            Value::Null => drop(new.as_object_mut().unwrap().remove(field)),
            value => new[field] = value,
        }
        app.post("/v1/connections", new).await.names(named);
    };
    refused(dialog360(), "webhook_auth", json!(null), "webhook_auth").await;
    refused(dialog360(), "api_key", json!(null), "api_key").await;
    refused(dialog360(), "api_key", json!(""), "api_key").await;
    refused(dialog360(), "api_version", json!("v25.0"), "api_version").await;
    refused(dialog360(), "access_token", json!("t"), "access_token").await;
    refused(dialog360(), "app_secrets", json!(["s"]), "app_secrets").await;
    refused(dialog360(), "verify_token", json!("v"), "verify_token").await;
    refused(connection(), "api_key", json!("k"), "api_key").await;
    refused(
        connection(),
        "webhook_auth",
        json!({"url_secret": "s"}),
        "webhook_auth",
    )
    .await;
    for missing in ["access_token", "app_secrets", "verify_token", "api_version"] {
        refused(connection(), missing, json!(null), missing).await;
    }
    for (auth, named) in [
        (json!({}), "webhook_auth"),
        (
            json!({"signature_secrets": []}),
            "webhook_auth.signature_secrets",
        ),
        (
            json!({"signature_secrets": [""]}),
            "webhook_auth.signature_secrets",
        ),
        (json!({"url_secret": ""}), "webhook_auth.url_secret"),
        (json!({"url_secret": []}), "webhook_auth.url_secret"),
        (json!({"url_secret": ["a", ""]}), "webhook_auth.url_secret"),
        (json!({"headers": {}}), "webhook_auth"),
        (json!({"headers": {"X A": "1"}}), "webhook_auth.headers.X A"),
        (json!({"headers": {"X-A": ""}}), "webhook_auth.headers.X-A"),
        (
            json!({"headers": {"X-A": " 1"}}),
            "webhook_auth.headers.X-A",
        ),
        (
            json!({"headers": {"X-A": "1\n"}}),
            "webhook_auth.headers.X-A",
        ),
        (
            json!({"headers": {"X-A": "1", "x-a": "2"}}),
            "webhook_auth.headers.x-a",
        ),
        (
            json!({"basic": {"username": "a:b", "password": "c"}}),
            "webhook_auth.basic.username",
        ),
        (
            json!({"basic": {"username": "a", "password": ""}}),
            "webhook_auth.basic.password",
        ),
        (json!({"basic": []}), "webhook_auth.basic"),
    ] {
        refused(dialog360(), "webhook_auth", auth, named).await;
    }
    let hmac = json!({"secrets": ["s"], "algorithm": "sha1", "header": "X-S"});
    refused(
        dialog360(),
        "webhook_auth",
        json!({"hmac": hmac}),
        "webhook_auth.hmac",
    )
    .await;
    for (field, value, named) in [
        ("secrets", json!([]), "webhook_auth.hmac.secrets"),
        ("algorithm", json!("crc32"), "webhook_auth.hmac.algorithm"),
        ("header", json!(""), "webhook_auth.hmac.header"),
    ] {
        let mut hmac = hmac.clone();
        hmac[field] = value;
        refused(infobip(), "webhook_auth", json!({"hmac": hmac}), named).await;
    }
    let secrets = json!({"signature_secrets": ["s"]});
    refused(
        infobip(),
        "webhook_auth",
        secrets,
        "webhook_auth.signature_secrets",
    )
    .await;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM connections")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn credentials_are_replaced_by_those_that_the_provider_has() {
    let app = App::start().await;
    let id = made(&app, infobip()).await;
    let path = format!("/v1/connections/{id}");
    let patch = async |path: &str, change: Value| {
        let request = app.request(Method::PATCH, path).bearer_auth(&app.key);
        send(request.json(&change)).await
    };
    patch(&path, json!({"api_key": "another"})).await.ok();
    patch(&path, json!({"webhook_auth": {"url_secret": ["a", "b"]}}))
        .await
        .ok();
    patch(&path, json!({"webhook_auth": {}}))
        .await
        .names("webhook_auth");
    patch(&path, json!({"access_token": "t"}))
        .await
        .names("access_token");
    let metas = format!("/v1/connections/{}", app.connection().await);
    patch(&metas, json!({"api_key": "k"}))
        .await
        .names("api_key");
    let auth = json!({"webhook_auth": {"url_secret": "s"}});
    patch(&metas, auth.clone()).await.names("webhook_auth");
    patch("/v1/connections/con_aaaaaaaaaaaaaaaaaaaaaaaaaa", auth)
        .await
        .is(404, "not_found");
}

#[tokio::test]
async fn a_number_has_the_id_that_its_provider_has_for_it() {
    let app = App::start().await;
    let new = async |connection: &str, fields: Value| {
        let mut new = fields;
        new["connection"] = connection.into();
        app.post("/v1/senders", new).await
    };
    let infobip = open(&app, "infobip").await;
    let sender = new(&infobip, json!({"display_phone_number": "+44 1200 000001"}))
        .await
        .ok();
    assert_eq!(sender["phone_number_id"], "441200000001");
    assert_eq!(sender["display_phone_number"], "+44 1200 000001");
    let sender = new(&infobip, json!({"phone_number_id": "441200000002"}))
        .await
        .ok();
    assert_eq!(sender["display_phone_number"], "441200000002");
    new(&infobip, json!({})).await.names("phone_number_id");
    new(&infobip, json!({"phone_number_id": "shop"}))
        .await
        .names("phone_number_id");

    let onprem = open(&app, "dialog360_onprem").await;
    let sender = new(&onprem, json!({"display_phone_number": "441200000001"}))
        .await
        .ok();
    assert_eq!(sender["phone_number_id"], Value::Null);
    new(&onprem, json!({})).await.is(409, "already_exists");
    let meta = app.connection().await;
    new(&meta, json!({})).await.names("phone_number_id");
}

#[tokio::test]
async fn what_a_provider_cannot_send_is_refused_by_name_when_it_is_asked_for() {
    let app = App::start().await;
    let sender = async |provider: &str, id: Value| {
        let connection = open(&app, provider).await;
        let new = json!({"connection": connection, "phone_number_id": id});
        app.post("/v1/senders", new).await.ok()["id"].clone()
    };
    let template = |components: Value| {
        json!({"type": "template", "template": {
            "name": "offer", "language": {"code": "en_GB"}, "components": components}})
    };
    let named = json!([{"type": "body", "parameters": [
        {"type": "text", "parameter_name": "first", "text": "Ana"},
        {"type": "currency", "currency": {"code": "EUR", "amount_1000": 1, "fallback_value": "1"}}]}]);
    let infobip = sender("infobip", json!("441200000001")).await;
    let sequence = json!({"sender": infobip, "to": "385910000001", "messages": [
        template(named), {"type": "reaction", "reaction": {"message_id": "a", "emoji": "👍"}}]});
    let refused = app.post("/v1/sequences", sequence).await;
    refused.is(422, "not_supported_by_provider");
    let fields = |refused: &Value| -> Vec<String> {
        let errors = refused["errors"].as_array().unwrap();
        let fields = errors.iter().map(|error| error["field"].as_str().unwrap());
        fields.map(str::to_owned).collect()
    };
    let parameters = "messages[0].template.components[0].parameters";
    let expected = [
        format!("{parameters}[0].parameter_name"),
        format!("{parameters}[1]"),
        "messages[1].reaction".to_owned(),
    ];
    assert_eq!(fields(&refused.body), expected);

    let group = json!({"sender": infobip, "to": "Y2FwaV9ncm91cDox", "recipient_type": "group",
        "type": "text", "text": {"body": "hi"}});
    let refused = app.post("/v1/messages", group).await;
    refused.is(422, "not_supported_by_provider");
    assert_eq!(fields(&refused.body), ["to"]);

    let group = json!({"connection": app.connection().await, "phone_number_id": "310"});
    let mut group = json!({"sender": app.post("/v1/senders", group).await.ok()["id"],
        "to": "Y2FwaV9ncm91cDox", "recipient_type": "group", "marketing": {},
        "type": "template", "template": {"name": "offer", "language": {"code": "en"}}});
    let refused = app.post("/v1/messages", group.clone()).await;
    refused.is(422, "not_supported_by_provider");
    assert_eq!(fields(&refused.body), ["marketing"]);
    group["marketing"] = json!({"product_policy": "SOMETIMES"});
    let refused = app.post("/v1/messages", group).await;
    refused.names("marketing.product_policy");

    // What would be said of its messages would be taken for another sender's.
    for (provider, id) in [
        ("dialog360", Value::Null),
        ("dialog360_onprem", json!("310")),
    ] {
        let unheard = json!({"sender": sender(provider, id).await, "to": "385910000001",
            "type": "text", "text": {"body": "hi"}});
        app.post("/v1/messages", unheard).await.names("sender");
    }

    let onprem = sender("dialog360_onprem", Value::Null).await;
    let mut message = template(json!([]));
    message["sender"] = onprem.clone();
    message["to"] = "US.13491208655302741918".into();
    message["on_unknown"] = "resend".into();
    message["marketing"] = json!({"product_policy": "STRICT"});
    let refused = app.post("/v1/messages", message.clone()).await;
    refused.is(422, "not_supported_by_provider");
    let all = ["to", "on_unknown", "marketing", "template.namespace"];
    assert_eq!(fields(&refused.body), all);
    message["to"] = "385910000001".into();
    message["on_unknown"] = Value::Null;
    let refused = app.post("/v1/messages", message.clone()).await;
    assert_eq!(fields(&refused.body), ["marketing", "template.namespace"]);
    // What no provider could take is the caller's mistake, whatever else is wrong.
    message["on_unknown"] = "resend".into();
    message["template"] = json!({"language": {}});
    let refused = app.post("/v1/messages", message).await;
    refused.is(422, "invalid_request");
    let expected = [
        "on_unknown",
        "template.name",
        "template.language.code",
        "marketing",
    ];
    assert_eq!(fields(&refused.body), expected);
    let mut wrong = template(json!([{"type": "body", "parameters": [{"type": "text"}]}]));
    wrong["sender"] = infobip.clone();
    wrong["to"] = "385910000001".into();
    let refused = app.post("/v1/messages", wrong).await;
    refused.is(422, "invalid_request");
    assert_eq!(
        fields(&refused.body),
        ["template.components[0].parameters[0].text"]
    );

    let raw = json!({"sender": infobip, "to": "385910000001", "type": "raw",
        "raw": {"endpoint": "text", "from": "1", "content": {"text": "hi"}}});
    let refused = app.post("/v1/messages", raw).await;
    refused.is(422, "invalid_request");
    assert_eq!(fields(&refused.body), ["raw.from"]);
    assert_eq!(app.get("/v1/messages").await.ok()["data"], json!([]));
    assert_eq!(app.get("/v1/sequences").await.ok()["data"], json!([]));
}

#[tokio::test]
async fn a_template_belongs_to_its_lane_in_whichever_vocabulary_it_is_given() {
    let app = App::start().await;
    let infobip = open(&app, "infobip").await;
    let raw = [
        (
            app.connection().await,
            json!({"type": "template",
            "template": {"name": "offer", "language": {"code": "en-GB"}}}),
        ),
        (
            infobip,
            json!({"endpoint": "template", "content": {"templateName": "offer",
            "language": "en_GB", "templateData": {"body": {"placeholders": []}}}}),
        ),
    ];
    let lanes = "SELECT count(*) FROM lanes WHERE lane = 'offer/en_GB'";
    for (n, (connection, raw)) in (1..).zip(raw) {
        let new = json!({"connection": connection, "phone_number_id": "441200000001"});
        let sender = app.post("/v1/senders", new).await.ok()["id"].clone();
        let message = json!({"sender": sender, "to": "385910000001", "type": "raw", "raw": raw,
            "at": "2099-01-01T00:00:00Z"});
        let made = app.post("/v1/messages", message).await.ok();
        assert_eq!(made["type"], "raw");
        let of_template = app.get("/v1/messages?template=offer").await.ok();
        assert_eq!(of_template["data"].as_array().unwrap().len(), n);
        let lanes: i64 = sqlx::query_scalar(lanes)
            .fetch_one(&app.pool)
            .await
            .unwrap();
        assert_eq!(lanes, n as i64, "a lane of each sender");
    }
}

/// Posts these to a connection, each twice, and returns the events.
async fn events_of(app: &App, provider: &str, bodies: &[Value]) -> Vec<Value> {
    let connection = open(app, provider).await;
    let path = format!("/webhooks/{connection}?secret=in%20the%20url");
    for body in bodies.iter().chain(bodies) {
        let answer = send(app.request(Method::POST, &path).json(body)).await;
        assert_eq!(answer.status, 200, "{body}");
    }
    let said: i64 = sqlx::query_scalar("SELECT count(*) FROM facts")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    let all = |events: &[Value]| events.len() as i64 == said;
    app.events_until("/v1/events?limit=500", all).await
}

/// Each event's data is described under its type; returns the types.
async fn described(app: &App, events: &[Value]) -> Vec<String> {
    let document = document::of(&app.base.parse().unwrap()).await;
    let mut types = Vec::new();
    for event in events {
        let r#type = event["type"].as_str().unwrap();
        types.push(r#type.to_owned());
        // Fails where a member is not of its type. What the provider adds is kept under its name.
        document.undescribed_data(r#type, &event["data"]);
    }
    types.sort_unstable();
    types.dedup();
    types
}

#[tokio::test]
async fn what_infobip_says_is_described_and_once() {
    let app = App::start().await;
    let bodies: Vec<Value> =
        serde_json::from_str(include_str!("../documented_infobip.json")).unwrap();
    let events = events_of(&app, "infobip", &bodies).await;
    let items: usize = bodies
        .iter()
        .map(|body| body["results"].as_array().map_or(1, Vec::len))
        .sum();
    assert_eq!(events.len(), items, "each once");
    let types = described(&app, &events).await;
    for wanted in [
        "inbound.text",
        "message.delivered",
        "message.failed",
        "message.read",
        "message.sent",
        "message.status.pending_enroute",
        "payment.status",
        "template.category",
        "template.quality",
        "template.status",
        "user.identity",
        "user.preference",
    ] {
        assert!(
            types.iter().any(|known| known == wanted),
            "{wanted}: {types:?}"
        );
    }
}

#[tokio::test]
async fn what_360dialog_says_is_described_and_once() {
    let app = App::start().await;
    let status = |id: &str, word: &str| {
        json!({"id": id, "recipient_id": "385910000001",
        "status": word, "timestamp": "1772445600"})
    };
    let template = json!({"name": "order_ready", "language": "en_GB", "new_status": "REJECTED",
        "external_id": "1786649272200001", "new_category": "MARKETING"});
    let partner = |id: &str, event: &str| {
        json!({"id": id, "event": event,
        "data": {"id": "2044166682970001", "template": template}})
    };
    let events = events_of(
        &app,
        "dialog360",
        &[
            json!({"statuses": [status("gBEG1", "delivered"), status("gBEG2", "warning")]}),
            partner("1", "waba_template_status_changed"),
            json!([
                partner("2", "waba_template_category_changed"),
                partner("3", "channel_running")
            ]),
        ],
    )
    .await;
    let types = described(&app, &events).await;
    assert_eq!(events.len(), 5);
    assert_eq!(
        types,
        [
            "message.delivered",
            "message.status.warning",
            "template.category",
            "template.status",
            "webhook.other"
        ]
    );
}
