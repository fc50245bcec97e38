//! Infobip's subscriptions: events of a channel, with a profile that says where they go and which
//! headers they bring, and a security setting that the profile names. What is made here is named
//! after the connection, and nobody else's is touched.

use serde_json::{Value, json};

use super::{Found, Level, Ours, Place, Wanted, ask, fields, text};
use crate::model::proof::{Hash, Proof, ProofBy};
use crate::provider::operations::{Ask, subscriptions as op};
use secrecy::ExposeSecret;

/// What Infobip is to tell: all that becomes facts here.
pub const EVENTS: [&str; 5] = [
    "DELIVERY",
    "SEEN",
    "INBOUND_MESSAGE",
    "TEMPLATE_UPDATE",
    "MARKETING_SUBSCRIPTION_UPDATE",
];

/// What a subscription of WhatsApp may be to ("Subscriptions management"). What else it names
/// Infobip takes, and tells nothing of.
pub const ALL_EVENTS: [&str; 14] = [
    "ACCOUNT_REGISTRATION",
    "ACCOUNT_UPDATE_NOTIFICATION",
    "BILLING",
    "BUSINESS_APP_CONTACT_SYNC",
    "BUSINESS_APP_MESSAGE_ECHO",
    "BUSINESS_APP_MESSAGE_HISTORY",
    "CLICK",
    "DELIVERY",
    "IDENTITY_CHANGE",
    "INBOUND_MESSAGE",
    "MARKETING_SUBSCRIPTION_UPDATE",
    "PAYMENT_STATUS",
    "SEEN",
    "TEMPLATE_UPDATE",
];

/// What a profile may have that is not ours: an update without it would take it away.
const NOT_OURS: [&str; 9] = [
    "clientCertificateId",
    "connectTimeout",
    "enabledSSLProtocols",
    "maxBucketSize",
    "rateLimit",
    "readTimeout",
    "responseBodyRegex",
    "responseRegex",
    "windowSize",
];

/// Elements of a page.
const PAGE: &str = "100";

/// The one security setting that a profile can have: a signature before a password.
pub fn security(proofs: &[Proof]) -> Option<Value> {
    let secret = |proof: &Proof| Some(proof.secrets.first()?.expose_secret().to_owned());
    let hmac = proofs.iter().find_map(|proof| match &proof.by {
        ProofBy::Signature { hash, .. } => Some(json!({"type": "HMAC", "credentials":
            {"secretKey": secret(proof)?, "algorithm": algorithm(*hash)}})),
        _ => None,
    });
    let basic = || {
        let proof = proofs.iter().find(|proof| proof.by == ProofBy::Basic)?;
        let pair = secret(proof)?;
        let (username, password) = pair.split_once(':')?;
        Some(json!({"type": "BASIC", "credentials":
            {"username": username, "password": password}}))
    };
    hmac.or_else(basic)
}

const fn algorithm(hash: Hash) -> &'static str {
    match hash {
        Hash::Md5 => "HMAC_MD5",
        Hash::Sha1 => "HMAC_SHA_1",
        Hash::Sha224 => "HMAC_SHA_224",
        Hash::Sha256 => "HMAC_SHA_256",
        Hash::Sha384 => "HMAC_SHA_384",
        Hash::Sha512 => "HMAC_SHA_512",
    }
}

/// A page of subscriptions.
pub fn list(place: &Place, page: usize) -> Ask {
    ask(&op::READ_EVENTS, Level::Events, place)
        .query("page", Some(page.to_string()))
        .query("size", Some(PAGE))
}

/// What a page has, and whether there is another.
pub fn page(answer: &Value, page: usize) -> Option<(Vec<Value>, bool)> {
    let list = answer["results"].as_array()?.clone();
    let pages = answer["paging"]["totalPages"].as_u64().unwrap_or(1);
    Some((list, (page as u64) + 1 < pages))
}

/// The profile that a subscription names.
pub fn read_profile(place: &Place, subscription: &Value) -> Option<Ask> {
    let mut ask = ask(&op::READ_PROFILE, Level::Events, place);
    let profile = text(&subscription["profile"], "profileId")?;
    for name in &mut ask.names {
        if name.0 == "own" {
            name.1.clone_from(&profile);
        }
    }
    Some(ask)
}

/// The profile of the connection's own.
pub fn read_own_profile(place: &Place) -> Ask {
    ask(&op::READ_PROFILE, Level::Events, place)
}

