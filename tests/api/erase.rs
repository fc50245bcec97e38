//! Erasing a person: nothing that names them is left but in the journal, nothing waits to be sent to
//! them, and what comes late neither brings them back nor is lost.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Answer, App, send, sign, text, uuid};

const NUMBER: &str = "447700900123";
const USER: &str = "GB.13491208655302741918";
const OTHER: &str = "447700900999";

fn webhook(field: &str, items: &Value) -> String {
    let metadata = json!({"display_phone_number": "15550142217",
        "phone_number_id": "310022446688199"});
    let mut value = json!({"messaging_product": "whatsapp", "metadata": metadata});
    value[field] = items.clone();
    if field == "messages" {
        value["contacts"] = json!([{"profile": {"name": "Ana"}, "wa_id": NUMBER, "user_id": USER}]);
    }
    let changes = json!([{"field": "messages", "value": value}]);
    json!({"object": "whatsapp_business_account",
        "entry": [{"id": "204411887755301", "changes": changes}]})
    .to_string()
}

fn status(word: &str, of: &str, callback: Option<String>) -> Value {
    let mut status = json!({"id": of, "status": word, "timestamp": "1762335002",
        "recipient_id": NUMBER, "recipient_user_id": USER});
    if let Some(callback) = callback {
        status["biz_opaque_callback_data"] = json!(callback);
    }
    json!([status])
}

fn inbound(id: &str, at: i64) -> Value {
    json!([{"from": NUMBER, "from_user_id": USER, "id": id, "timestamp": at.to_string(),
        "type": "text", "text": {"body": "my address is 1 High Street"}}])
}

async fn hear(app: &App, connection: &str, field: &str, items: &Value) {
    let body = webhook(field, items);
    let heard = app.webhook(connection, &body, &sign(&body)).await;
    assert_eq!(heard.status, 200, "{heard:?}");
}

async fn erase(app: &App, name: &str) -> Answer {
    let path = format!("/v1/recipients/{name}");
    send(app.request(Method::DELETE, &path).bearer_auth(&app.key)).await
}

/// Every row that holds one of these texts, of every table but the journal.
async fn rows_with(app: &App, texts: &[&str]) -> Vec<String> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT tablename::text FROM pg_tables
         WHERE schemaname = 'public' AND tablename !~ '^journal(_[0-9]+|_rest)?$'",
    )
    .fetch_all(&app.pool)
    .await
    .unwrap();
    let mut found = Vec::new();
    for table in tables {
        let sql = format!("SELECT t::text FROM {table} t");
        let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_all(&app.pool)
            .await
            .unwrap();
        let holds = |row: &String| {
            texts.iter().any(|text| {
                let bytes: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
                row.contains(text) || row.contains(&bytes)
            })
        };
        found.extend(
            rows.into_iter()
                .filter(holds)
                .map(|row| format!("{table}: {row}")),
        );
    }
    found
}

const THEIRS: [&str; 5] = [NUMBER, USER, "High Street", "secret words", "Ana"];

struct Ground {
    app: App,
    connection: String,
    sender: String,
    /// Delivered.
    message: Value,
    sequence: Value,
    campaign: String,
}

