//! What a sequence does about what its recipient does and wants, and what is not posted at all
//! because the provider would refuse it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Action, OnFailure, OnOptOut, OnTemplatePause, OutsideWindow, Reason, Sequence};
use crate::model::Timestamp;
use crate::model::error_class::ErrorClass;
use crate::model::fact::ProviderError;
use crate::model::message::Attempt;

/// What the caller chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Whether the sequence ends when the user writes.
    pub stop_on_reply: bool,
    /// What a user who wants no marketing means.
    pub on_opt_out: OnOptOut,
    /// What a closed window means to what is no template.
    pub outside_window: OutsideWindow,
    /// What a message that its template's pause took down is.
    pub on_template_pause: OnTemplatePause,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            stop_on_reply: false,
            on_opt_out: OnOptOut::Stop,
            outside_window: OutsideWindow::Fail,
            on_template_pause: OnTemplatePause::Wait,
        }
    }
}

/// What is known of a recipient.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct User {
    /// When they wrote last, by the provider's clock. `None` where nobody told us that they did.
    pub wrote_at: Option<Timestamp>,
    /// Whether they want no marketing.
    pub no_marketing: bool,
    /// Whether theirs is a number of the United States.
    pub is_us: bool,
}

impl User {
    /// Whether anything may be sent to them, because they wrote.
    pub fn has_window(&self, now: Timestamp) -> bool {
        self.wrote_at.is_some_and(|at| now < at + WINDOW)
    }
}

/// What a message is, as far as it matters to whether it may go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Content {
    /// A template that is known to be marketing.
    Marketing,
    /// Any other template.
    Template,
    /// What may go only while the window that the user's last message opened is open.
    FreeForm,
    /// What no rule is known for, such as a message to a group.
    #[default]
    Other,
}

/// What is done with marketing to the United States, where Meta delivers none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UsMarketing {
    /// It fails, and `on_failure` says what follows.
    Fail,
    /// It fails, and the next message goes.
    Skip,
    /// It is posted.
    Send,
}

/// Rules of the providers that may change: configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// What is done with marketing to the United States.
    pub us_marketing: UsMarketing,
    /// Since when.
    pub us_marketing_from: Timestamp,
}

/// Why something is not posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The user wants no marketing.
    OptedOut,
    /// The user wrote last too long ago.
    WindowClosed,
    /// It is marketing to the United States.
    UsMarketing,
}

impl Refusal {
    /// The word of what waits for it, in SQL and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OptedOut => "opted_out",
            Self::WindowClosed => "window_closed",
            Self::UsMarketing => "us_marketing",
        }
    }

    /// As the provider would say it.
    pub fn error(self) -> ProviderError {
        let (code, title, details) = match self {
            Self::OptedOut => (
                131_050,
                "The user has stopped marketing messages",
                "not posted: the provider told us so",
            ),
            Self::WindowClosed => (
                131_047,
                "The user wrote last more than 24 hours ago",
                "not posted: only a template could go",
            ),
            Self::UsMarketing => (
                131_049,
                "Marketing templates are not delivered to numbers of the United States",
                "not posted, by the rule `send.us_marketing`",
            ),
        };
        ProviderError {
            code,
            title: Some(title.to_owned()),
            details: Some(details.to_owned()),
        }
    }
}

/// How long after the user's last message anything may be sent.
const WINDOW: Duration = Duration::from_secs(24 * 3600);

/// What becomes of a head that nothing else keeps from being posted now. One that is posted again
/// because its answer was lost may have gone, and so it has not failed: it waits for a person, or
/// for evidence.
pub fn may_post(
    policy: &Policy,
    content: Content,
    user: &User,
    rules: &Rules,
    now: Timestamp,
    repeats: bool,
) -> Action {
    match allowed(policy, content, user, rules, now) {
        Action::Refuse(_) if repeats => Action::Hold(Reason::Unknown),
        action => action,
    }
}

fn allowed(
    policy: &Policy,
    content: Content,
    user: &User,
    rules: &Rules,
    now: Timestamp,
) -> Action {
    match content {
        Content::Marketing if user.no_marketing => match policy.on_opt_out {
            OnOptOut::Wait => Action::AwaitUser(Refusal::OptedOut),
            OnOptOut::Stop | OnOptOut::Fail => Action::Refuse(Refusal::OptedOut),
        },
        Content::Marketing
            if user.is_us
                && rules.us_marketing != UsMarketing::Send
                && now >= rules.us_marketing_from =>
        {
            Action::Refuse(Refusal::UsMarketing)
        }
        Content::FreeForm if user.wrote_at.is_some_and(|at| now >= at + WINDOW) => {
            match policy.outside_window {
                OutsideWindow::Send => Action::Post,
                OutsideWindow::Wait => Action::AwaitUser(Refusal::WindowClosed),
                OutsideWindow::Fail => Action::Refuse(Refusal::WindowClosed),
            }
        }
        _ => Action::Post,
    }
}

/// Whether the sequence is over because the user wrote since then.
pub(super) fn is_answered(sequence: &Sequence, user: &User) -> bool {
    sequence.policy.stop_on_reply && user.wrote_at > Some(sequence.since)
}

/// Whether the user wrote after this attempt failed for having had too much marketing: the window
/// that is open then does not count against it.
pub(super) fn wants_it_now(last: &Attempt, user: &User) -> bool {
    let failed = last.evidence.failed;
    last.failure() == Some(ErrorClass::WaitADay)
        && failed.is_some_and(|failed| user.wrote_at > Some(failed.at))
}

/// Whether the provider refused it because the user wrote too long ago, and the caller would
/// rather wait until they write.
pub(super) fn is_too_late(sequence: &Sequence, content: Content, last: &Attempt) -> bool {
    const RE_ENGAGEMENT: i64 = 131_047;
    let failed = last.evidence.failed;
    content == Content::FreeForm
        && sequence.policy.outside_window == OutsideWindow::Wait
        && failed.is_some_and(|failed| failed.code == RE_ENGAGEMENT)
}

/// Whether it is so, and they have not written since.
pub(super) fn awaits_word(
    sequence: &Sequence,
    content: Content,
    last: &Attempt,
    user: &User,
) -> bool {
    let failed_at = last.evidence.failed.map(|failed| failed.at);
    is_too_late(sequence, content, last) && user.wrote_at <= failed_at
}

/// Why a sequence ends whose message failed for good; `None` when it goes on with the next.
pub(super) fn end_of_failure(sequence: &Sequence, last: &Attempt, rules: &Rules) -> Option<Reason> {
    const STOPPED_MARKETING: i64 = 131_050;
    let failed = last.evidence.failed;
    let opted_out = last.rule == Some(Refusal::OptedOut)
        || failed.is_some_and(|failed| failed.code == STOPPED_MARKETING);
    if opted_out && sequence.policy.on_opt_out == OnOptOut::Stop {
        return Some(Reason::OptOut);
    }
    let skips = last.rule == Some(Refusal::UsMarketing) && rules.us_marketing == UsMarketing::Skip;
    let goes_on = skips || sequence.on_failure == OnFailure::Skip;
    (!goes_on).then_some(Reason::Failure)
}
