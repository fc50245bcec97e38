//! What an error code asks of us: one table for every code that is documented or was seen.
//! Titles and HTTP statuses are not looked at: Meta changes the former and calls only the code
//! dependable. Providers' `send.rs` class the answers with it, ingest the statuses.
//!
//! A code we do not know is [`ErrorClass::FixRequest`]: it fails where it stands and waits for a
//! person. To retry what is not understood costs money and, for some codes, the sender's
//! standing with Meta; to wait costs time.
//!
//! Infobip's codes are other numbers ([`infobip`]), and kept so that they cannot be taken for
//! Meta's.

pub mod infobip;

use std::fmt;
use std::str::FromStr;

/// How far a rate limit reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One business phone number.
    Sender,
    /// One business phone number and one user; other users are not affected.
    Pair,
    /// All numbers of a WhatsApp Business Account.
    Account,
    /// All calls of an app.
    App,
}

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Passing: again, with growing delays, a few times.
    Retry,
    /// Slow down within the scope, then again. Burns no attempt.
    RateLimit(Scope),
    /// Not before 24 hours have passed; sooner tries are held against the sender.
    WaitADay,
    /// This message will never reach this recipient.
    NeverToRecipient,
    /// No message of this template goes until the template is seen to be well.
    TemplateStops,
    /// No message of this sender goes until somebody has put it right.
    SenderStops,
    /// The credentials are no longer good: nothing goes until they are renewed.
    ConnectionStops,
    /// The request itself is wrong: the same again would fail again.
    FixRequest,
}

impl ErrorClass {
    /// Every class, once.
    pub const ALL: [Self; 11] = [
        Self::Retry,
        Self::RateLimit(Scope::Sender),
        Self::RateLimit(Scope::Pair),
        Self::RateLimit(Scope::Account),
        Self::RateLimit(Scope::App),
        Self::WaitADay,
        Self::NeverToRecipient,
        Self::TemplateStops,
        Self::SenderStops,
        Self::ConnectionStops,
        Self::FixRequest,
    ];

    /// The name in the API, in SQL and in metrics. Stable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::RateLimit(Scope::Sender) => "rate_limit_sender",
            Self::RateLimit(Scope::Pair) => "rate_limit_pair",
            Self::RateLimit(Scope::Account) => "rate_limit_account",
            Self::RateLimit(Scope::App) => "rate_limit_app",
            Self::WaitADay => "wait_a_day",
            Self::NeverToRecipient => "never_to_recipient",
            Self::TemplateStops => "template_stops",
            Self::SenderStops => "sender_stops",
            Self::ConnectionStops => "connection_stops",
            Self::FixRequest => "fix_request",
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text is not the name of an error class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an error class")]
pub struct UnknownErrorClass;

impl FromStr for ErrorClass {
    type Err = UnknownErrorClass;

