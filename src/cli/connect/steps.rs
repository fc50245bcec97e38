//! The steps, each told in a line. What a later one needs and is not there ends them.

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::secrets::{Secrets, made};
use super::{Carrier, ConnectArgs, app, proof, remedy, senders};
use crate::cli::api::{Knocked, Service};
use crate::cli::report::{Report, Verdict};

/// All of them.
pub(super) async fn all(
    args: &ConnectArgs,
    secrets: &Secrets,
    service: &Service,
    report: &mut Report,
) {
    if let Err(error) = service.get("/v1/capabilities").await {
        let remedy = "is it running (twotick health)? is --url its address? does TWOTICK_API_KEY \
                      have the scope manage?";
        return report.fail("service", format!("{}: {error:#}", service.url()), remedy);
    }
    report.ok("service", service.url());
    let Some(connection) = connection(args, secrets, service, report).await else {
        return;
    };
    let id = connection["id"].as_str().unwrap_or_default();
    let Some(accounts) = key(args, id, service, report).await else {
        return;
    };
    senders::make(args, id, &accounts, service, report).await;
    let Some(address) = address(args, id, service, report).await else {
        return;
    };
    let before = match proof::newest(service, id).await {
        Ok(newest) => newest,
        Err(error) => {
            // What is not known to be old would pass for new.
            let remedy = "the key needs the scope events:read or manage";
            return report.fail(
                "proof",
                format!("webhooks cannot be read: {error:#}"),
                remedy,
            );
        }
    };
    if !subscribe(args, id, &accounts, service, report).await {
        return;
    }
    look(args, id, service, report).await;
    templates(args, id, &accounts, service, report).await;
    proof::prove(args, id, &address, before, service, report).await;
}

/// The one of this name, with the secrets that were given; else a new one.
async fn connection(
    args: &ConnectArgs,
    secrets: &Secrets,
    service: &Service,
    report: &mut Report,
) -> Option<Value> {
    let known = match service.all("/v1/connections").await {
        Ok(all) => all.into_iter().find(|it| {
            it["name"] == args.name.as_str() && it["provider"] == args.provider.as_str()
        }),
        Err(error) => {
            let remedy = "the key in TWOTICK_API_KEY needs the scope manage (twotick keys create)";
            report.fail("connection", format!("{error:#}"), remedy);
            return None;
        }
    };
    if !app::is_sound(args, secrets, known.as_ref(), report).await {
        return None;
    }
    let (came, word) = match &known {
        Some(known) => {
            let mut change = given(args, secrets);
            // Those there are may be other apps', or still signed with.
            if let Some([added]) = change["app_secrets"].as_array().map(Vec::as_slice) {
                change["add_app_secret"] = added.clone();
                change.as_object_mut()?.remove("app_secrets");
            }
            let wanted = args
                .base_url
                .as_deref()
                .map(|url| url.trim_end_matches('/'));
            if let Some(url) = wanted.filter(|url| known["base_url"] != *url) {
                change["base_url"] = url.into();
            }
            let path = format!("/v1/connections/{}", known["id"].as_str()?);
            match change.as_object().is_some_and(serde_json::Map::is_empty) {
                true => (Ok(known.clone()), "is there"),
                false => (service.patch(&path, &change).await, "brought up to date"),
            }
        }
        None => (make(args, secrets, service).await, "made"),
    };
    match came {
        Ok(connection) => {
            let id = connection["id"].as_str().unwrap_or_default();
            report.ok("connection", format!("{id} {word} ({})", args.name));
            Some(connection)
        }
        Err(error) => {
            let remedy = "PROVIDER_KEY (and with Meta PROVIDER_APP_SECRET) in the environment, or \
                          --secrets-from-stdin; Infobip needs --base-url";
            report.fail("connection", format!("{error:#}"), remedy);
            None
        }
    }
}

/// What was given of secrets, as the API takes it.
fn given(args: &ConnectArgs, secrets: &Secrets) -> Value {
    let mut given = json!({});
    let key = match args.provider {
        Carrier::Meta => "access_token",
        _ => "api_key",
    };
    if let Some(secret) = &secrets.key {
        given[key] = secret.expose_secret().into();
    }
    if let (Carrier::Meta, Some(secret)) = (args.provider, &secrets.app_secret) {
        given["app_secrets"] = json!([secret.expose_secret()]);
    }
    given
}

