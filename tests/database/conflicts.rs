//! Serialization failures and deadlocks: run again inside, invisible outside.

use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::ground::{Ground, run, until};
use crate::load::Load;
use crate::network::nothing_is_written;

/// Of every hundred writes three fail, one after the other, wherever they are made.
const SOMETIMES: &str = "
    CREATE SEQUENCE writes;
    CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('writes') % 100 < 3 THEN
            RAISE EXCEPTION 'could not serialize access' USING ERRCODE = 'serialization_failure';
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER conflict BEFORE INSERT OR UPDATE ON journal EXECUTE FUNCTION conflict();
    CREATE TRIGGER conflict BEFORE INSERT OR UPDATE ON attempts EXECUTE FUNCTION conflict();
    CREATE TRIGGER conflict BEFORE INSERT OR UPDATE ON messages EXECUTE FUNCTION conflict();
    CREATE TRIGGER conflict BEFORE INSERT OR UPDATE ON sequences EXECUTE FUNCTION conflict();
    CREATE TRIGGER conflict BEFORE INSERT OR UPDATE ON facts EXECUTE FUNCTION conflict();
    CREATE TRIGGER conflict BEFORE INSERT OR UPDATE ON senders EXECUTE FUNCTION conflict();";

const ALWAYS: &str = "
    CREATE OR REPLACE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'could not serialize access' USING ERRCODE = 'serialization_failure';
    END $$";

#[tokio::test]
async fn a_conflict_is_not_seen_outside_and_one_that_lasts_is_503() {
    let mut load = Load::begin(Ground::start().await, 0).await;
    load.goes_on(5).await;
    run(load.ground(), SOMETIMES).await;
    let failed = load.failed();
    load.add_sequences(20).await;
    load.goes_on(40).await;
    load.is_sent().await;
    assert_eq!(
        load.failed(),
        failed,
        "no webhook was refused for a conflict"
    );
    let writes = load.ground().count("SELECT last_value FROM writes").await;
    assert!(
        writes > 300,
        "{writes} writes have not met enough conflicts"
    );
    run(load.ground(), ALWAYS).await;
    nothing_is_written(&load).await;
    run(load.ground(), "DROP FUNCTION conflict CASCADE").await;
    load.goes_on(5).await;
    load.end().await;
}

#[tokio::test]
async fn a_deadlock_is_not_seen_outside() {
    let ground = Ground::start_quiet().await;
    let text = |body: &str| json!({"type": "text", "text": {"body": body}});
    let sequence = json!({
        "sender": ground.sender, "to": "447700900123", "messages": [text("one"), text("two")],
    });
    let sequence = ground.create("/v1/sequences", sequence).await;
    let path = format!(
        "/v1/messages/{}",
        sequence["messages"][0]["id"].as_str().unwrap()
    );
    until("it is accepted", || async {
        ground.get(&path).await["status"] == "accepted"
    })
    .await;
    let wamid = ground.get(&path).await["provider_message_id"].clone();

    // Against the order of the house, and too patient to be the one that is given up.
    let mut session = ground.session().await;
    run_in(&mut session, "SET deadlock_timeout = '20s'").await;
    let mut locks = session.begin().await.unwrap();
    run_in(&mut locks, "SELECT FROM sequences FOR UPDATE").await;
    let body = delivered(&wamid);
    let webhook = ground.webhook(&body);
    let deadlock = async {
        until(
            "ingest has the attempt and waits for the sequence",
            || async {
                ground
                    .count(
                        "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND wait_event_type = 'Lock'
                         AND query LIKE '%-- ingest%'",
                    )
                    .await
                    == 1
            },
        )
        .await;
        run_in(&mut locks, "SELECT FROM attempts FOR UPDATE").await;
        locks.commit().await.unwrap();
    };
    let (answer, ()) = tokio::join!(webhook, deadlock);
    assert_eq!(answer, Ok(()));
    until("the next message went", || async {
        ground.posts().await.len() == 2
    })
    .await;
    // Or several: whoever is run again may be quicker than the one that waited for the lock.
    until("the deadlock was one", || async {
        ground
            .count("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
            .await
            > 0
    })
    .await;
}

async fn run_in(session: &mut sqlx::PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(session).await.unwrap();
}

fn delivered(wamid: &Value) -> Value {
    json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{
        "field": "messages", "value": {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550142217", "phone_number_id": "310022446688199"},
            "statuses": [{
                "id": wamid, "status": "delivered", "timestamp": "1763769600",
                "recipient_id": "447700900123",
            }],
        },
    }]}]})
}
