use std::time::Duration;

use time::OffsetDateTime;

use super::*;
use crate::model::error_class::{ErrorClass, classify};
use crate::model::evidence::{Evidence, Failure};

mod rules;

const NOW: Timestamp = OffsetDateTime::UNIX_EPOCH;
const LIMITS: RetryLimits = RetryLimits {
    attempts: 3,
    first_backoff: Duration::from_secs(2),
    marketing_wait: Duration::from_secs(24 * 3600),
    unknown_after: Duration::from_secs(60),
};
const RULES: Rules = Rules {
    us_marketing: UsMarketing::Fail,
    us_marketing_from: NOW,
};
const TRANSIENT: i64 = 131_016;
const UNDELIVERABLE: i64 = 131_026;
const MARKETING_LIMIT: i64 = 131_049;
const PAUSED: i64 = 132_015;

fn gate(status: GateStatus, on_deadline: OnDeadline) -> Gate {
    Gate {
        status,
        deadline: Duration::from_secs(100),
        on_deadline,
    }
}

fn delivered() -> Gate {
    gate(GateStatus::Delivered, OnDeadline::Stop)
}

fn running(work: SequenceWork) -> Sequence {
    Sequence {
        status: SequenceStatus::Running,
        reason: None,
        work,
        ready_at: None,
        deadline_at: None,
        on_failure: OnFailure::Stop,
        policy: Policy::default(),
        since: NOW,
    }
}

fn waiting() -> Sequence {
    running(SequenceWork::Waiting)
}

/// The head is to be posted again, for this reason.
fn again(reason: Reason) -> Sequence {
    Sequence {
        reason: Some(reason),
        ..running(SequenceWork::Ready)
    }
}

fn held(reason: Reason) -> Sequence {
    Sequence {
        status: SequenceStatus::Held,
        reason: Some(reason),
        ..waiting()
    }
}

fn accepted(evidence: Evidence) -> Attempt {
    let evidence = evidence.join(Evidence {
        accepted_at: Some(NOW),
        ..Evidence::default()
    });
    Attempt {
        evidence,
        outcome: Some(Outcome::Accepted),
        ..Attempt::default()
    }
}

fn with(status: GateStatus) -> Evidence {
    let at = Some(NOW);
    match status {
        GateStatus::Accepted => Evidence {
            accepted_at: at,
            ..Evidence::default()
        },
        GateStatus::Sent => Evidence {
            sent_at: at,
            ..Evidence::default()
        },
        GateStatus::Delivered => Evidence {
            delivered_at: at,
            ..Evidence::default()
        },
        GateStatus::Read => Evidence {
            read_at: at,
            ..Evidence::default()
        },
    }
}

fn failed(code: i64) -> Evidence {
    Evidence {
        failed: Some(Failure { at: NOW, code }),
        ..with(GateStatus::Sent)
    }
}

fn unknown() -> Attempt {
    Attempt {
        outcome: Some(Outcome::Unknown { since: NOW }),
        ..Attempt::default()
    }
}

fn refused(code: i64) -> Attempt {
    Attempt {
        outcome: Some(Outcome::Refused(classify(code))),
        ..Attempt::default()
    }
}

fn ask(sequence: &Sequence, attempts: &[Attempt], gate: Gate) -> Action {
    ask_at(sequence, attempts, gate, OnUnknown::Hold, NOW)
}

fn ask_at(
    sequence: &Sequence,
    attempts: &[Attempt],
    gate: Gate,
    on_unknown: OnUnknown,
    now: Timestamp,
) -> Action {
    let head = Head {
        gate,
        on_unknown,
        ..head(attempts)
    };
    next(sequence, Some(&head), &at(now, &User::default()))
}

fn head(attempts: &[Attempt]) -> Head<'_> {
    Head {
        attempts,
        cancelled: false,
        gate: delivered(),
        on_unknown: OnUnknown::Hold,
        content: Content::Template,
        is_last: false,
    }
}

fn at(now: Timestamp, user: &User) -> Circumstances<'_> {
    Circumstances {
        user,
        now,
        limits: &LIMITS,
        rules: &RULES,
        repeats_harmlessly: false,
    }
}

#[test]
fn a_gate_opens_only_on_the_chosen_status_or_a_higher_one() {
    let order = [
        GateStatus::Accepted,
        GateStatus::Sent,
        GateStatus::Delivered,
        GateStatus::Read,
    ];
    for (at, wanted) in order.into_iter().enumerate() {
        for (reached_at, reached) in order.into_iter().enumerate() {
            let action = ask(
                &waiting(),
                &[accepted(with(reached))],
                gate(wanted, OnDeadline::Stop),
            );
            let opened = action == Action::Advance(Passed::Opened);
            assert_eq!(
                opened,
                reached_at >= at,
                "{reached:?} for a gate of {wanted:?}"
            );
        }
    }
}

