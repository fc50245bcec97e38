//! What a batch says that is remembered beside evidence: words on accounts and numbers, users'
//! names, and what users want. One value a key, so that the statements write each row once.
//!
//! What bears no time of the provider's counts as said before anything that does: a repetition
//! must not make it newer.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};

use crate::model::Timestamp;
use crate::model::fact::{Alias, Fact, Said, UserFact, UserSaid};
use crate::model::ids::SenderId;
use crate::store::ingest::Batch;
use crate::store::last_words::WordSaid;
use crate::store::recipients::{MarketingSaid, NameSaid};

/// The only category that there is.
const MARKETING: &str = "marketing_messages";

/// What is to be remembered of a batch.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    words: BTreeMap<(i32, String, &'static str), WordSaid>,
    names: BTreeMap<(SenderId, String), NameSaid>,
    marketing: BTreeMap<(SenderId, String), MarketingSaid>,
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
                        word: word.clone(),
                    });
                }
            }
            (Said::Inbound(inbound), Some(sender)) => {
                for alias in &inbound.aliases {
                    self.add_name(sender, at, alias.clone(), known);
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

    fn add_word(&mut self, said: WordSaid) {
        let known = self.words.entry(said.key()).or_insert_with(|| said.clone());
        if said.is_after(known) {
            *known = said;
        }
    }

    /// Names are repeated by every message of a user, so that they are dated to the day: then a
    /// day's repetitions say nothing new, and need not be written.
    fn add_name(&mut self, sender: SenderId, at: Timestamp, alias: Alias, known: &Names) {
        let said = NameSaid {
            sender,
            at: at.replace_time(time::Time::MIDNIGHT),
            alias,
        };
        if said.alias.alias == said.alias.user || known.have(&said) {
            return;
        }
        let key = (sender, said.alias.alias.clone());
        let known = self.names.entry(key).or_insert_with(|| said.clone());
        if said.is_after(known) {
            *known = said;
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
        batch.names = self.names.into_values().collect();
        batch.marketing = self.marketing.into_values().collect();
    }
}

/// Names that this writer has committed, so that it need not write them again.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// By the hash of sender and alias: the hash of what it leads to, and as of when.
    known: HashMap<u64, (u64, Timestamp)>,
    hash: RandomState,
}

impl Names {
    /// How many are remembered; beyond, the memory starts anew.
    const MOST: usize = 200_000;

    fn have(&self, said: &NameSaid) -> bool {
        let user = self.hash.hash_one(&said.alias.user);
        let key = self.hash.hash_one((said.sender, &said.alias.alias));
        self.known
            .get(&key)
            .is_some_and(|(known, at)| *known == user && *at >= said.at)
    }

    /// These were committed.
    pub(super) fn committed(&mut self, names: &[NameSaid]) {
        if self.known.len() > Self::MOST {
            self.known.clear();
        }
        for said in names {
            let user = self.hash.hash_one(&said.alias.user);
            let key = self.hash.hash_one((said.sender, &said.alias.alias));
            self.known.insert(key, (user, said.at));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn name(alias: &str, user: &str, day: i64) -> NameSaid {
        NameSaid {
            sender: SenderId(1),
            at: Timestamp::from_unix_timestamp(day * 86_400).unwrap(),
            alias: Alias {
                alias: alias.into(),
                user: user.into(),
            },
        }
    }

    #[test]
    fn what_was_committed_is_not_written_again_and_what_is_newer_is() {
        let mut names = Names::default();
        assert!(!names.have(&name("44", "US.7", 5)));
        names.committed(&[name("44", "US.7", 5)]);
        assert!(names.have(&name("44", "US.7", 5)));
        assert!(names.have(&name("44", "US.7", 4)));
        for news in [
            name("44", "US.7", 6),
            name("44", "US.8", 5),
            name("44", "US.8", 4),
            name("45", "US.7", 5),
        ] {
            assert!(!names.have(&news), "{news:?}");
        }
    }
}
