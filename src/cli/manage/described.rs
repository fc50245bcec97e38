//! What an operation's call takes, from the description of the API: which parameters, where each
//! goes, and of what kind it is.

use clap::{Arg, ArgAction, Args as _, Command, ValueHint};
use reqwest::Method;
use serde_json::Value;

use super::table;
use crate::cli::api::ServiceArgs;
use crate::provider::operations::Operation;

/// Options of every command: a parameter that bears such a name goes into `--data`.
const TAKEN: [&str; 8] = [
    "url", "api-key", "data", "file", "type", "output", "help", "version",
];

/// The call of our API that leads to an operation.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) method: Method,
    /// With `{name}` for what is to be filled in.
    pub(super) path: String,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<BodyKind>,
}

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyKind {
    Json,
    /// A file.
    Bytes,
}

/// Something that a call may say.
#[derive(Debug)]
pub(super) struct Parameter {
    /// As the API has it.
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) kind: Kind,
    required: bool,
    about: String,
}

/// Where it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
    Body,
}

/// What it is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Texts,
    /// All else.
    Json,
}

/// Where a description says "see there", what is there.
fn followed<'a>(description: &'a Value, schema: &'a Value) -> &'a Value {
    let place = schema["$ref"].as_str().and_then(|at| at.strip_prefix('#'));
    place
        .and_then(|at| description.pointer(at))
        .unwrap_or(schema)
}

fn kind(description: &Value, schema: &Value) -> Kind {
    let schema = followed(description, schema);
    // What may be absent is one of something and of nothing.
    if let Some(of) = list(&schema["oneOf"]).find(|it| it["type"] != "null") {
        return kind(description, of);
    }
    let is = |word: &str| schema["type"] == word || list(&schema["type"]).any(|it| it == word);
    match () {
        () if is("string") => Kind::Text,
        () if is("array") && kind(description, &schema["items"]) == Kind::Text => Kind::Texts,
        () => Kind::Json,
    }
}

