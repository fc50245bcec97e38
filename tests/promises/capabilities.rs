//! The matrix of what can be managed where is kept: each of its rows is asked for through our API,
//! and by its command, at every provider. Where the matrix has a call, that one is made, and it is
//! answered; where it has none the answer is 501 and nothing is sent.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::connecting::{command, said};
use crate::managed::{Account, accounts, connected, definition, managed, start};
use crate::media;
use crate::simulated::{connect, pairs};
use crate::support::*;

/// A request of ours, and how it is answered where the provider can.
struct Asked {
    method: Method,
    path: String,
    body: Value,
    /// In place of a body that is JSON.
    picture: Option<Vec<u8>>,
    status: u16,
}

impl Asked {
    async fn send(&self, app: &App) -> (StatusCode, Value) {
        let request = app.request(self.method.clone(), &self.path);
        let request = match &self.picture {
            Some(picture) => request
                .header("content-type", "image/png")
                .body(picture.clone()),
            None if self.body.is_null() => request,
            None => request.json(&self.body),
        };
        let response = request.send().await.unwrap();
        (response.status(), response.json().await.unwrap_or_default())
    }

    /// The same as a command: what its path names, then its options.
    fn arguments(&self, row: &Value, file: &str) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut arguments = vec!["manage".to_owned(), text(&row["operation"])];
        let is_said = |name: &str| row["with"].get(name).is_some();
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let api = text(&row["api"][0]);
        for (template, given) in api.split('/').zip(format!(" {path}").split('/')) {
            let name = template
                .strip_prefix('{')
                .and_then(|it| it.strip_suffix('}'));
            if name.is_some_and(|name| !is_said(name)) {
                arguments.push(given.to_owned());
            }
        }
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            if !is_said(name) {
                arguments.extend([format!("--{}", name.replace('_', "-")), value.to_owned()]);
            }
        }
        let mut body = self.body.clone();
        if let Some(members) = body.as_object_mut() {
            members.retain(|name, _| !is_said(name));
        }
        if let Some(picture) = &self.picture {
            std::fs::write(file, picture).unwrap();
            arguments.extend(["--file".to_owned(), file.to_owned()]);
        } else if body.as_object().is_some_and(|members| !members.is_empty()) {
            arguments.extend(["--data".to_owned(), body.to_string()]);
        }
        arguments
    }
}

/// Who asks for each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Api,
    Command,
}

/// How many calls the simulator has had.
async fn called(app: &App) -> u64 {
    app.control("calls").await["count"].as_u64().unwrap()
}

/// Whether a call is one that the matrix names, whose path has names in braces.
fn is_call(call: &Value, method: &str, pattern: &str) -> bool {
    let path = call["path"].as_str().unwrap().trim_start_matches('/');
    let is = |(wanted, part): (&str, &str)| match wanted.split_once('{') {
        None => wanted == part,
        Some((before, _)) => part.starts_with(before) && part.len() > before.len(),
    };
    call["method"] == method
        && pattern.split('/').count() == path.split('/').count()
        && pattern.split('/').zip(path.split('/')).all(is)
}

fn ask(method: Method, path: String, body: Value, status: u16) -> Asked {
    Asked {
        method,
        path,
        body,
        picture: None,
        status,
    }
}

/// An approved template, made for one row.
async fn template(app: &App, account: &Account, name: &str) -> String {
    let mut new = definition(name);
    new["connection"] = account.connection.clone().into();
    let made = app.create("/v1/templates", new).await;
    let path = format!("/v1/templates/{}", made["id"].as_str().unwrap());
    app.get_until(&path, |it| it["status"] == "APPROVED").await;
    path
}

