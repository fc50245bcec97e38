//! Templates, as webhooks tell of them.

use serde_json::{Value, json};

use crate::support::{App, sign};

fn update(event: &str, time: u64) -> String {
    json!({"object": "whatsapp_business_account", "entry": [{"id": "204", "time": time, "changes": [{
        "field": "message_template_status_update", "value": {
            "event": event, "message_template_id": 99, "message_template_name": "order_ready",
            "message_template_language": "en-GB", "reason": "NONE",
            "other_info": {"title": "FIRST_PAUSE", "description": "x"},
        },
    }]}]})
    .to_string()
}

#[tokio::test]
async fn a_templates_state_and_its_history_can_be_read() {
    let app = App::start().await;
    let connection = app.connection().await;
    for (event, time) in [("APPROVED", 1_750_000_000), ("PAUSED", 1_750_000_100)] {
        let body = update(event, time);
        app.webhook(&connection, &body, &sign(&body)).await.ok();
    }
    let list = app
        .get("/v1/templates?name=order_ready&status=paused")
        .await
        .ok();
    let shown = &list["data"][0];
    assert_eq!(shown["language"], "en_GB");
    assert_eq!(shown["waba_id"], "204");
    assert_eq!(shown["sendable"], false);
    assert_eq!(
        shown["pause"],
        json!({"title": "FIRST_PAUSE", "until": null})
    );
    assert_eq!(
        app.get("/v1/templates?status=approved").await.ok()["data"],
        json!([])
    );
    let path = format!("/v1/templates/{}", shown["id"].as_str().unwrap());
    assert_eq!(&app.get(&path).await.ok(), shown);
    let history = app.get(&format!("{path}/history")).await.ok();
    let events: Vec<&Value> = history["data"].as_array().unwrap().iter().collect();
    assert_eq!(events.len(), 2);
    assert_eq!(events[1]["type"], "template.status");
    assert_eq!(events[1]["subject"], shown["id"]);
    assert_eq!(events[1]["data"]["event"], "PAUSED");
}
