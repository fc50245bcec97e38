//! `twotick connect`: all that it takes until a provider's webhooks come here, in one command: the
//! connection, its senders, where the provider posts webhooks, a proof that they come, and its
//! templates. It asks a running service over its API, as any operator could. What is there already
//! is left, or brought up to date: it may be run again at any time.

mod app;
mod proof;
mod remedy;
mod secrets;
mod senders;
mod steps;

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::api::{Service, ServiceArgs};
use super::report::Report;
pub(super) use remedy::of as remedy;
pub(super) use steps::tell;

/// Set a connection up: account, senders, webhooks at the provider, templates; prove that they come
///
/// The provider's secrets come from the environment, PROVIDER_KEY (Meta's access token, another's
/// API key) and PROVIDER_APP_SECRET (Meta's), or from standard input; the service's key from
/// TWOTICK_API_KEY. Those that only this service and the provider share are made here.
#[derive(Debug, Args)]
pub struct ConnectArgs {
    #[command(flatten)]
    service: ServiceArgs,
    /// Who carries the messages
    #[arg(long, value_enum, default_value = "meta")]
    provider: Carrier,
    /// What the connection is called; one of this name is brought up to date
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Where the provider is; Infobip has an address for each account
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Meta's version of its API
    #[arg(long, value_name = "VERSION", default_value = "v25.0")]
    api_version: String,
    /// Meta's account; may be repeated, else all that the key is for
    #[arg(long = "waba-id", value_name = "ID")]
    waba_ids: Vec<String>,
    /// A number: Meta's or 360dialog's id of it, Infobip's digits; may be repeated. Meta's are found,
    /// and the On-Premises API has none
    #[arg(long = "number", value_name = "ID")]
    numbers: Vec<String>,
    /// Where the provider reaches the service; else its setting http.public_url
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Meta: leave the app's callback URL, and let messages alone come here. Template webhooks do not
    #[arg(long = "override")]
    overriding: bool,
    /// Send a message to this number, such as your own phone's, and wait for what is said of it
    #[arg(long, value_name = "NUMBER")]
    test_to: Option<String>,
    /// The template of that message; the On-Premises API wants its namespace, too
    #[arg(
        long,
        value_name = "[NAMESPACE/]NAME:LANGUAGE",
        default_value = "hello_world:en_US"
    )]
    test_template: String,
    /// How long to wait for a webhook, in seconds: 60 as long as none has come yet, and with
    /// `--test-to`; 0 for none
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
    /// Read PROVIDER_KEY=… and PROVIDER_APP_SECRET=… from standard input, a line each
    #[arg(long)]
    secrets_from_stdin: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Carrier {
    Meta,
    #[value(name = "dialog360")]
    Dialog360,
    #[value(name = "dialog360_onprem")]
    Dialog360Onprem,
    Infobip,
}

impl Carrier {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Dialog360 => "dialog360",
            Self::Dialog360Onprem => "dialog360_onprem",
            Self::Infobip => "infobip",
        }
    }

    const fn address(self) -> Option<&'static str> {
        match self {
            Self::Meta => Some("https://graph.facebook.com"),
            Self::Dialog360 => Some("https://waba-v2.360dialog.io"),
            Self::Dialog360Onprem => Some("https://waba.360dialog.io"),
            Self::Infobip => None,
        }
    }
}

/// Runs the subcommand.
pub async fn run(args: ConnectArgs) -> anyhow::Result<ExitCode> {
    let service = Service::new(&args.service)?;
    let secrets = secrets::read(args.secrets_from_stdin)?;
    let mut report = Report::default();
    steps::all(&args, &secrets, &service, &mut report).await;
    Ok(match report.end() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
