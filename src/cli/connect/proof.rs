//! The proof that webhooks come, until one has: one that was not there before, seen in the journal, which keeps
//! only what proved to be the provider's. A message to somebody's own phone brings one about; else
//! whatever comes will do. The stream of events says when to look; nobody is asked in vain.

use std::time::{Duration, Instant};

use reqwest::Response;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::ConnectArgs;
use crate::cli::api::Service;
use crate::cli::report::Report;
use crate::clock::Clock;

/// How long a message of ours may take.
const FOR_A_MESSAGE: u64 = 60;

/// Not every webhook makes an event: the journal is looked at so often, too.
const LOOK: Duration = Duration::from_secs(1);

const HOW_TO_PROVE: &str = "write to one of the senders from a phone and look at GET /v1/webhooks, or \
                            run this again with --test-to and a number of yours";

const WHAT_TO_LOOK_AT: &str = "look at GET /v1/webhooks (was it understood?), at the service's log \
                               for 401 (another app's secret?), at the provider's log of webhooks";

/// The newest webhook that there is.
pub(super) async fn newest(service: &Service, id: &str) -> anyhow::Result<Option<Value>> {
    let path = format!("/v1/webhooks?connection={id}&limit=1");
    let page = service.get(&path).await?;
    Ok(page["data"].get(0).cloned())
}

pub(super) async fn prove(
    args: &ConnectArgs,
    id: &str,
    address: &str,
    before: Option<Value>,
    service: &Service,
    report: &mut Report,
) {
    let seconds = args.wait.unwrap_or(FOR_A_MESSAGE);
    let is_asked = args.wait.is_some() || args.test_to.is_some();
    if let (false, Some(webhook)) = (is_asked, &before) {
        let at = webhook["received_at"].as_str().unwrap_or_default();
        return report.ok("proof", format!("the last webhook came at {at}"));
    }
    let stream = service
        .stream(&format!("/v1/events/stream?connection={id}"))
        .await;
    if let Some(to) = &args.test_to
        && !post(args, id, to, service, report).await
    {
        return;
    }
    if seconds == 0 {
        return report.warn("proof", "no webhook was waited for", HOW_TO_PROVE);
    }
    if !is_asked {
        let hint = "write to one of the senders from a phone";
        report.hint(&format!(
            "a webhook is waited for, {seconds} seconds: {hint}"
        ));
    }
    let clock = Clock::system();
    let until = clock.monotonic() + Duration::from_secs(seconds);
    let waiting = Waiting {
        clock: &clock,
        until,
        before: before.as_ref(),
    };
    let seen = waiting.wait(service, id, stream.ok()).await;
    match seen {
        Some(webhook) if webhook["state"] == "applied" => {
            let at = webhook["received_at"].as_str().unwrap_or_default();
            let count = &webhook["events"];
            let detail = format!("a webhook came at {at}, proved, and made {count} events");
            report.ok("proof", detail);
        }
        Some(webhook) => {
            let reason = webhook["reason"].as_str().unwrap_or("-");
            let detail = format!("a webhook came and was not understood: {reason}");
            report.warn("proof", detail, WHAT_TO_LOOK_AT);
        }
        None => {
            let detail = format!("no webhook came to {address} in {seconds} seconds");
            match is_asked {
                true => report.fail("proof", detail, WHAT_TO_LOOK_AT),
                // Nobody may have done anything that is told of.
                false => report.warn("proof", detail, HOW_TO_PROVE),
            }
        }
    }
}

/// A message to whoever sets this up, through the connection's first sender.
async fn post(
    args: &ConnectArgs,
    id: &str,
    to: &str,
    service: &Service,
    report: &mut Report,
) -> bool {
    let senders = service
        .get(&format!("/v1/senders?connection={id}&limit=1"))
        .await;
    let sender = senders.ok().and_then(|page| {
        let sender = page["data"].get(0)?["id"].as_str()?;
        Some(sender.to_owned())
    });
    let Some(sender) = sender else {
        report.fail(
            "proof",
            "the connection has no sender",
            "name one by --number",
        );
        return false;
    };
    let (name, language) = args
        .test_template
        .split_once(':')
        .unwrap_or((args.test_template.as_str(), "en_US"));
    let (namespace, name) = match name.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, name),
    };
    let mut message = json!({"sender": sender, "to": to.trim_start_matches('+'), "type": "template",
        "template": {"name": name, "language": {"code": language}}});
    if let Some(namespace) = namespace {
        message["template"]["namespace"] = namespace.into();
    }
    match service.post("/v1/messages", &message).await {
        Ok(made) => {
            let message = made["id"].as_str().unwrap_or_default();
            report.ok(
                "message",
                format!("{message} ({name} {language}) goes to {to}"),
            );
            true
        }
        Err(error) => {
            let remedy = "give an approved template without variables by --test-template; the key \
                          needs the scope messages:write";
            report.fail("message", format!("{error:#}"), remedy);
            false
        }
    }
}

struct Waiting<'a> {
    clock: &'a Clock,
    until: Instant,
    /// The newest that there was.
    before: Option<&'a Value>,
}

impl Waiting<'_> {
    /// A webhook that was not there before.
    async fn wait(
        &self,
        service: &Service,
        id: &str,
        mut stream: Option<Response>,
    ) -> Option<Value> {
        let known = self.before.map(|it| &it["id"]);
        loop {
            if let Ok(Some(newest)) = newest(service, id).await
                && Some(&newest["id"]) != known
            {
                return Some(newest);
            }
            let now = self.clock.monotonic();
            let left = self.until.checked_duration_since(now)?.min(LOOK);
            match &mut stream {
                Some(events) => {
                    let piece = timeout(left, events.chunk()).await;
                    if matches!(piece, Ok(Ok(None) | Err(_))) {
                        stream = None;
                    }
                }
                None => tokio::time::sleep(left).await,
            }
        }
    }
}
