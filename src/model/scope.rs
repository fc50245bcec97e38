//! What a key allows: which calls, and to whose messages.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ids::{ConnectionId, SenderId};

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub enum Scope {
    /// Make, change and cancel messages, sequences and campaigns.
    #[serde(rename = "messages:write")]
    MessagesWrite,
    /// Read messages, sequences, campaigns, senders and templates.
    #[serde(rename = "messages:read")]
    MessagesRead,
    /// Read the feed of events, and the webhooks that they came by.
    #[serde(rename = "events:read")]
    EventsRead,
    /// Read and change connections, senders, templates and subscriptions; replay webhooks.
    #[serde(rename = "manage")]
    Manage,
    /// Everything, and keys, the audit and the erasure of people's data besides.
    #[serde(rename = "admin")]
    Admin,
}

impl Scope {
    /// All there are.
    pub const ALL: [Self; 5] = [
        Self::MessagesWrite,
        Self::MessagesRead,
        Self::EventsRead,
        Self::Manage,
        Self::Admin,
    ];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MessagesWrite => "messages:write",
            Self::MessagesRead => "messages:read",
            Self::EventsRead => "events:read",
            Self::Manage => "manage",
            Self::Admin => "admin",
        }
    }

    /// Whether what is done with it is written down.
    pub const fn is_audited(self) -> bool {
        matches!(self, Self::Manage | Self::Admin)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or_else(|| {
            let all: Vec<_> = Self::ALL.iter().map(|scope| scope.as_str()).collect();
            format!("expected one of {}", all.join(", "))
        })
    }
}

/// Whether these scopes allow what needs this one.
pub fn allow(scopes: &[Scope], needed: Scope) -> bool {
    scopes.contains(&needed) || scopes.contains(&Scope::Admin)
}

/// Whose messages and webhooks a key leads to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Reach {
    /// Everybody's.
    #[default]
    All,
    /// Those of these alone. The senders of the connections are among the senders.
    Only {
        /// In order.
        senders: Vec<SenderId>,
        /// In order.
        connections: Vec<ConnectionId>,
    },
}

impl Reach {
    /// Whether it leads to this sender.
    pub fn has_sender(&self, sender: SenderId) -> bool {
        match self {
            Self::All => true,
            Self::Only { senders, .. } => senders.binary_search(&sender).is_ok(),
        }
    }

    /// Whether it leads to this connection, with all that is no sender's.
    pub fn has_connection(&self, connection: ConnectionId) -> bool {
        match self {
            Self::All => true,
            Self::Only { connections, .. } => connections.binary_search(&connection).is_ok(),
        }
    }

    /// Whether it leads everywhere.
    pub fn is_all(&self) -> bool {
        *self == Self::All
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_read_as_it_is_written_and_admin_allows_everything() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
            assert_eq!(serde_json::json!(scope), scope.as_str());
            assert!(allow(&[Scope::Admin], scope));
            assert_eq!(allow(&[Scope::Manage], scope), scope == Scope::Manage);
        }
        assert!(
            "messages"
                .parse::<Scope>()
                .unwrap_err()
                .contains("events:read")
        );
    }

    #[test]
    fn a_key_without_restriction_leads_everywhere_and_one_with_it_nowhere_else() {
        let only = Reach::Only {
            senders: vec![SenderId(1), SenderId(3)],
            connections: Vec::new(),
        };
        assert!(only.has_sender(SenderId(3)) && !only.has_sender(SenderId(2)));
        assert!(Reach::All.has_sender(SenderId(2)));
        assert!(!only.has_connection(ConnectionId(uuid::Uuid::nil())));
    }
}
