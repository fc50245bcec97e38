//! Templates as the provider shows them: one, or an account's, page by page, into their rows.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::raw;
use super::said::read_at;
use crate::manage::lists::Turn;
use crate::manage::{Account, Failed, Manage, shown};
use crate::model::Timestamp;
use crate::model::ids::TemplateId;
use crate::model::provider::Provider;
use crate::provider::reading::TemplatePage;
use crate::provider::templates::{self, Filter, Named};
use crate::store::template_manage::Record;
use crate::store::template_readings::ListedOf;
use crate::store::templates_read::Template;

/// Pages of one list: more than the templates that an account may have.
const PAGES: usize = 200;

/// All pages of one list, in bytes: 6000 templates of 10 KB. What is beyond is not read.
const LIST_BYTES: usize = 64 << 20;

/// A list that is shown is read no longer than this; its last page may take a call's time more.
const LONGEST: Duration = Duration::from_secs(120);

/// What a list of the provider's brought.
#[derive(Debug)]
pub struct Synced {
    /// All that were asked for, as they are known now.
    pub templates: Vec<TemplateId>,
    /// How many facts tell of what differed.
    pub told: usize,
    /// Whether the list was read to its end, and all of it understood.
    pub whole: bool,
    /// As long as what was read is shown: a few lists at once.
    _turn: Turn,
}

impl Manage {
    /// Reads one from the provider, into its row. `false`: the provider does not show it.
    pub async fn read(&self, account: &Account, template: &Template) -> Result<bool, Failed> {
        let asked_at = self.store.clock().now();
        self.read_dated(account, template, asked_at, None).await
    }

    pub(super) async fn read_dated(
        &self,
        account: &Account,
        template: &Template,
        asked_at: Timestamp,
        at: Option<Timestamp>,
    ) -> Result<bool, Failed> {
        let id = template.provider_template_id.as_deref();
        let page = self.find(account, id, &template.name, &template.language);
        let page = page.await?;
        let found = page.templates.into_iter().zip(page.objects);
        let records: Vec<_> = found
            .filter(|(found, _)| found.name == template.name && found.language == template.language)
            .map(|(reading, object)| {
                let from = at.unwrap_or_else(|| read_at(asked_at, &reading.status));
                let mut said = self.said(account, from, reading);
                // A reading that was asked for before a change of ours may have been written since.
                if let (Some(_), Some((_, said_at))) = (at, &mut said.category) {
                    *said_at = asked_at.max(from);
                }
                Record {
                    said,
                    object: raw(object),
                    asked_at,
                    submitted: None,
                    merges: false,
                }
            })
            .take(1)
            .collect();
        self.store.record_managed(&records).await?;
        Ok(!records.is_empty())
    }

    /// What a provider shows of a template: by its id where that can be, else what its list has of the
    /// name.
    pub(super) async fn find(
        &self,
        account: &Account,
        id: Option<&str>,
        name: &str,
        language: &str,
    ) -> Result<TemplatePage, Failed> {
        let provider = account.provider();
        let Some(id) = id.filter(|_| templates::reads_by_id(provider)) else {
            let filter = Filter {
                name: Some(name.to_owned()),
                language: Some(language.to_owned()),
                ..Filter::default()
            };
            return self.list_named(account, &filter).await;
        };
        let ask = templates::read(provider, &account.named(), Named { id, name });
        let answered = self.call(&account.connection, &ask).await?;
        let one = templates::one(provider, &answered.body);
        one.map_err(|error| Failed::unread(shown(&answered.body), error))
    }

    /// Reads an account's templates from the provider, all pages of what is asked for, into their
    /// rows; with all of them, those that are gone are noticed as the poller notices them.
    pub async fn sync(
        &self,
        account: &Account,
        filter: &Filter,
        by_v1: bool,
    ) -> Result<Synced, Failed> {
        let reading = self.lists.read(account.connection.id).await;
        // Before that nothing was asked for.
        let asked_at = self.store.clock().now();
        let (mut templates, mut told) = (Vec::new(), 0);
        let mut known = HashSet::new();
        let mut pages = Pages::new(filter, by_v1);
        pages.until = Some(self.store.clock().monotonic() + LONGEST);
        while let Some(page) = self.next_page(account, &mut pages).await? {
            let found = page.templates.into_iter().zip(page.objects);
            let found = found.filter(|(template, _)| filter.takes(template));
            let mut records: Vec<Record> = Vec::new();
            for (reading, object) in found {
                let said = self.said(account, read_at(asked_at, &reading.status), reading);
                // One that two pages show while the list moves on.
                if known.insert(said.id.0) {
                    templates.push(said.id);
                    records.push(Record {
                        said,
                        object: raw(object),
                        asked_at,
                        submitted: None,
                        merges: false,
                    });
                }
            }
            // A page at a time: what was read is not held.
            told += self.store.record_managed(&records).await?;
        }
        // Infobip lists by a number; another of the connection's may be of another account.
        if pages.whole && filter.is_all() && account.provider() != Provider::Infobip {
            let of = ListedOf {
                connection: account.connection.id,
                waba_id: &account.waba_id,
                asked_at,
            };
            told += self.store.record_unlisted(&of, &templates).await?;
        }
        drop(reading);
        Ok(Synced {
            templates,
            told,
            whole: pages.whole,
            _turn: self.lists.show().await,
        })
    }

    /// What a list has of one name and language.
    async fn list_named(&self, account: &Account, filter: &Filter) -> Result<TemplatePage, Failed> {
        let mut all = TemplatePage::default();
        let mut pages = Pages::new(filter, false);
        while let Some(page) = self.next_page(account, &mut pages).await? {
            let found = page.templates.into_iter().zip(page.objects);
            for (template, object) in found.filter(|(template, _)| filter.takes(template)) {
                all.templates.push(template);
                all.objects.push(object);
            }
        }
        Ok(all)
    }

    /// The next page of a list. `None`: there is none, or no more is read of it.
    async fn next_page(
        &self,
        account: &Account,
        pages: &mut Pages<'_>,
    ) -> Result<Option<TemplatePage>, Failed> {
        if pages.ended {
            return Ok(None);
        }
        let is_over = |until| self.store.clock().monotonic() >= until;
        if pages.read >= PAGES || pages.bytes >= LIST_BYTES || pages.until.is_some_and(is_over) {
            (pages.ended, pages.whole) = (true, false);
            return Ok(None);
        }
        let (provider, from) = (account.provider(), pages.from.as_deref());
        let ask = templates::list(provider, &account.named(), pages.filter, from, pages.by_v1);
        let answered = self.call(&account.connection, &ask).await?;
        let page = templates::listed(provider, &answered.body);
        let page = page.map_err(|error| Failed::unread(shown(&answered.body), error))?;
        pages.read += 1;
        pages.bytes += answered.body.len();
        pages.whole &= page.whole;
        pages.from.clone_from(&page.next);
        pages.ended = page.next.is_none();
        Ok(Some(page))
    }
}

/// How far a list was read.
struct Pages<'a> {
    filter: &'a Filter,
    by_v1: bool,
    from: Option<String>,
    read: usize,
    bytes: usize,
    /// No page is asked for after that.
    until: Option<Instant>,
    /// Nothing is missing so far.
    whole: bool,
    ended: bool,
}

impl<'a> Pages<'a> {
    fn new(filter: &'a Filter, by_v1: bool) -> Self {
        Self {
            filter,
            by_v1,
            from: None,
            read: 0,
            bytes: 0,
            until: None,
            whole: true,
            ended: false,
        }
    }
}
