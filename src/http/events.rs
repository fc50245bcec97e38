//! `/v1/events`: the feed. Every fact once, in an order in which nothing appears behind a
//! follower's back; `next_cursor` is there on every page, so that a follower can go on from it.

use std::sync::OnceLock;

use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::Api;
use super::event_data::EventData;
use super::event_items::{Include, Item, Missing, check};
use super::json::Json;
use super::moment::Moment;
use super::page::{Cursor, IdCursor, Limit, Page};
use super::problem::ApiError;
use super::request::Query;
use super::schema::EventSource;
use crate::feed::{self, TypePattern};
use crate::model::Timestamp;
use crate::model::error_class::{classify, infobip};
use crate::model::ids::{
    CampaignId, ConnectionId, EventId, MessageId, SenderId, SequenceId, SubscriptionId, TemplateId,
    WebhookId,
};
use crate::model::message::MessageStatus;
use crate::store::feed::{Fact, FeedFilter, Place, Read};

/// What `model::evidence` writes for a failure without a code.
const NO_CODE: i64 = i64::MAX;

/// A page of the feed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FeedPage, example = json!({"next_cursor": "AAAAAAAAB9IBmW8vEqB8dYm3R0hVpQAB", "has_more": false}))]
struct FeedPage {
    /// The oldest first.
    data: Vec<EventView>,
    /// Where to go on. Never `null`: there is always more to come.
    next_cursor: Option<Cursor<24>>,
    /// Whether there may be more already. `false`: this is the end for now; ask again after a while.
    has_more: bool,
}

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct List {
    /// The `next_cursor` of the page before; without it this begins at the oldest event. One of
    /// before is answered with 410, and where the feed begins now.
    after: Option<Cursor<24>>,
    /// One type, or several with commas between them; one that ends in `*` stands for all that
    /// begin so.
    #[param(value_type = Option<String>, example = "message.*,sequence.completed")]
    r#type: Option<Words>,
    sender: Option<SenderId>,
    connection: Option<ConnectionId>,
    /// `raw`: with the provider's item as it came. A page has at most 100 events then, and may have
    /// fewer than `limit`.
    #[param(inline)]
    include: Option<Include>,
    #[serde(default)]
    limit: Limit,
}

/// Words with commas between them.
#[derive(Debug)]
pub struct Words(pub Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Ok(Self(
            text.split(',').map(|word| word.trim().to_owned()).collect(),
        ))
    }
}

/// A page of the history of one thing.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryPage {
    /// `raw`: with the provider's item as it came. A page has at most 100 events then, and may have
    /// fewer than `limit`.
    #[param(inline)]
    include: Option<Include>,
    #[serde(default)]
    limit: Limit,
    cursor: Option<IdCursor>,
}

/// One thing that happened: said by a webhook, or a decision of our own.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event, example = json!({
    "id": "evt_…", "type": "message.delivered", "subject": "msg_…", "reference": "order-1001", "sender": "snd_…",
    "connection": "con_…", "attempt": 1, "occurred_at": "2026-11-05T09:30:02.000Z",
    "received_at": "2026-11-05T09:30:02.417Z", "webhook": "whk_…", "source": "webhook",
    "data": {"provider_message_id": "wamid.HBgMNDQ3NzAwOTAwMTIz", "status": "delivered",
        "recipient": "447700900123"},
    "item": null, "item_missing": null,
}))]
pub struct EventView {
    id: EventId,
    /// Such as `message.delivered`, `sequence.completed`, `template.status`, `inbound.text`: see
    /// `EventData`.
    r#type: String,
    /// The id of the message, sequence, campaign, template, sender or subscription that it is about.
    subject: Option<String>,
    /// Your own name for the message or the sequence.
    reference: Option<String>,
    sender: Option<SenderId>,
    connection: Option<ConnectionId>,
    /// Of the message's attempts, which it is about.
    attempt: Option<i16>,
    /// By the provider's clock.
    occurred_at: Option<Moment>,
    /// By ours.
    received_at: Moment,
    webhook: Option<WebhookId>,
    #[schema(value_type = EventSource)]
    source: String,
    /// In the provider's own words.
    #[schema(value_type = EventData)]
    data: Value,
    /// With `include=raw`: the provider's item as it came.
    #[schema(value_type = Option<Object>)]
    item: Option<Box<RawValue>>,
    /// With `include=raw`: why there is none.
    item_missing: Option<Missing>,
}

/// A page of a history.
pub type History = Page<EventView>;

