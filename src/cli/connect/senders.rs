//! The numbers of a connection: those that the provider shows, and those that were named.

use serde_json::{Value, json};

use super::{Carrier, ConnectArgs, remedy};
use crate::cli::api::{Service, status};
use crate::cli::report::Report;

/// Makes those that the provider shows; of those that were named what it does not show is not made,
/// where it shows numbers at all.
pub(super) async fn make(
    args: &ConnectArgs,
    id: &str,
    accounts: &[String],
    service: &Service,
    report: &mut Report,
) {
    if args.provider == Carrier::Dialog360Onprem {
        if !args.numbers.is_empty() {
            let detail = "--number is not used: the On-Premises API names none in its webhooks";
            report.warn("sender", detail, "leave it out");
        }
        return make_one(id, None, accounts, service, report).await;
    }
    let all: Vec<Option<&String>> = match accounts.is_empty() {
        true => vec![None],
        false => accounts.iter().map(Some).collect(),
    };
    let (mut shown, mut are_shown) = (Vec::new(), true);
    for account in all {
        let mut asked = json!({"connection": id});
        if let Some(account) = account {
            asked["waba_id"] = account.as_str().into();
        }
        if args.provider == Carrier::Infobip && !args.numbers.is_empty() {
            asked["numbers"] = json!(args.numbers);
        }
        let of = account
            .map(|it| format!(" of account {it}"))
            .unwrap_or_default();
        match service.post("/v1/senders/sync", &asked).await {
            Ok(synced) => {
                let found = synced["data"].as_array().cloned().unwrap_or_default();
                let names: Vec<_> = found.iter().filter_map(named).collect();
                let detail = format!("{}{of}: {}", names.len(), names.join(", "));
                report.ok("senders", detail);
                shown.extend(found);
            }
            Err(error) if matches!(status(&error), Some(501 | 422)) => {
                are_shown = false;
                let detail = "the provider shows none; the first webhook of a number makes it";
                let remedy = "name them by --number";
                if args.numbers.is_empty() {
                    report.warn("senders", format!("{detail} ({error:#})"), remedy);
                }
            }
            Err(error) => {
                let otherwise = "the key needs the permission to manage this account";
                let remedy = remedy::of(&error, otherwise);
                return report.fail("senders", format!("{error:#}"), remedy);
            }
        }
    }
    for number in &args.numbers {
        let is_shown = shown.iter().any(|it| it["phone_number_id"] == **number);
        match (is_shown, are_shown) {
            (true, _) => {}
            (false, false) => {
                make_one(id, Some(number), accounts, service, report).await;
            }
            (false, true) => {
                let detail =
                    format!("{number}: the provider shows no such number; nothing was made");
                let remedy = "give Meta's id of the number, not the number itself (WhatsApp Manager > \
                              Phone numbers); Infobip's are its digits, with the country's code";
                report.fail("sender", detail, remedy);
            }
        }
    }
}

/// What a sender is called.
fn named(sender: &Value) -> Option<&str> {
    let name = sender["display_phone_number"].as_str();
    name.or(sender["phone_number_id"].as_str())
}

async fn make_one(
    id: &str,
    number: Option<&str>,
    accounts: &[String],
    service: &Service,
    report: &mut Report,
) {
    let mut new = json!({"connection": id, "phone_number_id": number});
    let number = number.unwrap_or("the only one");
    if let [account] = accounts {
        new["waba_id"] = account.as_str().into();
    }
    match service.post("/v1/senders", &new).await {
        Ok(_) => report.ok("sender", format!("{number} made")),
        Err(error) if status(&error) == Some(409) => {
            report.ok("sender", format!("{number} is there"));
        }
        Err(error) => report.fail("sender", format!("{number}: {error:#}"), "see --number"),
    }
}