/// What asks for a row of the matrix. A row that is not here fails the test.
async fn asked(app: &App, account: &Account, operation: &str) -> Asked {
    let connection = &account.connection;
    let name = operation.replace('.', "_");
    match operation {
        "templates.list" => {
            let body = json!({"connection": connection});
            ask(Method::POST, "/v1/templates/sync".into(), body, 200)
        }
        "templates.list_v1" => {
            let body = json!({"connection": connection, "deprecated_v1": true});
            ask(Method::POST, "/v1/templates/sync".into(), body, 200)
        }
        "templates.create" => {
            let mut body = definition(&name);
            body["connection"] = connection.clone().into();
            ask(Method::POST, "/v1/templates".into(), body, 201)
        }
        "templates.create_v1" => {
            let mut body = definition(&name);
            body["connection"] = connection.clone().into();
            body["category"] = "ALERT_UPDATE".into();
            body["deprecated_v1"] = true.into();
            ask(Method::POST, "/v1/templates".into(), body, 201)
        }
        "templates.read" => {
            let path = template(app, account, &name).await;
            ask(Method::GET, format!("{path}?fresh=true"), Value::Null, 200)
        }
        "templates.edit" => {
            let path = template(app, account, &name).await;
            let body = json!({"components": definition(&name)["components"]});
            ask(Method::PATCH, path, body, 200)
        }
        "templates.delete" => {
            let path = template(app, account, &name).await;
            ask(Method::DELETE, path, Value::Null, 200)
        }
        "templates.delete_name" => {
            template(app, account, &name).await;
            let path = format!("/v1/templates?connection={connection}&name={name}");
            ask(Method::DELETE, path, Value::Null, 200)
        }
        "templates.unpause" => {
            let path = template(app, account, &name).await;
            let pause = format!("templates/{name}/pause");
            let of = json!({"provider": account.provider});
            app.control_send(Method::POST, &pause, of).await;
            app.get_until(&path, |it| it["status"] == "PAUSED").await;
            ask(Method::POST, format!("{path}/unpause"), json!({}), 200)
        }
        other if other.starts_with("media.") => media_asked(app, account, other).await,
        other if other.starts_with("senders.") => senders_asked(app, account, other).await,
        other if other.starts_with("welcome.") => welcome_asked(app, account, other).await,
        name if name.starts_with("flows.") => flows_asked(app, account, name).await,
        other => webhooks_asked(app, account, other).await,
    }
}

async fn welcome_asked(app: &App, account: &Account, operation: &str) -> Asked {
    let of = format!("?connection={}", account.connection);
    let all = "/v1/welcome_sequences";
    let new = json!({"connection": account.connection, "name": operation,
        "sequence": {"text": "Hi"}});
    let one = match account.provider {
        "meta" => {
            let made = app.create(all, new.clone()).await;
            format!("{all}/{}{of}", made["id"].as_str().unwrap())
        }
        _ => format!("{all}/7{of}"),
    };
    match operation {
        "welcome.list" => ask(Method::GET, format!("{all}{of}"), Value::Null, 200),
        "welcome.read" => ask(Method::GET, one, Value::Null, 200),
        "welcome.create" => ask(Method::POST, all.into(), new, 201),
        "welcome.update" => ask(Method::PATCH, one, json!({"name": "x"}), 200),
        "welcome.delete" => ask(Method::DELETE, one, Value::Null, 200),
        other => panic!("nobody asks for {other}"),
    }
}

/// The account's sender.
async fn sender(app: &App, account: &Account) -> String {
    let path = format!("/v1/senders?connection={}&limit=1", account.connection);
    let found = app.get(&path).await;
    format!("/v1/senders/{}", found["data"][0]["id"].as_str().unwrap())
}

/// Puts a picture there: Infobip takes an address.
fn logo(account: &Account, sender: &str) -> Asked {
    let address = json!({"url": "https://alder.example/logo.png"});
    let picture = (account.provider != "infobip").then(|| crate::logos::png(640));
    Asked {
        picture,
        ..ask(Method::PUT, format!("{sender}/logo"), address, 200)
    }
}

