//! What came of a change at a provider is neither lost nor told wrongly: though the database fail
//! after it, its caller hang up, a second ask for the same at once, or a webhook come meanwhile.

use std::sync::Mutex;
use std::sync::mpsc::Sender;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::managed::{definition, start};
use crate::managed_calls::{Does, Scripted, connect, new, pending, post};
use crate::support::*;

/// A provider that tells of calls that change something, and answers each only when it is let.
async fn held(answer: fn(&str) -> Does) -> (Scripted, UnboundedReceiver<String>, Sender<()>) {
    let (said, heard) = tokio::sync::mpsc::unbounded_channel();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let script = move |_: usize, asked: &str| {
        if !asked.starts_with("GET") {
            said.send(asked.to_owned()).unwrap();
            tokio::task::block_in_place(|| wait.lock().unwrap().recv().unwrap());
        }
        answer(asked)
    };
    (Scripted::start(Box::new(script)).await, heard, go)
}

/// Acts of the audit on templates that nobody knows the end of, or that ended so.
fn acts(audit: &Value, status: &Value) -> usize {
    let acts = audit["data"].as_array().unwrap().iter();
    let is = |act: &&Value| {
        let action = act["action"].as_str().unwrap();
        action.contains("/v1/templates") && act["status"] == *status
    };
    acts.filter(is).count()
}

#[tokio::test]
async fn what_was_done_and_not_written_down_is_told_with_the_providers_answer() {
    let app = App::start().await;
    let provider = Scripted::start(Box::new(|_, _| Does::Answer(200, pending()))).await;
    let connection = connect(&app, &provider).await;
    let mut session = app.session().await;
    let broken = "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS
                  $$ BEGIN RAISE EXCEPTION 'no'; END $$;
                  CREATE TRIGGER broken BEFORE INSERT ON templates EXECUTE FUNCTION broken()";
    sqlx::raw_sql(broken).execute(&mut session).await.unwrap();
    let wanted = new(&connection, "order_ready");
    let (status, problem, _) = post(&app, &wanted, "k").await;
    assert_eq!(
        (status.as_u16(), &problem["code"]),
        (504, &json!("outcome_unknown")),
        "{problem:#}"
    );
    assert_eq!(problem["provider_error"]["body"], pending());
    sqlx::raw_sql("DROP TRIGGER broken ON templates")
        .execute(&mut session)
        .await
        .unwrap();
    let (status, problem, _) = post(&app, &wanted, "k").await;
    assert_eq!(
        (status.as_u16(), &problem["code"]),
        (504, &json!("outcome_unknown"))
    );
    assert_eq!(provider.asked().len(), 1, "it is not done again");
    let (status, made, replayed) = post(&app, &wanted, "another").await;
    assert_eq!((status, replayed), (StatusCode::CREATED, false), "{made:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_ran_out_is_nobody_elses() {
    let app = App::start().await;
    let (provider, mut heard, go) = held(|_| Does::Answer(200, pending())).await;
    let connection = connect(&app, &provider).await;
    let wanted = new(&connection, "order_ready");
    let request = app.request(Method::POST, "/v1/templates").json(&wanted);
    let asking = tokio::spawn(request.header("idempotency-key", "k").send());
    heard.recv().await.unwrap();
    // It takes longer than anybody thought.
    app.clock.advance(std::time::Duration::from_secs(3600));
    let (status, problem, _) = post(&app, &wanted, "k").await;
    assert_eq!(
        (status.as_u16(), &problem["code"]),
        (504, &json!("outcome_unknown")),
        "{problem:#}"
    );
    let (status, problem, _) = post(&app, &new(&connection, "other"), "k").await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::CONFLICT, &json!("idempotency_conflict"))
    );
    go.send(()).unwrap();
    let made = asking.await.unwrap().unwrap();
    assert_eq!(made.status(), StatusCode::CREATED);
    let made: Value = made.json().await.unwrap();
    let (status, again, replayed) = post(&app, &wanted, "k").await;
    assert_eq!((status, replayed), (StatusCode::CREATED, true));
    assert_eq!((again, provider.asked().len()), (made, 1));
}

