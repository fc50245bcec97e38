//! Reads the JSON of peers that do not keep to their own types: ids that come as numbers, numbers
//! that come as text, members that stand twice. Nothing here panics, whatever the bytes.
//!
//! Objects and arrays are opened one level at a time ([`Members`], [`elements`]); what is inside
//! stays raw text until somebody asks for it. So one bad item is found when *it* is read, and
//! costs nobody else; and a nest of 100,000 brackets is skipped without recursion, then refused
//! by serde_json's limit of 128 levels if it is read. Called by the decoders of `provider/*`.

mod numbers;

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use time::format_description::well_known::Rfc3339;

use crate::model::Timestamp;

/// The longest text, in bytes, that may become part of a key. Postgres cannot index more than a
/// third of a page (2,704 bytes); the longest id a provider documents has 128 characters.
pub const KEY_BYTES: usize = 512;

/// Text, or a whole number where text was due. Borrowed from the body unless it had escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<'a>(pub Cow<'a, str>);

impl Text<'_> {
    /// The text, unless it is empty.
    pub fn filled(&self) -> Option<&str> {
        Some(self.0.as_ref()).filter(|text| !text.is_empty())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(TextVisitor).map(Self)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or a whole number")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Cow::Owned(number.to_string()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Cow::Owned(number.to_string()))
    }
    // No floats: two long ids would round to the same text.
}

/// An object's members as they came, their values not read yet. A name may stand more than once.
#[derive(Debug, Clone, Default)]
pub struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Opens an object.
    pub fn open(json: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// The member of that name that is not `null`; the last one, as in JavaScript and Postgres.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.iter()
            .filter(|(n, raw)| *n == name && raw.get() != "null")
            .last()
            .map(|(_, raw)| raw)
    }

    /// The member of that name as text, unless it is missing, empty or neither text nor number.
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name)
            .and_then(|raw| serde_json::from_str::<Text>(raw.get()).ok())
            .map(|text| text.0)
            .filter(|text| !text.is_empty())
    }

    /// Every member, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, raw)| (name.as_ref(), *raw))
    }
}

impl<'a> Members<'a> {
    /// Those members whose names are wanted.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(&str) -> bool) -> Self {
        let members = self.0.iter().filter(|(name, _)| wanted(name));
        Self(members.cloned().collect())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key::<Text>()? {
            members.push((name.0, map.next_value()?));
        }
        Ok(Members(members))
    }
}

/// The elements of an array, not read yet.
pub fn elements(raw: &RawValue) -> Result<Vec<&RawValue>, serde_json::Error> {
    serde_json::from_str(raw.get())
}

/// Whether a raw value is an array.
pub fn is_array(raw: &RawValue) -> bool {
    raw.get().starts_with('[')
}

/// Whether a raw value is an array of anything but objects. An empty one is not.
pub fn is_list_without_objects(raw: &RawValue) -> bool {
    let items: Result<Vec<&RawValue>, _> = serde_json::from_str(raw.get());
    items.is_ok_and(|items| {
        !items.is_empty() && !items.iter().any(|item| item.get().starts_with('{'))
    })
}

