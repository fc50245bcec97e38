//! `?include=raw`: what the provider said of an event, cut out of its webhook as it came. The
//! journal has the bytes; the fact says which of the items that the decoder finds there it is. The
//! rest of the webhook, which may be about others, is not shown with it.

use axum::body::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Api;
use super::events::EventView;
use super::page::Limit;
use super::problem::ApiError;
use crate::ingest::Share;
use crate::model::erased;
use crate::model::event;
use crate::model::fact::{self, Decoded, Said};
use crate::model::ids::WebhookId;
use crate::provider::{item, lenient};
use crate::store::feed::Fact;

/// The largest page with items: each may need another webhook to be read and decoded.
const MOST: u16 = 100;
/// A page ends behind the item with which its items have so many bytes: a webhook may have
/// megabytes, and few say more than a thousand.
const BYTES: usize = 4 << 20;

/// What an event is shown with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Include {
    /// The provider's item as it came, in `item`.
    Raw,
}

/// Why an event has no item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ItemMissing)]
pub enum Missing {
    /// No webhook said it.
    NoWebhook,
    /// The webhook is older than the journal (`retention.journal_days`).
    Forgotten,
    /// It names a person who was erased.
    Erased,
    /// What is there is no object, or today's decoder finds it nowhere; `GET /v1/webhooks/{id}` has
    /// the whole.
    Unreadable,
}

/// The provider's item, or why there is none.
pub type Item = Result<Box<RawValue>, Missing>;

/// A webhook that is open: facts of one stand beside each other.
struct Open {
    id: WebhookId,
    /// `None`: the journal does not have it any more.
    read: Option<(Decoded, Bytes, Share)>,
}

/// Refuses a page that is too large for what is to be shown with it.
pub fn check(include: Option<Include>, limit: Limit) -> Result<(), ApiError> {
    if include.is_some() && limit.0 > MOST {
        let message = format!("expected at most {MOST} with `include=raw`");
        return Err(ApiError::field("limit", message));
    }
    Ok(())
}

impl Api {
    /// Facts as events, with their items where these are asked for. They may be fewer: then more
    /// would have been too large, and the page ends with the last of them.
    pub(super) async fn show_facts(
        &self,
        facts: Vec<Fact>,
        include: Option<Include>,
    ) -> Result<Vec<EventView>, ApiError> {
        if include.is_none() {
            return Ok(facts.into_iter().map(EventView::from).collect());
        }
        let (mut shown, mut bytes, mut open) = (Vec::with_capacity(facts.len()), 0, None);
        for fact in facts {
            let item = self.item(&fact, &mut open).await?;
            bytes += item.as_ref().map_or(0, |item| item.get().len());
            shown.push(EventView::from(fact).with_item(item));
            if bytes >= BYTES {
                break;
            }
        }
        Ok(shown)
    }

    async fn item(&self, fact: &Fact, open: &mut Option<Open>) -> Result<Item, ApiError> {
        let Some(webhook) = fact.webhook.map(WebhookId) else {
            return Ok(Err(Missing::NoWebhook));
        };
        if erased::is_stripped(&fact.data) {
            return Ok(Err(Missing::Erased));
        }
        let open = match open.take().filter(|open| open.id == webhook) {
            Some(known) => open.insert(known),
            None => open.insert(Open {
                id: webhook,
                read: self.open_webhook(webhook).await?,
            }),
        };
        Ok(match &open.read {
            Some((decoded, body, _)) => self.cut(fact, decoded, body),
            None => Err(Missing::Forgotten),
        })
    }

    /// Reads and decodes one, in the memory that webhooks are decoded in.
    async fn open_webhook(
        &self,
        id: WebhookId,
    ) -> Result<Option<(Decoded, Bytes, Share)>, ApiError> {
        let Some((row, _, body)) = self.store.webhook(id).await? else {
            return Ok(None);
        };
        let Some(connection) = self.connections.get(row.connection).await? else {
            return Ok(None);
        };
        let deadline = self.clock().monotonic() + self.ingest.deadline();
        let body = Bytes::from(body);
        let decoding = self.ingest.decode(connection.provider, &body, deadline);
        let (decoded, share) = decoding
            .await
            .map_err(|error| ApiError::Overloaded(error.to_string()))?;
        Ok(Some((decoded, body, share)))
    }

    fn cut(&self, fact: &Fact, decoded: &Decoded, body: &[u8]) -> Item {
        let said = said_of(fact, decoded);
        let body = std::str::from_utf8(body).ok();
        let found = said.zip(body).and_then(|(said, body)| {
            let item = item::cut(body, &said.item)?;
            let tree = lenient::tree(&item).ok().filter(|tree| tree.is_object())?;
            Some((said, item, tree))
        });
        let Some((said, item, tree)) = found else {
            return Err(Missing::Unreadable);
        };
        if self.store.erased().borrow().hides(said, &tree) {
            return Err(Missing::Erased);
        }
        Ok(item.into_owned())
    }
}

/// Which of a webhook's facts this is: the one at its place, or, where a decoder of another version
/// has counted otherwise, the only one that it can be.
fn said_of<'a>(fact: &Fact, decoded: &'a Decoded) -> Option<&'a fact::Fact> {
    let is_it = |said: &&fact::Fact| {
        let same = match &said.said {
            Said::Status(status) => {
                let known = fact.provider_message_id.as_deref();
                known.is_none_or(|id| id == status.provider_message_id)
            }
            Said::Inbound(inbound) => {
                fact.data["provider_message_id"] == *inbound.provider_message_id
            }
            _ => said.at == fact.occurred_at,
        };
        same && event::of(&said.said) == fact.r#type
    };
    let place = fact.item.and_then(|place| usize::try_from(place).ok());
    let at_place = place.and_then(|place| decoded.facts.get(place));
    at_place.filter(is_it).or_else(|| {
        let mut all = decoded.facts.iter().filter(is_it);
        all.next().filter(|_| all.next().is_none())
    })
}
