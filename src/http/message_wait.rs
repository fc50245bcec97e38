//! `?wait=delivered`: an answer that comes when a message has reached a status, or cannot any more.

use std::time::Duration;

use serde::Deserialize;
use utoipa::IntoParams;

use super::Api;
use super::content::Span;
use super::problem::ApiError;
use crate::model::ids::MessageId;
use crate::model::message::MessageStatus;

/// For how long an answer may be waited for, at most.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wait {
    /// Answer when this status is reached, when it can no longer be, or when time is up. `read`
    /// counts as `delivered`.
    #[param(value_type = Option<MessageStatus>)]
    wait: Option<StatusWord>,
    /// How long to wait: `30s` where nothing is said, at most `60s`.
    timeout: Option<Span>,
}

/// One of the statuses.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub struct StatusWord(pub MessageStatus);

impl TryFrom<String> for StatusWord {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        MessageStatus::parse(&word).map(Self).ok_or_else(|| {
            let words = MessageStatus::ALL.map(MessageStatus::as_str).join("`, `");
            format!("expected one of `{words}`")
        })
    }
}

impl Wait {
    /// Returns at once where nothing is waited for.
    pub async fn until_reached(&self, api: &Api, message: MessageId) -> Result<(), ApiError> {
        let timeout = self.timeout.as_ref();
        let timeout = timeout.map_or(Duration::from_secs(30), |span| span.0);
        if timeout > LONGEST_WAIT {
            return Err(ApiError::field("timeout", "expected at most `60s`"));
        }
        match self.wait {
            Some(StatusWord(wanted)) => {
                let full = "as many wait as `http.max_waits` allows; follow the events instead";
                let place = api.waits.try_acquire();
                let _place = place.map_err(|_| ApiError::Overloaded(full.to_owned()))?;
                wait_for(api, message, wanted, timeout).await
            }
            None => Ok(()),
        }
    }
}

/// Returns when the status is reached, when it cannot be any more, or when time is up.
async fn wait_for(
    api: &Api,
    id: MessageId,
    wanted: MessageStatus,
    timeout: Duration,
) -> Result<(), ApiError> {
    /// Commits of other instances are not signalled here.
    const LOOK_AGAIN: Duration = Duration::from_millis(500);
    /// Under load something changes all the time; few changes are this message's, and the longer it
    /// has been waited for, the less it matters when.
    const AT_MOST_EVERY: Duration = Duration::from_millis(25);
    const AT_LEAST_EVERY: Duration = Duration::from_millis(200);
    let mut pause = AT_MOST_EVERY;
    let until = api.clock().monotonic() + timeout;
    let mut changes = api.signals.changes();
    loop {
        // Marked as seen before reading, so that no change falls between.
        changes.mark_unchanged();
        let message = api.find_message(id).await?;
        let status = message.status(&api.config.send.retry_limits());
        let left = until.saturating_duration_since(api.clock().monotonic());
        let is_over = status.has_reached(wanted) || !status.may_become(wanted);
        if is_over || left.is_zero() || api.signals.is_stopping() {
            return Ok(());
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 5 / 4).min(AT_LEAST_EVERY);
        let _ = tokio::time::timeout(LOOK_AGAIN.min(left), changes.changed()).await;
    }
}
