//! Lists: every filter, every page, and the status that SQL only guesses at.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::App;

/// All pages.
async fn all(app: &App, query: &str) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.get(&format!("/v1/messages?{query}{cursor}")).await.ok();
        found.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

fn ids(messages: &[Value]) -> BTreeSet<String> {
    messages
        .iter()
        .map(|m| m["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn pages_show_every_message_once_newest_first() {
    let app = App::start().await;
    let sender = app.sender().await;
    let mut made = Vec::new();
    for n in 0..3 {
        let sequence = app.sequence(&sender, n + 1).await;
        made.extend(sequence["messages"].as_array().unwrap().clone());
    }
    for limit in [1, 2, 3, 6, 50] {
        let found = all(&app, &format!("limit={limit}")).await;
        assert_eq!(found.len(), 6, "limit {limit}");
        assert_eq!(ids(&found), ids(&made));
        let times: Vec<_> = found
            .iter()
            .map(|m| m["created_at"].as_str().unwrap())
            .collect();
        assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    }
}

#[tokio::test]
async fn each_filter_narrows_to_what_it_says() {
    let app = App::start().await;
    let (sender, other) = (app.sender().await, app.sender().await);
    let template = json!({"name": "order_ready", "language": {"code": "en"}});
    let new = json!({"sender": sender, "to": "1", "type": "template", "template": template,
                     "reference": "a"});
    let one = app.post("/v1/messages", new).await.ok();
    let two = app.sequence(&other, 2).await;
    let first = ids(std::slice::from_ref(&one));
    let rest = ids(two["messages"].as_array().unwrap());
    let sequence = two["id"].as_str().unwrap();
    let now = twotick::model::rfc3339(app.clock.now() + std::time::Duration::from_secs(1));
    for (query, expected) in [
        (format!("sender={sender}"), &first),
        (format!("sender={other}"), &rest),
        ("to=%2B1".to_owned(), &first),
        ("reference=a".to_owned(), &first),
        ("template=order_ready".to_owned(), &first),
        (format!("sequence={sequence}"), &rest),
        (format!("until={now}&to=447700900123"), &rest),
        (format!("since={now}"), &BTreeSet::new()),
        ("provider_message_id=wamid.1".to_owned(), &BTreeSet::new()),
        (
            format!("sender={sender}&sequence={sequence}"),
            &BTreeSet::new(),
        ),
    ] {
        assert_eq!(&ids(&all(&app, &query).await), expected, "{query}");
    }
}

/// Every state that a sequence can be in, by what matters to a message's status.
const SEQUENCES: [&str; 11] = [
    "'running', 'ready', NULL, NULL",
    "'running', 'claimed', 1, now()",
    "'running', 'waiting', NULL, NULL",
    "'paused', 'ready', NULL, NULL",
    "'paused', 'claimed', 1, now()",
    "'paused', 'waiting', NULL, NULL",
    "'held', 'ready', NULL, NULL",
    "'held', 'waiting', NULL, NULL",
    "'completed', 'done', NULL, NULL",
    "'stopped', 'done', NULL, NULL",
    "'cancelled', 'done', NULL, NULL",
];

/// Every kind of attempt: outcome, refusal, accepted, held, sent, delivered, read, played, failed.
const ATTEMPTS: [&str; 15] = [
    "NULL, NULL, 0, 0, 0, 0, 0, 0, NULL",
    "'unknown', NULL, 0, 0, 0, 0, 0, 0, NULL",
    "'unknown', NULL, 0, 0, 1, 0, 0, 0, NULL",
    "'unknown', NULL, 0, 0, 0, 0, 0, 0, 131000",
    "'accepted', NULL, 1, 0, 0, 0, 0, 0, NULL",
    "'accepted', NULL, 1, 0, 1, 0, 0, 0, NULL",
    "'accepted', NULL, 1, 0, 0, 1, 0, 0, NULL",
    "'accepted', NULL, 1, 0, 0, 0, 1, 0, NULL",
    "'accepted', NULL, 1, 0, 1, 1, 1, 1, NULL",
    "'accepted', NULL, 1, 0, 1, 0, 0, 0, 131026",
    "'accepted', NULL, 1, 0, 0, 1, 0, 0, 131000",
    "'held', NULL, 1, 1, 0, 0, 0, 0, NULL",
    "'held', NULL, 1, 1, 1, 0, 0, 0, NULL",
    "'refused', '{\"code\": 131000}', 0, 0, 0, 0, 0, 0, NULL",
    "'refused', '{\"code\": 132001}', 0, 0, 0, 0, 0, 0, NULL",
];

/// One message for each sequence state, place behind or before its head, kinds of its last two
/// attempts, and whether it was cancelled; and external ones.
async fn make_every_state(app: &App) {
    let sql = format!(
        "CREATE TEMPORARY TABLE every ON COMMIT DROP AS
         SELECT gen_random_uuid() AS sequence, gen_random_uuid() AS message, *
         FROM (VALUES ({})) AS q (status, work, epoch, until)
         CROSS JOIN (VALUES (1), (2), (3)) AS p (position)
         CROSS JOIN (VALUES (false), (true)) AS c (cancelled)
         CROSS JOIN (VALUES ('stop'), ('retry')) AS f (on_failure)
         CROSS JOIN (VALUES (0), ({})) AS before (first)
         CROSS JOIN generate_series(0, {}) AS after (last)
         -- Elsewhere these two make no difference.
         WHERE (on_failure = 'stop' OR work = 'waiting') AND (first = 0 OR position = 2)",
        SEQUENCES.join("), ("),
        13,
        ATTEMPTS.len(),
    );
    let attempts = format!(
        "INSERT INTO attempts (sender, message, sequence, position, n, outcome, refusal,
                               accepted_at, held_at, sent_at, delivered_at, read_at, played_at,
                               failed_at, failed_code, unknown_at)
         SELECT s.id, e.message, e.sequence, e.position, n, a.outcome, a.refusal::jsonb,
                CASE accepted WHEN 1 THEN now() END, CASE held WHEN 1 THEN now() END,
                CASE sent WHEN 1 THEN now() END, CASE delivered WHEN 1 THEN now() END,
                CASE read WHEN 1 THEN now() END, CASE played WHEN 1 THEN now() END,
                CASE WHEN failed IS NOT NULL THEN now() END, failed,
                CASE a.outcome WHEN 'unknown' THEN now() END
         FROM every e CROSS JOIN senders s
         CROSS JOIN LATERAL (VALUES (1, e.first), (2, e.last)) AS x (n, kind)
         JOIN (SELECT row_number() OVER () AS kind, * FROM (VALUES ({})) AS v
                (outcome, refusal, accepted, held, sent, delivered, read, played, failed)) a
             USING (kind)",
        ATTEMPTS.join("), ("),
    );
    let mut transaction = app.pool.begin().await.unwrap();
    for sql in [
        sql.as_str(),
        "INSERT INTO sequences (sender, id, head, length, created_at, single, status, work, lane,
                                recipient, gate, on_failure, claim_epoch, claim_until, paused_at,
                                due_at, ready_at)
         SELECT s.id, e.sequence, 2, 3, now(), false, e.status, e.work,
                CASE e.status WHEN 'paused' THEN '=' ELSE '' END, '1',
                '{\"status\": \"delivered\", \"deadline_ms\": 1, \"on_deadline\": \"stop\"}',
                e.on_failure, e.epoch, e.until, CASE e.status WHEN 'paused' THEN now() END,
                CASE e.work WHEN 'ready' THEN now() END, CASE e.work WHEN 'ready' THEN now() END
         FROM every e CROSS JOIN senders s",
        "INSERT INTO messages (sender, id, sequence, position, created_at, cancelled_at, origin,
                               recipient, type, content)
         SELECT s.id, e.message, e.sequence, e.position, now(),
                CASE WHEN e.cancelled THEN now() END, 'ours', '1', 'text', '{}'
         FROM every e CROSS JOIN senders s",
        &attempts,
        // Somebody else's: the same attempts, no sequence.
        "CREATE TEMPORARY TABLE strangers ON COMMIT DROP AS
         SELECT DISTINCT ON (last) message, gen_random_uuid() AS id FROM every
         WHERE first = 0 AND last > 0",
        "INSERT INTO messages (sender, id, created_at, origin)
         SELECT s.id, x.id, now(), 'external' FROM strangers x CROSS JOIN senders s",
        "INSERT INTO attempts (sender, message, n, sent_at, delivered_at, read_at, played_at,
                               failed_at, failed_code)
         SELECT a.sender, x.id, 1, sent_at, delivered_at, read_at, played_at, failed_at, failed_code
         FROM strangers x JOIN attempts a USING (message)",
    ] {
        let query = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned()));
        query.execute(&mut *transaction).await.unwrap();
    }
    transaction.commit().await.unwrap();
    // What autovacuum would do in time.
    sqlx::query("ANALYZE").execute(&app.pool).await.unwrap();
}

