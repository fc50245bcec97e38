//! Messages through every provider, as the simulator plays them: in its dialect, with its proof,
//! and each sequence let go on by what that provider says of delivery.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use twotick::config::Config;
use twotick::simulator;

use crate::simulated::{Pair, connect, pairs};
use crate::support::*;

const USER: &str = "385910000001";
pub const DIGITS: &str = "441200000001";

/// A sender of each provider, whose webhooks come.
pub struct Carrier {
    pub provider: &'static str,
    pub sender: String,
}

impl Carrier {
    /// A step of a sequence that uses a template, as this provider needs it.
    fn step(&self, template: &str, marker: &str) -> Value {
        let mut step = template_step(template, marker);
        if self.provider == "dialog360_onprem" {
            step["template"]["namespace"] = "092819ec_f801_461b_b975_3a2d464f50a8".into();
        }
        step
    }

    pub fn lone(&self, template: &str, marker: &str) -> Value {
        let mut message = self.step(template, marker);
        message["sender"] = self.sender.clone().into();
        message["to"] = USER.into();
        message
    }

    fn correlates(&self) -> bool {
        self.provider != "dialog360_onprem"
    }
}

async fn start(access_token: Option<&str>) -> App {
    start_with(access_token, |_| {}).await
}

async fn start_with(access_token: Option<&str>, settings: impl FnOnce(&mut Config)) -> App {
    let simulated = simulator::Config {
        phone_number_id: DIGITS.to_owned(),
        access_token: access_token.map(str::to_owned),
        ..simulator::Config::default()
    };
    let all = |config: &mut Config| {
        config.send.rate_limit_wait = Duration::from_millis(50);
        settings(config);
    };
    App::start_with(all, simulated).await
}

pub async fn carrier(app: &App, pair: &Pair) -> Carrier {
    let connection = connect(app, pair).await;
    let mut new = json!({"connection": connection, "messages_per_second": 1000});
    if pair.provider != "dialog360_onprem" {
        new["phone_number_id"] = DIGITS.into();
    }
    let sender = app.create("/v1/senders", new).await["id"].clone();
    Carrier {
        provider: pair.provider,
        sender: sender.as_str().unwrap().to_owned(),
    }
}

/// Meta's, which every test's service has, with its number.
async fn metas(app: &App) -> Carrier {
    let url = format!("{}/webhooks/{}", app.url, app.connection);
    let target = json!({"url": url, "app_secret": SECRET});
    app.control_send(Method::PUT, "webhook", target).await;
    Carrier {
        provider: "meta",
        sender: app.register(DIGITS).await,
    }
}

/// What a provider was asked to send, in order.
async fn posts(app: &App, carrier: &Carrier) -> Vec<Value> {
    let posts = app.posts().await.into_iter();
    posts
        .filter(|post| post["provider"] == carrier.provider)
        .collect()
}

/// The marker of what was posted, in whichever vocabulary.
fn marker(post: &Value) -> &str {
    let body = &post["body"];
    let infobips = &body["content"]["templateData"]["body"]["placeholders"][0];
    let metas = &body["template"]["components"][0]["parameters"][0]["text"];
    infobips.as_str().or(metas.as_str()).unwrap()
}

pub async fn says(app: &App, id: &str, status: &str) {
    let path = format!("messages/{id}/status");
    app.control_send(Method::POST, &path, json!({"status": status}))
        .await;
}

pub fn status_is(status: &'static str) -> impl Fn(&Value) -> bool {
    move |shown| shown["status"] == status
}

