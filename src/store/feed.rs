//! The feed: facts in an order that a follower can trust. Ids are made before their transaction
//! commits, so their order alone would skip what commits late. Each fact bears the id of its
//! transaction; shown is only what lies below the oldest one that is still running, in the order
//! of (transaction, id): nothing can appear below a place that was shown. Only this file knows.

use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::subscriptions::NO_STREAM;
use super::{Store, StoreError, again};
use crate::model::ids::{ConnectionId, SenderId, SubscriptionId, first_at};
use crate::model::{Timestamp, event};

/// What was read of the feed.
#[derive(Debug)]
pub struct Read {
    /// The oldest first.
    pub facts: Vec<Fact>,
    /// Where to go on from; at the end, the end of what can be shown yet.
    pub next: Place,
    /// Whether nothing was left behind that when it was asked for.
    pub at_end: bool,
}

/// A fact as it is kept, and what the feed adds to it.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of facts")]
pub struct Fact {
    pub stream: i32,
    pub n: i16,
    pub id: Uuid,
    pub subject: Uuid,
    pub webhook: Option<Uuid>,
    /// Which of the webhook's facts it is.
    pub item: Option<i16>,
    pub occurred_at: Option<Timestamp>,
    pub received_at: Timestamp,
    pub r#type: String,
    pub source: String,
    pub data: Value,
    /// Where it is about an attempt.
    pub provider_message_id: Option<String>,
    /// The caller's own name for the message or the sequence.
    pub reference: Option<String>,
    /// `None` where the stream is a connection's own.
    pub sender: Option<i32>,
    pub connection: Option<Uuid>,
    xid: i64,
}

impl Fact {
    /// One that is in no feed: for somebody who wants to see whether an event arrives.
    pub fn ping(subscription: SubscriptionId, id: Uuid, at: Timestamp) -> Self {
        Self {
            stream: NO_STREAM,
            n: 0,
            id,
            subject: subscription.0,
            webhook: None,
            item: None,
            occurred_at: Some(at),
            received_at: at,
            r#type: event::SUBSCRIPTION_PING.to_owned(),
            source: "api".to_owned(),
            data: json!({}),
            provider_message_id: None,
            reference: None,
            sender: None,
            connection: None,
            xid: 0,
        }
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        Place {
            xid: self.xid,
            id: self.id,
        }
    }
}

/// A place in the feed: everything up to and including it has been shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub(super) xid: i64,
    pub(super) id: Uuid,
}

impl Place {
    /// Of the fact that stands there; all zeros where none does.
    pub fn event(self) -> Uuid {
        self.id
    }

    /// As bytes, for a cursor.
    pub fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.xid.to_be_bytes());
        bytes[8..].copy_from_slice(self.id.as_bytes());
        bytes
    }

    /// What [`Place::to_bytes`] wrote.
    pub fn from_bytes(bytes: [u8; 24]) -> Self {
        let (mut xid, mut id) = ([0; 8], [0; 16]);
        xid.copy_from_slice(&bytes[..8]);
        id.copy_from_slice(&bytes[8..]);
        Self {
            // Transactions are counted from 3; nothing comes before them.
            xid: i64::from_be_bytes(xid).max(0),
            id: Uuid::from_bytes(id),
        }
    }
}

/// What the feed is narrowed to; `None` narrows nothing.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the API's own words")]
pub struct FeedFilter {
    /// One that ends in `*` stands for all that begin so.
    pub types: Option<Vec<String>>,
    pub sender: Option<SenderId>,
    pub connection: Option<ConnectionId>,
}

/// How many facts a page looks at in one statement, where a filter leaves most of them out, and how
/// many statements it makes before it answers with where it has come to.
const LOOKED_AT: i64 = 50_000;
const LOOKS: usize = 10;

impl FeedFilter {
    fn narrows(&self) -> bool {
        self.types.is_some() || self.sender.is_some() || self.connection.is_some()
    }
}

