//! The command line, one file a subcommand.

mod api;
pub mod connect;
pub mod demo;
pub mod doctor;
pub mod health;
pub mod keys;
pub mod manage;
pub mod openapi;
pub mod replay;
mod report;
pub mod senders;
pub mod serve;
pub mod simulate;
pub mod templates;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::seal::SealingKey;
use crate::store::Store;

/// What every subcommand that uses the database takes.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// A TOML file with settings that differ from the defaults in twotick.toml
    #[arg(long, value_name = "FILE", env = "TWOTICK_CONFIG")]
    pub config: Option<PathBuf>,
    /// Postgres, 15 or newer: postgres://user:password@host/database
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<SecretString>,
}

impl Settings {
    /// Reads the settings and opens the database.
    pub async fn open(&self) -> anyhow::Result<(Config, Store)> {
        Config::check_environment()?;
        let config = Config::load(self.config.as_deref())?;
        let url = self.database_url.as_ref().context(
            "DATABASE_URL is not set: where is Postgres? (`twotick demo` brings its own)",
        )?;
        let key = std::env::var("TWOTICK_SEALING_KEY")
            .map(SecretString::from)
            .context(
                "TWOTICK_SEALING_KEY is not set: it seals credentials at rest. Make one with \
             `openssl rand -base64 32` and keep it: without it they cannot be read again",
            )?;
        let key = SealingKey::parse(&key)?;
        let store =
            Store::open(url.expose_secret(), &config.database, key, Clock::system()).await?;
        Ok((config, store))
    }
}

/// Cancelled by SIGINT or SIGTERM. A second signal ends the process at once.
pub fn shutdown_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let token = CancellationToken::new();
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let shutdown = token.clone();
    tokio::spawn(async move {
        for code in [None, Some(130)] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            match code {
                None => shutdown.cancel(),
                Some(code) => std::process::exit(code),
            }
        }
    });
    Ok(token)
}
