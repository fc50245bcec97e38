//! Logs written by hand: one in which all is well, and one for each thing that can be wrong.

use serde_json::json;

use super::super::history::{Post, Status};
use super::super::manifest::{Planned, Step};
use super::*;
use crate::model::sequence::{GateStatus, OnDeadline, OnFailure, OnUnknown};

const RULES: Rules = Rules {
    attempts: 3,
    unknown_after: Duration::from_secs(1),
    marketing_wait: Duration::from_secs(10),
};

/// One sequence, and a log that grows by a tick and a millisecond with everything that happens.
struct Case {
    manifest: Manifest,
    log: Log,
    told: Told,
    pauses: Vec<Pause>,
    kills: Vec<u64>,
}

impl Case {
    fn new(steps: usize) -> Self {
        let step = |n: usize| Step {
            text: format!("№ {n}"),
            template: Some("offer"),
            gate: GateStatus::Delivered,
            deadline: Duration::from_secs(60),
            on_deadline: OnDeadline::Stop,
            on_unknown: OnUnknown::Hold,
        };
        let planned = Planned {
            reference: "demo-0001".to_owned(),
            sender: "310".to_owned(),
            to: "447700900001".to_owned(),
            on_failure: OnFailure::Stop,
            steps: (1..=steps).map(step).collect(),
        };
        let told = ToldSequence {
            id: "seq_1".to_owned(),
            status: "completed".to_owned(),
            messages: Vec::new(),
        };
        Self {
            manifest: Manifest {
                sequences: vec![planned],
            },
            log: Log::default(),
            told: Told {
                sequences: vec![Some(told)],
                messages: HashMap::new(),
            },
            pauses: Vec::new(),
            kills: Vec::new(),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Planned)) -> Self {
        change(&mut self.manifest.sequences[0]);
        self
    }

    fn moment(&mut self) -> Moment {
        let tick = self.log.next_tick;
        self.log.next_tick += 1;
        Moment {
            tick,
            at_us: tick * 1_000,
        }
    }

    fn wait(mut self, span: Duration) -> Self {
        self.log.next_tick += span.as_millis() as u64;
        self
    }

    /// Step `n` is posted; `outcome` is the wamid, `!` before it: the answer is lost; or a code.
    fn post(mut self, n: usize, outcome: &str) -> Self {
        let moment = self.moment();
        let code: Option<i64> = outcome.parse().ok();
        let wamid = outcome.trim_start_matches('!').to_owned();
        self.log.posts.push(Post {
            moment,
            phone_number_id: "310".to_owned(),
            to: Some("447700900001".to_owned()),
            body: Some(json!({"template": {"name": "offer", "components": [
                {"parameters": [{"text": format!("№ {n}")}]}]}})),
            outcome: match (code, outcome.starts_with('!')) {
                (Some(_), _) => "refused",
                (None, true) => "lost_answer",
                (None, false) => "accepted",
            }
            .to_owned(),
            wamid: code.is_none().then(|| wamid.clone()),
            code,
        });
        if code.is_none() {
            let place = Some(("seq_1".to_owned(), n));
            let status = "accepted".to_owned();
            self.told
                .messages
                .insert(wamid, ToldMessage { place, status });
        }
        self
    }

    /// The provider says this, and the service shows it.
    fn said(mut self, wamid: &str, status: &str) -> Self {
        let moment = self.moment();
        let (status, code) = match status.parse() {
            Ok(code) => ("failed", Some(code)),
            Err(_) => (status, None),
        };
        self.log.statuses.push(Status {
            moment,
            wamid: wamid.to_owned(),
            status: status.to_owned(),
            code,
            callback: true,
        });
        self.shown(wamid, status)
    }

    fn without_callback(mut self) -> Self {
        self.log.statuses.last_mut().unwrap().callback = false;
        self
    }

