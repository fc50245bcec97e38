//! Inbound messages. Their ids are Meta's; their types are Infobip's, in lower case, and the
//! content stands under its type as Meta's does.

use serde_json::{Map, Value};

use super::{Item, inside, kept, number};
use crate::model::fact::{Fact, InboundFact, Said, UserRef};
use crate::provider::meta::webhook::Unreadable;
use crate::provider::meta::webhook::envelope::{needed, within};
use crate::provider::meta::webhook::shown::{Shown, id};

pub(super) fn read(item: &Item<'_>) -> Result<Fact, Unreadable> {
    let members = &item.members;
    let message_id = needed("messageId", members.text("messageId").as_deref())?;
    let message = inside(members, "message");
    let contact = inside(members, "contact");
    let kind = message.text("type").unwrap_or("unknown".into());
    let kind = kind.to_lowercase();
    within("message.type", Some(&kind))?;
    let from = members.text("from");
    within("from", from.as_deref())?;
    let from = from.map(|from| from.into_owned());
    let user = UserRef {
        // Without a phone number the user's scoped id stands in its place.
        wa_id: id(&contact, "phoneNumber").or(from.clone()),
        user_id: id(&contact, "userId"),
        parent_user_id: id(&contact, "parentUserId"),
    };

    let mut shown = Shown::of(members);
    shown.without("messageId");
    shown.without("integrationType");
    shown.without("to");
    shown.put("provider_message_id", Some(message_id.as_str()));
    shown.put("type", Some(kind.as_str()));
    shown.text("from", "from");
    shown.put("from_user_id", user.user_id.clone());
    shown.put("from_parent_user_id", user.parent_user_id.clone());
    shown.text("callbackData", "callback_data");
    let at = shown.date_shown("receivedAt", "received_at");
    shown.without("contact");
    shown.put("profile", kept(members, "contact")?);
    let mut shown = match kept(members, "message")? {
        Some(Value::Object(content)) => {
            shown.without("message");
            with_content(shown.whole()?, &kind, content)
        }
        _ => shown.whole()?,
    };
    shown.remove("received_at");

    Ok(Fact {
        item: item.path.clone(),
        key: message_id.clone(),
        at,
        data: Value::Object(shown).to_string(),
        said: Said::Inbound(InboundFact {
            number: number(members.text("to").as_deref())?,
            provider_message_id: message_id,
            kind,
            from,
            from_user_id: user.user_id.clone(),
            in_group: false,
            aliases: user.aliases().collect(),
        }),
    })
}

/// The content under its type, without that; what it refers to beside it, as with Meta.
fn with_content(
    mut data: Map<String, Value>,
    kind: &str,
    mut content: Map<String, Value>,
) -> Map<String, Value> {
    content.remove("type");
    for beside in ["context", "referral"] {
        if let Some(value) = content.remove(beside) {
            data.insert(beside.to_owned(), value);
        }
    }
    // A type is the provider's word, and may be one of our names.
    let place = if data.contains_key(kind) {
        "message"
    } else {
        kind
    };
    data.insert(place.to_owned(), Value::Object(content));
    data
}