#[tokio::test]
async fn who_waits_for_another_with_its_key_does_not_wait_for_ever() {
    let settings = |config: &mut twotick::config::Config| {
        config.manage.timeout = std::time::Duration::from_secs(3);
    };
    let app = App::start_with(settings, twotick::simulator::Config::default()).await;
    let flow = json!({"id": "7", "name": "Quote", "status": "DRAFT", "categories": ["OTHER"]});
    let script = move |n: usize, asked: &str| match (n, asked.starts_with("GET")) {
        (1..=3, _) => Does::Hang,
        (_, true) => Does::Answer(200, flow.clone()),
        (_, false) => Does::Answer(200, json!({"success": true})),
    };
    let provider = Scripted::start(Box::new(script)).await;
    let connection = connect(&app, &provider).await;
    let path = format!("/v1/flows/7?connection={connection}");
    let ask = || {
        let request = app.request(Method::PATCH, &path);
        let request = request.json(&json!({"name": "Quotes"}));
        request.header("idempotency-key", "k").send()
    };
    let first = tokio::spawn(ask());
    while provider.asked().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    // The first reads three times in vain; the second has less patience.
    let second = ask().await.unwrap();
    assert_eq!(second.status(), StatusCode::CONFLICT);
    assert!(second.headers().contains_key("retry-after"));
    let problem: Value = second.json().await.unwrap();
    assert_eq!(problem["code"], "under_way", "{problem:#}");
    // What was certainly not done leaves the key free.
    let first = first.await.unwrap().unwrap();
    assert_eq!(first.status(), StatusCode::BAD_GATEWAY);
    let third = ask().await.unwrap();
    assert_eq!(third.status(), StatusCode::OK);
    assert!(!third.headers().contains_key("idempotency-replayed"));
}

