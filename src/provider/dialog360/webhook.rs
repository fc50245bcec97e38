//! 360dialog's webhooks: bytes to facts. Three kinds come to one URL and are told apart by their
//! shape: Meta's envelope, passed on as it is (Cloud); its items at the top level (On-Premises);
//! and 360dialog's own events about templates and channels (partner), of which several may come in
//! an array.
//!
//! As for Meta's, decoding neither fails nor panics, and each item stands on its own.

mod on_premises;
mod partner;
#[cfg(test)]
mod tests;

use serde_json::value::RawValue;

use crate::model::fact::{Decoded, ItemPath};
use crate::provider::lenient::{self, Members};
use crate::provider::meta::webhook::{Unreadable, decode_by, envelope, fields};

/// Reads everything a body says.
pub fn decode(body: &[u8]) -> Decoded {
    decode_by(body, |json, out| {
        if let Err(error) = walk(json, out) {
            out.take(ItemPath::new(), Err(error));
        }
    })
}

fn walk(json: &str, out: &mut Decoded) -> Result<(), Unreadable> {
    let whole: &RawValue = serde_json::from_str(json)?;
    if !lenient::is_array(whole) {
        return read(ItemPath::new(), whole, out);
    }
    for (n, item) in lenient::elements(whole)?.into_iter().enumerate() {
        let path = format!("[{n}]");
        if let Err(error) = read(path.clone(), item, out) {
            out.take(path, Err(error));
        }
    }
    Ok(())
}

fn read(path: ItemPath, whole: &RawValue, out: &mut Decoded) -> Result<(), Unreadable> {
    let members = Members::open(whole.get())?;
    if members.get("entry").is_some() {
        envelope::walk(whole.get(), fields::read, out);
        return Ok(());
    }
    if members.get("event").is_some() && members.get("data").is_some() {
        let event = partner::read(path.clone(), whole, &members);
        out.take(path, event);
        return Ok(());
    }
    on_premises::walk(path, whole, &members, out)
}
