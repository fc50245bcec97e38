//! What the provider says in a history: webhooks of statuses and of templates, in no order, said
//! again until somebody answers 200.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::provider::{LANGUAGE, Pending, Said, TemplateSaid, WABA, template_name};
use crate::run::Run;
use crate::world::NUMBER;

impl Run<'_> {
    /// Statuses of a message that nobody here posted, with somebody else's callback data.
    pub fn meet_stranger(&mut self, kind: usize) {
        self.strangers += 1;
        let wamid = format!("wamid.{}.x{}", self.place.number, self.strangers);
        let says = crate::history::stranger(kind);
        let mut log = self.log();
        let since = log.since;
        log.pending
            .extend(says.into_iter().enumerate().map(|(at, word)| Pending {
                wamid: wamid.clone(),
                callback: (kind == 1).then(|| "campaign=81".to_owned()),
                word,
                dated: since + i64::try_from(at).unwrap(),
                copies: 1 + kind % 2,
            }));
    }

    /// Takes so many statuses from those that are to be said, in no order.
    fn take_pending(&mut self, n: usize) -> Vec<Pending> {
        let mut log = self.world.provider.log();
        self.rng.shuffle(&mut log.pending);
        let from = log.pending.len().saturating_sub(n);
        log.pending.split_off(from)
    }

    /// Writes down that these are being said; which entries.
    fn say_begins(&self, statuses: &[Pending]) -> Vec<usize> {
        let begun = self.moment();
        let mut log = self.log();
        let entries = statuses.iter().map(|status| {
            log.said.push(Said {
                wamid: status.wamid.clone(),
                word: status.word,
                dated: status.dated,
                callback: status.callback.is_some(),
                begun,
                done: None,
            });
            log.said.len() - 1
        });
        entries.collect()
    }

    pub async fn say(&mut self, n: usize, webhooks: usize) {
        if !self.world.is_served() {
            return;
        }
        let statuses = self.take_pending(n);
        let mut posting = JoinSet::new();
        for part in statuses.chunks(statuses.len().div_ceil(webhooks).max(1)) {
            let part = part.to_vec();
            let entries = self.say_begins(&part);
            let which = self.rng.below(2);
            let body = statuses_body(&part);
            let committing = self.world.webhook(&self.place, &body, which);
            posting.spawn(async move {
                let committed = match committing {
                    Some(committing) => committing.await,
                    None => false,
                };
                (part, entries, committed)
            });
        }
        while let Some(posted) = posting.join_next().await {
            let (part, entries, committed) = posted.unwrap();
            let done = self.moment();
            let mut log = self.log();
            for (mut status, entry) in part.into_iter().zip(entries) {
                if committed {
                    log.said[entry].done = Some(done);
                    status.copies -= 1;
                }
                if status.copies > 0 {
                    log.pending.push(status);
                }
            }
        }
    }

    pub async fn say_and_lose(&mut self, n: usize) {
        let statuses = self.take_pending(n);
        let body = statuses_body(&statuses);
        if let Some(committing) = self.world.webhook(&self.place, &body, 0) {
            self.say_begins(&statuses);
            let posting = tokio::spawn(committing);
            tokio::time::sleep(Duration::from_millis(self.rng.next() % 5)).await;
            posting.abort();
            let _ = posting.await;
        }
        self.log().pending.extend(statuses);
    }

    pub async fn say_templates(&mut self) {
        let mut waiting = std::mem::take(&mut self.log().pending_templates);
        self.rng.shuffle(&mut waiting);
        for (template, paused, dated) in waiting {
            let body = template_body(template, paused, dated);
            let begun = self.moment();
            let entry = {
                let mut log = self.log();
                log.templates.push(TemplateSaid {
                    template,
                    paused,
                    dated,
                    begun,
                    done: None,
                });
                log.templates.len() - 1
            };
            let committed = match self.world.webhook(&self.place, &body, 0) {
                Some(committing) => committing.await,
                None => false,
            };
            let done = self.moment();
            let mut log = self.log();
            match committed {
                true => log.templates[entry].done = Some(done),
                false => log.pending_templates.push((template, paused, dated)),
            }
        }
    }
}

fn statuses_body(statuses: &[Pending]) -> Value {
    let statuses: Vec<_> = statuses
        .iter()
        .map(|status| {
            let mut said = json!({
                "id": status.wamid, "timestamp": status.dated.to_string(),
                "recipient_id": "447700900123",
                "status": match status.word {
                    Ok(word) => format!("{word:?}").to_lowercase(),
                    Err(_) => "failed".to_owned(),
                },
            });
            if let Err(code) = status.word {
                said["errors"] = json!([{"code": code, "title": "no"}]);
            }
            if let Some(callback) = &status.callback {
                said["biz_opaque_callback_data"] = callback.as_str().into();
            }
            said
        })
        .collect();
    let value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550142217", "phone_number_id": NUMBER},
        "statuses": statuses,
    });
    json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": WABA, "changes": [{"field": "messages", "value": value}]}],
    })
}

fn template_body(template: usize, paused: bool, dated: i64) -> Value {
    let value = json!({
        "event": if paused { "PAUSED" } else { "APPROVED" },
        "message_template_id": template,
        "message_template_name": template_name(template),
        "message_template_language": LANGUAGE,
        "reason": "NONE",
    });
    let change = json!({"field": "message_template_status_update", "value": value});
    json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": WABA, "time": dated, "changes": [change]}],
    })
}
