//! One subject: what is asked of the provider, page by page, and what is made of its answers. All
//! of it is as of when the first request went: what is read later may be newer, and never counts as
//! newer than it is.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::{Line, Polling, Unread};
use crate::manage::templates::said::{read_at, said_of};
use crate::manage::{Account, Failed, shown};
use crate::model::ids::{SenderId, TemplateId};
use crate::model::provider::Provider;
use crate::model::reading::TemplateReading;
use crate::provider::operations::senders::READ_SENDER;
use crate::provider::{senders, templates};
use crate::store::ingest::TemplateSaid;
use crate::store::polls::Subject;
use crate::store::template_readings::ListedOf;

/// Pages of one list: more than the templates that an account may have.
const PAGES: usize = 200;

/// Templates as they were listed, each once.
struct Listed<'a> {
    of: ListedOf<'a>,
    templates: BTreeMap<TemplateId, TemplateSaid>,
    /// Whether nothing is missing.
    whole: bool,
}

impl Polling {
    /// Reads a subject. Returns how many facts tell of it.
    pub(super) async fn read(
        &self,
        line: &mut Line<'_>,
        subject: &Subject,
    ) -> Result<usize, Unread> {
        match subject {
            Subject::Sender(sender) => self.read_number(line, *sender).await,
            Subject::Templates(waba_id) => self.read_templates(line, waba_id.as_deref()).await,
        }
    }

    async fn read_number(&self, line: &mut Line<'_>, id: SenderId) -> Result<usize, Unread> {
        let store = &self.manage.store;
        let Some(sender) = store.sender(id).await? else {
            return Ok(0);
        };
        let id_there = sender.phone_number_id.as_str();
        let account = Account {
            connection: Arc::clone(line.connection),
            waba_id: String::new(),
            number: id_there.to_owned(),
        };
        let provider = account.provider();
        let is_named = matches!(provider, Provider::Meta | Provider::Infobip);
        if account.has(&READ_SENDER).is_err() || (is_named && id_there.is_empty()) {
            return Ok(0);
        }
        let asked_at = store.clock().now();
        let ask = senders::read(provider, &account.named());
        let answer = shown(&line.ask(&ask).await?.body);
        let found = senders::one(provider, answer.clone(), id_there);
        let found = found.map_err(|error| Failed::unread(answer, error))?;
        match found {
            Some(number) => Ok(store
                .record_number_reading(id, asked_at, &number.reading)
                .await?),
            None => Ok(0),
        }
    }

    async fn read_templates(
        &self,
        line: &mut Line<'_>,
        waba_id: Option<&str>,
    ) -> Result<usize, Unread> {
        let (store, connection) = (&self.manage.store, line.connection);
        let numbers = match connection.provider {
            Provider::Infobip => store.listing_numbers(connection.id).await?,
            Provider::Meta | Provider::Dialog360 | Provider::Dialog360Onprem => Vec::new(),
        };
        let of = |number: String| Account {
            connection: Arc::clone(connection),
            waba_id: waba_id.unwrap_or_default().to_owned(),
            number,
        };
        let lists: Vec<_> = match (connection.provider, waba_id) {
            (Provider::Infobip, _) => numbers.into_iter().map(of).collect(),
            // Its accounts have names.
            (Provider::Meta, None) => Vec::new(),
            _ => vec![of(String::new())],
        };
        let asked_at = store.clock().now();
        let mut listed = Listed {
            of: ListedOf {
                connection: connection.id,
                waba_id: waba_id.unwrap_or_default(),
                asked_at,
            },
            templates: BTreeMap::new(),
            whole: !lists.is_empty(),
        };
        let (mut failed, mut read) = (None, false);
        for of in lists {
            match list(line, &of, &mut listed).await {
                Ok(()) => read = true,
                Err(Unread::Failed(error)) if error.is_of_what_was_asked() => {
                    // Such as a number that was taken away. The others' lists are as good as before.
                    tracing::warn!(connection = %connection.id, number = of.number, %error,
                        "a list of templates could not be read");
                    listed.whole = false;
                    failed = Some(error.into());
                }
                Err(error) => {
                    (failed, read) = (Some(error), false);
                    break;
                }
            }
        }
        // What came before a failure is no less true.
        let (ids, said): (Vec<_>, Vec<_>) = listed.templates.into_iter().unzip();
        let mut told = store.record_template_readings(&said).await?;
        match failed.filter(|_| !read) {
            Some(error) => {
                self.count_differences(told);
                Err(error)
            }
            None => {
                if listed.whole {
                    told += store.record_unlisted(&listed.of, &ids).await?;
                }
                Ok(told)
            }
        }
    }
}

/// Reads a list to its end.
async fn list(line: &mut Line<'_>, of: &Account, listed: &mut Listed<'_>) -> Result<(), Unread> {
    let provider = of.provider();
    let mut from: Option<String> = None;
    for _ in 0..PAGES {
        let ask = templates::states(provider, &of.named(), from.as_deref());
        let body = line.ask(&ask).await?.body;
        let page = templates::listed(provider, &body);
        let page = page.map_err(|error| Failed::unread(shown(&body), error))?;
        listed.whole &= page.whole;
        for template in page.templates {
            listed.take(template);
        }
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(()),
        }
    }
    listed.whole = false;
    Ok(())
}

impl Listed<'_> {
    /// Of two accounts that are listed as one, a template may be in both: a stop counts.
    fn take(&mut self, template: TemplateReading) {
        let at = read_at(self.of.asked_at, &template.status);
        let said = said_of(self.of.connection, self.of.waba_id, at, template);
        match self.templates.entry(said.id) {
            Entry::Vacant(place) => {
                place.insert(said);
            }
            Entry::Occupied(mut known) => {
                let health = |said: &TemplateSaid| said.status.clone().map(|status| status.health);
                let (Some(first), Some(second)) = (health(known.get()), health(&said)) else {
                    return;
                };
                if first.clone().join(second) != first {
                    known.insert(said);
                }
            }
        }
    }
}
