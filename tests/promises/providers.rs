//! The same promises for the webhooks of solution providers: 360dialog and Infobip.

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use twotick::model::ids::{ConnectionId, SenderId, TemplateId};

use crate::support::*;

const USER: &str = "385910000001";
const OK: StatusCode = StatusCode::OK;
const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;

/// A connection to a solution provider.
struct Place<'a> {
    app: &'a App,
    id: String,
}

impl<'a> Place<'a> {
    async fn new(app: &'a App, provider: &str, auth: Value) -> Self {
        let new = json!({"name": provider, "provider": provider, "base_url": app.simulator,
            "api_key": "key", "webhook_auth": auth});
        let made = app.create("/v1/connections", new).await;
        let id = made["id"].as_str().unwrap().to_owned();
        Self { app, id }
    }

    /// Its webhooks prove themselves by the URL.
    async fn open(app: &'a App, provider: &str) -> Self {
        Self::new(app, provider, json!({"url_secret": "s"})).await
    }

    fn post(&self, query: &str, body: &[u8]) -> RequestBuilder {
        let url = format!("{}/webhooks/{}{query}", self.app.url, self.id);
        let request = reqwest::Client::new().post(url);
        let request = request.header("Content-Type", "application/json");
        request.body(body.to_vec())
    }

    async fn say(&self, body: &Value) {
        let answer = self.post("?secret=s", body.to_string().as_bytes());
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), OK, "{body}");
        assert!(answer.bytes().await.unwrap().is_empty());
    }

    async fn message(&self, provider_message_id: &str) -> Value {
        let path = format!("/v1/messages?provider_message_id={provider_message_id}");
        let found = self.app.get(&path).await;
        let found = found["data"].as_array().unwrap();
        assert_eq!(found.len(), 1, "{provider_message_id}: {found:#?}");
        found[0].clone()
    }

    async fn template(&self) -> Value {
        let found = self
            .app
            .get(&format!("/v1/templates?connection={}", self.id))
            .await;
        let found = found["data"].as_array().unwrap();
        assert_eq!(found.len(), 1, "{found:#?}");
        found[0].clone()
    }
}

async fn answer(request: RequestBuilder) -> StatusCode {
    request.send().await.unwrap().status()
}

async fn stored(app: &App) -> usize {
    app.get("/v1/webhooks").await["data"]
        .as_array()
        .unwrap()
        .len()
}

type Tag = fn(&str, &[u8]) -> Vec<u8>;

fn tag<M: Mac + KeyInit>(secret: &str, body: &[u8]) -> Vec<u8> {
    let mac = <M as KeyInit>::new_from_slice(secret.as_bytes()).unwrap();
    mac.chain_update(body).finalize().into_bytes().to_vec()
}

#[tokio::test]
async fn dialog360s_signature_is_bare_or_labelled_and_refused_where_it_is_wrong() {
    let app = App::start().await;
    let place = Place::new(
        &app,
        "dialog360",
        json!({"signature_secrets": ["new", "old"]}),
    )
    .await;
    let body = br#"{"statuses":[]}"#;
    let signed =
        |header: &str, value: String| place.post("", body).header(header.to_owned(), value);
    let hex = |secret| HEXLOWER.encode(&tag::<Hmac<Sha256>>(secret, body));
    for refused in [
        place.post("", body),
        signed("x-360dialog-signature", hex("older")),
        signed("x-360dialog-signature", format!("sha1={}", hex("new"))),
        signed("x-360dialog-signature", String::new()),
        signed("x-hub-signature-256", format!("sha256={}", hex("new"))),
        place
            .post("", b"{}")
            .header("x-360dialog-signature", hex("new")),
    ] {
        assert_eq!(answer(refused).await, UNAUTHORIZED);
    }
    assert_eq!(stored(&app).await, 0);
    for taken in [hex("new"), hex("old"), format!("sha256={}", hex("new"))] {
        assert_eq!(answer(signed("X-360Dialog-Signature", taken)).await, OK);
    }
    let kept = app.get("/v1/webhooks").await["data"][2]["id"].clone();
    let kept = app
        .get(&format!("/v1/webhooks/{}", kept.as_str().unwrap()))
        .await;
    assert_eq!(kept["headers"]["x-360dialog-signature"], hex("new"));
}

