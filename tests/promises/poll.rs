//! What no webhook told is found by reading it from the provider: by one instance, at a pace, told
//! once, and without undoing what is newer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{OriginalUri, State};
use axum::http::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::PgConnection;
use tokio::net::TcpListener;
use twotick::simulator;
use twotick::store::polls::Turn;

use crate::support::*;

/// So often that a test need not wait for it.
const OFTEN: Duration = Duration::from_millis(100);
/// Once, and then not within a test.
const SELDOM: Duration = Duration::from_secs(600);
const PACE: Duration = Duration::from_millis(10);

async fn polling(every: Duration, pace: Duration) -> App {
    let settings = |config: &mut twotick::config::Config| {
        config.poll.every = every;
        config.poll.pace = pace;
    };
    App::start_with(settings, simulator::Config::default()).await
}

/// How a template is at the provider from now on. Nobody is told.
async fn set_template(app: &App, name: &str, status: &str) {
    let state = json!({"language": "en_US", "status": status, "category": "MARKETING"});
    app.control_send(Method::PUT, &format!("templates/{name}"), state)
        .await;
}

/// The same of the number.
async fn set_number(app: &App, fields: Value) {
    app.control_send(Method::PUT, &format!("numbers/{NUMBER}"), fields)
        .await;
}

async fn template_until(app: &App, name: &str, status: &str) -> Value {
    let is = |answer: &Value| answer["data"][0]["status"] == status;
    let path = format!("/v1/templates?name={name}");
    app.get_until(&path, is).await["data"][0].clone()
}

async fn sender_until(app: &App, wanted: impl Fn(&Value) -> bool) -> Value {
    app.get_until(&format!("/v1/senders/{}", app.sender), wanted)
        .await
}

/// What was read from the simulator, in order.
async fn reads(app: &App) -> Vec<Value> {
    let log = app.control("reads").await;
    log["reads"].as_array().unwrap().clone()
}

