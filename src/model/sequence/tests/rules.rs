//! What is not posted, or later: by what is known of the user and of the template.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// What is done with a head that nothing else keeps from being posted.
fn posting(sequence: &Sequence, content: Content, user: &User, now: Timestamp) -> Action {
    may_post(&sequence.policy, content, user, &RULES, now, false)
}

#[test]
fn the_wait_after_too_much_marketing_grows_and_ends_when_the_user_writes() {
    let limits = RetryLimits {
        attempts: 10,
        ..LIMITS
    };
    let retry = Sequence {
        on_failure: OnFailure::Retry,
        ..waiting()
    };
    for (failures, days) in [(1, 1), (2, 2), (3, 4), (4, 7), (9, 7)] {
        let attempts = vec![accepted(failed(MARKETING_LIMIT)); failures];
        let wait = retry_wait(&attempts, &retry, &limits);
        assert_eq!(wait, Some(24 * HOUR * days), "{failures} failures");
    }
    let attempts = [accepted(failed(MARKETING_LIMIT))];
    let wrote = |at| User {
        wrote_at: Some(at),
        ..User::default()
    };
    let waits = Sequence {
        ready_at: Some(NOW + 24 * HOUR),
        on_failure: OnFailure::Retry,
        ..again(Reason::Failure)
    };
    let now = NOW + HOUR;
    for (sequence, before) in [
        // It has been decided to wait, and it is decided just now.
        (waits, Action::Post),
        (
            retry,
            Action::Retry {
                at: now + 24 * HOUR,
                because: Reason::Failure,
            },
        ),
    ] {
        let ask = |user| next(&sequence, Some(&head(&attempts)), &at(now, &user));
        assert_eq!(ask(wrote(NOW)), before);
        let because = Reason::Failure;
        assert_eq!(ask(wrote(now)), Action::Retry { at: now, because });
    }
}

#[test]
fn what_a_pause_took_down_is_posted_again_and_burns_no_attempt() {
    let dropped = [accepted(failed(PAUSED)); 5];
    let again = |action| matches!(action, Action::Retry { .. });
    assert!(again(ask(&waiting(), &dropped, delivered())));
    let mut fails = waiting();
    fails.policy.on_template_pause = OnTemplatePause::Fail;
    let action = ask(&fails, &dropped, delivered());
    assert_eq!(action, Action::Stop(Reason::Failure));
}

#[test]
fn marketing_does_not_go_to_who_wants_none() {
    let user = User {
        no_marketing: true,
        ..User::default()
    };
    let mut sequence = running(SequenceWork::Ready);
    for content in [Content::Template, Content::FreeForm, Content::Other] {
        assert_eq!(posting(&sequence, content, &user, NOW), Action::Post);
    }
    let refused = Action::Refuse(Refusal::OptedOut);
    let expected = [
        (OnOptOut::Stop, refused),
        (OnOptOut::Fail, refused),
        (OnOptOut::Wait, Action::AwaitUser(Refusal::OptedOut)),
    ];
    for (on_opt_out, expected) in expected {
        sequence.policy.on_opt_out = on_opt_out;
        assert_eq!(posting(&sequence, Content::Marketing, &user, NOW), expected);
    }
    // What was refused, or failed for it, ends the sequence whatever failures mean, or not.
    let attempts = [Attempt {
        outcome: Some(Outcome::Refused(ErrorClass::NeverToRecipient)),
        rule: Some(Refusal::OptedOut),
        ..Attempt::default()
    }];
    let head = Head {
        content: Content::Marketing,
        ..head(&attempts)
    };
    let mut failed = Sequence {
        on_failure: OnFailure::Skip,
        ..waiting()
    };
    let ended = next(&failed, Some(&head), &at(NOW, &user));
    assert_eq!(ended, Action::Stop(Reason::OptOut));
    failed.policy.on_opt_out = OnOptOut::Fail;
    let skipped = next(&failed, Some(&head), &at(NOW, &user));
    assert_eq!(skipped, Action::Advance(Passed::FailureSkipped));
}

