//! `twotick serve`: the service.

use std::net::SocketAddr;

use anyhow::Context as _;
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Settings;
use crate::http::Tls;
use crate::measures;
use crate::service::Service;

/// Take webhooks, answer the API, send.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    settings: Settings,
    /// Address to listen on; stands above the settings (port 0: any free one)
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

/// Runs the service until `shutdown`.
pub async fn run(args: ServeArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let metrics = measures::record()?;
    let (config, store) = args.settings.open().await?;
    let address = args.listen.unwrap_or(config.http.listen);
    // Who waits for the line below must not be told of a service that then cannot speak.
    Tls::load(&config.http.tls).await?;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    if std::env::var_os("TWOTICK_EXIT_WITH_PARENT").is_some() {
        exit_with_parent(shutdown.clone());
    }
    let listening = listener.local_addr()?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), %listening, "started");
    announce(listening, config.http.tls.is_on());
    let service = Service {
        config,
        store,
        metrics: Some(metrics),
    };
    service.run(listener, shutdown).await?;
    tracing::info!("stopped");
    Ok(())
}

/// For whoever started us and asked for any free port.
#[allow(
    clippy::print_stdout,
    reason = "the one line on stdout; logs go to stderr"
)]
fn announce(address: SocketAddr, is_encrypted: bool) {
    let scheme = if is_encrypted { "https" } else { "http" };
    println!("listening on {scheme}://{address}");
}

/// Ends the service when its standard input does: a parent that was killed leaves no process.
/// A thread of its own, because a read of standard input cannot be given up.
fn exit_with_parent(shutdown: CancellationToken) {
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        shutdown.cancel();
    });
}
