//! Whose something is at a provider, and the two ways of calling for it.

use std::sync::Arc;

use serde_json::Value;

use super::{Failed, Manage, Said, shown};
use crate::model::error_class::ErrorClass;
use crate::model::ids::ConnectionId;
use crate::model::provider::Provider;
use crate::provider::operations::{Ask, Operation};
use crate::provider::refused::Refused;
use crate::provider::templates::{self, Named};
use crate::send::ask::Answered;
use crate::store::templates_read::Template;
use crate::store::{Connection, StoreError};

/// Pages of a list.
const PAGES: usize = 100;

/// Whose something is, and by which number it is asked for.
#[derive(Debug, Clone)]
pub struct Account {
    /// With its key.
    pub connection: Arc<Connection>,
    /// Meta's account; empty elsewhere.
    pub waba_id: String,
    /// Infobip's: the digits of a number of the account.
    pub number: String,
}

impl Account {
    pub(super) fn named(&self) -> templates::Account<'_> {
        templates::Account {
            api_version: self.connection.api_version.as_deref().unwrap_or_default(),
            waba_id: &self.waba_id,
            number: &self.number,
        }
    }

    pub(super) fn provider(&self) -> Provider {
        self.connection.provider
    }

    /// Said before anything else is wrong with what is asked for.
    pub fn has(&self, operation: &'static Operation) -> Result<(), Failed> {
        super::has(&self.connection, operation)
    }
}

impl Manage {
    /// The account of a connection: Meta's `waba_id`, and Infobip's by one of its numbers.
    pub async fn account_of(
        &self,
        connection: ConnectionId,
        waba_id: &str,
        number: Option<String>,
    ) -> Result<Option<Account>, StoreError> {
        let Some(connection) = self.connections.get(connection).await? else {
            return Ok(None);
        };
        let number = match (connection.provider, number) {
            (Provider::Infobip, None) => {
                let numbers = self.store.listing_numbers(connection.id).await?;
                numbers.into_iter().next().unwrap_or_default()
            }
            (_, number) => number.unwrap_or_default(),
        };
        let waba_id = connection.provider.account_of_templates(Some(waba_id));
        Ok(Some(Account {
            waba_id: waba_id.to_owned(),
            number,
            connection,
        }))
    }

    /// The account of a template that is known: at Infobip the number of it that the provider shows
    /// the template by, where a connection has several.
    pub async fn account_of_template(
        &self,
        template: &Template,
    ) -> Result<Option<Account>, Failed> {
        let account = self
            .account_of(template.connection, &template.waba_id, None)
            .await?;
        let (Some(account), Some(id)) = (&account, &template.provider_template_id) else {
            return Ok(account);
        };
        if account.provider() != Provider::Infobip {
            return Ok(Some(account.clone()));
        }
        let numbers = self.store.listing_numbers(template.connection).await?;
        if numbers.len() < 2 {
            return Ok(Some(account.clone()));
        }
        let name = &template.name;
        for number in numbers {
            let of = Account {
                number,
                ..account.clone()
            };
            let ask = templates::read(Provider::Infobip, &of.named(), Named { id, name });
            match self.call(&of.connection, &ask).await {
                Ok(_) => return Ok(Some(of)),
                // Another's.
                Err(Failed::Refused(said))
                    if Refused::is_not_there(said.status, said.code.as_deref()) => {}
                Err(failed) => return Err(failed),
            }
        }
        Ok(Some(account.clone()))
    }

    /// Makes a call that changes something; its answer, if it was done.
    pub(super) async fn change(&self, account: &Account, ask: &Ask) -> Result<Value, Failed> {
        Self::done(&self.call(&account.connection, ask).await?)
    }

    /// What a call that changes something was answered, if it was done.
    pub(super) fn done(answered: &Answered) -> Result<Value, Failed> {
        let answer = shown(&answered.body);
        match templates::undone(&answered.body) {
            None => Ok(answer),
            // A success that says that it is none.
            Some(message) => Err(Failed::Refused(Box::new(Said {
                status: answered.status,
                code: None,
                message: Some(message),
                body: answer,
                wait: answered.wait,
                class: ErrorClass::FixRequest,
            }))),
        }
    }

    /// All items of a list, page by page. `page`: what an answer has, and where the next begins.
    pub(super) async fn pages<T>(
        &self,
        account: &Account,
        ask: impl Fn(Option<&str>) -> Ask,
        page: impl Fn(Value) -> Result<(Vec<T>, Option<String>), Failed>,
    ) -> Result<Vec<T>, Failed> {
        let (mut all, mut after) = (Vec::new(), None::<String>);
        for _ in 0..PAGES {
            let answer = self.asked(account, &ask(after.as_deref())).await?;
            let (some, next) = page(answer)?;
            all.extend(some);
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        Ok(all)
    }

    /// Makes a call that only reads; its answer.
    pub(super) async fn asked(&self, account: &Account, ask: &Ask) -> Result<Value, Failed> {
        let answered = self.call(&account.connection, ask).await?;
        Ok(shown(&answered.body))
    }
}
