//! Whether a database can keep our promises: asked at start, before anything is written.

use sqlx::PgConnection;

use super::OpenError;

/// 200 means committed: a server that acknowledges before it has flushed cannot keep that, and
/// neither can one that acknowledges before the standby has it that was configured to have it.
pub(super) async fn check(connection: &mut PgConnection) -> Result<(), OpenError> {
    let settings = sqlx::query!(
        r#"
        -- check_settings
        SELECT current_setting('synchronous_commit') AS "synchronous_commit!",
               current_setting('fsync') AS "fsync!",
               current_setting('synchronous_standby_names') <> '' AS "has_standby!",
               current_setting('server_version_num')::integer AS "version!",
               pg_is_in_recovery() AS "in_recovery!",
               current_setting('transaction_read_only') = 'on' AS "read_only!"
        "#
    )
    .fetch_one(connection)
    .await?;
    if settings.version < 150_000 {
        return Err(OpenError::TooOld(settings.version / 10_000));
    }
    if settings.in_recovery {
        return Err(OpenError::Standby);
    }
    if settings.read_only {
        return Err(OpenError::ReadOnly);
    }
    if settings.synchronous_commit == "off" || settings.fsync == "off" {
        return Err(OpenError::NotDurable);
    }
    match settings.synchronous_commit.as_str() {
        "local" if settings.has_standby => return Err(OpenError::NotReplicated),
        "remote_write" if settings.has_standby => tracing::warn!(
            "synchronous_commit is remote_write: what was answered 200 is lost when the primary is \
             gone and the standby's machine stops before it has flushed; `on` keeps it"
        ),
        _ => {}
    }
    Ok(())
}
