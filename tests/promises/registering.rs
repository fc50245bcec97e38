//! Many numbers registered from a CSV by the real binary, against a running service: all of it is
//! checked first, it can be killed at any moment, and no row is done twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path as InPath, Query, State};
use axum::http::StatusCode as Status;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::managed::{connected, managed, start};
use crate::senders::CODE;
use crate::support::*;

const HEADER: &str = "country_code,phone_number,display_name,code\n";

/// A folder of the test's own, with the CSV in it.
struct Csv(PathBuf);

impl Csv {
    fn new(of: &str, rows: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("twotick-numbers-{of}"));
        std::fs::create_dir_all(&folder).unwrap();
        let csv = Self(folder.join("numbers.csv"));
        csv.write(rows);
        csv
    }

    fn write(&self, rows: &str) {
        std::fs::write(&self.0, format!("{HEADER}{rows}")).unwrap();
    }

    fn state(&self) -> String {
        let path = self.0.with_file_name("numbers.csv.state");
        std::fs::read_to_string(path).unwrap_or_default()
    }
}

impl Drop for Csv {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

fn command(app: &App, connection: &str, csv: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twotick"));
    command
        .args(["senders", "register", "--file"])
        .arg(csv)
        .args(["--connection", connection])
        .args(more)
        .env("TWOTICK_URL", &app.url)
        .env("TWOTICK_API_KEY", &app.key)
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true);
    if !more.contains(&"--waba-id") {
        command.args(["--waba-id", WABA]);
    }
    command
}

/// Runs it to its end: whether it ended well, and what it said.
async fn run(app: &App, connection: &str, csv: &Csv, more: &[&str]) -> (bool, String) {
    let ran = command(app, connection, &csv.0, more)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    let errors = String::from_utf8_lossy(&ran.stderr);
    (ran.status.success(), format!("{said}{errors}"))
}

