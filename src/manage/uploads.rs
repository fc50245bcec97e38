//! Resumable uploads: a session is begun, all bytes are sent to it, and what came of it is a handle
//! that something else names. Until that nobody sees anything of it: an upload that fails was not
//! done, whatever became of its bytes.

use axum::body::Bytes;
use serde_json::Value;

use super::media::{ANSWER_BYTES, TRANSFER};
use super::{Account, Failed, Kept, Manage, lost, method, shown};
use crate::provider::lenient::plain;
use crate::provider::operations::Ask;
use crate::send::ask::{self, Opening};

/// How often an upload is sent on from where it broke off.
const RESUMES: usize = 4;

/// The calls to a session that was begun.
#[derive(Debug)]
pub(super) struct Session {
    /// Sends bytes.
    pub(super) send: Ask,
    /// Asks how many came; `None`: the provider has no call for that.
    pub(super) ask: Option<Ask>,
    /// `Content-Type`.
    pub(super) kind: Option<&'static str>,
}

impl Manage {
    /// Uploads all of it, and sends it on from where it broke off; its handle. `session`: the calls
    /// to one of this id.
    pub(super) async fn upload(
        &self,
        account: &Account,
        begin: &Ask,
        session: impl FnOnce(&str) -> Session,
        bytes: Bytes,
    ) -> Result<Kept, Failed> {
        let begun = self.change(account, begin).await;
        let begun = begun.map_err(Failed::unseen)?;
        let Some(id) = plain(&begun["id"]) else {
            return Err(Failed::unread(begun, "`id` is missing"));
        };
        let session = session(&id);
        let (mut offset, mut left) = (0, RESUMES);
        loop {
            let came = self.send(account, &session, offset, bytes.slice(offset..));
            let came = came.await;
            let failed = match came.map_err(Failed::unseen) {
                Ok(answer) => {
                    return match plain(&answer["h"]) {
                        Some(id) => Ok(Kept { id, answer }),
                        None => Err(Failed::unread(answer, "`h` is missing")),
                    };
                }
                Err(failed) => failed,
            };
            let ask = session.ask.as_ref().filter(|_| left > 0);
            let (Some(ask), Failed::Unreachable { .. }) = (ask, &failed) else {
                return Err(failed);
            };
            left -= 1;
            offset = self.came(account, ask, bytes.len()).await?;
        }
    }

    async fn send(
        &self,
        account: &Account,
        session: &Session,
        offset: usize,
        rest: Bytes,
    ) -> Result<Value, Failed> {
        let (call, address) = self.address(account, &session.send)?;
        let mut headers = vec![("file_offset", offset.to_string())];
        headers.extend(session.kind.map(|kind| ("content-type", kind.to_owned())));
        let opening = Opening {
            method: method(call.verb),
            address: &address,
            with_key: true,
            headers,
            body: Some(rest.into()),
            limit: TRANSFER,
        };
        let response = self.open(account, &session.send, opening).await?;
        let body = ask::rest(response, ANSWER_BYTES).await;
        Ok(shown(&body.map_err(|error| lost(&call, error))?))
    }

    /// How many bytes came.
    async fn came(&self, account: &Account, ask: &Ask, most: usize) -> Result<usize, Failed> {
        let answer = self.asked(account, ask).await?;
        let came = &answer["file_offset"];
        let came = came.as_u64().or_else(|| came.as_str()?.parse().ok());
        let came = came.and_then(|came| usize::try_from(came).ok());
        came.filter(|came| *came <= most)
            .ok_or_else(|| Failed::unread(answer, "`file_offset` is missing"))
    }
}
