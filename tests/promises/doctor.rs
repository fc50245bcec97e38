//! `twotick doctor` finds what is wrong and says how to mend it. The real binary is run.

use std::process::Output;

use reqwest::Method;
use serde_json::{Value, json};

use crate::connecting::{command, newcomer, said};
use crate::support::*;

async fn doctor(app: &App, more: &[&str]) -> Output {
    let mut arguments = vec!["doctor", "--connection", &app.connection];
    arguments.extend(more);
    let mut command = command(app, &arguments);
    app.with_database(&mut command);
    command.output().await.unwrap()
}

/// The checks by their names, of who wants JSON.
async fn checks(app: &App) -> (bool, Vec<Value>) {
    let output = doctor(app, &["--json"]).await;
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let is_ok = answer["ok"] == true;
    assert_eq!(output.status.success(), is_ok, "{}", said(&output));
    (is_ok, answer["checks"].as_array().unwrap().clone())
}

fn result<'a>(checks: &'a [Value], name: &str) -> &'a Value {
    let is = |check: &&Value| check["check"].as_str().unwrap().starts_with(name);
    let found = checks.iter().find(is);
    found.unwrap_or_else(|| panic!("no check {name}: {checks:#?}"))
}

#[tokio::test]
async fn what_is_wrong_is_found_and_said_with_its_remedy() {
    let app = newcomer().await;
    // Nobody has told Meta where to post, and nothing ever came.
    let output = doctor(&app, &[]).await;
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    for line in [
        "ok    database: Postgres ",
        "ok    migrations: all are applied",
        "ok    clock: ",
        "ok    sealing key: is the one",
        "ok    key of shop: is good: for good",
        "fail  webhooks of shop: app 660000000000001 not_subscribed: ",
        "-> PUT …/webhook_subscriptions/app (twotick connect)",
        "warn  last webhook of shop: none ever came",
        "ok    senders of shop: 1 of 1 are well",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains(SECRET) && !text.contains(&app.key), "{text}");

    let connection = format!("/v1/connections/{}", app.connection);
    for level in ["app", "account"] {
        let path = format!("{connection}/webhook_subscriptions/{level}");
        let (status, answer) = app.send(Method::PUT, &path, json!({})).await;
        assert!(status.is_success(), "{answer:#}");
    }
    app.say(&[]).await;
    let (is_ok, found) = checks(&app).await;
    assert!(is_ok, "{found:#?}");
    assert_eq!(result(&found, "webhooks of shop")["result"], "ok");
    assert_eq!(result(&found, "last webhook")["result"], "ok");
    // Over http: no provider would post to it.
    assert_eq!(result(&found, "address")["result"], "warn");

    // A key that may not manage, and is good for a day more; a webhook that nobody understands.
    let soon = app.clock.now().unix_timestamp() + 86_400;
    app.control_send(Method::PUT, "token", json!({"expires_at": soon}))
        .await;
    assert_eq!(app.webhook(&json!({"object": 7})).await, 200);
    let (is_ok, found) = checks(&app).await;
    assert!(is_ok, "{found:#?}");
    assert_eq!(result(&found, "key of shop")["result"], "warn");
    assert_eq!(result(&found, "undecoded of shop")["result"], "warn");
    let few = json!({"permissions": ["whatsapp_business_messaging"]});
    app.control_send(Method::PUT, "token", few).await;
    let (is_ok, found) = checks(&app).await;
    assert!(!is_ok);
    let key = result(&found, "key of shop");
    assert_eq!(key["detail"], "it lacks whatsapp_business_management");

    app.send(
        Method::PATCH,
        &connection,
        json!({"access_token": "another"}),
    )
    .await;
    let (_, found) = checks(&app).await;
    assert!(
        result(&found, "key of shop")["detail"]
            .as_str()
            .unwrap()
            .contains("190")
    );
    assert_eq!(result(&found, "webhooks of shop")["result"], "fail");
}

#[tokio::test]
async fn a_database_that_is_not_ours_and_a_service_that_is_not_there_are_found() {
    let app = newcomer().await;
    let mut command = command(&app, &["doctor", "--json"]);
    app.with_database(&mut command);
    // Another key, and nobody listens.
    let key = data_encoding::BASE64.encode(&[7; 32]);
    let output = command
        .env("TWOTICK_SEALING_KEY", key)
        .env("TWOTICK_URL", "http://127.0.0.1:9")
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = answer["checks"].as_array().unwrap();
    for name in ["sealing key", "service"] {
        let check = result(found, name);
        assert_eq!(check["result"], "fail");
        assert!(check["remedy"].is_string());
    }
    assert_eq!(result(found, "database")["result"], "ok");
}

#[tokio::test]
async fn a_schema_that_is_not_this_versions_and_a_database_that_is_away_are_found() {
    let app = newcomer().await;
    let mut session = app.session().await;
    for (change, result_of, says) in [
        (
            "UPDATE _sqlx_migrations SET version = version + 1
             WHERE version = (SELECT max(version) FROM _sqlx_migrations)",
            "fail",
            "this binary is older",
        ),
        (
            "DELETE FROM _sqlx_migrations
             WHERE version = (SELECT max(version) FROM _sqlx_migrations)",
            "warn",
            "`twotick serve` applies them",
        ),
    ] {
        sqlx::query(change).execute(&mut session).await.unwrap();
        let (_, found) = checks(&app).await;
        let check = result(&found, "migrations");
        assert_eq!(check["result"], result_of);
        assert!(check["remedy"].as_str().unwrap().contains(says), "{check}");
    }
    let mut command = command(&app, &["doctor", "--json"]);
    let output = command
        .env("DATABASE_URL", "postgres://nobody@127.0.0.1:9/nowhere")
        .env(
            "TWOTICK_SEALING_KEY",
            data_encoding::BASE64.encode(&[7; 32]),
        )
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let check = result(answer["checks"].as_array().unwrap(), "database");
    assert_eq!(check["result"], "fail");
    assert!(check["remedy"].is_string(), "{check}");
}
