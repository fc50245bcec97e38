//! What came of a courier's posts: an event is taken, put off or given up, and all of it is recorded.

use std::time::Duration;

use reqwest::StatusCode;

use super::{Came, Courier, FAILED, IDLE_CURSOR, Posted, Work, empty, row};
use crate::clock;
use crate::feed::Event;
use crate::forward::post::{Failure, Outcome};
use crate::model::Timestamp;
use crate::store::deliveries::{Attempted, Record, Undelivered};

impl Courier {
    pub(super) async fn ended(&mut self, posted: Result<Posted, tokio::task::JoinError>) {
        let posted = match posted {
            Ok(posted) => posted,
            // What it had in hand is known to nobody now; from the cursor it comes again.
            Err(error) => {
                tracing::error!(%error, "a delivery broke down");
                self.over = true;
                return;
            }
        };
        self.busy.remove(&posted.subject);
        self.again -= usize::from(matches!(posted.work, Work::Again(_)));
        match (posted.came, posted.work) {
            (Came::Answered(event, outcome), work) => self.settle(&event, &outcome, work).await,
            // Nobody can show it any more.
            (Came::Gone, Work::Again(row)) => {
                self.waiting.remove(row.place);
                self.pending.undelivered.push(Undelivered {
                    dead: true,
                    next_at: None,
                    error: Some("the event is not there any more".to_owned()),
                    ..row
                });
            }
            (Came::NotRead(error), Work::Again(row)) => {
                tracing::warn!(%error, "an event could not be read");
                let next_at = self.forwarding.store.clock().now() + FAILED;
                self.waiting.put(Undelivered {
                    next_at: Some(next_at),
                    ..row
                });
            }
            (Came::NotOurs, _) | (Came::Gone | Came::NotRead(_), Work::New(_)) => self.over = true,
        }
    }

