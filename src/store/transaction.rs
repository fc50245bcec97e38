//! How a transaction begins and ends. A request may be dropped at any await: its caller hung up.
//! sqlx rolls back a transaction that is dropped, but not one that is dropped while it begins: it
//! takes it for not begun. Whoever used that connection next, and believed to have committed, would
//! not have. So transactions begin on connections that know it before the server does
//! (`store/pool.rs`), and these are rolled back on their way back to the pool.

use std::ops::{Deref, DerefMut};

use sqlx::PgConnection;

use super::pool::{Lent, PING, is_cut};
use super::{Store, StoreError};

/// What a transaction begins with.
const BEGIN: &str = "BEGIN";
/// One that only reads, and sees one moment.
const BEGIN_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Rolled back when it is dropped.
#[derive(Debug)]
pub(super) struct Transaction(Lent);

impl Transaction {
    /// An error may mean that nobody knows whether it was committed.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.0.commit().await
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}

impl Store {
    /// A transaction; rolled back when it is dropped, or this future is.
    pub(super) async fn begin(&self) -> Result<Transaction, StoreError> {
        self.begin_with(BEGIN).await
    }

    /// A transaction that only reads, all at one moment.
    pub(super) async fn begin_snapshot(&self) -> Result<Transaction, StoreError> {
        self.begin_with(BEGIN_SNAPSHOT).await
    }

    async fn begin_with(&self, statement: &'static str) -> Result<Transaction, StoreError> {
        let mut lent = self.pool.lend().await?;
        // One that says nothing is as good as cut off.
        match tokio::time::timeout(PING, lent.begin(statement)).await {
            Ok(Ok(())) => return Ok(Transaction(lent)),
            Ok(Err(error)) if !is_cut(&error) => return Err(error.into()),
            Ok(Err(_)) | Err(_) => {}
        }
        // Nothing has been done in it. Its place is needed: some pools have one.
        lent.close();
        let mut lent = self.pool.acquire().await?;
        lent.begin(statement).await?;
        Ok(Transaction(lent))
    }
}
