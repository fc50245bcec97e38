//! Lists: `limit` and `cursor` in, `data` and `next_cursor` out. A cursor says where the page
//! before ended, never how many rows were there, so that nothing is skipped or shown twice when
//! rows come and go.

use std::borrow::Cow;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{Array, Object, OneOf, Type};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

/// How many rows a page has.
#[derive(Debug, Clone, Copy)]
pub struct Limit(pub u16);

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

impl Limit {
    pub const LARGEST: u16 = 500;

    /// For `LIMIT`.
    pub fn rows(self) -> i64 {
        self.0.into()
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse()
            .ok()
            .filter(|limit| (1..=Self::LARGEST).contains(limit))
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("expected a number from 1 to 500"))
    }
}

/// A place in a list: a few bytes that only we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor<const N: usize>(pub [u8; N]);

impl<const N: usize> Serialize for Cursor<N> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&BASE64URL_NOPAD.encode(&self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Cursor<N> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        BASE64URL_NOPAD
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| {
                serde::de::Error::custom("expected the `next_cursor` of the page before")
            })
    }
}

/// A place in a list that is ordered by an id.
pub type IdCursor = Cursor<16>;

impl IdCursor {
    /// The id of the last row of the page before.
    pub fn id(self) -> Uuid {
        Uuid::from_bytes(self.0)
    }
}

/// One page.
#[derive(Debug, Serialize)]
pub struct Page<T, const N: usize = 16> {
    data: Vec<T>,
    next_cursor: Option<Cursor<N>>,
}

impl<T: ToSchema, const N: usize> PartialSchema for Page<T, N> {
    fn schema() -> RefOr<Schema> {
        let rows = Array::new(Ref::from_schema_name(T::name()));
        let next = OneOf::builder()
            .item(Object::with_type(Type::Null))
            .item(Ref::from_schema_name(Cursor::<N>::name()))
            .description(Some("`null`: this is the last page."));
        Object::builder()
            .property("data", rows)
            .property("next_cursor", next)
            .into()
    }
}

impl<T: ToSchema, const N: usize> ToSchema for Page<T, N> {
    fn name() -> Cow<'static, str> {
        format!("{}Page", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into(), T::schema()));
        T::schemas(schemas);
    }
}

impl<T, const N: usize> Page<T, N> {
    /// A page that ends at a known place, or is the last.
    pub fn ending(data: Vec<T>, next_cursor: Option<[u8; N]>) -> Self {
        Self {
            data,
            next_cursor: next_cursor.map(Cursor),
        }
    }

    /// A page of rows that were asked for with `limit`: a full one may have a successor.
    pub fn of<R>(
        rows: Vec<R>,
        limit: Limit,
        place: impl Fn(&R) -> [u8; N],
        show: impl FnMut(R) -> T,
    ) -> Self {
        let full = rows.len() >= usize::from(limit.0);
        let next = rows.last().filter(|_| full).map(place);
        Self::ending(rows.into_iter().map(show).collect(), next)
    }
}