#[tokio::test]
async fn a_list_by_status_holds_every_message_that_shows_it_and_no_other() {
    let app = App::start().await;
    app.sender().await;
    make_every_state(&app).await;
    let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for message in all(&app, "limit=500").await {
        let status = message["status"].as_str().unwrap().to_owned();
        let id = message["id"].as_str().unwrap().to_owned();
        expected.entry(status).or_default().insert(id);
    }
    assert_eq!(
        expected.len(),
        11,
        "every status occurs: {:?}",
        expected.keys()
    );
    let counted = app.get("/v1/messages/counts").await.ok();
    let mut total = 0;
    for (status, expected) in expected {
        let found = all(&app, &format!("status={status}&limit=500")).await;
        assert_eq!(ids(&found), expected, "{status}");
        assert_eq!(counted["data"][&status], expected.len(), "{status}");
        total += expected.len();
    }
    assert_eq!(counted["total"], total);
    assert_eq!(counted["data"].as_object().unwrap().len(), 12);
}

#[tokio::test]
async fn messages_are_counted_by_what_lists_are_narrowed_to() {
    let app = App::start().await;
    let (sender, other) = (app.sender().await, app.sender().await);
    let two = app.sequence(&sender, 2).await;
    app.sequence(&other, 3).await;
    let (message, sequence) = (&two["messages"][0], two["id"].as_str().unwrap());
    app.attempt(message, "posted_at, delivered_at", "now(), now()")
        .await;
    let later = twotick::model::rfc3339(app.clock.now() + std::time::Duration::from_secs(60));
    for (query, queued, delivered) in [
        (String::new(), 4, 1),
        (format!("?sender={sender}"), 1, 1),
        (format!("?sequence={sequence}"), 1, 1),
        ("?to=%2B447700900123".to_owned(), 4, 1),
        ("?to=447700900999".to_owned(), 0, 0),
        (format!("?since={later}"), 0, 0),
    ] {
        let counted = app.get(&format!("/v1/messages/counts{query}")).await.ok();
        let data = &counted["data"];
        let found = (data["queued"].as_i64(), data["delivered"].as_i64());
        assert_eq!(found, (Some(queued), Some(delivered)), "{query}: {counted}");
        assert_eq!(counted["total"], queued + delivered);
    }
    let one = app.get("/v1/messages/counts?status=delivered").await.ok();
    assert_eq!(
        one,
        serde_json::json!({"data": {"delivered": 1}, "total": 1})
    );
}

