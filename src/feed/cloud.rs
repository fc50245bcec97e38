//! Events as CloudEvents 1.0 in structured mode (https://github.com/cloudevents/spec): the whole
//! event is the `data`, so that who reads them knows what who reads the feed knows.

use hyper::body::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Event;
use crate::model::rfc3339;

/// One event.
#[derive(Debug, Serialize)]
pub struct CloudEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    /// With `id` unique among all that we say.
    source: String,
    #[serde(rename = "type")]
    r#type: &'a str,
    subject: Option<&'a str>,
    time: String,
    datacontenttype: &'static str,
    data: Option<&'a RawValue>,
}

impl<'a> CloudEvent<'a> {
    /// The same event.
    pub fn of(event: &'a Event) -> Self {
        let source = match event.connection {
            Some(connection) => format!("urn:twotick:{connection}"),
            None => "urn:twotick".to_owned(),
        };
        Self {
            specversion: "1.0",
            id: &event.id,
            source,
            r#type: &event.r#type,
            subject: event.subject.as_deref(),
            time: rfc3339(event.at),
            datacontenttype: "application/json",
            data: serde_json::from_slice(&event.json).ok(),
        }
    }

    /// As JSON.
    pub fn to_bytes(&self) -> Bytes {
        // Texts alone: it cannot fail.
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

/// Several, as a batch.
pub fn write_batch<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<u8> {
    let batch: Vec<_> = events.into_iter().map(CloudEvent::of).collect();
    serde_json::to_vec(&batch).unwrap_or_default()
}
