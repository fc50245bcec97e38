//! `twotick simulate`: the simulated provider as a process of its own.

use std::net::SocketAddr;

use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::simulator::{self, Batches, Config, Faults};

/// Runs a provider that behaves as Meta's Cloud API does, with faults on demand.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:4010")]
    pub listen: SocketAddr,
    /// Where webhooks go; until it is set (`PUT /_control/webhook`) they wait.
    #[arg(long)]
    pub webhook_url: Option<String>,
    /// What webhooks are signed with.
    #[arg(long, env = "SIMULATOR_APP_SECRET", default_value_t = Config::default().app_secret)]
    pub app_secret: String,
    /// Senders must bring this token; without it any may send.
    #[arg(long, env = "SIMULATOR_ACCESS_TOKEN")]
    pub access_token: Option<String>,
    /// The WhatsApp Business Account of all senders and templates.
    #[arg(long, default_value_t = Config::default().waba_id)]
    pub waba_id: String,
    /// Decides every fate; the same seed tells the same story.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// A fault and how often it happens, such as `duplicate=0.1`; may be repeated.
    #[arg(long = "fault", value_name = "NAME=RATE", value_parser = fault)]
    pub faults: Vec<(String, f64)>,
    /// The throughput of a sender; above it messages are refused with 130429.
    #[arg(long)]
    pub messages_per_second: Option<u32>,
    /// The most updates a webhook holds.
    #[arg(long, default_value_t = Batches::default().max)]
    pub batch_max: usize,
    /// Post no status by itself, only those asked for by `/_control`.
    #[arg(long)]
    pub manual: bool,
    /// Refuse templates that were not registered by `/_control`.
    #[arg(long)]
    pub known_templates_only: bool,
}

/// Reads and checks one `NAME=RATE`.
fn fault(text: &str) -> Result<(String, f64), String> {
    let (name, rate) = text.split_once('=').ok_or("expected NAME=RATE")?;
    let rate = rate.parse().map_err(|e| format!("{rate:?}: {e}"))?;
    Faults::default().set(name, rate)?;
    Ok((name.to_owned(), rate))
}

impl SimulateArgs {
    fn config(&self) -> Result<Config, String> {
        let mut faults = Faults::default();
        for (name, rate) in &self.faults {
            faults.set(name, *rate)?;
        }
        let batches = Batches {
            max: self.batch_max,
            ..Batches::default()
        };
        Ok(Config {
            seed: self.seed,
            app_secret: self.app_secret.clone(),
            access_token: self.access_token.clone(),
            webhook_url: self.webhook_url.clone(),
            waba_id: self.waba_id.clone(),
            faults,
            batches,
            messages_per_second: self.messages_per_second,
            automatic: !self.manual,
            register_templates: !self.known_templates_only,
            ..Config::default()
        })
    }
}

/// Serves until `shutdown`.
#[expect(clippy::print_stdout, reason = "the address is this command's output")]
pub async fn run(args: SimulateArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let config = args.config().map_err(anyhow::Error::msg)?;
    let listener = TcpListener::bind(args.listen).await?;
    println!("simulator listening on http://{}", listener.local_addr()?);
    simulator::run(listener, config, Clock::system(), shutdown).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: SimulateArgs,
    }

    #[test]
    fn faults_are_named_and_a_wrong_name_is_told_the_right_ones() {
        let line = [
            "x",
            "--fault",
            "duplicate=0.1",
            "--fault",
            "held=1",
            "--seed",
            "3",
        ];
        let config = Cli::try_parse_from(line).unwrap().args.config().unwrap();
        assert_eq!((config.faults.duplicate, config.faults.held), (0.1, 1.0));
        assert_eq!((config.seed, config.automatic), (3, true));
        for wrong in ["dupe=0.1", "held=2", "held=x", "held"] {
            assert!(
                Cli::try_parse_from(["x", "--fault", wrong]).is_err(),
                "{wrong}"
            );
        }
        let error = Cli::try_parse_from(["x", "--fault", "dupe=0.1"]).unwrap_err();
        assert!(error.to_string().contains("lost_answer"), "{error}");
    }
}
