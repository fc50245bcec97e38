//! Promise 9, at size: what waits behind a paused template costs the rest
//! nothing, however much it is. What a claim costs is told by the rows that the database reads.
//!
//! The statistics are those of small tables, as they are when a campaign has just been handed
//! over: a plan that is good only for few rows would be taken, and kept.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::support::*;

/// Messages that wait.
const CROWD: i64 = 50_000;
/// Messages that must go meanwhile.
const OTHERS: usize = 10;

#[tokio::test]
async fn what_waits_behind_a_pause_costs_the_others_nothing_and_goes_when_it_ends() {
    let app = App::start().await;
    let mut session = warm(&app).await;
    pause(&app, "offer").await;
    for n in 0..OTHERS {
        templated(&app, "offer", &format!("waits {n}")).await;
    }
    crowd(&mut session, "offer", CROWD, "now()").await;
    assert_others_go(&app, &mut session, CROWD).await;

    let posts = app.posts().await.len();
    set(&app, "offer", "APPROVED", 20).await;
    let released = app.posts_until(posts + OTHERS).await;
    let mut released = posted_texts(&released[posts..]);
    released.truncate(OTHERS);
    released.sort();
    let waited: Vec<_> = (0..OTHERS).map(|n| format!("waits {n}")).collect();
    assert_eq!(released, waited, "those that waited longest go first");
}

#[tokio::test]
async fn many_paused_templates_cost_the_others_nothing() {
    const TEMPLATES: i64 = 1000;
    let app = App::start().await;
    let mut session = warm(&app).await;
    sqlx::query(
        "INSERT INTO templates (id, connection, waba_id, name, language, status, sendable,
                                created_at, updated_at)
         SELECT gen_random_uuid(), connection, waba_id, 'paused_' || n, 'en_US', 'PAUSED', false,
                now(), now()
         FROM senders CROSS JOIN generate_series(1, $1) n",
    )
    .bind(TEMPLATES)
    .execute(&mut session)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO lanes (sender, lane, template_name, template_language)
         SELECT id, 'paused_' || n || '/en_US', 'paused_' || n, 'en_US'
         FROM senders CROSS JOIN generate_series(1, $1) n",
    )
    .bind(TEMPLATES)
    .execute(&mut session)
    .await
    .unwrap();
    crowd(
        &mut session,
        "paused_' || n % 1000 + 1 || '",
        20 * TEMPLATES,
        "now()",
    )
    .await;
    let before = reads(&mut session).await;
    assert_others_go(&app, &mut session, 20 * TEMPLATES).await;
    let after = reads(&mut session).await;
    let claims = after.lane_scans - before.lane_scans;
    let read = after.templates - before.templates;
    assert!(
        read <= claims * 2 * TEMPLATES,
        "{claims} claims read {read} rows of {TEMPLATES} templates"
    );
}

/// Lets the claimer work while there is little, so that it has all of its plans.
async fn warm(app: &App) -> PgConnection {
    let mut session = app.session().await;
    templated(app, "open", "warm").await;
    app.fence().await;
    // What was sent some time ago.
    crowd(&mut session, "open", 1000, "NULL::timestamptz").await;
    sqlx::raw_sql("ANALYZE sequences, lanes, templates, messages")
        .execute(&mut session)
        .await
        .unwrap();
    let last = templated(app, "open", "warm").await;
    app.accepted(&last).await;
    app.fence().await;
    // What autovacuum would find out after a while is not known yet.
    sqlx::raw_sql(
        "ALTER TABLE sequences SET (autovacuum_enabled = off);
         ALTER TABLE lanes SET (autovacuum_enabled = off);
         ALTER TABLE templates SET (autovacuum_enabled = off)",
    )
    .execute(&mut session)
    .await
    .unwrap();
    app.fence().await;
    session
}

