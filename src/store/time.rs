//! The database's clock is everybody's. Instances write moments that others compare with their own
//! now (when a sequence is due, when a message may be posted, when a gate's time is over), so that
//! a machine whose clock is ahead would have the others wait. Each follows the one clock that all
//! of them can read.

use sqlx::PgConnection;

use super::{Store, StoreError, again};
use crate::clock::Clock;
use crate::model::Timestamp;

/// Corrects our clock by the database's. Returns by how many seconds this machine is ahead of it.
pub(super) async fn follow(
    connection: &mut PgConnection,
    clock: &Clock,
) -> Result<f64, sqlx::Error> {
    let (asked, since) = (clock.machine(), clock.monotonic());
    let theirs: Timestamp = sqlx::query_scalar!(
        r#"
        -- follow_clock
        SELECT clock_timestamp() AS "now!"
        "#
    )
    .fetch_one(connection)
    .await?;
    Ok(clock.follow(asked, since.elapsed(), theirs))
}

impl Store {
    /// Corrects our clock by the database's. Returns by how many seconds this machine is ahead of
    /// it.
    pub async fn follow_clock(&self) -> Result<f64, StoreError> {
        again!(self, "follow_clock", {
            let mut connection = self.pool.acquire().await?;
            Ok(follow(&mut connection, &self.clock).await?)
        })
    }
}
