//! `/v1/campaigns/{id}/recipients`: who a campaign goes to, as many as there are. The body is read
//! and written in parts, so that its size costs no memory; an upload counts as a whole or leaves
//! nothing.

use std::pin::Pin;
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Path, Request, State};
use axum::http::header;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::Api;
use super::json::Json;
use super::page::{Cursor, Limit, Page};
use super::problem::{ApiError, FieldError};
use super::recipient_lines::{Form, Line, Lines};
use super::request::{Query, id};
use crate::model::campaign::Variables;
use crate::model::ids::CampaignId;
use crate::store::WrongState;
use crate::store::campaign_upload::{GIVEN_UP, GivenUp, NewRecipient, RecipientPlace, Upload};

/// Recipients that are written at once, and how many bytes they may have come in.
const PART: usize = 2_000;
const PART_BYTES: usize = 1 << 20;
/// What an upload may take of memory: a part, decoded and encoded.
const MEMORY: usize = 4 << 20;
/// What all of them may. Not of that of other bodies: an upload may last long.
pub const ALL_MEMORY: usize = 8 * MEMORY;
/// Problems that are shown.
const SHOWN: usize = 100;
/// Recipients of a campaign.
const MOST: u64 = 1_000_000;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, upload))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct How {
    /// `true`: lines that are no recipients are left out. Where nothing is said they refuse the
    /// upload as a whole.
    #[param(value_type = Option<bool>)]
    skip_invalid: Option<Flag>,
}

/// A `bool` in a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Flag {
    True,
    False,
}

type Recipients = Page<RecipientView, 20>;

/// One recipient of a campaign, as it was uploaded.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CampaignRecipient, example = json!({
    "to": "447700900123", "reference": "order-1", "variables": {"name": "Ana"},
}))]
struct RecipientView {
    to: String,
    reference: Option<String>,
    #[schema(value_type = HashMap<String, String>)]
    variables: Variables,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct List {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<20>>,
}

/// Lists who a draft goes to, the newest first.
///
/// Once it is activated they become sequences, and are listed by `GET /v1/sequences?campaign=`.
/// What an upload that is under way has brought is not among them.
#[utoipa::path(
    get,
    path = "/campaigns/{id}/recipients",
    operation_id = "list_campaign_recipients",
    tag = "Campaigns",
    params(("id" = CampaignId, Path), List),
    responses((status = 200, body = Recipients)),
)]
async fn list(
    State(api): State<Api>,
    Path(campaign): Path<String>,
    Query(List { limit, cursor }): Query<List>,
) -> Result<Json<Recipients>, ApiError> {
    let id: CampaignId = id(&campaign, "campaign")?;
    let before = cursor.map(place);
    let found = api.store.list_recipients(id, before, limit.rows()).await?;
    let found = found.ok_or(ApiError::NotFound("campaign"))?;
    let show = |(_, recipient): (_, NewRecipient)| RecipientView {
        to: recipient.recipient,
        reference: recipient.reference,
        variables: recipient.variables,
    };
    Ok(Json(Page::of(found, limit, |(at, _)| bytes(*at), show)))
}

fn bytes((upload, row): RecipientPlace) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&upload.to_be_bytes());
    bytes[4..].copy_from_slice(row.as_bytes());
    bytes
}

fn place(cursor: Cursor<20>) -> RecipientPlace {
    let (mut upload, mut row) = ([0; 4], [0; 16]);
    upload.copy_from_slice(&cursor.0[..4]);
    row.copy_from_slice(&cursor.0[4..]);
    (i32::from_be_bytes(upload), Uuid::from_bytes(row))
}

/// What an upload brought.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = UploadedRecipients)]
struct Uploaded {
    /// New recipients of the campaign.
    added: u64,
    /// Lines whose recipient it had already.
    repeated: u64,
    /// Lines that were left out.
    invalid: u64,
    /// What was wrong with the first 100 of them: `lines[17].to` is in line 17.
    problems: Vec<FieldError>,
}

/// Adds recipients to a draft: as many as there are in the body, all or none.
///
/// JSON, an object a line: `{"to": "447700900123", "reference": "…", "variables": {"name": "Ana"}}`;
/// or CSV, whose first line names the columns: `to`, `reference`, and every other is a variable. A
/// recipient that the campaign has already is not added again, so that an upload may be repeated.
/// The limit of bodies does not count here.
#[utoipa::path(
    post,
    path = "/campaigns/{id}/recipients",
    operation_id = "upload_recipients",
    tag = "Campaigns",
    params(("id" = CampaignId, Path), How),
    request_body(content(
        (String = "application/x-ndjson"),
        (String = "text/csv"),
    )),
    responses((status = 200, body = Uploaded), (status = 409, description = "not_draft, upload_under_way, upload_given_up")),
)]
async fn upload(
    State(api): State<Api>,
    Path(campaign): Path<String>,
    Query(how): Query<How>,
    request: Request,
) -> Result<Json<Uploaded>, ApiError> {
    let id: CampaignId = id(&campaign, "campaign")?;
    let form = form(&request)?;
    let skip = how.skip_invalid == Some(Flag::True);
    let share = api.upload_bytes.take(MEMORY)?;
    let begun = api.store.begin_upload(id).await?;
    let upload = begun.ok_or(ApiError::NotFound("campaign"))??;
    // A task of its own, so that what an upload leaves is removed when its caller hangs up.
    let task = tokio::spawn(async move {
        let _share = share;
        let mut reading = Reading {
            api: &api,
            upload: &upload,
            skip,
            part: Vec::new(),
            part_bytes: 0,
            written_at: api.clock().monotonic(),
            taken: 0,
            uploaded: Uploaded::default(),
        };
        let read = reading.read(request.into_body(), form).await;
        let uploaded = reading.uploaded;
        if read.is_err()
            && let Err(error) = api.store.drop_upload(&upload).await
        {
            tracing::warn!(%error, campaign = %id, "what an upload left is removed by the next");
        }
        read.map(|()| uploaded)
    });
    task.await.map_err(|_| ApiError::Internal)?.map(Json)
}

