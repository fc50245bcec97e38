//! Copies of a fact that differ: the same status said again with another time, or with a price that
//! the first had not. What was written first may not be what counts; the rule is the schema's
//! (`joined_copy`), and a join, so that the order in which copies come does not matter. Nearly
//! every batch has none: this is asked for when fewer facts were written than there were.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::ingest::{Batch, FactRow};
use super::{Store, StoreError};
use crate::model::Timestamp;

impl Store {
    /// Joins these facts into those that stand where they belong, in a transaction: an adoption
    /// that moves them meanwhile must have ended, or begin after it.
    pub(super) async fn join_copies(
        &self,
        connection: &mut PgConnection,
        batch: &Batch<'_>,
    ) -> Result<(), StoreError> {
        hold_attempts(connection, batch).await?;
        for round in rounds(&batch.facts) {
            join_round(connection, batch, &round).await?;
        }
        Ok(())
    }
}

/// Against adoption, which locks attempts for an update.
async fn hold_attempts(connection: &mut PgConnection, batch: &Batch<'_>) -> Result<(), StoreError> {
    let (mut senders, mut messages, mut ns) = (Vec::new(), Vec::new(), Vec::new());
    for said in &batch.attempts {
        if let Some((message, n)) = said.ours {
            senders.push(said.sender.0);
            messages.push(message);
            ns.push(n);
        }
    }
    sqlx::query!(
        r#"
        -- join_copies: attempts by our ids
        SELECT a.n FROM attempts a JOIN unnest($1::integer[], $2::uuid[], $3::smallint[])
            AS x (sender, message, n) ON a.sender = x.sender AND a.message = x.message AND a.n = x.n
        ORDER BY a.sender, a.message, a.n
        FOR KEY SHARE OF a
        "#,
        &senders,
        &messages,
        &ns,
    )
    .fetch_all(&mut *connection)
    .await?;
    let attempts = &batch.attempts;
    sqlx::query!(
        r#"
        -- join_copies: attempts by the provider's
        SELECT a.n FROM attempts a JOIN unnest($1::integer[], $2::text[])
            AS x (sender, provider_message_id)
            ON a.provider_message_id = x.provider_message_id AND a.sender = x.sender
        ORDER BY a.sender, a.message, a.n
        FOR KEY SHARE OF a
        "#,
        &attempts
            .iter()
            .map(|said| said.sender.0)
            .collect::<Vec<_>>(),
        &attempts
            .iter()
            .map(|said| said.provider_message_id)
            .collect::<Vec<_>>() as &[&str],
    )
    .fetch_all(connection)
    .await?;
    Ok(())
}

/// The different copies, so that none is twice in a round: a statement changes a row once.
fn rounds<'a, 'b>(facts: &'b [FactRow<'a>]) -> Vec<Vec<&'b FactRow<'a>>> {
    let mut copies: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    let mut rounds: Vec<Vec<_>> = Vec::new();
    for fact in facts {
        let key = (
            fact.stream,
            fact.attempt,
            fact.subject,
            &fact.r#type,
            fact.key,
        );
        let known = copies.entry(key).or_default();
        if known.insert((fact.occurred_at, fact.data)) {
            if rounds.len() < known.len() {
                rounds.push(Vec::new());
            }
            rounds[known.len() - 1].push(fact);
        }
    }
    rounds
}

async fn join_round(
    connection: &mut PgConnection,
    batch: &Batch<'_>,
    facts: &[&FactRow<'_>],
) -> Result<(), StoreError> {
    let said = |fact: &&FactRow<'_>| fact.attempt.and_then(|at| batch.attempts.get(at));
    let ours = |fact: &&FactRow<'_>| said(fact).and_then(|said| said.ours);
    sqlx::query!(
        r#"
        -- join_copies
        WITH copies AS MATERIALIZED (
            SELECT y.stream, coalesce(o.message, t.message, y.subject) AS subject,
                   coalesce(o.n, t.n, 0::smallint) AS n, y.type, y.key, y.occurred_at,
                   y.data::json AS data
            FROM unnest($1::integer[], $2::uuid[], $3::smallint[], $4::text[], $5::uuid[],
                        $6::text[], $7::text[], $8::timestamptz[], $9::text[])
                AS y (stream, message, n, provider_message_id, subject, type, key, occurred_at,
                      data)
            LEFT JOIN attempts o ON o.sender = y.stream AND o.message = y.message AND o.n = y.n
            LEFT JOIN attempts t ON t.sender = y.stream
                AND t.provider_message_id = y.provider_message_id
        ),
        -- In one order, so that two who join the same copies do not wait for each other.
        locked AS MATERIALIZED (
            SELECT f.stream, f.subject, f.n, f.type, f.key
            FROM facts f JOIN copies c
                ON (c.stream, c.subject, c.n, c.type, c.key)
                    = (f.stream, f.subject, f.n, f.type, f.key)
            WHERE f.occurred_at IS DISTINCT FROM LEAST(f.occurred_at, c.occurred_at)
                OR f.data::text <> c.data::text
                    AND f.data::text
                        <> joined_copy(f.occurred_at, f.data, c.occurred_at, c.data)::text
            ORDER BY f.stream, f.subject, f.n, f.type, f.key
            FOR NO KEY UPDATE OF f
        )
        UPDATE facts f
        SET occurred_at = LEAST(f.occurred_at, c.occurred_at),
            data = joined_copy(f.occurred_at, f.data, c.occurred_at, c.data)
        FROM copies c JOIN locked l
            ON (l.stream, l.subject, l.n, l.type, l.key)
                = (c.stream, c.subject, c.n, c.type, c.key)
        WHERE (c.stream, c.subject, c.n, c.type, c.key)
                = (f.stream, f.subject, f.n, f.type, f.key)
        "#,
        &facts.iter().map(|fact| fact.stream).collect::<Vec<_>>(),
        &facts
            .iter()
            .map(|fact| ours(fact).map(|(message, _)| message))
            .collect::<Vec<_>>() as &[Option<Uuid>],
        &facts
            .iter()
            .map(|fact| ours(fact).map(|(_, n)| n))
            .collect::<Vec<_>>() as &[Option<i16>],
        &facts
            .iter()
            .map(|fact| said(fact).map(|said| said.provider_message_id))
            .collect::<Vec<_>>() as &[Option<&str>],
        &facts.iter().map(|fact| fact.subject).collect::<Vec<_>>(),
        &facts
            .iter()
            .map(|fact| fact.r#type.as_ref())
            .collect::<Vec<_>>() as &[&str],
        &facts.iter().map(|fact| fact.key).collect::<Vec<_>>() as &[&str],
        &facts
            .iter()
            .map(|fact| fact.occurred_at)
            .collect::<Vec<_>>() as &[Option<Timestamp>],
        &facts.iter().map(|fact| fact.data).collect::<Vec<_>>() as &[&str],
    )
    .execute(connection)
    .await?;
    Ok(())
}
