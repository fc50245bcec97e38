//! Through whom a sender's messages go: what a message may say is asked before it is taken.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::problem::{ApiError, FieldError};
use super::{Api, permit};
use crate::model::ids::SenderId;
use crate::model::provider::Provider;
use crate::provider;

/// Providers of senders that can send, as far as this instance has met them: neither a sender's
/// connection and number nor a connection's provider ever change.
#[derive(Debug, Default)]
pub struct Carriers(Mutex<HashMap<SenderId, Provider>>);

impl Carriers {
    fn with<T>(&self, f: impl FnOnce(&mut HashMap<SenderId, Provider>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Api {
    /// The provider of a sender that is to send, for the caller whose request this is.
    pub(super) async fn carrier(&self, sender: SenderId) -> Result<Provider, ApiError> {
        permit::of_sender(sender)?;
        if let Some(known) = self.carriers.with(|known| known.get(&sender).copied()) {
            return Ok(known);
        }
        let found = self
            .store
            .sender(sender)
            .await?
            .ok_or_else(no_such_sender)?;
        let connection = self.connections.get(found.connection).await?;
        let provider = connection.ok_or_else(no_such_sender)?.provider;
        if let Some(why) = provider::check_sender(provider, &found.phone_number_id) {
            return Err(ApiError::field("sender", why));
        }
        self.carriers.with(|known| known.insert(sender, provider));
        Ok(provider)
    }
}

/// What a message is refused with whose sender is not there.
pub(super) fn no_such_sender() -> ApiError {
    ApiError::field("sender", "there is no such sender")
}

/// Says why the provider sends nothing to this recipient, if it does not.
pub(super) fn check_recipient(provider: Provider, to: &str, errors: &mut Vec<FieldError>) {
    // What could not be read is told already.
    let fault = (!to.is_empty()).then(|| provider::check_recipient(provider, to));
    errors.extend(fault.flatten().map(|fault| FieldError::of_fault("", fault)));
}
