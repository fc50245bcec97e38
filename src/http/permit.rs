//! What a key allows: which scope a call needs, and whether it is about somebody whom the key leads
//! to. What a path or a query names is looked at here, before the handler; what a body names, where
//! the handler asks for its sender ([`of_sender`]).

use std::cell::RefCell;
use std::sync::Arc;

use axum::extract::Query;
use axum::http::{Method, Uri};

use super::problem::ApiError;
use crate::model::ids::{CampaignId, ConnectionId, MessageId, SenderId, SequenceId};
use crate::model::scope::{Reach, Scope, allow};
use crate::store::keys::Key;

tokio::task_local! {
    static KEY: Arc<Key>;
    /// What the audit is told beside the path.
    static DETAIL: RefCell<Option<String>>;
}

/// Answers a request with this key; and what the audit is to be told of it.
pub async fn within<F: Future>(key: Arc<Key>, answer: F) -> (F::Output, Option<String>) {
    let audited = DETAIL.scope(RefCell::default(), async {
        let answer = answer.await;
        (answer, DETAIL.with(RefCell::take))
    });
    KEY.scope(key, audited).await
}

/// Tells the audit what the request is about, or what came of it, where its path does not say. No
/// secrets.
pub fn note(detail: String) {
    // Nobody audits what is not asked for by a key.
    let _ = DETAIL.try_with(|noted| noted.replace(Some(detail)));
}

/// Whether the key of the request that is being answered leads to this sender.
pub fn of_sender(sender: SenderId) -> Result<(), ApiError> {
    match KEY.try_with(|key| key.reach.has_sender(sender)) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(out_of_reach()),
    }
}

/// Whether the key of the request that is being answered leads everywhere.
pub fn of_all() -> Result<(), ApiError> {
    match KEY.try_with(|key| key.reach.is_all()) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(out_of_reach()),
    }
}

/// Whether the key of the request that is being answered has this scope.
pub fn has(scope: Scope) -> bool {
    KEY.try_with(|key| allow(&key.scopes, scope))
        .unwrap_or(false)
}

/// The scopes of which a call needs one. The first is the one to ask for.
fn needed(method: &Method, path: &str) -> &'static [Scope] {
    use Scope::{Admin, EventsRead, Manage, MessagesRead, MessagesWrite};
    let mut parts = path.split('/').skip(2);
    let (resource, rest) = (parts.next().unwrap_or_default(), parts.next());
    // A look-up brings what it looks for in a body.
    let reads = method.is_safe() || rest == Some("lookup");
    match (resource, reads) {
        ("messages" | "sequences" | "campaigns", true) => &[MessagesRead],
        ("messages" | "sequences" | "campaigns", false) => &[MessagesWrite],
        // What is to be sent, by who sends. A sample is a template's.
        ("media", false) if *method == Method::POST && rest.is_none() => &[MessagesWrite, Manage],
        ("media", true) => &[MessagesRead, Manage],
        ("media", false) => &[Manage],
        ("senders" | "templates" | "flows" | "welcome_sequences" | "capabilities", true) => {
            &[MessagesRead, Manage]
        }
        ("events", true) => &[EventsRead],
        ("webhooks", true) => &[EventsRead, Manage],
        (
            "connections" | "senders" | "templates" | "flows" | "welcome_sequences"
            | "subscriptions" | "webhooks",
            _,
        ) => &[Manage],
        _ => &[Admin],
    }
}

/// Where a call names whom it is about. A restricted key may make no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    /// Its path does, by an id that holds its sender.
    InPath,
    /// Its query does, by a filter of that name: what a list does not filter by it refuses.
    InQuery,
    /// Its body does: asked for when the sender is known.
    InBody,
    /// Nothing does.
    Nowhere,
}

/// An app's and an account's webhooks are those of others too.
fn is_of_others(level: &str) -> bool {
    !matches!(level, "number" | "events")
}

