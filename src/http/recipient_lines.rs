//! Recipients as they are uploaded: JSON, an object a line, or CSV with a line that names the
//! columns. Read piece by piece as the bytes come, so that no more of them is held than the line
//! that is being read; and each line by itself, so that all that is wrong can be told at once.

use serde::Deserialize;
use serde_json::Value;

use super::content::check_reference;
use super::messages::RecipientType;
use super::problem::FieldError;
use super::request;
use crate::model::campaign::{LONGEST_VALUE, Variables, is_name};
use crate::store::campaign_upload::NewRecipient;

/// The longest line, in bytes.
pub const LONGEST_LINE: usize = 64 << 10;

/// A recipient, or what is wrong with it, and the number of the line that it begins in.
pub type Line = (u64, Result<NewRecipient, Vec<FieldError>>);

/// How recipients are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `application/x-ndjson`.
    Json,
    /// `text/csv`.
    Csv,
}

/// Reads an upload.
#[derive(Debug)]
pub struct Lines {
    form: Form,
    /// What every recipient has to bring.
    needed: Vec<String>,
    /// The record that is being read, and the line that it begins in.
    record: Vec<u8>,
    begins: u64,
    line: u64,
    /// Within quotes a CSV's line does not end the record.
    quoted: bool,
    just_closed: bool,
    /// Of a record that is too long only its end is looked for.
    too_long: bool,
    /// The columns of a CSV, once they are known.
    columns: Option<Vec<String>>,
}

impl Lines {
    pub fn new(form: Form, needed: Vec<String>) -> Self {
        Self {
            form,
            needed,
            record: Vec::new(),
            begins: 1,
            line: 1,
            quoted: false,
            just_closed: false,
            too_long: false,
            columns: None,
        }
    }

    /// Reads on. What has come to its end is given to `found`; an error makes the rest unreadable.
    pub fn read(
        &mut self,
        bytes: &[u8],
        found: &mut impl FnMut(Line),
    ) -> Result<(), Vec<FieldError>> {
        for &byte in bytes {
            if self.form == Form::Csv {
                self.follow_quotes(byte)?;
            }
            if byte == b'\n' {
                self.line += 1;
                if !self.quoted {
                    self.end(found)?;
                    continue;
                }
            }
            if self.record.len() < LONGEST_LINE {
                self.record.push(byte);
            } else {
                self.too_long = true;
            }
        }
        Ok(())
    }

    /// A quote opens a cell where one begins, and goes on with one that it has just closed. One
    /// that is not closed would swallow all that comes behind it.
    fn follow_quotes(&mut self, byte: u8) -> Result<(), Vec<FieldError>> {
        let just_closed = std::mem::take(&mut self.just_closed);
        if byte == b'"' {
            let begins = matches!(&self.record[..], [] | [.., b','] | b"\xef\xbb\xbf");
            self.just_closed = self.quoted;
            self.quoted = !self.quoted && (begins || just_closed);
        }
        if self.quoted && self.record.len() >= LONGEST_LINE {
            return Err(self.not_closed());
        }
        Ok(())
    }

    fn not_closed(&self) -> Vec<FieldError> {
        let field = format!("lines[{}]", self.begins);
        vec![FieldError::new(field, "a quote is not closed")]
    }

    /// Nothing more comes.
    pub fn finish(mut self, found: &mut impl FnMut(Line)) -> Result<(), Vec<FieldError>> {
        if self.quoted {
            return Err(self.not_closed());
        }
        self.end(found)?;
        if self.form == Form::Csv && self.columns.is_none() {
            let message = "expected a line that names the columns";
            return Err(vec![FieldError::new("lines[1]", message)]);
        }
        Ok(())
    }

