//! One connection: what its provider says of its key and of where it posts webhooks, what came last,
//! and how its senders stand.

use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::cli::api::{Knocked, Service, status};
use crate::cli::connect::{remedy, tell};
use crate::cli::report::Report;
use crate::clock::Clock;
use crate::model::rfc3339;

/// A key, or a certificate, that is good for less is to be renewed.
const RENEW_WITHIN: Duration = Duration::days(14);

/// A day without a webhook is long for who sends.
const QUIET: Duration = Duration::days(1);

/// How far a provider's clock may be off: what it says of templates is dated by it.
const CLOCK_SECONDS: i64 = 5;

pub(super) async fn check(service: &Service, connection: &Value, report: &mut Report) {
    let text = |name: &str| connection[name].as_str().unwrap_or_default();
    let (id, name) = (text("id"), text("name"));
    let checking = Checking {
        service,
        id,
        name,
        now: Clock::system().now(),
    };
    match connection["stopped_at"].as_str() {
        Some(at) => {
            let detail = format!("stopped since {at}: {}", text("stopped_reason"));
            let remedy = "give it a good key: PATCH /v1/connections/{id}, or twotick connect";
            report.fail(&checking.named("connection"), detail, remedy);
        }
        None => report.ok(
            &checking.named("connection"),
            format!("{id} ({})", text("provider")),
        ),
    }
    checking.key(report).await;
    checking.subscriptions(report).await;
    checking.webhooks(report).await;
    checking.senders(report).await;
}

struct Checking<'a> {
    service: &'a Service,
    id: &'a str,
    name: &'a str,
    now: OffsetDateTime,
}

