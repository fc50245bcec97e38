//! A number's picture at its provider. Of the steps that put it there only the last changes
//! anything that users see: what came of that is what came of all.

use serde_json::Value;

use super::uploads::Session;
use super::{Account, Failed, Manage, shown};
use crate::model::provider::Provider;
use crate::provider::logo::{self, Given, LARGEST, Picture};
use crate::provider::operations::senders::READ_LOGO;
use crate::provider::profile;

/// A number's picture.
#[derive(Debug)]
pub enum Logo {
    /// Where it is, without a key.
    At(String),
    /// Itself.
    Bytes(Picture, Vec<u8>),
}

/// What was answered to is nothing that users see.
fn missing(answer: Value, what: &str) -> Failed {
    Failed::unread(answer, format!("{what} is missing"))
}

impl Manage {
    /// Puts a picture there that was checked; the provider's answer.
    pub async fn set_logo(&self, account: &Account, given: Given) -> Result<Value, Failed> {
        let (provider, of) = (account.provider(), account.named());
        let bytes = match given {
            Given::Address(address) => {
                let ask = logo::set(provider, &of, &address);
                return self.change(account, &ask).await;
            }
            Given::Bytes(bytes) => bytes,
        };
        let picture = logo::picture(&bytes).ok_or_else(|| missing(Value::Null, "the picture"))?;
        if provider == Provider::Dialog360Onprem {
            return self.change(account, &logo::put(&of, picture, bytes)).await;
        }
        let begin = logo::begin(&of, picture, bytes.len());
        let session = |id: &str| Session {
            send: logo::upload(&of, id),
            ask: None,
            kind: Some(picture.content_type),
        };
        let uploaded = self.upload(account, &begin, session, bytes.into()).await?;
        self.change(account, &logo::set(provider, &of, &uploaded.id))
            .await
    }

    /// A number's picture. `None`: it has none.
    pub async fn logo(&self, account: &Account) -> Result<Option<Logo>, Failed> {
        account.has(&READ_LOGO)?;
        let provider = account.provider();
        let ask = logo::read(provider, &account.named());
        let answered = self.call_within(&account.connection, &ask, LARGEST).await?;
        if matches!(provider, Provider::Meta | Provider::Dialog360) {
            let answer = [shown(&answered.body)];
            let told = profile::profile(provider, &answer);
            let [answer] = answer;
            let told = told.ok_or_else(|| missing(answer, "the profile"))?;
            return Ok(told.picture_url.map(Logo::At));
        }
        match logo::picture(&answered.body) {
            Some(picture) => Ok(Some(Logo::Bytes(picture, answered.body))),
            None if answered.body.is_empty() => Ok(None),
            None => Err(missing(shown(&answered.body), "the picture")),
        }
    }
}
