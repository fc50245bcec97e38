//! What a key allows: which scope a call needs, and whether it is about somebody whom the key leads
//! to. What a path or a query names is looked at here, before the handler; what a body names, where
//! the handler asks for its sender ([`of_sender`]).

use std::sync::Arc;

use axum::extract::Query;
use axum::http::{Method, Uri};

use super::problem::ApiError;
use crate::model::ids::{CampaignId, ConnectionId, EventId, MessageId, SenderId, SequenceId};
use crate::model::scope::{Scope, allow};
use crate::store::keys::Key;

tokio::task_local! {
    static KEY: Arc<Key>;
}

/// Answers a request with this key.
pub async fn within<F: Future>(key: Arc<Key>, answer: F) -> F::Output {
    KEY.scope(key, answer).await
}

/// Whether the key of the request that is being answered leads to this sender. What is no request
/// has no key, and may.
pub fn of_sender(sender: SenderId) -> Result<(), ApiError> {
    let allowed = KEY.try_with(|key| key.reach.has_sender(sender));
    match allowed {
        Ok(false) => Err(out_of_reach()),
        Ok(true) | Err(_) => Ok(()),
    }
}

/// The scopes of which a call needs one. The first is the one to ask for.
pub fn needed(method: &Method, path: &str) -> &'static [Scope] {
    use Scope::{Admin, EventsRead, Manage, MessagesRead, MessagesWrite};
    let mut parts = path.split('/').skip(2);
    let (resource, rest) = (parts.next().unwrap_or_default(), parts.next());
    // A look-up brings what it looks for in a body.
    let reads = method.is_safe() || rest == Some("lookup");
    match (resource, reads) {
        ("messages" | "sequences" | "campaigns", true) => &[MessagesRead],
        ("messages" | "sequences" | "campaigns", false) => &[MessagesWrite],
        ("senders" | "templates", true) => &[MessagesRead, Manage],
        ("events", true) => &[EventsRead],
        ("webhooks", true) => &[EventsRead, Manage],
        ("connections" | "senders" | "templates" | "subscriptions" | "webhooks", _) => &[Manage],
        _ => &[Admin],
    }
}

/// Refuses what a key does not allow.
pub fn check(
    key: &Key,
    needed: &'static [Scope],
    method: &Method,
    uri: &Uri,
) -> Result<(), ApiError> {
    if !needed.iter().any(|scope| allow(&key.scopes, *scope)) {
        return Err(ApiError::MissingScope(needed));
    }
    if key.reach.is_all() {
        return Ok(());
    }
    let mut named = Named::default();
    uri.path().split('/').for_each(|part| named.look(part));
    if let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) {
        let pairs = pairs.iter();
        pairs
            .filter(|(name, _)| name == "sender" || name == "connection")
            .for_each(|(_, value)| named.look(value));
    }
    let reached = named
        .senders
        .iter()
        .all(|sender| key.reach.has_sender(*sender))
        && named
            .connections
            .iter()
            .all(|connection| key.reach.has_connection(*connection));
    match named.is_empty() && !names_in_body(method, uri.path()) {
        true => Err(ApiError::OutOfReach(
            "this API key is restricted: name a sender by `?sender=`, or a connection by \
             `?connection=`"
                .to_owned(),
        )),
        false if reached => Ok(()),
        false => Err(out_of_reach()),
    }
}

fn out_of_reach() -> ApiError {
    ApiError::OutOfReach("this API key is restricted to other senders and connections".to_owned())
}

/// These are asked again when their sender is known.
fn names_in_body(method: &Method, path: &str) -> bool {
    let path = path.trim_start_matches("/v1");
    let makes = matches!(
        path,
        "/messages" | "/messages/lookup" | "/sequences" | "/campaigns"
    );
    method == Method::POST && makes
}

/// Whom a request names.
#[derive(Debug, Default)]
struct Named {
    senders: Vec<SenderId>,
    connections: Vec<ConnectionId>,
}

impl Named {
    fn look(&mut self, text: &str) {
        let sender = text.parse::<SenderId>().ok();
        let sender = sender.or_else(|| Some(text.parse::<MessageId>().ok()?.sender));
        let sender = sender.or_else(|| Some(text.parse::<SequenceId>().ok()?.sender));
        let sender = sender.or_else(|| Some(text.parse::<CampaignId>().ok()?.sender));
        let sender = sender.or_else(|| Some(text.parse::<EventId>().ok()?.sender));
        self.senders.extend(sender);
        self.connections.extend(text.parse::<ConnectionId>().ok());
    }

    fn is_empty(&self) -> bool {
        self.senders.is_empty() && self.connections.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::KeyId;
    use crate::model::scope::Reach;
    use uuid::Uuid;

    fn key(scopes: &[Scope], reach: Reach) -> Key {
        Key {
            id: KeyId(Uuid::nil()),
            name: "test".to_owned(),
            scopes: scopes.to_vec(),
            reach,
            requests_per_second: None,
        }
    }

    #[test]
    fn what_nobody_thought_of_needs_a_key_that_may_do_everything() {
        assert_eq!(needed(&Method::GET, "/v1/something/new"), [Scope::Admin]);
        assert_eq!(
            needed(&Method::POST, "/v1/messages/lookup"),
            [Scope::MessagesRead]
        );
        assert_eq!(needed(&Method::PATCH, "/v1/senders/{id}"), [Scope::Manage]);
    }

    #[test]
    fn a_restricted_key_must_name_whom_it_leads_to() {
        let reach = Reach::Only {
            senders: vec![SenderId(1)],
            connections: Vec::new(),
        };
        let key = key(&[Scope::MessagesRead], reach);
        let (mine, other) = (SenderId(1), SenderId(2));
        let message = |sender| MessageId {
            sender,
            uuid: Uuid::nil(),
        };
        for (uri, allowed) in [
            (format!("/v1/messages/{}", message(mine)), true),
            (format!("/v1/messages/{}/history", message(other)), false),
            (format!("/v1/messages?sender={mine}"), true),
            (format!("/v1/messages?sender={mine}&sender={other}"), false),
            (
                format!("/v1/templates?connection={}", ConnectionId(Uuid::nil())),
                false,
            ),
            ("/v1/messages?to=447700900123".to_owned(), false),
            ("/v1/keys".to_owned(), false),
        ] {
            let needed = &[Scope::MessagesRead];
            let checked = check(&key, needed, &Method::GET, &uri.parse().unwrap());
            assert_eq!(checked.is_ok(), allowed, "{uri}");
        }
    }
}
