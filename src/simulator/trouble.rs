//! Why a provider does not do what it is asked, or could not do it. Each dialect has words and
//! numbers of its own for these.

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Not the key, or none.
    BadKey,
    /// A parameter has a value that it may not have.
    Invalid {
        field: String,
        message: String,
    },
    /// A parameter is not there.
    Missing {
        field: String,
        message: String,
    },
    /// Nothing has this id.
    UnknownObject(String),
    /// WhatsApp takes no more of this sender for now.
    RateLimited,
    /// More than `messages_per_second`: the provider's own limit.
    TooFast,
    /// More to one user than may be.
    TooFastForUser,
    SomethingWentWrong,
    Unavailable,
    /// The number has no WhatsApp, or the like: known only after acceptance.
    Undeliverable,
    /// The user has had enough marketing for now: known only after acceptance.
    EnoughMarketing,
    TemplatePaused,
    TemplateDisabled,
    TemplateUnknown {
        name: String,
        language: String,
    },
    /// A template cannot be made or changed so: Meta's subcode, and why.
    Template {
        code: i64,
        message: String,
    },
    /// A flow cannot be changed so: Meta's code, and why.
    Flow {
        code: i64,
        message: String,
    },
    /// A number cannot be registered so: the status, Meta's code, and why.
    Number {
        http: u16,
        code: i64,
        message: &'static str,
    },
    /// A welcome message sequence: Meta's number, as a code or a subcode, and why.
    Sequence {
        code: i64,
        message: &'static str,
        as_subcode: bool,
    },
    /// The key may not do this: Meta says it in one way to who reads, in another to who changes.
    NotPermitted {
        changes: bool,
    },
    /// It takes the key of the app itself.
    NoAppKey,
    /// A callback URL did not prove to be the caller's: why.
    Handshake(String),
    /// The caller's own id was used before.
    DuplicateId,
}

impl Trouble {
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        let (field, message) = (field.into(), message.into());
        Self::Invalid { field, message }
    }

    pub fn missing(field: impl Into<String>, message: impl Into<String>) -> Self {
        let (field, message) = (field.into(), message.into());
        Self::Missing { field, message }
    }
}
