//! Users by all their names, and what they want. A name leads to a stronger or a newer one of the
//! same user; all that lead to each other are one user. What a user said of marketing stands
//! under the name it was said by, and holds for all of them.
//!
//! Both are joins: the latest word of a name counts, so that any order and repetition of facts
//! ends in the same users.

use sqlx::PgConnection;

use super::{Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::fact::Alias;
use crate::model::ids::SenderId;
use crate::model::recipient::is_group;

/// Two names of one user.
#[derive(Debug, Clone)]
pub struct NameSaid {
    /// Who knows the user so.
    pub sender: SenderId,
    /// By the provider's clock.
    pub at: Timestamp,
    /// The names.
    pub alias: Alias,
}

impl NameSaid {
    /// Whether this counts and not the other, of the same name.
    pub fn is_after(&self, other: &Self) -> bool {
        (self.at, &self.alias.user) > (other.at, &other.alias.user)
    }
}

/// What a user said of marketing messages.
#[derive(Debug, Clone)]
pub struct MarketingSaid {
    /// To whom.
    pub sender: SenderId,
    /// By the provider's clock.
    pub at: Timestamp,
    /// The user's strongest name.
    pub name: String,
    /// `stop`, `resume`, `signup`.
    pub value: String,
}

impl MarketingSaid {
    /// Whether this counts and not the other, of the same name. In the same second it is a stop.
    pub fn is_after(&self, other: &Self) -> bool {
        fn order(said: &MarketingSaid) -> (Timestamp, bool, &str) {
            (said.at, said.value == STOP, &said.value)
        }
        order(self) > order(other)
    }
}

impl NameSaid {
    /// What an answer says: the recipient as the provider spells it. A number leads to the
    /// number that the provider knows, and this to the user, should we have named the user.
    pub(super) fn of_answer(
        sender: SenderId,
        at: Timestamp,
        recipient: &str,
        wa_id: &str,
    ) -> Option<Self> {
        let is_number = recipient.bytes().all(|byte| byte.is_ascii_digit());
        let (alias, user) = match (recipient == wa_id, is_number) {
            (true, _) => return None,
            _ if is_group(recipient) => return None,
            (false, true) => (recipient, wa_id),
            (false, false) => (wa_id, recipient),
        };
        let (alias, user) = (alias.to_owned(), user.to_owned());
        let at = at.replace_time(time::Time::MIDNIGHT);
        Some(Self {
            sender,
            at,
            alias: Alias { alias, user },
        })
    }
}

/// That a user wrote, or said something that may concern what is not sent yet.
#[derive(Debug, Clone)]
pub struct Heard {
    /// By whom.
    pub sender: SenderId,
    /// The user's strongest name.
    pub name: String,
    /// When they wrote, by the provider's clock, if they did.
    pub wrote_at: Option<Timestamp>,
}

/// The word of a user who wants no marketing.
pub(super) const STOP: &str = "stop";

/// What a user wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marketing {
    /// The provider's word.
    pub value: String,
    /// When they said so.
    pub at: Timestamp,
}

impl Marketing {
    /// Whether the user wants none.
    pub fn is_stopped(&self) -> bool {
        self.value == STOP
    }
}

