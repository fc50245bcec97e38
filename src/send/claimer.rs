//! One sender's claimer: claims while there is work, rate and slots, and waits for whichever
//! comes first: a signal, the next due row, the next token, or the period.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::recorder::Recorder;
use super::{Sending, Standing, bulk, post};
use crate::config::MessagingLimit;
use crate::model::Timestamp;
use crate::model::lane::Turns;
use crate::model::limits::{Pairs, TokenBucket};
use crate::model::reach::Reach;
use crate::provider;
use crate::store::StoreError;
use crate::store::claim::{Claim, ClaimRequest, Claimed};
use crate::store::leases::Lease;

/// Messages in one claim: they are written in one transaction and posted side by side.
const MAX_POSTS: usize = 64;
/// Whoever is at its rate claims what so long a wait brings, and not each message by itself.
const TOKENS_OF: Duration = Duration::from_millis(200);

/// How often claims of owners that are gone are looked for.
const ORPHANS_EVERY: Duration = Duration::from_secs(1);

/// A sender's rate, shared with its posts, which learn when it is too high.
#[derive(Debug, Clone)]
pub(super) struct Rate {
    bucket: Arc<Mutex<TokenBucket>>,
    origin: Instant,
    sending: Sending,
}

impl Rate {
    fn new(sending: Sending, rate: u32) -> Self {
        let origin = sending.clock().monotonic();
        let bucket = TokenBucket::empty(rate, Duration::ZERO);
        Self {
            bucket: Arc::new(Mutex::new(bucket)),
            origin,
            sending,
        }
    }

    /// The provider said that we are too fast.
    pub(super) fn drain(&self, wait: Duration) {
        self.with(|bucket, now| bucket.drain(now, wait));
    }

    fn with<T>(&self, f: impl FnOnce(&mut TokenBucket, Duration) -> T) -> T {
        let now = self
            .sending
            .clock()
            .monotonic()
            .saturating_duration_since(self.origin);
        f(
            &mut self.bucket.lock().unwrap_or_else(PoisonError::into_inner),
            now,
        )
    }
}

/// What to wait for, beside a signal.
enum Pause {
    /// A time.
    For(Duration),
    /// All slots of the connection are taken.
    ForSlot,
    /// The rate is used up. Whatever happens meanwhile, nothing can be posted.
    ForTokens(Duration),
}

impl Drop for Claimer {
    /// One that breaks down must not swallow the hints for whoever owns its sender next.
    fn drop(&mut self) {
        self.disown();
    }
}

pub(super) struct Claimer {
    sending: Sending,
    lease: Lease,
    standing: watch::Receiver<Standing>,
    slots: Arc<Semaphore>,
    recorder: Recorder,
    stop: CancellationToken,
    wake: Arc<Notify>,
    rate: Rate,
    pairs: Arc<Mutex<Pairs>>,
    turns: Mutex<Turns>,
    reach: Mutex<Reach>,
    /// Whether `pairs` knows what was posted before this sender was ours.
    remembers: bool,
    /// Under way. They end with the claimer when it is dropped.
    posts: JoinSet<()>,
    /// When to look for orphaned claims next.
    orphans_due: Instant,
    /// What it has waited for, and since when, though something may have been there to be posted.
    limited: Option<(&'static str, Instant)>,
}

impl Claimer {
    pub(super) fn new(
        sending: Sending,
        lease: Lease,
        standing: watch::Receiver<Standing>,
        slots: Arc<Semaphore>,
        recorder: Recorder,
        stop: CancellationToken,
    ) -> Self {
        Self {
            wake: sending.signals.own(lease.sender),
            rate: Rate::new(sending.clone(), lease.messages_per_second),
            pairs: Arc::new(Mutex::new(Pairs::new(sending.settings.pair_limit()))),
            turns: Mutex::default(),
            reach: Mutex::default(),
            remembers: false,
            limited: None,
            posts: JoinSet::new(),
            orphans_due: sending.clock().monotonic(),
            sending,
            lease,
            standing,
            slots,
            recorder,
            stop,
        }
    }

