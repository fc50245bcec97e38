//! Settings. `twotick.toml` at the root of the repository is their documentation and holds
//! every default; a file and the environment are laid over it, in this order.

mod check;
mod names;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use config::{Config as Layers, Environment, File, FileFormat};
use ipnet::IpNet;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use time::Date;

use crate::model::duration;
use crate::model::limits::{Lifetimes, PairLimit};
use crate::model::sequence::{RetryLimits, Rules, UsMarketing};

time::serde::format_description!(day, Date, "[year]-[month]-[day]");

/// The default file, which is also the documentation.
pub const DEFAULTS: &str = include_str!("../twotick.toml");

/// The longest that a subscription may be given to answer.
pub const LONGEST_DELIVERY: Duration = Duration::from_secs(30);

/// All settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "twotick.toml documents each")]
pub struct Config {
    pub http: Http,
    pub database: Database,
    pub ingest: Ingest,
    pub send: Send,
    pub poll: Poll,
    pub forward: Forward,
    pub nats: Nats,
    pub manage: Manage,
    pub retention: Retention,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "twotick.toml documents each")]
pub struct Http {
    pub listen: SocketAddr,
    pub public_url: String,
    pub max_connections: usize,
    pub max_streams: usize,
    pub max_waits: usize,
    #[serde(rename = "header_timeout_ms", deserialize_with = "millis")]
    pub header_timeout: Duration,
    pub max_body_bytes: usize,
    #[serde(rename = "body_timeout_ms", deserialize_with = "millis")]
    pub body_timeout: Duration,
    pub api_bytes: usize,
    pub requests_per_second: u32,
    #[serde(rename = "drain_ms", deserialize_with = "millis")]
    pub drain: Duration,
    #[serde(rename = "shutdown_ms", deserialize_with = "millis")]
    pub shutdown: Duration,
    pub tls: Tls,
    pub proxy: Proxy,
}

/// Empty paths: there is none.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "twotick.toml documents each")]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub client_ca: PathBuf,
}

impl Tls {
    /// Whether TLS is terminated here.
    pub fn is_on(&self) -> bool {
        !self.certificate.as_os_str().is_empty()
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "twotick.toml documents each")]
pub struct Proxy {
    pub addresses: Networks,
    pub certificate_header: String,
}

impl Proxy {
    /// Whether a request from this address may say who it is from.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.addresses.contain(address)
    }

    /// Whether there is one that is trusted.
    pub fn is_there(&self) -> bool {
        !self.addresses.0.is_empty()
    }
}

/// Networks and single addresses, with commas between them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether an address is in one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl TryFrom<String> for Networks {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        let read = named.map(|part| {
            let network = part.parse::<IpNet>();
            let network = network.or_else(|_| part.parse().map(|address: IpAddr| address.into()));
            network.map_err(|_| {
                format!("expected networks such as `10.0.0.0/8` or addresses, found `{part}`")
            })
        });
        read.collect::<Result<_, _>>().map(Self)
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "twotick.toml documents each")]
pub struct Database {
    pub max_connections: u32,
    #[serde(rename = "acquire_timeout_ms", deserialize_with = "millis")]
    pub acquire_timeout: Duration,
    #[serde(rename = "statement_timeout_ms", deserialize_with = "millis")]
    pub statement_timeout: Duration,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "twotick.toml documents each")]
pub struct Ingest {
    pub queue_webhooks: usize,
    pub queue_bytes: usize,
    pub decoded_bytes: usize,
    #[serde(rename = "deadline_ms", deserialize_with = "millis")]
    pub deadline: Duration,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "twotick.toml documents each")]
