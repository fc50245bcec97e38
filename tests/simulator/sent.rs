//! What the service asks of a provider, as `tests/sent/` has it, is what the simulator takes for
//! that provider's requests: the two share no code.

use serde_json::{Map, Value};
use twotick::simulator::Dialect;

use crate::support::*;

async fn takes(dialect: Dialect, file: &str) {
    let scene = Scene::start(config()).await;
    let file: Map<String, Value> = serde_json::from_str(file).unwrap();
    let mut taken = 0;
    for (n, (name, sent)) in file.iter().enumerate() {
        // What Meta may add one day is not in the simulator either, nor are groups.
        let is_new = name.ends_with("that is new") || name == "text to a group";
        let Some(path) = sent["path"].as_str().filter(|_| !is_new) else {
            continue;
        };
        let body = sent["body"]
            .to_string()
            .replace("msg_7.1", &format!("msg_7.{n}"));
        let body = serde_json::from_str(&body).unwrap();
        let (http, answer) = scene.answer(dialect, &format!("/{path}"), &body).await;
        assert_eq!(http, 200, "{name}: {answer}");
        taken += 1;
    }
    assert!(taken >= 30, "{taken}");
}

#[tokio::test]
async fn metas_requests_are_taken() {
    takes(Dialect::Meta, include_str!("../sent/meta.json")).await;
}

#[tokio::test]
async fn dialog360s_requests_are_taken() {
    takes(Dialect::Dialog360, include_str!("../sent/dialog360.json")).await;
}

#[tokio::test]
async fn on_premises_requests_are_taken() {
    let file = include_str!("../sent/dialog360_onprem.json");
    takes(Dialect::Dialog360Onprem, file).await;
}

#[tokio::test]
async fn infobips_requests_are_taken() {
    takes(Dialect::Infobip, include_str!("../sent/infobip.json")).await;
}
