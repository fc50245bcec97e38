//! The On-Premises API's webhooks: what stands in a `value` of Meta's envelope, without envelope.
//! Neither account nor number are named: a channel is one number.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::model::fact::{Decoded, ItemPath, NumberRef};
use crate::provider::lenient::Members;
use crate::provider::meta::webhook::Unreadable;
use crate::provider::meta::webhook::envelope::Change;
use crate::provider::meta::webhook::lists::{Around, walk_lists};

const LISTS: [&str; 3] = ["statuses", "messages", "errors"];

pub(super) fn walk(
    path: ItemPath,
    whole: &RawValue,
    members: &Members<'_>,
    out: &mut Decoded,
) -> Result<(), Unreadable> {
    let change = Change {
        path,
        waba_id: None,
        time: None,
        field: "messages".into(),
        value: whole,
    };
    let number = Arc::new(NumberRef::unnamed());
    let around = Around {
        change: &change,
        value: members,
        number: Some(&number),
    };
    let prefix = match change.path.as_str() {
        "" => String::new(),
        path => format!("{path}."),
    };
    if walk_lists(around, &prefix, &LISTS, out) {
        return Ok(());
    }
    Err(Unreadable::Missing("entry"))
}