/// The first of its paragraphs.
fn about(description: &Value, schema: &Value) -> String {
    let own = [&schema["description"], &schema["oneOf"][0]["description"]];
    let own = own.into_iter().find_map(Value::as_str);
    let own = own.or_else(|| followed(description, schema)["description"].as_str());
    let lines = own.unwrap_or_default().lines();
    let lines: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    lines.join(" ").trim_end_matches('.').to_owned()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Way {
    /// `None`: the call is not described.
    pub(super) fn of(description: &Value, operation: &Operation) -> Option<Self> {
        let (method, path) = operation.api.first()?.split_once(' ')?;
        let called = &description["paths"][path][method.to_lowercase()];
        let mut way = Self {
            method: method.parse().ok()?,
            path: path.to_owned(),
            parameters: Vec::new(),
            body: None,
        };
        for parameter in called
            .as_object()?
            .get("parameters")
            .into_iter()
            .flat_map(list)
        {
            let place = match parameter["in"].as_str()? {
                "path" => Place::Path,
                "query" => Place::Query,
                _ => Place::Header,
            };
            let (name, schema) = (text(&parameter["name"]), &parameter["schema"]);
            let required = parameter["required"] == true;
            let mut about_it = about(description, parameter);
            if about_it.is_empty() {
                about_it = about(description, schema);
            }
            way.add(
                Parameter {
                    name,
                    place,
                    kind: kind(description, schema),
                    required,
                    about: about_it,
                },
                operation,
            );
        }
        let content = &called["requestBody"]["content"];
        if let Some(schema) = content["application/json"].get("schema") {
            way.body = Some(BodyKind::Json);
            way.add_members(description, schema, operation);
        } else if content.is_object() {
            way.body = Some(BodyKind::Bytes);
        }
        Some(way)
    }

    fn add_members(&mut self, description: &Value, schema: &Value, operation: &Operation) {
        let schema = followed(description, schema);
        for part in list(&schema["allOf"]) {
            self.add_members(description, part, operation);
        }
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            let parameter = Parameter {
                name: name.clone(),
                place: Place::Body,
                kind: kind(description, member),
                required: list(&schema["required"]).any(|it| it == name),
                about: about(description, member),
            };
            self.add(parameter, operation);
        }
    }

    /// What the operation itself says is not asked for.
    fn add(&mut self, parameter: Parameter, operation: &Operation) {
        let name = parameter.name.as_str();
        let is_said = operation.with.iter().any(|(said, _)| *said == name);
        let is_known = self.parameters.iter().any(|known| known.name == name);
        let is_taken = TAKEN.contains(&option(name).as_str());
        if !is_said && !is_known && !is_taken {
            self.parameters.push(parameter);
        }
    }

    /// What the path names, in its order, then the rest as options.
    pub(super) fn command(&self, operation: &'static Operation, mut command: Command) -> Command {
        let call = operation.api.first().unwrap_or(&"");
        let after = format!("{call}, at {}", table::at(operation).join(", "));
        let (needed, others) = self
            .parameters
            .iter()
            .partition::<Vec<_>, _>(|it| it.required);
        for parameter in needed.into_iter().chain(others) {
            command = command.arg(parameter.arg(self.body.is_some()));
        }
        if self.body == Some(BodyKind::Json) {
            command = command.arg(
                Arg::new("data")
                    .long("data")
                    .value_name("JSON")
                    .conflicts_with("file")
                    .help("What it says, where options say less: JSON, @FILE, or - for stdin"),
            );
        }
        if self.body.is_some() {
            command = command
                .arg(
                    path("file")
                        .required(self.body == Some(BodyKind::Bytes))
                        .help("A file to send, passed on as it is read"),
                )
                .arg(
                    Arg::new("type")
                        .long("type")
                        .value_name("MEDIA/TYPE")
                        .requires("file")
                        .help("What the file is, where its name does not say"),
                );
        }
        let command = command.arg(path("output").help("A file for the answer, instead of stdout"));
        ServiceArgs::augment_args(command.next_help_heading("Service"))
            .about(operation.says)
            .long_about(None)
            .after_help(after.leak() as &'static str)
    }
}

fn path(name: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("FILE")
        .value_hint(ValueHint::FilePath)
        .value_parser(clap::value_parser!(std::path::PathBuf))
}

/// As it is written on the command line.
fn option(name: &str) -> String {
    name.to_lowercase().replace('_', "-")
}

impl Parameter {
    /// Its names live as long as the process, which has one command.
    fn arg(&self, has_body: bool) -> Arg {
        let name: &'static str = self.name.clone().leak();
        let mut about = self.about.clone();
        let arg = Arg::new(name);
        if self.place == Place::Path {
            let value: &'static str = name.to_uppercase().leak();
            return arg.required(true).value_name(value).help(about);
        }
        // A body's may be in `--data`.
        let is_needed = self.required && self.place != Place::Body;
        if self.required && !is_needed {
            about = format!("{about} (needed)").trim_start().to_owned();
        }
        let value = match self.kind {
            Kind::Text | Kind::Texts => "TEXT",
            Kind::Json => "JSON",
        };
        let arg = arg
            .long(option(&self.name).leak() as &'static str)
            .required(is_needed)
            .value_name(value)
            .help(about);
        let arg = match self.kind {
            Kind::Texts => arg.action(ArgAction::Append),
            Kind::Text | Kind::Json => arg,
        };
        match has_body && self.place == Place::Body {
            true => arg.conflicts_with("file"),
            false => arg,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::operations::all;

    #[test]
    fn every_operation_has_a_command_that_clap_finds_sound() {
        let description = crate::http::described();
        for operation in all() {
            let way = Way::of(&description, operation);
            let way = way.unwrap_or_else(|| panic!("{} is not described", operation.name));
            // What the table says of the call is something that the call takes.
            let bare = Operation {
                with: &[],
                ..*operation
            };
            let all = Way::of(&description, &bare).unwrap().parameters;
            for (name, _) in operation.with {
                let known = all.iter().any(|parameter| parameter.name == *name);
                assert!(known, "{}: {name}", operation.name);
            }
            way.command(operation, Command::new(operation.name))
                .debug_assert();
        }
    }
}
