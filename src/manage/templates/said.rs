//! What a reading of a template says, and as of when.

use crate::model::Timestamp;
use crate::model::ids::{ConnectionId, TemplateId};
use crate::model::reading::TemplateReading;
use crate::model::template::{Health, is_sendable};
use crate::store::ingest::{TemplateSaid, TemplateStatusSaid};

/// When what a reading shows holds from: to the second, as webhooks are, so that a stop that was said
/// in the same second wins. But a review: what ends it in that second came after it was seen. And one
/// that is open is seen before an edit of that second begins its review, and that before its end.
pub(in crate::manage) fn read_at(asked_at: Timestamp, status: &str) -> Timestamp {
    let second = asked_at.replace_nanosecond(0).unwrap_or(asked_at);
    match status {
        "PENDING" => second - time::Duration::MICROSECOND,
        word if is_sendable(word) => second - time::Duration::MICROSECOND * 2,
        _ => second,
    }
}

/// What a reading says, dated to when it was asked for.
pub(in crate::manage) fn said_of(
    connection: ConnectionId,
    waba_id: &str,
    at: Timestamp,
    read: TemplateReading,
) -> TemplateSaid {
    TemplateSaid {
        provider_template_id: read.provider_template_id,
        category: read.category.map(|category| (category, at)),
        status: Some(TemplateStatusSaid {
            health: Health {
                at,
                status: read.status,
            },
            reason: read.reason,
            pause_title: read.pause_title,
            read: true,
        }),
        quality: read.quality.map(|score| (score, at)),
        ..nothing(connection, waba_id, &read.name, &read.language)
    }
}

pub(super) fn nothing(
    connection: ConnectionId,
    waba_id: &str,
    name: &str,
    language: &str,
) -> TemplateSaid {
    TemplateSaid {
        id: TemplateId::of(connection, waba_id, name, language),
        connection,
        waba_id: waba_id.to_owned(),
        name: name.to_owned(),
        language: language.to_owned(),
        provider_template_id: None,
        category: None,
        status: None,
        quality: None,
    }
}