/// Waits until this much has been read.
async fn reads_until(app: &App, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let waiting = async {
        loop {
            let reads = reads(app).await;
            if wanted(&reads) {
                return reads;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let reads = tokio::time::timeout(PATIENCE, waiting).await;
    reads.expect("that was never read")
}

/// Waits until everything has been read again, several times.
async fn some_rounds(app: &App) {
    let before = reads(app).await.len();
    reads_until(app, |reads| reads.len() >= before + 6).await;
}

/// Events of these types, once there are as many.
async fn told(app: &App, types: &str, n: usize) -> Vec<Value> {
    let path = format!("/v1/events?limit=500&type={types}");
    let enough = |answer: &Value| answer["data"].as_array().unwrap().len() >= n;
    let events = app.get_until(&path, enough).await["data"].clone();
    let events = events.as_array().unwrap().clone();
    assert_eq!(events.len(), n, "{events:#?}");
    // Nor any that the feed cannot show yet.
    let types: Vec<_> = types.split(',').map(str::to_owned).collect();
    let facts: i64 = sqlx::query_scalar("SELECT count(*) FROM facts WHERE type = ANY ($1)")
        .bind(types)
        .fetch_one(&mut app.session().await)
        .await
        .unwrap();
    assert_eq!(facts, i64::try_from(n).unwrap());
    events
}

async fn steps(app: &App, name: &str) -> Vec<String> {
    let steps = [template_step(name, "one"), template_step(name, "two")];
    let sequence = json!({"sender": app.sender, "to": "447700900123",
        "gate": {"status": "accepted"}, "messages": steps});
    app.sequence(sequence).await.1
}

#[tokio::test]
async fn a_pause_and_its_end_that_nobody_told_close_the_lane_and_open_it() {
    let app = polling(OFTEN, PACE).await;
    set_template(&app, "offer", "PAUSED").await;
    let template = template_until(&app, "offer", "PAUSED").await;
    assert_eq!(
        (&template["sendable"], &template["waba_id"]),
        (&json!(false), &json!(WABA))
    );
    let messages = steps(&app, "offer").await;
    let waits = |message: &Value| message["waiting"]["reason"] == "template_paused";
    app.get_until(&format!("/v1/messages/{}", messages[0]), waits)
        .await;
    app.fence().await;
    assert_eq!(posted_texts(&app.posts().await).len(), 0);

    set_template(&app, "offer", "APPROVED").await;
    app.accepted(&messages[1]).await;
    assert_eq!(posted_texts(&app.posts().await), ["one", "two"]);
    let worse = json!({"language": "en_US", "quality": "RED"});
    app.control_send(Method::PUT, "templates/offer", worse)
        .await;
    let quality = &told(&app, "template.quality", 1).await[0];
    assert_eq!(
        (&quality["data"]["previous"], &quality["data"]["new"]),
        (&json!("GREEN"), &json!("RED"))
    );
    some_rounds(&app).await;
    let events = told(&app, "template.status", 2).await;
    for (event, previous, status) in [
        (&events[0], Value::Null, "PAUSED"),
        (&events[1], json!("PAUSED"), "APPROVED"),
    ] {
        assert_eq!(event["source"], "poll");
        assert_eq!(event["subject"], template["id"]);
        assert_eq!(event["data"]["previous"], previous);
        assert_eq!(event["data"]["event"], status);
    }
}

#[tokio::test]
async fn what_nobody_told_of_a_number_is_shown_and_told_once() {
    let app = polling(OFTEN, PACE).await;
    let sender = sender_until(&app, |sender| sender["health"] == "AVAILABLE").await;
    let shown = [
        "quality",
        "limit",
        "throughput",
        "verified_name",
        "name_status",
        "state",
    ];
    assert_eq!(
        shown.map(|name| sender[name].as_str().unwrap().to_owned()),
        [
            "GREEN",
            "TIER_UNLIMITED",
            "STANDARD",
            "Simulated Shop",
            "APPROVED",
            "CONNECTED"
        ]
    );
    let tier = "whatsapp_business_manager_messaging_limit";
    set_number(&app, json!({"quality_rating": "RED", tier: "UNTIERED"})).await;
    sender_until(&app, |sender| {
        sender["quality"] == "RED" && sender["limit"] == "UNTIERED"
    })
    .await;
    some_rounds(&app).await;
    let events = told(&app, "sender.quality,sender.name,sender.health", 4).await;
    assert!(events.iter().all(|event| event["source"] == "poll"));
    assert!(events.iter().all(|event| event["subject"] == app.sender));
    let changed = &events[3];
    assert_eq!(changed["type"], "sender.quality");
    assert_eq!(
        changed["data"],
        json!({"display_phone_number": "15550142217", "quality": "RED", "limit": "UNTIERED",
            "previous_quality": "GREEN", "previous_limit": "TIER_UNLIMITED"})
    );
}

async fn flag(app: &App, event: &str, at: i64) {
    let value = json!({"display_phone_number": "15550142217", "event": event});
    let body = management_body("phone_number_quality_update", at, value);
    assert_eq!(app.webhook(&body).await, StatusCode::OK);
}

#[tokio::test]
async fn a_webhook_of_before_a_reading_undoes_nothing_and_one_of_after_it_counts() {
    let app = polling(OFTEN, PACE).await;
    sender_until(&app, |sender| sender["quality"] == "GREEN").await;
    set_template(&app, "offer", "APPROVED").await;
    template_until(&app, "offer", "APPROVED").await;
    let pause = |at| {
        let value = json!({"event": "PAUSED", "message_template_id": 7,
            "message_template_name": "offer", "message_template_language": "en_US"});
        management_body("message_template_status_update", at, value)
    };
    let now = app.clock.now().unix_timestamp();
    flag(&app, "FLAGGED", now - 60).await;
    assert_eq!(app.webhook(&pause(now - 60)).await, StatusCode::OK);
    let quality = |sender: &Value| sender["quality"].as_str().unwrap().to_owned();
    let sender = sender_until(&app, |_| true).await;
    assert_eq!(quality(&sender), "GREEN");
    template_until(&app, "offer", "APPROVED").await;

    flag(&app, "FLAGGED", now + 60).await;
    assert_eq!(app.webhook(&pause(now + 60)).await, StatusCode::OK);
    some_rounds(&app).await;
    let sender = sender_until(&app, |_| true).await;
    assert_eq!(quality(&sender), "FLAGGED");
    template_until(&app, "offer", "PAUSED").await;
    // What is read later than that is newer.
    app.clock.advance(Duration::from_secs(120));
    sender_until(&app, |sender| quality(sender) == "GREEN").await;
    template_until(&app, "offer", "APPROVED").await;
}

#[tokio::test]
async fn a_banned_number_is_stopped_and_whoever_overrules_it_does_so_once() {
    let app = polling(OFTEN, PACE).await;
    set_number(&app, json!({"status": "BANNED"})).await;
    let blocked = |sender: &Value| sender["status"] == "blocked";
    let sender = sender_until(&app, blocked).await;
    assert_eq!(sender["status_reason"], "BANNED");
    let message = text(&app.sender, "447700900123", "hello");
    let message = app.create("/v1/messages", message).await;
    let message = message["id"].as_str().unwrap();
    let waits = |message: &Value| message["waiting"]["reason"] == "sender_blocked";
    app.get_until(&format!("/v1/messages/{message}"), waits)
        .await;
    some_rounds(&app).await;
    let again = sender_until(&app, blocked).await;
    assert_eq!(again["status_at"], sender["status_at"], "it is one ban");

    // A word of the same second still counts.
    app.clock.advance(Duration::from_secs(2));
    let path = format!("/v1/senders/{}", app.sender);
    let opened = json!({"status": "active"});
    assert_eq!(app.send(Method::PATCH, &path, opened).await.0, 200);
    app.accepted(message).await;
    some_rounds(&app).await;
    assert_eq!(app.get(&path).await["status"], "active");

    set_number(&app, json!({"status": "CONNECTED"})).await;
    sender_until(&app, |sender| sender["state"] == "CONNECTED").await;
    set_number(&app, json!({"status": "BANNED"})).await;
    sender_until(&app, blocked).await;
}

#[tokio::test]
async fn a_ban_whose_end_nobody_told_is_found_to_be_over() {
    let app = polling(SELDOM, PACE).await;
    let mut session = app.session().await;
    all_read(&mut session).await;
    let ban = json!({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE"}});
    let ban = management_body("account_update", T0, ban);
    assert_eq!(app.webhook(&ban).await, StatusCode::OK);
    sender_until(&app, |sender| sender["status_reason"] == "DISABLE").await;
    due_now(&mut session).await;
    sender_until(&app, |sender| sender["status"] == "active").await;
    let told = told(&app, "account.update", 2).await;
    assert_eq!(told[1]["source"], "poll");
    assert_eq!(told[1]["data"]["previous"], "DISABLE");
}

/// Waits until everything has been read, and it is recorded.
async fn all_read(session: &mut PgConnection) {
    let read = async {
        loop {
            let read: i64 =
                sqlx::query_scalar("SELECT count(*) FROM polls WHERE read_at IS NOT NULL")
                    .fetch_one(&mut *session)
                    .await
                    .unwrap();
            if read == 2 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, read).await;
    assert!(in_time.is_ok(), "not everything was read");
}

/// Everything is to be read again at once.
async fn due_now(session: &mut PgConnection) {
    sqlx::query("UPDATE polls SET due_at = clock_timestamp(), read_at = NULL")
        .execute(session)
        .await
        .unwrap();
}

#[tokio::test]
async fn two_instances_read_everything_once_and_not_twice() {
    const ROUNDS: usize = 15;
    let app = polling(SELDOM, PACE).await;
    let _another = app.another_instance().await;
    let mut session = app.session().await;
    for _ in 0..ROUNDS {
        all_read(&mut session).await;
        due_now(&mut session).await;
    }
    all_read(&mut session).await;
    let reads = reads(&app).await;
    assert_eq!(reads.len(), 2 * (ROUNDS + 1), "{reads:#?}");
}

fn at(read: &Value) -> i64 {
    read["at_ms"].as_i64().unwrap()
}

#[tokio::test]
async fn the_pace_is_the_connections_however_much_is_due_and_however_many_instances_there_are() {
    const REQUESTS: usize = 12;
    const APART: i64 = 80;
    let app = polling(
        Duration::from_millis(1),
        Duration::from_millis(APART.unsigned_abs()),
    )
    .await;
    let _another = app.another_instance().await;
    let reads = reads_until(&app, |reads| reads.len() > REQUESTS).await;
    let took = at(&reads[REQUESTS]) - at(&reads[0]);
    let apart = APART * i64::try_from(REQUESTS).unwrap();
    // The first may have been on its way for some time.
    assert!(took > apart * 3 / 4, "{REQUESTS} requests within {took} ms");
}

#[tokio::test]
async fn a_provider_that_asks_for_a_pause_gets_it_for_all_of_the_connection() {
    let app = polling(OFTEN, PACE).await;
    reads_until(&app, |reads| reads.len() >= 2).await;
    let refusal = json!({"times": 1, "retry_after": 1});
    app.control_send(Method::PUT, "reads", refusal).await;
    let refused = |reads: &[Value]| reads.iter().position(|read| read["status"] == 429);
    let reads = reads_until(&app, |reads| {
        refused(reads).is_some_and(|at| reads.len() > at + 2)
    })
    .await;
    let first = refused(&reads).unwrap();
    let waited = at(&reads[first + 1]) - at(&reads[first]);
    assert!(waited >= 1000, "it asked again after {waited} ms");
    assert!(reads[first + 1..].iter().all(|read| read["status"] == 200));
}

#[tokio::test]
async fn who_died_while_it_read_is_replaced_when_its_turn_ends() {
    let app = polling(SELDOM, PACE).await;
    let mut session = app.session().await;
    all_read(&mut session).await;
    let before = reads(&app).await;
    sqlx::query(
        "UPDATE poll_turns SET turn = gen_random_uuid(),
                               until = clock_timestamp() + interval '400 ms'",
    )
    .execute(&mut session)
    .await
    .unwrap();
    let died = app.clock.now().unix_timestamp_nanos() / 1_000_000;
    due_now(&mut session).await;
    let after = reads_until(&app, |reads| reads.len() >= before.len() + 2).await;
    let waited = i128::from(at(&after[before.len()])) - died;
    assert!(waited >= 390, "its turn was taken after {waited} ms");
}

#[tokio::test]
async fn a_template_that_is_not_listed_any_more_is_deleted_and_one_that_is_back_goes_on() {
    let app = polling(OFTEN, PACE).await;
    // More than a page of them, none of which anybody here has heard of.
    for n in 0..101 {
        set_template(&app, &format!("other_{n:03}"), "APPROVED").await;
    }
    set_template(&app, "offer", "APPROVED").await;
    template_until(&app, "offer", "APPROVED").await;
    template_until(&app, "other_100", "APPROVED").await;

    app.control_send(Method::DELETE, "templates/offer", json!({}))
        .await;
    let deleted = template_until(&app, "offer", "DELETED").await;
    assert_eq!(deleted["sendable"], false);
    let messages = steps(&app, "offer").await;
    let waits = |message: &Value| message["waiting"]["reason"] == "template_paused";
    app.get_until(&format!("/v1/messages/{}", messages[0]), waits)
        .await;
    set_template(&app, "offer", "APPROVED").await;
    app.accepted(&messages[1]).await;

    let events = told(&app, "template.status", 104).await;
    let of_offer: Vec<_> = events
        .iter()
        .filter(|event| event["subject"] == deleted["id"])
        .map(|event| event["data"]["event"].as_str().unwrap())
        .collect();
    assert_eq!(of_offer, ["APPROVED", "DELETED", "APPROVED"]);
}

#[tokio::test]
async fn one_list_that_lacks_a_template_proves_nothing() {
    let app = polling(SELDOM, PACE).await;
    let mut session = app.session().await;
    all_read(&mut session).await;
    set_template(&app, "offer", "APPROVED").await;
    for status in ["APPROVED", "APPROVED", "DELETED"] {
        // Words count by whole seconds.
        app.clock.advance(Duration::from_secs(2));
        due_now(&mut session).await;
        all_read(&mut session).await;
        template_until(&app, "offer", status).await;
        app.control_send(Method::DELETE, "templates/offer", json!({}))
            .await;
    }
}

#[tokio::test]
async fn what_is_said_of_a_template_between_two_lists_that_lack_it_begins_the_count_anew() {
    let app = polling(SELDOM, PACE).await;
    let mut session = app.session().await;
    all_read(&mut session).await;
    set_template(&app, "offer", "APPROVED").await;
    let said = |at| {
        let value = json!({"event": "APPROVED", "message_template_id": 7,
            "message_template_name": "offer", "message_template_language": "en_US"});
        management_body("message_template_status_update", at, value)
    };
    // Listed; not; said to be there, as of this reading's second and of one behind it; not; not.
    for (is_said, status) in [
        (false, "APPROVED"),
        (false, "APPROVED"),
        (true, "APPROVED"),
        (false, "APPROVED"),
        (false, "DELETED"),
    ] {
        // Words count by whole seconds.
        app.clock.advance(Duration::from_secs(2));
        if is_said {
            let now = app.clock.now().unix_timestamp();
            for at in [now - 2, now + 1] {
                assert_eq!(app.webhook(&said(at)).await, StatusCode::OK);
            }
        }
        due_now(&mut session).await;
        all_read(&mut session).await;
        template_until(&app, "offer", status).await;
        app.control_send(Method::DELETE, "templates/offer", json!({}))
            .await;
    }
}

#[tokio::test]
async fn the_account_of_a_number_is_learned_where_nobody_said_it() {
    let app = polling(OFTEN, PACE).await;
    set_template(&app, "offer", "PAUSED").await;
    let mut session = app.session().await;
    sqlx::query("UPDATE senders SET waba_id = NULL, display_phone_number = NULL")
        .execute(&mut session)
        .await
        .unwrap();
    let sender = sender_until(&app, |sender| sender["waba_id"] == WABA).await;
    assert_eq!(sender["display_phone_number"], "+15556688199");
    template_until(&app, "offer", "PAUSED").await;
}

/// A provider that answers what it is documented to answer, and who asked with which key.
async fn documented(answers: &'static [(&'static str, &'static str)]) -> (String, Asked) {
    let asked = Asked::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = move |State(asked): State<Asked>,
                       OriginalUri(uri): OriginalUri,
                       headers: HeaderMap| async move {
        let key = ["d360-api-key", "authorization"]
            .iter()
            .find_map(|name| headers.get(*name)?.to_str().ok());
        let key = key.unwrap_or_default().to_owned();
        asked.0.lock().unwrap().push((uri.to_string(), key));
        let found = answers
            .iter()
            .find(|(path, _)| uri.to_string().starts_with(path));
        found.map_or((StatusCode::NOT_FOUND, "{}"), |(_, body)| {
            (StatusCode::OK, *body)
        })
    };
    let router = Router::new().fallback(answer).with_state(asked.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, asked)
}

#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<(String, String)>>>);

/// Makes a connection to a solution provider, with a sender.
async fn place(app: &App, provider: &str, url: &str) -> String {
    let connection = json!({"name": provider, "provider": provider, "base_url": url,
        "api_key": "key", "webhook_auth": {"url_secret": "s"}});
    let connection = app.create("/v1/connections", connection).await;
    let sender = json!({"connection": connection["id"], "phone_number_id": "441200000001",
        "display_phone_number": "441200000001"});
    let sender = app.create("/v1/senders", sender).await;
    sender["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn dialog360_is_read_with_its_key() {
    let answers = &[
        (
            "/v1/configs/templates?limit=100&offset=0",
            r#"{"count": 1, "total": 2, "limit": 100, "offset": 0, "waba_templates": [
                {"id": "GVsEkeI2PIiARwVXQEDVWT", "name": "order_ready", "language": "en_GB",
                 "category": "UTILITY", "status": "approved", "rejected_reason": null}]}"#,
        ),
        (
            "/v1/configs/templates?limit=100&offset=1",
            r#"{"count": 1, "total": 2, "limit": 100, "offset": 1, "waba_templates": [
                {"id": "HVsEkeI2PIiARwVXQEDVWT", "name": "order_late", "language": "en_GB",
                 "category": "UTILITY", "status": "rejected", "rejected_reason": "SCAM"}]}"#,
        ),
        (
            "/health_status",
            r#"{"health_status": {"can_send_message": "BLOCKED", "entities": [
                {"entity_type": "WABA", "id": "102290129340398", "can_send_message": "BLOCKED",
                 "errors": [{"error_code": 141006, "error_description": "No payment method."}]}]},
                "id": "441200000001"}"#,
        ),
    ];
    let (url, asked) = documented(answers).await;
    let app = polling(SELDOM, PACE).await;
    let sender = place(&app, "dialog360", &url).await;
    let blocked = |sender: &Value| sender["status"] == "blocked";
    let path = format!("/v1/senders/{sender}");
    let shown = app.get_until(&path, blocked).await;
    assert_eq!(shown["status_reason"], "BLOCKED");
    assert_eq!(shown["waba_id"], "102290129340398");
    template_until(&app, "order_ready", "APPROVED").await;
    let rejected = template_until(&app, "order_late", "REJECTED").await;
    assert_eq!(rejected["reason"], "SCAM");
    let asked = asked.0.lock().unwrap().clone();
    assert!(asked.iter().all(|(_, key)| key == "key"), "{asked:?}");
}

