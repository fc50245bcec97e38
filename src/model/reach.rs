//! To how many users an account may write outside the window that a user's own message opens. The
//! provider counts each once in a rolling 24 hours, and refuses what goes beyond.

use std::time::Duration;

use super::Timestamp;

/// For so long a user counts.
pub const WINDOW: Duration = Duration::from_secs(24 * 3600);

/// What was read is as good as that for so long: other senders of the account write, too.
const READ_EVERY: Duration = Duration::from_secs(5);
/// What is put off until nobody knows when is looked at so soon.
const SOON: Duration = Duration::from_secs(1);
/// What waits is looked at so often at least: the provider may let more through by then.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

/// The limit in a provider's word, such as `TIER_2K` or `2000`. `None`: unlimited, or not known.
pub fn limit(word: &str) -> Option<u32> {
    let number = word.strip_prefix("TIER_").unwrap_or(word);
    let (digits, times) = match number.strip_suffix('K') {
        Some(thousands) => (thousands, 1_000),
        None => (number, 1),
    };
    let limit = digits.parse::<u32>().ok()?.checked_mul(times)?;
    Some(limit).filter(|limit| *limit > 0)
}

/// What is left of a limit: as it was read last, less what has been spent since.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    limit: u32,
    left: u32,
    read_at: Option<Timestamp>,
    /// When the next place is free, where none is.
    frees_at: Option<Timestamp>,
    /// How many have been put off since one was.
    put_off: u32,
}

impl Reach {
    /// Whether it has to be read again before anything is taken of it.
    pub fn is_stale(&self, limit: u32, now: Timestamp) -> bool {
        let is_fresh = self
            .read_at
            .is_some_and(|at| at <= now && now < at + READ_EVERY);
        let is_unclear = self.left == 0 && self.frees_at.is_none_or(|at| at <= now);
        self.limit != limit || !is_fresh || is_unclear
    }

    /// So many users have been written to, of the newest `limit` the first then.
    pub fn read(&mut self, limit: u32, users: u32, first: Option<Timestamp>, now: Timestamp) {
        self.limit = limit;
        self.left = limit.saturating_sub(users);
        self.read_at = Some(now);
        self.frees_at = first.filter(|_| self.left == 0).map(|first| first + WINDOW);
        if self.left > 0 {
            self.put_off = 0;
        }
    }

    /// One more user; or when to come again. One after the other, at the pace at which places come
    /// free: all at once would all be looked at again and again.
    pub fn take(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        if self.left > 0 {
            self.left -= 1;
            return Ok(());
        }
        let pace = WINDOW / self.limit.max(1);
        let at = match self.frees_at {
            Some(at) => at.max(now) + pace.saturating_mul(self.put_off),
            None => now + SOON,
        };
        self.put_off = self.put_off.saturating_add(1);
        Err(at.min(now + LOOK_AGAIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_providers_are_read_and_what_is_not_known_limits_nothing() {
        for (word, expected) in [
            ("TIER_50", Some(50)),
            ("TIER_250", Some(250)),
            ("TIER_2K", Some(2_000)),
            ("TIER_100K", Some(100_000)),
            ("2000", Some(2_000)),
            ("TIER_UNLIMITED", None),
            ("TIER_NOT_SET", None),
            ("UNTIERED", None),
            ("-1", None),
            ("0", None),
            ("TIER_9999999K", None),
            ("", None),
        ] {
            assert_eq!(limit(word), expected, "{word}");
        }
    }

    #[test]
    fn what_is_used_up_comes_free_one_after_the_other() {
        let now = Timestamp::UNIX_EPOCH + time::Duration::days(1);
        let mut reach = Reach::default();
        assert!(reach.is_stale(3, now));
        reach.read(3, 2, Some(now - time::Duration::HOUR), now);
        assert!(!reach.is_stale(3, now));
        assert!(reach.is_stale(4, now));
        assert_eq!(reach.take(now), Ok(()));
        // Nobody knows until when: it is read again.
        assert_eq!(reach.take(now), Err(now + SOON));
        assert!(reach.is_stale(3, now));
        let first = now - time::Duration::minutes(23 * 60 + 50);
        reach.read(3, 3, Some(first), now);
        assert!(!reach.is_stale(3, now));
        // The next is a third of a day later, but the limit may be another by then.
        reach.put_off = 0;
        assert_eq!(reach.take(now), Err(now + time::Duration::minutes(10)));
        assert_eq!(reach.take(now), Err(now + LOOK_AGAIN));
        let later = now + time::Duration::minutes(10);
        assert!(reach.is_stale(3, later));
        reach.read(3, 2, Some(now), later);
        assert_eq!(reach.take(later), Ok(()));
    }
}
