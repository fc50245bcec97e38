//! `twotick keys`: API keys.

use clap::{Args, Subcommand};
use secrecy::ExposeSecret;

use super::Settings;

/// Make keys for the API.
#[derive(Debug, Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key and print it, once: only its hash is kept
    Create {
        #[command(flatten)]
        settings: Settings,
        /// What the key is for, for people
        #[arg(long)]
        name: String,
    },
}

/// Runs the subcommand.
#[allow(
    clippy::print_stdout,
    reason = "the key goes to stdout, for people and scripts"
)]
pub async fn run(args: KeysArgs) -> anyhow::Result<()> {
    let Command::Create { settings, name } = args.command;
    let (_, store) = settings.open().await?;
    let key = store.create_key(&name).await?;
    println!("{}", key.expose_secret());
    store.close().await;
    Ok(())
}