#[tokio::test]
async fn infobip_is_read_with_its_key_and_in_metas_words() {
    let answers = &[
        (
            "/whatsapp/2/senders/441200000001/templates",
            r#"{"templates": [{"id": "734512", "businessAccountId": 40211, "name": "order_ready",
                "language": "en_GB", "status": "FIRST_PAUSED", "category": "UTILITY",
                "quality": "LOW"}]}"#,
        ),
        (
            "/whatsapp/1/senders/quality?senders=441200000001",
            r#"{"results": [{"sender": "441200000001", "qualityRating": "MEDIUM",
                "status": "CONNECTED", "currentLimit": "LIMIT_10K",
                "lastUpdated": "2026-02-18T08:12:26.422Z"}]}"#,
        ),
    ];
    let (url, asked) = documented(answers).await;
    let app = polling(SELDOM, PACE).await;
    let sender = place(&app, "infobip", &url).await;
    let known = |sender: &Value| sender["quality"] == "YELLOW";
    let shown = app.get_until(&format!("/v1/senders/{sender}"), known).await;
    assert_eq!(
        (&shown["limit"], &shown["state"]),
        (&json!("TIER_10K"), &json!("CONNECTED"))
    );
    let template = template_until(&app, "order_ready", "PAUSED").await;
    assert_eq!(template["pause"]["title"], "FIRST_PAUSE");
    assert_eq!(template["quality"], "RED");
    let asked = asked.0.lock().unwrap().clone();
    assert!(asked.iter().all(|(_, key)| key == "App key"), "{asked:?}");
}