    fn shown(mut self, wamid: &str, status: &str) -> Self {
        self.told.messages.get_mut(wamid).unwrap().status = status.to_owned();
        self
    }

    fn ends(mut self, status: &str) -> Self {
        self.told.sequences[0].as_mut().unwrap().status = status.to_owned();
        self
    }

    fn findings(&mut self) -> Findings {
        let end = self.moment();
        check(
            &self.manifest,
            &self.log,
            &self.pauses,
            &self.told,
            &RULES,
            &self.kills,
            end,
        )
    }

    #[track_caller]
    fn finds(mut self, order: usize, duplicates: usize, lost: usize) -> Findings {
        let findings = self.findings();
        let expected = format!("order violations: {order}, duplicates: {duplicates}, lost: {lost}");
        assert_eq!(findings.to_string(), expected, "{findings:#?}");
        findings
    }
}

#[test]
fn a_good_run_is_clean() {
    let findings = Case::new(2)
        .post(1, "a")
        .said("a", "sent")
        .said("a", "delivered")
        .post(2, "b")
        .said("b", "delivered")
        .finds(0, 0, 0);
    assert!(findings.is_clean());
    assert_eq!(findings.latencies, [Duration::from_millis(1)]);
}

#[test]
fn read_without_delivered_opens_the_gate() {
    let case = Case::new(2).post(1, "a").said("a", "read");
    case.post(2, "b").said("b", "read").finds(0, 0, 0);
}

#[test]
fn what_fails_behind_its_deadline_has_been_decided_by_the_deadline() {
    let skip = |planned: &mut Planned| planned.steps[0].on_deadline = OnDeadline::Skip;
    let case = Case::new(2).with(skip).post(1, "a");
    let late = case.wait(Duration::from_secs(61)).said("a", "131026");
    late.post(2, "b").said("b", "delivered").finds(0, 0, 0);
    let case = Case::new(2).with(skip).post(1, "a");
    let early = case.wait(Duration::from_secs(59)).said("a", "131026");
    early.post(2, "b").said("b", "delivered").finds(1, 0, 1);
}

#[test]
fn an_answer_may_have_died_with_the_process_that_was_killed_just_after() {
    let unheard = || {
        let case = Case::new(1).post(1, "a").said("a", "131026");
        let held = case.without_callback().shown("a", "unknown");
        held.ends("held").wait(Duration::from_secs(2))
    };
    unheard().finds(0, 0, 2);
    let mut killed = unheard();
    killed.kills.push(1_500_000);
    killed.finds(0, 0, 0);
    let mut long_before = unheard();
    long_before.kills.push(6_500_000);
    long_before.finds(0, 0, 2);
    let refused = Case::new(1).post(1, "131000").ends("held");
    let mut refused = refused.wait(Duration::from_secs(2));
    refused.kills.push(1_500_000);
    refused.finds(0, 0, 0);
}

#[test]
fn what_a_killed_process_took_and_did_not_post_is_held_and_no_loss() {
    let taken = || {
        let mut case = Case::new(2)
            .post(1, "a")
            .said("a", "delivered")
            .ends("held");
        let told = case.told.sequences[0].as_mut().unwrap();
        told.messages = vec!["delivered".to_owned(), "unknown".to_owned()];
        case
    };
    taken().finds(0, 0, 1);
    let mut killed = taken();
    killed.kills.push(5_000);
    killed.finds(0, 0, 0);
    let mut queued = taken();
    queued.kills.push(5_000);
    queued.told.sequences[0].as_mut().unwrap().messages[1] = "queued".to_owned();
    queued.finds(0, 0, 1);
}

#[test]
fn a_user_who_has_had_enough_is_left_alone_for_a_while() {
    let retry = |planned: &mut Planned| planned.on_failure = OnFailure::Retry;
    let case = Case::new(1).with(retry).post(1, "a").said("a", "131049");
    let soon = case.wait(Duration::from_secs(9)).post(1, "b");
    soon.said("b", "delivered").finds(0, 1, 0);
    let case = Case::new(1).with(retry).post(1, "a").said("a", "131049");
    let later = case.wait(Duration::from_secs(11)).post(1, "b");
    later.said("b", "delivered").finds(0, 0, 0);
}

