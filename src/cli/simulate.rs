//! `twotick simulate`: the simulated providers as a process of their own.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::simulator::{self, Auth, Batches, Config, Delays, Dialect, Faults, Pair, Target};

/// Runs providers that behave as Meta's Cloud API, 360dialog and Infobip do, with faults on
/// demand: all of them at one address, as their paths differ.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:4010")]
    pub listen: SocketAddr,
    /// Where Meta's webhooks go; until it is set (`PUT /_control/webhook`) they wait.
    #[arg(long)]
    pub webhook_url: Option<String>,
    /// Where another provider's webhooks go, such as
    /// `infobip=http://127.0.0.1:8080/webhooks/con_…?secret=s`; may be repeated.
    #[arg(long = "webhook", value_name = "PROVIDER=URL", value_parser = of_provider)]
    pub webhooks: Vec<(Dialect, String)>,
    /// What proves another provider's webhooks, as JSON: `signature` (`secret`, `header`,
    /// `algorithm`, `encoding`, `labelled`), `basic` (`username`, `password`), `headers`. Such as
    /// `dialog360={"signature":{"secret":"s"}}`; may be repeated.
    #[arg(long = "webhook-auth", value_name = "PROVIDER=JSON", value_parser = auth)]
    pub auths: Vec<(Dialect, Auth)>,
    /// Write Infobip's reports as its Messages API does.
    #[arg(long)]
    pub messages_api: bool,
    /// What Meta's webhooks are signed with.
    #[arg(long, env = "SIMULATOR_APP_SECRET", default_value_t = Config::default().app_secret)]
    pub app_secret: String,
    /// Senders must bring this token, or key; without it any may send.
    #[arg(long, env = "SIMULATOR_ACCESS_TOKEN")]
    pub access_token: Option<String>,
    /// 360dialog: a key, and the number that it is of; may be repeated.
    #[arg(long = "channel", value_name = "KEY=NUMBER", value_parser = pair)]
    pub channels: Vec<(String, String)>,
    /// 360dialog: the number of every other key.
    #[arg(long, default_value_t = Config::default().phone_number_id)]
    pub phone_number_id: String,
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
    /// How often a sender may write to one user, in milliseconds; above it, and beyond
    /// `--pair-burst` at once, messages are refused with 131056.
    #[arg(long)]
    pub pair_every_ms: Option<u64>,
    /// How many messages may go to one user at once.
    #[arg(long, default_value_t = 45, requires = "pair_every_ms")]
    pub pair_burst: u32,
    /// What 360dialog's and Infobip's waits before retries are multiplied by, from 0 to 1.
    #[arg(long, default_value_t = Delays::default().retry_scale)]
    pub retry_scale: f64,
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

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn of_provider(text: &str) -> Result<(Dialect, String), String> {
    let (name, value) = pair(text)?;
    Ok((Dialect::from_str(&name, false)?, value))
}

fn auth(text: &str) -> Result<(Dialect, Auth), String> {
    let (dialect, value) = of_provider(text)?;
    let auth = serde_json::from_str(&value).map_err(|e| e.to_string())?;
    Ok((dialect, auth))
}

impl SimulateArgs {
    /// Meta's is among them only if it is named.
    fn targets(&self) -> BTreeMap<Dialect, Target> {
        let mut targets: BTreeMap<Dialect, Target> = BTreeMap::new();
        for (dialect, url) in &self.webhooks {
            targets.entry(*dialect).or_default().url = Some(url.clone());
        }
        for (dialect, auth) in &self.auths {
            targets.entry(*dialect).or_default().auth = auth.clone();
        }
        if self.messages_api {
            targets.entry(Dialect::Infobip).or_default().messages_api = true;
        }
        targets
    }

    fn config(&self) -> Result<Config, String> {
        let mut faults = Faults::default();
        for (name, rate) in &self.faults {
            faults.set(name, *rate)?;
        }
        if !(0.0..=1.0).contains(&self.retry_scale) {
            return Err("--retry-scale must be between 0 and 1".to_owned());
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
            channels: self.channels.iter().cloned().collect(),
            phone_number_id: self.phone_number_id.clone(),
            targets: self.targets(),
            waba_id: self.waba_id.clone(),
            faults,
            delays: Delays {
                retry_scale: self.retry_scale,
                ..Delays::default()
            },
            batches,
            messages_per_second: self.messages_per_second,
            pair: self.pair_every_ms.map(|every_ms| Pair {
                every_ms,
                burst: self.pair_burst,
            }),
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
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
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
    fn every_provider_has_an_address_and_proofs_of_its_own() {
        let line = [
            "x",
            "--webhook",
            "infobip=http://localhost/?secret=s",
            "--webhook-auth",
            r#"dialog360={"signature":{"secret":"s","labelled":true}}"#,
            "--channel",
            "key=441632960010",
        ];
        let config = Cli::try_parse_from(line).unwrap().args.config().unwrap();
        let url = config.targets[&Dialect::Infobip].url.as_deref();
        assert_eq!(url, Some("http://localhost/?secret=s"));
        let signature = &config.targets[&Dialect::Dialog360].auth.signature;
        assert_eq!(signature.as_ref().unwrap().labelled, Some(true));
        assert_eq!(config.channels["key"], "441632960010");
        for wrong in ["telegram=http://x", "infobip"] {
            assert!(Cli::try_parse_from(["x", "--webhook", wrong]).is_err());
        }
        for wrong in ["infobip=7", r#"infobip={"hmac":1}"#] {
            assert!(Cli::try_parse_from(["x", "--webhook-auth", wrong]).is_err());
        }
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