/// A person of whom something is kept wherever something can be.
async fn ground() -> Ground {
    let app = App::start().await;
    let connection = app.connection().await;
    let new = json!({"connection": connection, "phone_number_id": "310022446688199"});
    let sender = app.post("/v1/senders", new).await.ok()["id"].clone();
    let sender = sender.as_str().unwrap().to_owned();
    let mut new = text("secret words");
    (new["sender"], new["to"]) = (json!(sender), json!(format!("+{NUMBER}")));
    let message = send(app.once("one", "/v1/messages", &new)).await.ok();
    app.attempt(
        &message,
        "posted_at, outcome, accepted_at, provider_message_id",
        "now(), 'accepted', now(), 'wamid.one'",
    )
    .await;
    app.set(
        &message_sequence(&app, &message).await,
        "status = 'completed', head = 2, work = 'done', due_at = NULL, ready_at = NULL",
    )
    .await;
    let messages = [text("secret words"), text("more secret words")];
    let new = json!({"sender": sender, "to": NUMBER, "messages": messages});
    let sequence = send(app.once("two", "/v1/sequences", &new)).await.ok();
    let offer = json!({"type": "text", "text": {"body": "Dear {{name}}"}});
    let new = json!({"sender": sender, "name": "offer", "messages": [offer]});
    let campaign = app.post("/v1/campaigns", new).await.ok()["id"].clone();
    let campaign = campaign.as_str().unwrap().to_owned();
    let lines = format!(
        "{{\"to\":\"{NUMBER}\",\"variables\":{{\"name\":\"Ana\"}}}}\n\
         {{\"to\":\"{OTHER}\",\"variables\":{{\"name\":\"Bo\"}}}}\n"
    );
    let path = format!("/v1/campaigns/{campaign}/recipients");
    let upload = app.request(Method::POST, &path).bearer_auth(&app.key);
    let upload = upload
        .header("content-type", "application/x-ndjson")
        .body(lines);
    send(upload).await.ok();
    let callback = format!("{}.1", message["id"].as_str().unwrap());
    hear(
        &app,
        &connection,
        "statuses",
        &status("delivered", "wamid.one", Some(callback)),
    )
    .await;
    hear(
        &app,
        &connection,
        "statuses",
        &status("sent", "wamid.stranger", None),
    )
    .await;
    hear(
        &app,
        &connection,
        "messages",
        &inbound("wamid.in", 1_762_335_000),
    )
    .await;
    let mut member = status("read", "wamid.group", None);
    (member[0]["recipient_id"], member[0]["recipient_type"]) =
        (json!("Y2FwaV9ncm91cDox"), json!("group"));
    member[0]["recipient_participant_id"] = json!(NUMBER);
    hear(&app, &connection, "statuses", &member).await;
    Ground {
        app,
        connection,
        sender,
        message,
        sequence,
        campaign,
    }
}

async fn message_sequence(app: &App, message: &Value) -> Value {
    let id: uuid::Uuid = sqlx::query_scalar("SELECT sequence FROM messages WHERE id = $1")
        .bind(uuid(&message["id"]))
        .fetch_one(&app.pool)
        .await
        .unwrap();
    let bytes: Vec<u8> = [[0; 4].as_slice(), id.as_bytes()].concat();
    json!({"id": format!("seq_{}", data_encoding::BASE32_DNSSEC.encode(&bytes))})
}

