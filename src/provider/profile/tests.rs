use serde_json::json;

use super::*;

fn account() -> Account<'static> {
    Account {
        api_version: "v25.0",
        waba_id: "",
        number: "441200000001",
    }
}

fn fields(provider: Provider, given: Value) -> Vec<String> {
    let faults = check(provider, &given).into_iter();
    faults.map(|fault| fault.field).collect()
}

#[test]
fn what_no_provider_takes_is_named_by_its_field() {
    let wrong = json!({"about": "x".repeat(140), "address": "x".repeat(257), "email": "nobody",
        "description": "x".repeat(513), "vertical": "BAKERY",
        "websites": ["https://a", "ftp://b", "https://c"]});
    let named = fields(Provider::Meta, wrong);
    let expected = [
        "about",
        "address",
        "description",
        "email",
        "websites",
        "websites[1]",
        "vertical",
    ];
    assert_eq!(named, expected);
    let fine = json!({"about": "Boilers, serviced.", "address": "", "email": "a@b.example",
        "websites": ["https://a.example"], "vertical": "PROF_SERVICES"});
    for provider in Provider::ALL {
        assert!(fields(provider, fine.clone()).is_empty());
    }
    assert_eq!(
        fields(Provider::Infobip, json!({"about": "x".repeat(131)})),
        ["about"]
    );
    assert_eq!(fields(Provider::Meta, json!({"about": ""})), ["about"]);
    assert!(fields(Provider::Meta, json!({"vertical": "ALCOHOL"})).is_empty());
    assert_eq!(
        fields(Provider::Infobip, json!({"vertical": "ALCOHOL"})),
        ["vertical"]
    );
}

#[test]
fn every_providers_answer_is_read_in_metas_words() {
    let nested = json!({"data": [{"business_profile": {"messaging_product": "whatsapp",
        "about": "Boilers", "websites": ["https://a.example"], "vertical": "RESTAURANT",
        "profile_picture_url": "https://pps.whatsapp.net/v/x"}}]});
    let flat = json!({"data": [nested["data"][0]["business_profile"]]});
    let read = profile(Provider::Meta, &[nested]).unwrap();
    assert_eq!(profile(Provider::Dialog360, &[flat]).unwrap(), read);
    assert_eq!(
        read.picture_url.as_deref(),
        Some("https://pps.whatsapp.net/v/x")
    );
    let infobip = json!({"about": "Boilers", "address": "", "description": "", "email": "",
        "vertical": "PROFESSIONAL_SERVICES", "websites": ["https://a.example"],
        "displayName": "Alder"});
    let infobip = profile(Provider::Infobip, &[infobip]).unwrap();
    assert_eq!(infobip.vertical.as_deref(), Some("PROF_SERVICES"));
    assert_eq!(infobip.display_name.as_deref(), Some("Alder"));
    let business = json!({"settings": {"business": {"profile": {"email": "a@b.example",
        "vertical": "Professional Services", "websites": []}}}});
    let text = json!({"settings": {"profile": {"about": {"text": "Boilers"}}}});
    let onprem = profile(Provider::Dialog360Onprem, &[business, text]).unwrap();
    assert_eq!(onprem.about.as_deref(), Some("Boilers"));
    assert_eq!(onprem.vertical.as_deref(), Some("PROF_SERVICES"));
    assert_eq!(profile(Provider::Meta, &[json!({"data": []})]), None);
}

#[test]
fn the_on_premises_api_is_told_the_about_text_apart() {
    let given = json!({"about": "Boilers", "vertical": "RETAIL"});
    let given = given.as_object().unwrap();
    let asks = update(Provider::Dialog360Onprem, &account(), given);
    let said: Vec<_> = asks
        .iter()
        .map(|ask| {
            let call = ask.operation.at(Provider::Dialog360Onprem).unwrap();
            format!(
                "{} {} {:?}",
                call.verb.as_str(),
                ask.address(&call),
                ask.body
            )
        })
        .collect();
    assert!(
        said[0].starts_with("POST v1/settings/business/profile"),
        "{said:?}"
    );
    assert!(said[0].contains("Shopping and Retail"), "{said:?}");
    assert!(
        said[1].starts_with("PATCH v1/settings/profile/about"),
        "{said:?}"
    );
}
