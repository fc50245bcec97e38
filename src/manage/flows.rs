//! Flows: nothing of them is kept here. What is asked for is asked of the provider, and shown.

use serde_json::{Map, Value};

use super::{Account, Failed, Manage};
use crate::model::Timestamp;
use crate::model::provider::Provider;
use crate::provider::flows::{self, Flow, FlowError};
use crate::provider::operations::Operation;
use crate::provider::operations::flows::READ_FLOW_JSON;

/// Pages of a list.
const PAGES: usize = 100;

/// What came of an upload.
#[derive(Debug)]
pub struct Uploaded {
    /// What is wrong with it, although it was taken.
    pub errors: Vec<FlowError>,
    /// The provider's answer.
    pub answer: Value,
}

fn unreadable(what: &str) -> Failed {
    Failed::Unreadable(format!("{what} is missing"))
}

impl Manage {
    /// All flows of an account, with the provider's own object of each.
    pub async fn flows(&self, account: &Account) -> Result<Vec<(Flow, Value)>, Failed> {
        let provider = account.connection.provider;
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..PAGES {
            let ask = flows::list(provider, &account.named(), after.as_deref());
            let answer = self.asked(account, &ask).await?;
            let (objects, next) = flows::page(&answer).ok_or_else(|| unreadable("the list"))?;
            all.extend(
                objects
                    .into_iter()
                    .filter_map(|it| Some((flows::flow(&it)?, it))),
            );
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        Ok(all)
    }

    /// One flow. `None`: the provider's list does not have it.
    pub async fn flow(&self, account: &Account, id: &str) -> Result<Option<(Flow, Value)>, Failed> {
        let provider = account.connection.provider;
        let answer = self
            .asked(account, &flows::read(provider, &account.named(), id))
            .await?;
        if provider == Provider::Meta {
            let flow = flows::flow(&answer).ok_or_else(|| unreadable("`id`"))?;
            return Ok(Some((flow, answer)));
        }
        let (objects, _) = flows::page(&answer).ok_or_else(|| unreadable("the list"))?;
        let mut all = objects
            .into_iter()
            .filter_map(|it| Some((flows::flow(&it)?, it)));
        Ok(all.find(|(flow, _)| flow.id == id))
    }

    /// Makes a flow, a draft.
    pub async fn create_flow(
        &self,
        account: &Account,
        given: &Map<String, Value>,
    ) -> Result<(Flow, Value), Failed> {
        let provider = account.connection.provider;
        let ask = flows::write(provider, &account.named(), None, given);
        let answer = self.change(account, &ask).await?;
        let flow = flows::created(&answer, given).ok_or_else(|| unreadable("`id`"))?;
        Ok((flow, answer))
    }

    /// Changes a draft; the provider's answer.
    pub async fn update_flow(
        &self,
        account: &Account,
        id: &str,
        given: &Map<String, Value>,
    ) -> Result<Value, Failed> {
        let provider = account.connection.provider;
        let ask = flows::write(provider, &account.named(), Some(id), given);
        self.change(account, &ask).await
    }

    /// Deletes, publishes or deprecates one; the provider's answer.
    pub async fn move_flow(
        &self,
        account: &Account,
        operation: &'static Operation,
        id: &str,
    ) -> Result<Value, Failed> {
        let ask = flows::simple(operation, &account.named(), id);
        self.change(account, &ask).await
    }

    /// Where a flow's JSON can be downloaded, and the provider's answer.
    pub async fn flow_json(&self, account: &Account, id: &str) -> Result<(String, Value), Failed> {
        let ask = flows::simple(&READ_FLOW_JSON, &account.named(), id);
        let answer = self.asked(account, &ask).await?;
        let url = flows::download_url(&answer).ok_or_else(|| unreadable("the address"))?;
        Ok((url, answer))
    }

    /// Uploads a draft's JSON.
    pub async fn upload_flow(
        &self,
        account: &Account,
        id: &str,
        flow: &[u8],
    ) -> Result<Uploaded, Failed> {
        let provider = account.connection.provider;
        let ask = flows::upload(provider, &account.named(), id, flow);
        let answer = self.change(account, &ask).await?;
        Ok(Uploaded {
            errors: flows::errors(&answer),
            answer,
        })
    }

    /// Where a flow can be looked at, until when, and the provider's answer.
    pub async fn preview_flow(
        &self,
        account: &Account,
        id: &str,
    ) -> Result<(String, Option<Timestamp>, Value), Failed> {
        let provider = account.connection.provider;
        let ask = flows::preview(provider, &account.named(), id);
        let answer = self.asked(account, &ask).await?;
        let (url, until) = flows::preview_of(&answer).ok_or_else(|| unreadable("the address"))?;
        Ok((url, until, answer))
    }
}
