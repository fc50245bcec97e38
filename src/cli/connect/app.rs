//! Whether a secret is the app's, asked of Meta itself before it is given to the service: a wrong
//! one would take the place of a good one, and every webhook be refused from then on. The app's own
//! key is its id and its secret; whose the token is, Meta says of the token.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Client, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::secrets::Secrets;
use super::{Carrier, ConnectArgs};
use crate::cli::report::Report;

const TIMEOUT: Duration = Duration::from_secs(20);

/// Whether the secrets may be stored: not where Meta says that the app's is not its own. What
/// cannot be asked from here is left to the steps that the service takes.
pub(super) async fn is_sound(
    args: &ConnectArgs,
    secrets: &Secrets,
    known: Option<&Value>,
    report: &mut Report,
) -> bool {
    let (Carrier::Meta, Some(token), Some(secret)) =
        (args.provider, &secrets.key, &secrets.app_secret)
    else {
        return true;
    };
    let own = || known.and_then(|known| known["base_url"].as_str());
    let base = args.base_url.as_deref().or_else(own);
    let base = base.or(args.provider.address()).unwrap_or_default();
    let asking = Asking {
        base: format!("{}/{}", base.trim_end_matches('/'), args.api_version),
        token,
    };
    match asking.whose(secret).await {
        Ok(Verdict::Its(app)) => {
            report.ok("app secret", format!("is that of app {app}"));
            true
        }
        Ok(Verdict::AnothersThan(app)) => {
            let detail = format!("Meta does not take it as that of app {app}: nothing was stored");
            let remedy = "the app's dashboard shows it: App settings > Basic > App secret; the token \
                          in PROVIDER_KEY must be of the same app";
            report.fail("app secret", detail, remedy);
            false
        }
        Ok(Verdict::Unknown) => true,
        Err(error) => {
            let remedy = "the service asks again; from here the provider could not be asked";
            report.warn("app secret", format!("not looked at: {error:#}"), remedy);
            true
        }
    }
}

enum Verdict {
    Its(String),
    AnothersThan(String),
    /// Meta does not take the token, which a later step says.
    Unknown,
}

struct Asking<'a> {
    base: String,
    token: &'a SecretString,
}

impl Asking<'_> {
    async fn whose(&self, secret: &SecretString) -> anyhow::Result<Verdict> {
        let client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let token = self.token.expose_secret();
        let mut address = Url::parse(&format!("{}/debug_token", self.base))?;
        address.query_pairs_mut().append_pair("input_token", token);
        let told = get(&client, address, token).await?;
        if !told.status().is_success() {
            return Ok(Verdict::Unknown);
        }
        let told: Value = told.json().await.map_err(reqwest::Error::without_url)?;
        let app = told["data"]["app_id"].as_str();
        let app = app.context("Meta does not say which app the token is of")?;
        let address = Url::parse(&format!("{}/{app}/subscriptions", self.base))?;
        let key = format!("{app}|{}", secret.expose_secret());
        let answer = get(&client, address, &key).await?;
        let status = answer.status();
        let said: Value = answer.json().await.unwrap_or_default();
        // 190: no token; 1: what Graph says of a secret that is not the app's.
        match (status.is_success(), said["error"]["code"].as_i64()) {
            (true, _) => Ok(Verdict::Its(app.to_owned())),
            (false, Some(1 | 190)) => Ok(Verdict::AnothersThan(app.to_owned())),
            (false, _) => anyhow::bail!("Meta answered {status}"),
        }
    }
}

/// The address of what failed has a secret.
async fn get(client: &Client, address: Url, key: &str) -> anyhow::Result<Response> {
    let answer = client.get(address).bearer_auth(key).send().await;
    Ok(answer.map_err(reqwest::Error::without_url)?)
}
