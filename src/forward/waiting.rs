//! What of a subscription waits in `undelivered`: events that were refused, each with the later
//! ones of its subject behind it. In memory as the table has it, or has it in a moment.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::feed::Subject;
use crate::model::Timestamp;
use crate::store::deliveries::Undelivered;
use crate::store::feed::Place;

/// What waits.
#[derive(Debug, Default)]
pub struct Waiting {
    rows: BTreeMap<Place, Undelivered>,
    /// The first of each goes first.
    subjects: HashMap<Subject, BTreeSet<Place>>,
    /// How many are no replays.
    live: usize,
}

/// What an event's order counts within.
fn subject(row: &Undelivered) -> Subject {
    Subject::of(row.stream, row.subject, row.place.event())
}

impl Waiting {
    /// How many.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many of them keep new events back: replays, which somebody asked for, do not.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Whether an event of this subject has to wait behind others.
    pub fn blocks(&self, subject: Subject) -> bool {
        self.subjects.contains_key(&subject)
    }

    /// Whether this event does.
    pub fn has(&self, place: Place) -> bool {
        self.rows.contains_key(&place)
    }

    /// An event that waits from now on, or as it stands after another attempt.
    pub fn put(&mut self, row: Undelivered) {
        let of = self.subjects.entry(subject(&row)).or_default();
        of.insert(row.place);
        self.live += usize::from(!row.replay);
        if let Some(before) = self.rows.insert(row.place, row) {
            self.live -= usize::from(!before.replay);
        }
    }

    /// One that waits no longer. The next of its subject may go.
    pub fn remove(&mut self, place: Place) -> Option<Undelivered> {
        let row = self.rows.remove(&place)?;
        self.live -= usize::from(!row.replay);
        let subject = subject(&row);
        if let Some(of) = self.subjects.get_mut(&subject) {
            of.remove(&place);
            if of.is_empty() {
                self.subjects.remove(&subject);
            }
        }
        Some(row)
    }

    /// The one that may go now, if one may: of those the one whose time came first. With `early`
    /// the one whose time comes first, even if it has not come. None of a subject of which an event is
    /// on its way.
    pub fn take_due(
        &self,
        now: Timestamp,
        early: bool,
        busy: &HashSet<Subject>,
    ) -> Option<Undelivered> {
        let (at, place) = self.next(busy)?;
        match at.is_some_and(|at| at > now) && !early {
            true => None,
            false => self.rows.get(&place).cloned(),
        }
    }

    /// The oldest that was tried and is not on its way again; no replay, which somebody asked for.
    pub fn oldest_refused(&self, busy: &HashSet<Subject>) -> Option<Undelivered> {
        let is_one =
            |row: &&Undelivered| row.attempts > 0 && !row.replay && !busy.contains(&subject(row));
        self.rows.values().find(is_one).cloned()
    }

    /// When one may go; the innermost `None`: now.
    pub fn next_at(&self, busy: &HashSet<Subject>) -> Option<Option<Timestamp>> {
        self.next(busy).map(|(at, _)| at)
    }

    fn next(&self, busy: &HashSet<Subject>) -> Option<(Option<Timestamp>, Place)> {
        let ready = self.subjects.iter();
        let ready = ready.filter(|(subject, _)| !busy.contains(subject));
        let heads = ready.filter_map(|(_, of)| self.rows.get(of.first()?));
        heads.map(|row| (row.next_at, row.place)).min()
    }

    /// The endpoint takes events again: none has to wait for its time.
    pub fn hurry(&mut self) {
        for row in self.rows.values_mut() {
            row.next_at = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(n: u8) -> Place {
        let mut bytes = [0; 24];
        (bytes[7], bytes[23]) = (n, n);
        Place::from_bytes(bytes)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_timestamp(seconds).unwrap()
    }

    fn row(n: u8, subject: u128, next_at: Option<i64>) -> Undelivered {
        Undelivered {
            place: place(n),
            stream: 1,
            subject: uuid::Uuid::from_u128(subject),
            r#type: "message.sent".to_owned(),
            dead: false,
            replay: false,
            attempts: 1,
            next_at: next_at.map(at),
            failed_at: None,
            status: None,
            error: None,
        }
    }

    #[test]
    fn what_waits_behind_another_goes_after_it_and_nothing_else_waits_for_it() {
        let mut waiting = Waiting::default();
        waiting.put(row(1, 7, Some(100)));
        waiting.put(row(2, 7, None));
        waiting.put(row(3, 8, Some(50)));
        // Without a subject, each is its own.
        waiting.put(row(4, 0, Some(60)));
        waiting.put(row(5, 0, Some(70)));
        let mut busy = HashSet::new();
        let mut taken = |now, early| {
            let row = waiting.take_due(at(now), early, &busy)?;
            busy.insert(subject(&row));
            Some(row.place)
        };
        assert_eq!(taken(49, false), None);
        assert_eq!(taken(75, false), Some(place(3)));
        assert_eq!(taken(75, false), Some(place(4)));
        assert_eq!(taken(75, false), Some(place(5)));
        assert_eq!(taken(75, false), None, "2 is behind 1");
        assert_eq!(taken(75, true), Some(place(1)));
        waiting.remove(place(1));
        assert_eq!(
            waiting.next_at(&busy),
            None,
            "one of its subject is on its way"
        );
        let subject = Subject::of(1, uuid::Uuid::from_u128(7), uuid::Uuid::nil());
        busy.remove(&subject);
        assert_eq!(waiting.next_at(&busy), Some(None), "it may go at once");
        let next = waiting.take_due(at(75), false, &busy);
        assert_eq!(next.unwrap().place, place(2));
        assert!(waiting.blocks(subject));
        waiting.remove(place(2));
        assert!(!waiting.blocks(subject));
        assert_eq!(waiting.len(), 3);
    }

    #[test]
    fn replays_keep_no_new_event_back() {
        let mut waiting = Waiting::default();
        let replay = |n| Undelivered {
            replay: true,
            ..row(n, 0, None)
        };
        waiting.put(replay(1));
        waiting.put(row(2, 0, None));
        waiting.put(row(2, 0, Some(5)));
        assert_eq!((waiting.len(), waiting.live()), (2, 1));
        // What is replayed while it waits by itself is one.
        waiting.put(replay(2));
        assert_eq!((waiting.len(), waiting.live()), (2, 0));
        waiting.remove(place(1));
        waiting.remove(place(2));
        assert_eq!((waiting.len(), waiting.live()), (0, 0));
    }

    #[test]
    fn one_that_failed_again_waits_again_and_all_go_when_the_endpoint_is_back() {
        let mut waiting = Waiting::default();
        let nothing = HashSet::new();
        let due = |waiting: &Waiting, now| waiting.take_due(at(now), false, &nothing);
        waiting.put(row(1, 7, Some(10)));
        assert!(due(&waiting, 10).is_some());
        waiting.put(row(1, 7, Some(20)));
        assert!(due(&waiting, 19).is_none());
        waiting.hurry();
        assert!(due(&waiting, 11).is_some());
        assert_eq!(waiting.len(), 1);
    }
}