#[tokio::test]
async fn each_proof_that_is_configured_must_hold() {
    let app = App::start().await;
    let auth = json!({"signature_secrets": ["s"], "headers": {"X-Tenant": "7"},
        "basic": {"username": "u", "password": "p"}});
    let place = Place::new(&app, "dialog360", auth).await;
    let body = br#"{"statuses":[]}"#;
    let all = [
        (
            "x-360dialog-signature",
            HEXLOWER.encode(&tag::<Hmac<Sha256>>("s", body)),
        ),
        ("x-tenant", "7".to_owned()),
        ("authorization", format!("Basic {}", BASE64.encode(b"u:p"))),
    ];
    let with = |headers: &[(&str, String)]| {
        let request = place.post("", body);
        headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, value)
        })
    };
    assert_eq!(answer(with(&all)).await, OK);
    for missing in 0..all.len() {
        let mut some = all.to_vec();
        some.remove(missing);
        assert_eq!(answer(with(&some)).await, UNAUTHORIZED);
        let mut wrong = all.to_vec();
        wrong[missing].1.push('x');
        assert_eq!(answer(with(&wrong)).await, UNAUTHORIZED);
    }
    assert_eq!(stored(&app).await, 1);
    // Nothing that was secret is kept.
    let kept = app.get("/v1/webhooks").await["data"][0]["id"].clone();
    let kept = app
        .get(&format!("/v1/webhooks/{}", kept.as_str().unwrap()))
        .await;
    let names: Vec<_> = kept["headers"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["content-type", "x-360dialog-signature"]);
}

#[tokio::test]
async fn infobips_signature_is_of_any_hash_in_the_header_that_was_chosen() {
    let app = App::start().await;
    let body = br#"{"results":[]}"#;
    let tags: [(&str, Tag); 6] = [
        ("md5", tag::<Hmac<Md5>>),
        ("sha1", tag::<Hmac<Sha1>>),
        ("sha224", tag::<Hmac<Sha224>>),
        ("sha256", tag::<Hmac<Sha256>>),
        ("sha384", tag::<Hmac<Sha384>>),
        ("sha512", tag::<Hmac<Sha512>>),
    ];
    for (algorithm, tag) in tags {
        let hmac =
            json!({"secrets": ["next", "s3cr3t"], "algorithm": algorithm, "header": "X-Sig"});
        let place = Place::new(&app, "infobip", json!({"hmac": hmac})).await;
        let signed = |tag: &[u8]| place.post("", body).header("x-sig", HEXLOWER.encode(tag));
        assert_eq!(
            answer(signed(&tag("s3cr3t", body))).await,
            OK,
            "{algorithm}"
        );
        assert_eq!(answer(signed(&tag("next", body))).await, OK, "{algorithm}");
        assert_eq!(answer(signed(&tag("other", body))).await, UNAUTHORIZED);
        assert_eq!(answer(place.post("", body)).await, UNAUTHORIZED);
        let base64 = BASE64.encode(&tag("s3cr3t", body));
        assert_eq!(
            answer(place.post("", body).header("x-sig", base64)).await,
            OK
        );
    }
}