pub struct Send {
    #[serde(rename = "lease_ms", deserialize_with = "millis")]
    pub lease: Duration,
    #[serde(rename = "post_timeout_ms", deserialize_with = "millis")]
    pub post_timeout: Duration,
    #[serde(rename = "answer_timeout_ms", deserialize_with = "millis")]
    pub answer_timeout: Duration,
    pub in_flight: usize,
    pub max_attempts: usize,
    #[serde(rename = "backoff_ms", deserialize_with = "millis")]
    pub backoff: Duration,
    #[serde(rename = "unknown_after_ms", deserialize_with = "millis")]
    pub unknown_after: Duration,
    #[serde(rename = "rate_limit_wait_ms", deserialize_with = "millis")]
    pub rate_limit_wait: Duration,
    #[serde(rename = "ttl_ms", deserialize_with = "millis")]
    pub ttl: Duration,
    #[serde(rename = "ttl_authentication_ms", deserialize_with = "millis")]
    pub ttl_authentication: Duration,
    #[serde(rename = "pair_every_ms", deserialize_with = "millis")]
    pub pair_every: Duration,
    pub pair_burst: u32,
    #[serde(rename = "pair_wait_ms", deserialize_with = "millis")]
    pub pair_wait: Duration,
    #[serde(rename = "marketing_wait_ms", deserialize_with = "millis")]
    pub marketing_wait: Duration,
    pub us_marketing: UsMarketing,
    pub messaging_limit: MessagingLimit,
    pub red_rate: f64,
    #[serde(with = "day")]
    pub us_marketing_from: Date,
    #[serde(rename = "poll_ms", deserialize_with = "millis")]
    pub poll: Duration,
    #[serde(rename = "template_read_ms", deserialize_with = "millis")]
    pub template_read: Duration,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "twotick.toml documents each")]
pub struct Poll {
    #[serde(rename = "every_ms", deserialize_with = "millis")]
    pub every: Duration,
    #[serde(rename = "pace_ms", deserialize_with = "millis")]
    pub pace: Duration,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "twotick.toml documents each")]
pub struct Forward {
    pub allow: Networks,
    pub allow_http: bool,
    #[serde(rename = "lease_ms", deserialize_with = "millis")]
    pub lease: Duration,
    #[serde(rename = "timeout_ms", deserialize_with = "millis")]
    pub timeout: Duration,
    pub in_flight: usize,
    pub in_flight_all: usize,
    pub waiting: usize,
    #[serde(deserialize_with = "spans")]
    pub retry: Vec<Duration>,
    #[serde(rename = "disable_after_ms", deserialize_with = "millis")]
    pub disable_after: Duration,
    pub log_days: u16,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "twotick.toml documents each")]
pub struct Nats {
    pub url: String,
    pub user: String,
    #[serde(deserialize_with = "secret")]
    pub password: SecretString,
    pub subject: String,
    pub types: String,
    pub format: Format,
    #[serde(rename = "timeout_ms", deserialize_with = "millis")]
    pub timeout: Duration,
}

/// What an event is rendered as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As the feed shows it.
    Event,
    /// A CloudEvent in structured mode.
    Cloudevents,
}

fn secret<'de, D: Deserializer<'de>>(d: D) -> Result<SecretString, D::Error> {
    String::deserialize(d).map(SecretString::from)
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "twotick.toml documents each")]
pub struct Manage {
    #[serde(rename = "timeout_ms", deserialize_with = "millis")]
    pub timeout: Duration,
    pub retries: u32,
    pub meta_calls_per_hour: u32,
    pub template_edits: EditBudget,
}

/// So many edits in a span of time, each; with commas between them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct EditBudget(pub Vec<(u32, Duration)>);

impl TryFrom<String> for EditBudget {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parts = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        let read = parts.map(|part| {
            let wrong = || format!("expected a number and a span such as `10/30d`, found `{part}`");
            let (edits, span) = part.split_once('/').ok_or_else(wrong)?;
            let edits: u32 = edits.parse().map_err(|_| wrong())?;
            let span = duration::parse(span).map_err(|_| wrong())?;
            match edits > 0 && !span.is_zero() {
                true => Ok((edits, span)),
                false => Err(wrong()),
            }
        });
        read.collect::<Result<_, _>>().map(Self)
    }
}

/// Spans of time, with commas between them.
fn spans<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Duration>, D::Error> {
    let text = String::deserialize(d)?;
    let spans = text.split(',').map(|span| duration::parse(span.trim()));
    spans
        .collect::<Result<_, _>>()
        .map_err(serde::de::Error::custom)
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "twotick.toml documents each")]
pub struct Retention {
    pub journal_days: u16,
    pub message_days: u16,
}

fn millis<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    u64::deserialize(d).map(Duration::from_millis)
}

