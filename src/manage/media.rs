//! Media: bytes are passed on as they come, from the caller to the provider and back, and never held
//! whole; but a sample for templates, which is small and can be sent again from where it broke off.

use std::time::Duration;

use axum::body::Bytes;
use reqwest::{Method, Response, header};
use serde_json::Value;

use super::uploads::Session;
use super::{Account, Answered, Failed, Manage, call_of, lost, method, shown};
use crate::model::provider::Provider;
use crate::provider::media::{self, File, Media};
use crate::provider::operations::media::{BEGIN_SAMPLE, DOWNLOAD_MEDIA, READ_MEDIA};
use crate::provider::operations::{Ask, Call};
use crate::send::ask::{self, Opening};

/// A transfer may take so long: 100 MB at 170 KB a second.
pub(super) const TRANSFER: Duration = Duration::from_secs(600);

/// The longest answer that is no media.
pub(super) const ANSWER_BYTES: usize = 1 << 20;

/// Media as it goes out: what stands around the file, and the file, passed on as it comes.
#[derive(Debug)]
pub struct Parcel {
    /// `Content-Type`.
    pub kind: String,
    /// All of it.
    pub body: reqwest::Body,
}

/// What was kept by a provider.
#[derive(Debug)]
pub struct Kept {
    /// Its id, or the handle of a sample.
    pub id: String,
    /// The provider's answer.
    pub answer: Value,
}

/// The bytes of media, as they come.
#[derive(Debug)]
pub struct Content {
    /// Their type.
    pub kind: Option<String>,
    /// How many there are.
    pub length: Option<u64>,
    /// Where they come from.
    pub response: Response,
}

impl Manage {
    /// Makes a call whose body, or whose answer's, is passed on.
    pub(super) async fn open(
        &self,
        account: &Account,
        ask: &Ask,
        opening: Opening<'_>,
    ) -> Result<Response, Failed> {
        let connection = &account.connection;
        let call = call_of(connection, ask.operation)?;
        self.take_turn(connection, &call).await?;
        let came = self.opened(account, &call, opening).await;
        self.tell(connection, ask, &came);
        came
    }

    async fn opened(
        &self,
        account: &Account,
        call: &Call,
        opening: Opening<'_>,
    ) -> Result<Response, Failed> {
        let connection = &account.connection;
        let opened = ask::open(&self.client, connection, opening).await;
        let (response, wait) = opened.map_err(|error| lost(call, error))?;
        let status = response.status();
        if status.is_success() || status.is_redirection() {
            self.keep_away(connection, call, wait);
            return Ok(response);
        }
        let body = ask::rest(response, ANSWER_BYTES).await;
        let answered = Answered {
            status: status.as_u16(),
            wait,
            date: None,
            body: body.map_err(|error| lost(call, error))?,
        };
        match self.judge(connection, call, answered) {
            Err(failed) => Err(failed),
            Ok(answered) => Err(Failed::unread(shown(&answered.body), "it is no media")),
        }
    }

    pub(super) fn address(&self, account: &Account, ask: &Ask) -> Result<(Call, String), Failed> {
        let call = call_of(&account.connection, ask.operation)?;
        let base = &account.connection.base_url;
        Ok((call, format!("{base}/{}", ask.address(&call))))
    }

    /// Uploads media to send.
    pub async fn upload_media(&self, account: &Account, parcel: Parcel) -> Result<Kept, Failed> {
        let ask = media::upload(&account.named());
        let (call, address) = self.address(account, &ask)?;
        let opening = Opening {
            method: method(call.verb),
            address: &address,
            with_key: true,
            headers: vec![("content-type", parcel.kind)],
            body: Some(parcel.body),
            limit: TRANSFER,
        };
        let response = self.open(account, &ask, opening).await?;
        let body = ask::rest(response, ANSWER_BYTES).await;
        let answer = shown(&body.map_err(|error| lost(&call, error))?);
        match media::id(&answer) {
            Some(id) => Ok(Kept { id, answer }),
            None => Err(Failed::unreadable(answer, "`id` is missing")),
        }
    }

