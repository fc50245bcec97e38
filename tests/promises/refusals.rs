//! Promise 3, where the database is what refuses an item: its siblings are written all the same,
//! and it is kept, marked, and can be found.

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::support::*;

/// From now on no fact of this participant can be written.
pub async fn refuse(session: &mut PgConnection, participant: &str) {
    let trigger = format!(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN RAISE EXCEPTION 'not this one' USING ERRCODE = 'check_violation'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON facts FOR EACH ROW
         WHEN (NEW.key = '{participant}') EXECUTE FUNCTION refuse();"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(trigger))
        .execute(session)
        .await
        .unwrap();
}

/// More statuses than go into one batch; the ones at `refused` cannot be written.
fn big_body(refused: [usize; 2]) -> Value {
    let statuses: Vec<_> = (0..1000)
        .map(|n| {
            let mut status = status(&format!("wamid.{n}"), "sent", 0);
            if refused.contains(&n) {
                status["recipient_participant_id"] = "refused".into();
            }
            status
        })
        .collect();
    statuses_body(&statuses)
}

#[tokio::test]
async fn what_the_database_refuses_is_kept_and_marked_and_never_costs_its_siblings() {
    let app = App::start().await;
    let mut session = app.session().await;
    refuse(&mut session, "refused").await;
    // While one waits for the lock, the others come into one batch.
    sqlx::raw_sql("BEGIN; LOCK TABLE facts IN EXCLUSIVE MODE")
        .execute(&mut session)
        .await
        .unwrap();
    let (small, nothing) = (
        statuses_body(&[status("wamid.small", "sent", 0)]),
        json!({"object": "whatsapp_business_account", "entry": []}),
    );
    let big = big_body([4, 900]);
    let unlocked = async {
        app.waiting_for_locks(2).await;
        sqlx::raw_sql("ROLLBACK")
            .execute(&mut session)
            .await
            .unwrap();
    };
    let (first, second, third, ()) = tokio::join!(
        app.webhook(&small),
        app.webhook(&nothing),
        app.webhook(&big),
        unlocked
    );
    assert_eq!([first, second, third], [StatusCode::OK; 3]);

    // All but two are there, and each names the webhook that said it.
    let mut facts: Vec<(uuid::Uuid, i64)> = sqlx::query_as(
        "SELECT webhook, count(*) FROM facts WHERE source = 'webhook' GROUP BY webhook",
    )
    .fetch_all(&mut session)
    .await
    .unwrap();
    facts.sort_by_key(|(_, count)| *count);
    let counts: Vec<_> = facts.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts, [1, 998]);
    let marked = app.get("/v1/webhooks?state=not_applied").await;
    let [marked] = marked["data"].as_array().unwrap().as_slice() else {
        panic!("one is marked: {marked:#}");
    };
    let id = marked["id"].as_str().unwrap();
    assert_eq!(marked["events"], 1000);
    let reason = marked["reason"].as_str().unwrap();
    for item in ["statuses[4]", "statuses[900]"] {
        assert!(reason.contains(item), "{reason}");
    }
    let whole = app.get(&format!("/v1/webhooks/{id}")).await;
    assert_eq!(whole["body"], big.to_string());
    let named = app.events(500).await;
    let named = named.iter().filter(|event| event["webhook"] == id);
    assert!(named.count() >= 400, "facts name the webhook that is kept");
}