/// A text, or a number as text: providers write ids either way.
pub fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A whole number, given as such or as text (Meta's pacing page prints `"132015"`).
pub fn integer(raw: &RawValue) -> Option<i64> {
    raw.get().trim_matches('"').trim().parse().ok()
}

/// Seconds since 1970, as number or text, if they make a time before the year 2200. Zero is what
/// some peers write for "none".
pub fn moment(raw: &RawValue) -> Option<Timestamp> {
    const YEAR_2200: i64 = 7_258_118_400;
    integer(raw)
        .filter(|seconds| (1..YEAR_2200).contains(seconds))
        .and_then(|seconds| Timestamp::from_unix_timestamp(seconds).ok())
}

/// A date and a time as text, from 1970 on and before the year 2200: RFC 3339, and the same with
/// an offset without its colon (`+0000`, as Java writes it by default).
pub fn date(raw: &RawValue) -> Option<Timestamp> {
    let text: Text = serde_json::from_str(raw.get()).ok()?;
    let mut text = text.0.into_owned();
    let offset = text.len().checked_sub("+0000".len());
    if let Some(at) = offset
        && matches!(text.as_bytes().get(at), Some(b'+' | b'-'))
        && text.as_bytes()[at + 1..].iter().all(u8::is_ascii_digit)
    {
        text.insert(at + "+00".len(), ':');
    }
    Timestamp::parse(&text, &Rfc3339)
        .ok()
        .map(|at| at.to_offset(time::UtcOffset::UTC))
        .filter(|at| (1970..2200).contains(&at.year()))
}

/// A value that is kept as it came, but for numbers that are more than readers of JSON bear: those
/// become texts. Whoever reads one back would fail on it, and on all that is beside it; so what is
/// nested too deep for them is an error.
pub fn kept(raw: &RawValue) -> Result<Cow<'_, RawValue>, serde_json::Error> {
    /// Fewer than serde_json's limit of 128: so many openings cannot nest deeper.
    const OPENINGS: usize = 100;
    /// A number of fewer digits is none too great, unless it has an exponent.
    const DIGITS: usize = 300;
    let json = raw.get().as_bytes();
    let openings = json.iter().filter(|byte| matches!(byte, b'[' | b'{'));
    let has_exponent = |pair: &[u8]| matches!(pair, [b'0'..=b'9' | b'.', b'e' | b'E']);
    if json.len() <= DIGITS && openings.count() <= OPENINGS && !json.windows(2).any(has_exponent) {
        return Ok(Cow::Borrowed(raw));
    }
    tree(raw)?;
    Ok(match numbers::bearable(raw.get()) {
        Cow::Borrowed(_) => Cow::Borrowed(raw),
        Cow::Owned(json) => Cow::Owned(RawValue::from_string(json)?),
    })
}

/// The whole value as a tree. Only for what is kept as it came, as far as it can be: see [`kept`].
pub fn tree(raw: &RawValue) -> Result<Value, serde_json::Error> {
    serde_json::from_str(raw.get()).or_else(|_| serde_json::from_str(&numbers::bearable(raw.get())))
}

