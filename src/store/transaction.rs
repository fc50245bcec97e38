//! How a transaction begins. A request may be dropped at any await: its caller hung up. sqlx rolls
//! back a transaction that is dropped, but not one that is dropped while it begins: it takes it
//! for not begun. Whoever used that connection next, and believed to have committed, would not
//! have. So every connection is rolled back when it comes back to its pool (`store/pool.rs`), and
//! transactions begin on those alone.

use sqlx::{Postgres, Transaction};

use super::{Store, StoreError};

/// What a transaction begins with.
const BEGIN: &str = "BEGIN";
/// One that only reads, and sees one moment.
const BEGIN_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

impl Store {
    /// A transaction; rolled back when it is dropped, or this future is.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        self.begin_with(BEGIN).await
    }

    /// A transaction that only reads, all at one moment.
    pub(super) async fn begin_snapshot(
        &self,
    ) -> Result<Transaction<'static, Postgres>, StoreError> {
        self.begin_with(BEGIN_SNAPSHOT).await
    }

    async fn begin_with(
        &self,
        statement: &'static str,
    ) -> Result<Transaction<'static, Postgres>, StoreError> {
        Ok(self.pool.begin_with(statement).await?)
    }
}