/// What becomes of messages to more users than the provider lets an account write to first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessagingLimit {
    /// They wait until it lets them.
    Wait,
    /// They are posted.
    Off,
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file is missing or malformed, or a value has the wrong type.
    #[error("the settings cannot be read")]
    Unreadable(#[from] config::ConfigError),
    /// The same, where a file is one of their sources.
    #[error("the settings of {0} and the environment cannot be read")]
    UnreadableFile(std::path::PathBuf, #[source] config::ConfigError),
    /// Two settings contradict each other.
    #[error("{0}")]
    Contradiction(&'static str),
    /// An environment variable that nobody reads, and almost a setting's.
    #[error("nobody reads {name}: did you mean `{closest}`?")]
    Misspelt {
        /// What is set.
        name: String,
        /// What it is nearest to.
        closest: String,
    },
}

impl Config {
    /// Defaults, then `file`, then `TWOTICK__SECTION__KEY` from the environment.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut layers = Layers::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        if let Some(file) = file {
            layers = layers.add_source(File::from(file).format(FileFormat::Toml));
        }
        let environment = Environment::with_prefix("TWOTICK")
            .prefix_separator("__")
            .separator("__")
            .try_parsing(true);
        let read = layers.add_source(environment).build();
        let read = read.and_then(config::Config::try_deserialize::<Self>);
        let config = read.map_err(|error| match file {
            Some(file) => ConfigError::UnreadableFile(file.to_owned(), error),
            None => error.into(),
        })?;
        config.check()?;
        Ok(config)
    }

    /// Refuses environment variables that are nearly settings.
    pub fn check_environment() -> Result<(), ConfigError> {
        names::check(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))
    }
}

impl Send {
    /// What `model` needs to know of these.
    pub fn retry_limits(&self) -> RetryLimits {
        RetryLimits {
            attempts: self.max_attempts,
            first_backoff: self.backoff,
            marketing_wait: self.marketing_wait,
            unknown_after: self.unknown_after,
        }
    }

    /// How long the providers try to deliver.
    pub fn lifetimes(&self) -> Lifetimes {
        Lifetimes {
            authentication: self.ttl_authentication,
            others: self.ttl,
        }
    }

    /// How often one user may be written to.
    pub fn pair_limit(&self) -> PairLimit {
        PairLimit {
            every: self.pair_every,
            burst: self.pair_burst,
        }
    }

    /// How fast a sender may post. One that its provider thinks ill of goes slower, where that is
    /// wanted; one message a second it always may.
    pub fn rate(&self, messages_per_second: u32, is_red: bool) -> u32 {
        if !is_red || self.red_rate >= 1.0 {
            return messages_per_second;
        }
        let rate = (f64::from(messages_per_second) * self.red_rate).round();
        (rate as u32).clamp(1, messages_per_second.max(1))
    }

    /// What is not posted.
    pub fn rules(&self) -> Rules {
        Rules {
            us_marketing: self.us_marketing,
            us_marketing_from: self.us_marketing_from.midnight().assume_utc(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_file_holds_every_setting_and_no_other() {
        let config = Config::load(None).unwrap();
        assert_eq!(config.http.listen.port(), 8080);
        assert_eq!(config.send.lease, Duration::from_millis(4500));
    }

    #[test]
    fn messages_are_kept_longer_than_the_webhooks_that_told_of_them() {
        let mut config = Config::load(None).unwrap();
        for (journal, messages, holds) in [
            (30, 38, true),
            (60, 61, false),
            (60, 62, true),
            (60, 0, true),
        ] {
            config.retention = Retention {
                journal_days: journal,
                message_days: messages,
            };
            assert_eq!(config.check().is_ok(), holds, "{journal} {messages}");
        }
    }

    #[test]
    fn a_budget_of_edits_is_read_or_refused() {
        let day = Duration::from_secs(86_400);
        let read = |text: &str| EditBudget::try_from(text.to_owned());
        assert_eq!(read("1/1d, 10/30d").unwrap().0, [(1, day), (10, 30 * day)]);
        assert_eq!(read("").unwrap().0, []);
        for wrong in ["10", "0/1d", "10/x", "a/1d", "1/0s"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn low_quality_slows_a_sender_down_only_where_it_is_to() {
        let mut send = Config::load(None).unwrap().send;
        assert_eq!(send.rate(80, true), 80);
        send.red_rate = 0.25;
        assert_eq!((send.rate(80, true), send.rate(80, false)), (20, 80));
        assert_eq!((send.rate(2, true), send.rate(1, true)), (1, 1));
    }
}