#[tokio::test]
async fn nothing_that_names_an_erased_person_is_left_and_what_waited_for_them_is_cancelled() {
    let Ground {
        app,
        sender,
        message,
        sequence,
        campaign,
        ..
    } = ground().await;
    assert!(rows_with(&app, &THEIRS).await.len() > 10);
    let erased = erase(&app, USER).await.ok();
    assert_eq!(rows_with(&app, &THEIRS).await, [""; 0], "{erased}");
    assert_eq!(erased["cancelled"], 1, "{erased}");
    assert_eq!(erased["campaign_recipients"], 1, "{erased}");
    assert!(erased["messages"].as_u64() >= Some(4), "{erased}");
    assert!(erased["journal"]["gone_by"].is_string(), "{erased}");
    // Messages and what became of them stay.
    let id = message["id"].as_str().unwrap();
    let shown = app.get(&format!("/v1/messages/{id}")).await.ok();
    assert_eq!(
        (&shown["status"], &shown["to"]),
        (&json!("delivered"), &json!("erased"))
    );
    assert_eq!(shown["text"], json!({}));
    let history = app.get(&format!("/v1/messages/{id}/history")).await.ok();
    let data = &history["data"][0]["data"];
    assert_eq!(data["recipient"], "erased");
    assert_eq!(data["provider_message_id"], "wamid.one");
    let id = sequence["id"].as_str().unwrap();
    let shown = app.get(&format!("/v1/sequences/{id}")).await.ok();
    assert_eq!(shown["status"], "cancelled");
    let shown = app.get(&format!("/v1/campaigns/{campaign}")).await.ok();
    assert_eq!(shown["recipients"], 1);
    // Nothing goes to nobody.
    for path in ["retry", "resume", "cancel"] {
        let refused = app.act(&format!("/v1/sequences/{id}/{path}")).await;
        refused.is(409, "recipient_erased");
    }
    let append = json!({"messages": [text("1")]});
    let refused = app
        .post(&format!("/v1/sequences/{id}/messages"), append)
        .await;
    refused.is(409, "recipient_erased");
    let mut new = text("1");
    (new["sender"], new["to"], new["recipient_type"]) =
        (json!(sender), json!("erased"), json!("group"));
    app.post("/v1/messages", new).await.names("to");
    // Whoever asks again gets the first answer, without the person.
    let mut new = text("secret words");
    (new["sender"], new["to"]) = (json!(sender), json!(format!("+{NUMBER}")));
    let again = send(app.once("one", "/v1/messages", &new)).await.ok();
    assert_eq!(
        (&again["id"], &again["to"]),
        (&message["id"], &json!("erased"))
    );
    // The audit says who asked, and not of whom.
    let audit = app.get("/v1/audit").await.ok();
    assert_eq!(audit["data"][0]["action"], "DELETE /v1/recipients/{id}");
    // It may be done again.
    let erased = erase(&app, USER).await.ok();
    let done = [
        "names",
        "cancelled",
        "messages",
        "events",
        "campaign_recipients",
        "answers",
    ];
    assert!(done.iter().all(|name| erased[name] == 0), "{erased}");
    erase(&app, "no%20person").await.names("id");
}

#[tokio::test]
async fn what_comes_late_is_recorded_without_the_person_and_what_is_new_with_them() {
    let Ground {
        app,
        connection,
        sender,
        message,
        ..
    } = ground().await;
    erase(&app, NUMBER).await.ok();
    let callback = format!("{}.1", message["id"].as_str().unwrap());
    let callback = Some(callback);
    let late = [
        ("statuses", status("read", "wamid.one", callback.clone())),
        ("statuses", status("delivered", "wamid.one", callback)),
        ("statuses", status("delivered", "wamid.stranger", None)),
        ("messages", inbound("wamid.in", 1_762_335_000)),
        ("messages", inbound("wamid.late", 1_762_335_001)),
    ];
    for (field, items) in &late {
        hear(&app, &connection, field, items).await;
    }
    assert_eq!(rows_with(&app, &THEIRS).await, [""; 0]);
    let id = message["id"].as_str().unwrap();
    let shown = app.get(&format!("/v1/messages/{id}")).await.ok();
    assert_eq!(shown["status"], "read");
    // Also at an instance that has just begun.
    app.start_another().await;
    // What they write from now on is theirs to say.
    let now = app.clock.now().unix_timestamp() + 5;
    hear(&app, &connection, "messages", &inbound("wamid.new", now)).await;
    let mut new = text("hello again");
    (new["sender"], new["to"]) = (json!(sender), json!(NUMBER));
    let new = app.post("/v1/messages", new).await.ok();
    app.attempt(&new, "posted_at", "now()").await;
    let callback = format!("{}.1", new["id"].as_str().unwrap());
    hear(
        &app,
        &connection,
        "statuses",
        &status("sent", "wamid.new", Some(callback)),
    )
    .await;
    // The second look leaves what is new alone.
    sqlx::query("UPDATE erasures SET again_at = now()")
        .execute(&app.pool)
        .await
        .unwrap();
    while app.store.erase_again().await.unwrap() {}
    let id = new["id"].as_str().unwrap();
    let shown = app.get(&format!("/v1/messages/{id}")).await.ok();
    assert_eq!(
        (&shown["to"], &shown["status"]),
        (&json!(NUMBER), &json!("sent"))
    );
    let history = app.get(&format!("/v1/messages/{id}/history")).await.ok();
    assert_eq!(history["data"][0]["data"]["recipient"], NUMBER);
    assert!(!rows_with(&app, &["High Street"]).await.is_empty());
}

