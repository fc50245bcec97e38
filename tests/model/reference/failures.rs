//! What errors mean, and what a message failed with.

use super::sequence::Judged;
use crate::history::{Answer, OnFailure, Step};
use crate::provider::{Moment, Post};
use crate::run::MAX_ATTEMPTS;

/// What an error asks for, of the codes that histories use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
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
pub(super) fn class_of_refusal(code: i64, step: &Step) -> Class {
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
pub(super) struct Failure {
    pub(super) known: Moment,
    pub(super) class: Class,
    pub(super) refused: bool,
}

impl Judged<'_> {
    /// What the attempt failed with by then: refused, or said to have failed.
    pub(super) fn failures(&self, at: usize, n: i16, by: Moment) -> Vec<Failure> {
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
            Class::Tomorrow => !(left && (failure.refused || retries)),
            Class::Final => true,
            Class::NotCounted => false,
        }
    }

    pub(super) fn last_failure(&self, at: usize, by: Moment) -> Option<Moment> {
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

    pub(super) fn skipped_as_failed(&self, at: usize, by: Moment) -> Option<Moment> {
        let skips = self.on_failure == OnFailure::Skip;
        self.last_failure(at, by).filter(|_| skips)
    }
}

/// The code an answer refused it with.
pub(super) fn refusal(post: &Post) -> Option<i64> {
    match post.answer {
        Answer::Refuses(code) | Answer::RefusesLate(code) => Some(code),
        _ => None,
    }
}
