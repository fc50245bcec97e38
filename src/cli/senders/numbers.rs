//! The CSV: every row is checked before any is sent, and what is wrong is said by line and field.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use secrecy::SecretString;

use crate::provider::registration::{Change, Method, NewNumber};

const COLUMNS: [&str; 6] = [
    "country_code",
    "phone_number",
    "display_name",
    "method",
    "language",
    "code",
];

/// Those that must be there.
const NEEDED: usize = 3;

/// A row.
#[derive(Debug)]
pub(super) struct Number {
    pub(super) new: NewNumber,
    /// Once it came.
    pub(super) code: Option<SecretString>,
}

/// A record, and the line that it begins on.
type Record = (usize, Vec<String>);

/// The rows, or all that is wrong with them, a line each.
pub(super) fn read(
    path: &Path,
    method: Method,
    language: &str,
) -> anyhow::Result<Result<Vec<Number>, Vec<String>>> {
    let shown = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("{shown} cannot be read"))?;
    let mut records = records(text.trim_start_matches('\u{feff}'))
        .map_err(|line| anyhow::anyhow!("{shown}:{line}: a quote is not closed"))?
        .into_iter();
    let (_, names) = records.next().unwrap_or_default();
    let names: Vec<_> = names.iter().map(|name| name.trim().to_owned()).collect();
    for name in &names {
        let known = COLUMNS.contains(&name.as_str());
        anyhow::ensure!(known, "{shown}:1: there is no column `{name}`");
    }
    for name in &COLUMNS[..NEEDED] {
        let is_there = names.iter().any(|known| known == name);
        anyhow::ensure!(is_there, "{shown}:1: the column `{name}` is missing");
    }
    let (mut numbers, mut wrong) = (Vec::new(), Vec::new());
    let mut lines = BTreeMap::new();
    for (line, fields) in records {
        let mut say =
            |field: &str, why: &str| wrong.push(format!("{shown}:{line}: {field}: {why}"));
        if fields.len() != names.len() {
            say(
                "",
                &format!("expected {} fields, as the first line has", names.len()),
            );
            continue;
        }
        let cell = |name: &str| {
            let at = names.iter().position(|known| known == name);
            at.map(|at| fields[at].trim().to_owned())
                .unwrap_or_default()
        };
        let number = number(&cell, method, language, &mut say);
        if let Some(other) = lines.insert(number.new.digits(), line) {
            say("phone_number", &format!("is that of line {other} too"));
        }
        numbers.push(number);
    }
    Ok(match wrong.is_empty() {
        true => Ok(numbers),
        false => Err(wrong),
    })
}

fn number(
    cell: &dyn Fn(&str) -> String,
    method: Method,
    language: &str,
    say: &mut dyn FnMut(&str, &str),
) -> Number {
    let method = match cell("method").to_ascii_uppercase().as_str() {
        "" => method,
        "SMS" => Method::Sms,
        "VOICE" => Method::Voice,
        _ => {
            say("method", "expected SMS or VOICE");
            method
        }
    };
    let new = NewNumber {
        country_code: cell("country_code").trim_start_matches('+').to_owned(),
        phone_number: cell("phone_number"),
        display_name: cell("display_name"),
        method,
        language: Some(cell("language"))
            .filter(|word| !word.is_empty())
            .unwrap_or_else(|| language.to_owned()),
    };
    let code = Some(cell("code")).filter(|code| !code.is_empty());
    let code = code.map(SecretString::from);
    let of_code = code.clone().map(|code| Change::Verify(code).check());
    for fault in new.check().into_iter().chain(of_code.into_iter().flatten()) {
        say(&fault.field, &fault.reason);
    }
    Number { new, code }
}

/// The records of RFC 4180; empty lines are none. `Err`: where a quote begins that is not closed.
fn records(text: &str) -> Result<Vec<Record>, usize> {
    let (mut all, mut fields, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut begin) = (1, 1);
    let mut quoted: Option<usize> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quoted) {
            ('"', Some(_)) if chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            ('"', Some(_)) => quoted = None,
            ('"', None) if field.is_empty() => quoted = Some(line),
            (',', None) => fields.push(std::mem::take(&mut field)),
            ('\r', None) if chars.peek() == Some(&'\n') => {}
            ('\n', None) => {
                line += 1;
                if !(fields.is_empty() && field.trim().is_empty()) {
                    fields.push(std::mem::take(&mut field));
                    all.push((begin, std::mem::take(&mut fields)));
                }
                field.clear();
                begin = line;
            }
            (c, _) => {
                line += usize::from(c == '\n');
                field.push(c);
            }
        }
    }
    if let Some(line) = quoted {
        return Err(line);
    }
    if !(fields.is_empty() && field.trim().is_empty()) {
        fields.push(field);
        all.push((begin, fields));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_commas_and_lines_are_read_as_the_format_has_them() {
        let text = "a,b\r\n\"x, \"\"y\"\"\nz\",2\n\n3,4";
        let read = records(text).unwrap();
        let expected = [
            (1, vec!["a".to_owned(), "b".to_owned()]),
            (2, vec!["x, \"y\"\nz".to_owned(), "2".to_owned()]),
            (5, vec!["3".to_owned(), "4".to_owned()]),
        ];
        assert_eq!(read, expected);
        assert_eq!(records("a\n\"b"), Err(2));
    }
}