#[tokio::test]
async fn a_proof_that_is_rotated_is_valid_at_once() {
    let app = App::start().await;
    let place = Place::new(&app, "infobip", json!({"url_secret": "old"})).await;
    let body = br#"{"results":[]}"#;
    let try_with =
        async |secret: &str| answer(place.post(&format!("?secret={secret}"), body)).await;
    assert_eq!(try_with("old").await, OK);
    assert_eq!(try_with("new%20one").await, UNAUTHORIZED);
    assert_eq!(answer(place.post("", body)).await, UNAUTHORIZED);
    let path = format!("/v1/connections/{}", place.id);
    let both = json!({"webhook_auth": {"url_secret": ["new one", "old"]}});
    assert!(app.send(Method::PATCH, &path, both).await.0.is_success());
    assert_eq!(
        (try_with("old").await, try_with("new%20one").await),
        (OK, OK)
    );
    let one = json!({"webhook_auth": {"url_secret": "new one"}});
    assert!(app.send(Method::PATCH, &path, one).await.0.is_success());
    assert_eq!(
        (try_with("old").await, try_with("new%20one").await),
        (UNAUTHORIZED, OK)
    );
}

fn delivered(id: &str) -> Value {
    json!({"messageId": id, "to": USER, "doneAt": "2026-03-02T10:00:02.480+0000",
        "status": {"groupId": 3, "groupName": "DELIVERED", "id": 5, "name": "DELIVERED_TO_HANDSET"},
        "error": {"groupId": 0, "groupName": "OK", "id": 0, "name": "NO_ERROR", "permanent": false}})
}

fn operator(id: &str) -> Value {
    let mut report = delivered(id);
    report["doneAt"] = "2026-03-02T10:00:01.000+0000".into();
    report["status"]["id"] = 2.into();
    report["status"]["name"] = "DELIVERED_TO_OPERATOR".into();
    report
}

fn seen(id: &str) -> Value {
    json!({"messageId": id, "from": USER, "to": "441200000001",
        "seenAt": "2026-03-02T10:05:11.000+0000"})
}

fn failed(id: &str) -> Value {
    let mut report = delivered(id);
    report["status"] = json!({"groupId": 2, "groupName": "UNDELIVERABLE", "id": 9, "name": "U"});
    report["error"] = json!({"groupId": 1, "id": 7051, "name": "EC_PROVIDER_TIMEOUT",
        "description": "it took too long", "permanent": false});
    report
}

/// The first message of a sequence of two is posted, and its sender is one of this connection:
/// nothing can be sent through the provider itself yet.
async fn posted(app: &App, place: &Place<'_>) -> (String, Vec<String>) {
    let sequence =
        json!({"sender": app.sender, "to": USER, "messages": [step("one"), step("two")]});
    let (sequence, messages) = app.sequence(sequence).await;
    app.accepted(&messages[0]).await;
    let connection: twotick::model::ids::ConnectionId = place.id.parse().unwrap();
    let sender: SenderId = app.sender.parse().unwrap();
    let moved = sqlx::query("UPDATE senders SET connection = $1 WHERE id = $2")
        .bind(connection.0)
        .bind(sender.0)
        .execute(&mut app.session().await)
        .await
        .unwrap();
    assert_eq!(moved.rows_affected(), 1);
    (sequence, messages)
}

#[tokio::test]
async fn a_delivery_report_opens_the_gate_by_the_id_that_we_gave() {
    let app = App::start().await;
    let place = Place::open(&app, "infobip").await;
    let (_, messages) = posted(&app, &place).await;
    let id = format!("{}.1", messages[0]);
    place.say(&json!({"results": [operator(&id)]})).await;
    assert_eq!(app.posts().await.len(), 1, "an operator is no handset");
    place.say(&json!({"results": [delivered(&id)]})).await;
    assert_eq!(posted_texts(&app.posts_until(2).await), ["one", "two"]);
    let message = app.get(&format!("/v1/messages/{}", messages[0])).await;
    assert_eq!(message["status"], "delivered");
    assert_eq!(message["sent_at"], "2026-03-02T10:00:01.000Z");
    assert_eq!(message["delivered_at"], "2026-03-02T10:00:02.480Z");
    let senders = app
        .get(&format!("/v1/senders?connection={}", place.id))
        .await;
    assert_eq!(
        senders["data"].as_array().unwrap().len(),
        1,
        "the report names no number"
    );
}