impl From<Fact> for EventView {
    fn from(fact: Fact) -> Self {
        let stream = SenderId(fact.stream);
        let heard = fact.webhook.is_some() || fact.source == "webhook";
        Self {
            id: EventId {
                sender: stream,
                uuid: fact.id,
            },
            subject: subject(&fact),
            reference: fact.reference,
            sender: fact.sender.map(SenderId),
            connection: fact.connection.map(ConnectionId),
            attempt: Some(fact.n).filter(|n| *n > 0),
            occurred_at: fact.occurred_at.map(Moment),
            received_at: fact.received_at.into(),
            webhook: fact.webhook.map(WebhookId),
            data: data(fact.data, &fact.r#type, heard, fact.provider_message_id),
            r#type: fact.r#type,
            source: fact.source,
            item: None,
            item_missing: None,
        }
    }
}

/// An event as all are told of it.
pub fn show(fact: Fact) -> feed::Event {
    let told = Told::of(&fact);
    told.event(EventView::from(fact))
}

/// What is told of a fact beside what it is shown as.
struct Told {
    place: Place,
    stream: i32,
    about: feed::Subject,
    at: Timestamp,
    received_at: Timestamp,
}

impl Told {
    fn of(fact: &Fact) -> Self {
        Self {
            place: fact.place(),
            stream: fact.stream,
            about: feed::Subject::of(fact.stream, fact.subject, fact.id),
            at: fact.occurred_at.unwrap_or(fact.received_at),
            received_at: fact.received_at,
        }
    }

    fn event(self, view: EventView) -> feed::Event {
        feed::Event {
            place: self.place,
            stream: self.stream,
            about: self.about,
            at: self.at,
            received_at: self.received_at,
            // Texts, numbers and JSON alone: it cannot fail.
            json: serde_json::to_vec(&view).unwrap_or_default().into(),
            id: view.id.to_string(),
            r#type: view.r#type,
            sender: view.sender,
            connection: view.connection,
            subject: view.subject,
            cloud: OnceLock::new(),
        }
    }
}

impl EventView {
    /// With what was asked for beside.
    #[must_use]
    pub fn with_item(self, item: Item) -> Self {
        let (item, item_missing) = match item {
            Ok(item) => (Some(item), None),
            Err(missing) => (None, Some(missing)),
        };
        Self {
            item,
            item_missing,
            ..self
        }
    }
}

impl Api {
    /// A page of the history of something whose facts stand in these streams.
    pub(super) async fn history(
        &self,
        streams: &[i32],
        subject: Uuid,
        asked: HistoryPage,
    ) -> Result<Page<EventView>, ApiError> {
        let HistoryPage {
            include,
            limit,
            cursor,
        } = asked;
        check(include, limit)?;
        let after = cursor.map(IdCursor::id);
        let facts = self.store.history(streams, subject, after, limit.rows());
        let facts = facts.await?;
        let full = facts.len() >= usize::from(limit.0);
        let ids: Vec<_> = facts.iter().map(|fact| fact.id.into_bytes()).collect();
        let shown = self.show_facts(facts, include).await?;
        let more = full || shown.len() < ids.len();
        let last = shown.len().checked_sub(1).and_then(|last| ids.get(last));
        let next = last.copied().filter(|_| more);
        Ok(Page::ending(shown, next))
    }
}

/// What the type's first word says that the subject is.
fn subject(fact: &Fact) -> Option<String> {
    let sender = SenderId(fact.stream);
    let uuid = fact.subject;
    if fact.r#type.starts_with("sender.") {
        return fact.sender.map(|sender| SenderId(sender).to_string());
    }
    if uuid == Uuid::nil() {
        return None;
    }
    match fact.r#type.split('.').next()? {
        "message" => Some(MessageId { sender, uuid }.to_string()),
        "sequence" => Some(SequenceId { sender, uuid }.to_string()),
        "campaign" => Some(CampaignId { sender, uuid }.to_string()),
        "template" => Some(TemplateId(uuid).to_string()),
        "subscription" => Some(SubscriptionId(uuid).to_string()),
        _ => None,
    }
}

/// Which of our own words about an attempt are written with the provider's id, as all of a webhook's
/// are. Others are told before there is one, and an event never changes.
const WITH_PROVIDER_ID: [&str; 3] = ["accepted", "held", "adopted"];

/// Our own facts of a message say less than a webhook's; what they leave out is added.
fn data(mut data: Value, r#type: &str, heard: bool, provider_message_id: Option<String>) -> Value {
    let (Some(word), Some(members)) = (r#type.strip_prefix("message."), data.as_object_mut())
    else {
        return data;
    };
    if let Some(id) = provider_message_id.filter(|_| heard || WITH_PROVIDER_ID.contains(&word)) {
        members.entry("provider_message_id").or_insert(id.into());
    }
    if word == "failed" && !members.contains_key("class") {
        let code = failed_code(members);
        members.insert("class".to_owned(), classify(code).as_str().into());
        let shown = Some(code).filter(|code| *code != NO_CODE);
        members.insert("code".to_owned(), shown.map(infobip::shown).into());
    }
    if MessageStatus::parse(word).is_some() {
        members.entry("status").or_insert(word.into());
    }
    data
}

/// The code that a failure came with, as `model::error_class` knows it.
fn failed_code(members: &Map<String, Value>) -> i64 {
    let whole = |of: &Value, name: &str| of.get(name).and_then(Value::as_i64);
    let errors = members.get("errors").and_then(Value::as_array);
    let first = errors.and_then(|errors| errors.iter().find_map(|error| whole(error, "code")));
    // Infobip's reports have an object there, and an `error` beside it.
    let Some(status) = members.get("status").filter(|status| status.is_object()) else {
        return first.unwrap_or(NO_CODE);
    };
    let error = members.get("error");
    let is_permanent = error.and_then(|error| error.get("permanent")?.as_bool());
    error
        .and_then(|error| infobip::error(whole(error, "id")?, is_permanent))
        .or_else(|| infobip::status(whole(status, "id")?))
        .unwrap_or(NO_CODE)
}

/// Whether CloudEvents are asked for, in a batch or one by one.
pub fn wants_cloudevents(headers: &HeaderMap) -> bool {
    let given = headers.get_all(header::ACCEPT).iter();
    given
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|kind| kind.split(';').next())
        .any(|kind| {
            let kind = kind.trim();
            ["application/cloudevents+json", CLOUDEVENTS]
                .iter()
                .any(|wanted| kind.eq_ignore_ascii_case(wanted))
        })
}

