//! `twotick senders`: many numbers put on a WhatsApp Business Account of Infobip's, from a CSV. It asks
//! a running service over its API, with a key. How far each row is stands in a file beside the CSV, so
//! that it can be stopped at any moment and run again: no row is done twice, and what nobody knows is
//! read from the provider before it is done again.

mod numbers;
mod row;
mod state;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};

use self::numbers::Number;
use self::row::{Came, Registering};
use self::state::State;
use super::api::{self, Service};
use crate::provider::registration::Method;

/// Manage senders at the providers
#[derive(Debug, Args)]
pub struct SendersArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Register the numbers of a CSV with Infobip; run it again to go on, and with codes to verify
    Register(Register),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum HowCodesCome {
    #[value(name = "SMS")]
    Sms,
    #[value(name = "VOICE")]
    Voice,
}

#[derive(Debug, Args)]
struct Register {
    #[command(flatten)]
    service: api::ServiceArgs,
    /// The connection, which must be Infobip's
    #[arg(long, value_name = "ID")]
    connection: String,
    /// The WhatsApp Business Account
    #[arg(long, value_name = "ID")]
    waba_id: String,
    /// Columns country_code, phone_number, display_name, and where they are there method (SMS,
    /// VOICE), language and code, which is filled in once it came
    #[arg(long, value_name = "CSV")]
    file: PathBuf,
    /// How codes come where the row does not say
    #[arg(long, value_enum, ignore_case = true, default_value = "SMS")]
    method: HowCodesCome,
    /// In which language they come where the row does not say
    #[arg(long, default_value = "en_US")]
    language: String,
    /// Have a new code sent to each number that waits for one
    #[arg(long)]
    resend: bool,
    /// Try rows again that were refused
    #[arg(long)]
    again: bool,
}

/// Runs the subcommand.
pub async fn run(args: SendersArgs) -> anyhow::Result<ExitCode> {
    let Command::Register(args) = args.command;
    register(&args).await
}

#[expect(clippy::print_stdout, reason = "what is done is this command's output")]
async fn register(args: &Register) -> anyhow::Result<ExitCode> {
    let method = match args.method {
        HowCodesCome::Sms => Method::Sms,
        HowCodesCome::Voice => Method::Voice,
    };
    let numbers = match numbers::read(&args.file, method, &args.language)? {
        Ok(numbers) => numbers,
        Err(wrong) => {
            for line in &wrong {
                println!("{line}");
            }
            anyhow::bail!("nothing was sent: {} fields are wrong", wrong.len());
        }
    };
    let service = Service::new(&args.service)?;
    let path = format!("/v1/connections/{}", args.connection);
    let connection = service.get(&path).await?;
    anyhow::ensure!(
        connection["provider"] == "infobip",
        "the connection is not Infobip's: others register numbers one by one"
    );
    let is_id = (1..=32).contains(&args.waba_id.len())
        && args.waba_id.bytes().all(|byte| byte.is_ascii_digit());
    anyhow::ensure!(is_id, "--waba-id: expected the digits of an account's id");
    let mut state = State::open(&args.file, &args.connection, &args.waba_id)?;
    let registering = Registering {
        service: &service,
        connection: &args.connection,
        waba_id: &args.waba_id,
        resend: args.resend,
        again: args.again,
    };
    let mut counts = Counts::default();
    for (n, number) in numbers.iter().enumerate() {
        let came = registering.take(number, &mut state).await;
        let came = came.with_context(|| stopped(n, &numbers))?;
        println!("{}", line(n, &numbers, number, &came));
        counts.count(&came);
    }
    println!("{}", counts.said());
    Ok(match counts.refused + counts.unknown {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn stopped(n: usize, numbers: &[Number]) -> String {
    let (done, all) = (n, numbers.len());
    format!("stopped after {done} of {all} rows; run it again to go on")
}

/// A row's result.
fn line(n: usize, numbers: &[Number], number: &Number, came: &Came) -> String {
    let (word, why) = match came {
        Came::Registered => ("registered", None),
        Came::Submitted => ("submitted", None),
        Came::Waits => ("code sent", None),
        Came::Refused(why) => ("refused", Some(why)),
        Came::Unknown(why) => ("unknown", Some(why)),
    };
    let (at, all) = (n + 1, numbers.len());
    let (digits, name) = (number.new.digits(), &number.new.display_name);
    let why = why.map_or_else(String::new, |why| format!("\n             {why}"));
    format!("{at}/{all} {word:10} {digits} {name}{why}")
}

#[derive(Debug, Default)]
struct Counts {
    registered: usize,
    submitted: usize,
    waits: usize,
    refused: usize,
    unknown: usize,
}

impl Counts {
    fn count(&mut self, came: &Came) {
        *match came {
            Came::Registered => &mut self.registered,
            Came::Submitted => &mut self.submitted,
            Came::Waits => &mut self.waits,
            Came::Refused(_) => &mut self.refused,
            Came::Unknown(_) => &mut self.unknown,
        } += 1;
    }

    fn said(&self) -> String {
        let Self {
            registered,
            submitted,
            waits,
            refused,
            unknown,
        } = self;
        let mut out = format!(
            "{registered} registered, {submitted} submitted, {waits} wait for their code, \
             {refused} refused, {unknown} unknown"
        );
        if *submitted > 0 {
            out.push_str("; run it again later to see what was submitted registered");
        }
        if *waits > 0 {
            out.push_str("; put the codes into the column `code`, and run it again");
        }
        if *unknown > 0 {
            out.push_str("; run it again: what is unknown is read from the provider first");
        }
        out
    }
}
