//! `twotick keys`: API keys.

use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Settings;
use crate::model::ids::{ConnectionId, KeyId, SenderId};
use crate::model::rfc3339;
use crate::model::scope::Scope;
use crate::store::Store;
use crate::store::audit::NewAct;
use crate::store::keys::{NewKey, ShownKey};

/// Keys in one read of the list.
const PAGE: i64 = 500;

/// Make, list and revoke keys for the API.
#[derive(Debug, Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key and print it, once: only its hash is kept
    Create(Create),
    /// List the keys there are
    List {
        #[command(flatten)]
        settings: Settings,
    },
    /// Make a key good for nothing from now on
    Revoke {
        #[command(flatten)]
        settings: Settings,
        /// Which, as `list` shows it
        #[arg(value_name = "ID")]
        key: KeyId,
    },
}

#[derive(Debug, Args)]
struct Create {
    #[command(flatten)]
    settings: Settings,
    /// What the key is for, for people
    #[arg(long)]
    name: String,
    /// What it may do: messages:write, messages:read, events:read, manage, or admin for everything;
    /// may be repeated
    #[arg(long = "scope", value_name = "SCOPE", default_value = "admin")]
    scopes: Vec<Scope>,
    /// Only for this sender; may be repeated
    #[arg(long = "sender", value_name = "ID")]
    senders: Vec<SenderId>,
    /// Only for this connection; may be repeated
    #[arg(long = "connection", value_name = "ID")]
    connections: Vec<ConnectionId>,
    /// How many requests it may make in a second
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    requests_per_second: Option<u32>,
    /// Until when it is good, such as 2027-01-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    expires_at: Option<OffsetDateTime>,
}

fn moment(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "expected a time such as 2027-01-01T00:00:00Z".to_owned())
}

/// Runs the subcommand.
pub async fn run(args: KeysArgs) -> anyhow::Result<()> {
    match args.command {
        Command::Create(new) => create(new).await,
        Command::List { settings } => list(&settings).await,
        Command::Revoke { settings, key } => revoke(&settings, key).await,
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the key goes to stdout, for people and scripts"
)]
async fn create(asked: Create) -> anyhow::Result<()> {
    let is_restricted = !(asked.senders.is_empty() && asked.connections.is_empty());
    anyhow::ensure!(
        !(is_restricted && asked.scopes.contains(&Scope::Admin)),
        "`admin` leads everywhere and cannot be restricted: give other scopes by --scope"
    );
    let (_, store) = asked.settings.open().await?;
    let some = |is_empty: bool| !is_empty;
    let new = NewKey {
        senders: some(asked.senders.is_empty()).then_some(asked.senders),
        connections: some(asked.connections.is_empty()).then_some(asked.connections),
        name: asked.name,
        scopes: asked.scopes,
        requests_per_second: asked.requests_per_second,
        expires_at: asked.expires_at,
    };
    let act = store
        .begin_act(&act(format!("keys create --name {}", new.name)))
        .await?;
    let (_, key) = store.create_key(&new).await?;
    // First of all: it cannot be shown again.
    println!("{}", key.expose_secret());
    store.end_act(act, 201, None).await?;
    store.close().await;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the list is this command's output")]
async fn list(settings: &Settings) -> anyhow::Result<()> {
    let (_, store) = settings.open().await?;
    let mut before = None;
    loop {
        let keys = store.list_keys(before, PAGE).await?;
        keys.iter().for_each(|key| println!("{}", line(key)));
        before = keys.last().map(|key| key.id.0);
        if keys.is_empty() {
            break;
        }
    }
    store.close().await;
    Ok(())
}

fn line(key: &ShownKey) -> String {
    let scopes: Vec<_> = key.scopes.iter().map(ToString::to_string).collect();
    let restricted = key.senders.is_some() || key.connections.is_some();
    let used = key.last_used_at.map_or("never used".to_owned(), |at| {
        format!("last used {}", rfc3339(at))
    });
    let state = match (key.revoked_at, key.expires_at) {
        (Some(at), _) => format!("revoked {}", rfc3339(at)),
        (None, Some(at)) => format!("expires {}", rfc3339(at)),
        (None, None) => "good".to_owned(),
    };
    format!(
        "{}  {}…  {}  {}{}  {used}  {state}",
        key.id,
        key.hint,
        key.name,
        scopes.join(","),
        if restricted { " (restricted)" } else { "" },
    )
}

#[expect(
    clippy::print_stdout,
    reason = "what was done is this command's output"
)]
async fn revoke(settings: &Settings, key: KeyId) -> anyhow::Result<()> {
    let (_, store) = settings.open().await?;
    anyhow::ensure!(revoked(&store, key).await?, "there is no such key");
    println!("{key} is revoked; instances take it for five seconds more at most");
    store.close().await;
    Ok(())
}

async fn revoked(store: &Store, key: KeyId) -> anyhow::Result<bool> {
    let act = store.begin_act(&act(format!("keys revoke {key}"))).await?;
    let revoked = store.revoke_key(key).await?;
    let status = if revoked { 200 } else { 404 };
    store.end_act(act, status, None).await?;
    Ok(revoked)
}

fn act(action: String) -> NewAct {
    NewAct {
        by_key: "command".to_owned(),
        by_name: std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned()),
        action,
        request_id: None,
    }
}
