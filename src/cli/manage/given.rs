//! What was given on the command line, as the call of the API that it is.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use clap::ArgMatches;
use reqwest::{Response, Url};
use serde_json::{Map, Value};

use super::described::{BodyKind, Kind, Parameter, Place, Way};
use super::file;
use crate::cli::api::{Request, Service};
use crate::provider::operations::Operation;

/// Longer than the service lets a file of 100 MB take.
const TRANSFER: Duration = Duration::from_secs(900);

/// A call of the API, but for where the service is.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// Of the path, in its order.
    names: Vec<(String, String)>,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: Option<Said>,
}

#[derive(Debug)]
enum Said {
    Json(Value),
    File(file::Opened),
}

/// The text of `--data`: JSON itself, `@` and a file, or `-`.
fn data(given: &str) -> anyhow::Result<Value> {
    let read;
    let text = match given {
        "-" | "@-" => {
            let mut all = String::new();
            std::io::stdin().read_to_string(&mut all)?;
            read = all;
            read.as_str()
        }
        _ => match given.strip_prefix('@') {
            Some(path) => {
                read = std::fs::read_to_string(path)
                    .with_context(|| format!("--data: cannot read {path}"))?;
                read.as_str()
            }
            None => given,
        },
    };
    serde_json::from_str(text).context("--data: expected JSON, @FILE or -")
}

impl Given {
    pub(super) fn of(
        way: &Way,
        operation: &Operation,
        matches: &ArgMatches,
    ) -> anyhow::Result<Self> {
        let mut given = Self::default();
        let mut members = Map::new();
        for parameter in &way.parameters {
            let Some(texts) = matches.get_many::<String>(&parameter.name) else {
                continue;
            };
            let texts: Vec<_> = texts.cloned().collect();
            match parameter.place {
                Place::Body => {
                    members.insert(parameter.name.clone(), value(parameter, texts)?);
                }
                place => given.place(place, &parameter.name, texts),
            }
        }
        for (name, text) in operation.with {
            let marked = format!("{{{name}}}");
            match (way.body, way.path.contains(&marked)) {
                (_, true) => given.place(Place::Path, name, vec![(*text).to_owned()]),
                (Some(_), false) => {
                    members.insert((*name).to_owned(), serde_json::from_str(text)?);
                }
                (None, false) => given.place(Place::Query, name, vec![(*text).to_owned()]),
            }
        }
        given.body = body(way.body, members, matches)?;
        given.name_file(way);
        Ok(given)
    }

    fn place(&mut self, place: Place, name: &str, texts: Vec<String>) {
        let named = texts.into_iter().map(|text| (name.to_owned(), text));
        match place {
            Place::Path => self.names.extend(named),
            Place::Header => self.headers.extend(named),
            Place::Query | Place::Body => self.query.extend(named),
        }
    }

    /// Where a call takes a file's name, it is the file's own.
    fn name_file(&mut self, way: &Way) {
        let takes = way.parameters.iter().any(|it| it.name == "filename");
        let is_told = self.query.iter().any(|(name, _)| name == "filename");
        if let (true, false, Some(Said::File(file))) = (takes, is_told, &self.body) {
            self.query.push(("filename".to_owned(), file.name.clone()));
        }
    }

    fn address(&self, service: &Service, way: &Way) -> anyhow::Result<Url> {
        let mut url: Url = service.url().parse()?;
        let mut segments = Vec::new();
        for segment in way.path.trim_start_matches('/').split('/') {
            let name = segment
                .strip_prefix('{')
                .and_then(|it| it.strip_suffix('}'));
            let given = name.and_then(|name| self.names.iter().find(|(it, _)| it == name));
            let segment = given.map_or(segment, |(_, given)| given);
            // An address without it is another.
            let is_one = !matches!(segment, "" | "." | "..");
            anyhow::ensure!(is_one, "expected an id, not `{segment}`");
            segments.push(segment);
        }
        url.path_segments_mut()
            .map_err(|()| anyhow::anyhow!("`{}` is no address of a service", service.url()))?
            .pop_if_empty()
            .extend(segments);
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        Ok(url)
    }

    /// Asks the service.
    pub(super) async fn send(self, service: &Service, way: &Way) -> anyhow::Result<Response> {
        let mut request = Request::new(way.method.clone(), self.address(service, way)?);
        request.headers = self.headers;
        request.limit = TRANSFER;
        match self.body {
            None => {}
            Some(Said::Json(value)) => {
                request.header("content-type", "application/json");
                request.body = Some(value.to_string().into());
            }
            Some(Said::File(file)) => {
                request.header("content-type", &file.kind);
                request.header("content-length", &file.length.to_string());
                request.body = Some(file.body());
            }
        }
        Ok(service.open(request).await??)
    }
}

/// An option as a member of the body.
fn value(parameter: &Parameter, mut texts: Vec<String>) -> anyhow::Result<Value> {
    if parameter.kind == Kind::Texts {
        return Ok(texts.into());
    }
    let text = texts.pop().unwrap_or_default();
    match parameter.kind {
        Kind::Text | Kind::Texts => Ok(text.into()),
        Kind::Json => serde_json::from_str(&text)
            // What was given may be a secret.
            .with_context(|| format!("`{}`: expected JSON", parameter.name)),
    }
}

fn body(
    kind: Option<BodyKind>,
    members: Map<String, Value>,
    matches: &ArgMatches,
) -> anyhow::Result<Option<Said>> {
    let Some(kind) = kind else { return Ok(None) };
    if let Some(path) = matches.get_one::<std::path::PathBuf>("file") {
        let told = matches.get_one::<String>("type");
        return Ok(Some(Said::File(opened(path, told)?)));
    }
    if kind == BodyKind::Bytes {
        return Ok(None);
    }
    let mut said = match matches.get_one::<String>("data") {
        Some(text) => data(text)?,
        None => Value::Object(Map::new()),
    };
    match &mut said {
        // What is named by itself counts.
        Value::Object(known) => known.extend(members),
        _ if members.is_empty() => {}
        _ => anyhow::bail!("--data: expected an object, as options add members to it"),
    }
    Ok(Some(Said::Json(said)))
}

fn opened(path: &Path, told: Option<&String>) -> anyhow::Result<file::Opened> {
    file::Opened::of(path, told.map(String::as_str))
        .with_context(|| format!("--file {}", path.display()))
}
