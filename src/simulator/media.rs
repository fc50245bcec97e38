//! Media as the providers keep it: whose it is, its type and its bytes; and samples whose upload
//! goes on from where it broke off.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::body::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::dialect::Dialect;
use super::trouble::Trouble;

/// Ids begin here: digits, as Meta's.
const FIRST_ID: u64 = 990_000_000_000_000;

/// An address is good for so many seconds.
pub const ADDRESS_SECONDS: i64 = 300;

/// The largest of a type, by Meta's page on media.
const LARGEST: [(&str, usize); 5] = [
    ("image/webp", 500 << 10),
    ("image/", 5 << 20),
    ("audio/", 16 << 20),
    ("video/", 16 << 20),
    ("", 100 << 20),
];

/// What there is.
#[derive(Debug, Default)]
pub struct Media {
    kept: BTreeMap<String, File>,
    samples: BTreeMap<String, Sample>,
    ids: u64,
    /// So many of the next transfers of samples break off.
    pub breaks: u32,
}

/// A file that is kept.
#[derive(Debug, Clone)]
pub struct File {
    pub dialect: Dialect,
    /// The number that it is of; empty: nobody asks.
    pub number: String,
    pub kind: String,
    pub bytes: Bytes,
}

#[derive(Debug)]
struct Sample {
    length: usize,
    came: usize,
}

impl File {
    /// Refuses what WhatsApp does not take.
    fn check(&self) -> Result<(), Trouble> {
        let known = ["image/", "audio/", "video/", "application/", "text/plain"];
        if self.kind == "image/gif" || !known.iter().any(|it| self.kind.starts_with(it)) {
            let message = format!(
                "Param file must be a file of a type that is taken, not {}.",
                self.kind
            );
            return Err(Trouble::invalid("file", message));
        }
        let largest = LARGEST.iter().find(|(kind, _)| self.kind.starts_with(kind));
        match largest {
            Some((_, most)) if self.bytes.len() > *most => Err(Trouble::invalid(
                "file",
                format!("File is larger than {most} bytes."),
            )),
            _ => Ok(()),
        }
    }

    /// As Meta and 360dialog's Cloud API show it.
    pub fn shown(&self, id: &str, url: &str) -> Value {
        let hash = Sha256::digest(&self.bytes);
        let hash = hash.iter().fold(String::new(), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        });
        json!({"messaging_product": "whatsapp", "url": url, "mime_type": self.kind,
            "sha256": hash, "file_size": self.bytes.len().to_string(), "id": id})
    }
}

impl Media {
    /// Keeps a file; its id.
    pub fn keep(&mut self, file: File) -> Result<String, Trouble> {
        file.check()?;
        self.ids += 1;
        let id = (FIRST_ID + self.ids).to_string();
        self.kept.insert(id.clone(), file);
        Ok(id)
    }

    /// A file, where it is this dialect's, and this number's if one is named.
    pub fn find(&self, dialect: Dialect, id: &str, number: Option<&str>) -> Result<&File, Trouble> {
        let is = |file: &&File| {
            file.dialect == dialect
                && number.is_none_or(|number| file.number.is_empty() || file.number == number)
        };
        let unknown = || Trouble::UnknownObject(id.to_owned());
        self.kept.get(id).filter(is).ok_or_else(unknown)
    }

    /// Whether it is the id of media that is there, or was.
    pub fn had(&self, id: &str) -> bool {
        let number = id.parse().unwrap_or(0);
        (FIRST_ID + 1..=FIRST_ID + self.ids).contains(&number)
    }

    pub fn delete(
        &mut self,
        dialect: Dialect,
        id: &str,
        number: Option<&str>,
    ) -> Result<(), Trouble> {
        self.find(dialect, id, number)?;
        self.kept.remove(id);
        Ok(())
    }

    /// Begins the upload of a sample; its session.
    pub fn begin(&mut self, length: usize) -> String {
        let id = format!(
            "upload:MTphd{}==?sig=ARZ{}",
            self.samples.len(),
            self.samples.len()
        );
        self.samples.insert(id.clone(), Sample { length, came: 0 });
        id
    }

    /// More of a sample, from an offset on; its handle, once all of it is there.
    pub fn more(&mut self, session: &str, offset: usize, length: usize) -> Result<Value, Trouble> {
        let unknown = || Trouble::UnknownObject(session.to_owned());
        let sample = self.samples.get_mut(session).ok_or_else(unknown)?;
        if offset != sample.came || offset + length > sample.length {
            return Err(Trouble::invalid("file_offset", "The offset is another."));
        }
        if self.breaks > 0 {
            self.breaks -= 1;
            sample.came += length / 2;
            return Err(Trouble::Unavailable);
        }
        sample.came += length;
        match sample.came == sample.length {
            true => Ok(json!({"h": "4::aW1hZ2UvcG5n:ARZ:e:1"})),
            false => Ok(json!({})),
        }
    }

    /// How much of a sample came.
    pub fn came(&self, session: &str) -> Result<Value, Trouble> {
        let unknown = || Trouble::UnknownObject(session.to_owned());
        let sample = self.samples.get(session).ok_or_else(unknown)?;
        Ok(json!({"id": session, "file_offset": sample.came}))
    }
}