impl Checking<'_> {
    fn named(&self, what: &str) -> String {
        format!("{what} of {}", self.name)
    }

    fn age(&self, at: &Value) -> Option<Duration> {
        let at = OffsetDateTime::parse(at.as_str()?, &Rfc3339).ok()?;
        Some(self.now - at)
    }

    /// Of Meta's alone more is known than that it is taken, which `subscriptions` shows.
    async fn key(&self, report: &mut Report) {
        let check = self.named("key");
        let path = format!("/v1/connections/{}/token", self.id);
        let told = match self.service.get(&path).await {
            Ok(told) => told,
            Err(error) if status(&error) == Some(501) => return,
            Err(error) => {
                let otherwise = "make a new token (Business settings > System users) and give it by \
                                 twotick connect";
                return report.fail(&check, format!("{error:#}"), remedy(&error, otherwise));
            }
        };
        let missing = told["missing_permissions"].as_array().into_iter().flatten();
        let missing: Vec<_> = missing.filter_map(Value::as_str).collect();
        let left = self.age(&told["expires_at"]).map(|age| -age);
        let until = told["expires_at"].as_str().unwrap_or("for good");
        if told["valid"] != true || left.is_some_and(Duration::is_negative) {
            let remedy = "make a new token and give it by twotick connect";
            return report.fail(&check, "Meta says that it is not valid", remedy);
        }
        if !missing.is_empty() {
            let detail = format!("it lacks {}", missing.join(", "));
            let remedy = "make a token with these permissions and give it by twotick connect";
            return report.fail(&check, detail, remedy);
        }
        match left.is_some_and(|left| left < RENEW_WITHIN) {
            true => report.warn(
                &check,
                format!("is good until {until}"),
                "make a new one, best one that does not expire",
            ),
            false => report.ok(&check, format!("is good: {until}")),
        }
    }

    async fn subscriptions(&self, report: &mut Report) {
        let check = self.named("webhooks");
        let path = format!("/v1/connections/{}/webhook_subscriptions", self.id);
        let told = match self.service.get(&path).await {
            Ok(told) => told,
            Err(error) => {
                let otherwise = "see what the provider says: its key may be bad, or may not manage";
                return report.fail(&check, format!("{error:#}"), remedy(&error, otherwise));
            }
        };
        let problems = told["problems"].as_array().cloned().unwrap_or_default();
        for problem in &problems {
            tell(problem, &check, report);
        }
        let url = told["callback_url"].as_str();
        if problems.is_empty() {
            report.ok(&check, format!("go to {}", url.unwrap_or("here")));
        }
        if let Some(url) = url {
            self.address(url.trim_end_matches("?…"), report).await;
        }
        let offset = told["provider_clock_offset_seconds"].as_i64();
        if let Some(offset) = offset.filter(|offset| offset.abs() > CLOCK_SECONDS) {
            let detail = format!("the provider's is {offset:+} s from the service's");
            let remedy = "let the service's machine and its database's follow NTP";
            report.warn(&self.named("clock"), detail, remedy);
        }
    }

    /// Whether it leads to the service, as far as can be seen from here.
    async fn address(&self, url: &str, report: &mut Report) {
        let check = self.named("address");
        let knocked = self.service.knock(url).await;
        if let Ok(knocked) = &knocked {
            self.certificate(knocked, report);
        }
        match knocked {
            Ok(Knocked { status: 401, .. }) if url.starts_with("https://") => {
                report.ok(&check, url);
            }
            Ok(Knocked { status: 401, .. }) => report.warn(
                &check,
                format!("{url} has no TLS"),
                "providers post to https:// with a certificate that they trust",
            ),
            Ok(Knocked { status, .. }) => report.fail(
                &check,
                format!("{url} answered {status}, not 401"),
                "does http.public_url lead to this service, and does the proxy in front pass \
                 /webhooks/… on unchanged?",
            ),
            Err(error) => report.fail(
                &check,
                format!("{url}: {error:#}"),
                "it has to be public, with a certificate that is good (name, chain, date)",
            ),
        }
    }

    /// How long the certificate of what answers is good for.
    fn certificate(&self, knocked: &Knocked, report: &mut Report) {
        let Some(until) = knocked.good_until else {
            return;
        };
        let check = self.named("certificate");
        let left = until - self.now;
        let detail = format!(
            "is good for {} days, until {}",
            left.whole_days(),
            rfc3339(until)
        );
        match left < RENEW_WITHIN {
            true => report.warn(
                &check,
                detail,
                "renew it: once it has ended no provider posts here any more",
            ),
            false => report.ok(&check, detail),
        }
    }

    async fn newest(&self, more: &str) -> anyhow::Result<Option<Value>> {
        let path = format!("/v1/webhooks?connection={}&limit=1{more}", self.id);
        Ok(self.service.get(&path).await?["data"].get(0).cloned())
    }

    /// What came last, and what was not understood of a day.
    async fn webhooks(&self, report: &mut Report) {
        let check = self.named("last webhook");
        let remedy = "write to one of its senders from a phone; twotick connect --test-to proves \
                      that webhooks come";
        match self.newest("").await {
            Ok(Some(webhook)) => {
                let at = webhook["received_at"].as_str().unwrap_or_default();
                let is_old = self
                    .age(&webhook["received_at"])
                    .is_some_and(|age| age > QUIET);
                match is_old {
                    true => report.warn(&check, format!("came {at}"), remedy),
                    false => report.ok(&check, format!("came {at}")),
                }
            }
            Ok(None) => report.warn(&check, "none ever came, or all are forgotten", remedy),
            Err(error) => {
                let remedy = "the key in TWOTICK_API_KEY needs the scope events:read";
                return report.warn(&check, format!("{error:#}"), remedy);
            }
        }
        let since = rfc3339(self.now - QUIET);
        for state in ["undecoded", "not_applied"] {
            let found = self.newest(&format!("&state={state}&since={since}")).await;
            if let Ok(Some(webhook)) = found {
                let reason = webhook["reason"].as_str().unwrap_or("-");
                let detail = format!("{}: {reason}", webhook["id"].as_str().unwrap_or("-"));
                let remedy = "it is kept: GET /v1/webhooks shows it, and twotick replay reads it \
                              again once it is understood";
                report.warn(&self.named(state), detail, remedy);
            }
        }
    }

    async fn senders(&self, report: &mut Report) {
        let check = self.named("senders");
        let path = format!("/v1/senders?connection={}", self.id);
        let all = match self.service.all(&path).await {
            Ok(all) => all,
            Err(error) => {
                return report.fail(&check, format!("{error:#}"), "see the service's log");
            }
        };
        let mut well = 0;
        for sender in &all {
            let text = |name: &str| sender[name].as_str().unwrap_or_default();
            let number = format!("{} ({})", text("id"), text("phone_number_id"));
            match (text("status"), text("quality")) {
                ("active", "RED") => report.warn(
                    &check,
                    format!("{number}: its quality is RED"),
                    "users block or report it: send less, and what they want",
                ),
                ("active", _) => well += 1,
                (status, _) => report.fail(
                    &check,
                    format!("{number} is {status}: {}", text("status_reason")),
                    "once the cause is mended: PATCH /v1/senders/{id} with status active",
                ),
            }
        }
        match all.is_empty() {
            true => report.warn(
                &check,
                "there is none",
                "twotick connect, or POST /v1/senders",
            ),
            false => report.ok(&check, format!("{well} of {} are well", all.len())),
        }
    }
}