fn named(method: &Method, path: &str, uri: &Uri) -> Named {
    let path = path.trim_start_matches("/v1");
    let resource = path.split('/').nth(1).unwrap_or_default();
    let last = uri.path().rsplit('/').next().unwrap_or_default();
    match (method, path) {
        (method, "/connections/{id}/webhook_subscriptions/{level}")
            if !method.is_safe() && is_of_others(last) =>
        {
            Named::Nowhere
        }
        (_, path) if path.starts_with("/media") => Named::InQuery,
        (
            &Method::GET,
            "/messages" | "/messages/counts" | "/sequences" | "/campaigns" | "/senders"
            | "/templates" | "/events" | "/events/stream" | "/webhooks",
        )
        | (&Method::POST, "/webhooks/replay") => Named::InQuery,
        // About nobody: what each provider can do.
        (&Method::GET, "/capabilities")
        | (&Method::POST, "/messages" | "/messages/lookup" | "/sequences" | "/campaigns") => {
            Named::InBody
        }
        (_, path)
            if matches!(
                resource,
                "messages" | "sequences" | "campaigns" | "senders" | "connections"
            ) && path.split('/').nth(2) == Some("{id}") =>
        {
            Named::InPath
        }
        _ => Named::Nowhere,
    }
}

/// Refuses what a key does not allow; of what it allows, the scopes that it needs. `path` is the route's, with `{id}` for an id.
pub fn check(
    key: &Key,
    method: &Method,
    path: &str,
    uri: &Uri,
) -> Result<&'static [Scope], ApiError> {
    let needed = needed(method, path);
    if !needed.iter().any(|scope| allow(&key.scopes, *scope)) {
        return Err(ApiError::MissingScope(needed));
    }
    // Whoever makes a subscription is told of every event.
    if path.starts_with("/v1/subscriptions") && !allow(&key.scopes, Scope::EventsRead) {
        return Err(ApiError::MissingScope(&[Scope::EventsRead]));
    }
    if key.reach.is_all() {
        return Ok(needed);
    }
    let reached = match named(method, path, uri) {
        Named::InBody => true,
        Named::InPath => {
            // As it is written: no id has anything to be decoded.
            let id = uri.path().trim_start_matches("/v1").split('/').nth(2);
            let leads = id.map(|id| leads_to(&key.reach, id));
            // Nobody's id. Not the handler's to say, which may read it otherwise.
            leads.flatten().ok_or_else(|| no_such(path))?
        }
        Named::InQuery => {
            let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri);
            let pairs = pairs.map(|Query(pairs)| pairs).unwrap_or_default();
            let mut named = pairs
                .iter()
                .filter(|(name, _)| name == "sender" || name == "connection")
                .peekable();
            if named.peek().is_none() {
                return Err(ApiError::OutOfReach(
                    "this API key is restricted: name a sender by `?sender=`, or a connection by \
                     `?connection=`"
                        .to_owned(),
                ));
            }
            named.all(|(_, id)| leads_to(&key.reach, id) == Some(true))
        }
        Named::Nowhere => {
            return Err(ApiError::OutOfReach(
                "this API key is restricted to some senders, and this is about all of them"
                    .to_owned(),
            ));
        }
    };
    match reached {
        true => Ok(needed),
        false => Err(out_of_reach()),
    }
}

fn out_of_reach() -> ApiError {
    ApiError::OutOfReach("this API key is restricted to other senders and connections".to_owned())
}

fn no_such(path: &str) -> ApiError {
    ApiError::NotFound(match path.split('/').nth(2) {
        Some("messages") => "message",
        Some("sequences") => "sequence",
        Some("campaigns") => "campaign",
        Some("senders") => "sender",
        Some("connections") => "connection",
        _ => "address",
    })
}

