//! What happened in a history, beside what the provider's log says.

use std::collections::HashMap;

use uuid::Uuid;

use crate::asked::Asked;
use crate::provider::{Log, Moment};

/// A sequence that was made.
#[derive(Debug, Clone)]
pub struct Made {
    pub id: String,
    /// Its messages, in order: the history's step, and the message's id.
    pub messages: Vec<(usize, String)>,
}

/// What happened, beside what the provider's log says.
#[derive(Debug, Default)]
pub struct Story {
    /// By the history's number of the sequence.
    pub made: HashMap<usize, Made>,
    pub asked: Vec<Asked>,
    pub crashes: Vec<Moment>,
    /// Moments at which nothing was being posted.
    pub rests: Vec<Moment>,
    /// Facts as the follower saw them, and how often.
    pub followed: HashMap<Uuid, usize>,
    /// What went wrong on the way.
    pub troubles: Vec<String>,
}

impl Story {
    /// What happened, in order.
    pub fn told(&self, log: &Log) -> String {
        let mut lines: Vec<(Moment, String)> = Vec::new();
        for asked in &self.asked {
            let Asked {
                what,
                sequence,
                step,
                answer,
                ..
            } = asked;
            let line = format!("asked {what:?} of sequence {sequence}, step {step:?}: {answer:?}");
            lines.push((asked.begun, line));
            lines.push((asked.done, format!("  ({what:?} was answered)")));
        }
        for post in &log.posts {
            let line = format!(
                "POST of step {} as {}: {:?}, {:?}, heard {}",
                post.step, post.attempt, post.answer, post.took, post.heard
            );
            lines.push((post.arrived, line));
            let answered = format!("  ({} is answered)", post.attempt);
            lines.extend(post.answered.map(|at| (at, answered)));
        }
        for said in &log.said {
            let line = format!(
                "said {:?} of {} with our id: {}",
                said.word, said.wamid, said.callback
            );
            lines.push((said.begun, line));
            let taken = format!("  ({:?} of {} was taken)", said.word, said.wamid);
            lines.extend(said.done.map(|at| (at, taken)));
        }
        for said in &log.templates {
            lines.push((said.begun, format!("said {said:?}")));
        }
        lines.extend(self.crashes.iter().map(|at| (*at, "crash".to_owned())));
        lines.extend(self.rests.iter().map(|at| (*at, "rest".to_owned())));
        lines.sort_by_key(|(moment, _)| *moment);
        let lines = lines.into_iter();
        let told = lines.map(|(moment, line)| format!("  {} {line}\n", moment.at));
        told.collect()
    }
}
