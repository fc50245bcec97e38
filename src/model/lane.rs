//! What may be paused as one: the name of the lane that a message would use.

use uuid::Uuid;

/// The lane of sequences that wait for a decision and not for a POST: never closed.
pub const DECISION: &str = "";
/// The lane of messages that use no template.
pub const FREE: &str = "-";

/// The lane of sequences that a person has paused: never open.
pub const PAUSED: &str = "=";

/// The lane of a template. Meta's examples spell languages `en_US` and `en-US`: one lane.
pub fn of_template(name: &str, language: &str) -> String {
    format!("{name}/{}", language.replace('-', "_"))
}

/// The lane of what would use `lane`, in a campaign: its own, so that it can be paused with the
/// campaign. No template's name begins with a plus.
pub fn in_campaign(campaign: Uuid, lane: &str) -> String {
    format!("+{campaign}/{lane}")
}

/// The lane of a message, by its template if it has one.
pub fn of(template: Option<(&str, &str)>) -> String {
    match template {
        Some((name, language)) => of_template(name, language),
        None => FREE.to_owned(),
    }
}
