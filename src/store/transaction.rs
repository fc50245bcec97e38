//! How a transaction begins and ends. A request may be dropped at any await: its caller hung up.
//! So it may be while its transaction begins, or commits; whoever used that connection next would
//! go on in it, and believe to have committed. So every connection is rolled back when it comes
//! back to its pool (`store/pool.rs`), whatever was done on it, and transactions begin on those
//! alone. That makes a dropped transaction one that is rolled back.

use std::ops::{Deref, DerefMut};

use sqlx::{Executor as _, PgConnection};

use super::pool::Lent;
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
        self.0.execute("COMMIT").await?;
        Ok(())
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
        let mut lent = self.pool.acquire().await?;
        lent.execute(statement).await?;
        Ok(Transaction(lent))
    }
}