async fn senders_asked(app: &App, account: &Account, operation: &str) -> Asked {
    let path = sender(app, account).await;
    let get = |path: String| ask(Method::GET, path, Value::Null, 200);
    let post = |path: String, body: Value| ask(Method::POST, path, body, 200);
    let number = |last: &str| {
        json!({"connection": account.connection, "waba_id": WABA, "country_code": "44",
            "phone_number": format!("77963441{last}"), "display_name": "Shop 8"})
    };
    // A number whose code is under way, where there can be one.
    let added = async |last: &str| {
        if account.provider.starts_with("dialog360") {
            return path.clone();
        }
        let made = app.create("/v1/senders/registrations", number(last)).await;
        let added = format!("/v1/senders/{}", made["sender"]["id"].as_str().unwrap());
        let code = format!("{added}/code");
        app.send(Method::POST, &code, json!({})).await;
        added
    };
    match operation {
        "senders.list" => {
            let body = json!({"connection": account.connection});
            post("/v1/senders/sync".into(), body)
        }
        "senders.read" => get(format!("{path}?fresh=true")),
        "senders.profile" | "senders.about" => get(format!("{path}/profile")),
        "senders.update_profile" => {
            let body = json!({"vertical": "RETAIL"});
            ask(Method::PATCH, format!("{path}/profile"), body, 200)
        }
        "senders.update_about" => {
            let body = json!({"about": "Boilers"});
            ask(Method::PATCH, format!("{path}/profile"), body, 200)
        }
        "senders.begin_upload" | "senders.upload" | "senders.set_logo" => logo(account, &path),
        "senders.logo" => {
            let (status, answer) = logo(account, &path).send(app).await;
            assert_eq!(status, StatusCode::OK, "{answer:#}");
            get(format!("{path}/logo"))
        }
        "senders.add" => ask(
            Method::POST,
            "/v1/senders/registrations".into(),
            number("01"),
            201,
        ),
        "senders.request_code" => post(format!("{}/code", added("02").await), json!({})),
        "senders.verify" => {
            let body = json!({"code": crate::senders::CODE});
            post(format!("{}/verify", added("03").await), body)
        }
        "senders.register" => {
            let off = format!("{path}/deregister");
            app.send(Method::POST, &off, json!({})).await;
            post(format!("{path}/register"), json!({"pin": "318204"}))
        }
        "senders.deregister" => post(format!("{path}/deregister"), json!({})),
        "senders.set_pin" => {
            let body = json!({"pin": "318204"});
            ask(Method::PUT, format!("{path}/pin"), body, 200)
        }
        other => panic!("nobody asks for {other}"),
    }
}

/// What a flow's JSON is at least.
fn flow_json() -> Value {
    json!({"version": "5.0", "screens": [{"id": "WELCOME"}]})
}

/// A flow with a JSON, made for one row; its address. Where there are none, that of none.
async fn flow(app: &App, account: &Account, name: &str) -> (String, String) {
    let of = format!("?connection={}", account.connection);
    if account.provider.starts_with("dialog360") {
        return ("/v1/flows/7".to_owned(), of);
    }
    let new = json!({"connection": account.connection, "name": name, "categories": ["SURVEY"]});
    let made = app.create("/v1/flows", new).await;
    let path = format!("/v1/flows/{}", made["id"].as_str().unwrap());
    let json = format!("{path}/json{of}");
    let (status, answer) = app.send(Method::PUT, &json, flow_json()).await;
    assert_eq!(
        (status, &answer["valid"]),
        (StatusCode::OK, &json!(true)),
        "{answer:#}"
    );
    (path, of)
}

