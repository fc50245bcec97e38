//! Numbers that not every reader of JSON bears: beyond a double, or with more digits or a greater
//! exponent than Postgres takes. Such a number is kept as a text, so that what stands beside it, a
//! status beside its price, is not lost for how it is spelled.

use std::borrow::Cow;

/// Digits, and the exponent, of a number that everybody reads: a double has less, Postgres more.
const MOST: usize = 300;

/// JSON with each number that is too much made a text. Borrowed when there is none.
pub(super) fn bearable(json: &str) -> Cow<'_, str> {
    let mut repaired = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(next) = json[at..].find(|c: char| matches!(c, '"' | '-' | '0'..='9')) {
        let from = at + next;
        let rest = &json[from..];
        if rest.starts_with('"') {
            at = from + text_len(rest);
            continue;
        }
        let is_of_number = |c: char| matches!(c, '0'..='9' | '.' | 'e' | 'E' | '+' | '-');
        let len = rest.find(|c| !is_of_number(c)).unwrap_or(rest.len());
        at = from + len;
        if !is_bearable(&rest[..len]) {
            repaired.push_str(&json[copied..from]);
            repaired.extend(["\"", &rest[..len], "\""]);
            copied = at;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    repaired.push_str(&json[copied..]);
    Cow::Owned(repaired)
}

/// How long a text is, with its quotes.
fn text_len(json: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in json.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    json.len()
}

fn is_bearable(number: &str) -> bool {
    let exponent = number.split_once(['e', 'E']);
    let exponent = exponent.map_or(Ok(0), |(_, exponent)| exponent.parse::<i32>());
    let is_small = |exponent: i32| exponent.unsigned_abs() as usize <= MOST;
    number.len() <= MOST
        && exponent.is_ok_and(is_small)
        && number.parse::<f64>().is_ok_and(f64::is_finite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_too_much_becomes_a_text_and_nothing_else_changes() {
        for same in [
            "",
            "7",
            "-1.5E-3",
            "1e300",
            "0e0",
            r#"{"1e400":"1e400","a\"1e400":["\\",1.25e+2],"b":null}"#,
            "\"1e400",
            &"9".repeat(300),
        ] {
            assert!(
                matches!(bearable(same), Cow::Borrowed(text) if text == same),
                "{same}"
            );
        }
        let long = "9".repeat(400);
        for (json, text) in [
            ("1e400", r#""1e400""#),
            ("-1E-99999999999", r#""-1E-99999999999""#),
            (r#"{"ä":[0e999,"\"",1]}"#, r#"{"ä":["0e999","\"",1]}"#),
            (r#"{"a\\":1e301}"#, r#"{"a\\":"1e301"}"#),
            (&long, &format!("\"{long}\"")),
            (
                &format!("{}e300", "9".repeat(20)),
                &format!("\"{}e300\"", "9".repeat(20)),
            ),
        ] {
            assert_eq!(bearable(json), text);
        }
    }
}