#[tokio::test]
async fn a_person_is_erased_beside_writers_and_the_second_look_finds_what_was_under_way() {
    let ground = std::sync::Arc::new(ground().await);
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let ground = ground.clone();
        writers.spawn(async move {
            let Ground {
                app,
                connection,
                sender,
                ..
            } = &*ground;
            for n in 0..8 {
                let id = format!("wamid.{writer}.{n}");
                hear(app, connection, "statuses", &status("sent", &id, None)).await;
                hear(app, connection, "messages", &inbound(&id, 1_762_335_000)).await;
                let new =
                    json!({"sender": sender, "to": OTHER, "messages": [text("1"), text("2")]});
                app.post("/v1/sequences", new).await.ok();
            }
        });
    }
    for _ in 0..2 {
        erase(&ground.app, NUMBER).await.ok();
    }
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
    let app = &ground.app;
    sqlx::query("UPDATE erasures SET again_at = now()")
        .execute(&app.pool)
        .await
        .unwrap();
    while app.store.erase_again().await.unwrap() {}
    assert_eq!(rows_with(app, &THEIRS).await, [""; 0]);
    // Nobody else's is touched, and no status was lost.
    let rows: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sequences WHERE recipient = $1 AND status = 'running'",
    )
    .bind(OTHER)
    .fetch_one(&app.pool)
    .await
    .unwrap();
    assert_eq!(rows, 32);
    let facts: i64 = sqlx::query_scalar("SELECT count(*) FROM facts WHERE type = 'message.sent'")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    assert_eq!(facts, 33);
}

/// The second look, now.
async fn look_again(app: &App) {
    sqlx::query("UPDATE erasures SET again_at = now()")
        .execute(&app.pool)
        .await
        .unwrap();
    while app.store.erase_again().await.unwrap() {}
}

