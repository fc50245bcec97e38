//! Campaigns: the same sequence for many. Nothing goes before it is asked for, everything in the
//! end, to each their own; and one row stops all of it.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::PgConnection;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use twotick::config::Config;
use twotick::model::campaign::Variables;
use twotick::simulator;
use twotick::store::campaign_upload::NewRecipient;
use twotick::store::{CampaignChange, CampaignWork, Once};

use crate::support::*;
use crate::users::{USER, is_marketing, prefers};

/// The number of a recipient.
fn number(n: usize) -> String {
    format!("4477009{n:05}")
}

/// Recipients with a variable each, a line each.
fn lines(range: std::ops::Range<usize>) -> String {
    let line = |n| json!({"to": number(n), "variables": {"name": format!("name {n}")}});
    range.map(|n| format!("{}\n", line(n))).collect()
}

/// A draft with these messages.
async fn draft(app: &App, messages: Value) -> String {
    let new = json!({"sender": app.sender, "name": "offer", "messages": messages});
    let made = app.create("/v1/campaigns", new).await;
    assert_eq!(made["status"], "draft");
    made["id"].as_str().unwrap().to_owned()
}

/// Two messages, of which the first greets.
fn two_steps() -> Value {
    json!([
        template_step("offer", "Dear {{name}}"),
        step("Bye {{ name }}")
    ])
}

async fn upload(app: &App, path: &str, kind: &str, body: String) -> (StatusCode, Value) {
    let request = app.request(Method::POST, &format!("/v1/campaigns/{path}"));
    let request = request.header("Content-Type", kind).body(body);
    let response = request.send().await.unwrap();
    let status = response.status();
    (status, response.json().await.unwrap())
}

