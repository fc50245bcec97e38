//! The matrix of what can be managed where is kept: each of its rows is asked for through our API
//! at every provider. Where the matrix has a call it is made and answered; where it has none the
//! answer is 501 and nothing is sent.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::managed::{Account, accounts, connected, definition, managed, start};
use crate::media;
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
        let Some(picture) = self.picture.clone() else {
            let method = self.method.clone();
            return app.send(method, &self.path, self.body.clone()).await;
        };
        let request = app.request(self.method.clone(), &self.path);
        let request = request.header("content-type", "image/png").body(picture);
        let response = request.send().await.unwrap();
        (response.status(), response.json().await.unwrap_or_default())
    }
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
        other => webhooks_asked(account, other),
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

/// Where webhooks go is read, then set, then removed.
fn webhooks_asked(account: &Account, operation: &str) -> Asked {
    let connection = format!("/v1/connections/{}", account.connection);
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
            let body = match of_number {
                true => json!({"phone_number_id": NUMBER}),
                false => json!({}),
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
    match operation {
        "media.upload" => ask(Method::POST, format!("/v1/media{of}"), Value::Null, 201),
        "media.sample" | "media.sample_send" | "media.sample_ask" => ask(
            Method::POST,
            format!("/v1/media/samples{of}"),
            Value::Null,
            201,
        ),
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
    walk(&app, accounts).await;
}

#[tokio::test]
async fn every_row_is_asked_for_in_front_of_the_on_premises_api_too() {
    let app = start(true).await;
    let (connection, sender) = connected(&app, 1).await;
    let provider = "dialog360_onprem";
    let account = Account {
        provider,
        connection,
        sender,
    };
    walk(&app, vec![account]).await;
}

async fn walk(app: &App, accounts: Vec<Account>) {
    let matrix = app.get("/v1/capabilities").await;
    let matrix = matrix["data"].as_array().unwrap();
    let document = app.get("/openapi.json").await;
    for account in accounts {
        for row in matrix {
            let operation = row["operation"].as_str().unwrap();
            let call = &row["providers"][account.provider];
            let wanted = asked(app, &account, operation).await;
            let before = managed(app, account.provider).await;
            let (status, answer) = match operation.starts_with("media.") {
                true => media::send(app, wanted.method.clone(), &wanted.path).await,
                false => wanted.send(app).await,
            };
            let said = format!("{} {operation}: {answer:#}", account.provider);
            let expected = match call {
                Value::Null => 501,
                _ => wanted.status,
            };
            assert_eq!(status.as_u16(), expected, "{said}");
            if status == StatusCode::NOT_IMPLEMENTED {
                assert_eq!(answer["code"], "not_supported_by_provider", "{said}");
                assert_eq!(managed(app, account.provider).await, before, "{said}");
            }
            // The row says by which of our calls: this was one of them.
            let path = wanted.path.split('?').next().unwrap();
            let is = |api: &Value| {
                let (method, template) = api.as_str().unwrap().split_once(' ').unwrap();
                let method_path = &document["paths"][template][method.to_lowercase()];
                assert!(method_path.is_object(), "{api} is not described");
                let parts = template.split('/').zip(path.split('/'));
                method == wanted.method.as_str()
                    && template.split('/').count() == path.split('/').count()
                    && parts.into_iter().all(|(a, b)| a == b || a.starts_with('{'))
            };
            let apis = row["api"].as_array().unwrap();
            assert_eq!(apis.iter().filter(|api| is(api)).count(), 1, "{said}");
        }
    }
}
