//! How the webhooks of one commit are kept: a directory that says what each is, and their bodies,
//! each compressed as a whole. They resemble each other, so that one takes a tenth of its bytes.
//!
//! A webhook's id is its block's with its place in the lowest 16 bits: a look-up needs no index
//! of its own, and ids of one instance are in the order of their commits.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;
use zstd::bulk::Compressor;

use crate::model::Timestamp;
use crate::model::ids::{ConnectionId, WebhookId};
use crate::store::StoreError;

/// The bits of an id that count the places of a block.
const PLACES: u128 = 0xffff;
/// zstd's lowest: a higher one takes longer than the commit it goes with.
const LEVEL: i32 = 1;

/// The id of the webhook at this place of the block that `seed` becomes.
pub fn id_at(seed: Uuid, place: u16) -> WebhookId {
    WebhookId(Uuid::from_u128(
        (seed.as_u128() & !PLACES) | u128::from(place),
    ))
}

/// The block a webhook is in, and its place there.
pub(super) fn place_of(webhook: WebhookId) -> (Uuid, usize) {
    let id = webhook.0.as_u128();
    let place = usize::try_from(id & PLACES).unwrap_or(usize::MAX);
    (Uuid::from_u128(id & !PLACES), place)
}

/// A webhook on its way into a block.
#[derive(Debug)]
#[allow(missing_docs, reason = "the API's own words")]
pub struct JournalRow<'a> {
    pub id: WebhookId,
    pub connection: ConnectionId,
    pub received_at: Timestamp,
    pub facts: usize,
    /// Why there are no facts although all is well.
    pub note: Option<&'a str>,
    pub headers: &'a Map<String, Value>,
    pub body: &'a [u8],
}

/// A webhook in a block's directory.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry<'a> {
    pub(super) connection: Uuid,
    /// Microseconds since 1970.
    received_at: i64,
    pub(super) bytes: usize,
    pub(super) facts: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<Cow<'a, str>>,
    pub(super) headers: Cow<'a, Map<String, Value>>,
}

impl Entry<'_> {
    pub(super) fn received_at(&self) -> Timestamp {
        Timestamp::from_unix_timestamp_nanos(i128::from(self.received_at) * 1000)
            .unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

impl<'a> From<&JournalRow<'a>> for Entry<'a> {
    fn from(row: &JournalRow<'a>) -> Self {
        let micros = row.received_at.unix_timestamp_nanos() / 1000;
        Self {
            connection: row.connection.0,
            received_at: i64::try_from(micros).unwrap_or(0),
            bytes: row.body.len(),
            facts: row.facts,
            note: row.note.map(Cow::Borrowed),
            headers: Cow::Borrowed(row.headers),
        }
    }
}

/// The webhooks of one commit, as they are kept.
#[derive(Debug)]
pub struct Block {
    pub(in crate::store) id: Uuid,
    pub(in crate::store) webhooks: i16,
    pub(in crate::store) connections: Vec<Uuid>,
    pub(in crate::store) directory: Vec<u8>,
    pub(in crate::store) bodies: Vec<u8>,
}

/// Makes blocks. To be kept: a compressor's working memory takes longer to make than a block.
#[derive(Default)]
pub struct Blocks(Option<Compressor<'static>>);

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blocks")
    }
}

impl Blocks {
    /// The block of these webhooks, whose ids are its places; `None` for no webhooks. Fails when
    /// there is no memory for it.
    pub fn pack(&mut self, rows: &[JournalRow<'_>]) -> std::io::Result<Option<Block>> {
        let Some(first) = rows.first() else {
            return Ok(None);
        };
        let directory: Vec<_> = rows.iter().map(Entry::from).collect();
        let directory = serde_json::to_vec(&directory)?;
        let mut bodies = Vec::with_capacity(rows.iter().map(|row| row.body.len()).sum());
        let mut connections = Vec::new();
        for row in rows {
            bodies.extend_from_slice(row.body);
            if !connections.contains(&row.connection.0) {
                connections.push(row.connection.0);
            }
        }
        let compressor = match &mut self.0 {
            Some(compressor) => compressor,
            none => none.insert(Compressor::new(LEVEL)?),
        };
        Ok(Some(Block {
            id: place_of(first.id).0,
            webhooks: i16::try_from(rows.len()).unwrap_or(i16::MAX),
            connections,
            directory: compressor.compress(&directory)?,
            bodies: compressor.compress(&bodies)?,
        }))
    }
}

/// What a block's directory says, in the order of its places.
pub(super) fn open_directory(
    id: Uuid,
    directory: &[u8],
) -> Result<Vec<Entry<'static>>, StoreError> {
    let corrupt = |error: &dyn fmt::Display| {
        StoreError::Corrupt(format!("journal {id}: the directory: {error}"))
    };
    let json = zstd::decode_all(directory).map_err(|error| corrupt(&error))?;
    serde_json::from_slice(&json).map_err(|error| corrupt(&error))
}

/// The bytes of one webhook.
pub(super) fn open_body(
    id: Uuid,
    entries: &[Entry<'_>],
    place: usize,
    bodies: &[u8],
) -> Result<Vec<u8>, StoreError> {
    let corrupt =
        |what: &dyn fmt::Display| StoreError::Corrupt(format!("journal {id}: the bodies: {what}"));
    let mut bodies = zstd::decode_all(bodies).map_err(|error| corrupt(&error))?;
    let start: usize = entries.iter().take(place).map(|entry| entry.bytes).sum();
    let length = entries.get(place).map_or(0, |entry| entry.bytes);
    if bodies.len() < start + length {
        return Err(corrupt(&"too short"));
    }
    bodies.truncate(start + length);
    Ok(bodies.split_off(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_found_byte_for_byte() {
        let seed = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_1234_5678);
        let bodies: [&[u8]; 4] = [b"{\"a\":1}", b"", b"\xff\x00not JSON", b"{\"a\":2}"];
        let mut headers = Map::new();
        headers.insert("user-agent".into(), "test".into());
        let rows: Vec<_> = (0u16..)
            .zip(bodies)
            .map(|(place, body)| JournalRow {
                id: id_at(seed, place),
                connection: ConnectionId(Uuid::from_u128(u128::from(place % 2))),
                received_at: Timestamp::UNIX_EPOCH + time::Duration::microseconds(7),
                facts: usize::from(place),
                note: (place == 1).then_some("empty"),
                headers: &headers,
                body,
            })
            .collect();
        let block = Blocks::default().pack(&rows).unwrap().unwrap();
        assert_eq!((block.webhooks, block.connections.len()), (4, 2));
        let entries = open_directory(block.id, &block.directory).unwrap();
        for (row, entry) in rows.iter().zip(&entries) {
            let (id, place) = place_of(row.id);
            assert_eq!(id, block.id);
            assert_eq!(entry.received_at(), row.received_at);
            assert_eq!(entry.facts, row.facts);
            assert_eq!(entry.note.as_deref(), row.note);
            assert_eq!(*entry.headers, headers);
            let body = open_body(id, &entries, place, &block.bodies).unwrap();
            assert_eq!(body, row.body);
        }
        assert!(open_body(block.id, &entries, 2, &[]).is_err());
    }
}
