//! Templates that live in a folder of files: the real binary, as an operator runs it, against a
//! running service.

use std::path::Path;
use std::process::Output;

use reqwest::Method;
use serde_json::{Value, json};
use twotick::simulator::{self, Delays};

use crate::managed::{connected, definition, start};
use crate::support::*;

/// Runs `twotick templates` with the service's address and key.
async fn templates(app: &App, arguments: &[&str]) -> (bool, String) {
    templates_of(app, &app.connection, arguments).await
}

/// The same, of a connection.
async fn templates_of(app: &App, connection: &str, arguments: &[&str]) -> (bool, String) {
    let ran: Output = tokio::process::Command::new(env!("CARGO_BIN_EXE_twotick"))
        .arg("templates")
        .args(arguments)
        .args(["--connection", connection])
        .env("TWOTICK_URL", &app.url)
        .env("TWOTICK_API_KEY", &app.key)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    let errors = String::from_utf8_lossy(&ran.stderr);
    (ran.status.success(), format!("{said}{errors}"))
}

fn write(folder: &Path, file: &str, content: &Value) {
    std::fs::write(folder.join(file), content.to_string()).unwrap();
}

#[tokio::test]
async fn a_folder_is_compared_and_applied_and_applying_it_again_does_nothing() {
    let simulated = simulator::Config {
        delays: Delays {
            template_review_ms: 20,
            ..Delays::default()
        },
        ..simulator::Config::default()
    };
    let app = App::start_with(|_| {}, simulated).await;
    let url = format!("{}/webhooks/{}", app.url, app.connection);
    let target = json!({"url": url, "app_secret": SECRET});
    app.control_send(Method::PUT, "webhook", target).await;
    let folder = std::env::temp_dir().join(format!("twotick-templates-{}", app.connection));
    std::fs::create_dir_all(&folder).unwrap();
    let dir = folder.to_str().unwrap();
    write(
        &folder,
        "order_ready.en_GB.json",
        &definition("order_ready"),
    );
    let mut wrong = definition("order_late");
    wrong["components"][0]["text"] = "x".repeat(1025).into();
    write(&folder, "order_late.en_GB.json", &wrong);

    let (fine, said) = templates(&app, &["diff", dir]).await;
    assert!(!fine, "{said}");
    assert!(said.contains("create     order_ready en_GB"), "{said}");
    assert!(said.contains("invalid    order_late en_GB"), "{said}");
    assert!(
        said.contains("components[0].text: expected at most 1024 characters"),
        "{said}"
    );
    assert_eq!(
        app.control("stats").await["managed"],
        json!({}),
        "nothing was changed"
    );

    let (fine, said) = templates(&app, &["apply", dir]).await;
    assert!(
        !fine && said.contains("created    order_ready en_GB"),
        "{said}"
    );
    write(&folder, "order_late.en_GB.json", &definition("order_late"));
    let approved = |name: &'static str| {
        let path = format!("/v1/templates?name={name}&status=approved");
        let app = &app;
        async move {
            app.get_until(&path, |it| it["data"] != json!([])).await;
        }
    };
    approved("order_ready").await;
    let (fine, said) = templates(&app, &["apply", dir]).await;
    assert!(
        fine && said.contains("none       order_ready en_GB"),
        "{said}"
    );
    assert!(said.contains("created    order_late en_GB"), "{said}");
    approved("order_late").await;
    let (fine, said) = templates(&app, &["diff", dir, "--exit-code"]).await;
    assert!(fine && !said.contains("create"), "{said}");

    let mut changed = definition("order_ready");
    changed["components"][1]["text"] = "Shop 8".into();
    write(&folder, "order_ready.en_GB.json", &changed);
    let (fine, said) = templates(&app, &["diff", dir, "--exit-code"]).await;
    assert!(!fine, "{said}");
    assert!(
        said.contains(r#"FOOTER.text: "Shop 7" -> "Shop 8""#),
        "{said}"
    );
    let (fine, said) = templates(&app, &["apply", dir]).await;
    assert!(
        fine && said.contains("edited     order_ready en_GB"),
        "{said}"
    );
    let (fine, said) = templates(&app, &["apply", dir]).await;
    assert!(
        fine && said.contains("none       order_ready en_GB"),
        "{said}"
    );
    // The day's one edit is used up: it is said, and not tried.
    approved("order_ready").await;
    write(
        &folder,
        "order_ready.en_GB.json",
        &definition("order_ready"),
    );
    let (fine, said) = templates(&app, &["apply", dir]).await;
    assert!(
        !fine && said.contains("wait       order_ready en_GB"),
        "{said}"
    );
    assert!(said.contains("it may be edited again from"), "{said}");
    let (fine, said) = templates(&app, &["sync"]).await;
    assert!(fine && said.contains("2 templates"), "{said}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_folder_is_applied_at_each_solution_provider_as_far_as_it_goes() {
    let app = start(true).await;
    for (n, edits) in [(0, false), (1, false), (2, true)] {
        let (connection, _) = connected(&app, n).await;
        let folder = std::env::temp_dir().join(format!("twotick-templates-{connection}"));
        std::fs::create_dir_all(&folder).unwrap();
        let run = async |arguments: &[&str]| {
            let arguments = [arguments, &[folder.to_str().unwrap()]].concat();
            templates_of(&app, &connection, &arguments).await
        };
        let name = format!("order_ready_{n}");
        let mut own = definition(&name);
        write(&folder, "order_ready.en_GB.json", &own);
        let (fine, said) = run(&["apply"]).await;
        let created = format!("created    {name} en_GB");
        assert!(fine && said.contains(&created), "{n}: {said}");
        let approved = async {
            loop {
                let (fine, said) = templates_of(&app, &connection, &["sync"]).await;
                assert!(fine, "{said}");
                let mut lines = said.lines().filter(|line| line.starts_with(&name));
                if lines.any(|line| line.contains("APPROVED")) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, approved).await.unwrap();
        let (fine, said) = run(&["apply"]).await;
        assert!(fine && said.contains("none "), "{n}: {said}");
        own["components"][1]["text"] = "Shop 8".into();
        write(&folder, "order_ready.en_GB.json", &own);
        let (fine, said) = run(&["apply"]).await;
        let word = if edits { "edited " } else { "impossible " };
        assert_eq!((fine, said.contains(word)), (edits, true), "{n}: {said}");
        if edits {
            let (fine, said) = run(&["apply"]).await;
            assert!(fine && said.contains("none "), "{n}: {said}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