/// Uploads what must be taken.
async fn add(app: &App, campaign: &str, lines: String) -> Value {
    let path = format!("{campaign}/recipients");
    let (status, answer) = upload(app, &path, "application/x-ndjson", lines).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

async fn change(app: &App, campaign: &str, verb: &str) -> Value {
    app.create(&format!("/v1/campaigns/{campaign}/{verb}"), json!({}))
        .await
}

async fn status_until(app: &App, campaign: &str, status: &str) -> Value {
    let path = format!("/v1/campaigns/{campaign}");
    app.get_until(&path, |campaign| campaign["status"] == status)
        .await
}

/// Says that what was posted has been delivered.
async fn deliver(app: &App, posts: &[Value]) {
    let statuses: Vec<_> = posts
        .iter()
        .map(|post| status(post["wamid"].as_str().unwrap(), "delivered", 1))
        .collect();
    app.say(&statuses).await;
}

#[tokio::test]
async fn everybody_gets_their_own_messages_in_order_and_none_before_it_is_asked_for() {
    const ALL: usize = 30;
    let app = App::start().await;
    let campaign = draft(&app, two_steps()).await;
    let uploaded = add(&app, &campaign, lines(0..20)).await;
    assert_eq!(uploaded["added"], 20);
    add(&app, &campaign, lines(20..ALL)).await;
    app.fence().await;
    assert!(posted_texts(&app.posts().await).is_empty(), "a draft goes");
    let path = format!("/v1/messages?campaign={campaign}");
    assert_eq!(app.get(&path).await["data"], json!([]));
    let fence = app.posts().await.len();

    change(&app, &campaign, "activate").await;
    let posts = app.posts_until(fence + ALL).await;
    let greeted: BTreeSet<_> = posts[fence..].iter().map(text_and_recipient).collect();
    let expected = |text: &str| -> BTreeSet<_> {
        (0..ALL)
            .map(|n| (number(n), format!("{text} name {n}")))
            .collect()
    };
    assert_eq!(greeted, expected("Dear"));
    let shown = status_until(&app, &campaign, "running").await;
    assert_eq!(shown["recipients"], ALL);
    // Its messages are made when they are claimed.
    let made = app.get(&format!("{path}&limit=100")).await;
    assert_eq!(made["data"].as_array().unwrap().len(), ALL);

    deliver(&app, &posts[fence..]).await;
    let posts = app.posts_until(fence + 2 * ALL).await;
    let parted: BTreeSet<_> = posts[fence + ALL..]
        .iter()
        .map(text_and_recipient)
        .collect();
    assert_eq!(parted, expected("Bye"));
    deliver(&app, &posts[fence + ALL..]).await;
    let shown = status_until(&app, &campaign, "completed").await;
    assert_eq!(shown["counts"]["completed"], ALL);
    assert_eq!(shown["counts"]["in_progress"], 0);
    let sequences = app
        .get(&format!("/v1/sequences?campaign={campaign}&limit=100"))
        .await;
    let sequences = sequences["data"].as_array().unwrap();
    assert_eq!(sequences.len(), ALL);
    for sequence in sequences {
        assert_eq!(sequence["campaign"], campaign.as_str());
        assert_eq!(sequence["messages"].as_array().unwrap().len(), 2);
    }
    let told = "/v1/events?type=campaign.activated,campaign.completed";
    let told = app
        .get_until(told, |told| told["data"].as_array().unwrap().len() == 2)
        .await;
    let mut told = told["data"].as_array().unwrap().iter();
    assert!(told.all(|event| event["subject"] == campaign.as_str()));
}

/// Whom a post went to, and its text.
fn text_and_recipient(post: &Value) -> (String, String) {
    let text = posted_texts(std::slice::from_ref(post)).remove(0);
    (post["body"]["to"].as_str().unwrap().to_owned(), text)
}

#[tokio::test]
async fn an_upload_is_taken_as_a_whole_or_each_line_that_is_wrong_is_told() {
    let app = App::start().await;
    let campaign = draft(&app, two_steps()).await;
    let path = format!("{campaign}/recipients");
    let with_problems = |good: usize| {
        format!(
            "{}{{\"to\":\"447700900999\"}}\nno json\n{}",
            lines(0..good),
            lines(good..2 * good)
        )
    };
    let ndjson = "application/x-ndjson";
    // More than one part.
    let (status, answer) = upload(&app, &path, ndjson, with_problems(2_500)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    let fields = |answer: &Value, list: &str| -> Vec<String> {
        let errors = answer[list].as_array().unwrap().iter();
        errors
            .map(|error| error["field"].as_str().unwrap().to_owned())
            .collect()
    };
    let wrong = ["lines[2501].variables.name", "lines[2502]"];
    assert_eq!(fields(&answer, "errors"), wrong);
    let shown = app.get(&format!("/v1/campaigns/{campaign}")).await;
    assert_eq!(shown["recipients"], 0);
    assert_eq!(staged(&app).await, 0, "a refused upload leaves something");
    let long = json!({"to": number(1), "variables": {"name": "x".repeat(5_000)}});
    let (status, answer) = upload(&app, &path, ndjson, format!("{long}\n")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(fields(&answer, "errors"), ["lines[1].variables.name"]);

    let skipping = format!("{path}?skip_invalid=true");
    let (status, answer) = upload(&app, &skipping, ndjson, with_problems(2_500)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(
        (&answer["added"], &answer["invalid"]),
        (&json!(5_000), &json!(2))
    );
    assert_eq!(fields(&answer, "problems"), wrong);

    // However many there are, the first hundred are shown.
    let (_, answer) = upload(&app, &path, ndjson, "{}\n".repeat(300)).await;
    assert_eq!(answer["errors"].as_array().unwrap().len(), 100);
    assert!(answer["detail"].as_str().unwrap().starts_with("300 lines"));

    let csv = "to,reference,name\n4477009,r1,\"Ana, \"\"the\"\" first\"\n+447700900001,,B\n";
    let (status, answer) = upload(&app, &path, "text/csv; charset=utf-8", csv.to_owned()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let (status, _) = upload(&app, &path, "text/plain", lines(0..1)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, answer) = upload(&app, &path, "text/csv", "to\n1\n".to_owned()).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(fields(&answer, "errors"), ["lines[1]"]);
}

/// Recipients that are no sequences yet, of any upload.
async fn staged(app: &App) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM campaign_recipients")
        .fetch_one(&mut app.session().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_recipient_that_comes_twice_is_one_unless_the_campaign_says_otherwise() {
    let app = App::start().await;
    let campaign = draft(&app, json!([step("once")])).await;
    let twice = format!("{}{}", lines(0..3), lines(1..4));
    let first = add(&app, &campaign, twice.clone()).await;
    assert_eq!(
        (&first["added"], &first["repeated"]),
        (&json!(4), &json!(2))
    );
    let again = add(&app, &campaign, twice.clone()).await;
    assert_eq!(
        (&again["added"], &again["repeated"]),
        (&json!(0), &json!(6))
    );
    change(&app, &campaign, "activate").await;
    app.posts_until(4).await;

    let messages = json!([step("twice")]);
    let new = json!({"sender": app.sender, "name": "again", "messages": messages,
        "allow_repeats": true});
    let made = app.create("/v1/campaigns", new).await;
    let other = made["id"].as_str().unwrap();
    assert_eq!(add(&app, other, twice).await["added"], 6);
    change(&app, other, "activate").await;
    let shown = app
        .get_until(&format!("/v1/campaigns/{other}"), |campaign| {
            campaign["counts"]["queued"] == 0 && campaign["status"] == "running"
        })
        .await;
    assert_eq!(shown["counts"]["in_progress"], 6);
    assert_eq!(app.posts_until(10).await.len(), 10);
}

#[tokio::test]
async fn who_a_draft_goes_to_can_be_read_page_by_page() {
    let app = App::start().await;
    let campaign = draft(&app, two_steps()).await;
    add(&app, &campaign, lines(0..3)).await;
    let with_reference = json!({"to": number(3), "reference": "order-3",
        "variables": {"name": "Ana"}});
    add(&app, &campaign, format!("{with_reference}\n")).await;
    let path = format!("/v1/campaigns/{campaign}/recipients?limit=3");
    let first = app.get(&path).await;
    assert_eq!(first["data"][0], with_reference);
    assert_eq!(first["data"][1]["reference"], Value::Null);
    let next = first["next_cursor"].as_str().unwrap();
    let second = app.get(&format!("{path}&cursor={next}")).await;
    assert_eq!(second["next_cursor"], Value::Null);
    let both = [&first, &second].map(|page| page["data"].as_array().unwrap().clone());
    let all: Vec<_> = both.concat().iter().map(|one| one["to"].clone()).collect();
    let expected: Vec<_> = (0..4).rev().map(|n| json!(number(n))).collect();
    assert_eq!(all, expected);

    // One that is under way does not count yet, nor is it shown.
    let store = &app.store;
    let id = campaign.parse().unwrap();
    let under_way = store.begin_upload(id).await.unwrap().unwrap().unwrap();
    let new = [NewRecipient {
        recipient: number(9),
        reference: None,
        variables: Variables::from_iter([("name".to_owned(), json!("x"))]),
    }];
    store.upload_part(&under_way, &new).await.unwrap().unwrap();
    assert_eq!(app.get(&path).await["data"], first["data"]);
    store.drop_upload(&under_way).await.unwrap();

    change(&app, &campaign, "activate").await;
    status_until(&app, &campaign, "running").await;
    assert_eq!(app.get(&path).await["data"], json!([]));
    let sequences = app.get(&format!("/v1/sequences?campaign={campaign}")).await;
    assert_eq!(sequences["data"].as_array().unwrap().len(), 4);
    let nobodys = format!(
        "/v1/campaigns/{}x/recipients",
        &campaign[..campaign.len() - 1]
    );
    let (status, answer) = app.send(Method::GET, &nobodys, json!({})).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{answer}");
}

#[tokio::test]
async fn only_a_draft_takes_recipients_and_only_one_upload_at_a_time() {
    let app = App::start().await;
    let campaign = draft(&app, json!([step("hi")])).await;
    let refused = app
        .send(
            Method::POST,
            &format!("/v1/campaigns/{campaign}/activate"),
            json!({}),
        )
        .await;
    assert_eq!(
        (refused.0, &refused.1["code"]),
        (StatusCode::CONFLICT, &json!("no_recipients"))
    );

    // An upload that has begun and says nothing.
    let id = campaign.parse().unwrap();
    let begun = app.store.begin_upload(id).await.unwrap().unwrap().unwrap();
    let path = format!("{campaign}/recipients");
    let ndjson = "application/x-ndjson";
    let (status, answer) = upload(&app, &path, ndjson, lines(0..1)).await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::CONFLICT, &json!("upload_under_way"))
    );
    let one = NewRecipient {
        recipient: number(7),
        reference: None,
        variables: Variables::new(),
    };
    let written = app
        .store
        .upload_part(&begun, std::slice::from_ref(&one))
        .await;
    assert_eq!(written.unwrap().unwrap(), 1);
    // One whose caller is slow says that it goes on, and is not given up.
    app.clock.advance(Duration::from_secs(100));
    assert_eq!(
        app.store.upload_part(&begun, &[]).await.unwrap().unwrap(),
        0
    );
    app.clock.advance(Duration::from_secs(100));
    let (_, answer) = upload(&app, &path, ndjson, lines(0..1)).await;
    assert_eq!(answer["code"], "upload_under_way");
    // Its process has died: what it left counts for nothing, and keeps nobody out.
    app.clock.advance(Duration::from_secs(121));
    // Were it alive after all, it would come too late: its rows may be removed at any moment.
    assert!(app.store.finish_upload(&begun, 1).await.unwrap().is_err());
    assert_eq!(add(&app, &campaign, lines(7..9)).await["added"], 2);
    assert!(
        app.store
            .upload_part(&begun, &[one])
            .await
            .unwrap()
            .is_err()
    );
    assert!(app.store.finish_upload(&begun, 1).await.unwrap().is_err());

    change(&app, &campaign, "activate").await;
    assert_eq!(app.posts_until(2).await.len(), 2);
    let (status, answer) = upload(&app, &path, ndjson, lines(9..10)).await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::CONFLICT, &json!("not_draft"))
    );
    let shown = app.get(&format!("/v1/campaigns/{campaign}")).await;
    assert_eq!(shown["recipients"], 2);
}

#[tokio::test]
async fn a_caller_who_hangs_up_in_the_middle_leaves_nothing() {
    let app = App::start().await;
    let campaign = draft(&app, json!([step("hi")])).await;
    let address = app.url.strip_prefix("http://").unwrap().to_owned();
    let head = app.request(Method::POST, "/").build().unwrap();
    let key = head.headers()["authorization"].to_str().unwrap();
    let mut caller = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/campaigns/{campaign}/recipients HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n\
         Content-Type: application/x-ndjson\r\nContent-Length: 999999\r\n\r\n"
    );
    caller.write_all(head.as_bytes()).await.unwrap();
    caller.write_all(lines(0..3_000).as_bytes()).await.unwrap();
    wait_for(async || staged(&app).await > 0).await;
    drop(caller);
    wait_for(async || staged(&app).await == 0).await;
    // The place is free: the same again is taken.
    let path = format!("{campaign}/recipients");
    wait_for(async || {
        let body = lines(0..3_000);
        let (status, _) = upload(&app, &path, "application/x-ndjson", body).await;
        status == StatusCode::OK
    })
    .await;
}

/// Waits until it is so.
async fn wait_for(holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("it never was so");
}

#[tokio::test]
async fn a_pause_stops_all_of_it_and_gates_are_decided_meanwhile() {
    const ALL: usize = 12;
    let app = App::start().await;
    let campaign = draft(&app, two_steps()).await;
    add(&app, &campaign, lines(0..ALL)).await;
    change(&app, &campaign, "activate").await;
    let posts = app.posts_until(ALL).await;
    status_until(&app, &campaign, "running").await;
    let paused = change(&app, &campaign, "pause").await;
    assert_eq!(paused["status"], "paused");
    deliver(&app, &posts).await;
    app.fence().await;
    assert_eq!(posted_texts(&app.posts().await).len(), ALL);
    let again = app
        .send(
            Method::POST,
            &format!("/v1/campaigns/{campaign}/activate"),
            json!({}),
        )
        .await;
    assert_eq!(again.1["code"], "not_draft");

    let resumed = change(&app, &campaign, "resume").await;
    assert_eq!(resumed["status"], "running");
    app.posts_until(1 + 2 * ALL).await;
    let told = "/v1/events?type=campaign.activated,campaign.paused,campaign.resumed";
    let told = app
        .get_until(told, |told| told["data"].as_array().unwrap().len() == 3)
        .await;
    let told = told["data"].as_array().unwrap().iter();
    let told: Vec<_> = told.map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        told,
        ["campaign.activated", "campaign.paused", "campaign.resumed"]
    );
}