#[test]
fn a_step_before_the_second_tick_is_found() {
    let case = Case::new(2).post(1, "a").said("a", "sent").post(2, "b");
    let findings = case
        .said("a", "delivered")
        .said("b", "delivered")
        .finds(1, 0, 0);
    assert!(
        findings.order[0].contains("message 2 was posted at #2"),
        "{findings:?}"
    );
}

#[test]
fn a_step_whose_predecessor_was_never_posted_is_found() {
    let case = Case::new(2).post(2, "b").said("b", "delivered");
    case.finds(1, 0, 1);
}

#[test]
fn a_gate_that_waits_for_read_is_not_opened_by_delivered() {
    let read = |planned: &mut Planned| planned.steps[0].gate = GateStatus::Read;
    let case = Case::new(2).with(read).post(1, "a").said("a", "delivered");
    let case = case.post(2, "b").said("a", "read").said("b", "delivered");
    case.finds(1, 0, 0);
}

#[test]
fn a_deadline_lets_the_next_one_go_only_once_it_is_over() {
    let skip = |planned: &mut Planned| {
        planned.steps[0].gate = GateStatus::Read;
        planned.steps[0].deadline = Duration::from_secs(2);
        planned.steps[0].on_deadline = OnDeadline::Skip;
    };
    let before = |wait| {
        let case = Case::new(2).with(skip).post(1, "a").said("a", "delivered");
        case.wait(Duration::from_millis(wait))
            .post(2, "b")
            .said("b", "delivered")
    };
    before(2_000).finds(0, 0, 0);
    before(1_000).said("a", "read").finds(1, 0, 0);
}

#[test]
fn a_failure_stops_skips_or_is_tried_again_as_the_policy_says() {
    let policy = |on_failure| {
        let case = Case::new(2).with(|planned| planned.on_failure = on_failure);
        case.post(1, "a").said("a", "131026")
    };
    policy(OnFailure::Stop).ends("stopped").finds(0, 0, 0);
    policy(OnFailure::Retry).ends("stopped").finds(0, 0, 0);
    let on = |on_failure| policy(on_failure).post(2, "b").said("b", "delivered");
    on(OnFailure::Skip).finds(0, 0, 0);
    on(OnFailure::Stop).ends("stopped").finds(1, 0, 0);
    on(OnFailure::Retry).ends("stopped").finds(1, 0, 0);
    // What was dropped may be tried again; what never reaches its user may not.
    let again = |code, on_failure| {
        let case = Case::new(1).with(|planned| planned.on_failure = on_failure);
        let case = case.post(1, "a").said("a", code).post(1, "b");
        case.said("b", "delivered")
    };
    again("132015", OnFailure::Retry).finds(0, 0, 0);
    again("132015", OnFailure::Stop).finds(0, 0, 0);
    again("131000", OnFailure::Stop).finds(0, 1, 0);
    again("131026", OnFailure::Retry).finds(0, 1, 0);
}

#[test]
fn a_refusal_that_may_pass_is_tried_again_and_no_other() {
    let case = Case::new(1).post(1, "130429").post(1, "2");
    case.post(1, "a").said("a", "delivered").finds(0, 0, 0);
    let case = Case::new(1).post(1, "131008").post(1, "a");
    case.said("a", "delivered").finds(1, 0, 0);
    let case = Case::new(1).post(1, "2").post(1, "2").post(1, "2");
    case.ends("stopped").finds(0, 0, 0);
}

#[test]
fn a_message_taken_twice_is_found() {
    let case = Case::new(1).post(1, "a").post(1, "b");
    case.said("a", "delivered")
        .said("b", "delivered")
        .finds(0, 1, 0);
}

