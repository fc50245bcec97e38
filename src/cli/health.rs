//! `twotick health`: asks a running service how it is. For where there is no other client, such
//! as the health check of a container.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use reqwest::Url;

/// Ask a running service whether it is well: exits with 0 if it says so
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// What to ask: `/health/live` (the process is up) or `/health/ready` (it can work)
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:8080/health/live"
    )]
    url: Url,
    /// Do not look whose certificate answers: it is for the service's name, and this asks an address
    #[arg(long)]
    insecure: bool,
    /// How many seconds to wait for the answer
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    timeout: u64,
}

/// Fails unless the answer is a success.
pub async fn run(args: HealthArgs) -> anyhow::Result<()> {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(args.timeout))
        .tls_danger_accept_invalid_certs(args.insecure)
        // It is about the address that was given.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let answer = client
        .get(args.url)
        .send()
        .await
        .context("no answer came")?;
    let status = answer.status();
    anyhow::ensure!(status.is_success(), "it answered {status}");
    Ok(())
}
