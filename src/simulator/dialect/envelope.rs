//! The bodies of Meta's webhooks: `object`, `entry[]`, `changes[]`, and in them one or many updates.

use std::fmt::Write;

use rand::Rng;
use serde_json::{Value, json};

use super::super::fate::happens;
use super::super::message::{Status, User, number_of};
use super::super::update::{Change as TemplateChange, Inbound, News, Update};
use super::escape;

/// How often an update opens a new change although it could join the last one, and a change a
/// new entry. Meta promises nothing here, so a receiver must walk all of it.
const SPLIT: f64 = 0.1;

/// One body that says all `updates`, in their order as far as they concern one sender.
pub fn body(
    waba_id: &str,
    mut updates: Vec<Update>,
    rng: &mut impl Rng,
) -> serde_json::Result<Vec<u8>> {
    updates.sort_by(|a, b| a.sender().cmp(&b.sender()));
    let mut entries: Vec<Value> = Vec::new();
    let mut last: Option<Change> = None;
    for update in updates {
        let split = happens(rng, SPLIT);
        match update {
            Update::Template(news) => entries.push(json!({
                "id": waba_id,
                "time": news.time,
                "changes": [template(&news)],
            })),
            update => match &mut last {
                Some(change) if !split && change.takes(&update) => change.add(update),
                _ => {
                    let begun = last.replace(Change::begin(update));
                    close(waba_id, begun, &mut entries, happens(rng, SPLIT));
                }
            },
        }
    }
    close(waba_id, last, &mut entries, happens(rng, SPLIT));
    escape::to_ascii(&json!({"object": "whatsapp_business_account", "entry": entries}))
}

/// Puts a finished change into the last entry, or into one of its own.
fn close(waba_id: &str, change: Option<Change>, entries: &mut Vec<Value>, apart: bool) {
    let Some(change) = change.map(Change::into_json) else {
        return;
    };
    match entries.last_mut() {
        Some(entry) if !apart && entry.get("time").is_none() => {
            if let Some(changes) = entry["changes"].as_array_mut() {
                changes.push(change);
            }
        }
        _ => entries.push(json!({"id": waba_id, "changes": [change]})),
    }
}

/// A change of the field `messages` in the making: either statuses or inbound messages of one
/// sender.
struct Change {
    phone_number_id: String,
    list: &'static str,
    items: Vec<Value>,
    contacts: Vec<Value>,
}

impl Change {
    fn begin(update: Update) -> Self {
        let mut change = Self {
            phone_number_id: update.sender().unwrap_or_default().to_owned(),
            list: list(&update),
            items: Vec::new(),
            contacts: Vec::new(),
        };
        change.add(update);
        change
    }

    fn takes(&self, update: &Update) -> bool {
        update.sender() == Some(&self.phone_number_id) && list(update) == self.list
    }

    fn add(&mut self, update: Update) {
        let (item, known) = match update {
            Update::Status(status) => {
                // Meta leaves the contact out when a message has failed.
                let known = (status.status != "failed").then(|| contact(&status.message.user));
                (status_json(&status), known)
            }
            Update::Inbound(inbound) => (inbound_json(&inbound), Some(contact(&inbound.from))),
            Update::Template(_) => return,
        };
        self.items.push(item);
        if let Some(contact) = known.filter(|contact| !self.contacts.contains(contact)) {
            self.contacts.push(contact);
        }
    }

    fn into_json(self) -> Value {
        let mut value = json!({
            "messaging_product": "whatsapp",
            "metadata": {
                "display_phone_number": display_phone_number(&self.phone_number_id),
                "phone_number_id": self.phone_number_id,
            },
        });
        if !self.contacts.is_empty() {
            value["contacts"] = self.contacts.into();
        }
        value[self.list] = self.items.into();
        json!({"field": "messages", "value": value})
    }
}

fn list(update: &Update) -> &'static str {
    match update {
        Update::Inbound(_) => "messages",
        _ => "statuses",
    }
}

/// What is said of a pause alone.
fn other_info(title: &str, description: &str) -> Value {
    match title {
        "" => Value::Null,
        title => json!({"title": title, "description": description}),
    }
}

/// A change of a template's. Meta writes the language with a hyphen beside its quality.
fn template(news: &News) -> Value {
    match &news.change {
        TemplateChange::Status {
            event,
            reason,
            title,
            description,
        } => json!({"field": "message_template_status_update", "value": {
            "event": event,
            "message_template_id": news.template_id,
            "message_template_name": news.key.name,
            "message_template_language": news.key.language,
            "message_template_category": news.category,
            "reason": reason,
            "other_info": other_info(title, description),
        }}),
        TemplateChange::Quality { previous, new } => {
            json!({"field": "message_template_quality_update", "value": {
                "previous_quality_score": previous,
                "new_quality_score": new,
                "message_template_id": news.template_id,
                "message_template_name": news.key.name,
                "message_template_language": news.key.language.replace('_', "-"),
            }})
        }
    }
}

/// The digits a user sees; any fixed function of the id will do.
pub fn display_phone_number(phone_number_id: &str) -> String {
    let mut digits = String::from("1555");
    let tail = phone_number_id.len().saturating_sub(7);
    let _ = write!(digits, "{:0>7}", phone_number_id.get(tail..).unwrap_or("0"));
    digits
}

