//! Conversation Routing: who of several responders has a conversation, and what the others say
//! and hear meanwhile.

use std::sync::Arc;

use super::Unreadable;
use super::envelope::Change;
use super::lists::{Around, number, number_of, walk_lists};
use super::shown::Shown;
use super::templates::of;
use crate::model::event;
use crate::model::fact::{Decoded, Fact, NewsFact, Said};
use crate::provider::lenient::Members;

/// `messaging_handovers`. Its type says under which member it stands who had the conversation and
/// who has it.
pub(super) fn handover(change: &Change<'_>, value: &Members<'_>) -> Result<Fact, Unreadable> {
    const OWNERS: [&str; 7] = [
        "previous_owner_app_id",
        "previous_owner_app_role",
        "previous_owner_role",
        "new_owner_app_id",
        "new_owner_role",
        "metadata",
        "conversation_context",
    ];
    let recipient = value
        .get("recipient")
        .and_then(|raw| Members::open(raw.get()).ok());
    let number = recipient
        .as_ref()
        .and_then(|recipient| number_of(change, recipient));
    let mut shown = Shown::of_value(value);
    shown.text("type", "type");
    let at = shown.time("timestamp");
    shown.inside(
        "sender",
        &[("phone_number", "user"), ("user_id", "user_id")],
    )?;
    for object in ["control_passed", "control_taken"] {
        shown.inside(object, &OWNERS.map(|name| (name, name)))?;
    }
    let key = change.digest(&change.field, number.as_ref(), change.value);
    let said = Said::News(NewsFact {
        r#type: event::CONVERSATION_HANDOVER.into(),
        number,
        words: Vec::new(),
    });
    let fact = of(change, said, shown.finish()?);
    Ok(Fact {
        key,
        at: at.or(fact.at),
        ..fact
    })
}

/// `standby`: what is said to and by others who have the conversation. Statuses are of messages
/// that another responder posted, or of ours, posted before: the same evidence as elsewhere.
pub(super) fn standby(change: &Change<'_>, value: &Members<'_>, out: &mut Decoded) {
    let number = number(change, value).map(Arc::new);
    let inside = value
        .get("standby")
        .and_then(|raw| Members::open(raw.get()).ok());
    let walked = inside.is_some_and(|inside| {
        let around = Around {
            change,
            value: &inside,
            number: number.as_ref(),
        };
        let prefix = format!("{}.value.standby.", change.path);
        let known = ["statuses", "messages", "message_echoes", "errors"];
        walk_lists(around, &prefix, &known, out)
    });
    if !walked {
        let (path, number) = (change.path.clone(), number.as_deref().cloned());
        let fact = change.other(path, change.field.to_string(), number, change.value);
        out.take(change.path.clone(), fact);
    }
}
