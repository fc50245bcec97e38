//! By which names users are known. A message from a user says it in the commit of its fact. The
//! statuses of every message say it too, far too often to be written with each: they are heard
//! beside the way to the 200, and what is new of them is written by a task of its own. Whatever a
//! crash loses of that is said again.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::model::Timestamp;
use crate::model::ids::SenderId;
use crate::store::Store;
use crate::store::recipients::NameSaid;

/// Names that have been written, so that they need not be again. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    known: Arc<Mutex<Known>>,
    hash: RandomState,
}

/// By the hash of sender and alias: the hash of what it leads to, and as of when.
type Known = HashMap<u64, (u64, Timestamp)>;

impl Names {
    /// How many are remembered; beyond, the memory starts anew.
    const MOST: usize = 200_000;

    pub(super) fn have(&self, said: &NameSaid) -> bool {
        let user = self.hash.hash_one(&said.alias.user);
        let key = self.hash.hash_one((said.sender, &said.alias.alias));
        self.known()
            .get(&key)
            .is_some_and(|(known, at)| *known == user && *at >= said.at)
    }

    /// These are committed.
    pub(super) fn written(&self, names: &[NameSaid]) {
        let mut known = self.known();
        if known.len() > Self::MOST {
            known.clear();
        }
        for said in names {
            let user = self.hash.hash_one(&said.alias.user);
            let key = self.hash.hash_one((said.sender, &said.alias.alias));
            known.insert(key, (user, said.at));
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of each name the last word, in the order in which they are written.
#[derive(Debug, Default)]
pub(super) struct LastNames(BTreeMap<(SenderId, String), NameSaid>);

impl LastNames {
    pub(super) fn add(&mut self, said: NameSaid) {
        let key = (said.sender, said.alias.alias.clone());
        let known = self.0.entry(key).or_insert_with(|| said.clone());
        if said.is_after(known) {
            *known = said;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn into_vec(self) -> Vec<NameSaid> {
        self.0.into_values().collect()
    }
}

/// To the task that writes what is heard. Clones share it.
pub(super) type Hearsay = mpsc::Sender<Vec<NameSaid>>;

/// Batches that may wait to be heard; of what comes beyond them, nothing is remembered.
pub(super) const HEARSAY: usize = 64;

/// Writes what is heard, until nobody is left to say anything.
pub(super) async fn listen(store: Store, names: Names, mut heard: mpsc::Receiver<Vec<NameSaid>>) {
    /// Names in one statement.
    const MOST: usize = 5_000;
    while let Some(said) = heard.recv().await {
        let mut last = LastNames::default();
        said.into_iter().for_each(|said| last.add(said));
        while last.len() < MOST
            && let Ok(said) = heard.try_recv()
        {
            said.into_iter().for_each(|said| last.add(said));
        }
        let last = last.into_vec();
        match store.learn_names(&last).await {
            Ok(()) => names.written(&last),
            // They are said again.
            Err(error) => tracing::debug!(%error, "names of users were not learned"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::model::fact::Alias;

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
    fn what_was_written_is_not_written_again_and_what_is_newer_is() {
        let names = Names::default();
        assert!(!names.have(&name("44", "US.7", 5)));
        names.written(&[name("44", "US.7", 5)]);
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