#[tokio::test]
async fn however_many_failures_nobody_has_looked_at_yet_all_are_counted() {
    const MANY: i64 = 4_100;
    let app = App::start().await;
    let sender = app.sender().await;
    let sequence = app.sequence(&sender, 1).await;
    let message = &sequence["messages"][0];
    let columns = "posted_at, outcome, refusal";
    let refused = r#"now(), 'refused', '{"code": 131026, "class": "message"}'"#;
    app.attempt(message, columns, refused).await;
    app.set(&sequence, "work = 'waiting', ready_at = NULL")
        .await;
    // The same once more, and once more.
    let copies: [(&str, &[&str]); 3] = [
        ("sequences", &["id"]),
        ("messages", &["id", "sequence"]),
        ("attempts", &["message", "sequence"]),
    ];
    for (table, ids) in copies {
        let ids: Vec<_> = ids
            .iter()
            .map(|id| format!("'{id}', md5(copy::text)"))
            .collect();
        let sql = format!(
            "INSERT INTO {table}
             SELECT (jsonb_populate_record(t, jsonb_build_object({}))).*
             FROM {table} t, generate_series(2, {MANY}) x (copy)",
            ids.join(", ")
        );
        let copied = sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&app.pool);
        copied.await.unwrap();
    }
    let counted = app.get("/v1/messages/counts").await.ok();
    let all: i64 = counted["data"]
        .as_object()
        .unwrap()
        .values()
        .map(|n| n.as_i64().unwrap())
        .sum();
    assert_eq!(all, MANY, "{counted}");
}
