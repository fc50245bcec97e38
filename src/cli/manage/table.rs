//! The matrix, to be read: what can be done, by which call of the API, at which providers.

use std::fmt::Write as _;

use crate::model::provider::Provider;
use crate::provider::operations::{Operation, all};

/// All operations, each with what it does beneath.
pub(super) fn written() -> String {
    let mut out = String::new();
    for operation in all() {
        let (name, api) = (operation.name, operation.api);
        let (call, providers) = (api.first().unwrap_or(&""), at(operation).join(", "));
        // Nothing can go wrong: it is memory that is written to.
        let _ = writeln!(out, "{name:26}{call}  [{providers}]");
        let _ = writeln!(out, "    {}", operation.says);
    }
    out.push_str("\n`twotick manage OPERATION --help` shows what an operation takes.\n");
    out
}

/// The providers that have it.
pub(super) fn at(operation: &Operation) -> Vec<String> {
    let all = Provider::ALL.into_iter();
    let calls = all.filter_map(|provider| Some((provider, operation.at(provider)?)));
    let word = |(provider, call): (Provider, _)| {
        let call: crate::provider::operations::Call = call;
        match call.deprecated {
            true => format!("{} (deprecated)", provider.as_str()),
            false => provider.as_str().to_owned(),
        }
    };
    calls.map(word).collect()
}
