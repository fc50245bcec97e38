//! Why what somebody asks for of a message, a sequence or a campaign cannot be done as it stands.

use super::sequence_changes::MOST_MESSAGES;
use super::{Reply, StoreError};

/// Why something cannot be done as things stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WrongState {
    /// It has ended for good.
    #[error("the sequence has ended")]
    Ended,
    /// Only what runs can be paused.
    #[error("the sequence is not running")]
    NotRunning,
    /// Only what waits for a person, or was stopped by a policy, can be gone on with.
    #[error("the sequence is not held or stopped, so there is nothing to decide")]
    NotHeld,
    /// Only what failed, or is held because its fate is unknown, can be tried again.
    #[error("the message has not failed, or its sequence has gone on without it")]
    NotFailed,
    /// It is out of our hands.
    #[error("the message has been sent, or is being sent just now")]
    AlreadySent,
    /// What the provider may have cannot be another way.
    #[error(
        "the message has been taken to be posted before: what may be on its way stays as it is"
    )]
    AlreadyTried,
    /// A person took it out.
    #[error("the message has been cancelled")]
    Cancelled,
    /// One more message than a sequence can have.
    #[error("a sequence has at most {MOST_MESSAGES} messages")]
    TooLong,
    /// It has the messages of its campaign.
    #[error("the sequence is one of a campaign's, which all have the same messages")]
    OfCampaign,
    /// Recipients are taken, and activation is done, before it goes.
    #[error("the campaign is no draft any more")]
    NotDraft,
    /// One at a time.
    #[error("recipients of this campaign are being uploaded just now")]
    Uploading,
    /// The upload of recipients was given up, since nothing came of it for long, or its campaign is
    /// no draft any more.
    #[error(
        "this upload was given up: it was silent for two minutes, or the campaign is no draft any more"
    )]
    UploadGivenUp,
    /// There is nobody to send to.
    #[error("the campaign has no recipients yet")]
    NoRecipients,
    /// Only what goes can be paused.
    #[error("the campaign is not running")]
    CampaignNotRunning,
    /// Only what is paused can be gone on with.
    #[error("the campaign is not paused")]
    CampaignNotPaused,
    /// It has ended for good.
    #[error("the campaign has ended")]
    CampaignEnded,
    /// Nobody knows whom it went to.
    #[error("the person it went to was erased")]
    Erased,
}

impl WrongState {
    /// The API's code. Stable.
    pub fn code(self) -> &'static str {
        match self {
            Self::Ended => "sequence_ended",
            Self::NotRunning => "not_running",
            Self::NotHeld => "not_held",
            Self::NotFailed => "not_failed",
            Self::AlreadySent => "already_sent",
            Self::AlreadyTried => "already_tried",
            Self::Cancelled => "message_cancelled",
            Self::TooLong => "sequence_too_long",
            Self::OfCampaign => "part_of_campaign",
            Self::NotDraft => "not_draft",
            Self::Uploading => "upload_under_way",
            Self::UploadGivenUp => "upload_given_up",
            Self::NoRecipients => "no_recipients",
            Self::CampaignNotRunning => "not_running",
            Self::CampaignNotPaused => "not_paused",
            Self::CampaignEnded => "campaign_ended",
            Self::Erased => "recipient_erased",
        }
    }
}

/// What became of a change: `None` when there is no such thing.
pub type Changed = Result<Option<Result<Reply, WrongState>>, StoreError>;
