//! How a transaction begins. A request may be dropped at any await: its caller hung up. sqlx rolls
//! back a transaction that is dropped, but not one that is dropped while it begins: it takes it
//! for not begun, and gives the connection back with an open transaction. Whoever uses that
//! connection next, and believes to have committed, has not. So the beginning runs in a task of
//! its own, which nobody drops; what it hands to nobody is rolled back.

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
        let pool = self.pool.clone();
        let beginning = tokio::spawn(async move { pool.begin_with(statement).await });
        // It ends otherwise only with the runtime.
        let begun = beginning.await.map_err(|_| sqlx::Error::WorkerCrashed)?;
        Ok(begun?)
    }
}