async fn flows_asked(app: &App, account: &Account, operation: &str) -> Asked {
    let connection = &account.connection;
    let name = operation.replace('.', "_");
    let get = |path: String| ask(Method::GET, path, Value::Null, 200);
    if operation == "flows.list" {
        return get(format!("/v1/flows?connection={connection}"));
    }
    if operation == "flows.create" {
        let body = json!({"connection": connection, "name": name, "categories": ["SURVEY"]});
        return ask(Method::POST, "/v1/flows".into(), body, 201);
    }
    let (path, of) = flow(app, account, &name).await;
    match operation {
        "flows.read" => get(format!("{path}{of}")),
        "flows.update" => ask(
            Method::PATCH,
            format!("{path}{of}"),
            json!({"name": "x"}),
            200,
        ),
        "flows.delete" => ask(Method::DELETE, format!("{path}{of}"), Value::Null, 200),
        "flows.publish" => ask(Method::POST, format!("{path}/publish{of}"), json!({}), 200),
        "flows.deprecate" => {
            let publish = format!("{path}/publish{of}");
            app.send(Method::POST, &publish, json!({})).await;
            ask(
                Method::POST,
                format!("{path}/deprecate{of}"),
                json!({}),
                200,
            )
        }
        "flows.json" => get(format!("{path}/json{of}")),
        "flows.upload" => ask(Method::PUT, format!("{path}/json{of}"), flow_json(), 200),
        "flows.preview" => get(format!("{path}/preview{of}")),
        other => panic!("nobody asks for {other}"),
    }
}

/// Infobip's subscription as it has to be for a row: made, or not there yet. Whose it is.
async fn subscription(app: &App, account: &Account, operation: &str) -> String {
    let connection = account.connection.clone();
    let path = |of: &str| format!("/v1/connections/{of}/webhook_subscriptions/events");
    match operation {
        _ if account.provider != "infobip" => {}
        "webhooks.create_events" => {
            app.send(Method::DELETE, &path(&connection), Value::Null)
                .await;
        }
        // Somebody made it, and nothing that proves it.
        "webhooks.create_security" => {
            let other = connect(app, &pairs()[2]).await;
            let at = format!("/v1/connections/{other}");
            app.send(Method::PATCH, &at, json!({"api_key": "token"}))
                .await;
            let own = format!("twotick-{other}");
            let profile = json!({"profileId": own, "webhook": {"notifyUrl": "https://a.example"}});
            let made = json!({"subscriptionId": own, "name": "twotick", "events": ["SEEN"],
                "profile": profile});
            let url = format!("{}/subscriptions/1/subscription/WHATSAPP", app.simulator);
            let request = reqwest::Client::new().post(url).json(&made);
            let request = request.header("authorization", "App token");
            assert!(request.send().await.unwrap().status().is_success());
            return other;
        }
        _ => {
            let (status, said) = app.send(Method::PUT, &path(&connection), json!({})).await;
            assert_eq!(status, StatusCode::OK, "{said:#}");
        }
    }
    connection
}

/// Where webhooks go is read, then set, then removed.
async fn webhooks_asked(app: &App, account: &Account, operation: &str) -> Asked {
    let connection = match operation {
        "connections.token" => account.connection.clone(),
        _ => subscription(app, account, operation).await,
    };
    let connection = format!("/v1/connections/{connection}");
    let get = |path: String| ask(Method::GET, path, Value::Null, 200);
    if operation == "connections.token" {
        return get(format!("{connection}/token"));
    }
    let (verb, level) = operation
        .strip_prefix("webhooks.")
        .and_then(|rest| rest.split_once('_'))
        .unwrap_or_else(|| panic!("nobody asks for {operation}"));
    let level = match level {
        "profile" | "security" => "events",
        level => level,
    };
    let path = format!("{connection}/webhook_subscriptions/{level}");
    let of_number = level == "number" && account.provider == "meta";
    match verb {
        "read" => get(path),
        "set" | "create" | "update" => {
            let body = match level {
                "number" if of_number => json!({"phone_number_id": NUMBER}),
                "partner" => {
                    // What comes by it brings no headers.
                    let proved = json!({"webhook_auth": {"url_secret": "s3cret"}});
                    if account.provider.starts_with("dialog360") {
                        app.send(Method::PATCH, &connection, proved).await;
                    }
                    json!({"partner": {"id": "9Mg0AiPA", "api_key": "token"}})
                }
                _ => json!({}),
            };
            ask(Method::PUT, path, body, 200)
        }
        "remove" => {
            let of = match of_number {
                true => format!("?phone_number_id={NUMBER}"),
                false => String::new(),
            };
            ask(Method::DELETE, format!("{path}{of}"), Value::Null, 200)
        }
        _ => panic!("nobody asks for {operation}"),
    }
}

