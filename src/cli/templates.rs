//! `twotick templates`: templates that live in a folder of files, one a template and language, such
//! as in git. It asks a running service over its API, with a key, as any operator could; the
//! provider's keys stay with the service, and what is done is in its audit.

mod folder;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::api::{self, Service};
use folder::Definition;

/// Manage templates at the providers, as files define them
#[derive(Debug, Args)]
pub struct TemplatesArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read all templates from the provider into the service, and list them
    Sync(Target),
    /// Show what would have to change at the provider, and why
    Diff {
        #[command(flatten)]
        folder: Folder,
        /// End with 1 where anything would have to change
        #[arg(long)]
        exit_code: bool,
    },
    /// Make what differs as the files define it; nothing is deleted
    Apply(Folder),
}

/// Whose templates, and whom to ask.
#[derive(Debug, Args)]
struct Target {
    #[command(flatten)]
    service: api::ServiceArgs,
    /// The connection whose templates they are
    #[arg(long, value_name = "ID", required_unless_present = "sender")]
    connection: Option<String>,
    /// A sender of theirs instead
    #[arg(long, value_name = "ID")]
    sender: Option<String>,
    /// Meta's account, where the connection has several
    #[arg(long, value_name = "ID")]
    waba_id: Option<String>,
}

#[derive(Debug, Args)]
struct Folder {
    #[command(flatten)]
    target: Target,
    /// Files `*.json`: each a template in a language, as `POST /v1/templates` takes it
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Target {
    /// What requests name them by.
    fn whose(&self) -> Value {
        json!({"connection": self.connection, "sender": self.sender, "waba_id": self.waba_id})
    }
}

/// Runs the subcommand.
pub async fn run(args: TemplatesArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Sync(target) => sync(&target).await,
        Command::Diff { folder, exit_code } => diff(&folder, exit_code).await,
        Command::Apply(folder) => apply(&folder).await,
    }
}

#[expect(clippy::print_stdout, reason = "the list is this command's output")]
async fn sync(target: &Target) -> anyhow::Result<ExitCode> {
    let service = Service::new(&target.service)?;
    let synced = service.post("/v1/templates/sync", &target.whose()).await?;
    let all = synced["data"].as_array().cloned().unwrap_or_default();
    for template in &all {
        println!("{}", line(template));
    }
    let (count, changes) = (all.len(), &synced["changes"]);
    let whole = match synced["whole"] == true {
        true => "",
        false => "; the provider's list was not whole",
    };
    println!("{count} templates; {changes} events tell of what differed{whole}");
    Ok(ExitCode::SUCCESS)
}

fn line(template: &Value) -> String {
    let text = |name: &str| template[name].as_str().unwrap_or("-").to_owned();
    format!(
        "{} {}  {}  {}  {}",
        text("name"),
        text("language"),
        text("status"),
        text("category"),
        text("quality"),
    )
}

/// The service's word on each file, in their order.
async fn compared(
    service: &Service,
    target: &Target,
    files: &[Definition],
) -> anyhow::Result<(Vec<Value>, usize)> {
    let mut asked = target.whose();
    asked["templates"] = files.iter().map(|file| file.content.clone()).collect();
    let answer = service.post("/v1/templates/diff", &asked).await?;
    let diffs = answer["data"].as_array().cloned().unwrap_or_default();
    anyhow::ensure!(
        diffs.len() == files.len(),
        "the service answered about other templates"
    );
    let others = answer["others"].as_array().map_or(0, Vec::len);
    Ok((diffs, others))
}

#[expect(clippy::print_stdout, reason = "what differs is this command's output")]
async fn diff(folder: &Folder, exit_code: bool) -> anyhow::Result<ExitCode> {
    let files = folder::read(&folder.folder)?;
    let service = Service::new(&folder.target.service)?;
    let (diffs, others) = compared(&service, &folder.target, &files).await?;
    for (file, diff) in files.iter().zip(&diffs) {
        println!("{}", told(file, diff));
    }
    if others > 0 {
        println!("{others} other templates at the provider are not in the folder");
    }
    let has = |step: &str| diffs.iter().any(|diff| diff["step"] == step);
    let differs = diffs.iter().any(|diff| diff["step"] != "none");
    Ok(match has("invalid") || (exit_code && differs) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// What would be done with a file's template, and why.
fn told(file: &Definition, diff: &Value) -> String {
    let step = diff["step"].as_str().unwrap_or("none");
    let mut out = format!("{:10} {}", step, file.title());
    if let Some(note) = diff["note"].as_str() {
        out.push_str(&format!("\n             {note}"));
    }
    for difference in diff["differences"].as_array().into_iter().flatten() {
        let (ours, theirs) = (&difference["ours"], &difference["theirs"]);
        let field = difference["field"].as_str().unwrap_or_default();
        out.push_str(&format!("\n             {field}: {theirs} -> {ours}"));
    }
    for error in diff["errors"].as_array().into_iter().flatten() {
        let text = |name: &str| error[name].as_str().unwrap_or_default();
        out.push_str(&format!(
            "\n             {}: {}",
            text("field"),
            text("message")
        ));
    }
    out
}

/// What is wrong with one file keeps no other from being applied.
#[expect(
    clippy::print_stdout,
    reason = "what was done is this command's output"
)]
async fn apply(folder: &Folder) -> anyhow::Result<ExitCode> {
    let files = folder::read(&folder.folder)?;
    let service = Service::new(&folder.target.service)?;
    let (diffs, _) = compared(&service, &folder.target, &files).await?;
    let mut failed = false;
    for (file, diff) in files.iter().zip(&diffs) {
        let came = match diff["step"].as_str() {
            Some("create") => create(&service, &folder.target, file).await,
            Some("edit") => edit(&service, file, &diff["template"]).await,
            Some("none") => Ok(told(file, diff)),
            _ => {
                failed = true;
                Ok(told(file, diff))
            }
        };
        match came {
            Ok(said) => println!("{said}"),
            Err(error) => {
                failed = true;
                println!("failed     {}\n             {error:#}", file.title());
            }
        }
    }
    Ok(match failed {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

async fn create(service: &Service, target: &Target, file: &Definition) -> anyhow::Result<String> {
    let mut new = file.content.clone();
    for (name, value) in target.whose().as_object().into_iter().flatten() {
        if !value.is_null() {
            new[name.as_str()] = value.clone();
        }
    }
    let made = service.post("/v1/templates", &new).await?;
    Ok(format!(
        "created    {} ({})",
        file.title(),
        made["status"].as_str().unwrap_or("-")
    ))
}

/// All of what the file says but its name; of an approved template without the category, which is
/// fixed.
async fn edit(service: &Service, file: &Definition, there: &Value) -> anyhow::Result<String> {
    let mut change = file.content.clone();
    if let Some(members) = change.as_object_mut() {
        members.retain(|name, _| name != "name" && name != "language");
        if there["status"] == "APPROVED" {
            members.remove("category");
        }
    }
    let id = there["id"].as_str().unwrap_or_default();
    let edited = service
        .patch(&format!("/v1/templates/{id}"), &change)
        .await?;
    Ok(format!(
        "edited     {} ({})",
        file.title(),
        edited["status"].as_str().unwrap_or("-")
    ))
}