/// A subscription and its profile.
pub fn found(subscription: Value, profile: Value) -> Option<Found> {
    let events = subscription["events"].as_array().into_iter().flatten();
    // An event is its name, or an object with the form that it is told in.
    let name = |event: &Value| {
        let name = event.as_str().or_else(|| event["event"].as_str());
        name.map(str::to_owned)
    };
    let headers = profile["headers"].as_object().into_iter().flatten();
    let headers = headers
        .filter_map(|(name, value)| Some((name.to_ascii_lowercase(), value.as_str()?.to_owned())));
    Some(Found {
        level: Level::Events,
        id: text(&subscription, "subscriptionId")?,
        waba: None,
        url: text(&profile["webhook"], "notifyUrl"),
        headers: Some(headers.collect()),
        active: true,
        events: Some(events.filter_map(name).collect()),
        answer: json!({"subscription": subscription, "profile": profile}),
    })
}

fn profile(ours: &Ours) -> Value {
    let is_basic = ours
        .security
        .as_ref()
        .is_some_and(|it| it["type"] == "BASIC");
    let headers = ours.headers.iter();
    // Infobip writes this one itself.
    let headers = headers.filter(|(name, _)| !(is_basic && *name == "authorization"));
    let headers: serde_json::Map<_, _> = headers
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    json!({"webhook": {"notifyUrl": ours.url, "contentType": "application/json"},
        "headers": headers})
}

fn events(wanted: &Wanted, known: &[String]) -> Vec<String> {
    fields(wanted, known, &EVENTS)
}

/// Makes all of it at once.
pub fn create(place: &Place, ours: &Ours, wanted: &Wanted) -> Ask {
    let own = place.own.as_str();
    let mut profile = profile(ours);
    profile["profileId"] = own.into();
    if let Some(security) = &ours.security {
        profile["security"] = security.clone();
        profile["security"]["authId"] = own.into();
    }
    ask(&op::CREATE_EVENTS, Level::Events, place).body(json!({
        "subscriptionId": own, "name": "twotick", "events": events(wanted, &[]),
        "profile": profile,
    }))
}

/// Makes the subscription alone: what it had before is there.
pub fn create_with_profile(place: &Place, wanted: &Wanted) -> Ask {
    let own = place.own.as_str();
    ask(&op::CREATE_EVENTS, Level::Events, place).body(json!({
        "subscriptionId": own, "name": "twotick", "events": events(wanted, &[]),
        "profile": {"profileId": own},
    }))
}

/// Brings the security setting up to date; makes it, where it is not there.
pub fn write_security(place: &Place, security: &Value, is_new: bool) -> Ask {
    let mut body = security.clone();
    let operation = match is_new {
        true => {
            body["authId"] = place.own.as_str().into();
            &op::CREATE_SECURITY
        }
        false => &op::UPDATE_SECURITY,
    };
    ask(operation, Level::Events, place).body(body)
}

/// Brings the profile up to date, of which nothing else is lost.
pub fn update_profile(place: &Place, known: &Value, ours: &Ours) -> Ask {
    let mut profile = profile(ours);
    for name in NOT_OURS {
        if let Some(value) = known.get(name).filter(|it| !it.is_null()) {
            profile[name] = value.clone();
        }
    }
    if ours.security.is_some() {
        profile["security"] = json!({"authId": place.own});
    }
    ask(&op::UPDATE_PROFILE, Level::Events, place).body(profile)
}

/// Brings the subscription up to date, of which nothing else is lost.
pub fn update(place: &Place, known: &Found, wanted: &Wanted) -> Ask {
    let told = known.events.as_deref().unwrap_or_default();
    let mut body = json!({"name": "twotick", "events": events(wanted, told),
        "profile": {"profileId": place.own}});
    let subscription = &known.answer["subscription"];
    for name in ["criteria", "resources", "users"] {
        if let Some(value) = subscription.get(name).filter(|it| !it.is_null()) {
            body[name] = value.clone();
        }
    }
    ask(&op::UPDATE_EVENTS, Level::Events, place).body(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::operations::Body;

    #[test]
    fn what_an_operator_set_of_a_profile_stays_as_it_is() {
        let known = json!({"profileId": "twotick-con_1", "maxBucketSize": 500, "rateLimit": null,
            "clientCertificateId": "mine", "headers": {"X-Old": "1"}});
        let ours = Ours::new("https://ours.test/webhooks/con_1", "", &[]);
        let ask = update_profile(&Place::default(), &known, &ours);
        let Some(Body::Json(said)) = ask.body else {
            panic!("{:?}", ask.body);
        };
        assert_eq!(said["maxBucketSize"], 500);
        assert_eq!(said["clientCertificateId"], "mine");
        assert!(said.get("rateLimit").is_none() && said["headers"]["X-Old"].is_null());
        assert_eq!(said["webhook"]["notifyUrl"], ours.url);
    }
}