async fn make(args: &ConnectArgs, secrets: &Secrets, service: &Service) -> anyhow::Result<Value> {
    let own = args.provider.address().map(str::to_owned);
    let mut new = given(args, secrets);
    new["name"] = args.name.as_str().into();
    new["provider"] = args.provider.as_str().into();
    let address = args.base_url.clone().or(own);
    new["base_url"] = address.unwrap_or_default().trim_end_matches('/').into();
    match args.provider {
        Carrier::Meta => {
            new["api_version"] = args.api_version.as_str().into();
            new["verify_token"] = made().into();
        }
        Carrier::Infobip => {
            let basic = json!({"username": "twotick", "password": made()});
            new["webhook_auth"] = json!({"basic": basic});
        }
        _ => new["webhook_auth"] = json!({"headers": {"X-Twotick-Webhook": made()}}),
    }
    service.post("/v1/connections", &new).await
}

/// Whether the provider takes the key, and what it may do. The accounts that it is for.
async fn key(
    args: &ConnectArgs,
    id: &str,
    service: &Service,
    report: &mut Report,
) -> Option<Vec<String>> {
    if args.provider != Carrier::Meta {
        return Some(Vec::new());
    }
    let told = match service.get(&format!("/v1/connections/{id}/token")).await {
        Ok(told) => told,
        Err(error) => {
            let otherwise = "give a valid access token in PROVIDER_KEY: a system user's, of the app \
                             whose secret is PROVIDER_APP_SECRET (Business settings > System users)";
            report.fail("key", format!("{error:#}"), remedy::of(&error, otherwise));
            return None;
        }
    };
    let texts = |name: &str| {
        let list = told[name].as_array().into_iter().flatten();
        let texts = list.filter_map(|it| it.as_str().map(str::to_owned));
        texts.collect::<Vec<_>>()
    };
    let missing = texts("missing_permissions");
    let app = told["app_id"].as_str().unwrap_or("-");
    if told["valid"] != true {
        let remedy = "make a new one: Business settings > System users > Generate token";
        report.fail("key", "Meta says that the token is not valid", remedy);
        return None;
    }
    if !missing.is_empty() {
        let detail = format!("the token of app {app} lacks {}", missing.join(", "));
        let remedy = "make a token with these permissions, and run this again";
        report.fail("key", detail, remedy);
        return None;
    }
    match told["expires_at"].as_str() {
        Some(at) => {
            let remedy = "a system user's token may be made so that it does not expire";
            report.warn("key", format!("of app {app}, good until {at}"), remedy);
        }
        None => report.ok("key", format!("of app {app}, does not expire")),
    }
    let mut accounts = args.waba_ids.clone();
    if accounts.is_empty() {
        accounts = texts("waba_ids");
    }
    if accounts.is_empty() {
        let remedy = "name Meta's account by --waba-id (WhatsApp Manager shows it)";
        report.fail("accounts", "the token names no account", remedy);
        return None;
    }
    Some(accounts)
}

/// Where webhooks are to go, and whether that leads here.
async fn address(
    args: &ConnectArgs,
    id: &str,
    service: &Service,
    report: &mut Report,
) -> Option<String> {
    let path = format!("/v1/connections/{id}/webhook_subscriptions");
    let own = match &args.public_url {
        Some(url) => Some(format!("{}/webhooks/{id}", url.trim_end_matches('/'))),
        None => {
            let told = service.get(&path).await.unwrap_or_default();
            let told = told["callback_url"].as_str().map(str::to_owned);
            told.map(|url| url.trim_end_matches("?…").to_owned())
        }
    };
    let Some(address) = own else {
        let remedy = "set http.public_url to the service's public address, or give --public-url";
        report.fail(
            "address",
            "nobody said where the provider reaches the service",
            remedy,
        );
        return None;
    };
    match service.knock(&address).await {
        Ok(Knocked { status: 401, .. }) => {
            report.ok("address", format!("{address} refuses what is not signed"));
        }
        Ok(Knocked { status, .. }) => {
            let remedy = "it should be 401: does the proxy in front pass /webhooks/… on unchanged?";
            report.warn("address", format!("{address} answered {status}"), remedy);
        }
        Err(error) => {
            let remedy = "the provider has to reach it, with a certificate that it trusts; from \
                          here it cannot be reached";
            report.warn("address", format!("{address}: {error:#}"), remedy);
        }
    }
    Some(address)
}

