//! Calls.

use super::*;

#[test]
fn statuses_of_calls_are_no_statuses_of_messages() {
    for kind in [json!("call"), json!(null), json!("message")] {
        let body = with_number(
            "calls",
            json!({"statuses": [{"id": "wacid.A", "type": kind,
            "status": "RINGING", "timestamp": "1763772900", "recipient_id": 15_550_190_044_u64}]}),
        );
        shows(
            &body,
            "call.status",
            &json!({"call_id": "wacid.A", "status": "RINGING", "recipient": "15550190044"}),
        );
        assert_eq!(seconds(only(&decoded(&body))), Some(1_763_772_900));
    }
}

#[test]
fn calls_are_shown_with_what_came_along() {
    let session = json!({"sdp_type": "offer", "sdp": "v=0"});
    let body = with_number(
        "calls",
        json!({"calls": [{"id": "wacid.A", "event": "terminate",
        "timestamp": "1763772900", "direction": "USER_INITIATED", "from": "15550190044",
        "to": "15550142217", "session": session, "biz_opaque_callback_data": "x", "cta_payload": "p",
        "status": "Completed", "start_time": "1763772800", "end_time": 1_763_772_890, "duration": "90"}]}),
    );
    shows(
        &body,
        "call.event",
        &json!({"call_id": "wacid.A", "event": "terminate", "direction": "USER_INITIATED",
            "from": "15550190044", "recipient": "15550142217", "session": session,
            "callback_data": "x", "cta_payload": "p", "status": "COMPLETED",
            "started_at": "2025-11-22T00:53:20Z", "ended_at": "2025-11-22T00:54:50Z", "duration": 90}),
    );
}

#[test]
fn errors_beside_calls_are_the_senders() {
    shows(
        &with_number(
            "calls",
            json!({"errors": [{"code": 138_001, "message": "m"}]}),
        ),
        "sender.error",
        &json!({"code": 138_001, "title": "m"}),
    );
}