fn form(request: &Request) -> Result<Form, ApiError> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    match kind.split(';').next().unwrap_or_default().trim() {
        "application/x-ndjson" => Ok(Form::Json),
        "text/csv" => Ok(Form::Csv),
        _ => Err(ApiError::field(
            "Content-Type",
            "expected `application/x-ndjson` or `text/csv`",
        )),
    }
}

struct Reading<'a> {
    api: &'a Api,
    upload: &'a Upload,
    skip: bool,
    part: Vec<NewRecipient>,
    part_bytes: usize,
    /// When the database last heard of this upload.
    written_at: Instant,
    /// Lines that are recipients.
    taken: u64,
    uploaded: Uploaded,
}

impl Reading<'_> {
    async fn read(&mut self, mut body: Body, form: Form) -> Result<(), ApiError> {
        let mut lines = Lines::new(form, self.upload.variables.clone());
        while let Some(bytes) = self.next(&mut body).await? {
            // A small piece at a time: what it is decoded to is bounded with it.
            for piece in bytes.chunks(PART_BYTES / 16) {
                let read = lines.read(piece, &mut |line| self.take(line));
                read.map_err(ApiError::Invalid)?;
                self.part_bytes += piece.len();
                if self.part.len() >= PART || self.part_bytes >= PART_BYTES || self.is_silent() {
                    self.write().await?;
                }
            }
        }
        let read = lines.finish(&mut |line| self.take(line));
        read.map_err(ApiError::Invalid)?;
        self.write().await?;
        if self.uploaded.invalid > 0 && !self.skip {
            return Err(ApiError::InvalidLines {
                invalid: self.uploaded.invalid,
                first: std::mem::take(&mut self.uploaded.problems),
            });
        }
        self.uploaded.repeated = self.taken - self.uploaded.added;
        let finished = self
            .api
            .store
            .finish_upload(self.upload, self.uploaded.added);
        finished
            .await?
            .map_err(|GivenUp| WrongState::UploadGivenUp)?;
        Ok(())
    }

    /// The next bytes. However long all of them take, none may be waited for longer than for the
    /// whole of another body.
    async fn next(&self, body: &mut Body) -> Result<Option<Bytes>, ApiError> {
        let limit = self.api.config.http.body_timeout;
        loop {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
            let frame = tokio::time::timeout(limit, frame).await;
            let Some(frame) = frame.map_err(|_| ApiError::TooSlow)? else {
                return Ok(None);
            };
            let early = |_| ApiError::Malformed("the body ended early".to_owned());
            if let Ok(bytes) = frame.map_err(early)?.into_data() {
                return Ok(Some(bytes));
            }
        }
    }

    fn take(&mut self, (number, line): Line) {
        match line {
            Ok(recipient) => {
                self.taken += 1;
                self.part.push(recipient);
            }
            Err(errors) => {
                self.uploaded.invalid += 1;
                let free = SHOWN.saturating_sub(self.uploaded.problems.len());
                let errors = errors.into_iter().take(free);
                self.uploaded.problems.extend(errors.map(|error| {
                    let dot = if error.field.is_empty() { "" } else { "." };
                    let field = format!("lines[{number}]{dot}{}", error.field);
                    FieldError::new(field, error.message)
                }));
            }
        }
    }

    /// Whether the database would soon give this up, though it goes on.
    fn is_silent(&self) -> bool {
        let now = self.api.clock().monotonic();
        now.duration_since(self.written_at) >= GIVEN_UP / 4
    }

    async fn write(&mut self) -> Result<(), ApiError> {
        self.part_bytes = 0;
        let mut part = std::mem::take(&mut self.part);
        // What will be refused as a whole is only looked at.
        if self.uploaded.invalid > 0 && !self.skip {
            part.clear();
        }
        if part.is_empty() && !self.is_silent() {
            return Ok(());
        }
        self.written_at = self.api.clock().monotonic();
        let written = self.api.store.upload_part(self.upload, &part).await?;
        self.uploaded.added += written.map_err(|GivenUp| WrongState::UploadGivenUp)?;
        let had = u64::try_from(self.upload.recipients).unwrap_or(0);
        if had + self.uploaded.added > MOST {
            let message = "more than 1,000,000 recipients: make several campaigns under one label";
            return Err(ApiError::field("", message));
        }
        Ok(())
    }
}
