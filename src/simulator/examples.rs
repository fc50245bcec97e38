//! A webhook of every kind, as data: `examples/` has a file for Meta's, for 360dialog's own, for
//! the On-Premises API's, for Infobip's. Each is an object of bodies under the names of their
//! kinds, with invented values.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::dialect::Dialect;

const META: &str = include_str!("examples/meta.json");
const PARTNER: &str = include_str!("examples/partner.json");
const ON_PREMISES: &str = include_str!("examples/on_premises.json");
const INFOBIP: &str = include_str!("examples/infobip.json");

/// The kinds of a dialect, and a body of each.
pub fn of(dialect: Dialect) -> serde_json::Result<BTreeMap<String, Box<RawValue>>> {
    let files: &[&str] = match dialect {
        Dialect::Meta => &[META],
        // Meta's are passed on.
        Dialect::Dialog360 => &[META, PARTNER],
        Dialect::Dialog360Onprem => &[ON_PREMISES, PARTNER],
        Dialect::Infobip => &[INFOBIP],
    };
    let mut all = BTreeMap::new();
    for file in files {
        let kinds: BTreeMap<String, Box<RawValue>> = serde_json::from_str(file)?;
        all.extend(kinds);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_has_kinds_and_no_two_are_of_one_name() {
        for dialect in Dialect::ALL {
            assert!(of(dialect).unwrap().len() > 10, "{}", dialect.name());
        }
        let count = |file| {
            let kinds: BTreeMap<String, Box<RawValue>> = serde_json::from_str(file).unwrap();
            kinds.len()
        };
        assert_eq!(
            of(Dialect::Dialog360).unwrap().len(),
            count(META) + count(PARTNER)
        );
    }
}
