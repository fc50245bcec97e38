//! `twotick doctor`: what is wrong, and how to mend it: the database and its key, where
//! `DATABASE_URL` says where that is; the service; and of each connection what its provider says of
//! its key and its webhooks, what came last, and its senders. It changes nothing.

mod connection;
mod database;

use std::process::ExitCode;

use clap::Args;
use secrecy::SecretString;

use super::api::{Service, ServiceArgs, status};
use super::report::Report;

/// Find what is wrong, and say how to mend it; ends with 1 where something fails
///
/// The service's key comes from TWOTICK_API_KEY; it needs the scope manage, and events:read for what
/// came last.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    service: ServiceArgs,
    /// Postgres; without, the database is not looked at
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<SecretString>,
    /// Only this connection
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    /// All checks as one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub async fn run(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let mut report = Report::json(args.json);
    if let Some(url) = &args.database_url {
        database::check(url, &mut report).await;
    }
    service(&args, &mut report).await;
    Ok(match report.end() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

async fn service(args: &DoctorArgs, report: &mut Report) {
    let service = match Service::new(&args.service) {
        Ok(service) => service,
        Err(error) => {
            let remedy = "make a key: twotick keys create --name doctor";
            return report.fail("service", format!("{error:#}"), remedy);
        }
    };
    if let Err(error) = service.ready().await {
        let remedy = "start it (twotick serve), or say where it is by --url; its log says why it is \
                      not ready";
        return report.fail("service", format!("{}: {error:#}", service.url()), remedy);
    }
    report.ok("service", format!("{} is ready", service.url()));
    let connections = match &args.connection {
        Some(id) => service
            .get(&format!("/v1/connections/{id}"))
            .await
            .map(|one| vec![one]),
        None => service.all("/v1/connections").await,
    };
    match connections {
        Ok(all) if all.is_empty() => {
            report.warn("connections", "there is none", "twotick connect makes one");
        }
        Ok(all) => {
            for connection in &all {
                connection::check(&service, connection, report).await;
            }
        }
        Err(error) => {
            let remedy = match status(&error) {
                Some(404) => "GET /v1/connections shows those there are",
                _ => "the key in TWOTICK_API_KEY must be valid, and needs the scope manage",
            };
            report.fail("connections", format!("{error:#}"), remedy);
        }
    }
}
