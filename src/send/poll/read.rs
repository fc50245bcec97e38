//! One subject: what is asked of the provider, page by page, and what is made of its answers. All
//! of it is as of when the first request went: what is read later may be newer, and never counts as
//! newer than it is.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{Line, Polling};
use crate::model::ids::{SenderId, TemplateId};
use crate::model::provider::Provider;
use crate::model::reading::TemplateReading;
use crate::provider::reading::{self, ListOf};
use crate::send::ask::Unasked;
use crate::send::templates::{read_at, said_of};
use crate::store::Connection;
use crate::store::ingest::TemplateSaid;
use crate::store::polls::Subject;
use crate::store::template_readings::ListedOf;

/// A page of templates; some providers show them with all of their content.
const PAGE_BYTES: usize = 16 << 20;

/// The answer about a number.
const NUMBER_BYTES: usize = 1 << 20;

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
    ) -> Result<usize, Unasked> {
        match subject {
            Subject::Sender(sender) => self.read_number(line, *sender).await,
            Subject::Templates(waba_id) => self.read_templates(line, waba_id.as_deref()).await,
        }
    }

    async fn read_number(&self, line: &mut Line<'_>, id: SenderId) -> Result<usize, Unasked> {
        let store = &self.sending.store;
        let Some(sender) = store.sender(id).await? else {
            return Ok(0);
        };
        let Connection {
            provider,
            api_version,
            ..
        } = line.connection;
        let number = &sender.phone_number_id;
        let path = reading::number_request(*provider, api_version.as_deref(), number);
        let Some(path) = path else {
            return Ok(0);
        };
        let asked_at = store.clock().now();
        let body = line.get(&path, NUMBER_BYTES).await?;
        match reading::number_answer(*provider, &body, number)? {
            Some(read) => Ok(store.record_number_reading(id, asked_at, &read).await?),
            None => Ok(0),
        }
    }

    async fn read_templates(
        &self,
        line: &mut Line<'_>,
        waba_id: Option<&str>,
    ) -> Result<usize, Unasked> {
        let (store, connection) = (&self.sending.store, line.connection);
        let numbers = match connection.provider {
            Provider::Infobip => store.listing_numbers(connection.id).await?,
            Provider::Meta | Provider::Dialog360 | Provider::Dialog360Onprem => Vec::new(),
        };
        let lists: Vec<_> = match (connection.provider, waba_id) {
            (Provider::Infobip, _) => numbers.iter().map(|n| ListOf::Number(n)).collect(),
            (_, Some(waba_id)) => vec![ListOf::Account(waba_id)],
            (_, None) => vec![ListOf::Key],
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
            match list(line, of, &mut listed).await {
                Ok(()) => read = true,
                Err(error) if error.is_of_what_was_asked() => {
                    // Such as a number that was taken away. The others' lists are as good as before.
                    tracing::warn!(connection = %connection.id, list = ?of, %error,
                        "a list of templates could not be read");
                    listed.whole = false;
                    failed = Some(error);
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
async fn list(line: &mut Line<'_>, of: ListOf<'_>, listed: &mut Listed<'_>) -> Result<(), Unasked> {
    let Connection {
        provider,
        api_version,
        ..
    } = line.connection;
    let mut from: Option<String> = None;
    for _ in 0..PAGES {
        let path =
            reading::templates_request(*provider, api_version.as_deref(), of, from.as_deref());
        let Some(path) = path else {
            listed.whole = false;
            return Ok(());
        };
        let body = line.get(&path, PAGE_BYTES).await?;
        let page = reading::templates_answer(*provider, &body)?;
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
