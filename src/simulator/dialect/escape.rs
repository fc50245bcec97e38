//! JSON as Meta's servers write it: pure ASCII, every other character as `\uXXXX` in lower case
//! (a surrogate pair beyond the first plane), and every slash as `\/`. A receiver that signs
//! anything but the bytes it received finds out.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// The JSON of `value`, escaped as Meta does.
pub fn to_ascii(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(1024);
    value.serialize(&mut Serializer::with_formatter(&mut bytes, Ascii))?;
    Ok(bytes)
}

struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + Write,
    {
        let mut units = [0; 2];
        for c in fragment.chars() {
            match c {
                '/' => writer.write_all(br"\/")?,
                c if c.is_ascii() => writer.write_all(&[c as u8])?,
                c => {
                    for unit in c.encode_utf16(&mut units) {
                        write!(writer, "\\u{unit:04x}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_ascii_with_surrogate_pairs_and_escaped_slashes() {
        let bytes = to_ascii(&serde_json::json!({"é/": "ä \"q\"\n🚀"})).unwrap();
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            r#"{"\u00e9\/":"\u00e4 \"q\"\n\ud83d\ude80"}"#
        );
    }
}
