//! Numbers that are used in the Business app too.

use super::*;

fn history(value: Value) -> Value {
    with_number("history", value)
}

#[test]
fn a_history_is_read_message_by_message() {
    let message = |id: &str| {
        json!({"from": "15550142217", "to": "15550190044", "id": id, "timestamp": "1761000000",
            "type": "text", "text": {"body": "Thank you"}, "history_context": {"status": "READ"}})
    };
    let body = history(json!({"history": [{
        "metadata": {"phase": 1, "chunk_order": "2", "progress": 40},
        "threads": [{"id": "15550190044", "messages": [message("wamid.A"), 7, message("wamid.B")]}]}]}));
    let decoded = decoded(&body);
    assert_eq!(decoded.problems.len(), 1);
    assert_eq!(
        decoded.problems[0].item,
        "entry[0].changes[0].value.history[0].threads[0].messages[1]"
    );
    let found: Vec<_> = decoded
        .facts
        .iter()
        .map(|fact| (event::of(&fact.said), data(fact)))
        .collect();
    assert_eq!(
        found[0],
        (
            "history.chunk".into(),
            json!({"phase": 1, "chunk_order": 2, "progress": 40})
        )
    );
    let shown = json!({"provider_message_id": "wamid.A", "thread": "15550190044", "from": "15550142217",
        "recipient": "15550190044", "type": "text", "text": {"body": "Thank you"}, "status": "READ"});
    assert_eq!(found[1], ("history.message".into(), shown));
    assert_eq!(seconds(&decoded.facts[1]), Some(1_761_000_000));
    assert_eq!(found.len(), 3);
}

#[test]
fn a_history_that_was_not_shared_says_so() {
    shows(
        &history(
            json!({"history": [{"errors": [{"code": 2_593_109, "title": "t", "message": "t",
            "error_data": {"details": "History sharing is turned off"}}]}]}),
        ),
        "history.error",
        &json!({"code": 2_593_109, "title": "t", "details": "History sharing is turned off"}),
    );
}

#[test]
fn media_of_a_history_come_later() {
    shows(
        &history(
            json!({"messages": [{"id": "wamid.A", "from": "1", "type": "image",
            "image": {"id": 77, "mime_type": "image\\/jpeg"}}]}),
        ),
        "history.message",
        &json!({"provider_message_id": "wamid.A", "from": "1", "type": "image",
            "image": {"id": "77", "mime_type": "image\\/jpeg"}}),
    );
}

#[test]
fn what_is_written_in_the_app_is_an_echo() {
    for name in ["smb_message_echoes", "message_echoes"] {
        let body = with_number(
            name,
            json!({"message_echoes": [{"from": "15550142217",
            "to": "15550190044", "to_user_id": "US.7", "id": "wamid.A", "timestamp": "1763772600",
            "type": "revoke", "revoke": {"original_message_id": "wamid.O"}}]}),
        );
        shows(
            &body,
            "echo.revoke",
            &json!({"provider_message_id": "wamid.A", "from": "15550142217", "recipient": "15550190044",
                "recipient_user_id": "US.7", "type": "revoke", "revoke": {"original_message_id": "wamid.O"}}),
        );
        assert_eq!(only(&decoded(&body)).key, "wamid.A");
    }
}

#[test]
fn contacts_of_the_app() {
    let body = with_number(
        "smb_app_state_sync",
        json!({"state_sync": [{"type": "contact",
        "contact": {"full_name": "Ana Prieto", "first_name": "Ana", "phone_number": 15_550_190_044_u64},
        "action": "add", "metadata": {"timestamp": "1763772700"}}]}),
    );
    shows(
        &body,
        "contact.sync",
        &json!({"type": "contact", "action": "add", "full_name": "Ana Prieto", "first_name": "Ana",
            "phone_number": "15550190044"}),
    );
    assert_eq!(seconds(only(&decoded(&body))), Some(1_763_772_700));
}