#[tokio::test]
async fn a_sequence_goes_in_order_through_every_provider_by_its_own_reports() {
    let app = start(None).await;
    let mut carriers = vec![metas(&app).await];
    for pair in &pairs() {
        // Two connections of one provider would have one address for webhooks.
        if pair.query.is_empty() {
            carriers.push(carrier(&app, pair).await);
        }
    }
    for carrier in &carriers {
        let steps = [carrier.step("offer", "one"), carrier.step("offer", "two")];
        let new = json!({"sender": carrier.sender, "to": USER, "messages": steps});
        let (sequence, messages) = app.sequence(new).await;
        let path = format!("/v1/sequences/{sequence}");
        let first = app.accepted(&messages[0]).await;
        app.fence_of(&carrier.sender).await;
        let posted = posts(&app, carrier).await;
        let of_sequence = |posts: &[Value]| -> Vec<String> {
            let templates = posts
                .iter()
                .filter(|post| !post["body"].to_string().contains("fence"));
            templates.map(|post| marker(post).to_owned()).collect()
        };
        assert_eq!(of_sequence(&posted), ["one"], "{}", carrier.provider);
        says(&app, &first, "delivered").await;
        let second = app.accepted(&messages[1]).await;
        assert_eq!(of_sequence(&posts(&app, carrier).await), ["one", "two"]);
        says(&app, &second, "delivered").await;
        let done = app.get_until(&path, status_is("completed")).await;
        for message in done["messages"].as_array().unwrap() {
            assert_eq!(message["status"], "delivered", "{}", carrier.provider);
            assert_eq!(message["origin"], "ours");
        }
    }
    let undecoded = app.get("/v1/webhooks?state=undecoded").await;
    assert_eq!(undecoded["data"], json!([]));
}

#[tokio::test]
async fn a_lost_answer_is_settled_by_the_reports_that_bear_our_id_and_by_no_others() {
    // Nothing is repeated before the reports come, where a repeat is harmless.
    let slowly = |config: &mut Config| config.send.backoff = Duration::from_secs(3600);
    let app = start_with(None, slowly).await;
    let mut carriers = vec![metas(&app).await];
    for pair in &pairs()[..3] {
        carriers.push(carrier(&app, pair).await);
    }
    let lost = json!({"lost_answer": 1.0});
    app.control_send(Method::PUT, "faults", lost).await;
    for carrier in &carriers {
        let message = app
            .create("/v1/messages", carrier.lone("offer", "lost"))
            .await;
        let path = format!("/v1/messages/{}", message["id"].as_str().unwrap());
        app.get_until(&path, status_is("unknown")).await;
        let posted = posts(&app, carrier).await;
        let id = posted[0]["wamid"].as_str().unwrap();
        says(&app, id, "delivered").await;
        let found = format!("/v1/messages?provider_message_id={id}");
        let heard = |found: &Value| found["data"][0]["status"] == "delivered";
        let found = app.get_until(&found, heard).await;
        let origin = if carrier.correlates() {
            "ours"
        } else {
            "external"
        };
        assert_eq!(found["data"][0]["origin"], origin, "{}", carrier.provider);
        let settled = if carrier.correlates() {
            "delivered"
        } else {
            "unknown"
        };
        assert_eq!(
            app.get(&path).await["status"],
            settled,
            "{}",
            carrier.provider
        );
        assert_eq!(posts(&app, carrier).await.len(), 1, "not sent again");
    }
}

