//! The POST itself: a request goes out, and what came of it is told by what it means. Its answer
//! may also say that nothing more is allowed for a while, which the sender's rate is told at once.

use super::answer::{self, Unread};
use super::ask;
use super::claimer::Rate;
use super::last_look::{Ended, HeldBack};
use crate::model::provider::Provider;
use crate::provider::{self, Answer};

/// A POST that is ready.
pub(super) struct Call {
    pub(super) call: reqwest::RequestBuilder,
    /// Whether it was held back at the last moment.
    pub(super) held_back: HeldBack,
    pub(super) provider: Provider,
    /// The attempt's.
    pub(super) id: String,
    /// The sender's, which an answer may bring to an end.
    pub(super) rate: Rate,
}

/// What is known after a POST.
pub(super) enum Came {
    /// The provider's answer.
    Answer(Answer),
    /// It never left: there was no connection.
    NotSent(String),
    /// It left, and nobody knows more.
    Lost(String),
}

impl Call {
    /// Posts, and reads the answer for as long as the call's own time limit lets it.
    pub(super) async fn exchange(self) -> Came {
        let response = match self.call.send().await {
            Ok(response) => response,
            Err(_) if self.held_back.is_true() => return Came::NotSent(Ended.to_string()),
            Err(error) if error.is_connect() || error.is_builder() => {
                return Came::NotSent(describe(&error));
            }
            Err(error) => return Came::Lost(describe(&error)),
        };
        let status = response.status().as_u16();
        let used_up = ask::used_up(self.provider, response.headers(), true);
        if let Some(wait) = used_up {
            self.rate.drain(wait);
        }
        let wait = ask::retry_after(response.headers()).max(used_up);
        match answer::body(response).await {
            Ok(body) => {
                let answer = provider::answer(self.provider, &self.id, status, wait, &body);
                Came::Answer(answer)
            }
            Err(Unread::Cut(error)) => Came::Lost(describe(&error)),
            Err(error) => Came::Lost(error.to_string()),
        }
    }
}

/// An error with its causes, without the address: it may bear what should not be in a log.
pub(super) fn describe(error: &reqwest::Error) -> String {
    let mut text = String::from("the call failed");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
