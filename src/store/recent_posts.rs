//! What a sender has posted of late, for who owns it next.

use std::time::Duration;

use super::leases::interval;
use super::{Store, StoreError, again};
use crate::model::ids::SenderId;

impl Store {
    /// To whom messages were posted within this time, and how many. Those that may have been posted
    /// count too.
    pub async fn recent_posts(
        &self,
        sender: SenderId,
        within: Duration,
    ) -> Result<Vec<(String, u32)>, StoreError> {
        let rows = again!(self, "recent_posts", {
            Ok(sqlx::query!(
                r#"
                -- recent_posts
                SELECT m.recipient AS "recipient!", count(*) AS "posts!"
                FROM attempts a JOIN messages m ON m.sender = a.sender AND m.id = a.message
                WHERE a.sender = $1 AND a.posted_at > now() - $2::interval
                    AND m.recipient IS NOT NULL
                GROUP BY m.recipient
                "#,
                sender.0,
                interval(within),
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        let count = |posts| u32::try_from(posts).unwrap_or(u32::MAX);
        let posts = rows.into_iter();
        let posts = posts.map(|row| (row.recipient, count(row.posts)));
        Ok(posts.collect())
    }
}