#[tokio::test]
async fn a_template_that_any_provider_pauses_waits_and_goes_when_it_is_unpaused() {
    let app = start(None).await;
    let mut carriers = vec![metas(&app).await];
    for pair in &pairs()[..3] {
        carriers.push(carrier(&app, pair).await);
    }
    let tell = async |carrier: &Carrier, method, what: &str| {
        let template = json!({"provider": carrier.provider, "language": "en_US"});
        let path = format!("templates/offer{what}");
        app.control_send(method, &path, template).await;
    };
    let mut waiting = Vec::new();
    for carrier in &carriers {
        tell(carrier, Method::PUT, "").await;
        tell(carrier, Method::POST, "/pause").await;
        let paused = |found: &Value| {
            let templates = found["data"].as_array().unwrap();
            templates
                .iter()
                .any(|template| template["sendable"] == false)
        };
        let list = format!("/v1/templates?name=offer&sender={}", carrier.sender);
        app.get_until(&list, paused).await;
        let message = carrier.lone("offer", "held");
        let message = app.create("/v1/messages", message).await;
        let path = format!("/v1/messages/{}", message["id"].as_str().unwrap());
        app.fence_of(&carrier.sender).await;
        let message = app.get(&path).await;
        let reason = &message["waiting"]["reason"];
        assert_eq!(reason, "template_paused", "{}", carrier.provider);
        waiting.push(message["id"].as_str().unwrap().to_owned());
    }
    // Providers tell the time to the second, and of one second a stop counts.
    let second = app.clock.now().unix_timestamp();
    while app.clock.now().unix_timestamp() == second {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for (carrier, message) in carriers.iter().zip(waiting) {
        tell(carrier, Method::POST, "/unpause").await;
        app.accepted(&message).await;
    }
}

#[tokio::test]
async fn a_key_that_any_provider_refuses_stops_its_connection_and_loses_nothing() {
    let app = start(Some("another")).await;
    for pair in &pairs()[..3] {
        let carrier = carrier(&app, pair).await;
        let message = app
            .create("/v1/messages", carrier.lone("offer", "one"))
            .await;
        let path = format!("/v1/messages/{}", message["id"].as_str().unwrap());
        let stopped = |message: &Value| message["waiting"]["reason"] == "connection_stopped";
        let message = app.get_until(&path, stopped).await;
        let connection = &app.get(&format!("/v1/senders/{}", carrier.sender)).await["connection"];
        let connection = format!("/v1/connections/{}", connection.as_str().unwrap());
        assert_eq!(message["attempts"], json!([]), "none was burned");
        let renewed = json!({"api_key": "another"});
        app.send(Method::PATCH, &connection, renewed).await;
        app.accepted(message["id"].as_str().unwrap()).await;
    }
}

#[tokio::test]
async fn what_infobip_refuses_for_now_is_repeated_under_its_id_and_a_repeat_that_it_had_is_no_failure()
 {
    let app = start(None).await;
    let infobip = carrier(&app, &pairs()[2]).await;
    let trouble = json!({"refuse_transient": 1.0});
    app.control_send(Method::PUT, "faults", trouble).await;
    let message = app
        .create("/v1/messages", infobip.lone("offer", "one"))
        .await;
    let id = message["id"].as_str().unwrap().to_owned();
    app.posts_until(2).await;
    app.control_send(Method::PUT, "faults", json!({})).await;
    app.accepted(&id).await;
    let posts = app.posts().await;
    assert!(
        posts
            .iter()
            .all(|post| post["callback"] == format!("{id}.1")),
        "{posts:#?}"
    );
    let message = app.get(&format!("/v1/messages/{id}")).await;
    assert_eq!(message["attempts"].as_array().unwrap().len(), 1);

    // Infobip has it already: what lies between had lost it all but once.
    let mut later = infobip.lone("offer", "two");
    later["at"] = "2099-01-01T00:00:00Z".into();
    let id = app.create("/v1/messages", later).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let body = json!({"messages": [{"from": DIGITS, "to": USER, "messageId": format!("{id}.1"),
        "content": {"templateName": "offer", "language": "en_US",
            "templateData": {"body": {"placeholders": ["two"]}}}}]});
    let direct = reqwest::Client::new()
        .post(format!("{}/whatsapp/1/message/template", app.simulator))
        .header("Authorization", "App key")
        .json(&body);
    assert!(direct.send().await.unwrap().status().is_success());
    app.clock.advance(Duration::from_secs(80 * 366 * 86_400));
    assert_eq!(app.accepted(&id).await, format!("{id}.1"));
    let refused = app.control("stats").await["refused"]["23"].clone();
    assert_eq!(refused, 1, "as a duplicate");
}

#[tokio::test]
async fn marketing_messages_go_over_their_own_api_and_the_price_says_whether_they_fell_back() {
    let app = start(None).await;
    for carrier in [metas(&app).await, carrier(&app, &pairs()[0]).await] {
        let mut message = carrier.lone("offer", "one");
        message["marketing"] =
            json!({"product_policy": "STRICT", "message_activity_sharing": true});
        let id = app.create("/v1/messages", message).await["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let provider_id = app.accepted(&id).await;
        let posted = posts(&app, &carrier).await.remove(0);
        assert_eq!(posted["body"]["product_policy"], "STRICT");
        assert_eq!(posted["body"]["message_activity_sharing"], true);
        says(&app, &provider_id, "delivered").await;
        app.get_until(&format!("/v1/messages/{id}"), status_is("delivered"))
            .await;
        let history = app.get(&format!("/v1/messages/{id}/history")).await;
        let delivered = history["data"].as_array().unwrap().last().unwrap();
        assert_eq!(delivered["data"]["pricing"]["category"], "marketing_lite");
    }
}

#[tokio::test]
async fn a_rate_limit_of_any_provider_waits_and_burns_no_attempt() {
    let app = start(None).await;
    let mut waiting = Vec::new();
    for pair in &pairs()[..3] {
        waiting.push(carrier(&app, pair).await);
    }
    let limit = json!({"rate_limited": 1.0});
    app.control_send(Method::PUT, "faults", limit).await;
    let mut messages = Vec::new();
    for carrier in &waiting {
        let message = app
            .create("/v1/messages", carrier.lone("offer", "one"))
            .await;
        let path = format!("/v1/messages/{}", message["id"].as_str().unwrap());
        app.get_until(&path, |message| {
            message["waiting"]["reason"] == "rate_limit"
        })
        .await;
        messages.push(message["id"].as_str().unwrap().to_owned());
    }
    app.control_send(Method::PUT, "faults", json!({})).await;
    for message in messages {
        app.accepted(&message).await;
        let message = app.get(&format!("/v1/messages/{message}")).await;
        assert_eq!(
            message["attempts"].as_array().unwrap().len(),
            1,
            "{message:#}"
        );
    }
}

#[tokio::test]
async fn what_turns_out_impossible_when_it_is_due_fails_and_stops_nothing_else() {
    let app = start(None).await;
    let infobip = carrier(&app, &pairs()[2]).await;
    let mut later = infobip.lone("offer", "one");
    later["at"] = "2099-01-01T00:00:00Z".into();
    let message = app.create("/v1/messages", later).await;
    // As an older version might have taken it.
    sqlx::query("UPDATE messages SET type = 'image', content = '{\"id\": \"1\"}'")
        .execute(&mut app.session().await)
        .await
        .unwrap();
    app.clock.advance(Duration::from_secs(80 * 366 * 86_400));
    let path = format!("/v1/messages/{}", message["id"].as_str().unwrap());
    let failed = app.get_until(&path, status_is("failed")).await;
    assert_eq!(failed["error"]["class"], "fix_request");
    let details = failed["error"]["details"].as_str().unwrap();
    assert!(details.starts_with("`image.id`: "), "{details}");
    app.fence_of(&infobip.sender).await;
}

#[tokio::test]
async fn a_campaign_goes_through_every_provider() {
    let app = start(None).await;
    let mut carriers = vec![metas(&app).await];
    for pair in pairs().iter().filter(|pair| pair.query.is_empty()) {
        carriers.push(carrier(&app, pair).await);
    }
    for carrier in &carriers {
        let message = carrier.step("offer", "{{name}}");
        let new = json!({"sender": carrier.sender, "name": "spring", "messages": [message]});
        let campaign = app.create("/v1/campaigns", new).await;
        let path = format!("/v1/campaigns/{}", campaign["id"].as_str().unwrap());
        let line = json!({"to": USER, "variables": {"name": carrier.provider}});
        let upload = app
            .request(Method::POST, &format!("{path}/recipients"))
            .header("Content-Type", "application/x-ndjson")
            .body(line.to_string());
        assert!(upload.send().await.unwrap().status().is_success());
        app.create(&format!("{path}/activate"), json!({})).await;
    }
    app.posts_until(carriers.len()).await;
    for carrier in &carriers {
        let posts = posts(&app, carrier).await;
        assert_eq!(posts.len(), 1, "{}", carrier.provider);
        assert_eq!(marker(&posts[0]), carrier.provider);
    }
}
