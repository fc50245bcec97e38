//! What serde says of a value that does not fit, in the API's words: what was expected there.
//! serde names Rust's types, which mean nothing to a caller; what our own types say passes.

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
    if message.starts_with("unknown field `") {
        return "there is no such field".to_owned();
    }
    if message.starts_with("missing field `") {
        return "is missing".to_owned();
    }
    message.to_owned()
}

fn thing(expected: &str) -> &str {
    match expected {
        "a string" | "a borrowed string" | "string or map" | "variant identifier" => "a text",
        "a sequence" => "a list",
        "a map" => "an object",
        "a boolean" => "`true` or `false`",
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number",
        other if other.starts_with("struct ") || other.starts_with("internally ") => "an object",
        // A word of a list is a text.
        other if other.starts_with("enum ") => "a text",
        other => other,
    }
}