#[tokio::test]
async fn after_a_deletion_of_a_name_that_nobody_knows_the_end_of_it_is_read() {
    let app = App::start().await;
    let shown = json!({"id": "594425479261596", "name": "order_ready", "language": "en_GB",
        "status": "DISABLED", "category": "UTILITY"});
    let script = move |_: usize, asked: &str| {
        if asked.starts_with("GET") {
            return Does::Answer(200, shown.clone());
        }
        match asked.starts_with("POST") {
            true => Does::Answer(
                200,
                json!({"id": "594425479261596", "status": "APPROVED", "category": "UTILITY"}),
            ),
            false => Does::Answer(503, json!({"error": {"code": 2, "message": "Unavailable"}})),
        }
    };
    let provider = Scripted::start(Box::new(script)).await;
    let connection = connect(&app, &provider).await;
    let made = app
        .create("/v1/templates", new(&connection, "order_ready"))
        .await;
    let gone = format!("/v1/templates?connection={connection}&waba_id={WABA}&name=order_ready");
    let (status, problem) = app.send(Method::DELETE, &gone, Value::Null).await;
    assert_eq!(status.as_u16(), 504, "{problem:#}");
    let path = format!("/v1/templates/{}", made["id"].as_str().unwrap());
    app.get_until(&path, |it| it["status"] == "DISABLED").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_at_once_with_one_key_one_is_sent_and_both_get_its_answer() {
    let app = App::start().await;
    let (provider, mut heard, go) = held(|_| Does::Answer(200, pending())).await;
    let connection = connect(&app, &provider).await;
    let wanted = new(&connection, "order_ready");
    let both = async { tokio::join!(post(&app, &wanted, "k"), post(&app, &wanted, "k")) };
    let let_go = async {
        app.get_until("/v1/audit", |it| acts(it, &Value::Null) == 2)
            .await;
        heard.recv().await.unwrap();
        go.send(()).unwrap();
        go.send(()).unwrap();
    };
    let ((one, other), ()) = tokio::join!(both, let_go);
    assert_eq!(
        (one.0, other.0),
        (StatusCode::CREATED, StatusCode::CREATED),
        "{one:?} {other:?}"
    );
    assert_eq!(one.1, other.1);
    assert_ne!(one.2, other.2, "one of them is a repetition");
    assert_eq!(provider.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_begun_is_written_down_though_its_caller_hangs_up_and_the_service_stops() {
    let app = App::start().await;
    let (provider, mut heard, go) = held(|_| Does::Answer(200, pending())).await;
    let connection = connect(&app, &provider).await;
    let mut session = app.session().await;
    let request = app.request(Method::POST, "/v1/templates");
    let request = request.json(&new(&connection, "order_ready")).send();
    let asking = tokio::spawn(request);
    heard.recv().await.unwrap();
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    app.stop();
    go.send(()).unwrap();
    let ended = "SELECT count(*) FROM audit, templates
                 WHERE action = 'POST /v1/templates' AND audit.status = 201
                     AND templates.provider_template_id = '594425479261596'";
    for _ in 0..300 {
        let count: i64 = sqlx::query_scalar(ended)
            .fetch_one(&mut session)
            .await
            .unwrap();
        if count == 1 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("nobody wrote down what was done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_heard_while_a_deletion_is_under_way_is_newer_than_it() {
    let app = App::start().await;
    let (provider, mut heard, go) = held(|asked| match asked.starts_with("DELETE") {
        true => Does::Answer(200, json!({"success": true})),
        false => Does::Answer(200, pending()),
    })
    .await;
    let connection = connect(&app, &provider).await;
    go.send(()).unwrap();
    let made = app
        .create("/v1/templates", new(&connection, "order_ready"))
        .await;
    heard.recv().await.unwrap();
    let path = format!("/v1/templates/{}", made["id"].as_str().unwrap());
    let delete = app.request(Method::DELETE, &path).send();
    let deleting = tokio::spawn(delete);
    heard.recv().await.unwrap();
    let again = management_body(
        "message_template_status_update",
        app.clock.now().unix_timestamp() + 1,
        json!({
            "event": "APPROVED", "message_template_id": 594_425_479_261_597_i64,
            "message_template_name": "order_ready", "message_template_language": "en_GB",
            "message_template_category": "UTILITY", "reason": "NONE",
        }),
    );
    let bytes = serde_json::to_vec(&again).unwrap();
    let webhook = reqwest::Client::new()
        .post(format!("{}/webhooks/{connection}", app.url))
        .header("X-Hub-Signature-256", signature(SECRET, &bytes))
        .body(bytes)
        .send();
    assert_eq!(webhook.await.unwrap().status(), StatusCode::OK);
    go.send(()).unwrap();
    let deleted = deleting.await.unwrap().unwrap();
    assert_eq!(deleted.status(), StatusCode::OK);
    assert_eq!(app.get(&path).await["status"], "APPROVED");
}

#[tokio::test]
async fn after_an_edit_that_nobody_knows_the_end_of_the_template_is_read() {
    let app = App::start().await;
    let shown = json!({"id": "594425479261596", "name": "order_ready", "language": "en_GB",
        "status": "PENDING", "category": "UTILITY"});
    let script = move |n: usize, asked: &str| match (asked.starts_with("GET"), n) {
        (true, _) => Does::Answer(200, shown.clone()),
        (_, 1) => Does::Answer(
            200,
            json!({"id": "594425479261596", "status": "APPROVED", "category": "UTILITY"}),
        ),
        _ => Does::Answer(503, json!({"error": {"code": 2, "message": "Unavailable"}})),
    };
    let provider = Scripted::start(Box::new(script)).await;
    let connection = connect(&app, &provider).await;
    let made = app
        .create("/v1/templates", new(&connection, "order_ready"))
        .await;
    assert_eq!(made["sendable"], true);
    let path = format!("/v1/templates/{}", made["id"].as_str().unwrap());
    let change = json!({"components": definition("order_ready")["components"]});
    let (status, problem) = app.send(Method::PATCH, &path, change).await;
    assert_eq!(
        (status.as_u16(), &problem["code"]),
        (504, &json!("outcome_unknown"))
    );
    let read = app.get_until(&path, |it| it["status"] == "PENDING").await;
    assert_eq!(read["sendable"], false);
}

#[tokio::test]
async fn what_is_no_flow_is_neither_changed_nor_deleted_as_one() {
    let app = start(true).await;
    let mut wanted = definition("order_ready");
    wanted["connection"] = app.connection.clone().into();
    let made = app.create("/v1/templates", wanted).await;
    let id = made["provider_template_id"].as_str().unwrap();
    let at = |end: &str| format!("/v1/flows/{id}{end}?connection={}", app.connection);
    let flow = json!({"version": "5.0", "screens": [{"id": "WELCOME"}]});
    for (method, path, body) in [
        (Method::GET, at(""), Value::Null),
        (Method::DELETE, at(""), Value::Null),
        (Method::PATCH, at(""), json!({"name": "x"})),
        (Method::PUT, at("/json"), flow),
        (Method::POST, at("/publish"), json!({})),
        (Method::POST, at("/deprecate"), json!({})),
    ] {
        let (status, problem) = app.send(method.clone(), &path, body).await;
        assert_eq!(
            (status, &problem["code"]),
            (StatusCode::NOT_FOUND, &json!("not_found")),
            "{method} {path} {problem:#}"
        );
    }
    let template = format!("/v1/templates/{}?fresh=true", made["id"].as_str().unwrap());
    assert_eq!(app.get(&template).await["provider"]["id"], id);
}

#[tokio::test]
async fn a_flow_is_made_once_by_one_key() {
    let app = start(true).await;
    let wanted =
        json!({"connection": app.connection, "name": "Quote form", "categories": ["SURVEY"]});
    let ask = || {
        let request = app.request(Method::POST, "/v1/flows").json(&wanted);
        request.header("idempotency-key", "k").send()
    };
    let first = ask().await.unwrap();
    assert_eq!(first.status(), StatusCode::CREATED);
    let second = ask().await.unwrap();
    assert!(second.headers().contains_key("idempotency-replayed"));
    let (first, second): (Value, Value) =
        (first.json().await.unwrap(), second.json().await.unwrap());
    assert_eq!(first, second);
}

#[tokio::test]
async fn an_edit_does_not_rename() {
    let app = start(true).await;
    let mut wanted = definition("order_ready");
    wanted["connection"] = app.connection.clone().into();
    let made = app.create("/v1/templates", wanted).await;
    let path = format!("/v1/templates/{}", made["id"].as_str().unwrap());
    for field in ["name", "language"] {
        let (status, problem) = app
            .send(Method::PATCH, &path, json!({field: "other"}))
            .await;
        assert_eq!(
            (status, &problem["errors"][0]["field"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!(field))
        );
    }
}

/// A key of its own, and who asks with it.
async fn reader(app: &App) -> (String, reqwest::Client, String) {
    let new = json!({"name": "reader", "scopes": ["messages:read", "messages:write"]});
    let made = app.create("/v1/keys", new).await;
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), reqwest::Client::new(), text("secret"))
}

#[tokio::test]
async fn every_call_to_a_provider_is_in_the_audit_once_with_who_made_it_and_what_came_of_it() {
    let app = start(true).await;
    let mut new = definition("order_ready");
    new["connection"] = app.connection.clone().into();
    let made = app.create("/v1/templates", new).await;
    let path = format!("/v1/templates/{}", made["id"].as_str().unwrap());
    let (reader, client, key) = reader(&app).await;
    let ask = |method: Method, path: String| {
        let request = client.request(method, format!("{}{path}", app.url));
        request.bearer_auth(&key)
    };
    for _ in 0..3 {
        let read = ask(Method::GET, format!("{path}?fresh=true")).send();
        assert_eq!(read.await.unwrap().status(), StatusCode::OK);
    }
    let missing = format!("/v1/welcome_sequences/31337?connection={}", app.connection);
    let read = ask(Method::GET, missing).send().await.unwrap();
    assert_eq!(read.status(), StatusCode::NOT_FOUND);
    let upload = ask(Method::POST, format!("/v1/media?sender={}", app.sender));
    let upload = upload.header("content-type", "image/png").body("a picture");
    let kept = upload.send().await.unwrap();
    assert_eq!(kept.status(), StatusCode::CREATED);
    let kept: Value = kept.json().await.unwrap();

    let find = |page: &Value, by: &str, action: &str| -> Vec<Value> {
        let acts = page["data"].as_array().unwrap().iter();
        acts.filter(|act| act["by"] == by && act["action"] == action)
            .cloned()
            .collect()
    };
    let counted = |page: &Value| {
        let reads = find(page, &reader, "templates.read");
        let missing = find(page, &reader, "welcome.read");
        reads.first().is_some_and(|act| act["calls"] == 3) && !missing.is_empty()
    };
    let page = app.get_until("/v1/audit?limit=100", counted).await;
    let of = format!("{}: done", app.connection);
    let [read] = find(&page, &reader, "templates.read").try_into().unwrap();
    assert_eq!(
        (&read["status"], &read["detail"], &read["name"]),
        (&json!(200), &json!(of), &json!("reader"))
    );
    let [missing] = find(&page, &reader, "welcome.read").try_into().unwrap();
    let of = format!("{}: refused", app.connection);
    assert_eq!(
        (&missing["calls"], &missing["detail"]),
        (&json!(1), &json!(of))
    );
    assert!(missing["status"].as_i64().unwrap() >= 400, "{missing:#}");
    // What changed something is there as what was asked for, and no second time as a call.
    let [upload] = find(&page, &reader, "POST /v1/media").try_into().unwrap();
    assert_eq!(
        (&upload["status"], &upload["calls"]),
        (&json!(201), &Value::Null)
    );
    let detail = upload["detail"].as_str().unwrap();
    assert!(detail.contains(kept["id"].as_str().unwrap()), "{detail}");
    let acts = page["data"].as_array().unwrap();
    for operation in ["templates.create", "media.upload"] {
        assert!(
            acts.iter().all(|act| act["action"] != operation),
            "{page:#}"
        );
    }
}