#[test]
fn a_head_is_posted_and_what_is_being_posted_is_left_alone() {
    assert_eq!(
        ask(&running(SequenceWork::Ready), &[], delivered()),
        Action::Post
    );
    let claimed = ask(&running(SequenceWork::Claimed), &[], delivered());
    assert_eq!(
        claimed,
        Action::Wait {
            due_at: None,
            deadline_at: None
        }
    );
}

#[test]
fn behind_the_last_message_the_sequence_is_complete() {
    let action = next(
        &running(SequenceWork::Ready),
        None,
        &at(NOW, &User::default()),
    );
    assert_eq!(action, Action::Complete);
}

#[test]
fn the_deadline_runs_from_acceptance_and_its_policy_decides() {
    let deadline = NOW + Duration::from_secs(100);
    let attempts = [accepted(with(GateStatus::Sent))];
    let wait = Action::Wait {
        due_at: Some(deadline),
        deadline_at: Some(deadline),
    };
    assert_eq!(ask(&waiting(), &attempts, delivered()), wait);
    let due = Sequence {
        deadline_at: Some(deadline),
        ..waiting()
    };
    let policies = [
        (OnDeadline::Stop, Action::Stop(Reason::Deadline)),
        (OnDeadline::Skip, Action::Advance(Passed::DeadlineSkipped)),
        (OnDeadline::Hold, Action::Hold(Reason::Deadline)),
    ];
    for (policy, expected) in policies {
        let gate = gate(GateStatus::Delivered, policy);
        assert_eq!(
            ask_at(&due, &attempts, gate, OnUnknown::Hold, deadline),
            expected
        );
    }
}

#[test]
fn while_held_for_quality_no_deadline_runs_and_no_gate_opens() {
    let evidence = Evidence {
        held_at: Some(NOW),
        ..Evidence::default()
    };
    let idle = Action::Wait {
        due_at: None,
        deadline_at: None,
    };
    for status in [GateStatus::Accepted, GateStatus::Delivered] {
        let gate = gate(status, OnDeadline::Stop);
        assert_eq!(ask(&waiting(), &[accepted(evidence)], gate), idle);
    }
}

#[test]
fn a_failure_for_good_follows_the_policy() {
    let attempts = [accepted(failed(UNDELIVERABLE))];
    let policies = [
        (OnFailure::Stop, Action::Stop(Reason::Failure)),
        (OnFailure::Skip, Action::Advance(Passed::FailureSkipped)),
        // The class says never to this recipient: there is nothing to retry.
        (OnFailure::Retry, Action::Stop(Reason::Failure)),
    ];
    for (on_failure, expected) in policies {
        let sequence = Sequence {
            on_failure,
            ..waiting()
        };
        assert_eq!(ask(&sequence, &attempts, delivered()), expected);
    }
}

#[test]
fn retry_follows_the_class_of_the_error() {
    let sequence = Sequence {
        on_failure: OnFailure::Retry,
        ..waiting()
    };
    let after = |seconds| Action::Retry {
        at: NOW + Duration::from_secs(seconds),
        because: Reason::Failure,
    };
    let expected = [(TRANSIENT, 2), (PAUSED, 2), (MARKETING_LIMIT, 24 * 3600)];
    for (code, seconds) in expected {
        assert_eq!(
            ask(&sequence, &[accepted(failed(code))], delivered()),
            after(seconds)
        );
    }
    let twice = [accepted(failed(TRANSIENT)), accepted(failed(TRANSIENT))];
    // Few attempts, but an outage of minutes ends no sequence.
    assert_eq!(ask(&sequence, &twice, delivered()), after(8));
    let thrice = [accepted(failed(TRANSIENT)); 3];
    assert_eq!(
        ask(&sequence, &thrice, delivered()),
        Action::Stop(Reason::Failure)
    );
}

#[test]
fn a_refusal_that_may_pass_is_tried_again_whatever_the_policy() {
    let at = NOW + Duration::from_secs(2);
    assert_eq!(
        ask(&waiting(), &[refused(TRANSIENT)], delivered()),
        Action::Retry {
            at,
            because: Reason::Failure
        }
    );
    let stopped = ask(&waiting(), &[refused(UNDELIVERABLE)], delivered());
    assert_eq!(stopped, Action::Stop(Reason::Failure));
}

#[test]
fn delivery_of_an_old_attempt_stops_a_new_one() {
    let attempts = [accepted(with(GateStatus::Delivered)), refused(TRANSIENT)];
    for work in [SequenceWork::Ready, SequenceWork::Waiting] {
        let action = ask(&running(work), &attempts, delivered());
        assert_eq!(action, Action::Advance(Passed::Opened));
    }
}