    fn from_str(name: &str) -> Result<Self, UnknownErrorClass> {
        Self::ALL
            .into_iter()
            .find(|class| class.as_str() == name)
            .ok_or(UnknownErrorClass)
    }
}

/// The class of a code; [`ErrorClass::FixRequest`] when the table does not have it.
pub fn classify(code: i64) -> ErrorClass {
    known(code).unwrap_or(ErrorClass::FixRequest)
}

/// The class of a code, or `None` when the table does not have it: the caller may know more,
/// such as Graph's `is_transient`.
pub fn known(code: i64) -> Option<ErrorClass> {
    use ErrorClass::*;
    Some(match code {
        // -- Graph: who calls --------------------------------------------------------------
        0 | 10 | 104 | 190 => ConnectionStops, // token expired, withdrawn, missing, without permission
        200..=299 => ConnectionStops,          // permission not granted, or removed
        3 => FixRequest,                       // capability of this method
        100 | 803 => FixRequest,               // parameter; no such object
        33 => SenderStops,                     // the phone number was deleted
        368 => SenderStops,                    // WABA restricted for violating policies
        506 | 1752041 => NeverToRecipient,     // duplicate: it is done already

        // -- Too much ------------------------------------------------------------------------
        4 | 17 | 613 => RateLimit(Scope::App),
        80007 | 80008 => RateLimit(Scope::Account),
        130429 | 131208 | 138005 => RateLimit(Scope::Sender), // throughput; groups; calls
        131056 | 138009 | 138012 => RateLimit(Scope::Pair),   // messages; call permission requests
        133016 => RateLimit(Scope::Sender),                   // (de)registered too often

        // -- Passing -------------------------------------------------------------------------
        1 | 2 | 131000 | 131016 => Retry, // unknown; overload; "something went wrong"; unavailable
        131057 | 2494100 => Retry,        // maintenance, such as a throughput upgrade: minutes
        133004 | 133015 => Retry,         // server away; number deleted a moment ago
        134101 | 139103 => Retry,         // template still syncing; block list busy

        // -- This user -----------------------------------------------------------------------
        131049 => WaitADay, // per-user marketing limit: Meta asks for at least 24 hours
        130403 => NeverToRecipient, // the business blocked the user
        130472 => NeverToRecipient, // the user is part of an experiment
        130497 => NeverToRecipient, // no messages to the user's country
        131021 => NeverToRecipient, // sender and recipient are one
        131026 => NeverToRecipient, // undeliverable; Meta does not say why
        131043 => NeverToRecipient, // expired
        131047 => NeverToRecipient, // the 24-hour window is closed: only a template could go
        131050 => NeverToRecipient, // the user stopped marketing messages
        137000 => NeverToRecipient, // the user's identity changed

        // -- Template --------------------------------------------------------------------------
        132001 | 132007 => TemplateStops, // does not exist or is not approved; content policy
        132015 | 132016 => TemplateStops, // paused (also every message that pacing drops); disabled
        132068 | 132069 => TemplateStops, // its flow is blocked; is throttled
        131063 | 134102 => TemplateStops, // category barred on this API; sync failed
        132000 | 132005 | 132008 | 132012 | 132018 => FixRequest, // the values of this message

        // -- Sender ----------------------------------------------------------------------------
        131031 | 131048 | 131064 => SenderStops, // locked; spam; misclassified templates
        131037 | 131045 | 133010 => SenderStops, // display name; certificate; not registered
        131042 | 131044 => SenderStops,          // payment
        131005 => ConnectionStops,               // permission not granted, or removed

        // -- Request ---------------------------------------------------------------------------
        131008 | 131009 | 131014 | 131020 | 131030 | 131041 | 131051..=131053 => FixRequest,
        131055 | 131059 | 131061 | 131062 | 134011 | 134100 | 134103 | 135000 => FixRequest,
        131201..=131207 | 131209..=131215 => FixRequest, // groups
        133000..=133003 | 133005..=133009 | 136025 => FixRequest, // registration
        138000..=138018 | 139000..=139004 | 139100..=139102 => FixRequest, // calls, flows, blocking
        147001..=147005 => FixRequest,                   // usernames
        200002 | 200005..=200007 => FixRequest,          // template insights and creation
        2388012 | 2388019 | 2388039 | 2388040 | 2388047 | 2388072 | 2388073 => FixRequest,
        2388091 | 2388093 | 2388103 | 2388293 | 2388299 | 2593107..=2593109 => FixRequest,

        _ => return on_premises(code).or_else(|| infobip::known(code)),
    })
}

/// Codes of the on-premises API, which some solution providers still speak.
fn on_premises(code: i64) -> Option<ErrorClass> {
    use ErrorClass::*;
    Some(match code {
        408 | 500 | 1011 | 1014 | 1016 | 1023 => Retry, // pending for a day; internal; not ready
        429 | 1015 => RateLimit(Scope::Sender),
        410 | 470 | 472 | 480 => NeverToRecipient, // expired; window; experiment; identity
        1007 | 1013 | 1021 | 1026 => NeverToRecipient, // blocked; not valid; itself; incapable
        402 | 430 | 432 | 433 | 471 | 1031 => SenderStops, // payment; certificate; spam; locked
        1005 | 1024 => ConnectionStops,            // access denied; password has to change
        2001 | 2007 | 2061 | 2062 => TemplateStops, // missing; content policy; paused; disabled
        400 | 401 | 501 | 1000..=1002 | 1004 | 1006 | 1008..=1010 | 1022 | 1025 => FixRequest,
        2000 | 2002..=2006 | 2008 | 2009 | 2012 => FixRequest, // values of the message
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_read_back() {
        for class in ErrorClass::ALL {
            assert_eq!(class.as_str().parse(), Ok(class));
        }
        assert_eq!("retries".parse::<ErrorClass>(), Err(UnknownErrorClass));
        assert_eq!(
            ErrorClass::RateLimit(Scope::Pair).to_string(),
            "rate_limit_pair"
        );
    }

    #[test]
    fn codes_ask_for_what_meta_documents() {
        use ErrorClass::*;
        for (code, class) in [
            (190, ConnectionStops),
            (0, ConnectionStops),
            (10, ConnectionStops),
            (200, ConnectionStops),
            (299, ConnectionStops),
            (1, Retry),
            (2, Retry),
            (131000, Retry),
            (4, RateLimit(Scope::App)),
            (80007, RateLimit(Scope::Account)),
            (130429, RateLimit(Scope::Sender)),
            (131056, RateLimit(Scope::Pair)),
            (138005, RateLimit(Scope::Sender)),
            (138006, FixRequest),
            (131049, WaitADay),
            (130472, NeverToRecipient),
            (131026, NeverToRecipient),
            (131050, NeverToRecipient),
            (132001, TemplateStops),
            (132015, TemplateStops),
            (132016, TemplateStops),
            (2061, TemplateStops),
            (131048, SenderStops),
            (368, SenderStops),
            (133010, SenderStops),
            (100, FixRequest),
            (132000, FixRequest),
            (470, NeverToRecipient),
            (471, SenderStops),
        ] {
            assert_eq!(classify(code), class, "{code}");
        }
    }

    #[test]
    fn an_unknown_code_waits_for_a_person() {
        for code in [-1, 7, 999_999, i64::MIN, i64::MAX] {
            assert_eq!(known(code), None);
            assert_eq!(classify(code), ErrorClass::FixRequest);
        }
    }

    #[test]
    fn every_documented_code_of_a_message_is_in_the_table() {
        let documented = [
            0, 1, 2, 3, 4, 10, 33, 100, 104, 190, 200, 250, 299, 368, 613, 80007, 80008, 130403,
            130429, 130472, 130497, 131000, 131005, 131008, 131009, 131014, 131016, 131020, 131021,
            131026, 131030, 131031, 131037, 131041, 131042, 131043, 131044, 131045, 131047, 131048,
            131049, 131050, 131051, 131052, 131053, 131055, 131056, 131057, 131059, 131062, 131063,
            131064, 131201, 131208, 131215, 132000, 132001, 132005, 132007, 132008, 132012, 132015,
            132016, 132018, 132068, 132069, 133000, 133004, 133005, 133006, 133008, 133009, 133010,
            133015, 133016, 134011, 134100, 134101, 134102, 135000, 137000, 138000, 138018, 139000,
            139100, 147001, 1752041, 2388019, 2388039, 2494100, 2593109, 400, 410, 429, 430, 470,
            471, 472, 480, 500, 501, 1005, 1013, 1026, 1031, 2000, 2001, 2061, 2062,
        ];
        for code in documented {
            assert!(known(code).is_some(), "{code}");
        }
    }
}
