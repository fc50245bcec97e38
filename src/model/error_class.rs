//! What an error code means for what we do next.

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// Try again later.
    Retry,
    /// Too fast, in the given scope.
    RateLimit(Scope),
    /// Not before a day has passed.
    WaitADay,
    /// Not to this recipient.
    NeverToRecipient,
    /// The template may not be sent.
    TemplateStops,
    /// The sender may not send.
    SenderStops,
    /// The connection's token is gone.
    ConnectionStops,
    /// The request is wrong.
    FixRequest,
}

/// What a rate limit is counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The sender.
    Sender,
    /// Sender and recipient.
    Pair,
    /// The business account.
    Account,
    /// The app.
    App,
}

impl ErrorClass {
    /// The API's word.
    pub fn as_str(self) -> &'static str {
        "retry"
    }
}

/// The class of a code.
pub fn classify(_code: i64) -> ErrorClass {
    ErrorClass::Retry
}
