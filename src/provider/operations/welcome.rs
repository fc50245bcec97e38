//! Meta's welcome message sequences: the calls. One address does it all; which call it is, is said by
//! its method, and by whether it names a sequence.

use super::{Operation, Verb, meta};

const SEQUENCES: &str = "{version}/{waba}/welcome_message_sequences";

const fn sequences(
    name: &'static str,
    says: &'static str,
    api: &'static [&'static str],
    verb: Verb,
) -> Operation {
    Operation {
        name,
        says,
        api,
        with: &[],
        meta: meta(verb, SEQUENCES),
        dialog360: None,
        dialog360_onprem: None,
        infobip: None,
    }
}

/// All of them.
pub static LIST_WELCOME: Operation = sequences(
    "welcome.list",
    "List welcome message sequences, those that the connection's app made.",
    &["GET /v1/welcome_sequences"],
    Verb::Get,
);

/// One.
pub static READ_WELCOME: Operation = sequences(
    "welcome.read",
    "Read a welcome message sequence.",
    &["GET /v1/welcome_sequences/{id}"],
    Verb::Get,
);

/// A new one.
pub static CREATE_WELCOME: Operation = sequences(
    "welcome.create",
    "Make a welcome message sequence.",
    &["POST /v1/welcome_sequences"],
    Verb::Post,
);

/// A name, or what it says.
pub static UPDATE_WELCOME: Operation = sequences(
    "welcome.update",
    "Change a welcome message sequence that no ad uses.",
    &["PATCH /v1/welcome_sequences/{id}"],
    Verb::Post,
);

/// Its end.
pub static DELETE_WELCOME: Operation = sequences(
    "welcome.delete",
    "Delete a welcome message sequence that no ad uses.",
    &["DELETE /v1/welcome_sequences/{id}"],
    Verb::Delete,
);

/// Every row, in the order in which it is shown.
pub static ALL: [&Operation; 5] = [
    &LIST_WELCOME,
    &READ_WELCOME,
    &CREATE_WELCOME,
    &UPDATE_WELCOME,
    &DELETE_WELCOME,
];