#[tokio::test]
async fn a_failure_report_has_its_code_and_the_class_of_that_provider() {
    let app = App::start().await;
    let place = Place::open(&app, "infobip").await;
    let (sequence, messages) = posted(&app, &place).await;
    place
        .say(&json!({"results": [failed(&format!("{}.1", messages[0]))]}))
        .await;
    let path = format!("/v1/sequences/{sequence}");
    let sequence = app
        .get_until(&path, |sequence| sequence["status"] == "stopped")
        .await;
    assert_eq!(sequence["reason"], "failure");
    let error = &app.get(&format!("/v1/messages/{}", messages[0])).await["error"];
    assert_eq!(
        *error,
        json!({"code": 7051, "title": "EC_PROVIDER_TIMEOUT", "details": "it took too long",
            "class": "retry"})
    );
}

/// What is compared is the code with the list that it is from, in the fact as in the evidence.
#[tokio::test]
async fn of_two_failure_reports_of_one_moment_both_evidence_and_fact_say_the_same() {
    let app = App::start().await;
    let place = Place::open(&app, "infobip").await;
    let report = |id: &str, error: Value| {
        let mut report = failed(id);
        report["error"] = error;
        report
    };
    let errors = [
        json!({"id": 9, "name": "of no list", "description": "d"}),
        json!({"id": 8, "name": "for good", "description": "d", "permanent": true}),
        json!({"id": 7, "name": "for now", "description": "d", "permanent": "false"}),
        json!({"id": 0, "name": "NO_ERROR"}),
    ];
    for (n, error) in errors.iter().enumerate() {
        for (m, other) in errors.iter().enumerate().skip(n + 1) {
            for turn in [[error, other], [other, error]] {
                let id = format!("tie-{n}-{m}-{}", turn[0]["id"]);
                for error in turn {
                    place
                        .say(&json!({"results": [report(&id, error.clone())]}))
                        .await;
                }
                // The one of the earlier list; its texts are the fact's.
                assert_eq!(
                    place.message(&id).await["error"]["title"],
                    error["name"],
                    "{id}"
                );
            }
        }
    }
}

#[tokio::test]
async fn the_id_of_another_connections_message_touches_nothing_of_it() {
    let app = App::start().await;
    let place = Place::open(&app, "infobip").await;
    let message = app
        .create("/v1/messages", text(&app.sender, USER, "one"))
        .await;
    let id = message["id"].as_str().unwrap();
    app.accepted(id).await;
    let foreign = format!("{id}.1");
    for _ in 0..2 {
        place
            .say(&json!({"results": [delivered(&foreign), seen(&foreign)]}))
            .await;
    }
    assert_eq!(
        app.get(&format!("/v1/messages/{id}")).await["status"],
        "accepted"
    );
    let external = place.message(&foreign).await;
    assert_eq!(
        (&external["origin"], &external["status"]),
        (&json!("external"), &json!("read"))
    );
}

/// What is the same of a message whoever says it, in whatever order.
fn evidence(message: &Value) -> Value {
    let names = [
        "to",
        "origin",
        "status",
        "sent_at",
        "delivered_at",
        "read_at",
        "failed_at",
        "error",
        "contradiction",
    ];
    names
        .iter()
        .map(|name| (*name, message[*name].clone()))
        .collect()
}

