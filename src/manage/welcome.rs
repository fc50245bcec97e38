//! Welcome message sequences: nothing of them is kept here.

use serde_json::{Map, Value};

use super::{Account, Failed, Manage};
use crate::provider::operations::welcome::LIST_WELCOME;
use crate::provider::welcome::{self, Welcome};

/// Pages of a list.
const PAGES: usize = 100;

impl Manage {
    /// All sequences of an account, with the provider's own object of each.
    pub async fn welcome_all(&self, account: &Account) -> Result<Vec<(Welcome, Value)>, Failed> {
        account.has(&LIST_WELCOME)?;
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..PAGES {
            let ask = welcome::list(&account.named(), after.as_deref());
            let answer = self.asked(account, &ask).await?;
            let (some, next) = welcome::page(&answer)
                .ok_or_else(|| Failed::unread(answer.clone(), "the list is missing"))?;
            all.extend(some);
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        Ok(all)
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
        let (some, _) = welcome::page(&answer)
            .ok_or_else(|| Failed::unread(answer.clone(), "the list is missing"))?;
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