impl Store {
    /// Joins names, of each alias of a sender one, and what users said of marketing, of each name
    /// of a sender one. In one statement, because both may meet in one row: two batches of which
    /// each names first what the other names last must not wait for each other.
    pub(super) async fn join_recipients(
        &self,
        connection: &mut PgConnection,
        names: &[NameSaid],
        marketing: &[MarketingSaid],
    ) -> Result<(), StoreError> {
        if names.is_empty() && marketing.is_empty() {
            return Ok(());
        }
        sqlx::query!(
            r#"
            -- join_recipients
            INSERT INTO recipients AS r
                (sender, alias, leads_to, leads_at, marketing, marketing_at)
            SELECT sender, alias, n.leads_to, n.leads_at, m.marketing, m.marketing_at
            FROM unnest($1::integer[], $2::text[], $3::text[], $4::timestamptz[])
                AS n (sender, alias, leads_to, leads_at)
            FULL JOIN unnest($5::integer[], $6::text[], $7::text[], $8::timestamptz[])
                AS m (sender, alias, marketing, marketing_at) USING (sender, alias)
            -- The order of bytes, as that of the key.
            ORDER BY sender, alias COLLATE "C"
            ON CONFLICT (sender, alias) DO UPDATE
            -- The latest word on each of the two; what is not said is NULL.
            SET (leads_to, leads_at) = (
                    SELECT x.leads_to, x.leads_at
                    FROM (VALUES (r.leads_to, r.leads_at),
                                 (excluded.leads_to, excluded.leads_at)) AS x (leads_to, leads_at)
                    ORDER BY x.leads_at DESC NULLS LAST, x.leads_to DESC
                    LIMIT 1
                ),
                (marketing, marketing_at) = (
                    SELECT x.marketing, x.marketing_at
                    FROM (VALUES (r.marketing, r.marketing_at),
                                 (excluded.marketing, excluded.marketing_at))
                        AS x (marketing, marketing_at)
                    ORDER BY x.marketing_at DESC NULLS LAST, x.marketing = 'stop' DESC,
                             x.marketing DESC
                    LIMIT 1
                )
            -- Nearly always it is known, and no row is to be written for it.
            WHERE (excluded.leads_at, excluded.leads_to)
                    > (coalesce(r.leads_at, '-infinity'), coalesce(r.leads_to, ''))
                OR (excluded.marketing_at, excluded.marketing = 'stop', excluded.marketing)
                    > (coalesce(r.marketing_at, '-infinity'),
                       coalesce(r.marketing = 'stop', false), coalesce(r.marketing, ''))
            "#,
            &names.iter().map(|said| said.sender.0).collect::<Vec<_>>(),
            &names
                .iter()
                .map(|said| said.alias.alias.as_str())
                .collect::<Vec<_>>() as &[&str],
            &names
                .iter()
                .map(|said| said.alias.user.as_str())
                .collect::<Vec<_>>() as &[&str],
            &names.iter().map(|said| said.at).collect::<Vec<_>>(),
            &marketing
                .iter()
                .map(|said| said.sender.0)
                .collect::<Vec<_>>(),
            &marketing
                .iter()
                .map(|said| said.name.as_str())
                .collect::<Vec<_>>() as &[&str],
            &marketing
                .iter()
                .map(|said| said.value.as_str())
                .collect::<Vec<_>>() as &[&str],
            &marketing.iter().map(|said| said.at).collect::<Vec<_>>(),
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Remembers when users wrote, and makes due whatever is not done yet to users who were heard
    /// of, by any of their names. Of each name of a sender one. Returns the senders that have
    /// something due. Whoever decides on one of these sequences meanwhile holds its lock, and so
    /// looks again.
    pub(super) async fn hear_users(
        &self,
        connection: &mut PgConnection,
        heard: &[Heard],
    ) -> Result<Vec<SenderId>, StoreError> {
        let due = sqlx::query_scalar!(
            r#"
            -- hear_users
            WITH RECURSIVE heard AS MATERIALIZED (
                SELECT * FROM unnest($1::integer[], $2::text[], $3::timestamptz[])
                    AS x (sender, name, wrote_at)
            ),
            wrote AS (
                INSERT INTO recipients AS r (sender, alias, wrote_at)
                SELECT sender, name, wrote_at FROM heard
                WHERE wrote_at IS NOT NULL
                ORDER BY sender, name COLLATE "C"
                ON CONFLICT (sender, alias) DO UPDATE SET wrote_at = excluded.wrote_at
                WHERE r.wrote_at IS NULL OR r.wrote_at < excluded.wrote_at
                RETURNING 1
            ),
            names (sender, name) AS (
                SELECT sender, name COLLATE "C" FROM heard
                UNION
                SELECT n.sender, x.name
                FROM names n
                CROSS JOIN LATERAL (
                    SELECT r.leads_to FROM recipients r
                    WHERE r.sender = n.sender AND r.alias = n.name AND r.leads_to IS NOT NULL
                    UNION ALL
                    SELECT r.alias FROM recipients r
                    WHERE r.sender = n.sender AND r.leads_to = n.name
                ) x (name)
            ),
            theirs AS MATERIALIZED (
                SELECT q.sender, q.id
                -- Users before sequences, as elsewhere.
                FROM names n, (SELECT count(*) FROM wrote) w
                -- Each by its key, whatever the planner believes of the numbers.
                CROSS JOIN LATERAL (
                    SELECT q.sender, q.id FROM sequences q
                    WHERE q.sender = n.sender AND q.recipient = n.name COLLATE "default"
                        AND (q.work <> 'done') IS TRUE
                    ORDER BY q.id
                    FOR NO KEY UPDATE
                ) q
            ),
            woken AS (
                UPDATE sequences q
                SET due_at = LEAST(q.due_at, $4),
                    lane = CASE WHEN q.status = 'paused' THEN q.lane ELSE '' END
                FROM theirs t
                WHERE q.sender = t.sender AND q.id = t.id AND (q.work <> 'done') IS TRUE
                RETURNING q.sender
            )
            SELECT DISTINCT sender FROM woken
            "#,
            &heard.iter().map(|heard| heard.sender.0).collect::<Vec<_>>(),
            &heard
                .iter()
                .map(|heard| heard.name.as_str())
                .collect::<Vec<_>>() as &[&str],
            &heard.iter().map(|heard| heard.wrote_at).collect::<Vec<_>>() as &[Option<Timestamp>],
            self.clock.now(),
        )
        .fetch_all(connection)
        .await?;
        Ok(due.into_iter().map(SenderId).collect())
    }

    /// Joins names that were heard, of each alias of a sender one.
    pub async fn learn_names(&self, names: &[NameSaid]) -> Result<(), StoreError> {
        if names.is_empty() {
            return Ok(());
        }
        again!(self, "learn_names", {
            let mut pooled = self.pool.acquire().await?;
            self.join_recipients(&mut pooled, names, &[]).await
        })
    }

    /// What a user wants of a sender's marketing, by any of their names; `None` if they never
    /// said.
    pub async fn marketing(
        &self,
        sender: SenderId,
        name: &str,
    ) -> Result<Option<Marketing>, StoreError> {
        let found = again!(self, "marketing", {
            Ok(sqlx::query!(
                r#"
                -- marketing
                SELECT marketing AS "value!", marketing_at AS "at!"
                FROM user_known($1, $2)
                WHERE marketing IS NOT NULL
                "#,
                sender.0,
                name,
            )
            .fetch_optional(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok(found.map(|row| Marketing {
            value: row.value,
            at: row.at,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_how_the_provider_spells_a_recipient() {
        let said = |recipient: &str, wa_id: &str| {
            let said = NameSaid::of_answer(SenderId(1), Timestamp::UNIX_EPOCH, recipient, wa_id);
            said.map(|said| (said.alias.alias, said.alias.user))
        };
        let names = |alias: &str, user: &str| Some((alias.to_owned(), user.to_owned()));
        assert_eq!(said("447700900123", "447700900123"), None);
        // Mexico: with and without the 1 of mobile numbers.
        assert_eq!(
            said("525512345678", "5215512345678"),
            names("525512345678", "5215512345678")
        );
        assert_eq!(said("US.7", "447700900123"), names("447700900123", "US.7"));
        assert_eq!(said("Y2FwaV9ncm91cDox", "447700900123"), None);
    }
}
