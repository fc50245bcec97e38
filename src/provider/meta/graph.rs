//! What all calls of the Graph API share: paths, and the error object.

use crate::model::error_class::{ErrorClass, known};
use crate::model::fact::ProviderError;
use crate::provider::lenient::{self, Members, Text};

/// An error as Graph answers it, whatever the HTTP status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Meta answered with error {}: {}", .error.code, .error.title.as_deref().unwrap_or("no text"))]
pub struct GraphError {
    /// Code and texts.
    pub error: ProviderError,
    /// What to do.
    pub class: ErrorClass,
}

/// Reads `{"error":{…}}`. Without a code it is not Graph that answers.
pub(super) fn error(body: &Members<'_>) -> Option<GraphError> {
    let error = Members::open(body.get("error")?.get()).ok()?;
    let text = |name| error.text(name).map(|text| text.into_owned());
    let code = error.get("code").and_then(lenient::integer)?;
    // `error_data` is an object on messages and can be plain text on templates.
    let details = error.get("error_data").and_then(|raw| {
        let nested = Members::open(raw.get()).ok().and_then(|data| {
            let details = data.text("details")?;
            Some(details.into_owned())
        });
        nested.or_else(|| {
            let text = serde_json::from_str::<Text<'_>>(raw.get()).ok()?;
            text.filled().map(str::to_owned)
        })
    });
    let is_transient = error
        .get("is_transient")
        .is_some_and(|raw| raw.get() == "true");
    // Graph's own word counts only where the table has none.
    let unlisted = if is_transient {
        ErrorClass::Retry
    } else {
        ErrorClass::FixRequest
    };
    Some(GraphError {
        class: known(code).unwrap_or(unlisted),
        error: ProviderError {
            code,
            title: text("message"),
            details: details.or_else(|| text("error_user_msg")),
        },
    })
}

/// Percent-encodes a segment of a path or a value of a query.
pub(in crate::provider) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
