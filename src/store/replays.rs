//! What a subscription is to be told again: rows of `undelivered` that wait for nothing.

use uuid::Uuid;

use super::feed::{Fact, FeedFilter, Place, Read};
use super::subscription_changes::touch;
use super::{Store, StoreError, again};
use crate::model::ids::{EventId, SubscriptionId, first_at};
use crate::model::{Timestamp, ids};

/// How many facts one statement looks through.
const PAGE: i64 = 500;

impl Store {
    /// Has what was given up go again, all of it, in the order of the feed. Returns how many there
    /// are.
    pub async fn revive_dead(&self, subscription: SubscriptionId) -> Result<u64, StoreError> {
        let (mut all, mut after) = (0, Place::default());
        loop {
            let revived = self.revive_behind(subscription, after).await?;
            all += revived.len() as u64;
            after = match revived.into_iter().max() {
                Some(last) => last,
                None => return Ok(all),
            };
        }
    }

    /// Has the first page of what was given up behind a place go again.
    async fn revive_behind(
        &self,
        subscription: SubscriptionId,
        after: Place,
    ) -> Result<Vec<Place>, StoreError> {
        /// There may be millions.
        const AT_ONCE: i64 = 5_000;
        let revived = again!(self, "revive_dead", {
            let mut transaction = self.begin().await?;
            let revived = sqlx::query!(
                r#"
                -- revive_dead
                UPDATE undelivered
                SET state = 'waiting', replay = true, attempts = 0, next_at = $2
                WHERE ctid = ANY (ARRAY(
                    SELECT ctid FROM undelivered
                    WHERE subscription = $1 AND state = 'dead'
                        AND (xid, event) > ($3::bigint::text::xid8, $4)
                    ORDER BY xid, event
                    LIMIT $5
                    FOR UPDATE
                ))
                RETURNING xid::text::bigint AS "xid!", event
                "#,
                subscription.0,
                self.clock.now(),
                after.xid,
                after.id,
                AT_ONCE,
            )
            .fetch_all(&mut *transaction)
            .await?;
            touch(&mut transaction, subscription).await?;
            transaction.commit().await?;
            Ok(revived)
        })?;
        let places = revived.into_iter().map(|row| Place {
            xid: row.xid,
            id: row.event,
        });
        Ok(places.collect())
    }

    /// Has these facts go again, whether they were taken or not. Returns how many are added to
    /// what waits. Those of one subject go in their order.
    pub async fn replay_facts(
        &self,
        subscription: SubscriptionId,
        facts: &[Fact],
    ) -> Result<u64, StoreError> {
        let places: Vec<_> = facts.iter().map(Fact::place).collect();
        let replayed = again!(self, "replay_facts", {
            let mut transaction = self.begin().await?;
            let replayed = sqlx::query!(
                r#"
                -- replay_facts
                INSERT INTO undelivered AS u (subscription, xid, event, stream, subject, type,
                                              state, replay, attempts, next_at)
                SELECT s.id, x.xid::text::xid8, x.event, x.stream, x.subject, x.type, 'waiting',
                       true, 0, $7
                FROM unnest($2::bigint[], $3::uuid[], $4::integer[], $5::uuid[], $6::text[])
                    AS x (xid, event, stream, subject, type)
                JOIN subscriptions s ON s.id = $1
                ON CONFLICT (subscription, xid, event) DO UPDATE
                SET state = 'waiting', replay = true, attempts = 0, next_at = excluded.next_at
                -- What waits goes by itself.
                WHERE u.state = 'dead'
                "#,
                subscription.0,
                &places.iter().map(|place| place.xid).collect::<Vec<_>>(),
                &places.iter().map(|place| place.id).collect::<Vec<_>>(),
                &facts.iter().map(|fact| fact.stream).collect::<Vec<_>>(),
                &facts.iter().map(|fact| fact.subject).collect::<Vec<_>>(),
                &facts
                    .iter()
                    .map(|fact| fact.r#type.clone())
                    .collect::<Vec<_>>(),
                self.clock.now(),
            )
            .execute(&mut *transaction)
            .await?;
            touch(&mut transaction, subscription).await?;
            transaction.commit().await?;
            Ok(replayed.rows_affected())
        })?;
        Ok(replayed)
    }

    /// A fact by its public id. Ids are in no index of their own, which every fact would pay for:
    /// they tell when, and the feed is in the order of time but for moments.
    pub async fn fact(&self, event: EventId) -> Result<Option<Fact>, StoreError> {
        let Some(made) = ids::made_at(event.uuid) else {
            return Ok(None);
        };
        let from = self.place_before(made).await?;
        let place = again!(self, "fact", {
            Ok(sqlx::query!(
                r#"
            -- fact
            SELECT xid::text::bigint AS "xid!" FROM (
                SELECT xid, id FROM facts
                WHERE (xid, id) > ($1::bigint::text::xid8, $2)
                ORDER BY xid, id
                -- As many as two minutes may have at the very most.
                LIMIT 2000000
            ) near
            WHERE id = $3
            LIMIT 1
            "#,
                from.xid,
                from.id,
                event.uuid,
            )
            .fetch_optional(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        let Some(found) = place else {
            return Ok(None);
        };
        let place = Place {
            xid: found.xid,
            id: event.uuid,
        };
        let fact = self.facts_at(&[place]).await?.pop();
        Ok(fact.filter(|fact| fact.stream == event.sender.0))
    }

    /// A page of what was written between two moments, and the place to go on from; `None`: that
    /// was all.
    pub async fn facts_between(
        &self,
        since: Timestamp,
        until: Timestamp,
        after: Option<Place>,
    ) -> Result<(Vec<Fact>, Option<Place>), StoreError> {
        /// Longer than any transaction that writes facts.
        const LONGEST: time::Duration = time::Duration::seconds(60);
        let from = match after {
            Some(place) => place,
            None => self.place_before(since).await?,
        };
        let everything = FeedFilter::default();
        let Read {
            mut facts,
            next,
            at_end,
        } = self.feed(&everything, from, PAGE).await?;
        let beyond: Uuid = first_at(until + LONGEST);
        let over = facts.first().is_some_and(|fact| fact.id >= beyond);
        facts.retain(|fact| (since..until).contains(&fact.received_at));
        Ok((facts, (!at_end && !over).then_some(next)))
    }
}