#[test]
fn a_lost_answer_must_not_be_posted_again_while_evidence_may_come() {
    let case = Case::new(1).post(1, "!a").post(1, "b");
    case.said("a", "delivered")
        .said("b", "delivered")
        .finds(0, 1, 0);
    // Only where the caller said so, and only after the time for it.
    let resend = |wait| {
        let policy = |planned: &mut Planned| planned.steps[0].on_unknown = OnUnknown::Resend;
        let case = Case::new(1).with(policy).post(1, "!a").wait(wait);
        case.post(1, "b").said("b", "delivered")
    };
    resend(Duration::from_secs(1)).finds(0, 0, 0);
    resend(Duration::from_millis(500)).finds(0, 1, 0);
}

#[test]
fn a_lost_answer_is_settled_by_evidence_that_names_us_and_held_without() {
    let case = Case::new(1).post(1, "!a").said("a", "delivered");
    case.finds(0, 0, 0);
    let case = Case::new(1).post(1, "!a").said("a", "131026");
    let case = case.without_callback().wait(RULES.unknown_after);
    case.ends("held").finds(0, 0, 0);
    let case = Case::new(1).post(1, "!a").said("a", "131026");
    case.wait(RULES.unknown_after).ends("held").finds(0, 0, 1);
}

#[test]
fn a_message_that_never_went_is_found() {
    let case = Case::new(2).post(1, "a").said("a", "delivered");
    let findings = case.finds(0, 0, 1);
    assert!(findings.lost[0].contains("message 2 was never posted"));
    Case::new(1).post(1, "130429").finds(0, 0, 1);
}

#[test]
fn a_sequence_that_did_not_end_as_it_should_is_found() {
    let case = || Case::new(1).post(1, "a").said("a", "delivered");
    case().ends("running").finds(0, 0, 1);
    case().ends("held").finds(0, 0, 1);
}

#[test]
fn a_message_or_a_status_that_the_service_does_not_know_is_found() {
    let case = || Case::new(1).post(1, "a").said("a", "delivered");
    let mut unknown = case();
    unknown.told.messages.clear();
    unknown.finds(0, 0, 1);
    let mut stranger = case();
    stranger.told.messages.get_mut("a").unwrap().place = None;
    stranger.finds(0, 0, 1);
    case()
        .said("a", "read")
        .shown("a", "delivered")
        .finds(0, 0, 1);
    case()
        .said("a", "sent")
        .shown("a", "delivered")
        .finds(0, 0, 0);
    let failed = Case::new(1).post(1, "a").said("a", "131026");
    failed.shown("a", "accepted").ends("stopped").finds(0, 0, 1);
}

#[test]
fn what_nobody_asked_for_is_found() {
    let mut case = Case::new(1)
        .post(1, "a")
        .said("a", "delivered")
        .post(9, "x");
    case.told.messages.clear();
    case = case.shown_again("a");
    case.finds(1, 0, 0);
    let mut case = Case::new(1).post(1, "a").said("a", "delivered");
    case.log.posts[0].to = Some("447700900999".to_owned());
    case.finds(1, 0, 1);
}

#[test]
fn a_post_with_a_paused_template_is_found() {
    let paused = |from, until| {
        let mut case = Case::new(1).post(1, "a").said("a", "delivered");
        let template = "offer".to_owned();
        case.pauses.push(Pause {
            template,
            from,
            until,
        });
        case
    };
    paused(0, 1).finds(1, 0, 0);
    paused(1, 9).finds(0, 0, 0);
}

impl Case {
    fn shown_again(mut self, wamid: &str) -> Self {
        let place = Some(("seq_1".to_owned(), 1));
        let status = "delivered".to_owned();
        let message = ToldMessage { place, status };
        self.told.messages.insert(wamid.to_owned(), message);
        self
    }
}
