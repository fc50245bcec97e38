//! Promise 9: nothing that uses a template is claimed after its pause was taken.

use super::{END, Reference};

impl Reference<'_> {
    /// What was claimed after a pause had been taken, before anything said that it is over.
    pub(super) fn judge_templates(&mut self) {
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
}
