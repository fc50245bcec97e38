//! Elements of `statuses[]`: what became of a message. The hot path: fields are borrowed from the
//! body, and trees are built only of the small objects that are kept.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::envelope::{needed, within};
use super::lists::{Around, needed_number, other};
use super::{Unreadable, calls, errors};
use crate::model::fact::{Fact, ItemPath, ProviderError, Said, Status, StatusFact};
use crate::provider::lenient::{self, Text};

/// As Meta writes it. Of the fields with two spellings both occur, sometimes in one object.
#[derive(Debug, Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    recipient_id: Option<Text<'a>>,
    #[serde(borrow)]
    recipient_user_id: Option<Text<'a>>,
    #[serde(borrow)]
    recipient_parent_user_id: Option<Text<'a>>,
    #[serde(borrow)]
    parent_recipient_user_id: Option<Text<'a>>,
    #[serde(borrow)]
    recipient_participant_id: Option<Text<'a>>,
    #[serde(borrow)]
    participant_recipient_id: Option<Text<'a>>,
    #[serde(borrow)]
    recipient_participant_user_id: Option<Text<'a>>,
    #[serde(borrow)]
    participant_recipient_user_id: Option<Text<'a>>,
    #[serde(borrow)]
    biz_opaque_callback_data: Option<Text<'a>>,
    #[serde(borrow)]
    errors: Option<&'a RawValue>,
    #[serde(borrow)]
    pricing: Option<&'a RawValue>,
    #[serde(borrow)]
    conversation: Option<&'a RawValue>,
}

impl Item<'_> {
    fn parent_user(&self) -> Option<&str> {
        first([
            &self.recipient_parent_user_id,
            &self.parent_recipient_user_id,
        ])
    }

    /// A member of a group: by phone number, or by user id where Meta does not share the number.
    fn participant(&self) -> Option<&str> {
        first([
            &self.recipient_participant_id,
            &self.participant_recipient_id,
        ])
        .or_else(|| {
            first([
                &self.recipient_participant_user_id,
                &self.participant_recipient_user_id,
            ])
        })
    }
}

fn text<'t>(text: &'t Option<Text<'_>>) -> Option<&'t str> {
    text.as_ref().and_then(Text::filled)
}

fn first<'t>(spellings: [&'t Option<Text<'_>>; 2]) -> Option<&'t str> {
    spellings.into_iter().find_map(text)
}

pub(super) fn read(
    around: Around<'_, '_>,
    path: ItemPath,
    raw: &RawValue,
) -> Result<Fact, Unreadable> {
    let item: Item<'_> = serde_json::from_str(raw.get())?;
    // Calls and payments have statuses too; theirs must not move a message.
    match text(&item.kind) {
        None | Some("message") => {}
        Some("call") => return calls::status(around, path, raw),
        Some("payment") => return calls::payment(around, path, raw),
        Some(kind) => {
            let field = format!("{}.statuses.{kind}", around.change.field);
            return other(around, field, path, raw);
        }
    }
    let id = needed("id", text(&item.id))?;
    let status = needed("status", text(&item.status))?;
    let status = Status::from(status.as_str());
    let recipient = text(&item.recipient_id);
    let participant = item.participant();
    within("recipient_id", recipient)?;
    within("recipient_user_id", text(&item.recipient_user_id))?;
    within("recipient_parent_user_id", item.parent_user())?;
    within("recipient_participant_id", participant)?;
    let (error, data) = data(&item, &status)?;
    Ok(Fact {
        item: path,
        key: participant.unwrap_or_default().to_owned(),
        at: item.timestamp.and_then(lenient::moment),
        data,
        said: Said::Status(StatusFact {
            number: needed_number(around.number)?,
            provider_message_id: id,
            status,
            recipient: recipient.map(str::to_owned),
            user_id: text(&item.recipient_user_id).map(str::to_owned),
            parent_user_id: item.parent_user().map(str::to_owned),
            participant: participant.map(str::to_owned),
            callback: text(&item.biz_opaque_callback_data).map(str::to_owned),
            error,
        }),
    })
}

/// What is kept of a status, with our names. Its attempt knows the provider's id, and its type
/// the word, unless that is unknown.
#[derive(Debug, Serialize)]
struct Data<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_parent_user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    participant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pricing: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_data: Option<&'a str>,
}

fn data(item: &Item<'_>, status: &Status) -> Result<(Option<ProviderError>, String), Unreadable> {
    let (error, errors) = match item.errors {
        Some(raw) => {
            let (error, shown) = errors::read_all(raw)?;
            (error, Some(shown))
        }
        None => (None, None),
    };
    let mut conversation = item.conversation.map(lenient::tree).transpose()?;
    // On group messages `pricing` sometimes stands inside `conversation`.
    let nested = conversation
        .as_mut()
        .and_then(Value::as_object_mut)
        .and_then(|conversation| conversation.remove("pricing"))
        .map(|pricing| to_raw_value(&pricing))
        .transpose()?;
    let pricing = item.pricing.map(lenient::kept).transpose()?;

    let data = Data {
        status: match status {
            Status::Other(word) => Some(word),
            _ => None,
        },
        recipient: text(&item.recipient_id),
        recipient_user_id: text(&item.recipient_user_id),
        recipient_parent_user_id: item.parent_user(),
        participant: item.participant(),
        errors,
        pricing: pricing.as_deref().or(nested.as_deref()),
        conversation,
        callback_data: text(&item.biz_opaque_callback_data),
    };
    Ok((error, serde_json::to_string(&data)?))
}
