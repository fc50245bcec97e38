//! Senders at the providers: which calls read them, and what is read. What it means is in
//! `reading`, which the poller shares.

use serde_json::Value;

use super::operations::{Ask, senders as op};
use super::reading::{self, ReadError, unreadable};
use super::templates::{Account, names};
use super::{lenient, meta};
use crate::model::provider::Provider;
use crate::model::reading::NumberReading;

/// Numbers that Infobip is asked for at once.
pub const AT_ONCE: usize = 100;

/// Numbers of one page of Meta's.
const PAGE: &str = "100";

/// A number as the provider shows it.
#[derive(Debug, Clone)]
pub struct Number {
    /// The provider's id of it: its digits at Infobip.
    pub id: String,
    /// What it says.
    pub reading: NumberReading,
    /// The provider's own object.
    pub object: Value,
}

/// A page of a list: these numbers where the provider has to be told them.
pub fn list(
    provider: Provider,
    account: &Account<'_>,
    numbers: &[String],
    after: Option<&str>,
) -> Ask {
    let ask = Ask::of(&op::LIST_SENDERS, &names(account, None));
    match provider {
        Provider::Meta => ask
            .query(
                "fields",
                Some(meta::manage::sender_fields(account.api_version)),
            )
            .query("limit", Some(PAGE))
            .query("after", after),
        Provider::Infobip => ask.query("senders", Some(numbers.join(","))),
        Provider::Dialog360 | Provider::Dialog360Onprem => ask,
    }
}

/// One number, or a list in which it is.
pub fn read(provider: Provider, account: &Account<'_>) -> Ask {
    let ask = Ask::of(&op::READ_SENDER, &names(account, None));
    match provider {
        Provider::Meta => {
            let fields = meta::manage::sender_fields(account.api_version);
            ask.query("fields", Some(fields))
        }
        Provider::Infobip => ask.query("senders", Some(account.number)),
        Provider::Dialog360 | Provider::Dialog360Onprem => ask,
    }
}

/// The number that was asked for. `None`: the answer is about others.
pub fn one(provider: Provider, answer: Value, id: &str) -> Result<Option<Number>, ReadError> {
    if provider != Provider::Infobip {
        return number(provider, answer, id);
    }
    let (numbers, _) = page(provider, answer)?;
    Ok(numbers.into_iter().find(|number| number.id == id))
}

/// The numbers of a page, and where the next begins.
pub fn page(provider: Provider, answer: Value) -> Result<(Vec<Number>, Option<String>), ReadError> {
    let (list, name) = match provider {
        Provider::Meta => ("data", "id"),
        Provider::Infobip => ("results", "sender"),
        Provider::Dialog360 | Provider::Dialog360Onprem => {
            let id = lenient::plain(&answer["id"]).unwrap_or_default();
            let found = number(provider, answer, &id)?;
            return Ok((found.into_iter().collect(), None));
        }
    };
    let missing = || unreadable(&format!("`{list}` is missing"));
    let objects = answer[list].as_array().ok_or_else(missing)?;
    let mut numbers = Vec::new();
    for object in objects {
        let Some(id) = lenient::plain(&object[name]) else {
            continue;
        };
        // Read by the same words as one alone.
        let alone = match provider {
            Provider::Infobip => serde_json::json!({ list: [object] }),
            _ => object.clone(),
        };
        let found = number(provider, alone, &id)?;
        numbers.extend(found.map(|found| Number {
            object: object.clone(),
            ..found
        }));
    }
    let paging = &answer["paging"];
    let has_next = !paging["next"].is_null();
    let next = has_next.then(|| lenient::plain(&paging["cursors"]["after"]));
    Ok((numbers, next.flatten()))
}

fn number(provider: Provider, object: Value, id: &str) -> Result<Option<Number>, ReadError> {
    // It was made of text a moment ago.
    let bytes = serde_json::to_vec(&object).unwrap_or_default();
    let reading = reading::number_answer(provider, &bytes, id)?;
    Ok(reading.map(|reading| Number {
        id: id.to_owned(),
        reading,
        object,
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_documented_lists_are_read_number_by_number() {
        let meta = json!({"data": [
            {"id": "1906385232743451", "display_phone_number": "+1 631-555-5555",
             "verified_name": "Jasper's Market", "status": "LINKED", "quality_rating": "GREEN",
             "messaging_limit_tier": "TIER_1K"},
            {"id": "1913623884432103", "status": "PENDING", "quality_rating": "UNKNOWN"}],
            "paging": {"cursors": {"after": "MTAx"}, "next": "https://graph.facebook.com/x"}});
        let (numbers, next) = page(Provider::Meta, meta).unwrap();
        assert_eq!(next.as_deref(), Some("MTAx"));
        assert_eq!(numbers[0].reading.limit.as_deref(), Some("TIER_1K"));
        assert_eq!(numbers[1].reading.state.as_deref(), Some("PENDING"));
        assert_eq!(numbers[1].id, "1913623884432103");
        let infobip = json!({"results": [
            {"sender": "441200000001", "qualityRating": "HIGH", "status": "CONNECTED",
             "currentLimit": "LIMIT_10K", "lastUpdated": "2026-02-18T08:12:26.422Z"},
            {"sender": "441200000002", "qualityRating": "LOW", "status": "FLAGGED",
             "currentLimit": "LIMIT_NA", "lastUpdated": "2026-02-18T08:12:26.422Z"}]});
        let (numbers, _) = page(Provider::Infobip, infobip.clone()).unwrap();
        assert_eq!(numbers[1].reading.quality.as_deref(), Some("RED"));
        assert_eq!(numbers[1].object["currentLimit"], "LIMIT_NA");
        let one = one(Provider::Infobip, infobip, "441200000001").unwrap();
        assert_eq!(one.unwrap().reading.limit.as_deref(), Some("TIER_10K"));
        assert!(page(Provider::Meta, json!({})).is_err());
    }
}
