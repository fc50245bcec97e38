//! `twotick replay`: webhooks of the journal, read again with the decoder of this version. It
//! works on the database, whether the service runs or not.

use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_util::sync::CancellationToken;

use super::Settings;
use crate::ingest::{self, NotReplayed, Replayer};
use crate::model::ids::{ConnectionId, WebhookId};
use crate::service::know_erased;
use crate::signals::Signals;
use crate::store::ConnectionCache;
use crate::store::journal::{JournalFilter, State, WebhookRow};

/// Webhooks in one step of the progress.
const PAGE: i64 = 500;

/// How long after a failure a page is tried again, and how often.
const AGAIN: Duration = Duration::from_secs(1);
const TRIES: u32 = 10;

/// Read webhooks of the journal again: what an earlier version could not understand, or the
/// database would not take
#[derive(Debug, Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    settings: Settings,
    /// Only this one
    #[arg(long, value_name = "ID", value_parser = webhook, conflicts_with_all = ["state", "connection", "since", "until"])]
    webhook: Option<WebhookId>,
    /// Which webhooks
    #[arg(long, value_enum, default_value_t = Which::Undecoded)]
    state: Which,
    /// Only those of this connection
    #[arg(long, value_name = "ID", value_parser = connection)]
    connection: Option<ConnectionId>,
    /// Only those received at this time or later, such as 2026-03-01T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<OffsetDateTime>,
    /// Only those received before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<OffsetDateTime>,
    /// Who asks: for the event that says so
    #[arg(long, value_name = "NAME", env = "USER", default_value = "somebody")]
    by: String,
}

/// What became of a webhook when it was received.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    /// It could not be understood
    Undecoded,
    /// The database would not take all of it
    NotApplied,
    /// Everything that the journal has
    All,
}

fn webhook(text: &str) -> Result<WebhookId, String> {
    text.parse()
        .map_err(|_| "expected the id of a webhook, whk_…".to_owned())
}

fn connection(text: &str) -> Result<ConnectionId, String> {
    text.parse()
        .map_err(|_| "expected the id of a connection, con_…".to_owned())
}

fn moment(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "expected a time such as 2026-03-01T00:00:00Z".to_owned())
}

/// What became of them.
#[derive(Debug, Default)]
struct Sum {
    applied: u64,
    undecoded: u64,
    not_applied: u64,
}

impl Sum {
    fn add(&mut self, row: &WebhookRow) {
        match row.state {
            State::Applied => self.applied += 1,
            State::Undecoded => self.undecoded += 1,
            State::NotApplied => self.not_applied += 1,
        }
    }
}

/// Runs until all are read, or `shutdown`: what was read by then stays.
#[allow(clippy::print_stdout, reason = "the sum is for people and scripts")]
pub async fn run(args: ReplayArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let (config, store) = args.settings.open().await?;
    // Nobody listens here: the claimers of the service find by their period what is due.
    let (signals, _) = Signals::new();
    let (ingest, batches) = ingest::start(store.clone(), signals, &config.ingest);
    let writing = tokio::spawn(batches.run());
    let replayer = Replayer {
        connections: ConnectionCache::new(store.clone()),
        store: store.clone(),
        ingest,
    };
    // Who is erased meanwhile is not to come back.
    let over = shutdown.child_token();
    let knowing = tokio::spawn(know_erased(store.clone(), over.clone()));
    let replaying = all(&replayer, &args);
    let sum = tokio::select! {
        sum = replaying => sum?,
        () = shutdown.cancelled() => anyhow::bail!("stopped; what was read by then stays"),
    };
    drop(replayer);
    writing.await?;
    over.cancel();
    knowing.await?;
    store.close().await;
    println!(
        "applied: {}, undecoded: {}, not applied: {}",
        sum.applied, sum.undecoded, sum.not_applied
    );
    Ok(())
}

async fn all(replayer: &Replayer, args: &ReplayArgs) -> anyhow::Result<Sum> {
    let by = format!("twotick replay, {}", args.by);
    let mut sum = Sum::default();
    if let Some(id) = args.webhook {
        let row = replayer.one(id, &by).await?;
        sum.add(&row.ok_or_else(|| anyhow::anyhow!("the journal does not have {id}"))?);
        return Ok(sum);
    }
    let filter = JournalFilter {
        connection: args.connection,
        state: match args.state {
            Which::Undecoded => Some(State::Undecoded),
            Which::NotApplied => Some(State::NotApplied),
            Which::All => None,
        },
        since: args.since,
        until: args.until,
    };
    let progress = ProgressBar::new(replayer.store.count_webhooks(&filter).await?).with_style(
        ProgressStyle::with_template("{bar:40} {pos}/{len} webhooks, {per_sec}, {eta} left {msg}")?,
    );
    let mut before = None;
    loop {
        let page = page(replayer, &filter, before, &by).await?;
        page.iter().for_each(|row| sum.add(row));
        progress.inc(page.len() as u64);
        match page.last() {
            Some(last) if page.len() as i64 == PAGE => before = Some(last.id.0),
            _ => break,
        }
    }
    progress.finish_and_clear();
    Ok(sum)
}

/// Webhooks that arrive go first, and a database comes back.
async fn page(
    replayer: &Replayer,
    filter: &JournalFilter,
    before: Option<uuid::Uuid>,
    by: &str,
) -> Result<Vec<WebhookRow>, NotReplayed> {
    let mut tries = 1;
    loop {
        match replayer.page(filter, before, PAGE, by).await {
            Err(error) if tries < TRIES => {
                tracing::warn!(%error, "a page of webhooks is read once more");
                tokio::time::sleep(AGAIN).await;
                tries += 1;
            }
            result => return result,
        }
    }
}
