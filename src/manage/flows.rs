//! Flows: nothing of them is kept here. What is asked for is asked of the provider, and shown.

use axum::body::Bytes;
use serde_json::{Map, Value};

use super::{Account, Failed, Manage};
use crate::model::Timestamp;
use crate::model::provider::Provider;
use crate::provider::flows::{self, Flow, FlowError};
use crate::provider::operations::Operation;
use crate::provider::operations::flows::{READ_FLOW_JSON, UPLOAD_FLOW_JSON};

/// What came of an upload.
#[derive(Debug)]
pub struct Uploaded {
    /// What is wrong with it, although it was taken.
    pub errors: Vec<FlowError>,
    /// The provider's answer.
    pub answer: Value,
}

fn unread(answer: Value, what: &str) -> Failed {
    Failed::unread(answer, format!("{what} is missing"))
}

impl Manage {
    /// All flows of an account, with the provider's own object of each.
    pub async fn flows(&self, account: &Account) -> Result<Vec<(Flow, Value)>, Failed> {
        let provider = account.connection.provider;
        let ask = |after: Option<&str>| flows::list(provider, &account.named(), after);
        let page = |answer: Value| {
            let (objects, next) = flows::page(&answer).ok_or_else(|| unread(answer, "the list"))?;
            let flows = objects
                .into_iter()
                .filter_map(|it| Some((flows::flow(&it)?, it)));
            Ok((flows.collect(), next))
        };
        self.pages(account, ask, page).await
    }

    /// One flow. `None`: the provider's list does not have it, or its id is of something else.
    pub async fn flow(&self, account: &Account, id: &str) -> Result<Option<(Flow, Value)>, Failed> {
        let provider = account.connection.provider;
        let ask = flows::read(provider, &account.named(), id);
        let answer = match self.asked(account, &ask).await {
            Err(Failed::Refused(said)) if flows::is_of_another(provider, &said.body) => {
                return Ok(None);
            }
            came => came?,
        };
        if provider == Provider::Meta {
            let is_flow = flows::is_flow(&answer);
            return Ok(flows::flow(&answer)
                .filter(|_| is_flow)
                .map(|flow| (flow, answer)));
        }
        let Some((objects, _)) = flows::page(&answer) else {
            return Err(unread(answer, "the list"));
        };
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
        match flows::created(&answer, given) {
            Some(flow) => Ok((flow, answer)),
            None => Err(Failed::unreadable(answer, "`id` is missing")),
        }
    }

    /// At Meta anything may have any id, and what would change a flow would change a template as
    /// well: whatever is changed was seen to be a flow. `None`: it is none.
    async fn is_there(&self, account: &Account, id: &str) -> Result<Option<()>, Failed> {
        match account.connection.provider {
            Provider::Meta => Ok(self.flow(account, id).await?.map(|_| ())),
            _ => Ok(Some(())),
        }
    }

    /// Changes a draft; the provider's answer. `None`: it is no flow.
    pub async fn update_flow(
        &self,
        account: &Account,
        id: &str,
        given: &Map<String, Value>,
    ) -> Result<Option<Value>, Failed> {
        let provider = account.connection.provider;
        let ask = flows::write(provider, &account.named(), Some(id), given);
        account.has(ask.operation)?;
        match self.is_there(account, id).await? {
            Some(()) => self.change(account, &ask).await.map(Some),
            None => Ok(None),
        }
    }

    /// Deletes, publishes or deprecates one; the provider's answer. `None`: it is no flow.
    pub async fn move_flow(
        &self,
        account: &Account,
        operation: &'static Operation,
        id: &str,
    ) -> Result<Option<Value>, Failed> {
        account.has(operation)?;
        let ask = flows::simple(operation, &account.named(), id);
        match self.is_there(account, id).await? {
            Some(()) => self.change(account, &ask).await.map(Some),
            None => Ok(None),
        }
    }

    /// Where a flow's JSON can be downloaded, and the provider's answer.
    pub async fn flow_json(&self, account: &Account, id: &str) -> Result<(String, Value), Failed> {
        let ask = flows::simple(&READ_FLOW_JSON, &account.named(), id);
        let answer = self.asked(account, &ask).await?;
        match flows::download_url(&answer) {
            Some(url) => Ok((url, answer)),
            None => Err(unread(answer, "the address")),
        }
    }

    /// Uploads a draft's JSON. `None`: it is no flow.
    pub async fn upload_flow(
        &self,
        account: &Account,
        id: &str,
        flow: Bytes,
    ) -> Result<Option<Uploaded>, Failed> {
        account.has(&UPLOAD_FLOW_JSON)?;
        if self.is_there(account, id).await?.is_none() {
            return Ok(None);
        }
        let provider = account.connection.provider;
        let ask = flows::upload(provider, &account.named(), id, &flow);
        let answer = self.change(account, &ask).await?;
        Ok(Some(Uploaded {
            errors: flows::errors(&answer),
            answer,
        }))
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
        match flows::preview_of(&answer) {
            Some((url, until)) => Ok((url, until, answer)),
            None => Err(unread(answer, "the address")),
        }
    }
}