#[tokio::test]
async fn reports_of_others_messages_end_the_same_in_any_order_split_and_number() {
    let app = App::start().await;
    let reports = |id: &str| vec![operator(id), delivered(id), seen(id), failed(id)];
    let mut runner = TestRunner::new(Config {
        rng_seed: RngSeed::Fixed(7),
        ..Config::default()
    });
    let place = Place::open(&app, "infobip").await;
    place.say(&json!({"results": reports("whole")})).await;
    let whole = evidence(&place.message("whole").await);
    assert_eq!(whole["contradiction"], true);
    for n in 0..12 {
        let id = format!("ord-{n}");
        let twice = [reports(&id), reports(&id)].concat();
        let order = Just(twice)
            .prop_shuffle()
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let size = 1 + n % 4;
        for part in order.chunks(size) {
            place.say(&json!({"results": part})).await;
        }
        let message = place.message(&id).await;
        assert_eq!(evidence(&message), whole, "{order:#?}");
        let path = format!("/v1/messages/{}/history", message["id"].as_str().unwrap());
        assert_eq!(app.get(&path).await["data"].as_array().unwrap().len(), 4);
    }
    // All of them are of the one sender that has no number.
    let senders = app
        .get(&format!("/v1/senders?connection={}", place.id))
        .await;
    let senders = senders["data"].as_array().unwrap();
    assert_eq!(senders.len(), 1);
    assert_eq!(
        (&senders[0]["phone_number_id"], &senders[0]["origin"]),
        (&Value::Null, &json!("webhook"))
    );
}

#[tokio::test]
async fn a_bad_report_costs_no_sibling_and_is_seen() {
    let app = App::start().await;
    let place = Place::open(&app, "infobip").await;
    place
        .say(&json!({"results": [delivered("a"), 7, {"messageId": "b", "status": {}}, seen("c")]}))
        .await;
    assert_eq!(place.message("a").await["status"], "delivered");
    assert_eq!(place.message("c").await["status"], "read");
    let undecoded = app.get("/v1/webhooks?state=undecoded").await;
    let reason = undecoded["data"][0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("results[1]") && reason.contains("results[2]"),
        "{reason}"
    );
}

fn template_update(at: &str, status: &str) -> Value {
    json!({"messageTemplateId": "7", "messageTemplateName": "offer", "messageTemplateLanguage": "en_US",
        "timestamp": at, "change": {"type": "TEMPLATE_STATUS_UPDATE", "newStatus": status}})
}

#[tokio::test]
async fn infobips_pause_closes_the_lane_until_the_template_is_approved() {
    let app = App::start().await;
    let place = Place::open(&app, "infobip").await;
    let new = json!({"sender": app.sender, "to": USER, "messages": [step("one"), template_step("offer", "two")]});
    let (_, messages) = app.sequence(new).await;
    app.accepted(&messages[0]).await;
    let connection: twotick::model::ids::ConnectionId = place.id.parse().unwrap();
    let sender: SenderId = app.sender.parse().unwrap();
    sqlx::query("UPDATE senders SET connection = $1 WHERE id = $2")
        .bind(connection.0)
        .bind(sender.0)
        .execute(&mut app.session().await)
        .await
        .unwrap();
    place
        .say(&template_update(
            "2026-03-02T09:00:00.000+0000",
            "FIRST_PAUSED",
        ))
        .await;
    let paused = place.template().await;
    assert_eq!(
        (&paused["status"], &paused["sendable"]),
        (&json!("PAUSED"), &json!(false))
    );
    assert_eq!(paused["pause"]["title"], "FIRST_PAUSE");
    place
        .say(&json!({"results": [delivered(&format!("{}.1", messages[0]))]}))
        .await;
    let path = format!("/v1/messages/{}", messages[1]);
    app.get_until(&path, |message| {
        message["waiting"]["reason"] == "template_paused"
    })
    .await;
    // Late news of before change nothing.
    place
        .say(&template_update("2026-03-02T08:00:00.000+0000", "APPROVED"))
        .await;
    assert_eq!(place.template().await["status"], "PAUSED");
    place
        .say(&template_update("2026-03-02T10:00:00.000+0000", "APPROVED"))
        .await;
    assert_eq!(posted_texts(&app.posts_until(2).await), ["one", "two"]);
}

