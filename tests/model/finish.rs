//! The end of a history: everything is said, everything that is closed is opened, and time passes
//! until nothing is due. And the follower of the feed, who must have seen all by then.

use std::time::Duration;

use twotick::store::feed::FeedFilter;

use crate::asked::Asked;
use crate::history::TEMPLATES;
use crate::provider::Post;
use crate::run::Run;

impl Run<'_> {
    /// All that is to be said is said, whatever closed something opens it, and time passes until
    /// nothing is due.
    pub async fn finish(&mut self) {
        /// Each turn posts, says or decides something; a history has no more of these.
        const TURNS: usize = 400;
        self.world.start();
        for template in 0..TEMPLATES {
            self.world.provider.set_template(template, false);
        }
        for _ in 0..TURNS {
            self.say_templates().await;
            let n = self.log().pending.len();
            if n > 0 {
                let statuses = if self.rng.chance(50) { n } else { 1 + n / 2 };
                self.say(statuses, 2).await;
            }
            let Some(agenda) = self.settle(true).await else {
                return;
            };
            match agenda.next_due {
                _ if agenda.is_closed => self.unblock().await,
                // A POST may have come since.
                _ if !self.log().pending.is_empty() => {}
                Some(at) => {
                    let wait = at - self.world.clock.now();
                    let wait = Duration::try_from(wait).unwrap_or_default();
                    self.pass(wait + Duration::from_millis(1));
                }
                None if self.has_late_answers() => {
                    self.world.drain().await;
                    self.world.drain().await;
                    self.world.start();
                }
                None => return self.catch_up().await,
            }
        }
        self.story
            .troubles
            .push("it never ends: something is always due".to_owned());
    }

    /// Whether answers came so late, or were on their way when their sequence was ended, that nothing
    /// waits for them but the posts themselves: only their end shows that these are recorded. Once
    /// for every POST and every asking.
    fn has_late_answers(&mut self) -> bool {
        let seen = (self.log().posts.len(), self.story.asked.len());
        let (posts, asked) = std::mem::replace(&mut self.drained, seen);
        let in_flight = |asked: &Asked| {
            let shown = asked.answer.as_ref();
            shown.is_ok_and(|shown| !shown.in_flight.is_empty())
        };
        self.log().posts[posts..].iter().any(Post::is_late)
            || self.story.asked[asked..].iter().any(in_flight)
    }

    /// The follower reads on to the end of what is there.
    async fn catch_up(&mut self) {
        let until = self.world.clock.monotonic() + Duration::from_secs(8);
        let mut all = self.world.facts_of(self.place.sender.0).await;
        all.extend(self.world.facts_of(self.place.stream).await);
        loop {
            self.follow().await;
            if all.iter().all(|id| self.story.followed.contains_key(id)) {
                return;
            }
            if self.world.clock.monotonic() > until {
                let open = self.world.open_transactions().await;
                self.story
                    .troubles
                    .push(format!("the feed never showed every fact; open: {open:?}"));
                return;
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }

    pub async fn follow(&mut self) {
        const PAGE: i64 = 20;
        let filter = FeedFilter {
            connection: Some(self.place.connection),
            ..FeedFilter::default()
        };
        loop {
            let read = self.world.store.feed(&filter, self.followed_to, PAGE);
            let read = read.await.unwrap();
            self.followed_to = read.next;
            for fact in read.facts {
                *self.story.followed.entry(fact.id).or_default() += 1;
            }
            if read.at_end {
                return;
            }
        }
    }
}
