//! The command line, thin: parses, sets up logging, and hands over to `twotick::cli`.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use twotick::cli;

/// Durable WhatsApp delivery: signed webhooks in, ordered sequences out.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prove order on this machine: Postgres, a simulated provider and the service, with faults
    Demo(cli::demo::DemoArgs),
    /// Run the service
    Serve(cli::serve::ServeArgs),
    /// Set a connection up: account, senders, webhooks at the provider, templates
    Connect(cli::connect::ConnectArgs),
    /// Find what is wrong, and say how to mend it
    Doctor(cli::doctor::DoctorArgs),
    /// Ask a running service whether it is well
    Health(cli::health::HealthArgs),
    /// Make API keys
    Keys(cli::keys::KeysArgs),
    /// Do at a provider what its API can, or list what that is
    Manage(cli::manage::ManageArgs),
    /// Write the description of the API, OpenAPI 3.1
    Openapi,
    /// Read webhooks of the journal again
    Replay(cli::replay::ReplayArgs),
    /// Manage senders at the providers, such as many numbers of a CSV
    Senders(cli::senders::SendersArgs),
    /// Manage templates at the providers, as a folder of files defines them
    Templates(cli::templates::TemplatesArgs),
    /// Run a simulator of Meta's Cloud API, 360dialog and Infobip
    Simulate(cli::simulate::SimulateArgs),
}

fn main() -> ExitCode {
    log_to_stderr();
    let command = Cli::parse().command;
    let ended = tokio::runtime::Runtime::new()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| {
            let ended = runtime.block_on(run(command));
            // A thread that looks a name up may take its time: the process does not wait for it.
            runtime.shutdown_background();
            ended
        });
    ended.unwrap_or_else(|error| {
        tracing::debug!(?error);
        #[allow(
            clippy::print_stderr,
            reason = "an error on the command line is for people"
        )]
        {
            eprintln!("twotick: {error:#}");
        }
        ExitCode::FAILURE
    })
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let shutdown = cli::shutdown_signal()?;
    match command {
        Command::Demo(args) => return cli::demo::run(args, shutdown).await,
        Command::Serve(args) => cli::serve::run(args, shutdown).await?,
        Command::Connect(args) => return cli::connect::run(args).await,
        Command::Doctor(args) => return cli::doctor::run(args).await,
        Command::Health(args) => cli::health::run(args).await?,
        Command::Keys(args) => cli::keys::run(args).await?,
        Command::Manage(args) => return cli::manage::run(args).await,
        Command::Openapi => cli::openapi::run()?,
        Command::Replay(args) => cli::replay::run(args, shutdown).await?,
        Command::Senders(args) => return cli::senders::run(args).await,
        Command::Templates(args) => return cli::templates::run(args).await,
        Command::Simulate(args) => cli::simulate::run(args, shutdown).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Logs go to stderr, as text or, with `TWOTICK_LOG_FORMAT=json`, one object a line.
fn log_to_stderr() {
    // Postgres remarks at every start that the schema is there already.
    let quiet = "info,sqlx::postgres::notice=warn";
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(quiet));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match std::env::var("TWOTICK_LOG_FORMAT").as_deref() {
        Ok("json") => log.json().init(),
        _ => log.init(),
    }
}