    /// Runs until stopped; then waits for its posts and gives the lease back.
    pub(super) async fn run(mut self) {
        tracing::info!(sender = %self.lease.sender, epoch = self.lease.epoch, "owns a sender");
        while !self.stop.is_cancelled() {
            let pause = self.work().await.unwrap_or_else(|error| {
                tracing::warn!(sender = %self.lease.sender, %error, "claiming failed");
                Pause::For(self.sending.settings.poll)
            });
            let (wait, no_slot, no_token) = match pause {
                Pause::For(wait) => (wait, false, false),
                Pause::ForSlot => (self.sending.settings.poll, true, false),
                Pause::ForTokens(wait) => (wait, false, true),
            };
            let has_its_share = self.own_slots_left() == 0;
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = self.wake.notified(), if !no_token => {}
                _ = self.posts.join_next(), if no_slot && has_its_share => {}
                _ = self.slots.acquire(), if no_slot && !has_its_share => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.disown();
        while self.posts.join_next().await.is_some() {}
        let Sending {
            store, instance, ..
        } = &self.sending;
        if let Err(error) = store.release_lease(*instance, &self.lease).await {
            tracing::debug!(%error, "the lease runs out by itself");
        }
    }

    /// From now on hints go to the other instances.
    fn disown(&self) {
        self.sending.signals.disown(self.lease.sender, &self.wake);
    }

    /// Claims until nothing is left to do now.
    async fn work(&mut self) -> Result<Pause, StoreError> {
        if !self.remembers
            && let Err(error) = self.remember_posts().await
        {
            tracing::warn!(sender = %self.lease.sender, %error,
                "nothing is posted until it is known what was");
        }
        self.settle_orphans().await?;
        loop {
            while self.posts.try_join_next().is_some() {}
            let tokens = if self.remembers { self.tokens() } else { 0 };
            let tokens = tokens.min(MAX_POSTS);
            let slots = self.take_slots(tokens);
            let (posts, asked_at) = (slots.len(), self.sending.clock().monotonic());
            let mut in_doubt = Vec::new();
            let request = self.request(posts);
            let claimed = self.sending.store.claim(&request, &mut in_doubt).await;
            if !in_doubt.is_empty() {
                self.posts
                    .spawn(post::return_doubtful(self.sending.clone(), in_doubt));
            }
            let Some(claimed) = claimed? else {
                // Too short to post under, or lost: the manager renews it, or stops us.
                return Ok(Pause::For(self.sending.settings.lease / 8));
            };
            let Claimed {
                claims,
                progress,
                more,
                gate_waits,
                pair_waits,
                failed,
                next_due,
            } = claimed;
            for wait in gate_waits {
                metrics::histogram!("twotick_gate_wait_seconds").record(wait);
            }
            for class in failed {
                let class = class.as_str();
                metrics::counter!("twotick_messages_failed_total", "class" => class).increment(1);
            }
            self.time_limits(posts, claims.len(), pair_waits);
            let took_all = claims.len() == posts;
            self.post(claims, slots, asked_at).await;
            if progress {
                self.sending.signals.changed();
            }
            if self.stop.is_cancelled() {
                return Ok(Pause::For(Duration::ZERO));
            }
            if took_all && tokens == 0 {
                self.limited.get_or_insert(("rate", asked_at));
                return Ok(Pause::ForTokens(self.wait_for_tokens()));
            }
            if took_all && posts < tokens {
                self.limited.get_or_insert(("slots", asked_at));
                return Ok(Pause::ForSlot);
            }
            if !more {
                let now = self.sending.clock().now();
                let poll = self.sending.settings.poll;
                return Ok(Pause::For(until(next_due, now, poll)));
            }
        }
    }

    /// What keeping limits cost: of tokens and slots only where something had waited for them.
    fn time_limits(&mut self, posts: usize, claimed: usize, pair_waits: Vec<Duration>) {
        const WAIT: &str = "twotick_limit_wait_seconds";
        for wait in pair_waits {
            metrics::histogram!(WAIT, "limit" => "user").record(wait);
        }
        if posts == 0 {
            return;
        }
        if let Some((limit, since)) = self.limited.take()
            && claimed > 0
        {
            let now = self.sending.clock().monotonic();
            let waited = now.saturating_duration_since(since);
            metrics::histogram!(WAIT, "limit" => limit).record(waited);
        }
    }

    fn request(&self, posts: usize) -> ClaimRequest<'_> {
        let settings = &self.sending.settings;
        ClaimRequest {
            pairs: &self.pairs,
            turns: &self.turns,
            reach: (settings.messaging_limit == MessagingLimit::Wait).then_some(&self.reach),
            lease: self.lease,
            instance: self.sending.instance,
            posts,
            limits: settings.retry_limits(),
            rules: settings.rules(),
            repeats_harmlessly: provider::repeats_harmlessly(self.lease.provider),
            post_timeout: settings.post_timeout,
        }
    }