fn partner(id: &str, status: &str) -> Value {
    json!({"id": id, "event": "waba_template_status_changed", "data": {"id": "2044", "template": {
        "id": "gqh7", "external_id": "1786", "name": "offer", "language": "en_US",
        "new_status": status}}})
}

#[tokio::test]
async fn partner_events_bear_no_time_and_a_repetition_is_no_news() {
    let app = App::start().await;
    let place = Place::open(&app, "dialog360").await;
    place.say(&partner("1", "PAUSED")).await;
    assert_eq!(place.template().await["sendable"], false);
    place.say(&json!([partner("2", "approved")])).await;
    assert_eq!(place.template().await["status"], "APPROVED");
    for again in [
        partner("1", "PAUSED"),
        json!([partner("1", "PAUSED"), partner("2", "approved")]),
    ] {
        place.say(&again).await;
        assert_eq!(place.template().await["status"], "APPROVED");
    }
    place.say(&partner("3", "PAUSED")).await;
    assert_eq!(place.template().await["status"], "PAUSED");
    let history = format!(
        "/v1/templates/{}/history",
        place.template().await["id"].as_str().unwrap()
    );
    assert_eq!(app.get(&history).await["data"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn events_without_a_time_count_in_the_order_of_their_webhook() {
    let app = App::start().await;
    let place = Place::open(&app, "dialog360").await;
    let (paused, approved) = (partner("1", "PAUSED"), partner("2", "approved"));
    place.say(&json!([paused, approved])).await;
    assert_eq!(place.template().await["status"], "APPROVED");
    let again = [partner("3", "PAUSED"), partner("4", "approved")];
    place.say(&json!([again[0], again[1], again[0]])).await;
    let template = place.template().await;
    assert_eq!(template["status"], "APPROVED", "said twice is said once");
    place
        .say(&json!([partner("5", "approved"), partner("6", "PAUSED")]))
        .await;
    assert_eq!(place.template().await["status"], "PAUSED");
}

#[tokio::test]
async fn a_template_is_one_in_whichever_shape_360dialog_tells_of_it() {
    let app = App::start().await;
    let place = Place::open(&app, "dialog360").await;
    let change = |field: &str, mut value: Value| {
        value["message_template_id"] = 1786.into();
        value["message_template_name"] = "offer".into();
        value["message_template_language"] = "en_US".into();
        management_body(field, T0, value)
    };
    place
        .say(&change(
            "message_template_status_update",
            json!({"event": "PAUSED"}),
        ))
        .await;
    place
        .say(&change(
            "message_template_quality_update",
            json!({"new_quality_score": "RED"}),
        ))
        .await;
    let closed = place.template().await;
    assert_eq!(
        (&closed["sendable"], &closed["waba_id"]),
        (&json!(false), &Value::Null)
    );
    place.say(&partner("1", "approved")).await;
    let open = place.template().await;
    assert_eq!(
        (&open["status"], &open["quality"]),
        (&json!("APPROVED"), &json!("RED"))
    );
    assert_eq!(open["id"], closed["id"]);
}

/// What of 360dialog's templates an older version took for those of another account.
#[tokio::test]
async fn a_template_that_was_taken_for_two_becomes_one() {
    const MIGRATION: &str = include_str!("../../migrations/0012_templates_without_account.sql");
    let app = App::start().await;
    let place = Place::open(&app, "dialog360").await;
    let connection: ConnectionId = place.id.parse().unwrap();
    let mut session = app.session().await;
    let paused = |name: &str, at| {
        let value = json!({"event": "PAUSED", "message_template_name": name,
            "message_template_language": "en_US"});
        management_body("message_template_status_update", at, value)
    };
    let approved = |name: &str| {
        let mut event = partner(name, "approved");
        event["data"]["template"]["name"] = name.into();
        event
    };
    let later = app.clock.now().unix_timestamp() + 60;
    let told = [("alone", T0), ("opened since", T0), ("closed since", later)];
    for (name, at) in told {
        place.say(&paused(name, at)).await;
        let [now, then] =
            ["", WABA].map(|waba_id| TemplateId::of(connection, waba_id, name, "en_US").0);
        for earlier in [
            "UPDATE facts SET subject = $2 WHERE subject = $1",
            "UPDATE templates SET id = $2, waba_id = '204411887755301' WHERE id = $1",
        ] {
            let earlier = sqlx::query(earlier).bind(now).bind(then);
            let done = earlier.execute(&mut session).await.unwrap();
            assert_eq!(done.rows_affected(), 1, "{name}");
        }
        if name != "alone" {
            place.say(&approved(name)).await;
        }
    }
    sqlx::raw_sql(MIGRATION)
        .execute(&mut session)
        .await
        .unwrap();
    for ((name, at), (status, facts)) in
        told.into_iter()
            .zip([("PAUSED", 1), ("APPROVED", 2), ("PAUSED", 2)])
    {
        let found = app.get(&format!("/v1/templates?name={name}")).await;
        let found = found["data"].as_array().unwrap();
        assert_eq!(found.len(), 1, "{found:#?}");
        let id = found[0]["id"].as_str().unwrap();
        assert_eq!(
            id,
            TemplateId::of(connection, "", name, "en_US").to_string()
        );
        assert_eq!(found[0]["status"], status, "{name}");
        // What was said before is known.
        place.say(&paused(name, at)).await;
        let history = app.get(&format!("/v1/templates/{id}/history")).await;
        assert_eq!(history["data"].as_array().unwrap().len(), facts, "{name}");
    }
}

#[tokio::test]
async fn all_kinds_of_360dialogs_webhooks_come_to_one_address() {
    let app = App::start().await;
    for provider in ["dialog360", "dialog360_onprem"] {
        let place = Place::open(&app, provider).await;
        let id = |kind: &str| format!("{provider}.{kind}");
        place
            .say(&statuses_body(&[status(&id("wamid"), "delivered", 1)]))
            .await;
        assert_eq!(place.message(&id("wamid")).await["status"], "delivered");
        for word in ["read", "delivered", "sent"] {
            place
                .say(&json!({"statuses": [status(&id("gBEG"), word, 1)]}))
                .await;
        }
        let external = place.message(&id("gBEG")).await;
        assert_eq!(external["status"], "read");
        let mut dropped = status(&id("dropped"), "failed", 1);
        dropped["errors"] = json!([{"code": 2061, "title": "paused", "details": "low quality"}]);
        place.say(&json!({"statuses": [dropped]})).await;
        let error = &place.message(&id("dropped")).await["error"];
        assert_eq!(
            (&error["code"], &error["class"]),
            (&json!(2061), &json!("template_stops"))
        );
        place.say(&partner("1", "PAUSED")).await;
        assert_eq!(place.template().await["sendable"], false);
        // The number that Meta's envelope names, and the one that nothing names.
        let senders = app
            .get(&format!("/v1/senders?connection={}", place.id))
            .await;
        assert_eq!(senders["data"].as_array().unwrap().len(), 2);
        let new = json!({"connection": place.id, "display_phone_number": "441200000001"});
        let made = app.create("/v1/senders", new).await;
        assert_eq!(
            made["id"], external["sender"],
            "whoever makes it takes over what was said"
        );
    }
}

#[tokio::test]
async fn what_a_user_wants_is_remembered_whoever_says_it() {
    let app = App::start().await;
    let place = Place::open(&app, "infobip").await;
    let want = |at: &str, word: &str| {
        json!({"from": "441200000001", "createdAt": at,
        "content": {"sender": "441200000001", "from": USER, "notificationMessagesStatus": word}})
    };
    place
        .say(&want("2026-01-01T02:00:00.000+0000", "stop"))
        .await;
    place
        .say(&want("2026-01-01T01:00:00.000+0000", "resume"))
        .await;
    let wants: String = sqlx::query_scalar("SELECT marketing FROM recipients WHERE alias = $1")
        .bind(USER)
        .fetch_one(&mut app.session().await)
        .await
        .unwrap();
    assert_eq!(wants, "stop");
}

#[tokio::test]
async fn a_bucket_of_two_thousand_reports_is_applied_whole_and_once() {
    let app = App::start().await;
    let place = Place::open(&app, "infobip").await;
    let reports: Vec<_> = (0..2_000).map(|n| delivered(&format!("ord-{n}"))).collect();
    for _ in 0..2 {
        place.say(&json!({"results": reports})).await;
    }
    let said: (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(DISTINCT subject) FROM facts WHERE type = 'message.delivered'",
    )
    .fetch_one(&mut app.session().await)
    .await
    .unwrap();
    assert_eq!(said, (2_000, 2_000));
}

#[tokio::test]
async fn what_cannot_be_read_is_kept_and_answered_200() {
    let app = App::start().await;
    let deep = format!(
        "{{\"results\":{}{}}}",
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let bodies = [
        &b""[..],
        b"\xff\x00",
        b"{}",
        b"7",
        b"{\"a\":",
        deep.as_bytes(),
    ];
    for (n, provider) in ["dialog360", "dialog360_onprem", "infobip"]
        .iter()
        .enumerate()
    {
        let place = Place::open(&app, provider).await;
        for body in bodies {
            assert_eq!(
                answer(place.post("?secret=s", body)).await,
                OK,
                "{provider}"
            );
        }
        let undecoded = app.get("/v1/webhooks?state=undecoded&limit=500").await;
        let undecoded = undecoded["data"].as_array().unwrap();
        assert_eq!(undecoded.len(), (n + 1) * bodies.len(), "{provider}");
    }
}

#[tokio::test]
async fn what_infobip_says_of_a_template_ends_the_same_in_any_order() {
    let app = App::start().await;
    let change = |minute: usize, change: Value| {
        json!({"messageTemplateId": "7", "messageTemplateName": "offer",
            "messageTemplateLanguage": "en_US",
            "timestamp": format!("2026-03-02T09:{minute:02}:00.000+0000"), "change": change})
    };
    let status = |word: &str| json!({"type": "TEMPLATE_STATUS_UPDATE", "newStatus": word});
    let category = |word: &str| json!({"type": "TEMPLATE_CATEGORY_UPDATE", "previousCategory": "X", "newCategory": word});
    let quality = |word: &str| json!({"type": "TEMPLATE_QUALITY_UPDATE", "previousQualityScore": "X", "newQualityScore": word});
    let updates = [
        change(1, status("APPROVED")),
        change(2, category("UTILITY")),
        change(3, quality("MEDIUM")),
        change(4, status("SECOND_PAUSED")),
        // The same moment: the stop counts.
        change(4, status("REINSTATED")),
        change(5, quality("LOW")),
        change(6, category("MARKETING")),
    ];
    let mut runner = TestRunner::new(Config {
        rng_seed: RngSeed::Fixed(11),
        ..Config::default()
    });
    for _ in 0..8 {
        let place = Place::open(&app, "infobip").await;
        let twice = [&updates[..], &updates[..]].concat();
        let order = Just(twice)
            .prop_shuffle()
            .new_tree(&mut runner)
            .unwrap()
            .current();
        for update in &order {
            place.say(update).await;
        }
        let template = place.template().await;
        let names = ["status", "sendable", "quality", "category"];
        let ends = names.map(|name| template[name].clone());
        let expected = [
            json!("PAUSED"),
            json!(false),
            json!("RED"),
            json!("MARKETING"),
        ];
        assert_eq!(ends, expected, "{order:#?}");
        assert_eq!(template["pause"]["title"], "SECOND_PAUSE");
    }
}