#[tokio::test]
async fn a_cancelled_campaign_posts_nothing_more_and_its_sequences_end() {
    const ALL: usize = 12;
    let app = App::start().await;
    let campaign = draft(&app, two_steps()).await;
    add(&app, &campaign, lines(0..ALL)).await;
    change(&app, &campaign, "activate").await;
    let posts = app.posts_until(ALL).await;
    let cancelled = change(&app, &campaign, "cancel").await;
    assert_eq!(cancelled["status"], "cancelled");
    deliver(&app, &posts).await;
    let path = format!("/v1/campaigns/{campaign}");
    let all_ended = |shown: &Value| shown["counts"]["cancelled"] == ALL;
    app.get_until(&path, all_ended).await;
    app.fence().await;
    assert_eq!(posted_texts(&app.posts().await).len(), ALL);
    for verb in ["resume", "pause", "activate"] {
        let (status, _) = app
            .send(Method::POST, &format!("{path}/{verb}"), json!({}))
            .await;
        assert_eq!(status, StatusCode::CONFLICT, "{verb}");
    }
    let mut session = app.session().await;
    wait_for_lanes(&mut session, 0).await;
}

async fn wait_for_lanes(session: &mut PgConnection, n: i64) {
    let waiting = async {
        loop {
            let lanes = sqlx::query_scalar("SELECT count(*) FROM lanes WHERE campaign IS NOT NULL");
            let lanes: i64 = lanes.fetch_one(&mut *session).await.unwrap();
            if lanes == n {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("the lanes stay");
}

#[tokio::test]
async fn who_was_stopped_is_retried_although_the_campaign_was_done() {
    let app = App::start().await;
    let campaign = draft(&app, json!([step("hi {{name}}")])).await;
    add(&app, &campaign, lines(0..1)).await;
    change(&app, &campaign, "activate").await;
    let posts = app.posts_until(1).await;
    let wamid = posts[0]["wamid"].as_str().unwrap();
    app.say(&[status(wamid, "failed", 1)]).await;
    let shown = status_until(&app, &campaign, "completed").await;
    assert_eq!(shown["counts"]["failed"], 1);
    let mut session = app.session().await;
    wait_for_lanes(&mut session, 0).await;

    let sequences = app.get(&format!("/v1/sequences?campaign={campaign}")).await;
    let sequence = sequences["data"][0]["id"].as_str().unwrap();
    app.create(&format!("/v1/sequences/{sequence}/retry"), json!({}))
        .await;
    let posts = app.posts_until(2).await;
    assert_eq!(posted_texts(&posts), ["hi name 0", "hi name 0"]);
    deliver(&app, &posts[1..]).await;
    let shown = status_until(&app, &campaign, "completed").await;
    assert_eq!(shown["counts"]["completed"], 1);
    let more = json!({"messages": [step("more")]});
    let path = format!("/v1/sequences/{sequence}/messages");
    let (status, answer) = app.send(Method::POST, &path, more).await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::CONFLICT, &json!("part_of_campaign"))
    );
}

#[tokio::test]
async fn who_dies_while_activating_is_replaced_and_nobody_is_left_out_or_twice() {
    const ALL: usize = 7_000;
    // Nobody looks by themselves.
    let sleepy = |config: &mut Config| config.send.poll = Duration::from_secs(3600);
    let app = App::start_with(sleepy, simulator::Config::default()).await;
    let campaign = draft(&app, json!([step("hi {{name}}")])).await;
    add(&app, &campaign, lines(0..ALL)).await;
    // As it is when an instance has died behind its first batch.
    let id = campaign.parse().unwrap();
    let once = Once::default();
    let activate = CampaignChange::Activate;
    let activated = app.store.change_campaign(id, activate, &once, |_| ()).await;
    activated.unwrap().unwrap().unwrap();
    assert_eq!(
        app.store.work_on_campaign(id).await.unwrap(),
        CampaignWork::More
    );
    let left = staged(&app).await;
    assert!(0 < left && left < ALL as i64, "{left}");

    let _another = app.another_instance().await;
    let counts = "SELECT count(*), count(DISTINCT recipient) FROM sequences
                  WHERE campaign IS NOT NULL";
    wait_for(async || staged(&app).await == 0).await;
    let (made, different): (i64, i64) = sqlx::query_as(counts)
        .fetch_one(&mut app.session().await)
        .await
        .unwrap();
    assert_eq!((made, different), (ALL as i64, ALL as i64));
    app.posts_until(100).await;
}

#[tokio::test]
async fn a_campaign_does_not_keep_lone_messages_of_its_sender_waiting() {
    const ALL: usize = 600;
    let mut app = App::start().await;
    let slow = json!({
        "connection": app.connection, "phone_number_id": "310022446688200", "waba_id": WABA,
        "messages_per_second": 20,
    });
    let sender = app.create("/v1/senders", slow).await;
    app.sender = sender["id"].as_str().unwrap().to_owned();
    let campaign = draft(&app, json!([template_step("offer", "many")])).await;
    add(&app, &campaign, lines(0..ALL)).await;
    change(&app, &campaign, "activate").await;
    app.posts_until(1).await;
    // What was made long after all of the campaign's goes long before most of it.
    for n in 0..5 {
        app.create(
            "/v1/messages",
            text(&app.sender, &number(9_000 + n), "lone"),
        )
        .await;
    }
    wait_for(async || {
        let texts = posted_texts(&app.posts().await);
        texts.iter().filter(|text| *text == "lone").count() == 5
    })
    .await;
    let many = posted_texts(&app.posts().await).len() - 5;
    assert!(many < ALL / 2, "{many} of {ALL} went first");
}

#[tokio::test]
async fn who_wants_no_marketing_gets_none_from_a_campaign_either() {
    let app = App::start().await;
    is_marketing(&app, "offer").await;
    prefers(&app, "stop", 1).await;
    let new = json!({
        "sender": app.sender, "name": "offer", "on_opt_out": "fail", "on_failure": "skip",
        "messages": [template_step("offer", "{{name}}"), template_step("notice", "to {{name}}")],
    });
    let campaign = app.create("/v1/campaigns", new).await;
    let campaign = campaign["id"].as_str().unwrap();
    let them = json!({"to": USER, "variables": {"name": "them"}});
    add(&app, campaign, format!("{them}\n{}", lines(0..1))).await;
    change(&app, campaign, "activate").await;
    let posts = app.posts_until(2).await;
    let posted: BTreeSet<_> = posts.iter().map(text_and_recipient).collect();
    let expected = [
        (USER.to_owned(), "to them".to_owned()),
        (number(0), "name 0".to_owned()),
    ];
    assert_eq!(posted, BTreeSet::from(expected));
    let theirs = format!("/v1/sequences?campaign={campaign}&to={USER}");
    let theirs = app.get(&theirs).await;
    let messages = &theirs["data"][0]["messages"];
    assert_eq!(messages[0]["status"], "failed");
    assert_eq!(messages[0]["error"]["code"], 131_050);
    assert_eq!(messages[1]["sequence"]["position"], 2);
}

/// Recipients who wait until it is not quiet any more.
async fn put_off(app: &App) -> i64 {
    let put_off = "SELECT count(*) FROM sequences WHERE ready_because = 'quiet_hours'";
    sqlx::query_scalar(put_off)
        .fetch_one(&mut app.session().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_campaign_writes_to_nobody_while_it_is_quiet_where_they_are() {
    let app = App::start().await;
    let quiet = |time_zone: &str| {
        json!({
            "sender": app.sender, "name": "offer", "messages": [step("{{name}}")],
            "quiet_hours": {"from": "00:00", "to": "23:59", "time_zone": time_zone},
        })
    };
    // Two places that are half a day apart: in one of them it is not the minute that is not quiet.
    for time_zone in ["Etc/GMT+6", "Etc/GMT-6"] {
        let campaign = app.create("/v1/campaigns", quiet(time_zone)).await;
        assert_eq!(campaign["quiet_hours"]["time_zone"], time_zone);
        let campaign = campaign["id"].as_str().unwrap();
        add(&app, campaign, lines(0..2)).await;
        change(&app, campaign, "activate").await;
    }
    wait_for(async || put_off(&app).await >= 2).await;
    assert!(app.posts().await.len() <= 2);
    // Whoever looks is told, with when it began and when it goes on.
    let campaigns = app.get("/v1/campaigns").await;
    let mut told = 0;
    for campaign in campaigns["data"].as_array().unwrap() {
        let path = format!("/v1/campaigns/{}", campaign["id"].as_str().unwrap());
        let shown = app.get(&path).await;
        if shown["counts"]["queued"] != 2 {
            continue;
        }
        let shown = app
            .get_until(&path, |shown| shown["waiting"].is_object())
            .await;
        let waiting = &shown["waiting"];
        assert_eq!(waiting["reason"], "quiet_hours", "{shown}");
        let (since, until) = (waiting["since"].as_str(), waiting["until"].as_str());
        assert!(since >= shown["activated_at"].as_str(), "{shown}");
        let now = twotick::model::rfc3339(app.clock.now());
        assert!(until > Some(&now), "{shown}");
        // At the rate of its sender, from then on.
        assert!(shown["expected_end"].as_str() >= until, "{shown}");
        told += 1;
    }
    assert!(told >= 1);
    let (status, answer) = app
        .send(Method::POST, "/v1/campaigns", quiet("London"))
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer["errors"][0]["field"], "quiet_hours.time_zone");
}

/// A campaign of which the first go, and the rest an hour later; the first have gone.
async fn paced(app: &App) -> String {
    let new = json!({
        "sender": app.sender, "name": "offer", "messages": [template_step("offer", "{{name}}")],
        "pace": {"first": 3, "then_watch": "1h"},
    });
    let campaign = app.create("/v1/campaigns", new).await;
    let campaign = campaign["id"].as_str().unwrap().to_owned();
    add(app, &campaign, lines(0..10)).await;
    change(app, &campaign, "activate").await;
    let path = format!("/v1/campaigns/{campaign}");
    let shown = app
        .get_until(&path, |shown| shown["pace"]["watch_until"].is_string())
        .await;
    assert_eq!(shown["status"], "activating");
    assert_eq!(shown["counts"]["queued"], 7);
    assert_eq!(app.posts_until(3).await.len(), 3);
    campaign
}

#[tokio::test]
async fn the_rest_goes_when_the_first_have_been_watched() {
    let app = App::start().await;
    let campaign = paced(&app).await;
    app.fence().await;
    assert_eq!(posted_texts(&app.posts().await).len(), 3);
    app.clock.advance(Duration::from_secs(3601));
    app.posts_until(1 + 10).await;
    status_until(&app, &campaign, "running").await;
}

#[tokio::test]
async fn a_template_of_low_quality_pauses_the_rest_until_a_person_decides() {
    let app = App::start().await;
    let campaign = paced(&app).await;
    let value = json!({"previous_quality_score": "GREEN", "new_quality_score": "RED",
        "message_template_id": 7, "message_template_name": "offer",
        "message_template_language": "en_US"});
    let body = management_body("message_template_quality_update", T0, value);
    assert_eq!(app.webhook(&body).await, StatusCode::OK);
    let shown = status_until(&app, &campaign, "paused").await;
    assert_eq!(shown["paused_because"], "template");
    let told = "/v1/events?type=campaign.paused";
    let told = app
        .get_until(told, |told| told["data"].as_array().unwrap().len() == 1)
        .await;
    assert_eq!(told["data"][0]["data"]["template"], "offer");
    app.clock.advance(Duration::from_secs(3601));
    app.fence().await;
    assert_eq!(posted_texts(&app.posts().await).len(), 3);

    change(&app, &campaign, "resume").await;
    app.posts_until(1 + 10).await;
    let shown = status_until(&app, &campaign, "running").await;
    assert_eq!(shown["paused_because"], Value::Null);
}
