//! Messages that have been posted: every second one is followed by another in its sequence, which
//! `delivered` releases; the others are alone. A recipient has ten of them.

/// How many.
pub const MESSAGES: i32 = 150_000;

/// Statements that make them, of sender 1, as the service would have.
pub fn messages() -> String {
    format!(
        r#"
        CREATE TEMPORARY TABLE made AS
        -- Ids in the order of creation, as the service makes them (UUID version 7).
        SELECT n, overlay(gen_random_uuid()::text PLACING id FROM 1 FOR 18)::uuid AS sequence,
               overlay(gen_random_uuid()::text PLACING id FROM 1 FOR 18)::uuid AS message,
               '4477009' || lpad((n / 10)::text, 5, '0') AS recipient
        FROM generate_series(1, {MESSAGES}) AS n
        CROSS JOIN LATERAL (
            SELECT to_hex(n / 4096 + x'1990000'::bigint) AS hex
        ) h
        CROSS JOIN LATERAL (
            SELECT '0' || h.hex || '-' || lpad(to_hex(n % 4096), 4, '0') || '-7'
                || lpad(to_hex(n % 4096), 3, '0') AS id
        ) i;
        INSERT INTO sequences (sender, id, head, length, created_at, single, status, work, lane,
                               recipient, gate, on_failure, deadline_at, due_at)
        SELECT 1, sequence, 1, 2, now(), false, 'running', 'waiting', '', recipient,
               '{{"status":"delivered","deadline_ms":86400000,"on_deadline":"stop"}}'::jsonb, 'stop',
               now() + interval '1 day', now() + interval '1 day'
        FROM made WHERE n % 2 = 1
        UNION ALL
        SELECT 1, sequence, 2, 1, now(), true, 'completed', 'done', '', recipient,
               '{{"status":"accepted","deadline_ms":86400000,"on_deadline":"stop"}}'::jsonb, 'stop',
               NULL, NULL
        FROM made WHERE n % 2 = 0;
        INSERT INTO messages (sender, sequence, id, position, created_at, origin, recipient, type, content)
        SELECT 1, sequence, message, 1, now(), 'ours', recipient, 'text', '{{"body":"hello"}}'::jsonb FROM made
        UNION ALL
        SELECT 1, sequence, gen_random_uuid(), 2, now(), 'ours', recipient, 'text', '{{"body":"again"}}'::jsonb
        FROM made WHERE n % 2 = 1;
        INSERT INTO attempts (sender, message, n, sequence, position, watch, posted_at, accepted_at,
                              outcome, provider_message_id)
        SELECT 1, message, 1, sequence, 1, CASE WHEN n % 2 = 1 THEN 2 END, now(), now(), 'accepted',
               'wamid.HBgLMTU1NTAxOTAwNDQVAgARGBI' || upper(replace(gen_random_uuid()::text, '-', ''))
        FROM made;
        "#
    )
}
