use serde_json::{Value, json};

use crate::provider::content::{Faults, Place};

/// Where something is wrong.
fn faults(definition: &Value) -> Vec<String> {
    let faults = Faults::default();
    super::check(&Place::new("", Some(definition), &faults));
    let mut fields: Vec<_> = faults.into_vec().into_iter().map(|it| it.field).collect();
    fields.dedup();
    fields
}

fn with(category: &str, components: Value) -> Value {
    json!({"name": "offer", "language": "en_GB", "category": category, "components": components})
}

fn body() -> Value {
    json!({"type": "BODY", "text": "Hi {{1}} there", "example": {"body_text": [["Ana"]]}})
}

fn button(kind: &str) -> Value {
    json!({"type": kind, "text": "x"})
}

#[test]
fn what_may_be_said_is_taken() {
    let card = json!({"components": [
        {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": ["4::aW"]}},
        {"type": "BODY", "text": "A card"},
        {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "More"}]},
    ]});
    let named = json!({"type": "body", "text": "Hi {{first_name}}, hello",
        "example": {"body_text_named_params": [{"param_name": "first_name", "example": "Ana"}]}});
    let mut by_name = with("MARKETING", json!([named]));
    by_name["parameter_format"] = "NAMED".into();
    let mut login = with(
        "AUTHENTICATION",
        json!([
            {"type": "BODY", "add_security_recommendation": true},
            {"type": "FOOTER", "code_expiration_minutes": 10},
            {"type": "BUTTONS", "buttons": [{"type": "OTP", "otp_type": "ONE_TAP", "text": "Copy Code",
                "autofill_text": "Autofill", "package_name": "com.example.luckyshrub",
                "signature_hash": "K8a%2FAINcGX7"}]},
        ]),
    );
    login["message_send_ttl_seconds"] = 60.into();
    for taken in [
        with("UTILITY", json!([body()])),
        by_name,
        login,
        with(
            "UTILITY",
            json!([{"type": "HEADER", "format": "LOCATION"}, body()]),
        ),
        with(
            "MARKETING",
            json!([body(), {"type": "CAROUSEL", "cards": [card]}]),
        ),
        with(
            "MARKETING",
            json!([
                body(),
                {"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": "Ends soon", "has_expiration": true}},
                {"type": "BUTTONS", "buttons": [{"type": "COPY_CODE", "example": "CARIBE25"},
                    {"type": "URL", "text": "Book", "url": "https://shop.example.org/?c={{1}}",
                        "example": ["https://shop.example.org/?c=7"]}]},
            ]),
        ),
        json!({"name": "from_library", "language": "en", "category": "UTILITY",
            "library_template_name": "delivery_update_1"}),
    ] {
        assert_eq!(faults(&taken), Vec::<String>::new(), "{taken:#}");
    }
}

