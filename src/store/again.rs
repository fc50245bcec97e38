//! How a transaction is run: under a name, within a time limit, and again where the database
//! asks for it. Everything that the store does with the database goes through here, so that no
//! worker waits for ever for one that went away without a word.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::pool::is_cut;
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
            let run = $crate::store::again::Run::new(async { $transaction });
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

thread_local! {
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// A transaction, or a statement, on its way. What it lets go of while it is polled has come to its
/// end; what goes with it when it is dropped, because its caller hung up or its time is over, has not.
pub(super) struct Run<F>(Pin<Box<F>>);

impl<F: Future> Run<F> {
    /// In a box: the futures of statements are large, and would be moved with each that awaits them.
    pub(super) fn new(run: F) -> Self {
        Self(Box::pin(run))
    }
}

impl<F: Future> Future for Run<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        struct Restored(bool);
        impl Drop for Restored {
            fn drop(&mut self) {
                RUNNING.set(self.0);
            }
        }
        let _restored = Restored(RUNNING.replace(true));
        self.0.as_mut().poll(context)
    }
}

/// Whether what is dropped now is let go of by a transaction that goes on.
pub(super) fn is_running() -> bool {
    RUNNING.get() && !std::thread::panicking()
}

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
        if let StoreError::Database(error) = error
            && is_cut(error)
        {
            self.pool.cool();
        }
        if RUN_AGAIN.contains(&state) && tries < TRIES {
            tracing::debug!(name, tries, %error, "a transaction runs again");
            tokio::time::sleep(Duration::from_millis(u64::from(tries))).await;
            return true;
        }
        false
    }
}