#[test]
fn a_lost_answer_waits_for_evidence_and_is_never_resent_blindly() {
    let policy_at = NOW + LIMITS.unknown_after;
    let wait = Action::Wait {
        due_at: Some(policy_at),
        deadline_at: None,
    };
    for on_unknown in [OnUnknown::Hold, OnUnknown::Resend] {
        let early = ask_at(&waiting(), &[unknown()], delivered(), on_unknown, NOW);
        assert_eq!(early, wait);
    }
    let late = |on_unknown| ask_at(&waiting(), &[unknown()], delivered(), on_unknown, policy_at);
    assert_eq!(late(OnUnknown::Hold), Action::Hold(Reason::Unknown));
    let resend = Action::Retry {
        at: policy_at,
        because: Reason::Unknown,
    };
    assert_eq!(late(OnUnknown::Resend), resend);
}

#[test]
fn where_a_repeat_is_harmless_what_is_lost_is_repeated_ever_more_rarely_and_then_held() {
    let user = User::default();
    let lost = |lost, on_unknown, now| {
        let attempts = [Attempt { lost, ..unknown() }];
        let circumstances = Circumstances {
            repeats_harmlessly: true,
            ..at(now, &user)
        };
        let head = Head {
            on_unknown,
            ..head(&attempts)
        };
        next(&waiting(), Some(&head), &circumstances)
    };
    let because = Reason::Unknown;
    for on_unknown in [OnUnknown::Hold, OnUnknown::Resend] {
        let mut waits = Duration::ZERO;
        for times in 1..=8_u16 {
            let wait = LIMITS.first_backoff * 2_u32.pow(u32::from(times) - 1);
            waits += wait;
            // Not by the time: it may have been paused meanwhile.
            let now = NOW + LIMITS.unknown_after;
            let at = now + wait;
            assert_eq!(lost(times, on_unknown, now), Action::Retry { at, because });
        }
        let policy_at = NOW + LIMITS.unknown_after;
        let wait = Action::Wait {
            due_at: Some(policy_at),
            deadline_at: None,
        };
        assert_eq!(lost(9, on_unknown, NOW), wait, "evidence may come still");
        assert_eq!(lost(9, on_unknown, policy_at), Action::Hold(because));
    }
}

#[test]
fn what_may_have_gone_is_not_refused_for_what_the_user_wants_now() {
    let user = User {
        no_marketing: true,
        ..User::default()
    };
    let policy = Policy {
        on_opt_out: OnOptOut::Fail,
        ..Policy::default()
    };
    let posts = |repeats| may_post(&policy, Content::Marketing, &user, &RULES, NOW, repeats);
    assert_eq!(posts(false), Action::Refuse(Refusal::OptedOut));
    assert_eq!(posts(true), Action::Hold(Reason::Unknown));
}

#[test]
fn evidence_settles_a_lost_answer_even_while_it_waits_to_be_posted_again() {
    let settled = Attempt {
        evidence: with(GateStatus::Sent),
        ..unknown()
    };
    let deadline = Some(NOW + Duration::from_secs(100));
    let wait = Action::Wait {
        due_at: deadline,
        deadline_at: deadline,
    };
    for sequence in [waiting(), again(Reason::Unknown), held(Reason::Unknown)] {
        assert_eq!(ask(&sequence, &[settled], delivered()), wait);
    }
    // So does an answer that comes late; a lost one that stays lost does not.
    let answered = Attempt {
        outcome: Some(Outcome::Accepted),
        ..accepted(Evidence::default())
    };
    assert_eq!(ask(&again(Reason::Unknown), &[answered], delivered()), wait);
    let lost = ask(&again(Reason::Unknown), &[unknown()], delivered());
    assert_eq!(lost, Action::Post);
    let refused = ask(
        &again(Reason::Unknown),
        &[refused(UNDELIVERABLE)],
        delivered(),
    );
    assert_eq!(refused, Action::Stop(Reason::Failure));
    let given_back = ask(&again(Reason::Unknown), &[Attempt::default()], delivered());
    assert_eq!(given_back, Action::Post);
}

#[test]
fn what_a_person_posts_again_is_posted_although_it_is_on_its_way() {
    let on_its_way = Attempt {
        evidence: with(GateStatus::Sent),
        ..unknown()
    };
    let action = ask(&running(SequenceWork::Ready), &[on_its_way], delivered());
    assert_eq!(action, Action::Post);
}

#[test]
fn a_failure_that_turns_out_a_delivery_is_not_posted_again() {
    let read = gate(GateStatus::Read, OnDeadline::Stop);
    let attempt = accepted(failed(TRANSIENT).join(with(GateStatus::Delivered)));
    let action = ask(&again(Reason::Failure), &[attempt], read);
    assert!(matches!(action, Action::Wait { .. }), "{action:?}");
    let failed = accepted(failed(TRANSIENT));
    assert_eq!(ask(&again(Reason::Failure), &[failed], read), Action::Post);
}