    fn end(&mut self, found: &mut impl FnMut(Line)) -> Result<(), Vec<FieldError>> {
        let record = std::mem::take(&mut self.record);
        let begins = std::mem::replace(&mut self.begins, self.line);
        let too_long = std::mem::take(&mut self.too_long);
        let record_text = match std::str::from_utf8(&record) {
            Ok(text) => text.strip_suffix('\r').unwrap_or(text),
            Err(_) => {
                self.keep(record);
                return self.tell(begins, "expected UTF-8", found);
            }
        };
        let text = record_text.strip_prefix('\u{feff}').unwrap_or(record_text);
        if too_long {
            return self.tell(begins, "longer than 64 KiB", found);
        }
        if !text.trim().is_empty() {
            match (self.form, &self.columns) {
                (Form::Json, _) => found((begins, self.read_json(text))),
                (Form::Csv, Some(columns)) => found((begins, self.read_csv(columns, text))),
                (Form::Csv, None) => self.columns = Some(read_columns(text, &self.needed)?),
            }
        }
        self.keep(record);
        Ok(())
    }

    /// The space of a record is used again.
    fn keep(&mut self, mut record: Vec<u8>) {
        record.clear();
        self.record = record;
    }

    /// A line that is nothing. Without its columns, a CSV is nothing.
    fn tell(
        &self,
        line: u64,
        message: &str,
        found: &mut impl FnMut(Line),
    ) -> Result<(), Vec<FieldError>> {
        let error = FieldError::new("", message);
        if self.form == Form::Csv && self.columns.is_none() {
            return Err(vec![FieldError::new("lines[1]", message)]);
        }
        found((line, Err(vec![error])));
        Ok(())
    }

    fn read_json(&self, text: &str) -> Result<NewRecipient, Vec<FieldError>> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            to: String,
            reference: Option<String>,
            #[serde(default)]
            variables: serde_json::Map<String, Value>,
        }
        let written: Written = request::json(text.as_bytes()).map_err(|error| match error {
            super::problem::ApiError::Invalid(errors) => errors,
            _ => vec![FieldError::new("", no_json(text))],
        })?;
        let mut errors = Vec::new();
        let mut variables = Variables::new();
        for (name, value) in written.variables {
            let value = match value {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                _ => {
                    let field = format!("variables.{name}");
                    errors.push(FieldError::new(field, "expected a text or a number"));
                    continue;
                }
            };
            if !is_name(&name) {
                errors.push(wrong_name(&format!("variables.{name}")));
            }
            variables.insert(name, value.into());
        }
        self.check(&written.to, written.reference, variables, errors)
    }

    fn read_csv(&self, columns: &[String], text: &str) -> Result<NewRecipient, Vec<FieldError>> {
        let cells = cells(text).map_err(|message| vec![FieldError::new("", message)])?;
        if cells.len() != columns.len() {
            return Err(vec![FieldError::new(
                "",
                wrong_number(columns, cells.len()),
            )]);
        }
        let (mut to, mut reference) = (String::new(), None);
        let mut variables = Variables::new();
        for (name, cell) in columns.iter().zip(cells) {
            match name.as_str() {
                "to" => to = cell.trim().to_owned(),
                "reference" => reference = Some(cell).filter(|cell| !cell.is_empty()),
                _ => {
                    variables.insert(name.clone(), cell.into());
                }
            }
        }
        let nul = [&to]
            .into_iter()
            .chain(&reference)
            .any(|text| text.contains('\0'))
            || variables
                .values()
                .any(|value| value.as_str().is_some_and(|text| text.contains('\0')));
        if nul {
            let message = "the character U+0000 cannot be kept";
            return Err(vec![FieldError::new("", message)]);
        }
        self.check(&to, reference, variables, Vec::new())
    }

    fn check(
        &self,
        to: &str,
        reference: Option<String>,
        variables: Variables,
        mut errors: Vec<FieldError>,
    ) -> Result<NewRecipient, Vec<FieldError>> {
        let recipient = RecipientType::Individual.read(to, &mut errors);
        check_reference("", reference.as_deref(), &mut errors);
        for name in &self.needed {
            // The provider refuses a parameter that is empty.
            let given = variables.get(name).and_then(Value::as_str);
            if given.is_none_or(|text| text.trim().is_empty()) {
                let field = format!("variables.{name}");
                errors.push(FieldError::new(field, "missing: the messages use it"));
            }
        }
        for (name, value) in &variables {
            if value
                .as_str()
                .is_some_and(|text| text.len() > LONGEST_VALUE)
            {
                let message = format!("expected at most {LONGEST_VALUE} bytes");
                errors.push(FieldError::new(format!("variables.{name}"), message));
            }
        }
        match errors.is_empty() {
            true => Ok(NewRecipient {
                recipient,
                reference,
                variables,
            }),
            false => Err(errors),
        }
    }
}