/// At the levels that make everything come.
async fn subscribe(
    args: &ConnectArgs,
    id: &str,
    accounts: &[String],
    service: &Service,
    report: &mut Report,
) -> bool {
    let mut wanted = Vec::new();
    match args.provider {
        Carrier::Meta => {
            if !args.overriding {
                wanted.push(("app", json!({})));
            }
            for account in accounts {
                let body = json!({"waba_id": account, "override": args.overriding});
                wanted.push(("account", body));
            }
        }
        Carrier::Infobip => wanted.push(("events", json!({}))),
        _ => wanted.push(("number", json!({}))),
    }
    for (level, mut body) in wanted {
        if let Some(url) = &args.public_url {
            body["callback_url"] = format!("{}/webhooks/{id}", url.trim_end_matches('/')).into();
        }
        let path = format!("/v1/connections/{id}/webhook_subscriptions/{level}");
        match service.put(&path, &body).await {
            Ok(_) => report.ok("webhooks", said(args.provider, level, &body)),
            Err(error) => {
                let otherwise =
                    "see what the provider says; the key must be allowed to manage this";
                let remedy = remedy::of(&error, otherwise);
                report.fail("webhooks", format!("{level}: {error:#}"), remedy);
                return false;
            }
        }
    }
    true
}

fn said(carrier: Carrier, level: &str, body: &Value) -> String {
    match (carrier, level) {
        (Carrier::Meta, "app") => {
            "the app's come here: Meta asked the address, and was answered".to_owned()
        }
        (Carrier::Meta, _) => {
            let account = body["waba_id"].as_str().unwrap_or_default();
            match body["override"] == true {
                true => {
                    format!("messages of account {account} come here: the app's stay as they are")
                }
                false => format!("the app is told of account {account}"),
            }
        }
        _ => format!("those of the {level} come here, with a secret that proves them"),
    }
}

/// What is wrong with it in spite of that.
async fn look(args: &ConnectArgs, id: &str, service: &Service, report: &mut Report) {
    let path = format!("/v1/connections/{id}/webhook_subscriptions");
    let Ok(told) = service.get(&path).await else {
        return;
    };
    for problem in told["problems"].as_array().into_iter().flatten() {
        // An address that was given here is not compared with the service's.
        if args.public_url.is_some() && problem["code"] == "no_public_url" {
            continue;
        }
        tell(problem, "webhooks", report);
    }
}

/// A problem as the service tells it.
pub(in crate::cli) fn tell(problem: &Value, check: &str, report: &mut Report) {
    let text = |name: &str| problem[name].as_str().unwrap_or_default();
    let verdict = match text("severity") {
        "warn" => Verdict::Warn,
        _ => Verdict::Fail,
    };
    let of = match text("id") {
        "" => text("level").to_owned(),
        id => format!("{} {id}", text("level")),
    };
    let detail = format!("{of} {}: {}", text("code"), text("detail"));
    report.add(verdict, check, detail.trim_start(), text("remedy"));
}

/// Reads them, so that they are known before the first is sent.
async fn templates(
    args: &ConnectArgs,
    id: &str,
    accounts: &[String],
    service: &Service,
    report: &mut Report,
) {
    let mut asked = vec![json!({"connection": id})];
    if args.provider == Carrier::Meta {
        let of = |account: &String| json!({"connection": id, "waba_id": account});
        asked = accounts.iter().map(of).collect();
    }
    for asked in asked {
        match service.post("/v1/templates/sync", &asked).await {
            Ok(synced) => {
                let count = synced["data"].as_array().map_or(0, Vec::len);
                report.ok("templates", format!("{count} read"));
            }
            Err(error) => {
                let remedy = "the key needs the permission to manage templates; Infobip needs a \
                              sender (--number)";
                report.warn("templates", format!("{error:#}"), remedy);
            }
        }
    }
}