#[test]
fn what_is_no_template_goes_only_while_the_window_may_be_open() {
    let mut sequence = running(SequenceWork::Ready);
    let user = User {
        wrote_at: Some(NOW),
        ..User::default()
    };
    let ask = |sequence: &Sequence, now| posting(sequence, Content::FreeForm, &user, now);
    let last = NOW + 24 * HOUR - Duration::from_secs(1);
    assert_eq!(ask(&sequence, last), Action::Post);
    let closed = NOW + 24 * HOUR;
    let expected = [
        (OutsideWindow::Fail, Action::Refuse(Refusal::WindowClosed)),
        (
            OutsideWindow::Wait,
            Action::AwaitUser(Refusal::WindowClosed),
        ),
        (OutsideWindow::Send, Action::Post),
    ];
    for (outside_window, expected) in expected {
        sequence.policy.outside_window = outside_window;
        assert_eq!(ask(&sequence, closed), expected);
    }
    // A template always may, and who never wrote as far as we know may have.
    sequence.policy.outside_window = OutsideWindow::Fail;
    let template = posting(&sequence, Content::Template, &user, closed);
    assert_eq!(template, Action::Post);
    let unheard = posting(&sequence, Content::FreeForm, &User::default(), closed);
    assert_eq!(unheard, Action::Post);
}

#[test]
fn marketing_to_the_united_states_is_refused_from_its_day_on() {
    let user = User {
        is_us: true,
        ..User::default()
    };
    let sequence = running(SequenceWork::Ready);
    let ask = |content, now| posting(&sequence, content, &user, now);
    assert_eq!(
        ask(Content::Marketing, NOW),
        Action::Refuse(Refusal::UsMarketing)
    );
    assert_eq!(ask(Content::Marketing, NOW - HOUR), Action::Post);
    assert_eq!(ask(Content::Template, NOW), Action::Post);
}

#[test]
fn a_reply_ends_what_is_to_end_then() {
    let user = User {
        wrote_at: Some(NOW + HOUR),
        ..User::default()
    };
    let mut sequence = waiting();
    let attempts = [accepted(with(GateStatus::Delivered))];
    let ask = |sequence: &Sequence, is_last| {
        let head = Head {
            is_last,
            ..head(&attempts)
        };
        next(sequence, Some(&head), &at(NOW + HOUR, &user))
    };
    assert_eq!(ask(&sequence, false), Action::Advance(Passed::Opened));
    sequence.policy.stop_on_reply = true;
    assert_eq!(ask(&sequence, false), Action::Stop(Reason::Reply));
    // All was said already.
    assert_eq!(ask(&sequence, true), Action::Advance(Passed::Opened));
    // What was written before is no reply.
    sequence.since = NOW + HOUR;
    assert_eq!(ask(&sequence, false), Action::Advance(Passed::Opened));
}

#[test]
fn only_what_a_rule_refused_follows_the_rule() {
    let skips = Rules {
        us_marketing: UsMarketing::Skip,
        ..RULES
    };
    let user = User {
        no_marketing: true,
        is_us: true,
        ..User::default()
    };
    let ends = |attempt: Attempt| {
        let attempts = [attempt];
        let circumstances = Circumstances {
            rules: &skips,
            ..at(NOW, &user)
        };
        next(&waiting(), Some(&head(&attempts)), &circumstances)
    };
    let by = |rule| Attempt {
        rule: Some(rule),
        ..refused(UNDELIVERABLE)
    };
    let skipped = Action::Advance(Passed::FailureSkipped);
    assert_eq!(ends(by(Refusal::UsMarketing)), skipped);
    assert_eq!(ends(by(Refusal::OptedOut)), Action::Stop(Reason::OptOut));
    for other in [accepted(failed(UNDELIVERABLE)), refused(UNDELIVERABLE)] {
        assert_eq!(ends(other), Action::Stop(Reason::Failure));
    }
    // The provider's own word for it.
    assert_eq!(
        ends(accepted(failed(131_050))),
        Action::Stop(Reason::OptOut)
    );
}

#[test]
fn what_only_the_provider_knew_to_be_too_late_waits_for_the_user_too() {
    let mut sequence = waiting();
    sequence.policy.outside_window = OutsideWindow::Wait;
    let attempts = [accepted(failed(131_047))];
    let head = Head {
        content: Content::FreeForm,
        ..head(&attempts)
    };
    let ask = |sequence: &Sequence, user: User| next(sequence, Some(&head), &at(NOW, &user));
    let awaits = Action::AwaitUser(Refusal::WindowClosed);
    let ready = Sequence {
        work: SequenceWork::Ready,
        reason: Some(Reason::Failure),
        ..sequence
    };
    let wrote = User {
        wrote_at: Some(NOW + HOUR),
        ..User::default()
    };
    for sequence in [sequence, ready] {
        assert_eq!(ask(&sequence, User::default()), awaits);
    }
    assert_eq!(ask(&ready, wrote), Action::Post);
    let because = Reason::Failure;
    assert_eq!(ask(&sequence, wrote), Action::Retry { at: NOW, because });
}