/// Why a line is no JSON, and where.
fn no_json(text: &str) -> String {
    let expected = "expected an object such as `{\"to\": \"447700900123\"}`";
    match serde_json::from_str::<Value>(text) {
        // A line has no lines of its own.
        Err(error) => {
            let words = error.to_string();
            let words = words.split(" at line ").next().unwrap_or_default();
            format!(
                "{expected}; it is no JSON from column {} on: {words}",
                error.column()
            )
        }
        Ok(_) => expected.to_owned(),
    }
}

/// A line of a CSV that has not as many cells as its first.
fn wrong_number(columns: &[String], cells: usize) -> String {
    let names: Vec<_> = columns.iter().map(|name| format!("`{name}`")).collect();
    let expected = columns.len();
    let remedy = match cells > expected {
        true => "; a cell with a comma in it stands in quotes",
        false => "",
    };
    let names = names.join(", ");
    format!("expected {expected} cells, as the first line names ({names}), not {cells}{remedy}")
}

fn wrong_name(field: &str) -> FieldError {
    let message = "expected a name of 1 to 64 bytes: letters, digits, `_`, `-`, `.`";
    FieldError::new(field, message)
}

/// The first line of a CSV.
fn read_columns(text: &str, needed: &[String]) -> Result<Vec<String>, Vec<FieldError>> {
    let at = |message: String| vec![FieldError::new("lines[1]", message)];
    let cells = cells(text).map_err(|message| at(message.to_owned()))?;
    let columns: Vec<_> = cells.iter().map(|cell| cell.trim().to_owned()).collect();
    let others = [(';', "semicolons"), ('\t', "tabs")];
    if let [line] = &columns[..]
        && let Some((_, other)) = others.into_iter().find(|(other, _)| line.contains(*other))
    {
        let message = format!("expected columns with commas between them, not {other}");
        return Err(at(message));
    }
    for (index, column) in columns.iter().enumerate() {
        if !is_name(column) {
            let wrong = wrong_name("").message;
            return Err(at(format!("the column `{column}`: {wrong}")));
        }
        if columns.iter().take(index).any(|other| other == column) {
            return Err(at(format!("the column `{column}` comes twice")));
        }
    }
    let to = "to".to_owned();
    for name in [&to].into_iter().chain(needed) {
        if !columns.contains(name) {
            return Err(at(format!("the column `{name}` is missing")));
        }
    }
    Ok(columns)
}

/// The cells of a record, as RFC 4180 writes them.
fn cells(text: &str) -> Result<Vec<String>, &'static str> {
    let mut cells = Vec::new();
    let mut rest = text;
    loop {
        let cell;
        if let Some(quoted) = rest.strip_prefix('"') {
            let (inside, behind) = unquote(quoted).ok_or("a quote is not closed")?;
            cell = inside;
            rest = behind;
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let (plain, behind) = rest.split_at(end);
            if plain.contains('"') {
                return Err("a quote stands within a cell that does not begin with one");
            }
            cell = plain.to_owned();
            rest = behind;
        }
        cells.push(cell);
        match rest.strip_prefix(',') {
            Some(behind) => rest = behind,
            None if rest.is_empty() => return Ok(cells),
            None => return Err("expected a comma behind the closing quote"),
        }
    }
}

/// What stands before the closing quote, and what behind it. Two quotes are one.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut inside = String::new();
    let mut rest = text;
    loop {
        let (before, behind) = rest.split_once('"')?;
        inside.push_str(before);
        match behind.strip_prefix('"') {
            Some(further) => {
                inside.push('"');
                rest = further;
            }
            None => return Some((inside, behind)),
        }
    }
}

#[cfg(test)]
mod tests;
