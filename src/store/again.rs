//! How a transaction is run: under a name, within a time limit, and again where the database
//! asks for it. Everything that the store does with the database goes through here, so that no
//! worker waits for ever for one that went away without a word.

use std::time::Duration;

use super::{Store, StoreError};

/// SQLSTATEs after which the same transaction may simply be run again: serialization failure,
/// deadlock.
const RUN_AGAIN: [&str; 2] = ["40001", "40P01"];

/// What a server says that lets nobody write, a standby for one.
const READ_ONLY: &str = "25006";

/// Runs a transaction, or a statement, again where the database asks for it:
/// `again!(self, "name", { … })`, with `?` inside. The name is for the log. A macro, because the
/// compiler cannot yet see that the future of a generic async closure is `Send`.
macro_rules! again {
    ($store:expr, $name:literal, $transaction:block) => {{
        let mut tries = 1;
        loop {
            let run = async { $transaction };
            let result: Result<_, $crate::store::StoreError> =
                match tokio::time::timeout($store.pool.limit(), run).await {
                    Ok(result) => result,
                    Err(_) => Err($crate::store::StoreError::NoAnswer($name)),
                };
            match result {
                Err(error) if $store.runs_again($name, &error, tries).await => tries += 1,
                result => break result,
            }
        }
    }};
}
pub(super) use again;

impl Store {
    /// Whether a transaction that failed so runs again; waits a moment if it does.
    pub(super) async fn runs_again(
        &self,
        name: &'static str,
        error: &StoreError,
        tries: u32,
    ) -> bool {
        /// A conflict that lasts longer than this is no accident of timing.
        const TRIES: u32 = 5;
        let state = error.sqlstate();
        let state = state.as_deref().unwrap_or_default();
        // What cut off one connection, or made its server a standby, has most likely done so to
        // all.
        if state == READ_ONLY || matches!(error, StoreError::NoAnswer(_)) {
            self.pool.distrust();
        }
        if RUN_AGAIN.contains(&state) && tries < TRIES {
            tracing::debug!(name, tries, %error, "a transaction runs again");
            tokio::time::sleep(Duration::from_millis(u64::from(tries))).await;
            return true;
        }
        false
    }
}
