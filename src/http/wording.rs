//! What serde says of a value that does not fit, in the API's words: what was expected there.
//! serde names Rust's types, which mean nothing to a caller; what our own types say passes.

/// Fields that are looked for where they are not: the name, a field that there is beside it, and
/// what was meant.
const ELSEWHERE: [(&str, &str, &str); 3] = [
    ("on_unknown", "messages", "each of `messages` has its own"),
    ("cursor", "after", "did you mean `after`?"),
    ("after", "cursor", "did you mean `cursor`?"),
];

/// What is wrong with a field.
pub fn of_serde(message: &str) -> String {
    let mismatch = ["invalid type: ", "invalid value: ", "invalid length "];
    if mismatch.iter().any(|start| message.starts_with(start)) {
        // What was found may hold anything; what was expected comes last.
        let expected = message.rsplit_once(", expected ").map(|(_, what)| what);
        return format!("expected {}", expected.map_or("something else", thing));
    }
    if message.starts_with("unknown variant `") {
        let expected = message.rsplit_once(", expected ").map(|(_, what)| what);
        return format!("expected {}", expected.unwrap_or("another word"));
    }
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let (name, known) = rest.split_once('`').unwrap_or((rest, ""));
        // As serde names them.
        let known = || known.split('`').skip(1).step_by(2);
        let elsewhere = ELSEWHERE
            .iter()
            .find(|(asked, beside, _)| name == *asked && known().any(|known| known == *beside));
        return match (elsewhere, nearest(name, known())) {
            (Some((_, _, said)), _) => format!("there is no such field: {said}"),
            (_, Some(nearest)) => format!("there is no such field: did you mean `{nearest}`?"),
            (_, None) => "there is no such field".to_owned(),
        };
    }
    if message.contains(" untagged enum ") {
        return "expected something of another form".to_owned();
    }
    if message.starts_with("missing field `") {
        return "is missing".to_owned();
    }
    message.to_owned()
}

/// The field that was meant, among those that there are.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Letters that may be wrong, of so many.
    const ONE_OF: usize = 3;
    let distance = |known: &&str| strsim::damerau_levenshtein(known, name);
    let nearest = known.min_by_key(distance)?;
    (distance(&nearest) <= name.chars().count().div_ceil(ONE_OF)).then_some(nearest)
}

fn thing(expected: &str) -> &str {
    match expected {
        "a string" | "a borrowed string" | "string or map" | "variant identifier" => "a text",
        "a sequence" => "a list",
        "a map" => "an object",
        "a boolean" => "`true` or `false`",
        "f32" | "f64" => "a number",
        "a character" => "one character",
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "usize" | "isize" => {
            "a whole number"
        }
        other if other.starts_with("struct ") || other.starts_with("internally ") => "an object",
        other
            if ["tuple ", "a tuple ", "an array "]
                .iter()
                .any(|word| other.starts_with(word)) =>
        {
            "a list"
        }
        other
            if ["unit", "option", "newtype "]
                .iter()
                .any(|word| other.starts_with(word)) =>
        {
            "something else"
        }
        // A word of a list is a text.
        other if other.starts_with("enum ") => "a text",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "read by serde alone")]
    struct Asked {
        sender: Option<String>,
        stop_on_reply: Option<bool>,
        pair: Option<(u8, u8)>,
        rate: Option<f64>,
        nothing: Option<()>,
        letter: Option<char>,
    }

    fn said(value: Value) -> String {
        of_serde(
            &serde_json::from_value::<Asked>(value)
                .unwrap_err()
                .to_string(),
        )
    }

    #[test]
    fn no_type_of_rust_is_named() {
        for (value, expected) in [
            (json!({"pair": 1}), "expected a list"),
            (json!({"pair": [1]}), "expected a list"),
            (json!({"pair": [1, -1]}), "expected a whole number"),
            (json!({"rate": "x"}), "expected a number"),
            (json!({"nothing": 1}), "expected something else"),
            (json!({"letter": "ab"}), "expected one character"),
            (json!(7), "expected an object"),
        ] {
            assert_eq!(said(value), expected);
        }
    }

    #[test]
    fn a_field_that_is_nearly_one_is_told_which() {
        let near = said(json!({"stop_on_replay": true}));
        assert_eq!(
            near,
            "there is no such field: did you mean `stop_on_reply`?"
        );
        let near = said(json!({"sendr": "x"}));
        assert_eq!(near, "there is no such field: did you mean `sender`?");
        assert_eq!(said(json!({"colour": 1})), "there is no such field");

        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(dead_code, reason = "read by serde alone")]
        struct Feed {
            after: Option<String>,
            limit: Option<u8>,
        }
        let elsewhere = serde_json::from_value::<Feed>(json!({"cursor": 1})).unwrap_err();
        assert_eq!(
            of_serde(&elsewhere.to_string()),
            "there is no such field: did you mean `after`?"
        );
    }
}