/// Writes a fact of this key about a message, as whoever decoded it before the erasure.
async fn write_fact(app: &App, subject: uuid::Uuid, (r#type, source): (&str, &str), key: &str) {
    let data = json!({"details": format!("no route to +{NUMBER}."), "to": {"user": USER}});
    let written = sqlx::query(
        "INSERT INTO facts (stream, n, id, subject, received_at, type, key, source, data)
         SELECT id, CASE WHEN $2 = '00000000-0000-0000-0000-000000000000' THEN 0 ELSE 1 END,
                $1, $2, now(), $3, $4, $5, $6
         FROM senders",
    )
    .bind(app.clock.new_id())
    .bind(subject)
    .bind(r#type)
    .bind(key)
    .bind(source)
    .bind(data);
    assert_eq!(written.execute(&app.pool).await.unwrap().rows_affected(), 1);
}

#[tokio::test]
async fn what_was_decoded_before_an_erasure_and_written_after_it_is_found_by_the_second_look() {
    let Ground { app, message, .. } = ground().await;
    let one = uuid(&message["id"]);
    // What an attempt was refused with is kept with it, too.
    let refused = json!({"code": 131_026, "details": format!("{NUMBER} is not on WhatsApp")});
    let refuse = async || {
        let refused =
            sqlx::query("UPDATE attempts SET refusal = $1, outcome = 'refused' WHERE message = $2")
                .bind(&refused)
                .bind(one)
                .execute(&app.pool)
                .await
                .unwrap();
        assert_eq!(refused.rows_affected(), 1);
    };
    refuse().await;
    erase(&app, NUMBER).await.ok();
    assert_eq!(rows_with(&app, &THEIRS).await, [""; 0]);
    // Answers and statuses that were on their way just then.
    refuse().await;
    write_fact(&app, one, ("message.refused", "answer"), "claim 7 7").await;
    write_fact(&app, one, ("message.read", "webhook"), NUMBER).await;
    write_fact(&app, uuid::Uuid::nil(), ("account.alert", "webhook"), "x").await;
    let external = app.clock.new_id();
    sqlx::query(
        "INSERT INTO messages (sender, id, origin, created_at, recipient)
         SELECT id, $1, 'external', now(), $2 FROM senders",
    )
    .bind(external)
    .bind(NUMBER)
    .execute(&app.pool)
    .await
    .unwrap();
    write_fact(&app, external, ("message.sent", "webhook"), "").await;
    assert!(rows_with(&app, &THEIRS).await.len() >= 6);
    look_again(&app).await;
    assert_eq!(rows_with(&app, &THEIRS).await, [""; 0]);
    let left: Vec<Value> =
        sqlx::query_scalar("SELECT data FROM facts WHERE type = 'message.refused'")
            .fetch_all(&app.pool)
            .await
            .unwrap();
    assert_eq!(
        left,
        [json!({"details": "no route to erased.", "to": {"user": "erased"}})]
    );
}

#[tokio::test]
async fn who_was_erased_is_not_told_of_from_memory() {
    let Ground { app, .. } = ground().await;
    let first = app.events_page("/v1/events?limit=1", |events| !events.is_empty());
    let after = first.await["next_cursor"].as_str().unwrap().to_owned();
    // What a stream from there says until it says this.
    let read = async |until: &str| {
        let path = format!("/v1/events/stream?after={after}");
        let request = app.request(Method::GET, &path).bearer_auth(&app.key);
        let mut stream = request.send().await.unwrap();
        let mut said = String::new();
        while !said.contains(until) {
            let chunk = tokio::time::timeout(std::time::Duration::from_secs(20), stream.chunk());
            let chunk = chunk.await.unwrap().unwrap().unwrap();
            said.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        (stream, said)
    };
    // It is in memory while somebody reads.
    let (_reads, said) = read("High Street").await;
    assert!(said.contains(NUMBER));
    erase(&app, NUMBER).await.ok();
    let (_, said) = read("sequence.cancelled").await;
    for text in THEIRS {
        assert!(!said.contains(text), "{text}: {said}");
    }
}

#[tokio::test]
async fn a_name_that_is_learnt_during_an_erasure_is_erased_by_the_second_look() {
    const BEFORE: &str = "GB.99999999999999999999";
    let Ground { app, .. } = ground().await;
    let begun = app.store.begin_erasure(NUMBER, 30).await.unwrap();
    for written in [
        "INSERT INTO messages (sender, id, origin, created_at, recipient)
         SELECT id, '00000000-0000-7000-8000-000000000001', 'external', now(), $1 FROM senders",
        "INSERT INTO recipients (sender, alias, leads_to, leads_at)
         SELECT id, $1, '447700900123', now() FROM senders",
    ] {
        let written = sqlx::query(written).bind(BEFORE);
        written.execute(&app.pool).await.unwrap();
    }
    let found = tokio::sync::watch::Sender::default();
    app.store.erase_begun(&begun, &found).await.unwrap();
    assert_eq!(rows_with(&app, &[BEFORE]).await.len(), 2);
    look_again(&app).await;
    assert_eq!(rows_with(&app, &[BEFORE, NUMBER]).await, [""; 0]);
}

#[tokio::test]
async fn a_campaign_that_is_filled_beside_an_erasure_sends_them_nothing_and_later_uploads_count() {
    let Ground {
        app,
        connection,
        campaign,
        ..
    } = ground().await;
    let id: twotick::model::ids::CampaignId = campaign.parse().unwrap();
    let begun = app.store.begin_erasure(NUMBER, 30).await.unwrap();
    // Between what counts as before and the look.
    app.act(&format!("/v1/campaigns/{campaign}/activate"))
        .await
        .ok();
    while rows_of(&app, "campaign_recipients").await > 0 {
        app.store.work_on_campaign(id).await.unwrap();
    }
    // It was their turn at once.
    let message = app.clock.new_id();
    let made = sqlx::query(
        "INSERT INTO messages (sender, id, sequence, position, campaign, created_at, origin,
                               recipient, type, content)
         SELECT sender, $1, id, 1, campaign, now(), 'ours', recipient, 'text', '{}'
         FROM sequences WHERE campaign IS NOT NULL AND recipient = $2",
    )
    .bind(message)
    .bind(NUMBER)
    .execute(&app.pool)
    .await
    .unwrap();
    assert_eq!(made.rows_affected(), 1);
    let found = tokio::sync::watch::Sender::default();
    app.store.erase_begun(&begun, &found).await.unwrap();
    assert_eq!(rows_with(&app, &THEIRS).await, [""; 0]);
    let waiting: Vec<String> = sqlx::query_scalar(
        "SELECT recipient FROM sequences WHERE campaign IS NOT NULL AND work <> 'done'",
    )
    .fetch_all(&app.pool)
    .await
    .unwrap();
    assert_eq!(waiting, [OTHER]);
    // What is said of it later is of before, though the message is younger.
    app.store.read_erasures().await.unwrap();
    let sender: i32 = sqlx::query_scalar("SELECT id FROM senders")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    let message = twotick::model::ids::MessageId {
        sender: twotick::model::ids::SenderId(sender),
        uuid: message,
    };
    let callback = twotick::model::ids::AttemptId { message, n: 1 }.to_callback();
    let late = status("delivered", "wamid.campaign", Some(callback));
    hear(&app, &connection, "statuses", &late).await;
    assert_eq!(rows_with(&app, &THEIRS).await, [""; 0]);
    // A recipient of a new campaign is a new one.
    let offer = json!({"type": "text", "text": {"body": "Hello"}});
    let sender = message_sender(sender);
    let new = json!({"sender": sender, "name": "later", "messages": [offer]});
    let later = app.post("/v1/campaigns", new).await.ok()["id"].clone();
    let path = format!("/v1/campaigns/{}/recipients", later.as_str().unwrap());
    let upload = app.request(Method::POST, &path).bearer_auth(&app.key);
    let upload = upload.header("content-type", "application/x-ndjson");
    let lines = format!("{{\"to\":\"{NUMBER}\"}}\n{{\"to\":\"{OTHER}\"}}\n");
    send(upload.body(lines)).await.ok();
    look_again(&app).await;
    assert_eq!(rows_of(&app, "campaign_recipients").await, 2);
}

fn message_sender(id: i32) -> Value {
    serde_json::to_value(twotick::model::ids::SenderId(id)).unwrap()
}

async fn rows_of(app: &App, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
    rows.fetch_one(&app.pool).await.unwrap()
}

#[tokio::test]
async fn an_erasure_that_takes_long_is_answered_meanwhile_and_goes_on() {
    let Ground { app, .. } = ground().await;
    let mut slow = app.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE journal_problems")
        .execute(&mut *slow)
        .await
        .unwrap();
    let begun = erase(&app, NUMBER).await;
    assert_eq!(begun.status, 202, "{begun:?}");
    let begun = begun.ok();
    assert_eq!(
        (&begun["done"], &begun["cancelled"]),
        (&json!(false), &json!(1))
    );
    slow.rollback().await.unwrap();
    let gone = async {
        while !rows_with(&app, &THEIRS).await.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), gone)
        .await
        .unwrap();
    assert_eq!(erase(&app, NUMBER).await.ok()["done"], true);
}