    async fn settle(&mut self, event: &Event, outcome: &Outcome, work: Work) {
        let (is_new, before) = match &work {
            Work::New(_) => (true, 0),
            Work::Again(row) => (row.attempts == 0, row.attempts),
        };
        self.log(event, outcome, before.saturating_add(1));
        let Some(failure) = &outcome.failure else {
            return self.taken(event, &work);
        };
        let clock = self.forwarding.store.clock().clone();
        let now = clock.now();
        if self.health.failing_since.is_none() {
            self.pending.failing_since = Some(Some(now));
        }
        let pause = outcome.retry_after;
        // With another status it is the event alone that is to come later.
        let of_all = outcome.status.is_some_and(|status| {
            matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
            )
        });
        let all_pause = pause.filter(|_| of_all);
        self.health
            .failed(is_new, clock.monotonic(), now, all_pause);
        let mut row = match work {
            Work::New(_) => row(event),
            Work::Again(row) => row,
        };
        row.attempts = before.saturating_add(1);
        row.failed_at = Some(now);
        row.status = outcome.status.and_then(|s| i16::try_from(s.as_u16()).ok());
        row.error = Some(failure.to_string());
        self.put_off(row, now, pause);
        self.window.end(event.place);
        self.give_up(failure, now).await;
    }

    fn taken(&mut self, event: &Event, work: &Work) {
        if self.health.failing_since.is_some() {
            self.pending.failing_since = Some(None);
        }
        if self.health.took() {
            self.waiting.hurry();
        }
        match work {
            Work::New(_) => self.window.end(event.place),
            Work::Again(row) => {
                self.waiting.remove(row.place);
                self.pending.settled.push(row.place);
                // A row that was put off before, in the same record, is settled by it.
                let place = row.place;
                self.pending.undelivered.retain(|row| row.place != place);
            }
        }
    }

    /// Gives an event its next time, or gives it up, where the schedule is over and the endpoint
    /// takes others.
    fn put_off(&mut self, row: Undelivered, now: Timestamp, pause: Option<Duration>) {
        let schedule = &self.forwarding.settings.retry;
        let tried = usize::try_from(row.attempts).unwrap_or(usize::MAX);
        let wait = schedule.get(tried.saturating_sub(1));
        let row = match wait.or(schedule.last().filter(|_| self.health.is_down())) {
            Some(wait) => {
                let next_at = now + jittered(*wait).max(pause.unwrap_or_default());
                let row = Undelivered {
                    next_at: Some(next_at),
                    ..row
                };
                self.waiting.put(row.clone());
                row
            }
            None => {
                self.waiting.remove(row.place);
                if self.waiting.len() == 0 && !self.more_waiting {
                    // Nothing is tried any more: how long it has failed is not known.
                    self.health.failing_since = None;
                    self.pending.failing_since = Some(None);
                }
                Undelivered {
                    dead: true,
                    next_at: None,
                    ..row
                }
            }
        };
        self.pending.settled.retain(|place| *place != row.place);
        self.pending.undelivered.push(row);
    }

    /// Disables an endpoint that wants no events, or has taken none for too long.
    async fn give_up(&mut self, failure: &Failure, now: Timestamp) {
        let after = self.forwarding.settings.disable_after;
        let since = self.health.failing_since.unwrap_or(now);
        let reason = match failure {
            Failure::Gone => failure.to_string(),
            _ if now - since >= after => format!("took nothing for too long; last it {failure}"),
            _ => return,
        };
        // It counts when all is recorded, since it ends this courier.
        let id = self.lease.subscription;
        let store = &self.forwarding.store;
        match store.disable_subscription(&self.lease, &reason).await {
            Ok(true) => {
                tracing::warn!(subscription = %id, reason, "a subscription was disabled");
                self.over = true;
            }
            // It is another's, or was changed: what failed was posted to what it was before.
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "a subscription could not be disabled yet"),
        }
    }

    fn log(&mut self, event: &Event, outcome: &Outcome, attempt: i16) {
        let word = outcome.failure.as_ref().map_or("taken", Failure::word);
        metrics::counter!("twotick_deliveries_total", "outcome" => word).increment(1);
        let clock = self.forwarding.store.clock();
        if outcome.failure.is_none() && attempt == 1 {
            let took = clock.now() - event.received_at;
            metrics::histogram!("twotick_delivery_seconds").record(took.as_seconds_f64().max(0.0));
        }
        let answer = outcome.failure.is_some().then(|| outcome.answer.clone());
        self.pending.attempts.push(Attempted {
            id: clock.new_id(),
            at: clock.now(),
            place: event.place,
            stream: event.stream,
            r#type: event.r#type.clone(),
            attempt,
            status: outcome
                .status
                .and_then(|status| i16::try_from(status.as_u16()).ok()),
            latency_ms: i32::try_from(outcome.latency.as_millis()).unwrap_or(i32::MAX),
            error: outcome.failure.as_ref().map(Failure::to_string),
            answer: answer.filter(|answer| !answer.is_empty()),
        });
    }

    /// Hands over what came of deliveries, and how far they have come.
    pub(super) async fn record(&mut self, release: bool) {
        let now = self.forwarding.store.clock().monotonic();
        let cursor = self.window.cursor(self.reader.place());
        let pending = &self.pending;
        let changed = !pending.attempts.is_empty()
            || !pending.undelivered.is_empty()
            || !pending.settled.is_empty()
            || pending.failing_since.is_some();
        let (recorded, at) = self.recorded;
        let idle = cursor != recorded && now.duration_since(at) >= IDLE_CURSOR;
        if !(changed || idle || release) {
            return;
        }
        let pending = std::mem::replace(&mut self.pending, empty(&self.lease));
        let record = Record {
            cursor,
            release,
            ..pending
        };
        self.recorded = (cursor, now);
        self.recorder.record(record, &self.refused).await;
    }
}

/// A fifth longer at most, so that what failed together is not tried together for ever.
fn jittered(wait: Duration) -> Duration {
    let [random] = clock::random::<1>();
    wait + wait / 5 * u32::from(random) / 255
}
