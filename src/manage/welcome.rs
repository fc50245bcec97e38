//! Welcome message sequences: nothing of them is kept here.

use serde_json::{Map, Value};

use super::{Account, Failed, Manage};
use crate::provider::operations::welcome::LIST_WELCOME;
use crate::provider::welcome::{self, Welcome};

/// What a page of a list has, and where the next begins.
type Page = (Vec<(Welcome, Value)>, Option<String>);

fn page(answer: Value) -> Result<Page, Failed> {
    welcome::page(&answer).ok_or_else(|| Failed::unread(answer, "the list is missing"))
}

impl Manage {
    /// All sequences of an account, with the provider's own object of each.
    pub async fn welcome_all(&self, account: &Account) -> Result<Vec<(Welcome, Value)>, Failed> {
        account.has(&LIST_WELCOME)?;
        let ask = |after: Option<&str>| welcome::list(&account.named(), after);
        self.pages(account, ask, page).await
    }

    /// One sequence. `None`: the provider's list does not have it.
    pub async fn welcome(
        &self,
        account: &Account,
        id: &str,
    ) -> Result<Option<(Welcome, Value)>, Failed> {
        let answer = self
            .asked(account, &welcome::read(&account.named(), id))
            .await?;
        let (some, _) = page(answer)?;
        Ok(some.into_iter().find(|(welcome, _)| welcome.id == id))
    }

    /// Makes a sequence; its id, and the provider's answer.
    pub async fn create_welcome(
        &self,
        account: &Account,
        given: &Map<String, Value>,
    ) -> Result<(String, Value), Failed> {
        let ask = welcome::write(&account.named(), None, given);
        let answer = self.change(account, &ask).await?;
        let id = welcome::created(&answer);
        let id =
            id.ok_or_else(|| Failed::unreadable(answer.clone(), "`sequence_id` is missing"))?;
        Ok((id, answer))
    }

    /// Changes a sequence: what is not named stays.
    pub async fn update_welcome(
        &self,
        account: &Account,
        id: &str,
        given: &Map<String, Value>,
    ) -> Result<Value, Failed> {
        let ask = welcome::write(&account.named(), Some(id), given);
        self.change(account, &ask).await
    }

    /// Deletes a sequence.
    pub async fn delete_welcome(&self, account: &Account, id: &str) -> Result<Value, Failed> {
        let ask = welcome::delete(&account.named(), id);
        self.change(account, &ask).await
    }
}