/// Has the feed go on behind all that was shown, should transactions count otherwise here: this is
/// another server than before, or counts lower than what is there.
pub(super) async fn go_on(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let server = system_identifier(connection).await?;
    let restarted = sqlx::query!(
        r#"
        -- feed: go_on
        WITH met AS (
            INSERT INTO feed_server (system_identifier) SELECT $1::bigint WHERE $1 IS NOT NULL
            ON CONFLICT DO NOTHING
        ),
        -- Of several who find it so at once, one.
        moved AS (
            UPDATE feed_server SET system_identifier = $1 WHERE system_identifier <> $1
            RETURNING one
        )
        SELECT restart_feed() AS "restarted"
        WHERE EXISTS (SELECT FROM moved)
            OR feed_place(pg_snapshot_xmax(pg_current_snapshot()))
                <= (SELECT xid FROM facts ORDER BY xid DESC, id DESC LIMIT 1)
        "#,
        server,
    );
    if restarted.fetch_optional(connection).await?.is_some() {
        tracing::warn!(
            "this database was restored from another server: the feed goes on behind it"
        );
    }
    Ok(())
}

/// Which server this is, and what it was copied to block by block. `None` where it does not say.
async fn system_identifier(connection: &mut PgConnection) -> Result<Option<i64>, sqlx::Error> {
    const INSUFFICIENT_PRIVILEGE: &str = "42501";
    let asked = sqlx::query_scalar!(
        r#"
        -- feed: system_identifier
        SELECT system_identifier FROM pg_control_system()
        "#
    );
    match asked.fetch_one(connection).await {
        Err(sqlx::Error::Database(error))
            if error.code().as_deref() == Some(INSUFFICIENT_PRIVILEGE) =>
        {
            tracing::warn!(
                "pg_control_system() is refused: whether this database was moved to another server \
                 is told by its facts alone. After a move, call restart_feed()"
            );
            Ok(None)
        }
        identifier => identifier,
    }
}

