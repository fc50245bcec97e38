//! Messages that wait behind a paused template, as the service would have made them.

use sqlx::PgConnection;

use crate::ground::database;

/// Of each sender an equal share, due since now. The statistics stay those of empty tables, as
/// they are when a campaign has just been handed over.
pub async fn wait(session: &mut PgConnection, messages: usize) {
    let statements = format!(
        r#"
        INSERT INTO templates (id, connection, waba_id, name, language, status, sendable,
                               created_at, updated_at)
        SELECT gen_random_uuid(), id, '', 'offer', 'en_US', 'PAUSED', false, now(), now()
        FROM connections;
        INSERT INTO lanes (sender, lane, template_name, template_language)
        SELECT id, 'offer/en_US', 'offer', 'en_US' FROM senders;
        CREATE TEMPORARY TABLE waiting AS
        SELECT s.id AS sender, gen_random_uuid() AS sequence
        FROM senders s
        CROSS JOIN generate_series(1, {messages} / (SELECT count(*) FROM senders)) n;
        INSERT INTO sequences (sender, id, head, length, created_at, single, status, work, lane,
                               recipient, gate, on_failure, due_at, ready_at)
        SELECT sender, sequence, 1, 1, now(), true, 'running', 'ready', 'offer/en_US',
               '447700900123',
               '{{"status":"accepted","deadline_ms":86400000,"on_deadline":"stop"}}', 'stop',
               now(), now()
        FROM waiting;
        INSERT INTO messages (sender, position, id, sequence, created_at, origin, recipient, type,
                              content, template_name, template_language)
        SELECT sender, 1, gen_random_uuid(), sequence, now(), 'ours', '447700900123', 'template',
               '{{"name":"offer","language":{{"code":"en_US"}}}}', 'offer', 'en_US'
        FROM waiting;
        DROP TABLE waiting;
        "#
    );
    database::execute(session, statements).await;
}
