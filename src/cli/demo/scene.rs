//! What is played: the demo, short enough to watch, or the trial, long and rough. All that differs
//! between them stands here.

use std::time::Duration;

use super::history::Rules;
use crate::simulator::{Delays, Faults, Pair, Range};

/// A size, a pace, and what goes wrong.
#[derive(Debug, Clone, Copy)]
pub struct Scene {
    pub senders: usize,
    /// Of each sender, configured and allowed.
    pub messages_per_second: u32,
    /// How often a sender may write to one user, configured and allowed.
    pub pair: Option<Pair>,
    /// Processes of the service.
    pub processes: usize,
    /// Whether one of them is killed now and then, and started again.
    pub kills: bool,
    pub faults: Faults,
    pub delays: Delays,
    pub rules: Rules,
    /// Of gates that wait for `read`.
    pub read_deadline: Duration,
    /// How long it takes to ask for all sequences, so that not all of them run in step.
    pub ramp: Duration,
    /// When a template is paused: at these shares of all messages.
    pub pauses: &'static [f64],
    /// When users have had enough marketing, for a while: at these shares of all messages.
    pub bursts: &'static [f64],
    /// Everything is settled by then, or it has failed.
    pub settle_limit: Duration,
    /// Whether there are few enough sequences to look at all of them again and again.
    pub is_small: bool,
}

/// What a new number may do with Meta.
const MESSAGES_PER_SECOND: u32 = 80;

/// A few hundred sequences. Every fault that the real provider has, often enough that they meet
/// each of them.
pub fn demo() -> Scene {
    Scene {
        senders: 4,
        messages_per_second: MESSAGES_PER_SECOND,
        pair: None,
        processes: 2,
        kills: false,
        faults: Faults {
            read_without_delivered: 0.10,
            duplicate: 0.15,
            disorder: 0.15,
            refuse_transient: 0.05,
            rate_limited: 0.01,
            fail_permanent: 0.03,
            lost_answer: 0.03,
            answer_late: 0.10,
            held: 0.03,
            held_dropped: 0.35,
            no_read: 0.20,
            drop_callback_on_failed: 0.30,
            enough_marketing: 0.0,
        },
        delays: delays(),
        rules: Rules {
            attempts: 5,
            unknown_after: Duration::from_secs(8),
            marketing_wait: Duration::from_secs(5),
        },
        read_deadline: Duration::from_secs(4),
        ramp: Duration::from_secs(12),
        pauses: &[0.4],
        bursts: &[],
        settle_limit: Duration::from_secs(90),
        is_small: true,
    }
}

/// Fifty senders at their limits, three processes, kills. What would use less than the rate by
/// itself is rare, so that what is used says something: a rate limit that the provider hits on a
/// whim drains a sender for a while, and a held message pauses its template for all of them.
pub fn trial(messages_per_second: u32, messages: usize) -> Scene {
    let demo = demo();
    let senders = 50;
    let needed = messages as f64 / (f64::from(messages_per_second) * senders as f64);
    Scene {
        senders,
        messages_per_second,
        pair: Some(Pair {
            every_ms: 600,
            burst: 4,
        }),
        processes: 3,
        kills: true,
        faults: Faults {
            rate_limited: 0.0,
            lost_answer: 0.05,
            held: 0.000_1,
            refuse_transient: 0.01,
            ..demo.faults
        },
        // Sooner, a busy machine would decide what comes first.
        read_deadline: Duration::from_secs(20),
        // Asked for faster than it can go out.
        ramp: Duration::from_secs_f64(needed / 4.0),
        pauses: &[0.2, 0.6],
        bursts: &[0.35, 0.75],
        settle_limit: Duration::from_secs_f64(2.0 * needed + 120.0),
        is_small: false,
        ..demo
    }
}

/// Slow enough to watch.
fn delays() -> Delays {
    Delays {
        answer_ms: Range { min: 5, max: 60 },
        sent_ms: Range { min: 40, max: 300 },
        delivered_ms: Range { min: 100, max: 900 },
        read_ms: Range {
            min: 200,
            max: 1_500,
        },
        ..Delays::default()
    }
}
