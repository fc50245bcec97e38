//! What webhooks say of accounts, numbers, templates and users changes what we do, in the commit
//! that the 200 stands for; and what it ends in is a function of the set of what was said.

use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use twotick::model::ids::SenderId;

use crate::support::*;

async fn say(app: &App, field: &str, at: i64, value: Value) {
    let body = management_body(field, at, value);
    assert_eq!(app.webhook(&body).await, StatusCode::OK);
}

fn ban(state: &str) -> Value {
    json!({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": state}})
}

fn mute(until: i64) -> Value {
    let info =
        json!({"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": until});
    json!({"event": "ACCOUNT_RESTRICTION", "restriction_info": [info]})
}

async fn sender(app: &App) -> Value {
    app.get(&format!("/v1/senders/{}", app.sender)).await
}

/// A message that waits because its sender is blocked.
async fn waiting(app: &App, marker: &str) -> String {
    let message = text(&app.sender, "447700900123", marker);
    let message = app.create("/v1/messages", message).await;
    let id = message["id"].as_str().unwrap().to_owned();
    let blocked = |message: &Value| message["waiting"]["reason"] == "sender_blocked";
    app.get_until(&format!("/v1/messages/{id}"), blocked).await;
    id
}

/// A sender on an account of its own. Once its message is out, claimers have looked around.
async fn other_account(app: &App, waba: &str, number: &str) -> String {
    let new = json!({"connection": app.connection, "phone_number_id": format!("id {number}").replace(' ', ""),
        "display_phone_number": number, "waba_id": waba});
    let made = app.create("/v1/senders", new).await;
    made["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_ban_stops_the_accounts_senders_until_it_is_lifted() {
    let app = App::start().await;
    say(&app, "account_update", T0 + 10, ban("DISABLE")).await;
    let message = waiting(&app, "one").await;
    let stopped = sender(&app).await;
    assert_eq!(
        (&stopped["status"], &stopped["status_reason"]),
        (&json!("blocked"), &json!("DISABLE"))
    );
    let other = other_account(&app, "77", "447700900999").await;
    let free = app
        .create("/v1/messages", text(&other, "447700900123", "other"))
        .await;
    app.accepted(free["id"].as_str().unwrap()).await;
    assert_eq!(posted_texts(&app.posts().await), ["other"]);

    say(&app, "account_update", T0 + 30, ban("REINSTATE")).await;
    app.accepted(&message).await;
    // Late news of before.
    say(&app, "account_update", T0 + 20, ban("SCHEDULE_FOR_DISABLE")).await;
    assert_eq!(sender(&app).await["status"], "active");
    assert_eq!(posted_texts(&app.posts().await), ["other", "one"]);
}

#[tokio::test]
async fn a_restriction_holds_until_it_expires() {
    let app = App::start().await;
    let now = app.clock.now().unix_timestamp();
    say(&app, "account_update", now, mute(now + 3_600)).await;
    let message = waiting(&app, "one").await;
    assert_eq!(
        sender(&app).await["status_reason"],
        "RESTRICTED_BIZ_INITIATED_MESSAGING"
    );
    app.clock.advance(Duration::from_secs(3_601));
    app.accepted(&message).await;
    assert_eq!(sender(&app).await["status"], "active");
}

#[tokio::test]
async fn what_ends_one_stop_ends_no_other() {
    let app = App::start().await;
    let now = app.clock.now().unix_timestamp();
    say(&app, "account_update", T0, ban("DISABLE")).await;
    say(&app, "account_update", T0 + 1, mute(now + 3_600)).await;
    say(&app, "account_update", T0 + 2, ban("REINSTATE")).await;
    assert_eq!(sender(&app).await["status"], "blocked");
    say(
        &app,
        "account_update",
        T0 + 3,
        json!({"event": "ACCOUNT_OFFBOARDED"}),
    )
    .await;
    assert_eq!(sender(&app).await["status"], "unregistered");
    say(
        &app,
        "account_update",
        T0 + 4,
        json!({"event": "ACCOUNT_RECONNECTED"}),
    )
    .await;
    assert_eq!(sender(&app).await["status"], "blocked");
    app.clock.advance(Duration::from_secs(3_601));
    assert_eq!(sender(&app).await["status"], "active");
}

#[tokio::test]
async fn a_person_opens_what_was_said_before_and_not_what_comes_after() {
    let app = App::start().await;
    let path = format!("/v1/senders/{}", app.sender);
    say(
        &app,
        "account_update",
        T0,
        json!({"event": "ACCOUNT_DELETED"}),
    )
    .await;
    assert_eq!(sender(&app).await["status"], "unregistered");
    let (_, opened) = app
        .send(Method::PATCH, &path, json!({"status": "active"}))
        .await;
    assert_eq!(
        (&opened["status"], &opened["status_reason"]),
        (&json!("active"), &Value::Null)
    );
    say(
        &app,
        "account_update",
        T0,
        json!({"event": "ACCOUNT_DELETED"}),
    )
    .await;
    assert_eq!(sender(&app).await["status"], "active");
    let now = app.clock.now().unix_timestamp();
    say(&app, "account_update", now + 5, ban("DISABLE")).await;
    assert_eq!(sender(&app).await["status"], "blocked");
}

#[tokio::test]
async fn a_reinstatement_opens_what_a_refusal_blocked_before_it() {
    let app = App::start().await;
    let mut session = app.session().await;
    sqlx::query(
        "UPDATE senders SET status = 'blocked', status_reason = '131031', status_at = now()",
    )
    .execute(&mut session)
    .await
    .unwrap();
    let message = waiting(&app, "one").await;
    say(&app, "account_update", T0, ban("REINSTATE")).await;
    assert_eq!(
        sender(&app).await["status_reason"],
        "131031",
        "that was before"
    );
    let later = app.clock.now().unix_timestamp() + 5;
    say(&app, "account_update", later, ban("REINSTATE")).await;
    app.accepted(&message).await;
}

#[tokio::test]
async fn a_partner_that_was_removed_is_told_of_another_entry() {
    let app = App::start().await;
    let mut body = management_body(
        "account_update",
        T0,
        json!({"event": "PARTNER_REMOVED", "waba_info": {"waba_id": WABA}}),
    );
    body["entry"][0]["id"] = "590011223344556".into();
    assert_eq!(app.webhook(&body).await, StatusCode::OK);
    assert_eq!(sender(&app).await["status_reason"], "PARTNER_REMOVED");
}

/// What may be said of an account, its number and a template: field and value.
fn sayings(waba: &str, number: &str) -> Vec<(&'static str, Value)> {
    let mut all = vec![
        ("account_update", ban("DISABLE")),
        ("account_update", ban("REINSTATE")),
        ("account_update", mute(4_000_000_000)),
        ("account_update", mute(T0 + 1)),
        ("account_update", json!({"event": "ACCOUNT_OFFBOARDED"})),
        ("account_update", json!({"event": "ACCOUNT_RECONNECTED"})),
    ];
    for limit in ["TIER_1K", "TIER_10K"] {
        let value = json!({"max_daily_conversations_per_business": limit});
        all.push(("business_capability_update", value));
        let value =
            json!({"display_phone_number": number, "event": "UPGRADE", "current_limit": limit});
        all.push(("phone_number_quality_update", value));
    }
    for event in ["FLAGGED", "UNFLAGGED"] {
        let value = json!({"display_phone_number": format!("+{number}"), "event": event});
        all.push(("phone_number_quality_update", value));
    }
    for (decision, name) in [("APPROVED", "A"), ("APPROVED", "B"), ("REJECTED", "C")] {
        let value = json!({"display_phone_number": number, "decision": decision,
            "requested_verified_name": name});
        all.push(("phone_number_name_update", value));
    }
    let template = |mut value: Value| {
        value["message_template_id"] = 1.into();
        value["message_template_name"] = format!("t{waba}").into();
        value["message_template_language"] = "en_US".into();
        value
    };
    for (previous, new) in [("UTILITY", "MARKETING"), ("MARKETING", "UTILITY")] {
        let value = template(json!({"previous_category": previous, "new_category": new}));
        all.push(("template_category_update", value));
        let value = template(json!({"new_category": previous, "correct_category": new}));
        all.push(("template_category_update", value));
        let value = template(json!({"event": "APPROVED", "message_template_category": new}));
        all.push(("message_template_status_update", value));
    }
    all
}

/// A history: which of the sayings, and when. Few moments, so that many tie.
fn history() -> impl Strategy<Value = Vec<(usize, i64)>> {
    prop::collection::vec((0..21_usize, 0..4_i64), 1..14)
}

/// Posts a history in batches of these sizes.
async fn post(app: &App, waba: &str, number: &str, history: &[(usize, i64)], sizes: &[usize]) {
    let sayings = sayings(waba, number);
    let mut rest = history;
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let (now, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        let entries = now.iter().map(|(which, at)| {
            let (field, value) = &sayings[*which];
            json!({"id": waba, "time": T0 + at, "changes": [{"field": field, "value": value}]})
        });
        let body =
            json!({"object": "whatsapp_business_account", "entry": entries.collect::<Vec<_>>()});
        assert_eq!(app.webhook(&body).await, StatusCode::OK);
        rest = later;
    }
}

/// What a history ended in.
async fn state(app: &App, sender: &str, waba: &str) -> Value {
    let sender = app.get(&format!("/v1/senders/{sender}")).await;
    let template = app.get(&format!("/v1/templates?name=t{waba}")).await["data"][0].clone();
    json!([
        sender["status"],
        sender["status_reason"],
        sender["status_at"],
        sender["quality"],
        sender["limit"],
        sender["verified_name"],
        sender["name_decision"],
        template["category"],
        template["status"],
    ])
}

#[tokio::test]
async fn any_order_split_and_repetition_ends_in_the_same_state() {
    let app = App::start().await;
    let mut runner = TestRunner::new(Config::default());
    for case in 0..12 {
        let history = history().new_tree(&mut runner).unwrap().current();
        let doubled = [history.clone(), history.clone()].concat();
        let shuffled = Just(doubled)
            .prop_shuffle()
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let mut states = Vec::new();
        for (n, history, sizes) in [
            (0, &history, &[1][..]),
            (1, &shuffled, &[5, 1, 14]),
            (2, &shuffled, &[28]),
        ] {
            let (waba, number) = (format!("8{case}{n}"), format!("4477{case:04}{n}"));
            // It is all said before anybody has made the sender, or after.
            let is_known = n == 1;
            if !is_known {
                post(&app, &waba, &number, history, sizes).await;
            }
            let sender = other_account(&app, &waba, &number).await;
            if is_known {
                post(&app, &waba, &number, history, sizes).await;
            }
            states.push(state(&app, &sender, &waba).await);
        }
        assert_eq!(states[0], states[1], "{history:?} {shuffled:?}");
        assert_eq!(states[0], states[2], "{history:?} {shuffled:?}");
    }
}

fn users(field: &str, items: Value) -> Value {
    let mut change = change(json!({field: items}));
    change["field"] = field.into();
    body(&[change])
}

fn preference(user: &Value, value: &str, at: i64) -> Value {
    let mut item = user.clone();
    item["category"] = "marketing_messages".into();
    item["value"] = value.into();
    item["timestamp"] = (T0 + at).into();
    users("user_preferences", json!([item]))
}

async fn marketing(app: &App, name: &str) -> Option<String> {
    let sender: SenderId = app.sender.parse().unwrap();
    let said = app.store.marketing(sender, name).await.unwrap();
    said.map(|said| said.value)
}

#[tokio::test]
async fn an_opt_out_holds_for_every_name_of_the_user_until_it_is_taken_back() {
    let app = App::start().await;
    let user = json!({"wa_id": "15550190044", "user_id": "US.7", "parent_user_id": "US.ENT.7"});
    let names = ["15550190044", "US.7", "US.ENT.7"];
    assert_eq!(marketing(&app, "US.7").await, None);
    assert_eq!(
        app.webhook(&preference(&user, "stop", 10)).await,
        StatusCode::OK
    );
    for name in names {
        assert_eq!(
            marketing(&app, name).await.as_deref(),
            Some("stop"),
            "{name}"
        );
    }
    assert_eq!(marketing(&app, "15550190045").await, None);
    // By another name, later.
    let by_number = json!({"wa_id": "15550190044"});
    assert_eq!(
        app.webhook(&preference(&by_number, "resume", 20)).await,
        StatusCode::OK
    );
    for name in names {
        assert_eq!(
            marketing(&app, name).await.as_deref(),
            Some("resume"),
            "{name}"
        );
    }
    // Of other messages than marketing.
    let mut other = preference(&user, "stop", 30);
    other["entry"][0]["changes"][0]["value"]["user_preferences"][0]["category"] = "novelty".into();
    assert_eq!(app.webhook(&other).await, StatusCode::OK);
    assert_eq!(marketing(&app, "US.7").await.as_deref(), Some("resume"));
    assert_eq!(
        app.webhook(&preference(&user, "stop", 20)).await,
        StatusCode::OK
    );
    assert_eq!(
        marketing(&app, "US.7").await.as_deref(),
        Some("stop"),
        "in the same second"
    );
}

#[tokio::test]
async fn new_ids_keep_an_opt_out_and_a_number_that_changes_hands_does_not() {
    const DAY: i64 = 86_400;
    let app = App::start().await;
    let stop = preference(
        &json!({"wa_id": "15550190044", "user_id": "US.7"}),
        "stop",
        0,
    );
    let item = json!({"wa_id": "15550190044", "user_id": {"previous": "US.7", "current": "US.9"},
        "timestamp": (T0 + 5).to_string()});
    let renamed = users("user_id_update", json!([item]));
    let inbound = |id: &str, from: &str, user: &str, at: i64| {
        body(&[change(
            json!({"messages": [{"id": id, "from": from, "from_user_id": user,
            "timestamp": (T0 + at).to_string(), "type": "text", "text": {"body": "hi"}}]}),
        )])
    };
    // The number is somebody else's by now.
    let taken_over = inbound("wamid.1", "15550190044", "US.55", 30 * DAY);
    let moved = inbound("wamid.2", "447700900777", "US.9", 29 * DAY);
    let facts = [stop, renamed, taken_over, moved];
    // Every order, each told to a sender of its own.
    for n in 0..24 {
        let mut left: Vec<_> = facts.iter().collect();
        let order = [n % 4, n / 4 % 3, n / 12, 0].map(|at| left.remove(at).clone());
        let number = format!("31{n:03}");
        let sender: SenderId = app.register(&number).await.parse().unwrap();
        for mut body in order.clone() {
            let metadata = &mut body["entry"][0]["changes"][0]["value"]["metadata"];
            metadata["phone_number_id"] = number.clone().into();
            assert_eq!(app.webhook(&body).await, StatusCode::OK);
        }
        for (name, wanted) in [
            ("US.7", Some("stop")),
            ("US.9", Some("stop")),
            ("447700900777", Some("stop")),
            ("US.55", None),
            ("15550190044", None),
        ] {
            let said = app.store.marketing(sender, name).await.unwrap();
            let said = said.map(|said| said.value);
            assert_eq!(said.as_deref(), wanted, "{name} {order:?}");
        }
    }
}

#[tokio::test]
async fn the_names_of_a_user_are_learned_from_statuses() {
    let app = App::start().await;
    let user = json!({"user_id": "US.7"});
    assert_eq!(
        app.webhook(&preference(&user, "stop", 10)).await,
        StatusCode::OK
    );
    let mut said = status("wamid.n", "sent", 0);
    said["recipient_user_id"] = "US.7".into();
    app.say(&[said]).await;
    let is_known = async {
        while marketing(&app, "447700900123").await.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), is_known)
        .await
        .unwrap();
}

#[tokio::test]
async fn what_names_a_number_is_shown_with_its_sender() {
    let app = App::start().await;
    let value = json!({"display_phone_number": "+1 555-014-2217", "event": "FLAGGED"});
    say(&app, "phone_number_quality_update", T0, value).await;
    let value = json!({"display_phone_number": "4477009", "event": "FLAGGED"});
    say(&app, "phone_number_quality_update", T0, value).await;
    let events = app.events(2).await;
    assert_eq!(
        (&events[0]["sender"], &events[0]["subject"]),
        (&json!(app.sender), &json!(app.sender))
    );
    assert_eq!(events[1]["sender"], Value::Null);
    let of_sender = app.get(&format!("/v1/events?sender={}", app.sender)).await;
    assert_eq!(of_sender["data"], json!([events[0]]));
    let later = other_account(&app, "77", "4477009").await;
    let events = app.events(2).await;
    assert_eq!(events[1]["sender"], later, "whenever it was made");
    assert_eq!(sender(&app).await["quality"], "FLAGGED");
}

#[tokio::test]
async fn a_name_that_could_not_be_written_is_learned_when_it_is_said_again() {
    let app = App::start().await;
    let user = json!({"user_id": "US.7"});
    assert_eq!(
        app.webhook(&preference(&user, "stop", 10)).await,
        StatusCode::OK
    );
    let mut session = app.session().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE recipients IN EXCLUSIVE MODE")
        .execute(&mut session)
        .await
        .unwrap();
    let named = |word| {
        let mut said = status("wamid.n", word, 0);
        said["recipient_user_id"] = "US.7".into();
        said
    };
    app.say(&[named("sent")]).await;
    app.waiting_for_locks(1).await;
    let cancelled = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity
                     WHERE datname = current_database() AND wait_event_type = 'Lock'";
    sqlx::raw_sql(cancelled)
        .execute(&mut app.session().await)
        .await
        .unwrap();
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut session)
        .await
        .unwrap();
    let is_known = async {
        while marketing(&app, "447700900123").await.is_none() {
            app.say(&[named("delivered")]).await;
        }
    };
    tokio::time::timeout(PATIENCE, is_known).await.unwrap();
}