/// JSON text with each escape that no Postgres text can hold (`\u0000`, half a surrogate pair)
/// made `\ufffd`. Borrowed when there is none, as nearly always. Works on the escapes and not on
/// decoded values, so that names of members and texts at any depth are covered at once.
pub fn storable(json: &str) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    let mut repaired = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(next) = json[at..].find('\\') {
        let escape = at + next;
        at = escape + escape_len(&bytes[escape..]);
        if !is_storable(&bytes[escape..]) {
            repaired.push_str(&json[copied..escape]);
            repaired.push_str("\\ufffd");
            copied = at;
        }
        // What follows the backslash of a body that is no JSON may be half a character.
        while !json.is_char_boundary(at) {
            at += 1;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    repaired.push_str(&json[copied..]);
    Cow::Owned(repaired)
}

/// The UTF-16 unit of a `\uXXXX` that `bytes` begins with.
fn unit(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn is_pair(bytes: &[u8]) -> bool {
    matches!(unit(bytes), Some(0xD800..=0xDBFF))
        && matches!(bytes.get(6..).and_then(unit), Some(0xDC00..=0xDFFF))
}

fn is_storable(bytes: &[u8]) -> bool {
    !matches!(unit(bytes), Some(0 | 0xD800..=0xDFFF)) || is_pair(bytes)
}

fn escape_len(bytes: &[u8]) -> usize {
    let len = match unit(bytes) {
        Some(_) if is_pair(bytes) => 12,
        Some(_) => 6,
        None => 2,
    };
    len.min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_postgres_cannot_hold_are_repaired_and_others_borrowed() {
        for same in [
            "",
            r#"{"a":"b\/c\n\u00e4\ud83d\ude00"}"#,
            r#""\\u0000""#,
            r#""\\\\ud800""#,
            "\\",
            "\\ä",
            "\\u00",
            "\\uä000",
        ] {
            assert!(
                matches!(storable(same), Cow::Borrowed(text) if text == same),
                "{same}"
            );
        }
        for (json, text) in [
            (r#""a\u0000b""#, "a\u{fffd}b"),
            (r#""\\\u0000""#, "\\\u{fffd}"),
            (r#""\ud83d""#, "\u{fffd}"),
            (r#""\ud83dx\ude00""#, "\u{fffd}x\u{fffd}"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (
                r#""\u0000\uD83D\uDE00\u0000ä""#,
                "\u{fffd}\u{1f600}\u{fffd}ä",
            ),
        ] {
            let repaired = storable(json);
            assert_eq!(
                serde_json::from_str::<String>(&repaired).unwrap(),
                text,
                "{json}"
            );
        }
    }

    #[test]
    fn numbers_and_texts_stand_for_each_other() {
        let text = |json| {
            serde_json::from_str::<Text>(json)
                .ok()
                .map(|t| t.0.into_owned())
        };
        assert_eq!(text("\"a\\u00e4\"").as_deref(), Some("aä"));
        assert_eq!(
            text("18446744073709551615").as_deref(),
            Some("18446744073709551615")
        );
        assert_eq!(text("-7").as_deref(), Some("-7"));
        assert_eq!(
            text("184467440737095516159"),
            None,
            "a rounded id is another id"
        );
        assert_eq!(text("true"), None);
        assert_eq!(text("{}"), None);
    }

    #[test]
    fn moments_are_bounded() {
        let at = |json: &str| {
            let raw: &RawValue = serde_json::from_str(json).unwrap();
            moment(raw).map(Timestamp::unix_timestamp)
        };
        assert_eq!(at("1763769612"), Some(1_763_769_612));
        assert_eq!(at("\"1763769612\""), Some(1_763_769_612));
        for absurd in [
            "-1",
            "0",
            "\"0\"",
            "1763769612000",
            "1e400",
            "{}",
            "[]",
            "\"soon\"",
            "true",
        ] {
            assert_eq!(at(absurd), None, "{absurd}");
        }
    }

    #[test]
    fn dates_are_read_with_and_without_the_colon() {
        let at = |text: &str| {
            let json = serde_json::to_string(text).unwrap();
            let raw: &RawValue = serde_json::from_str(&json).unwrap();
            date(raw).map(crate::model::rfc3339)
        };
        let utc = Some("2026-03-02T10:00:00.120Z".to_owned());
        for same in [
            "2026-03-02T10:00:00.120+0000",
            "2026-03-02T10:00:00.12Z",
            "2026-03-02T10:00:00.120+00:00",
            "2026-03-02T07:00:00.120-0300",
            "2026-03-02T15:30:00.120+0530",
        ] {
            assert_eq!(at(same), utc, "{same}");
        }
        for none in [
            "",
            "+0000",
            "now",
            "2026-03-02",
            "2026-03-02T10:00:00",
            "2026-03-02T10:00:00.120+00",
            "2026-13-02T10:00:00.120+0000",
            "1969-12-31T10:00:00.120+0000",
            "9999-03-02T10:00:00.120+0000",
            "2026-03-02T10:00:00.120é0000",
            "1767225600",
        ] {
            assert_eq!(at(none), None, "{none}");
        }
    }

    #[test]
    fn what_is_kept_can_be_read_back() {
        let kept = |json: &str| {
            let raw: &RawValue = serde_json::from_str(json).unwrap();
            let kept = kept(raw).unwrap();
            assert!(tree(&kept).is_ok(), "{json}");
            kept.get().to_owned()
        };
        let long = "9".repeat(10_000);
        for json in ["1", "{}", "1e3", r#"{"a":"1e400"}"#, &format!("\"{long}\"")] {
            assert_eq!(kept(json), json);
        }
        for (json, text) in [
            ("1e400", r#""1e400""#),
            (r#"{"a":[-1E-999]}"#, r#"{"a":["-1E-999"]}"#),
            (&long, &format!("\"{long}\"")),
        ] {
            assert_eq!(kept(json), text);
        }
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(super::kept(serde_json::from_str(&deep).unwrap()).is_err());
    }

    #[test]
    fn the_last_member_of_a_name_counts() {
        let members = Members::open(r#"{"a":1,"b":null,"a":2,"a":null}"#).unwrap();
        assert_eq!(members.text("a").as_deref(), Some("2"));
        assert_eq!(members.text("b"), None);
        assert!(Members::open("[]").is_err());
        assert!(Members::open(r#"{"a":1"#).is_err());
    }

    #[test]
    fn a_deep_nest_costs_no_stack() {
        let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        let members = Members::open(&deep).unwrap();
        assert!(tree(members.get("a").unwrap()).is_err());
    }
}
