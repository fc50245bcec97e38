//! What was under way when a person was erased: an answer that came just then, a status that was
//! decoded before and committed after. It is about messages that bear their name no more, so it is
//! found by walking along the feed from then on, whatever it is about.

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use super::super::feed::Place;
use super::super::{Store, StoreError, again};
use super::facts::{Changed, erase_facts, erase_refusals};
use super::{Found, Whom};
use crate::model::erased::{blank, names, take_out};

/// Facts that are looked at in one statement.
const LOOKED_AT: i64 = 5_000;

/// A fact that may name them.
struct Hit {
    place: Place,
    stream: i32,
    subject: Uuid,
    r#type: String,
    key: String,
    /// `None`: it does not, and is the last of its page.
    data: Option<Value>,
}

impl Store {
    /// Takes them out of all that was written since, and is of before.
    pub(super) async fn erase_since(
        &self,
        whom: &Whom,
        found: &mut Found,
    ) -> Result<(), StoreError> {
        let mut after = self.place_before(whom.at).await?;
        let end = self.last_place().await?;
        loop {
            let (last, events) = again!(self, "erase_since", {
                let mut transaction = self.begin().await?;
                let hits = hits(&mut transaction, whom, after, end).await?;
                let last = hits.last().map(|hit| hit.place);
                let events = erase_hits(&mut transaction, whom, hits).await?;
                transaction.commit().await?;
                Ok((last, events))
            })?;
            found.events += events;
            let Some(last) = last else {
                return Ok(());
            };
            after = last;
        }
    }

    /// Behind all that has been written. Not the feed's end, which a long transaction holds back.
    async fn last_place(&self) -> Result<Place, StoreError> {
        let xid = again!(self, "erase: end", {
            let end = sqlx::query_scalar!(
                r#"
                -- erase: end
                SELECT feed_place(pg_snapshot_xmax(pg_current_snapshot()))::text::bigint AS "end!"
                "#
            );
            Ok(end.fetch_one(&mut *self.pool.acquire().await?).await?)
        })?;
        Ok(Place {
            xid,
            id: Uuid::nil(),
        })
    }
}

async fn hits(
    connection: &mut sqlx::PgConnection,
    whom: &Whom,
    after: Place,
    end: Place,
) -> Result<Vec<Hit>, StoreError> {
    let rows = sqlx::query!(
        r#"
        -- erase_since
        WITH page AS MATERIALIZED (
            SELECT xid, id, stream, subject, type, key, occurred_at, received_at, data
            FROM facts
            WHERE (xid, id) > ($1::bigint::text::xid8, $2) AND xid < $3::bigint::text::xid8
            ORDER BY xid, id
            LIMIT $4
        )
        SELECT p.xid::text::bigint AS "xid!", p.id AS "id!", p.stream AS "stream!",
               p.subject AS "subject!", p.type AS "type!", p.key AS "key!",
               CASE WHEN h.hit THEN p.data END AS data
        FROM page p
        LEFT JOIN messages m ON m.sender = p.stream AND m.id = p.subject
        CROSS JOIN LATERAL (
            SELECT CASE
                WHEN p.subject = '00000000-0000-0000-0000-000000000000' THEN
                    CASE WHEN p.occurred_at IS NULL THEN p.received_at < $7
                         ELSE p.occurred_at < $6 END
                -- A campaign makes its messages late; its sequences are as old as what it was given.
                WHEN m.sequence IS NOT NULL THEN m.sequence < $8
                WHEN m.id IS NOT NULL THEN p.received_at < $7
                ELSE p.subject < $8
            END AND EXISTS (
                SELECT FROM unnest($5::text[]) AS x (name)
                WHERE strpos(p.data::text, x.name) > 0
            ) AS hit
        ) h
        WHERE h.hit OR (p.xid, p.id) = (
            SELECT xid, id FROM page ORDER BY xid DESC, id DESC LIMIT 1)
        ORDER BY p.xid, p.id
        "#,
        after.xid,
        after.id,
        end.xid,
        LOOKED_AT,
        &whom.names,
        whom.at,
        whom.until,
        whom.made,
    )
    .fetch_all(connection)
    .await?;
    let hit = |(xid, id), stream, subject, r#type, key, data| Hit {
        place: Place { xid, id },
        stream,
        subject,
        r#type,
        key,
        data,
    };
    Ok(rows
        .into_iter()
        .map(|row| {
            let place = (row.xid, row.id);
            hit(
                place,
                row.stream,
                row.subject,
                row.r#type,
                row.key,
                row.data,
            )
        })
        .collect())
}

async fn erase_hits(
    connection: &mut sqlx::PgConnection,
    whom: &Whom,
    hits: Vec<Hit>,
) -> Result<u64, StoreError> {
    let is_theirs = |text: &str| whom.is_called(text);
    let mut subjects: BTreeMap<i32, Vec<Uuid>> = BTreeMap::new();
    let mut others: BTreeMap<i32, Changed> = BTreeMap::new();
    for hit in hits {
        let Some(data) = hit.data else { continue };
        if hit.subject.is_nil() {
            let changed = others.entry(hit.stream).or_default();
            changed.add_other(hit.r#type, hit.key, &data, &is_theirs);
        } else {
            subjects.entry(hit.stream).or_default().push(hit.subject);
        }
    }
    let mut events = 0;
    for (stream, mut subjects) in subjects {
        subjects.sort_unstable();
        subjects.dedup();
        erase_refusals(connection, stream, &subjects, whom).await?;
        events += erase_facts(connection, stream, &subjects, whom).await?;
    }
    for (stream, changed) in others {
        events += changed.write(connection, stream).await?;
    }
    Ok(events)
}

impl Changed {
    /// A fact about nothing of ours: of one that is theirs only that it was stays.
    pub(super) fn add_other(
        &mut self,
        r#type: String,
        key: String,
        data: &Value,
        is_theirs: &impl Fn(&str) -> bool,
    ) {
        let left = match names(data, is_theirs) {
            true => blank(data),
            false => {
                let mut left = data.clone();
                take_out(&mut left, is_theirs);
                left
            }
        };
        if left != *data {
            self.add(Uuid::nil(), 0, r#type, key, left);
        }
    }
}
