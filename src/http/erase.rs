//! `/v1/recipients/{id}`: erasing a person.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::json::Json;
use super::moment::Moment;
use super::problem::ApiError;
use crate::model::recipient;
use crate::store::erase::Found;

/// The route, for whoever must not write its path down.
pub const ROUTE: &str = "/v1/recipients/{id}";

/// How long whoever asks waits for it. All facts may have to be looked at.
const WAIT: Duration = Duration::from_secs(3);

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(erase))
}

/// What was found of a person, and erased.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "erased_at": "2026-11-05T09:30:00.000Z", "done": true, "names": 2, "cancelled": 1, "messages": 14,
    "events": 37, "campaign_recipients": 0, "answers": 1,
    "looked_again_at": "2026-11-05T09:32:00.000Z",
    "journal": {"days": 30, "gone_by": "2026-12-07T00:00:00.000Z"},
}))]
struct Erasure {
    /// What was kept before this was erased. What came later is new, and stays.
    erased_at: Moment,
    /// Whether all was looked through; `false`, with 202: it goes on, and what was found so far is
    /// counted.
    done: bool,
    /// Other names that led to or from theirs, and what they said of marketing.
    names: u64,
    /// Messages and sequences that were not done yet. What was just being posted is posted.
    cancelled: u64,
    /// Messages whose recipient, content and variables were erased. Their rows and statuses stay.
    messages: u64,
    /// Events that named them.
    events: u64,
    /// Recipients of campaigns that had not begun; they are removed.
    campaign_recipients: u64,
    /// Answers that are kept for an `Idempotency-Key`.
    answers: u64,
    /// When it is looked again for what was under way: webhooks and answers that came just then.
    looked_again_at: Moment,
    journal: JournalAge,
}

/// When the webhooks that named them, kept byte for byte, are gone.
#[derive(Debug, Serialize, ToSchema)]
struct JournalAge {
    /// `retention.journal_days`.
    days: u16,
    gone_by: Moment,
}

/// Erases a person: what they were sent, what they wrote, and by which names they are known.
///
/// All names that are known to be theirs are found by one. What is not sent to them yet is
/// cancelled. Messages and their statuses stay, with `erased` for the recipient and without content;
/// what providers say of them later is recorded without the person. It may be done again; where it
/// takes longer than some seconds the answer is 202, and it goes on. The webhooks themselves go with their day of the journal. `GET /v1/audit` shows who asked, and not of
/// whom.
#[utoipa::path(
    delete,
    path = "/recipients/{id}",
    operation_id = "erase_recipient",
    tag = "Recipients",
    params(("id" = String, Path, description = "A phone number in digits, or a user id.", example = "447700900123")),
    responses((status = 200, body = Erasure), (status = 202, body = Erasure), (status = 422, description = "invalid_request")),
)]
async fn erase(
    State(api): State<Api>,
    Path(person): Path<String>,
) -> Result<(StatusCode, Json<Erasure>), ApiError> {
    let name = recipient::parse(&person, false).map_err(|error| ApiError::field("id", error))?;
    let days = api.config.retention.journal_days;
    let erasure = api.store.begin_erasure(&name, days).await?;
    let (at, again_at) = (erasure.at, erasure.again_at);
    let (progress, found) = watch::channel(Found::default());
    // Beside the request: who asked may go.
    let mut erasing = tokio::spawn(async move {
        let erased = api.store.erase_begun(&erasure, &progress).await;
        api.forwarding.tail.forget();
        api.signals.changed();
        erased.inspect_err(|error| tracing::warn!(%error, "a person is not erased yet"))
    });
    let done = match tokio::time::timeout(WAIT, &mut erasing).await {
        Ok(Ok(erased)) => erased.map(|()| true)?,
        // It broke down, or goes on; the second look does what is left.
        Ok(Err(_)) | Err(_) => false,
    };
    let found = *found.borrow();
    // A day of the journal goes as a whole.
    let kept = time::Duration::days(i64::from(days) + 2);
    let gone_by = (at + kept).replace_time(time::Time::MIDNIGHT);
    let status = match done {
        true => StatusCode::OK,
        false => StatusCode::ACCEPTED,
    };
    let shown = Erasure {
        erased_at: at.into(),
        done,
        names: found.names,
        cancelled: found.cancelled,
        messages: found.messages,
        events: found.events,
        campaign_recipients: found.campaign_recipients,
        answers: found.answers,
        looked_again_at: again_at.into(),
        journal: JournalAge {
            days,
            gone_by: gone_by.into(),
        },
    };
    Ok((status, Json(shown)))
}
