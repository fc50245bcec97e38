//! Holding back messages whose template is under judgement, and pausing templates. As with Meta,
//! held messages are either released, with a good score, or dropped, and then the template is
//! paused and each of them fails.

use super::fate::{generator, happens};
use super::message::Status;
use super::queue::Item;
use super::state::{Simulator, State};
use super::template::{Held, Key, Template};
use super::trouble::Trouble;
use super::update::Update;

/// What becomes of held messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    Release,
    Drop,
}

impl Simulator {
    /// Holds a message. The first one of a template starts the time of its judgement.
    pub(super) fn hold(&self, template: &mut Template, held: Held, held_ms: u64) {
        if template.held.is_empty() {
            "UNKNOWN".clone_into(&mut template.quality);
            if self.config.automatic {
                let judged = self.after_ms(held_ms);
                self.queue.push(judged, Item::Settle(template.key.clone()));
            }
        }
        template.held.push(held);
    }

    /// Releases or drops what a template holds; without a judgement the seed makes one. A paused
    /// template releases nothing.
    pub(super) fn settle(&self, key: &Key, judgement: Option<Judgement>) {
        let mut state = self.state();
        let drop_rate = state.faults.held_dropped;
        let Some(template) = state.templates.get_mut(key).filter(|t| !t.held.is_empty()) else {
            return;
        };
        let held = std::mem::take(&mut template.held);
        template.settled += 1;
        let about = [
            key.name.as_bytes(),
            key.language.as_bytes(),
            &template.settled.to_le_bytes(),
        ];
        let unlucky = happens(&mut generator(self.config.seed, &about), drop_rate);
        let judgement = judgement.unwrap_or(match unlucky || template.refusal().is_some() {
            true => Judgement::Drop,
            false => Judgement::Release,
        });
        match judgement {
            Judgement::Release => self.release(template, &held),
            Judgement::Drop => self.drop_held(&mut state, key, &held),
        }
    }

    fn release(&self, template: &mut Template, held: &[Held]) {
        self.post(template.score("GREEN", self.clock.now()));
        for held in held {
            self.schedule(&held.message, &held.steps);
        }
    }

    fn drop_held(&self, state: &mut State, key: &Key, held: &[Held]) {
        let now = self.clock.now();
        let pause_ms = state.delays.template_pause_ms;
        if let Some(template) = state.templates.get_mut(key) {
            if template.status != "PAUSED" {
                self.post(template.pause("FIRST_PAUSE", now));
                if pause_ms > 0 {
                    let end = Item::Unpause(key.clone(), template.pause);
                    self.queue.push(self.after_ms(pause_ms), end);
                }
            }
            self.post(template.score("RED", now));
        }
        for Held { message, .. } in held {
            self.post(Update::Status(Status {
                message: message.clone(),
                status: "failed".to_owned(),
                at: now.unix_timestamp(),
                errors: Some(vec![message.dialect.failure(&Trouble::TemplatePaused)].into()),
                callback: true,
                pricing: false,
                conversation: false,
                repeated: false,
            }));
        }
    }

    /// Ends the pause of this number, unless it has ended.
    pub(super) fn end_pause(&self, key: &Key, pause: u64) {
        let mut state = self.state();
        let paused = |t: &&mut Template| t.status == "PAUSED" && t.pause == pause;
        if let Some(template) = state.templates.get_mut(key).filter(paused) {
            self.post(template.unpause(self.clock.now()));
        }
    }
}
