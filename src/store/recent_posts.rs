//! What a sender has posted of late, for who owns it next.

use std::time::Duration;

use super::leases::interval;
use super::{Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::ids::SenderId;

impl Store {
    /// To whom messages were posted within this time, and when, the oldest first. Those that may
    /// have been posted count too.
    pub async fn recent_posts(
        &self,
        sender: SenderId,
        within: Duration,
    ) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let rows = again!(self, "recent_posts", {
            Ok(sqlx::query!(
                r#"
                -- recent_posts
                SELECT m.recipient AS "recipient!", a.posted_at AS "posted_at!"
                FROM attempts a JOIN messages m ON m.sender = a.sender AND m.id = a.message
                WHERE a.sender = $1 AND a.posted_at > now() - $2::interval
                    AND m.recipient IS NOT NULL
                ORDER BY a.posted_at
                "#,
                sender.0,
                interval(within),
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        let posts = rows.into_iter().map(|row| (row.recipient, row.posted_at));
        Ok(posts.collect())
    }
}
