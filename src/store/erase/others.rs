//! What names a person and is of no message to them: what they wrote and did, what was said of
//! members of groups, names, answers that are kept for a day.

use serde_json::Value;
use uuid::Uuid;

use super::super::{Store, StoreError, again};
use super::facts::Changed;
use super::{Found, Whom};
use crate::model::erased::{ERASED, take_out, take_out_of_answer};

/// Facts, or answers, that are looked at in one statement. Nobody looks for people in them
/// otherwise, and an index would cost every fact.
const LOOKED_AT: i64 = 5_000;

/// Rows of one transaction.
const AT_ONCE: i64 = 500;

impl Store {
    /// Facts of a stream that are about nothing of ours, such as inbound messages.
    pub(super) async fn erase_other_facts(
        &self,
        stream: i32,
        whom: &Whom,
        found: &mut Found,
    ) -> Result<(), StoreError> {
        let mut after = (String::new(), String::new());
        loop {
            let (last, events) = again!(self, "erase_other_facts", {
                let mut transaction = self.begin().await?;
                let rows = sqlx::query!(
                    r#"
                    -- erase_other_facts
                    WITH page AS MATERIALIZED (
                        SELECT type, key, occurred_at, received_at, data FROM facts
                        WHERE stream = $1 AND subject = '00000000-0000-0000-0000-000000000000'
                            AND n = 0 AND (type, key) > ($2 COLLATE "C", $3 COLLATE "C")
                        ORDER BY type, key
                        LIMIT $4
                    )
                    SELECT type, key, CASE WHEN h.hit THEN data END AS data
                    FROM page p
                    CROSS JOIN LATERAL (
                        -- What bears no time may be of before.
                        SELECT CASE WHEN p.occurred_at IS NULL THEN p.received_at < $7
                                    ELSE p.occurred_at < $6 END
                            AND EXISTS (
                                SELECT FROM unnest($5::text[]) AS x (name)
                                WHERE strpos(p.data::text, x.name) > 0
                            ) AS hit
                    ) h
                    WHERE h.hit OR (type, key) = (
                        SELECT type, key FROM page ORDER BY type DESC, key DESC LIMIT 1)
                    ORDER BY type, key
                    "#,
                    stream,
                    after.0,
                    after.1,
                    LOOKED_AT,
                    &whom.names,
                    whom.at,
                    whom.until,
                )
                .fetch_all(&mut *transaction)
                .await?;
                let last = rows.last().map(|row| (row.r#type.clone(), row.key.clone()));
                let mut changed = Changed::default();
                for row in rows {
                    if let Some(data) = row.data {
                        let is_theirs = |text: &str| whom.is_called(text);
                        changed.add_other(row.r#type, row.key, &data, &is_theirs);
                    }
                }
                let events = changed.write(&mut transaction, stream).await?;
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

    /// What was said of a person as a member of a group.
    pub(super) async fn erase_participants(
        &self,
        whom: &Whom,
        found: &mut Found,
    ) -> Result<(), StoreError> {
        loop {
            let events = self.erase_some_participants(whom).await?;
            found.events += events;
            // The key of those that were found is another now.
            if events == 0 {
                return Ok(());
            }
        }
    }

    async fn erase_some_participants(&self, whom: &Whom) -> Result<u64, StoreError> {
        again!(self, "erase_participants", {
            let mut transaction = self.begin().await?;
            let rows = sqlx::query!(
                r#"
                -- erase_participants
                SELECT stream, subject, n, type, key, data FROM facts f
                WHERE source = 'webhook' AND n > 0 AND key <> '' AND key = ANY($1)
                    AND received_at < $2
                    -- A message of after is new, and so is what is said of it.
                    AND NOT EXISTS (
                        SELECT FROM messages m WHERE m.sender = f.stream AND m.id = f.subject
                            AND m.sequence >= $3)
                ORDER BY stream, subject, n, type, key
                LIMIT $4
                FOR UPDATE OF f
                "#,
                &whom.names,
                whom.until,
                whom.made,
                AT_ONCE,
            )
            .fetch_all(&mut *transaction)
            .await?;
            for row in &rows {
                let mut data = row.data.clone();
                take_out(&mut data, &|text| whom.is_called(text));
                let key = self.erased.borrow().key(&row.key);
                // By the new key it may be there already: it came again.
                sqlx::query!(
                    r#"
                    -- erase_participant
                    WITH gone AS (
                        DELETE FROM facts
                        WHERE stream = $1 AND subject = $2 AND n = $3
                            AND type = $4 COLLATE "C" AND key = $5 COLLATE "C"
                        RETURNING *
                    )
                    INSERT INTO facts (stream, n, item, xid, id, subject, webhook, occurred_at,
                                       received_at, type, key, source, data)
                    SELECT stream, n, item, xid, id, subject, webhook, occurred_at, received_at,
                           type, $6, source, $7
                    FROM gone
                    ON CONFLICT DO NOTHING
                    "#,
                    row.stream,
                    row.subject,
                    row.n,
                    row.r#type,
                    row.key,
                    key,
                    data,
                )
                .execute(&mut *transaction)
                .await?;
            }
            transaction.commit().await?;
            Ok(rows.len() as u64)
        })
    }

    /// Answers that are kept for who asks again: they stay, or asking again would do it again.
    pub(super) async fn erase_answers(&self, whom: &Whom) -> Result<u64, StoreError> {
        let (mut after, mut erased) = (Some((Uuid::nil(), String::new(), String::new())), 0);
        while let Some(from) = after.take() {
            let (last, changed) = again!(self, "erase_answers", {
                let mut transaction = self.begin().await?;
                let rows = sqlx::query!(
                    r#"
                    -- erase_answers
                    WITH page AS MATERIALIZED (
                        SELECT api_key, endpoint, key, created_at, answer FROM idempotency_keys
                        WHERE (api_key, endpoint, key) > ($1, $2 COLLATE "C", $3 COLLATE "C")
                        ORDER BY api_key, endpoint, key
                        LIMIT $4
                    )
                    SELECT api_key, endpoint, key, CASE WHEN h.hit THEN answer END AS answer
                    FROM page p
                    CROSS JOIN LATERAL (
                        SELECT created_at < $6 AND EXISTS (
                            SELECT FROM unnest($5::text[]) AS x (name)
                            WHERE position(convert_to(x.name, 'UTF8') IN p.answer) > 0
                        ) AS hit
                    ) h
                    WHERE h.hit OR (api_key, endpoint, key) = (
                        SELECT api_key, endpoint, key FROM page
                        ORDER BY api_key DESC, endpoint DESC, key DESC LIMIT 1)
                    ORDER BY api_key, endpoint, key
                    "#,
                    from.0,
                    from.1,
                    from.2,
                    LOOKED_AT,
                    &whom.names,
                    whom.until,
                )
                .fetch_all(&mut *transaction)
                .await?;
                let last = rows
                    .last()
                    .map(|row| (row.api_key, row.endpoint.clone(), row.key.clone()));
                let mut changed = 0;
                for row in &rows {
                    let answer = row.answer.as_deref();
                    let Some(Ok(mut answer)) = answer.map(serde_json::from_slice::<Value>) else {
                        continue;
                    };
                    take_out_of_answer(&mut answer, &|text| whom.is_called(text));
                    changed += sqlx::query!(
                        r#"
                        -- erase_answer
                        UPDATE idempotency_keys SET answer = $4
                        WHERE api_key = $1 AND endpoint = $2 AND key = $3
                        "#,
                        row.api_key,
                        row.endpoint,
                        row.key,
                        answer.to_string().into_bytes(),
                    )
                    .execute(&mut *transaction)
                    .await?
                    .rows_affected();
                }
                transaction.commit().await?;
                Ok((last, changed))
            })?;
            (after, erased) = (last, erased + changed);
        }
        Ok(erased)
    }

    /// Their names, and what they want. That an account wrote to somebody still counts. What leads
    /// to a name that was not looked for stays: by it the next look finds that name.
    pub(super) async fn erase_names(&self, whom: &Whom) -> Result<u64, StoreError> {
        again!(self, "erase_names", {
            let mut transaction = self.begin().await?;
            let names = sqlx::query!(
                r#"
                -- erase_names
                DELETE FROM recipients r USING unnest($2::integer[]) AS s (id)
                WHERE r.sender = s.id AND r.alias = ANY($1)
                    AND (r.leads_to IS NULL OR r.leads_to = ANY($1))
                    AND (r.wrote_at IS NULL OR r.wrote_at < $3)
                    AND (r.marketing_at IS NULL OR r.marketing_at < $3)
                "#,
                &whom.names,
                &whom.senders,
                whom.at,
            )
            .execute(&mut *transaction)
            .await?;
            sqlx::query!(
                r#"
                -- erase: opened
                UPDATE opened SET recipient = $2 || ' ' || gen_random_uuid()
                WHERE recipient = ANY($1) AND opened_at < $3
                "#,
                &whom.names,
                ERASED,
                whom.at,
            )
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(names.rows_affected())
        })
    }
}
