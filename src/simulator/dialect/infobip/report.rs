//! The bodies of Infobip's webhooks. Reports stand in `results[]`, in the dialect of the WhatsApp
//! API or of the Messages API; a template's update is a body of its own.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

use super::super::super::message::{Status, User};
use super::super::super::update::{Change, Inbound, News, Update};
use super::{Standing, quality, status, template_status};

/// One body of updates that share one.
pub fn body(updates: &[Update], messages_api: bool) -> Value {
    if let [Update::Template(news)] = updates {
        return template(news);
    }
    let results = updates.iter().filter_map(|update| match update {
        Update::Status(status) if status.status == "read" => Some(match messages_api {
            true => seen_event(status),
            false => seen(status),
        }),
        Update::Status(status) => Some(match messages_api {
            true => delivery_event(status),
            false => delivery(status),
        }),
        Update::Inbound(inbound) => Some(inbound_json(inbound)),
        Update::Template(_) => None,
    });
    let results: Vec<Value> = results.collect();
    let count = results.len();
    match updates.first() {
        Some(Update::Inbound(_)) => {
            json!({"results": results, "messageCount": count, "pendingMessageCount": 0})
        }
        _ => json!({"results": results}),
    }
}

/// Offsets have no colon.
fn date(at: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(at).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let format = format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]+0000"
    );
    at.format(format).unwrap_or_default()
}

fn delivery(said: &Status) -> Value {
    let message = &said.message;
    json!({
        "bulkId": message.given.bulk_id.as_deref().unwrap_or_default(),
        "messageId": message.wamid,
        "to": message.user.input,
        "sentAt": date(message.accepted_at),
        "doneAt": date(said.at),
        "messageCount": 1,
        "price": {"pricePerMessage": 0.0, "currency": "EUR"},
        "status": status(standing(said)),
        "error": error(said),
        "contact": contact(&message.user),
    })
}

/// Here `from` is the user: the direction is reversed.
fn seen(said: &Status) -> Value {
    let message = &said.message;
    let mut report = json!({
        "messageId": message.wamid,
        "from": message.user.input,
        "to": message.phone_number_id,
        "sentAt": date(message.accepted_at),
        "seenAt": date(said.at),
        "contact": contact(&message.user),
    });
    for (name, value) in message
        .given
        .platform
        .iter()
        .filter_map(Value::as_object)
        .flatten()
    {
        report[name.as_str()] = value.clone();
    }
    report
}

fn delivery_event(said: &Status) -> Value {
    let mut report = event("DELIVERY", said);
    report["doneAt"] = date(said.at).into();
    report["messageCount"] = 1.into();
    report["status"] = status(standing(said));
    report["error"] = error(said);
    report
}

fn seen_event(said: &Status) -> Value {
    let mut report = event("SEEN", said);
    report["seenAt"] = date(said.at).into();
    report
}

fn event(word: &str, said: &Status) -> Value {
    let message = &said.message;
    let mut report = json!({
        "event": word,
        "channel": "WHATSAPP",
        "sender": message.phone_number_id,
        "destination": message.user.input,
        "sentAt": date(message.accepted_at),
        "bulkId": message.given.bulk_id.as_deref().unwrap_or_default(),
        "messageId": message.wamid,
    });
    if let Some(callback) = &message.callback {
        report["callbackData"] = callback.as_str().into();
    }
    if let Some(platform) = &message.given.platform {
        report["platform"] = platform.clone();
    }
    report
}

fn standing(said: &Status) -> Standing {
    match said.status.as_str() {
        "pending" => Standing::Pending,
        "sent" => Standing::ToOperator,
        "delivered" => Standing::ToHandset,
        "failed" => Standing::Undeliverable,
        "expired" => Standing::Expired,
        _ => Standing::Rejected,
    }
}

fn error(said: &Status) -> Value {
    let none = json!({"groupId": 0, "groupName": "OK", "id": 0, "name": "NO_ERROR",
        "description": "No Error", "permanent": false});
    let errors = said.errors.as_ref();
    errors.map_or(none, |errors| errors[0].clone())
}

fn contact(user: &User) -> Value {
    let mut contact = json!({"name": user.name(), "userId": user.user_id});
    if let Some(wa_id) = &user.wa_id {
        contact["phoneNumber"] = wa_id.as_str().into();
    }
    contact
}

fn inbound_json(inbound: &Inbound) -> Value {
    json!({
        "from": inbound.from.wa_id,
        "to": inbound.phone_number_id,
        "integrationType": "WHATSAPP",
        "receivedAt": date(inbound.at),
        "messageId": inbound.wamid,
        "message": {"type": "TEXT", "text": inbound.text},
        "price": {"pricePerMessage": 0.0, "currency": "EUR"},
        "contact": contact(&inbound.from),
    })
}

fn template(news: &News) -> Value {
    let change = match &news.change {
        Change::Status {
            event,
            reason,
            title,
            ..
        } => json!({
            "type": "TEMPLATE_STATUS_UPDATE",
            "newStatus": template_status(event, title),
            "reason": reason,
        }),
        Change::Quality { previous, new } => json!({
            "type": "TEMPLATE_QUALITY_UPDATE",
            "previousQualityScore": quality(previous),
            "newQualityScore": quality(new),
        }),
    };
    json!({
        "messageTemplateId": news.template_id.to_string(),
        "messageTemplateName": news.key.name,
        "messageTemplateLanguage": news.key.language,
        "timestamp": date(news.time),
        "change": change,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_an_offset_without_a_colon() {
        assert_eq!(date(1_772_445_600), "2026-03-02T10:00:00.000+0000");
    }
}
