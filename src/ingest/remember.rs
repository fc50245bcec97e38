//! What a batch says that is remembered beside evidence: words on accounts and numbers, users'
//! names, and what users want. One value a key, so that the statements write each row once.
//!
//! What bears no time of the provider's counts as said before anything that does: a repetition
//! must not make it newer.

use std::collections::BTreeMap;

use super::names::{LastNames, Names};
use crate::model::Timestamp;
use crate::model::fact::{Alias, Fact, Said, UserFact, UserRef, UserSaid};
use crate::model::ids::SenderId;
use crate::store::ingest::Batch;
use crate::store::last_words::WordSaid;
use crate::store::recipients::{Heard, MarketingSaid, NameSaid};

/// The only category that there is.
const MARKETING: &str = "marketing_messages";

/// What is to be remembered of a batch.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    words: BTreeMap<(i32, String, &'static str), WordSaid>,
    names: LastNames,
    /// Those that statuses name along the way.
    heard: LastNames,
    marketing: BTreeMap<(SenderId, String), MarketingSaid>,
    /// When each user that was heard of wrote, if they did.
    users: BTreeMap<(SenderId, String), Option<Timestamp>>,
}

impl Remembered {
    /// Takes what a fact says. `stream` is the connection's own.
    pub(super) fn add(
        &mut self,
        stream: i32,
        sender: Option<SenderId>,
        fact: &Fact,
        known: &Names,
    ) {
        let at = fact.at.unwrap_or(Timestamp::UNIX_EPOCH);
        match (&fact.said, sender) {
            (Said::News(news), _) => {
                for word in &news.words {
                    self.add_word(WordSaid {
                        stream,
                        at,
                        since: None,
                        word: word.clone(),
                    });
                }
            }
            (Said::Status(status), Some(sender)) => {
                // Of a member of a group the recipient is the group.
                if let (Some(user), None) = (&status.user_id, &status.participant) {
                    let user = UserRef {
                        wa_id: status.recipient.clone(),
                        user_id: Some(user.clone()),
                        parent_user_id: status.parent_user_id.clone(),
                    };
                    for alias in user.aliases() {
                        if let Some(said) = news(sender, at, alias, known) {
                            self.heard.add(said);
                        }
                    }
                }
            }
            (Said::Inbound(inbound), Some(sender)) => {
                for alias in &inbound.aliases {
                    self.add_name(sender, at, alias.clone(), known);
                }
                let user = inbound.from_user_id.as_ref().or(inbound.from.as_ref());
                if let Some(user) = user.filter(|_| inbound.is_written_to_us()) {
                    self.hear(sender, user, fact.at);
                }
            }
            (Said::User(user), Some(sender)) => self.add_user(sender, at, user, known),
            _ => {}
        }
    }

    fn add_user(&mut self, sender: SenderId, at: Timestamp, user: &UserFact, known: &Names) {
        for alias in user.user.aliases() {
            self.add_name(sender, at, alias, known);
        }
        match &user.said {
            UserSaid::NewIds { renamed } => {
                for alias in renamed {
                    self.add_name(sender, at, alias.clone(), known);
                }
            }
            UserSaid::Preference { category, value } if category == MARKETING => {
                if let Some(name) = user.user.strongest() {
                    self.hear(sender, name, None);
                    let (name, value) = (name.to_owned(), value.clone());
                    self.add_marketing(MarketingSaid {
                        sender,
                        at,
                        name,
                        value,
                    });
                }
            }
            UserSaid::Preference { .. } => {}
        }
    }

    fn hear(&mut self, sender: SenderId, name: &str, wrote_at: Option<Timestamp>) {
        let heard = self.users.entry((sender, name.to_owned())).or_default();
        *heard = (*heard).max(wrote_at);
    }

    fn add_word(&mut self, said: WordSaid) {
        let known = self.words.entry(said.key()).or_insert_with(|| said.clone());
        if said.is_after(known) {
            *known = said;
        }
    }

    fn add_name(&mut self, sender: SenderId, at: Timestamp, alias: Alias, known: &Names) {
        if let Some(said) = news(sender, at, alias, known) {
            self.names.add(said);
        }
    }

    fn add_marketing(&mut self, said: MarketingSaid) {
        let key = (said.sender, said.name.clone());
        let known = self.marketing.entry(key).or_insert_with(|| said.clone());
        if said.is_after(known) {
            *known = said;
        }
    }

    /// Lays it into the batch, in the order in which every writer writes.
    pub(super) fn finish(self, batch: &mut Batch<'_>) {
        batch.words = self.words.into_values().collect();
        batch.names = self.names.into_vec();
        batch.heard = self.heard.into_vec();
        batch.marketing = self.marketing.into_values().collect();
        let users = self.users.into_iter();
        batch.users = users
            .map(|((sender, name), wrote_at)| Heard {
                sender,
                name,
                wrote_at,
            })
            .collect();
    }
}

/// A name, unless it is known. Every message of a user repeats it, so that it is dated to the
/// day: then a day's repetitions say nothing new.
fn news(sender: SenderId, at: Timestamp, alias: Alias, known: &Names) -> Option<NameSaid> {
    let at = at.replace_time(time::Time::MIDNIGHT);
    let said = NameSaid { sender, at, alias };
    (said.alias.alias != said.alias.user && !known.have(&said)).then_some(said)
}
