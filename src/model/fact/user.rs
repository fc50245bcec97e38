//! What is said of users: who they are by which name, and what they want.

use super::NumberRef;

/// A user as one item names them: by any of these, since Meta shares a phone number only where
/// the user lets it, and scoped ids only since 2026.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserRef {
    /// The phone number as the provider spells it.
    pub wa_id: Option<String>,
    /// The business-scoped id (BSUID).
    pub user_id: Option<String>,
    /// The id that is scoped to several businesses of one owner.
    pub parent_user_id: Option<String>,
}

impl UserRef {
    /// The name that is the user's own: a phone number may become another's.
    pub fn strongest(&self) -> Option<&str> {
        self.user_id
            .as_deref()
            .or(self.parent_user_id.as_deref())
            .or(self.wa_id.as_deref())
    }

    /// The other names, each with the strongest.
    pub fn aliases(&self) -> impl Iterator<Item = Alias> {
        let strongest = self.strongest().map(str::to_owned);
        [&self.wa_id, &self.parent_user_id]
            .into_iter()
            .flatten()
            .filter_map(move |alias| {
                let user = strongest.clone().filter(|user| user != alias)?;
                Some(Alias {
                    alias: alias.clone(),
                    user,
                })
            })
    }
}

/// Two names of one user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alias {
    /// The weaker: what leads to the other.
    pub alias: String,
    /// The stronger, or the newer.
    pub user: String,
}

/// An element of `user_preferences[]` or `user_id_update[]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserFact {
    /// The sender that it was said to.
    pub number: NumberRef,
    /// The user, by their names of today.
    pub user: UserRef,
    /// What it says.
    pub said: UserSaid,
}

/// What is said of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserSaid {
    /// What the user wants of messages of a category (`marketing_messages`).
    Preference {
        /// Of which messages.
        category: String,
        /// `stop`, `resume`, `signup`.
        value: String,
    },
    /// The user has other ids than before.
    NewIds {
        /// The old names, each with the new one.
        renamed: Vec<Alias>,
    },
}
