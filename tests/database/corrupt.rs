//! One row that nobody can understand.

use serde_json::json;

use crate::ground::{Ground, metrics, run, until};

#[tokio::test]
async fn a_corrupt_sequence_stands_still_and_the_others_go_on() {
    let ground = Ground::start().await;
    let sequence = |body: &str, delay: &str| {
        json!({
            "sender": ground.sender, "to": "447700900123", "on_failure": "retry",
            "messages": [
                {"type": "text", "text": {"body": body}, "delay": delay},
                {"type": "text", "text": {"body": format!("{body} too")}},
            ],
        })
    };
    ground
        .create("/v1/sequences", sequence("its own gate", "1h"))
        .await;
    ground
        .create("/v1/sequences", sequence("a step's gate", "1h"))
        .await;
    run(
        &ground,
        r#"BEGIN;
        UPDATE messages SET gate = '{"status": 7}' WHERE content ->> 'body' = 'a step''s gate';
        UPDATE sequences q SET due_at = now(), ready_at = now(),
            gate = CASE WHEN EXISTS (
                SELECT FROM messages m WHERE m.sequence = q.id AND m.gate IS NOT NULL
            ) THEN gate ELSE '{"status": 7}' END;
        COMMIT"#,
    )
    .await;
    until("it is said of both", || async {
        let counted = metrics().render();
        let counted = counted
            .lines()
            .find_map(|line| line.strip_prefix("twotick_corrupt_sequences_total "));
        counted.is_some_and(|counted| counted == "2")
    })
    .await;
    ground.create("/v1/sequences", sequence("well", "0s")).await;
    let running = "SELECT count(*) FROM sequences WHERE status = 'running'";
    until("the one that is well is complete", || async {
        ground.count(running).await == 2
    })
    .await;

    // Once they are put right, they go too.
    run(
        &ground,
        "BEGIN;
        UPDATE messages SET gate = NULL;
        UPDATE sequences SET due_at = now(),
            gate = (SELECT gate FROM sequences WHERE status = 'completed')
        WHERE status = 'running';
        COMMIT",
    )
    .await;
    until("all are complete", || async {
        ground.count(running).await == 0
    })
    .await;
}
