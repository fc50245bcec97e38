//! Promise: the feed shows every fact, and once.

use super::Reference;

impl Reference<'_> {
    /// Who follows the feed sees every fact once.
    pub(super) fn judge_feed(&mut self) {
        let followed = &self.story.followed;
        let missed = self
            .seen
            .facts
            .iter()
            .filter(|id| !followed.contains_key(id));
        let missed = missed.count();
        self.check(missed == 0, || {
            format!("the follower missed {missed} facts")
        });
        let twice = followed.values().filter(|n| **n > 1).count();
        self.check(twice == 0, || {
            format!("the follower saw {twice} facts again")
        });
        // A status that came both with our id and as a stranger's is one fact since adoption.
        let gone = followed.keys().filter(|id| !self.seen.facts.contains(id));
        let gone = gone.count();
        self.check(gone == 0 || self.seen.adopted, || {
            format!("{gone} facts that the follower saw are gone")
        });
    }
}
