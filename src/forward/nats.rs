//! NATS JetStream: where its servers are, and what it means that a stream has an event. A stream
//! must be there that takes `<subject>.>`; how long it keeps what, and on how many servers, is for
//! whoever runs it.

use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::context::{PublishAckFuture, PublishErrorKind};
use async_nats::jetstream::{self, ContextBuilder, ErrorCode};
use async_nats::{Client, ConnectOptions, ServerAddr};
use secrecy::{ExposeSecret, SecretString};

use crate::config::{self, Format};
use crate::feed::{Event, Events};

/// Settings that lead nowhere.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// One of the addresses is none.
    #[error("nats.url: expected nats:// or tls:// and a server, several with commas between them")]
    Url,
    /// Nobody would look for a password there.
    #[error("nats.url: expected no user and password: they are nats.user and nats.password")]
    UrlWithPassword,
    /// It leads to nobody.
    #[error("nats.user: expected a nats.password with it")]
    User,
    /// No subject can be made of it.
    #[error("nats.subject: expected words with dots between them, such as `twotick.events`")]
    Subject,
    /// It publishes nothing.
    #[error("nats.types: {0}: {1}")]
    Types(String, String),
}

/// Where events go, and as what.
#[derive(Debug, Clone)]
pub struct Nats {
    servers: Vec<ServerAddr>,
    user: String,
    password: SecretString,
    subject: String,
    as_cloudevents: bool,
    timeout: Duration,
}

/// What came of an event.
#[derive(Debug)]
pub enum Published {
    /// The stream has it.
    Taken,
    /// No server takes one so big, ever.
    TooBig,
    /// Nobody knows whether it has it.
    Failed(String),
}

impl Nats {
    /// `None`: it is not wanted.
    pub fn new(settings: &config::Nats) -> Result<Option<Self>, NatsError> {
        let url = settings.url.trim();
        if url.is_empty() {
            return Ok(None);
        }
        if !settings.user.is_empty() && settings.password.expose_secret().is_empty() {
            return Err(NatsError::User);
        }
        let servers = url.split(',').map(|one| one.trim().parse());
        let servers: Result<Vec<ServerAddr>, _> = servers.collect();
        // What is wrong with it is not said: it may bear a password.
        let servers = servers.map_err(|_| NatsError::Url)?;
        if servers.iter().any(|server| server.host().is_empty()) {
            return Err(NatsError::Url);
        }
        if servers.iter().any(ServerAddr::has_user_pass) {
            return Err(NatsError::UrlWithPassword);
        }
        let mut words = settings.subject.split('.');
        if !words.all(|word| !word.is_empty() && word == name(word)) {
            return Err(NatsError::Subject);
        }
        Ok(Some(Self {
            servers,
            user: settings.user.clone(),
            password: settings.password.clone(),
            subject: settings.subject.clone(),
            as_cloudevents: settings.format == Format::Cloudevents,
            timeout: settings.timeout,
        }))
    }

    /// Begins to connect, and goes on with that by itself for as long as it is there.
    pub async fn connect(&self) -> Result<Connected, async_nats::ConnectError> {
        let options = ConnectOptions::new()
            .name("twotick")
            .retry_on_initial_connect();
        let password = self.password.expose_secret().to_owned();
        let options = match (self.user.is_empty(), password.is_empty()) {
            (_, true) => options,
            (true, false) => options.token(password),
            (false, false) => options.user_and_password(self.user.clone(), password),
        };
        let client = options.connect(self.servers.as_slice()).await?;
        let context = ContextBuilder::new()
            .timeout(self.timeout)
            .ack_timeout(self.timeout)
            .build(client.clone());
        Ok(Connected {
            nats: self.clone(),
            client,
            context,
        })
    }
}

/// A connection, or what will be one again.
#[derive(Debug)]
pub struct Connected {
    nats: Nats,
    client: Client,
    context: jetstream::Context,
}