/// Messages that use a template, as the service would have made them, due from `due_at` on; done
/// where it is NULL.
async fn crowd(session: &mut PgConnection, template: &str, messages: i64, due_at: &str) {
    let statement = format!(
        r#"
        CREATE TEMPORARY TABLE made AS
        SELECT s.id AS sender, gen_random_uuid() AS sequence, {due_at} AS due_at,
               '{template}' AS template
        FROM senders s CROSS JOIN generate_series(1, {messages}) n;
        INSERT INTO sequences (sender, id, head, length, created_at, single, status, work, lane,
                               recipient, gate, on_failure, due_at, ready_at)
        SELECT sender, sequence, CASE WHEN due_at IS NULL THEN 2 ELSE 1 END, 1, now(), true,
               CASE WHEN due_at IS NULL THEN 'completed' ELSE 'running' END,
               CASE WHEN due_at IS NULL THEN 'done' ELSE 'ready' END, template || '/en_US',
               '447700900123',
               '{{"status":"accepted","deadline_ms":86400000,"on_deadline":"stop"}}', 'stop',
               due_at, due_at
        FROM made;
        INSERT INTO messages (sender, position, id, sequence, created_at, origin, recipient, type,
                              content, template_name, template_language)
        SELECT sender, 1, gen_random_uuid(), sequence, now(), 'ours', '447700900123', 'template',
               jsonb_build_object('name', template, 'language', jsonb_build_object('code', 'en_US')),
               template, 'en_US'
        FROM made;
        DROP TABLE made;
        "#
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(session)
        .await
        .unwrap();
}

/// Messages of another template and free ones go, and fewer rows are read for all of them
/// together than wait.
async fn assert_others_go(app: &App, session: &mut PgConnection, waiting: i64) {
    let before = reads(session).await;
    for n in 0..OTHERS {
        let message = templated(app, "open", &format!("other {n}")).await;
        app.accepted(&message).await;
        app.fence().await;
    }
    // Each message is one row made, and claimed and done by an update each. A session tells what
    // it did within a second.
    let after = loop {
        let after = reads(session).await;
        if after.updates - before.updates >= 4 * OTHERS as i64 {
            break after;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let read = after.sequences - before.sequences;
    assert!(read < waiting / 2, "{read} rows of sequences were read");
}

/// Rows that have been read so far, by anybody, however they were found.
struct Reads {
    sequences: i64,
    templates: i64,
    /// Of `lanes`: one a claim.
    lane_scans: i64,
    /// Of `sequences`.
    updates: i64,
}

async fn reads(session: &mut PgConnection) -> Reads {
    let (sequences, templates, lane_scans, updates) = sqlx::query_as(
        "SELECT r.sequences, r.templates, r.lane_scans, r.updates FROM (
             SELECT sum(seq_tup_read + tuples) FILTER (WHERE relname = 'sequences')::bigint
                        AS sequences,
                    sum(seq_tup_read + tuples) FILTER (WHERE relname = 'templates')::bigint
                        AS templates,
                    sum(seq_scan + idx_scan) FILTER (WHERE relname = 'lanes')::bigint
                        AS lane_scans,
                    sum(n_tup_upd) FILTER (WHERE relname = 'sequences')::bigint AS updates
             FROM pg_stat_user_tables t
             CROSS JOIN LATERAL (
                 SELECT sum(idx_tup_read) AS tuples FROM pg_stat_user_indexes i
                 WHERE i.relid = t.relid
             ) i
         ) r",
    )
    .fetch_one(session)
    .await
    .unwrap();
    Reads {
        sequences,
        templates,
        lane_scans,
        updates,
    }
}

async fn templated(app: &App, template: &str, marker: &str) -> String {
    let mut message = template_step(template, marker);
    message["sender"] = app.sender.clone().into();
    message["to"] = "447700900123".into();
    let made = app.create("/v1/messages", message).await;
    made["id"].as_str().unwrap().to_owned()
}

async fn pause(app: &App, template: &str) {
    set(app, template, "PAUSED", 10).await;
}

/// The provider says it, and would say so if it were asked.
async fn set(app: &App, template: &str, status: &str, time: i64) {
    let state = json!({"language": "en_US", "status": status, "category": "MARKETING"});
    app.control_send(Method::PUT, &format!("templates/{template}"), state)
        .await;
    let value: Value = json!({
        "event": status, "message_template_id": 1_402_993_871_104_426_i64,
        "message_template_name": template, "message_template_language": "en_US",
        "message_template_category": "MARKETING", "reason": "NONE",
    });
    let event = management_body("message_template_status_update", T0 + time, value);
    assert_eq!(app.webhook(&event).await, StatusCode::OK);
}

#[tokio::test]
async fn what_waits_behind_a_paused_campaign_costs_the_others_nothing_and_goes_when_it_ends() {
    let app = App::start().await;
    let mut session = warm(&app).await;
    let campaign = paused_campaign(&app).await;
    let crowd = sqlx::query(
        "INSERT INTO sequences (sender, id, length, created_at, single, status, work, lane,
                                recipient, gate, on_failure, due_at, ready_at, campaign, variables)
         SELECT q.sender, gen_random_uuid(), q.length, now(), false, 'running', 'ready', q.lane,
                (447700000000 + n)::text, q.gate, q.on_failure, q.due_at + interval '1 s',
                q.ready_at, q.campaign, jsonb_build_object('text', 'crowd')
         FROM (SELECT * FROM sequences WHERE campaign IS NOT NULL LIMIT 1) q
         CROSS JOIN generate_series(1, $1) n",
    );
    let made = crowd.bind(CROWD).execute(&mut session).await.unwrap();
    assert_eq!(made.rows_affected(), CROWD as u64);
    // That it is counted once a minute is not what is measured.
    sqlx::query("UPDATE campaigns SET count_due_at = 'infinity'")
        .execute(&mut session)
        .await
        .unwrap();
    assert_others_go(&app, &mut session, CROWD).await;

    let posts = app.posts().await.len();
    app.create(&format!("/v1/campaigns/{campaign}/resume"), json!({}))
        .await;
    // Those of one claim are posted side by side: 64 of them, at most.
    let released = app.posts_until(posts + 2 * 64).await;
    let released = posted_texts(&released[posts..]);
    let waited = (0..OTHERS).map(|n| format!("waits {n}"));
    for waited in waited {
        let first = released.contains(&waited);
        assert!(first, "{waited}: those that waited longest go first");
    }
}

/// A campaign that is paused, and whose recipients all wait.
async fn paused_campaign(app: &App) -> String {
    pause(app, "offer").await;
    let new = json!({"sender": app.sender, "name": "offer",
        "messages": [template_step("offer", "{{text}}")]});
    let campaign = app.create("/v1/campaigns", new).await;
    let path = format!("/v1/campaigns/{}", campaign["id"].as_str().unwrap());
    let line = |n| {
        let to = format!("4477009001{n:02}");
        json!({"to": to, "variables": {"text": format!("waits {n}")}})
    };
    let lines: String = (0..OTHERS).map(|n| format!("{}\n", line(n))).collect();
    let upload = app.request(Method::POST, &format!("{path}/recipients"));
    let upload = upload.header("Content-Type", "application/x-ndjson");
    let uploaded = upload.body(lines).send().await.unwrap();
    assert_eq!(uploaded.status(), StatusCode::OK);
    app.create(&format!("{path}/activate"), json!({})).await;
    app.get_until(&path, |campaign| campaign["status"] == "running")
        .await;
    app.create(&format!("{path}/pause"), json!({})).await;
    set(app, "offer", "APPROVED", 20).await;
    campaign["id"].as_str().unwrap().to_owned()
}