#[test]
fn what_is_wrong_is_named_by_its_place() {
    let buttons = |buttons: Value| {
        with(
            "MARKETING",
            json!([body(), {"type": "BUTTONS", "buttons": buttons}]),
        )
    };
    let text = |text: &str| with("UTILITY", json!([{"type": "BODY", "text": text}]));
    let card = |part: Value| {
        let card = json!({"components": [part]});
        with(
            "MARKETING",
            json!([body(), {"type": "CAROUSEL", "cards": [card]}]),
        )
    };
    let many: Vec<_> = (0..11).map(|_| button("QUICK_REPLY")).collect();
    let at = "components[1].buttons";
    for (wrong, field) in [
        (with("PROMOTION", json!([body()])), "category"),
        (
            json!({"name": "Order Ready", "language": "en", "category": "UTILITY", "components": [body()]}),
            "name",
        ),
        (
            json!({"name": "a", "language": "en-GB", "category": "UTILITY", "components": [body()]}),
            "language",
        ),
        (
            json!({"name": "a", "language": "en", "category": "UTILITY", "components": [body()], "componets": []}),
            "componets",
        ),
        (with("UTILITY", json!([])), "components"),
        (
            with("UTILITY", json!([{"type": "FOOTER", "text": "x"}])),
            "components",
        ),
        (
            with("UTILITY", json!([body(), body()])),
            "components[1].type",
        ),
        (
            with("UTILITY", json!([{"type": "BANNER"}, body()])),
            "components[0].type",
        ),
        (text(&"x".repeat(1025)), "components[0].text"),
        (text("Hi {{2}} and {{1}} you"), "components[0].text"),
        (text("Hi {{1}} and {{3}} you"), "components[0].text"),
        (text("{{1}} is here"), "components[0].text"),
        (text("Hi {{1}} you"), "components[0].example.body_text"),
        (text("Hi {{first_name}} you"), "components[0].text"),
        (
            with(
                "UTILITY",
                json!([{"type": "HEADER", "format": "IMAGE"}, body()]),
            ),
            "components[0].example.header_handle",
        ),
        (
            with(
                "UTILITY",
                json!([{"type": "HEADER", "format": "TEXT", "text": "x".repeat(61)}, body()]),
            ),
            "components[0].text",
        ),
        (
            with(
                "UTILITY",
                json!([body(), {"type": "FOOTER", "text": "x".repeat(61)}]),
            ),
            "components[1].text",
        ),
        (buttons(json!(many)), at),
        (
            buttons(
                json!([button("QUICK_REPLY"), {"type": "PHONE_NUMBER", "text": "a", "phone_number": "1"}, button("QUICK_REPLY")]),
            ),
            at,
        ),
        (
            buttons(json!([{"type": "URL", "text": "a", "url": "https://x/{{1}}"}])),
            "components[1].buttons[0].example",
        ),
        (
            buttons(json!([{"type": "QUICK_REPLY", "text": "x".repeat(26)}])),
            "components[1].buttons[0].text",
        ),
        (
            buttons(json!([{"type": "OTP", "otp_type": "COPY_CODE"}])),
            "components[1].buttons[0].type",
        ),
        (
            buttons(json!([{"type": "FLOW", "text": "a"}])),
            "components[1].buttons[0]",
        ),
        (
            with(
                "UTILITY",
                json!([body(), {"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": "x"}}]),
            ),
            "components[1].type",
        ),
        (
            with("AUTHENTICATION", json!([{"type": "BODY"}])),
            "components",
        ),
        (
            with(
                "MARKETING",
                json!([body(), {"type": "FOOTER", "text": "x"},
                    {"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": "x"}}]),
            ),
            "components",
        ),
        (
            buttons(json!([{"type": "PHONE_NUMBER", "text": "a", "phone_number": "abc"}])),
            "components[1].buttons[0].phone_number",
        ),
        (
            buttons(json!([{"type": "VOICE_CALL", "text": "a", "ttl_minutes": 60}])),
            "components[1].buttons[0].ttl_minutes",
        ),
        (
            card(json!({"type": "HEADER", "format": "DOCUMENT",
                "example": {"header_handle": ["4::aW"]}})),
            "components[1].cards[0].components[0].format",
        ),
        (
            card(json!({"type": "BODY", "text": "x".repeat(161)})),
            "components[1].cards[0].components[0].text",
        ),
        (
            with(
                "AUTHENTICATION",
                json!([{"type": "BODY"}, {"type": "BUTTONS", "buttons": [{"type": "OTP", "otp_type": "ZERO_TAP"}]}]),
            ),
            "components[1].buttons[0].zero_tap_terms_accepted",
        ),
    ] {
        let found = faults(&wrong);
        assert!(
            found.iter().any(|known| known == field),
            "{field}: {found:?}\n{wrong:#}"
        );
    }
}

#[test]
fn an_edit_says_only_what_changes() {
    let faults = |change: &Value, category: Option<&str>| {
        let faults = Faults::default();
        super::check_edit(&Place::new("", Some(change), &faults), category);
        faults.into_vec().len()
    };
    assert_eq!(
        faults(&json!({"category": "MARKETING"}), Some("UTILITY")),
        0
    );
    assert_eq!(
        faults(
            &json!({"message_send_ttl_seconds": 60}),
            Some("AUTHENTICATION")
        ),
        0
    );
    assert_eq!(
        faults(&json!({"message_send_ttl_seconds": 60}), Some("MARKETING")),
        1
    );
    assert_eq!(faults(&json!({"components": []}), None), 1);
}