    /// What media is. `None`: what has this id is something else.
    pub async fn media(
        &self,
        account: &Account,
        id: &str,
    ) -> Result<Option<(Media, Value)>, Failed> {
        account.has(&READ_MEDIA)?;
        let provider = account.provider();
        let ask = media::read(provider, &account.named(), id);
        if provider != Provider::Infobip {
            let answer = self.asked(account, &ask).await?;
            return Ok(media::media(&answer).map(|media| (media, answer)));
        }
        let (_, address) = self.address(account, &ask)?;
        let response = self
            .open(account, &ask, get(&address, Method::HEAD))
            .await?;
        let found = Media {
            mime_type: text(&response, header::CONTENT_TYPE),
            size: length(&response),
            sha256: None,
            url: None,
        };
        Ok(Some((found, Value::Null)))
    }

    /// The bytes of media. `None`: what has this id is something else, or is nowhere that our key
    /// may go.
    pub async fn media_content(
        &self,
        account: &Account,
        id: &str,
    ) -> Result<Option<Content>, Failed> {
        account.has(&DOWNLOAD_MEDIA)?;
        let provider = account.provider();
        let ask = media::download(provider, &account.named(), id);
        let base = &account.connection.base_url;
        let response = match provider {
            Provider::Meta | Provider::Dialog360 => {
                let answer = self.asked(account, &ask).await?;
                let Some(url) = media::media(&answer).and_then(|media| media.url) else {
                    return Ok(None);
                };
                let Some(url) = media::address(provider, base, &url) else {
                    return Err(Failed::unread(answer, "its address is not the provider's"));
                };
                // It was told this moment, and is good for five minutes.
                self.open(account, &ask, get(&url, Method::GET)).await?
            }
            Provider::Dialog360Onprem | Provider::Infobip => {
                let (_, address) = self.address(account, &ask)?;
                let response = self.open(account, &ask, get(&address, Method::GET)).await?;
                self.redirected(account, &ask, response).await?
            }
        };
        if !response.status().is_success() {
            let reason = format!("it answered {}", response.status().as_u16());
            return Err(Failed::unread(Value::Null, reason));
        }
        Ok(Some(Content {
            kind: text(&response, header::CONTENT_TYPE),
            length: length(&response),
            response,
        }))
    }

    /// Infobip may send its caller to its own store, which wants no key.
    async fn redirected(
        &self,
        account: &Account,
        ask: &Ask,
        response: Response,
    ) -> Result<Response, Failed> {
        let base = &account.connection.base_url;
        let to = text(&response, header::LOCATION).filter(|_| response.status().is_redirection());
        match to {
            Some(to) if media::redirection(base, &to) => {
                let opening = Opening {
                    with_key: false,
                    ..get(&to, Method::GET)
                };
                self.open(account, ask, opening).await
            }
            _ => Ok(response),
        }
    }

    /// Deletes media; the provider's answer. `None`: what has this id is something else, and would
    /// have been deleted as well.
    pub async fn delete_media(&self, account: &Account, id: &str) -> Result<Option<Value>, Failed> {
        let provider = account.provider();
        let base = &account.connection.base_url;
        let ask = media::delete(provider, &account.named(), id, base);
        let is_node = matches!(provider, Provider::Meta | Provider::Dialog360);
        if is_node && self.media(account, id).await?.is_none() {
            return Ok(None);
        }
        self.change(account, &ask).await.map(Some)
    }

    /// Uploads a sample for templates, and sends it on from where it broke off; its handle.
    pub async fn upload_sample(
        &self,
        account: &Account,
        app: Option<&str>,
        file: &File,
        bytes: Bytes,
    ) -> Result<Kept, Failed> {
        account.has(&BEGIN_SAMPLE)?;
        let named = account.named();
        let session = |id: &str| Session {
            send: media::sample(&named, id, false),
            ask: Some(media::sample(&named, id, true)),
            kind: None,
        };
        let begin = media::begin_sample(&named, app, file);
        self.upload(account, &begin, session, bytes).await
    }
}

fn get(address: &str, method: Method) -> Opening<'_> {
    Opening {
        method,
        address,
        with_key: true,
        headers: Vec::new(),
        body: None,
        limit: TRANSFER,
    }
}

fn text(response: &Response, name: header::HeaderName) -> Option<String> {
    let value = response.headers().get(name)?.to_str().ok()?;
    Some(value.to_owned())
}

/// As it is announced: an answer to HEAD has no body.
fn length(response: &Response) -> Option<u64> {
    text(response, header::CONTENT_LENGTH)?.parse().ok()
}
