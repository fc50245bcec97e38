//! The judge finds each kind of wrong: a run in which all went well, with one thing changed.

use std::time::Duration;

use twotick::clock::Clock;

use super::*;
use crate::plan::OnFailure;

/// Two sequences of two messages, all delivered; and a stranger's message, sent and failed.
fn good() -> Seen {
    let began = Clock::system().monotonic();
    let at = |ms| began + Duration::from_millis(ms);
    let mut seen = Seen {
        sequences: Vec::new(),
        promised: vec![2, 2],
        posts: Vec::new(),
        said: HashMap::new(),
        events: HashMap::new(),
        told: Told::default(),
    };
    for s in 0..2 {
        let name = format!("s{s}");
        for n in 0..2 {
            seen.posts.push(Post {
                name: format!("{name}/{n}"),
                callback: format!("msg_{s}{n}.1"),
                wamid: Some(wamid(s, n)),
                at: at(n * 100),
            });
            let said = |word_at, ms| {
                Some(Said {
                    at: word_at,
                    begun: Some(at(n * 100 + ms)),
                    acknowledged: true,
                })
            };
            let words = [said(10, 10), said(11, 20), None, None];
            seen.said.insert(wamid(s, n), words);
            seen.events.insert(wamid(s, n), [1, 1, 0, 0]);
        }
        let messages = (0..2).map(|n| ToldMessage {
            name: format!("{name}/{n}"),
            status: "delivered".to_owned(),
            wamid: Some(wamid(s, n)),
            evidence: [Some(10), Some(11), None, None],
        });
        let told = ToldSequence {
            status: "completed".to_owned(),
            messages: messages.collect(),
        };
        seen.told.sequences.insert(name.clone(), vec![told]);
        seen.sequences.push(Planned {
            name,
            sender: 0,
            steps: 2,
            first: 1,
            on_failure: OnFailure::Stop,
        });
    }
    let mut said = Said::at(5);
    (said.begun, said.acknowledged) = (Some(at(0)), true);
    seen.said
        .insert(STRANGER.to_owned(), [Some(said), None, None, Some(said)]);
    seen.events.insert(STRANGER.to_owned(), [1, 0, 0, 1]);
    let evidence = [Some(5), None, None, Some(5)];
    seen.told.strangers.insert(STRANGER.to_owned(), evidence);
    seen
}

const STRANGER: &str = "wamid.stranger";

fn wamid(s: u64, n: u64) -> String {
    format!("wamid.{s}.{n}")
}

/// What is found once `harm` was done: how much is lost, doubled, out of order, wedged.
fn found_after(harm: impl FnOnce(&mut Seen)) -> [usize; 4] {
    let mut seen = good();
    harm(&mut seen);
    let found = check(&seen);
    [
        found.lost.len(),
        found.doubled.len(),
        found.order.len(),
        found.wedged.len(),
    ]
}

fn told(seen: &mut Seen) -> &mut ToldSequence {
    &mut seen.told.sequences.get_mut("s0").unwrap()[0]
}

#[test]
fn a_run_in_which_all_went_well_is_clean() {
    assert_eq!(found_after(|_| {}), [0; 4]);
}

#[test]
fn a_lost_fact_is_found() {
    // As an event, in the evidence, in the evidence of a stranger's message, and all of one.
    let no_event = found_after(|seen| seen.events.get_mut(STRANGER).unwrap()[3] = 0);
    let no_evidence = found_after(|seen| told(seen).messages[1].evidence[1] = None);
    let wrong_time = found_after(|seen| told(seen).messages[1].evidence[1] = Some(12));
    let of_a_stranger = found_after(|seen| {
        seen.told.strangers.get_mut(STRANGER).unwrap()[0] = None;
    });
    let unknown = found_after(|seen| {
        seen.told.strangers.clear();
    });
    for found in [no_event, no_evidence, wrong_time, of_a_stranger, unknown] {
        assert_eq!(found, [1, 0, 0, 0]);
    }
}

#[test]
fn a_lost_promise_is_found() {
    let sequence = found_after(|seen| {
        seen.told.sequences.remove("s0");
    });
    let appended = found_after(|seen| {
        told(seen).messages.pop();
    });
    let status = found_after(|seen| told(seen).messages[0].status = "sent".to_owned());
    let whose = found_after(|seen| told(seen).messages[0].wamid = Some(STRANGER.to_owned()));
    for found in [sequence, appended, status, whose] {
        assert_eq!(found, [1, 0, 0, 0]);
    }
}