impl Connected {
    /// Publishes events beside each other, in this order, and waits until each is taken or not.
    pub async fn publish(&self, events: &Events) -> Vec<Published> {
        // What is published while there is no connection is sent when there is one: who knows when.
        if self.client.connection_state() != State::Connected {
            let said = || Published::Failed("not connected".to_owned());
            return events.iter().map(|_| said()).collect();
        }
        let mut sent = Vec::new();
        for event in events {
            sent.push(self.send(event).await);
        }
        let mut published = Vec::new();
        for sent in sent {
            published.push(match sent {
                Ok(sent) => taken(sent.await.map(drop), &self.nats.subject),
                Err(error) => taken(Err(error), &self.nats.subject),
            });
        }
        published
    }

    async fn send(
        &self,
        event: &Event,
    ) -> Result<PublishAckFuture, jetstream::context::PublishError> {
        let (kind, body) = match self.nats.as_cloudevents {
            true => ("application/cloudevents+json", event.cloud()),
            false => ("application/json", event.json.clone()),
        };
        let message = jetstream::message::PublishMessage::build()
            .header("content-type", kind)
            .message_id(&event.id)
            .payload(body);
        let words = event.r#type.split('.').map(name);
        let words: Vec<_> = words.collect();
        let subject = format!("{}.{}", self.nats.subject, words.join("."));
        self.context.send_publish(subject, message).await
    }
}

fn taken(answer: Result<(), jetstream::context::PublishError>, subject: &str) -> Published {
    match answer {
        Ok(()) => Published::Taken,
        Err(error) => match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => Published::TooBig,
            PublishErrorKind::StreamNotFound => {
                Published::Failed(format!("no stream takes {subject}.>: make one"))
            }
            _ if is_too_big(&error) => Published::TooBig,
            _ => Published::Failed(error.to_string()),
        },
    }
}

/// Whether the stream takes less than the server does.
fn is_too_big(error: &jetstream::context::PublishError) -> bool {
    const TOO_BIG: [ErrorCode; 2] = [
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM,
        ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM,
    ];
    let source = std::error::Error::source(error);
    let said = source.and_then(|source| source.downcast_ref::<jetstream::Error>());
    said.is_some_and(|said| TOO_BIG.contains(&said.error_code()))
}

/// A word as a subject may have it: types may bear words of providers.
fn name(word: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let plain = |c: char| if fits(c) { c } else { '_' };
    match word.is_empty() {
        true => "_".to_owned(),
        false => word.chars().map(plain).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn new(change: impl FnOnce(&mut config::Nats)) -> Result<Option<Nats>, NatsError> {
        let mut settings = Config::load(None).unwrap().nats;
        settings.url = "nats://127.0.0.1, tls://nats.example:4443".to_owned();
        change(&mut settings);
        Nats::new(&settings)
    }

    #[test]
    fn it_is_off_unless_it_is_said_where_it_is() {
        assert!(matches!(new(|nats| nats.url = String::new()), Ok(None)));
        assert!(matches!(new(|_| {}), Ok(Some(_))));
    }

    #[test]
    fn settings_that_lead_nowhere_are_refused_at_start() {
        let url = |url: &str| new(|nats| nats.url = url.to_owned());
        assert!(matches!(url("nats://"), Err(NatsError::Url)));
        assert!(matches!(url("nats://a,,"), Err(NatsError::Url)));
        let inside = url("nats://user:password@a");
        assert!(matches!(inside, Err(NatsError::UrlWithPassword)));
        let half = new(|nats| nats.user = "user".to_owned());
        assert!(matches!(half, Err(NatsError::User)));
        for subject in ["", "a.", "a..b", "a.*", "a b", ">"] {
            let made = new(|nats| nats.subject = subject.to_owned());
            assert!(matches!(made, Err(NatsError::Subject)), "{subject}");
        }
    }

    #[test]
    fn a_type_is_a_subject_whatever_a_provider_called_it() {
        assert_eq!(name("delivered"), "delivered");
        assert_eq!(name("a b>*ü"), "a_b___");
        assert_eq!(name(""), "_");
    }
}
