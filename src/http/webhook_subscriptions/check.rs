//! What is wrong with a subscription as it is asked for, before the provider is asked.

use super::{Change, PartnerKey};
use crate::http::problem::ApiError;
use crate::http::{Api, permit, wording};
use crate::model::provider::Provider;
use crate::model::scope::Scope;
use crate::provider::subscriptions::infobip::ALL_EVENTS;
use crate::provider::subscriptions::{LONGEST_OVERRIDE, Level, Ours, proves_partner};
use crate::store::Connection;

/// The address that is to be told, if it can be one.
pub(super) fn check(
    connection: &Connection,
    level: Option<Level>,
    change: &Change,
    ours: Option<Ours>,
) -> Result<Ours, ApiError> {
    let ours = ours.ok_or_else(|| {
        ApiError::field("callback_url", "is needed: `http.public_url` is not set")
    })?;
    let is_address = reqwest::Url::parse(&ours.url)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let given = change.callback_url.as_deref().unwrap_or_default();
    if !is_address || given.contains(['?', '#']) {
        let message = "expected an address such as `https://twotick.example/webhooks/con_…`, \
                       without a query";
        return Err(ApiError::field("callback_url", message));
    }
    let is_override =
        level == Some(Level::Number) || (level == Some(Level::Account) && change.r#override);
    let meta = connection.provider == Provider::Meta;
    if meta && is_override && ours.url.chars().count() > LONGEST_OVERRIDE {
        let message = format!("Meta takes at most {LONGEST_OVERRIDE} characters");
        return Err(ApiError::field("callback_url", message));
    }
    if change.r#override && !(meta && level == Some(Level::Account)) {
        let message = "is for the account at Meta alone";
        return Err(ApiError::field("override", message));
    }
    let chooses = (meta && level == Some(Level::App)) || level == Some(Level::Events);
    if change.events.is_some() && !chooses {
        return Err(ApiError::field("events", "cannot be chosen here"));
    }
    if change.partner.is_some() && level.is_some() {
        let message = "is for the level `partner` at 360dialog alone";
        return Err(ApiError::field("partner", message));
    }
    let events = change.events.as_deref();
    if events.is_some_and(<[_]>::is_empty) {
        return Err(ApiError::field("events", "expected at least one"));
    }
    if connection.provider == Provider::Infobip {
        known_events(events.unwrap_or_default())?;
    }
    let of_dialog360 = ".360dialog.io";
    let is_theirs = |host: &str| host.ends_with(of_dialog360);
    if host(&connection.base_url).is_some_and(|(host, _)| is_theirs(&host))
        && host(&ours.url).is_some_and(|(host, port)| host.contains('_') || port.is_some())
    {
        let message = "360dialog posts to no address with a port, and to no host with a `_`";
        return Err(ApiError::field("callback_url", message));
    }
    Ok(ours)
}

/// The host of an address, and the port that it names.
fn host(address: &str) -> Option<(String, Option<u16>)> {
    let url = reqwest::Url::parse(address).ok()?;
    Some((url.host_str()?.to_owned(), url.port()))
}

/// Infobip refuses no event that it does not know: the subscription would be told of nothing.
fn known_events(events: &[String]) -> Result<(), ApiError> {
    for (n, event) in events.iter().enumerate() {
        if !ALL_EVENTS.contains(&event.as_str()) {
            let field = format!("events[{n}]");
            let message = match wording::nearest(event, ALL_EVENTS.into_iter()) {
                Some(nearest) => format!("Infobip has no such event: did you mean `{nearest}`?"),
                None => format!("expected one of `{}`", ALL_EVENTS.join("`, `")),
            };
            return Err(ApiError::field(&field, &message));
        }
    }
    Ok(())
}

/// Whether an address is below another.
fn is_below(address: &str, own: &str) -> bool {
    let (Ok(address), Ok(own)) = (reqwest::Url::parse(address), reqwest::Url::parse(own)) else {
        return false;
    };
    let path = own.path().trim_end_matches('/');
    let rest = address.path().strip_prefix(path);
    address.origin() == own.origin() && rest.is_some_and(|rest| rest.starts_with('/'))
}

/// A partner of 360dialog's, and whether its webhooks would be taken.
pub(super) fn check_partner(partner: &PartnerKey, connection: &Connection) -> Result<(), ApiError> {
    let is_id = |id: &str| {
        let mut bytes = id.bytes();
        (1..=64).contains(&id.len()) && bytes.all(|byte| byte.is_ascii_alphanumeric())
    };
    if !is_id(&partner.id) {
        let message = "expected the id that the Partner Hub shows, such as `9Mg0AiPA`";
        return Err(ApiError::field("partner.id", message));
    }
    if partner.api_key.is_empty() {
        return Err(ApiError::field("partner.api_key", "must not be empty"));
    }
    if !proves_partner(&connection.credentials.proofs) {
        let message = "360dialog shows no way to have headers sent to a partner, so that the \
                       connection would refuse its webhooks: let its `webhook_auth` be a `url_secret`, \
                       or the `signature` that the Partner Hub shows the secret of, alone; or make a \
                       connection for it";
        return Err(ApiError::field("partner", message));
    }
    Ok(())
}

impl Api {
    /// Webhooks bring what proves them: whoever has the address is told the receiver's secrets.
    pub(super) fn may_be_told(&self, given: Option<&str>) -> Result<(), ApiError> {
        let own = &self.config.http.public_url;
        match given {
            Some(address) if !is_below(address, own) && !permit::has(Scope::Admin) => {
                let message = "is not below `http.public_url`, and the connection's webhook secrets \
                               would go there: set `http.public_url` to this service's public \
                               address, or use an API key with the scope `admin`";
                Err(ApiError::field("callback_url", message))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_below;

    #[test]
    fn an_address_below_another_does_not_only_begin_like_it() {
        let own = "https://twotick.example/in/";
        for (address, expected) in [
            ("https://twotick.example/in/webhooks/con_a", true),
            ("https://TWOTICK.example:443/in/webhooks/con_a", true),
            ("https://twotick.example/webhooks/con_a", false),
            ("https://twotick.example/in/../webhooks/con_a", false),
            ("https://twotick.example/in%2F..", false),
            ("https://twotick.example/inside", false),
            ("https://twotick.example.evil/in/webhooks", false),
            ("https://twotick.example@evil.example/in/webhooks", false),
            ("http://twotick.example/in/webhooks", false),
        ] {
            assert_eq!(is_below(address, own), expected, "{address}");
        }
        assert!(!is_below("https://twotick.example/webhooks", ""));
    }
}
