//! What all that is managed at the providers has in common here: whose it is, what is said of what is
//! wrong with it, and that it is done once. Who hangs up meanwhile does not undo it: as whatever is
//! audited (`auth`) it runs to its end.

use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::IntoParams;

use super::Api;
use super::permit;
use super::problem::{ApiError, FieldError};
use crate::manage::{Account, has};
use crate::model::ids::{ConnectionId, SenderId};
use crate::model::provider::Provider;
use crate::provider::content::Fault;
use crate::provider::operations::Operation;
use crate::store::Once;

/// Whose: a sender's, or a connection's.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Whose {
    /// A sender of the account: its connection and its account are meant.
    pub(super) sender: Option<SenderId>,
    /// Needed without `sender`.
    pub(super) connection: Option<ConnectionId>,
    /// Meta's account; needed for what has no id of its own, where the connection's senders are of
    /// several, or of none.
    pub(super) waba_id: Option<String>,
}

impl Whose {
    pub(super) fn of(
        sender: Option<SenderId>,
        connection: Option<ConnectionId>,
        waba_id: Option<String>,
    ) -> Self {
        Self {
            sender,
            connection,
            waba_id,
        }
    }
}

/// What is there of it.
pub(super) fn given(mut content: Map<String, Value>) -> Map<String, Value> {
    content.retain(|_, value| !value.is_null());
    content
}

impl Api {
    /// Whose account is meant, where its provider has such a call at all.
    pub(super) async fn account(
        &self,
        whose: &Whose,
        operation: &'static Operation,
    ) -> Result<Account, ApiError> {
        self.account_if(whose, operation, true).await
    }

    /// The same, where Meta's account does not matter: what is asked for has an id of its own.
    pub(super) async fn account_of_any(
        &self,
        whose: &Whose,
        operation: &'static Operation,
    ) -> Result<Account, ApiError> {
        self.account_if(whose, operation, false).await
    }

    async fn account_if(
        &self,
        whose: &Whose,
        operation: &'static Operation,
        needs_waba: bool,
    ) -> Result<Account, ApiError> {
        let (connection, waba_id, number) = match (whose.sender, whose.connection) {
            (Some(sender), _) => {
                let sender = self.store.sender(sender).await?;
                let sender = sender.ok_or_else(super::carrier::no_such_sender)?;
                if whose
                    .connection
                    .is_some_and(|named| named != sender.connection)
                {
                    return Err(ApiError::field("sender", "is not of this connection"));
                }
                let number = Some(sender.phone_number_id).filter(|number| !number.is_empty());
                (
                    sender.connection,
                    whose.waba_id.clone().or(sender.waba_id),
                    number,
                )
            }
            (None, Some(connection)) => (connection, whose.waba_id.clone(), None),
            (None, None) => {
                return Err(ApiError::field(
                    "connection",
                    "is missing, and so is `sender`",
                ));
            }
        };
        let known = self.connections.get(connection).await?;
        let no_such = || ApiError::field("connection", "there is no such connection");
        let known = known.ok_or_else(no_such)?;
        has(&known, operation)?;
        let provider = known.provider;
        let waba_id = match (provider, waba_id) {
            (Provider::Meta, Some(waba_id)) if is_number(&waba_id) => waba_id,
            (Provider::Meta, Some(_)) => {
                return Err(ApiError::field(
                    "waba_id",
                    "expected an id of Meta's: digits",
                ));
            }
            (Provider::Meta, None) if !needs_waba => String::new(),
            (Provider::Meta, None) => self.only_account(connection).await?,
            _ => String::new(),
        };
        let account = self.manage.account_of(connection, &waba_id, number).await?;
        let account = account.ok_or_else(no_such)?;
        match provider == Provider::Infobip && account.number.is_empty() {
            true => Err(ApiError::field(
                "connection",
                "has no sender with a number, by which Infobip's templates are asked for",
            )),
            false => Ok(account),
        }
    }

    /// The one account that a connection's senders are of.
    async fn only_account(&self, connection: ConnectionId) -> Result<String, ApiError> {
        let mut accounts = self.store.accounts_of(connection).await?;
        match accounts.len() {
            1 => Ok(accounts.remove(0)),
            0 => Err(ApiError::field(
                "waba_id",
                "is needed: no sender of the connection has one",
            )),
            _ => Err(ApiError::field(
                "waba_id",
                "is needed: the connection has several accounts",
            )),
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Api {
    /// Does once what is done at a provider, and keeps its answer under the request's name.
    pub(super) async fn once<V: Serialize>(
        &self,
        once: &Once,
        status: StatusCode,
        work: impl Future<Output = Result<V, ApiError>>,
    ) -> Result<Response, ApiError> {
        let kept = async {
            let view = work.await?;
            Ok::<_, ApiError>(self.manage.kept(once, &view).await?)
        };
        let reply = self.manage.once_at_provider(once, kept).await?;
        super::once::answer(status, reply)
    }
}

pub(super) fn refuse(faults: Vec<Fault>) -> Result<(), ApiError> {
    if faults.is_empty() {
        return Ok(());
    }
    let faults = faults
        .into_iter()
        .map(|fault| FieldError::of_fault("", fault));
    Err(ApiError::of_fields(faults.collect()))
}

/// What the audit is told: whom it was about.
pub(super) fn note(account: &Account, what: &str) {
    let Account {
        connection,
        waba_id,
        ..
    } = account;
    let of = match waba_id.as_str() {
        "" => String::new(),
        waba_id => format!(" of account {waba_id}"),
    };
    permit::note(format!(
        "{what}{of} at {} ({})",
        connection.provider.as_str(),
        connection.id
    ));
}