async fn media_asked(app: &App, account: &Account, operation: &str) -> Asked {
    let of = media::of(account);
    let upload = |path: &str| Asked {
        picture: Some(b"a picture".to_vec()),
        ..ask(Method::POST, format!("{path}{of}"), Value::Null, 201)
    };
    match operation {
        "media.upload" => upload("/v1/media"),
        "media.sample" | "media.sample_send" => upload("/v1/media/samples"),
        // How much came is asked for where it broke off.
        "media.sample_ask" => {
            if account.provider == "meta" {
                app.control_send(Method::PUT, "uploads", json!({"times": 1}))
                    .await;
            }
            let sample = upload("/v1/media/samples");
            Asked {
                path: format!("{}&app_id=660000000000001", sample.path),
                ..sample
            }
        }
        other => {
            let id = media::sent_by_user(app, account.provider).await;
            let path = format!("/v1/media/{id}");
            match other {
                "media.read" => ask(Method::GET, format!("{path}{of}"), Value::Null, 200),
                "media.download" => {
                    ask(Method::GET, format!("{path}/content{of}"), Value::Null, 200)
                }
                "media.delete" => ask(Method::DELETE, format!("{path}{of}"), Value::Null, 200),
                other => panic!("nobody asks for {other}"),
            }
        }
    }
}

#[tokio::test]
async fn every_row_of_the_matrix_is_asked_for_through_the_api() {
    let app = start(true).await;
    let accounts = accounts(&app).await;
    walk(&app, accounts, By::Api).await;
}

#[tokio::test]
async fn every_row_is_asked_for_in_front_of_the_on_premises_api_too() {
    for by in [By::Api, By::Command] {
        let app = start(true).await;
        let account = on_premises(&app).await;
        walk(&app, vec![account], by).await;
    }
}

/// At Meta and 360dialog; in two tests, as each row is a process.
#[tokio::test]
async fn every_row_of_the_matrix_has_its_command() {
    let app = start(true).await;
    let mut accounts = accounts(&app).await;
    accounts.retain(|account| account.provider != "infobip");
    walk(&app, accounts, By::Command).await;
}

#[tokio::test]
async fn every_row_of_the_matrix_has_its_command_at_infobip_too() {
    let app = start(true).await;
    let mut accounts = accounts(&app).await;
    accounts.retain(|account| account.provider == "infobip");
    walk(&app, accounts, By::Command).await;
}

async fn on_premises(app: &App) -> Account {
    let (connection, sender) = connected(app, 1).await;
    Account {
        provider: "dialog360_onprem",
        connection,
        sender,
    }
}

