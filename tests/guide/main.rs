//! The pages of `docs/guide` say what is: their commands are run as they stand there, in the order of
//! its list, against processes that they start. Every fenced block is one of these commands, or a file
//! that they use.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod verify;

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use twotick::postgres::TestServer;
use twotick::store;

/// Longer than all pages take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pages in the order of the list that the first has.
fn pages() -> Vec<PathBuf> {
    let folder = root().join("docs/guide");
    let first = folder.join("README.md");
    let list = std::fs::read_to_string(&first).unwrap();
    let links = list.split("](").skip(1).filter_map(|rest| {
        let (link, _) = rest.split_once(')')?;
        link.ends_with(".md").then(|| folder.join(link))
    });
    let pages: Vec<_> = std::iter::once(first).chain(links).collect();
    let files = std::fs::read_dir(&folder).unwrap();
    for file in files.map(|file| file.unwrap().path()) {
        assert!(pages.contains(&file), "{} is in no list", file.display());
    }
    pages
}

/// A fenced block: what stands behind its fence, and its text.
fn blocks(page: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(page).unwrap();
    let mut blocks: Vec<(String, String)> = Vec::new();
    let mut is_open = false;
    for line in text.lines() {
        match (line.strip_prefix("```"), is_open) {
            (Some(says), false) => {
                blocks.push((says.to_owned(), String::new()));
                is_open = true;
            }
            (Some(_), true) => is_open = false,
            (None, true) => writeln!(blocks.last_mut().unwrap().1, "{line}").unwrap(),
            (None, false) => {}
        }
    }
    blocks
}

/// All commands, each page's announced; files are written into the folder.
fn script(folder: &Path) -> String {
    let mut script = String::from(
        "set -euo pipefail\n\
         trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n\
         trap 'echo \"FAILED: $BASH_COMMAND\" >&2' ERR\n",
    );
    for page in pages() {
        let name = page.file_name().unwrap().to_string_lossy().into_owned();
        writeln!(script, "echo '== {name}' >&2").unwrap();
        for (says, text) in blocks(&page) {
            match (says.as_str(), says.split_once(" file=")) {
                ("sh", _) => script.push_str(&text),
                (_, Some(("rust", file))) => {
                    let kept = std::fs::read_to_string(root().join(file)).unwrap();
                    assert_eq!(text, kept, "{name} has another {file}");
                }
                (_, Some((_, file))) => std::fs::write(folder.join(file), text).unwrap(),
                _ => panic!("{name}: a block of `{says}` that nobody would run"),
            }
        }
    }
    script
}

/// Ports that nobody listens on.
fn free_ports<const N: usize>() -> [u16; N] {
    let bound = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    bound.map(|listener| listener.local_addr().unwrap().port())
}

#[tokio::test]
async fn every_command_of_the_guide_does_what_it_says() {
    let server = TestServer::shared(|url| async move { store::migrate(&url).await });
    let database = server.await.unwrap().create_database().await.unwrap();
    let name = format!("twotick-guide-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let mut script = script(&folder);
    let written = ["8080", "4010", "9801", "9802"];
    for (written, free) in written.into_iter().zip(free_ports::<4>()) {
        script = script.replace(written, &free.to_string());
    }
    std::fs::write(folder.join("all.sh"), script).unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_twotick")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let log = std::fs::File::create(folder.join("all.log")).unwrap();
    let mut running = tokio::process::Command::new("bash")
        .arg("all.sh")
        .current_dir(&folder)
        .env("PATH", path)
        .env("DATABASE_URL", &database.url)
        .stdout(Stdio::from(log.try_clone().unwrap()))
        .stderr(Stdio::from(log))
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let ended = tokio::time::timeout(PATIENCE, running.wait()).await;
    let said = std::fs::read_to_string(folder.join("all.log")).unwrap();
    let log = std::fs::read_to_string(folder.join("serve.log")).unwrap_or_default();
    assert!(
        ended.is_ok_and(|ended| ended.unwrap().success()),
        "{said}\n{log}"
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_guides_rust_takes_what_is_signed_and_nothing_else() {
    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let (id, sent, body) = ("evt_1", 1_762_335_000, b"{\"id\":\"evt_1\"}");
    let signed = standardwebhooks::Webhook::new(SECRET).unwrap();
    let signature = signed.sign(id, sent, body).unwrap();
    let takes = |secret: &str, signatures: &str, body: &[u8], now: i64| {
        verify::is_ours(secret, id, &sent.to_string(), signatures, body, now)
    };
    assert!(takes(SECRET, &signature, body, sent + 10));
    assert!(takes(SECRET, &format!("v1,AAAA {signature}"), body, sent));
    assert!(!takes(SECRET, &signature, b"{}", sent));
    assert!(!takes(SECRET, &signature, body, sent + 301));
    assert!(!takes("whsec_AAAA", &signature, body, sent));
    assert!(!takes(SECRET, "v1,AAAA", body, sent));
}
