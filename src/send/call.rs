//! The POST itself: a request goes out, and what came of each message in it is told by what it
//! means. Its answer may also say that nothing more is allowed for a while, which the sender's rate
//! is told at once.

use secrecy::SecretString;

use super::answer::{self, Unread};
use super::ask;
use super::claimer::Rate;
use super::last_look::{Ended, HeldBack};
use crate::model::provider::Provider;
use crate::provider::{self, Answer, Answers};

/// A POST that is ready.
pub(super) struct Call {
    pub(super) call: reqwest::RequestBuilder,
    /// Whether it was held back at the last moment.
    pub(super) held_back: HeldBack,
    pub(super) provider: Provider,
    /// What it is made with.
    pub(super) key: SecretString,
    /// The attempts', of whose messages the request consists.
    pub(super) ids: Vec<String>,
    /// The sender's, which an answer may bring to an end.
    pub(super) rate: Rate,
}

/// What is known of a message after its POST.
#[derive(Debug, Clone)]
pub(super) enum Came {
    /// The provider's answer.
    Answer(Answer),
    /// The request was refused for what may be wrong with another message in it.
    Apart(String),
    /// It never left: there was no connection.
    NotSent(String),
    /// It left, and nobody knows more.
    Lost(String),
}

impl Call {
    /// Posts, and reads the answer for as long as the call's own time limit lets it. Of each
    /// message, in the order of their ids.
    pub(super) async fn exchange(self) -> Vec<Came> {
        let messages = self.ids.len();
        match self.ask().await {
            Ok(Answers::Each(answers)) => answers.into_iter().map(Came::Answer).collect(),
            Ok(Answers::Apart { reason }) => vec![Came::Apart(reason); messages],
            Err(came) => vec![came; messages],
        }
    }

    async fn ask(self) -> Result<Answers, Came> {
        let response = match self.call.send().await {
            Ok(response) => response,
            Err(_) if self.held_back.is_true() => return Err(Came::NotSent(Ended.to_string())),
            Err(error) if error.is_connect() || error.is_builder() => {
                return Err(Came::NotSent(describe(&error)));
            }
            Err(error) => return Err(Came::Lost(describe(&error))),
        };
        let status = response.status().as_u16();
        let used_up = ask::used_up(self.provider, response.headers(), true);
        if let Some(wait) = used_up {
            self.rate.drain(wait);
        }
        let wait = ask::retry_after(response.headers()).max(used_up);
        match answer::body(response).await {
            Ok(body) => {
                let body = match status {
                    400.. => answer::without_keys(body, [&self.key]),
                    _ => body,
                };
                Ok(provider::answers(
                    self.provider,
                    &self.ids,
                    status,
                    wait,
                    &body,
                ))
            }
            Err(Unread::Cut(error)) => Err(Came::Lost(describe(&error))),
            Err(error) => Err(Came::Lost(error.to_string())),
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