fn contact(user: &User) -> Value {
    let mut contact = json!({"profile": {"name": user.name()}, "user_id": user.user_id});
    if let Some(wa_id) = &user.wa_id {
        contact["wa_id"] = wa_id.as_str().into();
    }
    contact
}

fn status_json(status: &Status) -> Value {
    let message = &status.message;
    let mut item = json!({
        "id": message.wamid,
        "status": status.status,
        "timestamp": status.at.to_string(),
    });
    if let Some(wa_id) = &message.user.wa_id {
        item["recipient_id"] = wa_id.as_str().into();
    }
    if status.status != "failed" || message.user.wa_id.is_none() {
        item["recipient_user_id"] = message.user.user_id.as_str().into();
    }
    if let Some(callback) = message.callback.as_deref().filter(|_| status.callback) {
        item["biz_opaque_callback_data"] = callback.into();
    }
    if status.pricing {
        item["pricing"] = json!({"billable": true, "pricing_model": "PMP", "type": "regular",
            "category": message.category});
    }
    if status.conversation {
        item["conversation"] = json!({
            "id": format!("{:032x}", number_of(&message.wamid)),
            "expiration_timestamp": (status.at + 86_400).to_string(),
            "origin": {"type": message.category},
        });
    }
    if let Some(errors) = &status.errors {
        item["errors"] = errors.clone();
    }
    item
}

fn inbound_json(inbound: &Inbound) -> Value {
    json!({
        "from": inbound.from.wa_id,
        "from_user_id": inbound.from.user_id,
        "id": inbound.wamid,
        "timestamp": inbound.at.to_string(),
        "type": "text",
        "text": {"body": inbound.text},
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Notify;

    use super::super::super::fate::generator;
    use super::super::super::message::Message;
    use super::super::super::template::Key;
    use super::super::super::trouble::Trouble;
    use super::super::Dialect;
    use super::*;

    fn status(sender: &str, word: &str) -> Update {
        Update::Status(Status {
            message: Arc::new(Message {
                dialect: Dialect::Meta,
                wamid: "wamid.A".to_owned(),
                phone_number_id: sender.to_owned(),
                user: User::by_number("15550190044").unwrap(),
                callback: Some("mine".to_owned()),
                category: "marketing".to_owned(),
                accepted_at: 1_763_769_600,
                given: Default::default(),
                fails_with: Trouble::Undeliverable,
                first_posted: Notify::new(),
            }),
            status: word.to_owned(),
            at: 1_763_769_612,
            errors: None,
            callback: word != "failed",
            pricing: word == "delivered",
            conversation: false,
            repeated: false,
        })
    }

    fn read(updates: Vec<Update>, seed: u64) -> Value {
        let bytes = body("42", updates, &mut generator(seed, &[])).unwrap();
        assert!(bytes.is_ascii());
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn a_delivered_status_has_what_meta_documents() {
        let body = read(vec![status("310022446688199", "delivered")], 1);
        let value = &body["entry"][0]["changes"][0]["value"];
        assert_eq!(body["entry"][0]["id"], "42");
        assert!(body["entry"][0].get("time").is_none());
        assert_eq!(value["metadata"]["phone_number_id"], "310022446688199");
        assert_eq!(value["contacts"][0]["wa_id"], "15550190044");
        let status = &value["statuses"][0];
        assert_eq!(status["timestamp"], "1763769612");
        assert_eq!(status["recipient_id"], "15550190044");
        assert_eq!(status["biz_opaque_callback_data"], "mine");
        assert_eq!(status["pricing"]["category"], "marketing");
    }

    #[test]
    fn a_failed_status_names_no_contact_and_may_lack_the_callback() {
        let body = read(vec![status("1", "failed")], 1);
        let value = &body["entry"][0]["changes"][0]["value"];
        assert!(value.get("contacts").is_none());
        let status = &value["statuses"][0];
        assert!(status.get("biz_opaque_callback_data").is_none());
        assert!(status.get("recipient_user_id").is_none());
    }

    #[test]
    fn no_update_is_lost_however_a_body_is_split() {
        for seed in 0..50 {
            let mut updates: Vec<Update> = (0..20)
                .map(|n| status(if n % 2 == 0 { "1" } else { "2" }, "sent"))
                .collect();
            updates.push(Update::Template(News {
                time: 9,
                template_id: 1,
                key: Key::new(Dialect::Meta, "offer", "en_US"),
                category: "MARKETING".to_owned(),
                change: TemplateChange::Quality {
                    previous: "GREEN".to_owned(),
                    new: "RED".to_owned(),
                },
            }));
            let body = read(updates, seed);
            let (mut statuses, mut others) = (0, 0);
            for entry in body["entry"].as_array().unwrap() {
                for change in entry["changes"].as_array().unwrap() {
                    match change["value"]["statuses"].as_array() {
                        Some(list) => statuses += list.len(),
                        None => others += 1,
                    }
                }
            }
            assert_eq!((statuses, others), (20, 1));
        }
    }
}
