//! What must hold of every body, whatever its bytes. Shared by the bounded run of `cargo test` and
//! the targets of `cargo fuzz`.

use twotick::model::fact::Decoded;
use twotick::model::provider::Provider;
use twotick::provider;

/// The longest key of a fact: an index has to take it.
const KEY_BYTES: usize = 512;

/// Decodes, and panics where what the store relies on does not hold.
pub fn holds(provider: Provider, bytes: &[u8]) {
    let decoded = provider::decode(provider, bytes);
    let says_nothing = decoded.facts.is_empty() && decoded.problems.is_empty();
    assert!(
        !says_nothing || decoded.note.is_some(),
        "neither a fact nor a problem nor a reason why not"
    );
    for fact in &decoded.facts {
        assert!(fact.key.len() <= KEY_BYTES, "a key of {}", fact.key.len());
        let data: serde_json::Value = serde_json::from_str(&fact.data).expect("data is JSON");
        assert!(data.is_object(), "data is no object: {data}");
        // Postgres' text has no NUL.
        assert!(!fact.data.contains("\\u0000") && !fact.key.contains('\0'));
    }
    for problem in &decoded.problems {
        assert!(!problem.reason.is_empty(), "{problem:?}");
    }
    let again = provider::decode(provider, bytes);
    assert!(
        same(&decoded, &again),
        "it says something else the next time"
    );
}

fn same(one: &Decoded, other: &Decoded) -> bool {
    let keys = |decoded: &Decoded| -> Vec<(String, String)> {
        let facts = decoded.facts.iter();
        facts
            .map(|fact| (fact.key.clone(), fact.data.clone()))
            .collect()
    };
    keys(one) == keys(other) && one.problems == other.problems
}
