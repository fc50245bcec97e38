//! `twotick manage`: each row of the table of operations is a command, which asks a running service
//! by the call of its API that leads there. What a command takes is read from the description of the
//! API, so that a new row has its command, with its options and its help, by being in the table.

mod described;
mod file;
mod given;
mod table;

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::LazyLock;

use anyhow::Context as _;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Response, Url};

use self::described::Way;
use self::given::Given;
use super::api::{Service, ServiceArgs};
use crate::provider::operations::{Operation, all};

/// What to do at a provider; without it, what can be done is listed.
#[derive(Debug, Clone)]
pub struct ManageArgs(Option<(String, ArgMatches)>);

const LONG: &str = "\
Do at a provider what its API can: templates, flows, media, senders, welcome message sequences, and \
where its webhooks go. Without an operation all of them are listed, with the providers that have \
them. `twotick manage OPERATION --help` shows what an operation takes.";

/// The description of the API, which is long: made once, where it is asked for.
static DESCRIPTION: LazyLock<serde_json::Value> = LazyLock::new(crate::http::described);

fn commands(command: Command) -> Command {
    let operations = all().map(|operation| {
        Command::new(operation.name)
            .about(operation.says)
            .defer(with_options)
    });
    command
        .long_about(LONG)
        .subcommand_value_name("OPERATION")
        .subcommand_help_heading("Operations")
        .disable_help_subcommand(true)
        .arg(
            clap::Arg::new("list")
                .long("list")
                .action(clap::ArgAction::SetTrue)
                .help("List all operations"),
        )
        .subcommands(operations)
}

/// The one that is given, with what it takes.
fn with_options(command: Command) -> Command {
    match way(command.get_name()) {
        Some((operation, way)) => way.command(operation, command),
        None => command,
    }
}

/// An operation, and the call that leads to it.
fn way(name: &str) -> Option<(&'static Operation, Way)> {
    let operation = all().find(|operation| operation.name == name)?;
    Some((operation, Way::of(&DESCRIPTION, operation)?))
}

impl Args for ManageArgs {
    fn augment_args(command: Command) -> Command {
        command.defer(commands)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ManageArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let chosen = matches.subcommand();
        Ok(Self(
            chosen.map(|(name, given)| (name.to_owned(), given.clone())),
        ))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Asks for the operation, and prints what is answered.
pub async fn run(args: ManageArgs) -> anyhow::Result<ExitCode> {
    let Some((name, matches)) = args.0 else {
        return listed();
    };
    let (operation, way) = way(&name).with_context(|| format!("{name} is not described"))?;
    let given = Given::of(&way, operation, &matches)?;
    let service = Service::new(&ServiceArgs::from_arg_matches(&matches)?)?;
    let response = given.send(&service, &way).await?;
    let output = matches.get_one::<PathBuf>("output");
    show(response, output.map(PathBuf::as_path)).await?;
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the list is this command's output")]
fn listed() -> anyhow::Result<ExitCode> {
    print!("{}", table::written());
    Ok(ExitCode::SUCCESS)
}

/// JSON with lines; whatever else as it comes. What is somewhere else is fetched from there, without
/// the key.
async fn show(response: Response, output: Option<&Path>) -> anyhow::Result<()> {
    let response = match response.status().is_redirection() {
        true => elsewhere(&response).await?,
        false => response,
    };
    let kind = response.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_json = kind.starts_with("application/json");
    if is_json && output.is_none() {
        let answer = response.bytes().await.context("it did not come whole")?;
        let answer: serde_json::Value = serde_json::from_slice(&answer)?;
        let mut out = std::io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, &answer)?;
        return Ok(writeln!(out)?);
    }
    let Some(path) = output else {
        let is_terminal = std::io::stdout().is_terminal();
        anyhow::ensure!(!is_terminal, "it is {kind}: name a file for it by --output");
        return passed_on(response, &mut std::io::stdout().lock()).await;
    };
    let named = || format!("cannot write {}", path.display());
    let mut file = std::fs::File::create(path).with_context(named)?;
    let came = passed_on(response, &mut file).await;
    came.inspect_err(|_| drop(std::fs::remove_file(path)))
        .with_context(named)
}

/// As it comes: never held whole.
async fn passed_on(mut response: Response, out: &mut impl std::io::Write) -> anyhow::Result<()> {
    while let Some(chunk) = response.chunk().await.context("it did not come whole")? {
        out.write_all(&chunk)?;
    }
    Ok(out.flush()?)
}

async fn elsewhere(response: &Response) -> anyhow::Result<Response> {
    let to = response.headers().get(LOCATION);
    let to = to.and_then(|to| to.to_str().ok()).unwrap_or_default();
    let to: Url = to.parse().context("it is at no address")?;
    let response = reqwest::get(to).await.context("it cannot be fetched")?;
    Ok(response.error_for_status()?)
}
