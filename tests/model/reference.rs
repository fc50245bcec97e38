//! The reference model: what may follow from what was asked, what the provider took and what it
//! said. It knows the documented rules (docs/API.md) and nothing of the service: no function of
//! `twotick::model` is used here, or both would be wrong together.
//!
//! It is a judge and not a twin. Which of two things that happen at once comes first is the
//! service's affair; so the reference says of each step that was taken whether something allowed
//! it by then, and of the end whether it is one of those that the rules leave. Time is of two
//! kinds: the order of all that the log holds (`tick`), and the service's clock (`at`).

use time::{Duration, OffsetDateTime};

use crate::asked::Asked;
use crate::history::{A_DAY, Answer, Gate, History, OnDeadline, OnFailure, Step, What, Word};
use crate::provider::{Log, Moment, Post, Said};
use crate::run::{BACKOFF, MAX_ATTEMPTS, Story, UNKNOWN_AFTER};
use crate::seen::{Row, Seen, SeenAttempt, SeenMessage, SeenSequence};

/// After everything.
const END: Moment = Moment {
    tick: u64::MAX,
    at: OffsetDateTime::new_utc(time::Date::MAX, time::Time::MIDNIGHT),
};

/// What an error asks for, of the codes that histories use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Again, a few times.
    Passing,
    /// Not before a day has passed.
    Tomorrow,
    /// Never.
    Final,
    /// Too fast, or something is closed: posted again as the same attempt.
    NotCounted,
}

/// What a refusal with this code means to a message.
fn class_of_refusal(code: i64, step: &Step) -> Class {
    match code {
        131_056 | 130_429 | 131_048 | 190 => Class::NotCounted,
        132_015 if step.template.is_some() => Class::NotCounted,
        _ => class_of_failure(code),
    }
}

/// What `failed` with this code means.
fn class_of_failure(code: i64) -> Class {
    match code {
        131_026 | 100 => Class::Final,
        131_049 => Class::Tomorrow,
        _ => Class::Passing,
    }
}

/// Something that a message failed with: when that can have been known at the earliest.
#[derive(Debug, Clone, Copy)]
struct Failure {
    known: Moment,
    class: Class,
    refused: bool,
}

pub struct Reference<'a> {
    pub history: &'a History,
    pub log: &'a Log,
    pub story: &'a Story,
    pub seen: &'a Seen,
    pub wrong: Vec<String>,
}