impl Store {
    /// The end of what can be shown now.
    pub async fn feed_end(&self) -> Result<Place, StoreError> {
        let xid = again!(self, "feed: end", {
            Ok(sqlx::query_scalar!(
                r#"
            -- feed: end
            SELECT feed_place(pg_snapshot_xmin(pg_current_snapshot()))::text::bigint AS "end!"
            "#
            )
            .fetch_one(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok(Place {
            xid,
            id: Uuid::nil(),
        })
    }

    /// The facts at these places, in their order; those that are gone are left out.
    pub async fn facts_at(&self, places: &[Place]) -> Result<Vec<Fact>, StoreError> {
        let xids: Vec<_> = places.iter().map(|place| place.xid).collect();
        let ids: Vec<_> = places.iter().map(|place| place.id).collect();
        again!(self, "facts_at", {
            Ok(sqlx::query_as!(
                Fact,
                r#"
            -- facts_at
            SELECT f.stream, f.n, f.id, f.subject, f.webhook, f.item, f.occurred_at, f.received_at,
                   f.type, f.source, f.data, f.xid::text::bigint AS "xid!", a.provider_message_id,
                   coalesce(m.reference, q.reference) AS reference,
                   coalesce(s.id, n.id) AS "sender?", coalesce(s.connection, c.id) AS connection
            FROM unnest($1::bigint[], $2::uuid[]) AS x (xid, id)
            JOIN facts f ON f.xid = x.xid::text::xid8 AND f.id = x.id
            LEFT JOIN attempts a ON f.n > 0 AND a.sender = f.stream AND a.message = f.subject
                AND a.n = f.n
            LEFT JOIN messages m ON f.type LIKE 'message.%' AND m.sender = f.stream
                AND m.id = f.subject
            LEFT JOIN sequences q ON f.type LIKE 'sequence.%' AND q.sender = f.stream
                AND q.id = f.subject
            LEFT JOIN senders s ON s.id = f.stream
            LEFT JOIN connections c ON c.stream = f.stream
            LEFT JOIN LATERAL (
                SELECT min(o.id) AS id FROM senders o
                WHERE c.id IS NOT NULL AND f.type LIKE 'sender.%' AND o.connection = c.id
                    AND regexp_replace(o.display_phone_number, '[^0-9]', '', 'g')
                        = regexp_replace(f.data ->> 'display_phone_number', '[^0-9]', '', 'g')
            ) n ON true
            ORDER BY f.xid, f.id
            "#,
                &xids,
                &ids,
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?)
        })
    }

    /// A place before which no fact was made at this moment or later. Facts of one transaction
    /// are made while it runs, so that the order of their ids, which tell when, is that of places
    /// but for as long as transactions may last.
    pub async fn place_before(&self, moment: Timestamp) -> Result<Place, StoreError> {
        /// Longer than any transaction that writes facts.
        const LONGEST: time::Duration = time::Duration::seconds(60);
        let sought = first_at(moment - LONGEST);
        let (mut low, mut high) = (0, self.feed_end().await?.xid);
        while low < high {
            let middle = low + (high - low) / 2;
            let next = again!(self, "place_before", {
                let next = sqlx::query!(
                    r#"
                -- place_before
                SELECT xid::text::bigint AS "xid!", id FROM facts
                WHERE xid >= $1::bigint::text::xid8
                ORDER BY xid, id LIMIT 1
                "#,
                    middle,
                );
                Ok(next
                    .fetch_optional(&mut *self.pool.acquire().await?)
                    .await?)
            })?;
            match next.filter(|next| next.id < sought) {
                Some(next) => low = next.xid + 1,
                None => high = middle,
            }
        }
        Ok(Place {
            xid: low,
            id: Uuid::nil(),
        })
    }

    /// The same for who follows the feed by pages: from where it begins, or behind a place. `Err`:
    /// something behind that place has been forgotten; this is where the feed begins.
    pub async fn feed_page(
        &self,
        filter: &FeedFilter,
        after: Option<Place>,
        limit: i64,
    ) -> Result<Result<Read, Place>, StoreError> {
        let from = match after {
            Some(place) => place,
            None => self.feed_begin().await?,
        };
        let page = self.feed(filter, from, limit).await?;
        // Asked last: where it begins is committed before anything is forgotten.
        let begin = self.feed_begin().await?;
        match after {
            Some(after) if after < begin => Ok(Err(begin)),
            _ => Ok(Ok(page)),
        }
    }

    /// The facts behind a place. Of a narrow filter there may be fewer than `limit`, or none, before
    /// the end.
    pub async fn feed(
        &self,
        filter: &FeedFilter,
        after: Place,
        limit: i64,
    ) -> Result<Read, StoreError> {
        // Asked first: whatever lies below it is visible to every statement from now on.
        let end = self.feed_end().await?;
        let mut from = after;
        for _ in 0..LOOKS {
            let looked = match filter.narrows() {
                true => self.look_until(from, end).await?,
                false => None,
            };
            let facts = self.feed_within(filter, from, looked.unwrap_or(end), limit);
            let facts = facts.await?;
            let full = facts.len() >= usize::try_from(limit).unwrap_or(0);
            let last = facts.last().filter(|_| full).map(Fact::place);
            // A place that is further along stays: it may come from another instance's answer.
            from = last.or(looked).unwrap_or(end).max(from);
            let at_end = !full && looked.is_none();
            if !facts.is_empty() || at_end {
                return Ok(Read {
                    facts,
                    next: from,
                    at_end,
                });
            }
        }
        Ok(Read {
            facts: Vec::new(),
            next: from,
            at_end: false,
        })
    }

    /// Where a look that begins behind a place ends; `None` where the rest is not that much.
    async fn look_until(&self, after: Place, end: Place) -> Result<Option<Place>, StoreError> {
        let last = again!(self, "feed: look_until", {
            Ok(sqlx::query!(
                r#"
            -- feed: look_until
            SELECT xid::text::bigint AS "xid!", id FROM facts
            WHERE (xid, id) > ($1::bigint::text::xid8, $2) AND xid < $3::bigint::text::xid8
            ORDER BY xid, id OFFSET $4 LIMIT 1
            "#,
                after.xid,
                after.id,
                end.xid,
                LOOKED_AT - 1,
            )
            .fetch_optional(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok(last.map(|last| Place {
            xid: last.xid,
            id: last.id,
        }))
    }

    /// The facts behind a place, up to another.
    async fn feed_within(
        &self,
        filter: &FeedFilter,
        after: Place,
        until: Place,
        limit: i64,
    ) -> Result<Vec<Fact>, StoreError> {
        let types = filter.types.as_deref().map(|types| {
            let patterns = types.iter();
            patterns.partition::<Vec<_>, _>(|word| word.ends_with('*'))
        });
        let (beginnings, words): (Vec<_>, Vec<_>) = types.unwrap_or_default();
        let beginnings: Vec<_> = beginnings
            .into_iter()
            .map(|word| word.trim_end_matches('*').to_owned())
            .collect();
        let words: Vec<_> = words.into_iter().cloned().collect();
        again!(self, "feed", {
            Ok(sqlx::query_as!(
                Fact,
                r#"
            -- feed
            SELECT f.stream, f.n, f.id, f.subject, f.webhook, f.item, f.occurred_at, f.received_at,
                   f.type, f.source, f.data, f.xid::text::bigint AS "xid!", a.provider_message_id,
                   coalesce(m.reference, q.reference) AS reference,
                   coalesce(s.id, n.id) AS "sender?", coalesce(s.connection, c.id) AS connection
            FROM facts f
            LEFT JOIN attempts a ON f.n > 0 AND a.sender = f.stream AND a.message = f.subject
                AND a.n = f.n
            LEFT JOIN messages m ON f.type LIKE 'message.%' AND m.sender = f.stream
                AND m.id = f.subject
            LEFT JOIN sequences q ON f.type LIKE 'sequence.%' AND q.sender = f.stream
                AND q.id = f.subject
            LEFT JOIN senders s ON s.id = f.stream
            LEFT JOIN connections c ON c.stream = f.stream
            -- What names a number by its digits is in the connection's stream, because the number
            -- may be nobody's yet. It is shown with the sender that has the number now.
            LEFT JOIN LATERAL (
                SELECT min(o.id) AS id FROM senders o
                WHERE c.id IS NOT NULL AND f.type LIKE 'sender.%' AND o.connection = c.id
                    AND regexp_replace(o.display_phone_number, '[^0-9]', '', 'g')
                        = regexp_replace(f.data ->> 'display_phone_number', '[^0-9]', '', 'g')
            ) n ON true
            WHERE (f.xid, f.id) > ($1::bigint::text::xid8, $2)
                AND (f.xid, f.id) <= ($3::bigint::text::xid8, $10)
                AND ($4::boolean OR f.type = ANY($8)
                    OR EXISTS (SELECT FROM unnest($9::text[]) AS b (begin)
                               WHERE starts_with(f.type, b.begin)))
                AND ($5::integer IS NULL OR f.stream = $5
                    OR (f.type LIKE 'sender.%' AND n.id = $5))
                AND ($6::uuid IS NULL OR coalesce(s.connection, c.id) = $6)
            ORDER BY f.xid, f.id
            LIMIT $7
            "#,
                after.xid,
                after.id,
                until.xid,
                filter.types.is_none(),
                filter.sender.map(|sender| sender.0),
                filter.connection.map(|connection| connection.0),
                limit,
                &words,
                &beginnings,
                until.id,
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?)
        })
    }

    /// The facts of one message or template in these streams, the oldest first, behind the given
    /// one.
    pub async fn history(
        &self,
        streams: &[i32],
        subject: Uuid,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Fact>, StoreError> {
        let facts = again!(self, "history", {
            Ok(sqlx::query_as!(
                Fact,
                r#"
            -- history
            SELECT f.stream, f.n, f.id, f.subject, f.webhook, f.item, f.occurred_at, f.received_at,
                   f.type, f.source, f.data, f.xid::text::bigint AS "xid!", a.provider_message_id,
                   coalesce(m.reference, q.reference) AS reference,
                   s.id AS "sender?", coalesce(s.connection, c.id) AS connection
            FROM facts f
            LEFT JOIN attempts a ON f.n > 0 AND a.sender = f.stream AND a.message = f.subject
                AND a.n = f.n
            LEFT JOIN messages m ON f.type LIKE 'message.%' AND m.sender = f.stream
                AND m.id = f.subject
            LEFT JOIN sequences q ON f.type LIKE 'sequence.%' AND q.sender = f.stream
                AND q.id = f.subject
            LEFT JOIN senders s ON s.id = f.stream
            LEFT JOIN connections c ON c.stream = f.stream
            WHERE f.stream = ANY($1) AND f.subject = $2 AND ($3::uuid IS NULL OR f.id > $3)
            ORDER BY f.id
            LIMIT $4
            "#,
                streams,
                subject,
                after,
                limit,
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok(facts)
    }
}