    async fn post(
        &mut self,
        claims: Vec<Claim>,
        slots: Vec<OwnedSemaphorePermit>,
        asked_at: Instant,
    ) {
        metrics::counter!("twotick_messages_claimed_total").increment(claims.len() as u64);
        self.rate.with(|bucket, _| bucket.spend(claims.len()));
        let post = |claim| post::Post {
            sending: self.sending.clone(),
            claim: Arc::new(claim),
            recorder: self.recorder.clone(),
            lease: self.lease,
            standing: self.standing.clone(),
            rate: self.rate.clone(),
            pairs: Arc::clone(&self.pairs),
            asked_at,
        };
        let posts: Vec<_> = claims.into_iter().map(post).collect();
        let ready = bulk::join(&posts).await;
        for ((post, ready), slot) in posts.into_iter().zip(ready).zip(slots) {
            self.posts.spawn(post.run(ready, slot));
        }
    }

    /// Whoever owned this sender before has written to users, too.
    async fn remember_posts(&mut self) -> Result<(), StoreError> {
        let within = self.sending.settings.pair_limit().memory();
        let posts = self.sending.store.recent_posts(self.lease.sender, within);
        let posts = posts.await?;
        let now = self.sending.clock().now();
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        for (user, posts) in posts {
            pairs.remember(&user, posts, now);
        }
        drop(pairs);
        self.remembers = true;
        Ok(())
    }

    /// Claims that nobody will answer for any more; looked for now and then, not at every wake.
    async fn settle_orphans(&mut self) -> Result<(), StoreError> {
        let Sending {
            store, settings, ..
        } = &self.sending;
        let now = self.sending.clock().monotonic();
        if self.orphans_due <= now {
            self.orphans_due = now + ORPHANS_EVERY;
            store
                .give_up_claims(&self.lease, settings.answer_timeout)
                .await?;
        }
        Ok(())
    }

    /// How many the rate allows now, at the rate that the last renewal brought.
    fn tokens(&self) -> usize {
        let standing = *self.standing.borrow();
        let settings = &self.sending.settings;
        let rate = settings.rate(standing.messages_per_second, standing.is_red);
        self.rate.with(|bucket, now| {
            bucket.set_rate(rate, now);
            bucket.available(now)
        })
    }

    /// Slots for as many posts, or fewer: half of what is free, because the claimers of the
    /// connection's other senders ask at the same time, and what is not used comes back; and never
    /// more than half of all, so that one whose posts hang leaves some to the others.
    fn take_slots(&self, most: usize) -> Vec<OwnedSemaphorePermit> {
        let most = most
            .min(self.slots.available_permits().div_ceil(2))
            .min(self.own_slots_left());
        let mut slots = Vec::with_capacity(most);
        while slots.len() < most {
            match Arc::clone(&self.slots).try_acquire_owned() {
                Ok(slot) => slots.push(slot),
                Err(_) => break,
            }
        }
        slots
    }

    /// How many of a sender's share of the slots its posts have left.
    fn own_slots_left(&self) -> usize {
        let share = self.sending.settings.in_flight.div_ceil(2);
        share.saturating_sub(self.posts.len())
    }

    fn wait_for_tokens(&self) -> Duration {
        let wait = self.rate.with(|bucket, now| bucket.until(TOKENS_OF, now));
        wait.min(self.sending.settings.poll)
    }
}

/// How long until the next row is due, and a poll at most. What became due while others were claimed
/// is due now.
fn until(next_due: Option<Timestamp>, now: Timestamp, poll: Duration) -> Duration {
    next_due.map_or(poll, |due| {
        Duration::try_from(due - now).unwrap_or_default().min(poll)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_due_meanwhile_does_not_wait_for_the_poll() {
        let (now, poll) = (Timestamp::UNIX_EPOCH, Duration::from_secs(1));
        let second = time::Duration::SECOND;
        assert_eq!(until(Some(now - second), now, poll), Duration::ZERO);
        assert_eq!(until(Some(now + second / 4), now, poll), poll / 4);
        assert_eq!(until(Some(now + 2 * second), now, poll), poll);
        assert_eq!(until(None, now, poll), poll);
    }
}