impl<'a> Reference<'a> {
    /// Everything that the rules do not allow.
    pub fn judge(mut self) -> Vec<String> {
        self.wrong.extend(self.story.troubles.iter().cloned());
        self.judge_evidence();
        self.judge_feed();
        self.judge_templates();
        let mut numbers: Vec<_> = self.seen.sequences.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            self.judge_sequence(number);
        }
        self.wrong
    }

    fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(what());
        }
    }

    // -- evidence and facts ---------------------------------------------------------------------

    fn said_of<'b>(&self, wamid: &'b str) -> impl Iterator<Item = &'a Said> + use<'a, 'b> {
        self.log.said.iter().filter(move |said| said.wamid == wamid)
    }

    /// The join of all that was said, in any order and however often: the first time of each.
    fn join(&self, wamid: &str) -> Row {
        let first = |word: Word| {
            let said = self.said_of(wamid).filter(|said| said.word == Ok(word));
            said.map(|said| said.dated).min()
        };
        let failed = self
            .said_of(wamid)
            .filter_map(|said| Some((said.dated, said.word.err()?)))
            .min();
        Row {
            external: false,
            times: [
                first(Word::Sent),
                first(Word::Delivered),
                first(Word::Read),
                first(Word::Played),
                failed.map(|(at, _)| at),
            ],
            failed_code: failed.map(|(_, code)| code),
        }
    }

    fn judge_evidence(&mut self) {
        let mut wamids: Vec<&str> = self.log.said.iter().map(|s| s.wamid.as_str()).collect();
        wamids.sort_unstable();
        wamids.dedup();
        for wamid in wamids {
            let expected = self.join(wamid);
            let rows = self.seen.evidence.get(wamid).map_or(&[][..], Vec::as_slice);
            self.check(
                matches!(rows, [row] if row.times == expected.times
                    && row.failed_code == expected.failed_code),
                || format!("evidence of {wamid}: expected {expected:?}, seen {rows:?}"),
            );
            let post = self
                .log
                .posts
                .iter()
                .find(|p| p.took.as_deref() == Some(wamid));
            let ours = post.is_some_and(|post| self.must_be_known(post));
            self.check(!ours || rows.iter().all(|row| !row.external), || {
                format!("{wamid} is ours, and is shown as somebody else's")
            });
            self.judge_facts(wamid);
        }
        let twice = self.seen.decided_twice.join(", ");
        self.check(twice.is_empty(), || {
            format!("decided more than once: {twice}")
        });
    }

    fn judge_facts(&mut self, wamid: &str) {
        let mut words: Vec<String> = self
            .said_of(wamid)
            .map(|said| match said.word {
                Ok(word) => format!("message.{word:?}").to_lowercase(),
                Err(_) => "message.failed".to_owned(),
            })
            .collect();
        words.sort_unstable();
        words.dedup();
        for word in words {
            let key = (wamid.to_owned(), word);
            let n = self.seen.said.get(&key).copied().unwrap_or(0);
            self.check(n == 1, || format!("{key:?} is there {n} times"));
        }
    }

    /// Who follows the feed sees every fact once.
    fn judge_feed(&mut self) {
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

    /// Whether the service cannot but know that the provider's id is this attempt's.
    fn must_be_known(&self, post: &Post) -> bool {
        let wamid = post.took.as_deref().unwrap_or_default();
        self.said_of(wamid).any(|said| said.callback) || self.surely_heard(post)
    }

    /// Whether the answer came to somebody who lived to record it.
    fn surely_heard(&self, post: &Post) -> bool {
        let Some(answered) = post.answered.filter(|_| post.heard) else {
            return false;
        };
        // What a dead instance had sent may still arrive; not after a rest.
        let rested = |from: Moment, to: Moment| {
            let mut rests = self.story.rests.iter();
            rests.any(|rest| from < *rest && *rest < to)
        };
        let mut crashes = self.story.crashes.iter();
        crashes.all(|crash| {
            (!post.is_late() && rested(answered, *crash)) || rested(*crash, post.arrived)
        })
    }

    // -- templates ------------------------------------------------------------------------------

    /// What was claimed after a pause had been taken, before anything said that it is over.
    fn judge_templates(&mut self) {
        let steps = &self.history.steps;
        let mut wrong = Vec::new();
        for pause in self.log.templates.iter().filter(|said| said.paused) {
            let Some(committed) = pause.done else {
                continue;
            };
            let messages = self.seen.sequences.values().flat_map(|s| &s.messages);
            let uses = messages.filter(|m| steps[m.step].template == Some(pause.template));
            for attempt in uses.flat_map(|message| &message.attempts) {
                let claimed = attempt.posted_at.filter(|at| *at > committed.at);
                let posts = self.log.posts.iter().filter(|p| p.attempt == attempt.id);
                let by = posts.map(|post| post.arrived).max().unwrap_or(END);
                let opened = self.log.templates.iter().any(|said| {
                    said.template == pause.template
                        && !said.paused
                        && said.dated > pause.dated
                        && said.begun < by
                });
                if claimed.is_some() && !opened {
                    wrong.push(format!("{} was claimed after {pause:?}", attempt.id));
                }
            }
        }
        self.wrong.extend(wrong);
    }

    // -- sequences ------------------------------------------------------------------------------

    fn judge_sequence(&mut self, number: usize) {
        let judged = Judged::of(self, number);
        let wrong = judged.judge();
        let named = wrong
            .into_iter()
            .map(|what| format!("sequence {number}: {what}"));
        self.wrong.extend(named);
    }
}

/// One sequence, with all that concerns it.
struct Judged<'a> {
    reference: &'a Reference<'a>,
    on_failure: OnFailure,
    gate: Gate,
    lone: bool,
    seen: &'a SeenSequence,
    /// Of each message, in order.
    posts: Vec<Vec<&'a Post>>,
    asked: Vec<&'a Asked>,
}