#[tokio::test]
async fn a_list_that_is_refused_costs_no_other_and_proves_nothing() {
    // The first number is not at the provider any more.
    let answers = &[(
        "/whatsapp/2/senders/441200000002/templates",
        r#"{"templates": [{"id": "734512", "businessAccountId": 40211, "name": "order_ready",
            "language": "en_GB", "status": "PAUSED", "category": "UTILITY"}]}"#,
    )];
    let (url, _) = documented(answers).await;
    let app = polling(SELDOM, PACE).await;
    let sender = place(&app, "infobip", &url).await;
    let connection = app.get(&format!("/v1/senders/{sender}")).await["connection"].clone();
    let new = json!({"connection": connection, "phone_number_id": "441200000002"});
    app.create("/v1/senders", new).await;
    // One that nobody lists, as far as is known.
    let mut session = app.session().await;
    let known = json!({"messageTemplateId": "7", "messageTemplateName": "order_late",
        "messageTemplateLanguage": "en_GB", "timestamp": "2026-03-02T09:00:00.000+0000",
        "change": {"type": "TEMPLATE_STATUS_UPDATE", "newStatus": "APPROVED"}});
    let webhook = format!(
        "{}/webhooks/{}?secret=s",
        app.url,
        connection.as_str().unwrap()
    );
    let known = reqwest::Client::new().post(webhook).json(&known).send();
    assert_eq!(known.await.unwrap().status(), StatusCode::OK);
    for _ in 0..3 {
        app.clock.advance(Duration::from_secs(2));
        sqlx::query("UPDATE polls SET due_at = clock_timestamp(), read_at = NULL, error = NULL, failures = 0")
            .execute(&mut session)
            .await
            .unwrap();
        let read = "SELECT EXISTS (SELECT FROM polls
            WHERE about = 'templates' AND read_at IS NOT NULL AND error IS NULL)";
        let reading = async {
            while !sqlx::query_scalar::<_, bool>(read)
                .fetch_one(&mut session)
                .await
                .unwrap()
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, reading).await;
        assert!(in_time.is_ok(), "the templates were never read");
    }
    template_until(&app, "order_ready", "PAUSED").await;
    template_until(&app, "order_late", "APPROVED").await;
}

/// Takes the turn of the one connection, once nobody has it.
async fn turn(app: &App, length: Duration) -> Turn {
    let taken = async {
        loop {
            // The service, which does not poll, may forget them yet.
            app.store.plan_polls().await.unwrap();
            if let Some(turn) = app.store.take_turns(length, 1).await.unwrap().pop() {
                return turn;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, taken).await.unwrap()
}

#[tokio::test]
async fn a_turn_that_is_over_does_not_end_the_next() {
    let app = App::start().await;
    let slow = turn(&app, Duration::from_millis(50)).await;
    let next = turn(&app, Duration::from_secs(600)).await;
    assert!(!app.store.keep_turn(&slow).await.unwrap());
    assert!(app.store.take_poll(&slow).await.unwrap().is_none());
    app.store
        .end_turn(&slow, Duration::ZERO, true)
        .await
        .unwrap();
    assert!(app.store.keep_turn(&next).await.unwrap());
    assert!(app.store.take_poll(&next).await.unwrap().is_some());
}
