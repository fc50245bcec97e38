//! Sequences whose rows hold what no version of ours writes. They are put off, loudly, so that
//! neither they nor their number keep a claimer from the others.

use sqlx::PgConnection;
use uuid::Uuid;

use super::super::StoreError;
use crate::model::Timestamp;
use crate::model::ids::{SenderId, SequenceId};

/// When it is looked at again: somebody may have put it right.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_secs(60);

/// A sequence that cannot be understood.
#[derive(Debug)]
pub(super) struct Corrupt {
    pub(super) sequence: Uuid,
    /// Which column, and what is wrong with it.
    pub(super) what: String,
}

/// Nothing is changed but when it is looked at again.
pub(super) async fn put_off(
    connection: &mut PgConnection,
    sender: SenderId,
    corrupt: &[Corrupt],
    now: Timestamp,
) -> Result<(), StoreError> {
    if corrupt.is_empty() {
        return Ok(());
    }
    for Corrupt { sequence, what } in corrupt {
        let sequence = SequenceId {
            sender,
            uuid: *sequence,
        };
        tracing::error!(%sequence, what, "a sequence is corrupt and stands still");
        metrics::counter!("twotick_corrupt_sequences_total").increment(1);
    }
    let sequences: Vec<_> = corrupt.iter().map(|corrupt| corrupt.sequence).collect();
    sqlx::query!(
        r#"
        -- claim: put off
        UPDATE sequences SET due_at = $3 WHERE sender = $1 AND id = ANY($2)
        "#,
        sender.0,
        &sequences,
        now + LOOK_AGAIN,
    )
    .execute(connection)
    .await?;
    Ok(())
}
