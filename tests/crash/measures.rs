//! What a running service measures is what the handbook explains, and the alerts and the board
//! ask for nothing else: a measure that is misspelt there would never fire.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Ground, PATIENCE, post_webhook};

const HANDBOOK: &str = include_str!("../../docs/OPERATIONS.md");
const ALERTS: &str = include_str!("../../deploy/prometheus/rules.yml");
const BOARD: &str = include_str!("../../deploy/grafana/twotick.json");

/// The measures that a text names.
fn named(text: &str) -> BTreeSet<&str> {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    text.match_indices("twotick_")
        .map(|(at, _)| {
            let name = &text[at..];
            let end = name.find(|c| !is_name(c)).unwrap_or(name.len());
            let name = &name[..end];
            // The series of a histogram.
            ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|series| name.strip_suffix(series))
                .unwrap_or(name)
        })
        .collect()
}

fn exported(metrics: &str) -> BTreeSet<&str> {
    metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect()
}

/// What `twotick health` says, as the image's health check asks it.
async fn asks_health(url: String) -> bool {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_twotick"));
    let ended = command.args(["health", "--url", &url]).output().await;
    ended.unwrap().status.success()
}

/// After some traffic, and after the first look at how things stand.
async fn measured() -> String {
    let ground = Ground::prepare().await;
    let service = ground.serve().await;
    let connection = ground.connect(&service, "http://127.0.0.1:9").await;
    let body = json!({"object": "whatsapp_business_account", "entry": []});
    let health = |path: &str| asks_health(format!("{}{path}", service.url));
    assert!(health("/health/ready").await);
    assert!(!health("/v1/messages").await, "401 is not well");
    let taken = post_webhook(&ground.client, &service.url, &connection, &body).await;
    assert_eq!(taken.unwrap(), 200);
    let measured = async {
        loop {
            let metrics = ground.metrics(&service).await;
            let read = ["sampled_at", "clock_ahead"];
            let is_read = |name| metrics.contains(&format!("\ntwotick_{name}_seconds "));
            if read.into_iter().all(is_read) {
                return metrics;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, measured).await;
    in_time.expect("how things stand was never read")
}

#[tokio::test]
async fn every_measure_is_explained_and_alerts_and_board_ask_for_no_other() {
    let metrics = measured().await;
    let exported = exported(&metrics);
    let explained: BTreeSet<_> = HANDBOOK
        .lines()
        .filter_map(|line| line.strip_prefix("| `twotick_"))
        .filter_map(|line| line.split(['`', '{']).next())
        .map(|name| format!("twotick_{name}"))
        .collect();
    let measured: BTreeSet<_> = exported.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(explained, measured);
    for text in [ALERTS, BOARD, HANDBOOK] {
        for name in named(text) {
            assert!(exported.contains(name), "nothing is measured as {name}");
        }
    }
    // What has never happened is 0 and not absent, so that its first time is seen.
    for series in [
        "twotick_webhooks_received_total 1",
        "twotick_webhooks_committed_total 1",
        "twotick_webhook_commit_seconds_count 1",
        "twotick_gate_wait_seconds_count 0",
        "twotick_webhooks_refused_total{reason=\"signature\"} 0",
        "twotick_posts_total{outcome=\"unknown\"} 0",
        "twotick_posts_refused_total{class=\"template_stops\"} 0",
        "twotick_messages_failed_total{class=\"retry\"} 0",
        "twotick_waiting_messages{reason=\"due\"} 0",
        "twotick_limit_wait_seconds_count{limit=\"rate\"} 0",
        "twotick_release_seconds_count 0",
        "twotick_sequences_held{reason=\"unknown\"} 0",
    ] {
        assert!(
            metrics.lines().any(|line| line == series),
            "{series}\n{metrics}"
        );
    }
}

#[test]
fn alerts_and_board_are_whole() {
    let board: Value = serde_json::from_str(BOARD).unwrap();
    for panel in board["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap_or(&Vec::new()) {
            assert_ne!(target["expr"].as_str().unwrap(), "", "{panel}");
        }
    }
    // Whoever is woken finds what to do: each alert has its heading in the handbook.
    let alerts = ALERTS
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    let mut n = 0;
    for alert in alerts {
        n += 1;
        assert!(
            HANDBOOK.contains(&format!("| `{alert}` |")),
            "{alert} is not explained"
        );
    }
    assert!(n > 0);
    let headings: BTreeSet<_> = HANDBOOK
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .map(str::to_lowercase)
        .collect();
    let runbooks = ALERTS
        .lines()
        .filter_map(|line| line.trim().strip_prefix("runbook: \"docs/OPERATIONS.md: "))
        .map(|heading| heading.trim_end_matches('"').to_owned());
    for runbook in runbooks {
        assert!(
            headings.contains(&runbook),
            "there is no heading `{runbook}`"
        );
    }
}
