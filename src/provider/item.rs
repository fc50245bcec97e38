//! An item of a webhook, cut out of its body as it came, by the path that the decoder gave it.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::lenient::{self, Members};

/// The item at a path such as `entry[0].changes[1].value.statuses[3]`. `None` where the body has
/// none there, or it is nested deeper than readers of JSON bear; numbers that are more than they
/// bear are texts.
pub fn cut<'a>(body: &'a str, path: &str) -> Option<Cow<'a, RawValue>> {
    let whole = serde_json::from_str(body).ok()?;
    lenient::kept(find(whole, path)?).ok()
}

fn find<'a>(value: &'a RawValue, path: &str) -> Option<&'a RawValue> {
    if path.is_empty() {
        return Some(value);
    }
    if let Some(index) = path.strip_prefix('[') {
        let (index, rest) = index.split_once(']')?;
        let elements = lenient::elements(value).ok()?;
        return find(elements.get(index.parse::<usize>().ok()?)?, rest);
    }
    let members = Members::open(value.get()).ok()?;
    let path = path.strip_prefix('.').unwrap_or(path);
    // A name may have dots in it, and may stand twice.
    let below = members.iter().filter_map(|(name, below)| {
        let rest = path.strip_prefix(name)?;
        let is_whole = rest.is_empty() || rest.starts_with(['.', '[']);
        is_whole.then_some((below, rest))
    });
    below
        .into_iter()
        .find_map(|(below, rest)| find(below, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::provider::Provider;
    use crate::provider::decode;

    fn raw(body: &str, path: &str) -> Option<String> {
        cut(body, path).map(|item| item.get().to_owned())
    }

    #[test]
    fn an_item_is_cut_out_as_it_came() {
        let body = r#"{"entry": [{"id": 1}, {"a.b": [ {"n": 1.50,"z":"\u00e4", "a":[1 ,2]} ]}]}"#;
        let item = r#"{"n": 1.50,"z":"\u00e4", "a":[1 ,2]}"#;
        assert_eq!(raw(body, "entry[1].a.b[0]").as_deref(), Some(item));
        assert_eq!(raw(body, "").as_deref(), Some(body));
        for nowhere in [
            "entry[2]",
            "entry[1].a",
            "entry[x]",
            "entri[0]",
            "entry[0].id.x",
        ] {
            assert_eq!(raw(body, nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn of_a_name_that_stands_twice_the_one_with_the_item_is_taken() {
        let body = r#"{"a":{"b":1},"a":{"c":[2]}}"#;
        assert_eq!(raw(body, "a.c[0]").as_deref(), Some("2"));
    }

    #[test]
    fn every_item_of_what_providers_document_is_found_by_its_path() {
        let documented = [
            (Provider::Meta, include_str!("../../tests/documented.json")),
            (
                Provider::Infobip,
                include_str!("../../tests/documented_infobip.json"),
            ),
        ];
        for (provider, bodies) in documented {
            let bodies: Vec<&RawValue> = serde_json::from_str(bodies).unwrap();
            for body in bodies {
                let decoded = decode(provider, body.get().as_bytes());
                for fact in &decoded.facts {
                    let item = cut(body.get(), &fact.item);
                    assert!(item.is_some(), "{}: {}", fact.item, body.get());
                }
            }
        }
    }
}