impl<'a> Judged<'a> {
    fn of(reference: &'a Reference<'a>, number: usize) -> Self {
        let seen = &reference.seen.sequences[&number];
        let sequence = &reference.history.sequences[number];
        let steps = seen.messages.iter().map(|message| message.step);
        let posts_of = |step: usize| {
            let posts = reference.log.posts.iter();
            posts.filter(move |post| post.step == step).collect()
        };
        Self {
            reference,
            on_failure: sequence.on_failure,
            gate: sequence.gate,
            lone: sequence.lone,
            seen,
            posts: steps.map(posts_of).collect(),
            asked: (reference.story.asked.iter())
                .filter(|asked| asked.sequence == number && asked.answer.is_ok())
                .collect(),
        }
    }

    fn step(&self, at: usize) -> &'a Step {
        &self.reference.history.steps[self.seen.messages[at].step]
    }

    fn gate(&self, at: usize) -> Gate {
        self.step(at).gate.unwrap_or(self.gate)
    }

    fn judge(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (at, message) in self.seen.messages.iter().enumerate() {
            for post in &self.posts[at] {
                wrong.extend(self.judge_order(at, post));
                wrong.extend(self.judge_standstill(at, post));
            }
            wrong.extend(self.judge_attempts(at, message));
            wrong.extend(self.judge_status(at, message));
        }
        wrong.extend(self.judge_end());
        wrong
    }

    // -- what was posted ------------------------------------------------------------------------

    /// Promise 8: a message goes only when all before it have been passed.
    fn judge_order(&self, at: usize, post: &Post) -> Vec<String> {
        let mut wrong = Vec::new();
        for before in 0..at {
            match self.passed(before, post.arrived) {
                None => wrong.push(format!(
                    "message {at} was posted ({}) before message {before} was passed",
                    post.attempt
                )),
                Some(passed) if before + 1 == at => {
                    let delay = Duration::seconds(self.step(at).delay);
                    if post.arrived.at < passed.at + delay {
                        wrong.push(format!("message {at} was posted before its delay was over"));
                    }
                }
                Some(_) => {}
            }
        }
        wrong
    }

    /// Nothing is posted after a pause or a cancellation was answered but what was on its way.
    fn judge_standstill(&self, at: usize, post: &Post) -> Vec<String> {
        let step = self.seen.messages[at].step;
        let mut wrong = Vec::new();
        for asked in self.asked.iter().filter(|asked| asked.done < post.arrived) {
            let stands = match asked.what {
                What::Pause => !self.asked.iter().any(|later| {
                    matches!(later.what, What::Resume | What::Cancel)
                        && later.done > asked.done
                        && later.begun < post.arrived
                }),
                What::Cancel => true,
                What::CancelMessage => asked.step == Some(step),
                _ => false,
            };
            let shown = asked.answer.as_ref().ok();
            let on_its_way = shown.is_some_and(|shown| shown.in_flight.contains(&post.attempt))
                // Once: what came back is not posted again.
                && self.posts[at].iter().all(|other| {
                    other.arrived >= post.arrived || other.arrived < asked.done
                        || other.attempt != post.attempt
                });
            if stands && !on_its_way {
                wrong.push(format!("{} was posted after {asked:?}", post.attempt));
            }
        }
        wrong
    }

    /// Promise 7: a message is posted again only for a reason.
    fn judge_attempts(&self, at: usize, message: &SeenMessage) -> Vec<String> {
        let mut wrong = Vec::new();
        let posts = &self.posts[at];
        for (index, post) in posts.iter().enumerate() {
            let same = posts[..index]
                .iter()
                .rev()
                .find(|p| p.attempt == post.attempt);
            if let Some(before) = same {
                if !self.was_given_back(at, before, post.arrived) {
                    wrong.push(format!("{} was posted twice", post.attempt));
                }
            } else if posts[..index].iter().any(|before| before.n > post.n) {
                wrong.push(format!("{} was posted after a later one", post.attempt));
            } else if post.n > 1 && !self.may_repeat(at, message, post) {
                wrong.push(format!("{} was posted again for no reason", post.attempt));
            }
        }
        for attempt in &message.attempts {
            wrong.extend(self.judge_outcome(at, attempt));
        }
        wrong
    }

    fn was_given_back(&self, at: usize, post: &Post, by: Moment) -> bool {
        let code = refusal(post);
        post.answered.is_some_and(|answered| answered < by)
            && code.is_some_and(|c| class_of_refusal(c, self.step(at)) == Class::NotCounted)
    }

    /// Whether something allowed this attempt after the one before.
    fn may_repeat(&self, at: usize, message: &SeenMessage, post: &Post) -> bool {
        let before: Vec<_> = self.posts[at]
            .iter()
            .filter(|p| p.n == post.n - 1)
            .collect();
        let since = before.last().map(|before| before.arrived);
        let a_person = self.asked.iter().any(|asked| {
            let this = asked.step.is_none() || asked.step == Some(message.step);
            matches!(asked.what, What::Retry | What::RetryMessage)
                && this
                && asked.begun < post.arrived
                && since.is_none_or(|since| asked.done > since)
        });
        let within = usize::try_from(post.n).is_ok_and(|n| n <= MAX_ATTEMPTS);
        let failed = self
            .failures(at, post.n - 1, post.arrived)
            .into_iter()
            .any(|failure| {
                let wait = match failure.class {
                    Class::Passing => BACKOFF * (1 << (post.n - 2)),
                    Class::Tomorrow => crate::asked::seconds(A_DAY),
                    Class::Final | Class::NotCounted => return false,
                };
                let retries = self.on_failure == OnFailure::Retry
                    || (failure.refused && failure.class == Class::Passing);
                retries && post.arrived.at >= failure.known.at + wait
            });
        // Whatever else is said of it: what was delivered is not sent again.
        let failed = failed
            && !self.is_settled(at, message, post, |word| {
                word.is_ok_and(|word| word >= Word::Delivered)
            });
        a_person || (within && (failed || self.may_resend(at, message, post, since)))
    }

    /// The answer was lost, and duplicates are welcome.
    fn may_resend(
        &self,
        at: usize,
        message: &SeenMessage,
        post: &Post,
        since: Option<Moment>,
    ) -> bool {
        let waited = since.is_none_or(|since| post.arrived.at >= since.at + UNKNOWN_AFTER);
        let lost = since.is_some() || !self.reference.story.crashes.is_empty();
        let settled = self.is_settled(at, message, post, |_| true);
        self.step(at).resend && waited && lost && !settled
    }

    fn judge_outcome(&self, at: usize, attempt: &SeenAttempt) -> Vec<String> {
        let mut wrong = Vec::new();
        let posts: Vec<_> = self.posts[at]
            .iter()
            .filter(|p| p.attempt == attempt.id)
            .collect();
        if let Some(wamid) = &attempt.wamid
            && !posts.iter().any(|post| post.took.as_ref() == Some(wamid))
        {
            wrong.push(format!("{} has the id {wamid} of another", attempt.id));
        }
        let Some(last) = posts.last() else {
            return wrong;
        };
        let holds = match attempt.outcome.as_deref() {
            Some("accepted") => last.took.is_some() && last.answer != Answer::Holds,
            Some("held") => last.answer == Answer::Holds,
            Some("refused") => {
                let code = refusal(last);
                code == attempt.code
                    && code.is_some_and(|c| class_of_refusal(c, self.step(at)) != Class::NotCounted)
            }
            Some(_) => !self.reference.surely_heard(last),
            None => {
                let code = refusal(last);
                let back = code.map(|c| class_of_refusal(c, self.step(at)));
                !self.reference.surely_heard(last) || back == Some(Class::NotCounted)
            }
        };
        if !holds {
            wrong.push(format!(
                "the outcome of {attempt:?} is not that of {last:?}"
            ));
        }
        wrong
    }

    // -- when a message is passed ---------------------------------------------------------------

    /// When it can have been passed at the earliest, if it can have been by then.
    fn passed(&self, at: usize, by: Moment) -> Option<Moment> {
        let step = self.seen.messages[at].step;
        let gate = self.gate(at);
        let cancelled = self.asked.iter().filter_map(|asked| {
            (asked.what == What::CancelMessage && asked.step == Some(step)).then_some(asked.begun)
        });
        // Who resumes what is held passes its head.
        let skipped = self.asked.iter().filter_map(|asked| {
            let head = usize::try_from(asked.answer.as_ref().ok()?.head).ok()?;
            (asked.what == What::Resume && head == at + 2).then_some(asked.begun)
        });
        let late = self.posts[at]
            .iter()
            .filter(|_| gate.on_deadline == OnDeadline::Skip);
        let late = late.map(|post| Moment {
            tick: post.arrived.tick,
            at: post.arrived.at + Duration::seconds(gate.deadline),
        });
        let late = late.filter(|late| late.at <= by.at);
        let opened = self.posts[at]
            .iter()
            .filter_map(|post| self.reached(post, gate.word));
        self.skipped_as_failed(at, by)
            .into_iter()
            .chain(cancelled)
            .chain(skipped)
            .chain(late)
            .chain(opened)
            .filter(|moment| moment.tick < by.tick)
            .min_by_key(|moment| moment.at)
    }

    /// When it can have been known that this POST's message has come so far: somebody must have
    /// said so, and something must have said that the provider's id is ours.
    fn reached(&self, post: &Post, word: Word) -> Option<Moment> {
        let wamid = post.took.as_deref()?;
        let said = || self.reference.said_of(wamid);
        let answered = post
            .answered
            .filter(|_| !matches!(post.answer, Answer::BadGateway { .. }));
        let linked = said().filter(|said| said.callback).map(|said| said.begun);
        let linked = linked.chain(answered).min()?;
        // What is held for its quality was accepted, and is not on its way yet.
        let needed = match post.answer {
            Answer::Holds => word.max(Word::Sent),
            _ => word,
        };
        let evidence = said().filter(|said| said.word >= Ok(needed) && said.word.is_ok());
        let accepted = answered.filter(|_| needed == Word::Accepted);
        let reached = evidence.map(|said| said.begun).chain(accepted).min()?;
        Some(linked.max(reached))
    }

    /// Whether evidence of such a word about the attempt before, that names it, was committed
    /// before this one was claimed.
    fn is_settled(
        &self,
        at: usize,
        message: &SeenMessage,
        post: &Post,
        by: impl Fn(Result<Word, i64>) -> bool,
    ) -> bool {
        let claimed = message.attempts.iter().find(|attempt| attempt.n == post.n);
        let claimed = claimed
            .and_then(|attempt| attempt.posted_at)
            .unwrap_or(END.at);
        let mut before = self.posts[at].iter().filter(|p| p.n == post.n - 1);
        before.any(|before| {
            let wamid = before.took.as_deref().unwrap_or("-");
            let mut said = self.reference.said_of(wamid);
            said.any(|said| {
                by(said.word) && said.callback && said.done.is_some_and(|done| done.at < claimed)
            })
        })
    }

    /// What the attempt failed with by then: refused, or said to have failed.
    fn failures(&self, at: usize, n: i16, by: Moment) -> Vec<Failure> {
        let mut failures = Vec::new();
        for post in self.posts[at].iter().filter(|post| post.n == n) {
            if let (Some(code), Some(answered)) = (refusal(post), post.answered) {
                failures.push(Failure {
                    known: answered,
                    class: class_of_refusal(code, self.step(at)),
                    refused: true,
                });
            }
            let wamid = post.took.as_deref().unwrap_or("-");
            for said in self.reference.said_of(wamid) {
                if let Err(code) = said.word {
                    failures.push(Failure {
                        known: said.begun,
                        class: class_of_failure(code),
                        refused: false,
                    });
                }
            }
        }
        failures.retain(|failure| failure.known < by && failure.class != Class::NotCounted);
        failures
    }

    /// Whether nothing more is tried after this failure of the `n`th attempt.
    fn is_final(&self, failure: &Failure, n: i16) -> bool {
        let left = usize::try_from(n).is_ok_and(|n| n < MAX_ATTEMPTS);
        let retries = self.on_failure == OnFailure::Retry;
        match failure.class {
            Class::Passing => !(left && (failure.refused || retries)),
            Class::Tomorrow => !(left && retries),
            Class::Final => true,
            Class::NotCounted => false,
        }
    }

    fn last_failure(&self, at: usize, by: Moment) -> Option<Moment> {
        let numbers = self.posts[at]
            .iter()
            .filter(|p| p.arrived < by)
            .map(|post| post.n);
        let failures = numbers.flat_map(|n| {
            let failures = self.failures(at, n, by).into_iter();
            let last = failures.filter(move |failure| self.is_final(failure, n));
            last.map(|failure| failure.known)
        });
        failures.min()
    }

    fn skipped_as_failed(&self, at: usize, by: Moment) -> Option<Moment> {
        let skips = self.on_failure == OnFailure::Skip;
        self.last_failure(at, by).filter(|_| skips)
    }

    // -- the end --------------------------------------------------------------------------------

    /// What people left it in: paused, cancelled.
    fn left_in(&self) -> (bool, bool) {
        let (mut paused, mut cancelled) = (false, false);
        for asked in &self.asked {
            match asked.what {
                What::Pause => paused = true,
                What::Resume => paused = false,
                What::Cancel => cancelled = true,
                What::CancelMessage if self.lone => cancelled = true,
                _ => {}
            }
        }
        (paused && !cancelled, cancelled)
    }

    fn judge_end(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let SeenSequence {
            status,
            reason,
            head,
            messages,
        } = self.seen;
        for at in 0..(head - 1).min(messages.len()) {
            if self.passed(at, END).is_none() {
                wrong.push(format!("message {at} was passed for no reason"));
            }
        }
        let (paused, cancelled) = self.left_in();
        let at = head - 1;
        let holds = match (status.as_str(), reason.as_deref()) {
            ("paused", _) => paused,
            ("cancelled", _) => cancelled,
            _ if paused || cancelled => false,
            ("completed", _) => at == messages.len(),
            ("stopped", Some("failure")) => {
                self.on_failure != OnFailure::Skip && self.last_failure(at, END).is_some()
            }
            ("stopped", Some("deadline")) => {
                self.gate(at).on_deadline == OnDeadline::Stop && self.may_be_late(at)
            }
            ("held", Some("deadline")) => {
                self.gate(at).on_deadline == OnDeadline::Hold
                    && self.may_be_late(at)
                    && !self.is_open(at)
                    && !self.has_failed(at)
            }
            ("held", Some("unknown")) => self.may_stay_unknown(at),
            ("running", None) => self.is_being_assessed(at),
            _ => false,
        };
        if !holds {
            wrong.push(format!(
                "it ended {status} ({reason:?}) at message {at}; people left it paused: {paused}, \
                 cancelled: {cancelled}"
            ));
        }
        wrong
    }

    /// An attempt's row of evidence, where it is known to be ours.
    fn evidence(&self, attempt: &SeenAttempt) -> Row {
        let wamid = attempt.wamid.as_deref().unwrap_or("-");
        self.reference.join(wamid)
    }

    /// Whether all that was said opens the gate.
    fn is_open(&self, at: usize) -> bool {
        let word = self.gate(at).word;
        self.seen.messages[at].attempts.iter().any(|attempt| {
            let evidence = self.evidence(attempt);
            let failed = evidence.times[4].is_some() && highest(&evidence) < Some(Word::Delivered);
            let accepted = attempt.outcome.as_deref() == Some("accepted");
            let rank = highest(&evidence).or(accepted.then_some(Word::Accepted));
            !failed && rank >= Some(word)
        })
    }

    fn has_failed(&self, at: usize) -> bool {
        let last = self.seen.messages[at].attempts.last();
        last.is_some_and(|attempt| {
            let evidence = self.evidence(attempt);
            evidence.times[4].is_some() && highest(&evidence) < Some(Word::Delivered)
        })
    }

    /// Whether the deadline can have passed before what opens the gate was committed. It counts
    /// from acceptance, which is no earlier than the first POST.
    fn may_be_late(&self, at: usize) -> bool {
        let gate = self.gate(at);
        let in_time = self.posts[at].iter().any(|post| {
            let deadline = self.posts[at][0].arrived.at + Duration::seconds(gate.deadline);
            let wamid = post.took.as_deref().unwrap_or("-");
            let said = || self.reference.said_of(wamid);
            said().all(|said| said.word.is_ok())
                && said().any(|said| {
                    said.callback
                        && said.word >= Ok(gate.word.max(Word::Sent))
                        && said.done.is_some_and(|done| done.at < deadline)
                })
        });
        !self.posts[at].is_empty() && !in_time
    }

    /// Whether the last attempt's fate is still open when everything has been said.
    fn may_stay_unknown(&self, at: usize) -> bool {
        let attempts = &self.seen.messages[at].attempts;
        let Some(last) = attempts.last() else {
            return false;
        };
        let resends = self.step(at).resend && attempts.len() < MAX_ATTEMPTS;
        last.outcome.as_deref() == Some("unknown") && last.wamid.is_none() && !resends
    }

    /// Whether the provider still holds the message, and has said nothing since: no deadline runs.
    fn is_being_assessed(&self, at: usize) -> bool {
        let last = self.seen.messages.get(at).and_then(|m| m.attempts.last());
        last.is_some_and(|last| {
            let said = self.evidence(last);
            last.outcome.as_deref() == Some("held") && said.times.iter().all(Option::is_none)
        })
    }

    // -- what is shown of a message -------------------------------------------------------------

    fn judge_status(&self, at: usize, message: &SeenMessage) -> Vec<String> {
        let allowed = self.statuses(at, message);
        if allowed.contains(&message.status.as_str()) {
            return Vec::new();
        }
        let (status, attempts) = (&message.status, &message.attempts);
        vec![format!(
            "message {at} is {status}, expected one of {allowed:?}: {attempts:?}"
        )]
    }

    /// The statuses that the API may show, by its table: the first line that holds.
    fn statuses(&self, at: usize, message: &SeenMessage) -> Vec<&'static str> {
        let evidence: Vec<Row> = message.attempts.iter().map(|a| self.evidence(a)).collect();
        match evidence.iter().filter_map(highest).max() {
            Some(Word::Played) => return vec!["played"],
            Some(Word::Read) => return vec!["read"],
            Some(Word::Delivered) => return vec!["delivered"],
            _ => {}
        }
        let taken_out = self
            .asked
            .iter()
            .any(|asked| asked.what == What::CancelMessage && asked.step == Some(message.step));
        if taken_out {
            return vec!["cancelled"];
        }
        let over = matches!(
            self.seen.status.as_str(),
            "completed" | "stopped" | "cancelled"
        );
        let done_with = over || at + 1 < self.seen.head;
        let (Some(last), Some(said)) = (message.attempts.last(), evidence.last()) else {
            return vec![if done_with { "cancelled" } else { "queued" }];
        };
        let outcome = last.outcome.as_deref();
        let waits = ["queued", "failed"];
        match (highest(said), outcome) {
            _ if said.times[4].is_some() || outcome == Some("refused") => {
                waits[usize::from(done_with)..].to_vec()
            }
            (Some(_), _) => vec!["sent"],
            (None, Some("accepted")) => vec!["accepted"],
            (None, Some("held")) => vec!["held"],
            (None, Some(_)) => vec!["unknown"],
            // It was given back, or its claim ended with its sequence.
            (None, None) if done_with => vec!["cancelled", "failed"],
            (None, None) => vec!["queued"],
        }
    }
}

/// The code an answer refused it with.
fn refusal(post: &Post) -> Option<i64> {
    match post.answer {
        Answer::Refuses(code) | Answer::RefusesLate(code) => Some(code),
        _ => None,
    }
}

/// The highest of `sent`, `delivered`, `read`, `played` that was said.
fn highest(row: &Row) -> Option<Word> {
    [Word::Played, Word::Read, Word::Delivered, Word::Sent]
        .into_iter()
        .zip([3, 2, 1, 0])
        .find_map(|(word, at)| row.times[at].map(|_| word))
}