#[test]
fn what_was_given_back_has_its_reason_in_the_attempt_before() {
    let read = gate(GateStatus::Read, OnDeadline::Stop);
    let back = Attempt::default();
    let ask_again = |reason, before| ask(&again(reason), &[before, back], read);
    // Still failed, still unknown.
    let lost = accepted(failed(TRANSIENT));
    assert_eq!(ask_again(Reason::Failure, lost), Action::Post);
    assert_eq!(ask_again(Reason::Unknown, unknown()), Action::Post);
    // It was delivered, or the answer came.
    let delivered = accepted(failed(TRANSIENT).join(with(GateStatus::Delivered)));
    let sent = Attempt {
        evidence: with(GateStatus::Sent),
        ..unknown()
    };
    for (reason, before) in [(Reason::Failure, delivered), (Reason::Unknown, sent)] {
        let action = ask_again(reason, before);
        assert!(matches!(action, Action::Wait { .. }), "{action:?}");
    }
    // Or it is known to have failed for good, after nobody knew.
    let failed = accepted(failed(UNDELIVERABLE));
    let action = ask_again(Reason::Unknown, failed);
    assert_eq!(action, Action::Stop(Reason::Failure));
}

#[test]
fn what_is_held_is_released_by_late_evidence_and_by_nothing_else() {
    let long_after = NOW + Duration::from_secs(1_000_000);
    let hold = gate(GateStatus::Delivered, OnDeadline::Hold);
    let idle = Action::Wait {
        due_at: None,
        deadline_at: None,
    };
    let cases = [
        (Reason::Deadline, accepted(with(GateStatus::Sent))),
        (Reason::Unknown, unknown()),
    ];
    for (reason, attempt) in cases {
        let sequence = held(reason);
        let asked = |attempt| ask_at(&sequence, &[attempt], hold, OnUnknown::Hold, long_after);
        assert_eq!(asked(attempt), idle);
        let late = Attempt {
            evidence: attempt.evidence.join(with(GateStatus::Delivered)),
            ..attempt
        };
        assert_eq!(asked(late), Action::Advance(Passed::Opened));
    }
}

#[test]
fn nothing_moves_while_paused_or_after_the_end() {
    use SequenceStatus::{Cancelled, Completed, Paused, Stopped};
    let idle = Action::Wait {
        due_at: None,
        deadline_at: None,
    };
    for status in [Paused, Completed, Stopped, Cancelled] {
        let sequence = Sequence {
            status,
            ..waiting()
        };
        let action = ask(&sequence, &[accepted(with(GateStatus::Read))], delivered());
        assert_eq!(action, idle);
    }
}

#[test]
fn a_cancelled_message_is_passed_over() {
    let head = Head {
        cancelled: true,
        ..head(&[])
    };
    let sequence = running(SequenceWork::Ready);
    let action = next(&sequence, Some(&head), &at(NOW, &User::default()));
    assert_eq!(action, Action::Advance(Passed::Cancelled));
}

#[test]
fn a_message_whose_failure_will_be_retried_is_not_shown_as_failed() {
    let retry = Sequence {
        on_failure: OnFailure::Retry,
        ..waiting()
    };
    let attempts = [accepted(failed(TRANSIENT))];
    assert_eq!(work_of(&retry, 1, 1, &attempts, &LIMITS), Work::Queued);
    assert_eq!(work_of(&waiting(), 1, 1, &attempts, &LIMITS), Work::Posted);
    assert_eq!(work_of(&waiting(), 1, 2, &[], &LIMITS), Work::Queued);
    assert_eq!(work_of(&waiting(), 2, 1, &attempts, &LIMITS), Work::Over);
}

#[test]
fn an_attempt_that_goes_back_late_settles_nothing() {
    let back = Attempt::default();
    // The owner that gave the first up as lost made a second; then both went back.
    let action = ask(&again(Reason::Unknown), &[back, back], delivered());
    assert_eq!(action, Action::Post);
    let failed = accepted(failed(TRANSIENT));
    for reason in [Reason::Failure, Reason::Unknown] {
        let before = match reason {
            Reason::Failure => failed,
            _ => unknown(),
        };
        let action = ask(&again(reason), &[before, back, back], delivered());
        assert_eq!(action, Action::Post);
    }
    let settled = accepted(with(GateStatus::Sent));
    let action = ask(&again(Reason::Unknown), &[settled, back, back], delivered());
    assert!(matches!(action, Action::Wait { .. }), "{action:?}");
}