/// Runs it until it says so. What is read counts by the second: of two words of one second the worse
/// is kept.
async fn until(app: &App, connection: &str, csv: &Csv, line: &str) {
    let runs = async {
        loop {
            let (_, said) = run(app, connection, csv, &[]).await;
            if said.contains(line) {
                return;
            }
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, runs).await;
    assert!(in_time.is_ok(), "{line}: {}", csv.state());
}

#[tokio::test]
async fn a_csv_with_a_wrong_line_sends_nothing() {
    let app = start(true).await;
    let (connection, _) = connected(&app, 2).await;
    let rows = "44,7796344125,Shop 8,\n44,07796,Shop 9,\n44,7796344125,S,12\n44,7796344126\n";
    let csv = Csv::new(&connection, rows);
    let (fine, said) = run(&app, &connection, &csv, &[]).await;
    assert!(!fine);
    for wrong in [
        "numbers.csv:3: phone_number: expected the digits",
        "numbers.csv:4: display_name: expected 2 to 75 characters",
        "numbers.csv:4: code: expected six digits",
        "numbers.csv:4: phone_number: is that of line 2 too",
        "numbers.csv:5: : expected 4 fields",
        "nothing was sent: 5 fields are wrong",
    ] {
        assert!(said.contains(wrong), "{wrong}: {said}");
    }
    assert_eq!(managed(&app, "infobip").await, 0);
    csv.write("44,7796344125,Shop 8,\n");
    let (fine, said) = run(&app, &app.connection, &csv, &[]).await;
    assert!(!fine && said.contains("is not Infobip's"), "{said}");
}

#[tokio::test]
async fn numbers_are_added_and_verified_by_their_codes_each_once() {
    let app = start(true).await;
    let (connection, _) = connected(&app, 2).await;
    let csv = Csv::new(
        &connection,
        "44,7796344125,Shop 8,\n44,7796344126,\"Shop, 9\",\n",
    );
    let (fine, said) = run(&app, &connection, &csv, &[]).await;
    assert!(fine, "{said}");
    assert!(
        said.contains("2/2 code sent  447796344126 Shop, 9"),
        "{said}"
    );
    assert!(
        said.contains("0 registered, 0 submitted, 2 wait for their code"),
        "{said}"
    );
    let rows = format!("44,7796344125,Shop 8,{CODE}\n44,7796344126,\"Shop, 9\",000000\n");
    csv.write(&rows);
    let (fine, said) = run(&app, &connection, &csv, &[]).await;
    assert!(
        !fine && said.contains("1/2 submitted  447796344125"),
        "{said}"
    );
    assert!(said.contains("2/2 refused    447796344126"), "{said}");
    assert!(said.contains("The verification code is invalid"), "{said}");
    // The next runs look whether it is registered; what was refused is left alone until somebody
    // says otherwise.
    csv.write(&rows.replace("000000", CODE));
    until(&app, &connection, &csv, "1/2 registered 447796344125").await;
    let before = managed(&app, "infobip").await;
    let (fine, said) = run(&app, &connection, &csv, &[]).await;
    assert!(!fine && said.contains("not tried again"), "{said}");
    assert_eq!(managed(&app, "infobip").await, before);
    let (fine, said) = run(&app, &connection, &csv, &["--again"]).await;
    assert!(fine && said.contains("1 registered, 1 submitted"), "{said}");
    until(&app, &connection, &csv, "2 registered, 0 submitted").await;
    let after = managed(&app, "infobip").await;
    let (fine, _) = run(&app, &connection, &csv, &["--again", "--resend"]).await;
    assert!(fine);
    assert_eq!(managed(&app, "infobip").await, after, "all of it is done");
    let kept = csv.state();
    assert!(!kept.contains(CODE) && !kept.contains("000000"), "{kept}");
    for sender in app.control("senders").await["senders"].as_array().unwrap() {
        assert!(sender["added"].as_u64().unwrap() <= 1, "{sender}");
    }
}

/// Infobip, played by the test: it hangs when it is told, having done what it was asked or not.
#[derive(Clone)]
struct Infobip {
    url: String,
    is: Arc<Mutex<Is>>,
    told: UnboundedSender<String>,
}

#[derive(Default)]
struct Is {
    /// How often each number was asked to be added.
    adds: BTreeMap<String, usize>,
    known: BTreeSet<String>,
    /// The provider's words on numbers, where they are others than `UNVERIFIED`.
    words: BTreeMap<String, &'static str>,
    /// How often codes came back, and how often they were sent again.
    verified: usize,
    resent: usize,
    /// Numbers that it says nothing of.
    unread: BTreeSet<String>,
    /// Numbers whose next answer never comes, and whether they are added all the same.
    hangs: BTreeMap<String, bool>,
}

impl Infobip {
    async fn start() -> (Self, UnboundedReceiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (told, hears) = unbounded_channel();
        let is = Arc::default();
        let infobip = Self { url, is, told };
        let signup = "/whatsapp/1/embedded-signup/registrations/business-account/{id}/senders";
        let router = Router::new()
            .route(signup, post(add))
            .route(
                "/whatsapp/1/embedded-signup/registrations/senders/{number}/verification",
                post(verify).put(resend),
            )
            .route("/whatsapp/1/senders/quality", get(quality))
            .with_state(infobip.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (infobip, hears)
    }

    fn hang_at(&self, number: &str, is_added: bool) {
        let mut is = self.is.lock().unwrap();
        is.hangs.insert(number.to_owned(), is_added);
    }

    fn adds(&self) -> Vec<usize> {
        self.is.lock().unwrap().adds.values().copied().collect()
    }
}

async fn add(
    State(infobip): State<Infobip>,
    InPath(account): InPath<String>,
    Json(body): Json<Value>,
) -> (Status, Json<Value>) {
    if account != WABA {
        return no(Status::NOT_FOUND, "NOT_FOUND");
    }
    let part = |name: &str| body[name].as_str().unwrap().to_owned();
    let number = part("countryCode") + &part("phoneNumber");
    let hangs = {
        let mut is = infobip.is.lock().unwrap();
        *is.adds.entry(number.clone()).or_default() += 1;
        let hangs = is.hangs.remove(&number);
        if hangs != Some(false) {
            is.known.insert(number.clone());
        }
        hangs.is_some()
    };
    infobip.told.send(number).unwrap();
    if hangs {
        std::future::pending::<()>().await;
    }
    (Status::ACCEPTED, Json(json!({"status": "OTP_REQUESTED"})))
}

/// It is connected before anybody hears of it.
async fn verify(
    State(infobip): State<Infobip>,
    InPath(number): InPath<String>,
) -> (Status, Json<Value>) {
    let hangs = {
        let mut is = infobip.is.lock().unwrap();
        is.verified += 1;
        is.words.insert(number.clone(), "CONNECTED");
        is.hangs.remove(&number).is_some()
    };
    infobip.told.send(number).unwrap();
    if hangs {
        std::future::pending::<()>().await;
    }
    (Status::ACCEPTED, Json(json!({})))
}

async fn resend(State(infobip): State<Infobip>) -> (Status, Json<Value>) {
    infobip.is.lock().unwrap().resent += 1;
    (Status::ACCEPTED, Json(json!({})))
}

fn no(status: Status, word: &str) -> (Status, Json<Value>) {
    let said = json!({"requestError": {"serviceException": {"messageId": word, "text": word}}});
    (status, Json(said))
}

async fn quality(
    State(infobip): State<Infobip>,
    Query(asked): Query<BTreeMap<String, String>>,
) -> (Status, Json<Value>) {
    let is = infobip.is.lock().unwrap();
    let asked = asked["senders"].split(',');
    if asked.clone().any(|number| is.unread.contains(number)) {
        return no(Status::BAD_REQUEST, "BAD_REQUEST");
    }
    let known = asked.filter(|number| is.known.contains(*number));
    let shown = known.map(|number| {
        let word = is.words.get(number).copied().unwrap_or("UNVERIFIED");
        // A later word has a later time.
        let day = if word == "CONNECTED" { 19 } else { 18 };
        json!({"sender": number, "qualityRating": "UNKNOWN", "status": word,
            "currentLimit": "LIMIT_250", "lastUpdated": format!("2026-02-{day}T08:12:26.422Z")})
    });
    let results: Vec<_> = shown.collect();
    (Status::OK, Json(json!({"results": results})))
}

/// A service, and a connection to Infobip as the test plays it.
async fn played() -> (App, Infobip, UnboundedReceiver<String>, String) {
    let settings =
        |config: &mut twotick::config::Config| config.manage.timeout = Duration::from_secs(3);
    let app = App::start_with(settings, twotick::simulator::Config::default()).await;
    let (infobip, hears) = Infobip::start().await;
    let new = json!({"name": "bulk", "provider": "infobip", "base_url": infobip.url,
        "api_key": "token", "webhook_auth": {"url_secret": "a secret of sixteen"}});
    let made = app.create("/v1/connections", new).await;
    let connection = made["id"].as_str().unwrap().to_owned();
    (app, infobip, hears, connection)
}

#[tokio::test]
async fn only_what_the_provider_shows_as_connected_is_registered() {
    let (app, infobip, _hears, connection) = played().await;
    let rows = "44,7796344121,Shop 1,\n44,7796344122,Shop 2,\n44,7796344123,Shop 3,\n";
    let csv = Csv::new(&connection, rows);
    for (end, word) in [(1, "CONNECTED"), (2, "BANNED"), (3, "PENDING")] {
        let number = format!("44779634412{end}");
        infobip.hang_at(&number, true);
        infobip.is.lock().unwrap().words.insert(number, word);
    }
    let (fine, said) = run(&app, &connection, &csv, &[]).await;
    assert!(!fine && said.contains("3 unknown"), "{said}");
    let (fine, said) = run(&app, &connection, &csv, &[]).await;
    assert!(!fine, "{said}");
    for line in [
        "1/3 registered 447796344121",
        "2/3 refused    447796344122",
        "shows it as BANNED",
        "3/3 unknown    447796344123",
        "shows it as PENDING",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let number = "447796344123".to_owned();
    infobip.is.lock().unwrap().words.insert(number, "CONNECTED");
    until(&app, &connection, &csv, "3/3 registered 447796344123").await;
    assert_eq!(infobip.adds(), [1, 1, 1]);
}

#[tokio::test]
async fn what_is_wrong_with_all_rows_stops_the_run_and_marks_none() {
    let (app, infobip, _hears, connection) = played().await;
    let csv = Csv::new(
        &connection,
        "44,7796344121,Shop 1,\n44,7796344122,Shop 2,\n",
    );
    let wrong = ["--waba-id", "shop"];
    let (fine, said) = run(&app, &connection, &csv, &wrong).await;
    assert!(!fine && said.contains("--waba-id: expected"), "{said}");
    assert_eq!(csv.state(), "");
    let wrong = ["--waba-id", "204411887755399"];
    let (fine, said) = run(&app, &connection, &csv, &wrong).await;
    assert!(
        !fine && said.contains("stopped after 0 of 2 rows"),
        "{said}"
    );
    assert!(!csv.state().contains("refused"), "{}", csv.state());
    assert_eq!(infobip.adds(), Vec::<usize>::new());
}

#[tokio::test]
async fn a_row_that_cannot_be_read_stops_no_other() {
    let (app, infobip, _hears, connection) = played().await;
    let csv = Csv::new(
        &connection,
        "44,7796344121,Shop 1,\n44,7796344122,Shop 2,\n",
    );
    infobip.hang_at("447796344121", true);
    let unread = "447796344121".to_owned();
    infobip.is.lock().unwrap().unread.insert(unread);
    for _ in 0..2 {
        let (fine, said) = run(&app, &connection, &csv, &[]).await;
        assert!(
            !fine && said.contains("1/2 unknown    447796344121"),
            "{said}"
        );
        assert!(said.contains("2/2 code sent  447796344122"), "{said}");
    }
    assert_eq!(infobip.adds(), [1, 1]);
}

#[tokio::test]
async fn a_run_that_was_killed_goes_on_and_does_no_row_twice() {
    let (app, infobip, mut hears, connection) = played().await;
    let connection = connection.as_str();
    let rows = "44,7796344121,Shop 1,\n44,7796344122,Shop 2,\n44,7796344123,Shop 3,\n";
    let csv = Csv::new(connection, rows);

    // Infobip adds the second number, and the run is killed before it hears of it.
    infobip.hang_at("447796344122", true);
    let mut first = command(&app, connection, &csv.0, &[]).spawn().unwrap();
    while hears.recv().await.unwrap() != "447796344122" {}
    first.kill().await.unwrap();
    assert!(
        csv.state().ends_with("\"step\":\"adding\"}\n"),
        "{}",
        csv.state()
    );

    // The next reads that back. The third is not added, and its answer never comes.
    infobip.hang_at("447796344123", false);
    let (fine, said) = run(&app, connection, &csv, &[]).await;
    assert!(!fine, "{said}");
    assert!(said.contains("2/3 code sent  447796344122"), "{said}");
    assert!(said.contains("3/3 unknown    447796344123"), "{said}");
    assert_eq!(infobip.adds(), [1, 1, 1]);

    let (fine, said) = run(&app, connection, &csv, &[]).await;
    assert!(fine, "{said}");
    assert!(said.contains("3 wait for their code"), "{said}");
    assert_eq!(
        infobip.adds(),
        [1, 1, 2],
        "read from the provider before it was done again"
    );
    let listed = app
        .get(&format!("/v1/senders?connection={connection}"))
        .await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_run_that_was_killed_as_it_verified_looks_before_it_verifies_again() {
    let (app, infobip, mut hears, connection) = played().await;
    let connection = connection.as_str();
    let csv = Csv::new(connection, "44,7796344121,Shop 1,\n");
    let (fine, said) = run(&app, connection, &csv, &[]).await;
    assert!(fine && said.contains("1/1 code sent"), "{said}");
    let (fine, said) = run(&app, connection, &csv, &["--resend"]).await;
    assert!(fine && said.contains("1/1 code sent"), "{said}");
    assert_eq!(infobip.is.lock().unwrap().resent, 1);
    assert_eq!(hears.recv().await.unwrap(), "447796344121");

    infobip.hang_at("447796344121", true);
    csv.write(&format!("44,7796344121,Shop 1,{CODE}\n"));
    let mut first = command(&app, connection, &csv.0, &[]).spawn().unwrap();
    assert_eq!(hears.recv().await.unwrap(), "447796344121");
    first.kill().await.unwrap();
    assert!(
        csv.state().contains(r#""step":"verifying""#),
        "{}",
        csv.state()
    );
    until(&app, connection, &csv, "1/1 registered").await;
    let is = infobip.is.lock().unwrap();
    assert_eq!(
        (is.verified, is.resent),
        (1, 1),
        "asked, and not done again"
    );
}
