//! The database: can it be reached, can it keep our promises, is its schema this binary's, does its
//! clock agree, is the sealing key its own.

use secrecy::{ExposeSecret, SecretString};

use crate::cli::report::Report;
use crate::seal::SealingKey;
use crate::store::{Examined, OpenError, examine};

/// The service follows the database's clock; more than this is worth mending all the same.
const CLOCK_SECONDS: f64 = 2.0;

/// An event is published in less, where nothing is wrong.
const UNPUBLISHED_SECONDS: f64 = 60.0;

const SEALING_KEY: &str = "TWOTICK_SEALING_KEY";

pub(super) async fn check(url: &SecretString, report: &mut Report) {
    let key = sealing_key(report);
    let examined = examine(url.expose_secret(), key.as_ref()).await;
    match examined {
        Ok(examined) => found(&examined, key.is_some(), report),
        Err(error) => {
            let remedy = match &error {
                OpenError::Connect(_) => "is DATABASE_URL right, and Postgres up?",
                _ => "see docs/OPERATIONS.md on the database",
            };
            let causes = anyhow::Error::from(error);
            report.fail("database", format!("{causes:#}"), remedy);
        }
    }
}

fn sealing_key(report: &mut Report) -> Option<SealingKey> {
    let Ok(text) = std::env::var(SEALING_KEY) else {
        let remedy = "set it as the service has it: without, its credentials cannot be looked at";
        report.warn("sealing key", format!("{SEALING_KEY} is not set"), remedy);
        return None;
    };
    match SealingKey::parse(&text.into()) {
        Ok(key) => Some(key),
        Err(error) => {
            let remedy = "it is 32 bytes in base64, as `openssl rand -base64 32` makes them";
            report.fail("sealing key", error.to_string(), remedy);
            None
        }
    }
}

fn found(examined: &Examined, has_key: bool, report: &mut Report) {
    report.ok("database", format!("Postgres {}", examined.version));
    let known = examined.known;
    match examined.applied {
        Some(applied) if applied == known => {
            report.ok("migrations", format!("all are applied, up to {known}"));
        }
        Some(applied) if applied > known => {
            let detail = format!("{applied} is applied, and this binary knows {known}");
            let remedy = "this binary is older than the one that the service ran last";
            report.fail("migrations", detail, remedy);
        }
        applied => {
            let applied = applied.map_or("none".to_owned(), |it| it.to_string());
            let detail = format!("{applied} of {known} is applied");
            report.warn(
                "migrations",
                detail,
                "`twotick serve` applies them as it starts",
            );
        }
    }
    let ahead = examined.clock_ahead;
    let detail = format!("the database's is {ahead:+.1} s from this machine's");
    match ahead.abs() > CLOCK_SECONDS {
        true => report.warn("clock", detail, "let both machines follow NTP"),
        false => report.ok("clock", detail),
    }
    if let Some(seconds) = examined.unpublished {
        let detail = format!("the next event has waited for {seconds:.0} s");
        match seconds > UNPUBLISHED_SECONDS {
            true => {
                let remedy = "see docs/OPERATIONS.md: events do not come to NATS";
                report.fail("nats", detail, remedy);
            }
            false => report.ok("nats", "events are published"),
        }
    }
    match examined.key_fits {
        Some(true) => report.ok("sealing key", "is the one that sealed what is there"),
        Some(false) => {
            let remedy = "without the one that sealed them credentials cannot be read: find it, or \
                          give all connections their credentials again";
            report.fail("sealing key", "another one sealed what is there", remedy);
        }
        None if has_key => report.ok("sealing key", "nothing is sealed yet"),
        None => {}
    }
}