/// Asks for a row by its command, and looks at what it says.
async fn run(app: &App, wanted: &Asked, row: &Value, can: bool) {
    let folder = std::env::temp_dir().join(format!("twotick-manage-{}", app.connection));
    std::fs::create_dir_all(&folder).unwrap();
    let (file, to) = (folder.join("picture.png"), folder.join("answer"));
    let mut arguments = wanted.arguments(row, file.to_str().unwrap());
    let is_file = matches!(
        row["operation"].as_str().unwrap(),
        "media.download" | "senders.logo"
    );
    if is_file {
        arguments.extend(["--output".to_owned(), to.to_str().unwrap().to_owned()]);
    }
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let output = command(app, &arguments).output().await.unwrap();
    let all = format!("{arguments:?}: {}", said(&output));
    assert_eq!(output.status.code(), Some(i32::from(!can)), "{all}");
    match can {
        false => assert!(all.contains("not_supported_by_provider"), "{all}"),
        true if is_file => assert!(!std::fs::read(&to).unwrap().is_empty(), "{all}"),
        true => {
            let answer: Result<Value, _> = serde_json::from_slice(&output.stdout);
            assert!(answer.is_ok_and(|answer| answer.is_object()), "{all}");
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

async fn walk(app: &App, accounts: Vec<Account>, by: By) {
    let matrix = app.get("/v1/capabilities").await;
    let matrix = matrix["data"].as_array().unwrap();
    let document = app.get("/openapi.json").await;
    for account in accounts {
        for row in matrix {
            let operation = row["operation"].as_str().unwrap();
            let call = &row["providers"][account.provider];
            let wanted = asked(app, &account, operation).await;
            let (before, first) = (managed(app, account.provider).await, called(app).await);
            let mut said = format!("{} {operation} by {by:?}", account.provider);
            let can = !call.is_null();
            if by == By::Command {
                run(app, &wanted, row, can).await;
            } else {
                let (status, answer) = wanted.send(app).await;
                said.push_str(&format!(": {answer:#}"));
                let expected = if can { wanted.status } else { 501 };
                assert_eq!(status.as_u16(), expected, "{said}");
                if !can {
                    assert_eq!(answer["code"], "not_supported_by_provider", "{said}");
                }
            }
            if !can {
                assert_eq!(managed(app, account.provider).await, before, "{said}");
            } else {
                let calls = app.control(&format!("calls?since={first}")).await;
                let named = call["call"].as_str().unwrap();
                let (method, pattern) = named.split_once(' ').unwrap();
                let mut calls = calls["calls"].as_array().unwrap().iter();
                let is_made = calls.any(|call| is_call(call, method, pattern));
                assert!(is_made, "{said}: {named} was not made: {calls:#?}");
            }
            is_told(row, &wanted, &document, &said);
        }
    }
}

/// The row says by which of our calls: this was one of them.
fn is_told(row: &Value, wanted: &Asked, document: &Value, said: &str) {
    let path = wanted.path.split('?').next().unwrap();
    let is = |api: &Value| {
        let (method, template) = api.as_str().unwrap().split_once(' ').unwrap();
        let method_path = &document["paths"][template][method.to_lowercase()];
        assert!(method_path.is_object(), "{api} is not described");
        let mut parts = template.split('/').zip(path.split('/'));
        method == wanted.method.as_str()
            && template.split('/').count() == path.split('/').count()
            && parts.all(|(a, b)| a == b || a.starts_with('{'))
    };
    let apis = row["api"].as_array().unwrap();
    assert_eq!(apis.iter().filter(|api| is(api)).count(), 1, "{said}");
}

#[tokio::test]
async fn what_can_be_done_is_listed_and_a_slip_of_the_pen_is_named() {
    let app = App::start().await;
    let matrix = app.get("/v1/capabilities").await;
    for arguments in [&["manage"][..], &["manage", "--list"]] {
        let output = command(&app, arguments).output().await.unwrap();
        let all = said(&output);
        assert!(output.status.success(), "{all}");
        for row in matrix["data"].as_array().unwrap() {
            for part in [&row["operation"], &row["description"], &row["api"][0]] {
                assert!(all.contains(part.as_str().unwrap()), "{part}: {all}");
            }
        }
    }
    let output = command(&app, &["manage", "template.create"]).output().await;
    let all = said(&output.unwrap());
    assert!(all.contains("'templates.create'"), "{all}");
    // What is wrong is told by its field, before anything is sent.
    let arguments = ["manage", "flows.create", "--connection", &app.connection];
    let before = called(&app).await;
    let output = command(&app, &arguments).output().await.unwrap();
    let all = said(&output);
    assert!(!output.status.success() && all.contains("name"), "{all}");
    let more = [&arguments[..], &["--name", "a", "--categories", "SURVEY"]].concat();
    assert_eq!(called(&app).await, before);
    let output = command(&app, &more).output().await.unwrap();
    assert!(output.status.success(), "{}", said(&output));
}
