//! A newcomer is set up by one command, which may be run again; what keeps it from being so is said
//! with how to mend it. The real binary is run, as people run it.

use std::process::{Output, Stdio};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::Command;
use twotick::simulator::{self, Delays};

use crate::managed::definition;
use crate::support::*;

/// A provider that knows nothing of us, and a service that it can reach.
pub async fn newcomer() -> App {
    let simulated = simulator::Config {
        access_token: Some("token".to_owned()),
        app_secret: SECRET.to_owned(),
        phone_number_id: NUMBER.to_owned(),
        delays: Delays {
            template_review_ms: 20,
            ..Delays::default()
        },
        ..simulator::Config::default()
    };
    App::start_with(|_| {}, simulated).await
}

/// The command as it is run: the secrets are in its environment.
pub fn command(app: &App, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twotick"));
    command
        .args(arguments)
        .env("TWOTICK_URL", &app.url)
        .env("TWOTICK_API_KEY", &app.key)
        .env("PROVIDER_KEY", "token")
        .env("PROVIDER_APP_SECRET", SECRET)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn connect<'a>(app: &'a App, more: &[&'a str]) -> Command {
    let mut arguments = vec![
        "connect",
        "--name",
        "newcomer",
        "--base-url",
        &app.simulator,
    ];
    arguments.extend(more);
    command(app, &arguments)
}

/// The connection of that name.
async fn connected(app: &App) -> Vec<Value> {
    let all = app.get("/v1/connections").await;
    let all = all["data"].as_array().unwrap();
    let own = all.iter().filter(|it| it["name"] == "newcomer");
    own.cloned().collect()
}

#[tokio::test]
async fn a_newcomer_is_set_up_in_one_command_and_sees_a_template_webhook_arrive() {
    let app = newcomer().await;
    let running = connect(&app, &["--test-to", "+447700900123"])
        .spawn()
        .unwrap();
    // The message to the newcomer's own phone; its phone says that it came.
    let posts = app.posts_until(1).await;
    let wamid = posts[0]["wamid"].as_str().unwrap();
    let status = format!("messages/{wamid}/status");
    app.control_send(Method::POST, &status, json!({"status": "delivered"}))
        .await;
    let output = running.wait_with_output().await.unwrap();
    let first = said(&output);
    assert!(output.status.success(), "{first}");
    for line in [
        "ok    connection: con_",
        "ok    key: of app 660000000000001, does not expire",
        "ok    senders: 1 of account",
        "refuses what is not signed",
        "ok    webhooks: the app's come here: Meta asked the address, and was answered",
        "ok    webhooks: the app is told of account",
        "ok    templates: ",
        "ok    proof: a webhook came at ",
    ] {
        assert!(first.contains(line), "{line}: {first}");
    }
    assert!(!first.contains(SECRET), "{first}");

    let own = connected(&app).await;
    let [own] = own.as_slice() else {
        panic!("{own:#?}")
    };
    let mut new = definition("order_ready");
    new["connection"] = own["id"].clone();
    let made = app.create("/v1/templates", new).await;
    let template = format!("/v1/templates/{}", made["id"].as_str().unwrap());
    app.get_until(&template, |it| it["status"] == "APPROVED")
        .await;
    let id = own["id"].as_str().unwrap();
    let told = format!("/v1/events?connection={id}&type=template.*&limit=100");
    app.get_until(&told, |page| !page["data"].as_array().unwrap().is_empty())
        .await;

    let again = connect(&app, &[]).output().await.unwrap();
    assert!(again.status.success(), "{}", said(&again));
    let words = said(&again);
    assert!(words.contains("brought up to date"));
    assert!(
        words.contains("ok    proof: the last webhook came at "),
        "{words}"
    );
    assert_eq!(connected(&app).await.len(), 1);
    let senders = app.get(&format!("/v1/senders?connection={id}")).await;
    assert_eq!(senders["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_keeps_a_newcomer_from_being_set_up_is_said_with_how_to_mend_it() {
    let app = newcomer().await;
    // Secrets come by standard input, too; this one is not the provider's.
    let mut wrong = connect(&app, &["--secrets-from-stdin"]);
    let mut running = wrong.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = running.stdin.take().unwrap();
    let lines = b"PROVIDER_KEY=another\n";
    tokio::io::AsyncWriteExt::write_all(&mut input, lines)
        .await
        .unwrap();
    drop(input);
    let output = running.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(
        text.contains("fail  key: ") && text.contains("190"),
        "{text}"
    );
    assert!(text.contains("-> Meta does not take the token"), "{text}");

    let few = json!({"permissions": ["whatsapp_business_messaging"]});
    app.control_send(Method::PUT, "token", few).await;
    let output = connect(&app, &[]).output().await.unwrap();
    let text = said(&output);
    assert!(
        text.contains("fail  key: ") && text.contains("lacks whatsapp_business_management"),
        "{text}"
    );
    app.control_send(Method::PUT, "token", json!({})).await;

    // Meta asks an address where nobody answers.
    let elsewhere = ["--public-url", "http://127.0.0.1:9"];
    let output = connect(&app, &elsewhere).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(
        text.contains("warn  address: http://127.0.0.1:9/webhooks/con_"),
        "{text}"
    );
    assert!(
        text.contains("fail  webhooks: app: ") && text.contains("(#2200)"),
        "{text}"
    );
    assert!(
        text.contains("-> Meta asked the address whether it is ours"),
        "{text}"
    );

    // All is right, and nothing comes.
    let output = connect(&app, &["--wait", "1"]).output().await.unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("fail  proof: no webhook came to "), "{text}");
    let (status, _) = app.send(Method::GET, "/v1/connections", Value::Null).await;
    assert_eq!((status, connected(&app).await.len()), (StatusCode::OK, 1));
}

#[tokio::test]
async fn an_address_that_was_mistyped_is_mended_by_running_it_again() {
    let app = newcomer().await;
    // Nobody listens on a port that was just given back.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let wrong = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let arguments = ["connect", "--name", "newcomer", "--base-url", &wrong];
    let output = command(&app, &arguments).output().await.unwrap();
    assert!(!output.status.success());
    let words = said(&output);
    assert!(words.contains("says nothing of the key"), "{words}");

    // Its key goes there: who has it not may not send it elsewhere.
    let own = connected(&app).await.remove(0);
    let path = format!("/v1/connections/{}", own["id"].as_str().unwrap());
    let change = json!({"base_url": "https://elsewhere.example"});
    let (status, problem) = app.send(Method::PATCH, &path, change).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem["errors"][0]["field"], "base_url", "{problem:#}");

    let output = connect(&app, &["--wait", "0"]).output().await.unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let unproven = "warn  proof: no webhook was waited for";
    assert!(said(&output).contains(unproven), "{}", said(&output));
    assert_eq!(app.get(&path).await["base_url"], *app.simulator);
}

#[tokio::test]
async fn each_solution_provider_is_set_up_in_one_command_and_a_webhook_proves_it() {
    for (provider, level) in [
        ("dialog360", "number"),
        ("dialog360_onprem", "number"),
        ("infobip", "events"),
    ] {
        let app = newcomer().await;
        let arguments = ["connect", "--name", "newcomer", "--provider", provider];
        let where_and_what = ["--base-url", &app.simulator, "--number", NUMBER];
        let template = match provider {
            "dialog360_onprem" => "092819ec_f801/hello_world:en_US",
            _ => "hello_world:en_US",
        };
        let proving = ["--test-to", "+447700900123", "--test-template", template];
        let all = [&arguments[..], &where_and_what[..], &proving[..]].concat();
        let running = command(&app, &all).spawn().unwrap();
        let posts = app.posts_until(1).await;
        let id = posts[0]["wamid"].as_str().unwrap();
        let status = format!("messages/{id}/status");
        app.control_send(Method::POST, &status, json!({"status": "delivered"}))
            .await;
        let output = running.wait_with_output().await.unwrap();
        let text = said(&output);
        assert!(output.status.success(), "{provider}: {text}");
        let told = format!("ok    webhooks: those of the {level} come here");
        for line in [told.as_str(), "ok    proof: a webhook came at "] {
            assert!(text.contains(line), "{provider}: {line}: {text}");
        }
        let mut again = command(&app, &[&arguments[..], &where_and_what[..]].concat());
        let again = again.output().await.unwrap();
        assert!(again.status.success(), "{provider}: {}", said(&again));
        let own = connected(&app).await;
        let [own] = own.as_slice() else {
            panic!("{own:#?}")
        };
        let of = format!("/v1/senders?connection={}", own["id"].as_str().unwrap());
        assert_eq!(app.get(&of).await["data"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn an_override_leaves_the_apps_callback_url_and_says_what_it_does_not_see() {
    let app = newcomer().await;
    let output = connect(&app, &["--override", "--wait", "0"]).output().await;
    let text = said(&output.unwrap());
    assert!(
        text.contains("ok    webhooks: messages of account "),
        "{text}"
    );
    let blind = ["fail  webhooks: app 660000000000001 ", "templates"];
    assert!(blind.iter().all(|word| text.contains(word)), "{text}");
    let own = connected(&app).await.remove(0);
    let path = format!(
        "/v1/connections/{}/webhook_subscriptions",
        own["id"].as_str().unwrap()
    );
    let all = app.get(&path).await;
    let url = |level: &str| {
        let all = all["data"].as_array().unwrap();
        let one = all.iter().find(|it| it["level"] == level).unwrap();
        (one["callback_url"].clone(), one["is_ours"].clone())
    };
    assert_eq!(url("account").1, true, "{all:#}");
    assert_eq!(url("app").1, false, "{all:#}");
}

#[tokio::test]
async fn an_app_secret_that_is_not_the_apps_is_never_stored() {
    let app = newcomer().await;
    let mut wrong = connect(&app, &[]);
    wrong.env("PROVIDER_APP_SECRET", "another");
    let output = wrong.output().await.unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("fail  app secret: Meta does not take it"),
        "{text}"
    );
    assert!(!text.contains("another"), "{text}");
    assert!(connected(&app).await.is_empty());

    let output = connect(&app, &["--wait", "0"]).output().await.unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(!wrong.output().await.unwrap().status.success());
    // The good one is still there: it is what the app's own webhooks are read with.
    let own = connected(&app).await.remove(0);
    let level = "webhook_subscriptions/app";
    let path = format!("/v1/connections/{}/{level}", own["id"].as_str().unwrap());
    let (status, answer) = app.send(Method::GET, &path, Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{answer:#}");
}

#[tokio::test]
async fn a_number_that_the_account_has_not_makes_no_sender() {
    let app = newcomer().await;
    let output = connect(&app, &["--number", "999", "--wait", "0"])
        .output()
        .await
        .unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("fail  sender: 999: "), "{text}");
    let own = connected(&app).await.remove(0);
    let of = format!("/v1/senders?connection={}", own["id"].as_str().unwrap());
    let senders = app.get(&of).await;
    let ids = senders["data"].as_array().unwrap().iter();
    let ids: Vec<_> = ids.map(|it| it["phone_number_id"].clone()).collect();
    assert_eq!(ids, [json!(NUMBER)]);

    let output = connect(&app, &["--waba-id", "999"]).output().await.unwrap();
    let text = said(&output);
    assert!(text.contains("-> this key sees no such thing"), "{text}");
}

#[tokio::test]
async fn another_app_secret_does_not_drop_those_that_webhooks_are_signed_with() {
    let app = newcomer().await;
    let output = connect(&app, &["--wait", "0"]).output().await.unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let own = connected(&app).await.remove(0);
    let path = format!("/v1/connections/{}", own["id"].as_str().unwrap());
    let added = json!({"add_app_secret": "a newer secret"});
    let (status, answer) = app.send(Method::PATCH, &path, added).await;
    assert_eq!(status, StatusCode::OK, "{answer:#}");
    let url = format!("{}/webhooks/{}", app.url, own["id"].as_str().unwrap());
    for secret in [SECRET, "a newer secret"] {
        let bytes = serde_json::to_vec(&body(&[])).unwrap();
        let webhook = reqwest::Client::new().post(&url);
        let webhook = webhook.header("X-Hub-Signature-256", signature(secret, &bytes));
        let status = webhook.body(bytes).send().await.unwrap().status();
        assert_eq!(status, StatusCode::OK, "{secret}");
    }
}