/// A list of them.
const CLOUDEVENTS: &str = "application/cloudevents-batch+json";

/// Reads the feed: everything that happened, once.
///
/// Follow it with `after=<next_cursor>`, which every page has: nothing is skipped or repeated.
/// With `include=raw` each event that a webhook said bears the provider's item as it came, while the
/// journal has it.
/// With `Accept: application/cloudevents-batch+json` the events are a batch of CloudEvents, and
/// the header `Link` leads to the next page.
#[utoipa::path(
    get,
    path = "/events",
    operation_id = "list_events",
    tag = "Events",
    params(List),
    responses((status = 200, content(
        (FeedPage = "application/json"),
        (Vec<CloudEventView> = "application/cloudevents-batch+json"),
    )), (status = 410, description = "cursor_expired")),
)]
async fn list(
    State(api): State<Api>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Query(asked): Query<List>,
) -> Result<Response, ApiError> {
    check(asked.include, asked.limit)?;
    let types = asked.r#type.map(|words| words.0);
    for word in types.iter().flatten() {
        TypePattern::wanted(word).map_err(|said| ApiError::field("type", said))?;
    }
    let filter = FeedFilter {
        types,
        sender: asked.sender,
        connection: asked.connection,
    };
    let after = asked.after.map(|cursor| Place::from_bytes(cursor.0));
    let page = api.store.feed_page(&filter, after, asked.limit.rows());
    let Read {
        facts,
        next,
        at_end,
    } = page.await?.map_err(ApiError::forgotten)?;
    let told: Vec<_> = facts.iter().map(Told::of).collect();
    let shown = api.show_facts(facts, asked.include).await?;
    let (next, at_end) = match told.get(..shown.len()).and_then(<[Told]>::last) {
        Some(last) if shown.len() < told.len() => (last.place, false),
        _ => (next, at_end),
    };
    if wants_cloudevents(&headers) {
        let events = told.into_iter().zip(shown);
        let events: Vec<_> = events.map(|(told, view)| told.event(view)).collect();
        return Ok(batch(&uri, &events, next));
    }
    let page = FeedPage {
        data: shown,
        next_cursor: Some(Cursor(next.to_bytes())),
        has_more: !at_end,
    };
    Ok(Json(page).into_response())
}

/// A page as CloudEvents; where it goes on stands in the header `Link`.
fn batch(uri: &Uri, events: &[feed::Event], next: Place) -> Response {
    let after = BASE64URL_NOPAD.encode(&next.to_bytes());
    let asked = uri.query().unwrap_or_default().split('&');
    let query: Vec<_> = asked
        .filter(|pair| !pair.is_empty() && !pair.starts_with("after="))
        .map(str::to_owned)
        .chain([format!("after={after}")])
        .collect();
    let link = format!("<{}?{}>; rel=\"next\"", uri.path(), query.join("&"));
    let headers = [
        (header::CONTENT_TYPE, CLOUDEVENTS.to_owned()),
        (header::LINK, link),
    ];
    (headers, feed::write_batch(events)).into_response()
}

/// An event by CloudEvents 1.0, in structured mode.
#[derive(Debug, ToSchema)]
#[schema(as = CloudEvent)]
#[allow(dead_code, reason = "it describes what `feed::CloudEvent` writes")]
pub struct CloudEventView {
    /// `1.0`.
    specversion: String,
    id: EventId,
    /// `urn:twotick`, and the connection where it is of one.
    source: String,
    r#type: String,
    /// The id of what it is about.
    subject: Option<String>,
    /// When it happened, or else when we heard of it.
    time: Moment,
    /// `application/json`.
    datacontenttype: String,
    /// The event as the list shows it.
    data: EventView,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_told_before_there_was_a_providers_id_is_not_told_with_one_later() {
        let shown = |r#type: &str, heard| data(json!({}), r#type, heard, Some("wamid.1".into()));
        for (r#type, heard, bears) in [
            ("message.released", false, false),
            ("message.refused", false, false),
            ("message.expired", false, false),
            ("message.accepted", false, true),
            ("message.sent", true, true),
            ("message.status.warned", true, true),
        ] {
            let shown = shown(r#type, heard);
            assert_eq!(shown["provider_message_id"] == "wamid.1", bears, "{type}");
        }
    }
}
