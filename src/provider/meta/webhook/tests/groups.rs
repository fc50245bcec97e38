//! Groups.

use super::*;

#[test]
fn participants_have_one_shape_in_all_spellings() {
    for name in ["group_participants_update", "group_participant_update"] {
        for kind in ["group_participants_remove", "group_remove_participants"] {
            let body = with_number(
                name,
                json!({"groups": [{"timestamp": "1763773100",
                "group_id": "Y2Fw", "type": kind, "initiated_by": "participant",
                "removed_participants": [{"wa_id": "15550190051", "user_id": "US.12"}, "15550190052"],
                "failed_participants": [{"input": "1", "errors": [{"code": 131_026, "error_data": {"details": "d"}}]}]}]}),
            );
            shows(
                &body,
                "group.participants",
                &json!({"group_id": "Y2Fw", "type": "group_participants_remove", "initiated_by": "participant",
                    "removed_participants": [{"user": "15550190051", "user_id": "US.12"}, {"user": "15550190052"}],
                    "failed_participants": [{"input": "1", "errors": [{"code": 131_026, "details": "d"}]}]}),
            );
            assert_eq!(seconds(only(&decoded(&body))), Some(1_763_773_100));
        }
    }
}

#[test]
fn each_field_has_a_type() {
    for (name, r#type) in [
        ("group_lifecycle_update", "group.lifecycle"),
        ("group_settings_update", "group.settings"),
        ("group_status_update", "group.status"),
    ] {
        let group = json!({"group_id": "Y2Fw", "type": "group_suspend", "subject": "s",
            "profile_picture": {"mime_type": "image/jpeg", "update_successful": true}});
        shows(
            &with_number(name, json!({"groups": [group]})),
            r#type,
            &group,
        );
    }
}