#[test]
fn what_is_there_twice_is_found() {
    let event = found_after(|seen| seen.events.get_mut(STRANGER).unwrap()[0] = 2);
    let unsaid = found_after(|seen| seen.events.get_mut(STRANGER).unwrap()[1] = 1);
    let of_nobody = found_after(|seen| {
        seen.events.insert("wamid.x".to_owned(), [1, 0, 0, 0]);
    });
    let sequence = found_after(|seen| {
        let status = "completed".to_owned();
        let messages = Vec::new();
        let sequences = seen.told.sequences.get_mut("s0").unwrap();
        sequences.push(ToldSequence { status, messages });
    });
    for found in [event, unsaid, of_nobody, sequence] {
        assert_eq!(found, [0, 1, 0, 0]);
    }
}

/// Its last message once more, after so many milliseconds.
fn again(seen: &mut Seen, wamid: Option<&str>) {
    let mut post = seen.posts.last().unwrap().clone();
    post.wamid = wamid.map(str::to_owned);
    post.at += Duration::from_millis(500);
    seen.posts.push(post);
}

#[test]
fn a_message_that_is_posted_again_after_it_was_taken_is_found() {
    assert_eq!(
        found_after(|seen| again(seen, Some("wamid.2"))),
        [0, 1, 0, 0]
    );
    assert_eq!(found_after(|seen| again(seen, None)), [0, 1, 0, 0]);
}

#[test]
fn a_message_that_goes_before_it_may_is_found() {
    let early = found_after(|seen| seen.posts[1].at -= Duration::from_millis(81));
    let sent_is_not_enough = found_after(|seen| {
        seen.said.get_mut(&wamid(0, 0)).unwrap()[1]
            .as_mut()
            .unwrap()
            .begun = None;
    });
    let unasked = found_after(|seen| {
        let mut post = seen.posts[0].clone();
        (post.name, post.wamid) = ("s7/0".to_owned(), None);
        seen.posts.push(post);
    });
    for found in [early, sent_is_not_enough, unasked] {
        assert_eq!(found, [0, 0, 1, 0]);
    }
}

/// The first message of the first sequence fails.
fn fails(seen: &mut Seen, on_failure: OnFailure) {
    seen.sequences[0].on_failure = on_failure;
    let said = seen.said.get_mut(&wamid(0, 0)).unwrap();
    *said = [None, None, None, said[1]];
    seen.events.insert(wamid(0, 0), [0, 0, 0, 1]);
    let first = &mut told(seen).messages[0];
    first.status = "failed".to_owned();
    first.evidence = [None, None, None, Some(11)];
}

/// And the other does not go.
fn and_stops(seen: &mut Seen) {
    seen.posts.remove(1);
    seen.said.remove(&wamid(0, 1));
    seen.events.remove(&wamid(0, 1));
    let told = told(seen);
    told.status = "stopped".to_owned();
    let second = &mut told.messages[1];
    (second.wamid, second.evidence) = (None, Evidence::default());
    second.status = "cancelled".to_owned();
}

#[test]
fn only_the_policy_lets_a_failure_by() {
    assert_eq!(found_after(|seen| fails(seen, OnFailure::Skip)), [0; 4]);
    let stopped = |seen: &mut Seen| {
        fails(seen, OnFailure::Stop);
        and_stops(seen);
    };
    assert_eq!(found_after(stopped), [0; 4]);
    // It went on although it should have stopped.
    let went_on = found_after(|seen| fails(seen, OnFailure::Retry));
    assert_eq!(went_on, [0, 0, 1, 1]);
    // It stopped although it should have gone on.
    let [_, _, _, wedged] = found_after(|seen| {
        fails(seen, OnFailure::Skip);
        and_stops(seen);
    });
    assert_eq!(wedged, 1);
}

#[test]
fn what_does_not_settle_is_found() {
    for status in ["running", "held", "paused"] {
        let found = found_after(|seen| told(seen).status = status.to_owned());
        assert_eq!(found, [0, 0, 0, 1], "{status}");
    }
    let never_went = found_after(|seen| {
        and_stops(seen);
        told(seen).status = "completed".to_owned();
    });
    assert_eq!(never_went, [0, 0, 0, 1]);
    let never_taken = found_after(|seen| {
        let said = seen.said.get_mut(STRANGER).unwrap();
        said[0].as_mut().unwrap().acknowledged = false;
    });
    assert_eq!(never_taken, [0, 0, 0, 1]);
}