/// Whether a key leads to what has this id; `None` where the id does not say whose it is.
fn leads_to(reach: &Reach, id: &str) -> Option<bool> {
    if let Ok(connection) = id.parse::<ConnectionId>() {
        return Some(reach.has_connection(connection));
    }
    let sender = id.parse::<SenderId>().ok();
    let sender = sender.or_else(|| Some(id.parse::<MessageId>().ok()?.sender));
    let sender = sender.or_else(|| Some(id.parse::<SequenceId>().ok()?.sender));
    let sender = sender.or_else(|| Some(id.parse::<CampaignId>().ok()?.sender));
    sender.map(|sender| reach.has_sender(sender))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::ids::KeyId;

    #[test]
    fn what_nobody_thought_of_needs_a_key_that_may_do_everything() {
        assert_eq!(needed(&Method::GET, "/v1/something/new"), [Scope::Admin]);
        let lookup = needed(&Method::POST, "/v1/messages/lookup");
        assert_eq!(lookup, [Scope::MessagesRead]);
        let change = needed(&Method::PATCH, "/v1/senders/{id}");
        assert_eq!(change, [Scope::Manage]);
        let uri = "/v1/something/a".parse().unwrap();
        let named = named(&Method::GET, "/v1/something/{id}", &uri);
        assert_eq!(named, Named::Nowhere);
    }

    #[test]
    fn a_key_of_one_connection_changes_no_webhooks_of_others() {
        let connection = ConnectionId(Uuid::nil());
        let key = Key {
            id: KeyId(Uuid::nil()),
            name: "test".to_owned(),
            scopes: vec![Scope::Manage],
            reach: Reach::Only {
                senders: Vec::new(),
                connections: vec![connection],
            },
            requests_per_second: None,
        };
        let path = "/v1/connections/{id}/webhook_subscriptions/{level}";
        for (method, level, allowed) in [
            (Method::GET, "app", true),
            (Method::PUT, "app", false),
            (Method::DELETE, "app", false),
            (Method::PUT, "account", false),
            (Method::DELETE, "account", false),
            (Method::PUT, "a%70p", false),
            (Method::PUT, "app/", false),
            // Of a number the handler asks whose it is; events are named after the connection.
            (Method::PUT, "number", true),
            (Method::PUT, "events", true),
        ] {
            let uri = format!("/v1/connections/{connection}/webhook_subscriptions/{level}");
            let checked = check(&key, &method, path, &uri.parse().unwrap());
            assert_eq!(checked.is_ok(), allowed, "{method} {level}");
        }
    }

    #[test]
    fn a_restricted_key_must_name_whom_it_leads_to() {
        let key = Key {
            id: KeyId(Uuid::nil()),
            name: "test".to_owned(),
            scopes: vec![Scope::MessagesRead, Scope::EventsRead, Scope::Manage],
            reach: Reach::Only {
                senders: vec![SenderId(1)],
                connections: Vec::new(),
            },
            requests_per_second: None,
        };
        let (mine, other) = (SenderId(1), SenderId(2));
        let message = |sender| MessageId {
            sender,
            uuid: Uuid::nil(),
        };
        let connection = ConnectionId(Uuid::nil());
        let (one, theirs) = (message(mine), message(other));
        let hidden = theirs.to_string().replace('_', "%5F");
        for (path, uri, allowed) in [
            ("/v1/messages/{id}", format!("/v1/messages/{one}"), true),
            (
                "/v1/messages/{id}",
                format!("/v1/messages/{theirs}?sender={mine}"),
                false,
            ),
            (
                "/v1/messages/{id}",
                format!("/v1/messages/{hidden}?sender={mine}"),
                false,
            ),
            ("/v1/messages", format!("/v1/messages?sender={mine}"), true),
            (
                "/v1/messages",
                format!("/v1/messages?sender={mine}&sender={other}"),
                false,
            ),
            (
                "/v1/messages",
                "/v1/messages?to=447700900123".to_owned(),
                false,
            ),
            (
                "/v1/templates",
                format!("/v1/templates?connection={connection}"),
                false,
            ),
            (
                "/v1/templates/{id}",
                format!("/v1/templates/tpl_a?sender={mine}"),
                false,
            ),
            (
                "/v1/webhooks/{id}",
                format!("/v1/webhooks/whk_a?sender={mine}"),
                false,
            ),
            (
                "/v1/subscriptions",
                format!("/v1/subscriptions?sender={mine}"),
                false,
            ),
        ] {
            let checked = check(&key, &Method::GET, path, &uri.parse().unwrap());
            assert_eq!(checked.is_ok(), allowed, "{uri}");
        }
    }
}
