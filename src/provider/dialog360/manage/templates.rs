//! 360dialog's calls about templates, beside what `operations` says of them. Its bodies are
//! Meta's; it fetches samples of media from an address.

use serde_json::json;

use crate::provider::content::Place;
use crate::provider::meta::manage::templates::each_sample;
use crate::provider::operations::Ask;

/// Templates of one page.
const PAGE: usize = super::PAGE;

/// A page of a list.
pub(in crate::provider) fn list(ask: Ask, name: Option<&str>, from: Option<&str>) -> Ask {
    let filters = name.map(|name| json!({"business_templates.name": name}).to_string());
    ask.query("limit", Some(PAGE.to_string()))
        .query("offset", Some(from.unwrap_or("0")))
        .query("sort", Some("business_templates.name"))
        .query("filters", filters)
}

/// What 360dialog does not take.
pub(in crate::provider) fn check(place: &Place<'_>) {
    each_sample(place, |sample, is_address| {
        if !is_address {
            sample.not_supported("360dialog fetches samples: give the address of one");
        }
    });
}
