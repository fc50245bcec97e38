//! Meta's calls about templates, beside what `operations` says of them.

use crate::provider::content::Place;
use crate::provider::operations::Ask;
use crate::provider::templates::Filter;

/// What is asked of a template. Graph returns little more than the id unless told, and refuses
/// fields that it does not have: Meta's SDK names all of these.
const FIELDS: &str = "id,name,language,status,category,sub_category,previous_category,components,\
                      parameter_format,message_send_ttl_seconds,quality_score,rejected_reason";

/// How a template stands.
const STATE: &str = "id,name,language,status,category,quality_score,rejected_reason";

/// Templates of one page.
const PAGE: &str = "100";

/// A page of a list.
pub(in crate::provider) fn list(ask: Ask, filter: &Filter, from: Option<&str>) -> Ask {
    let upper = |word: &Option<String>| word.as_ref().map(|word| word.to_ascii_uppercase());
    // Meta also returns other names that contain it.
    ask.query("name", filter.name.clone())
        .query("status", upper(&filter.status))
        .query("language", filter.language.clone())
        .query("category", upper(&filter.category))
        .query("fields", Some(FIELDS))
        .query("limit", Some(PAGE))
        .query("after", from)
}

/// A page of a list, without what they say.
pub(in crate::provider) fn states(ask: Ask, from: Option<&str>) -> Ask {
    ask.query("fields", Some(STATE))
        .query("limit", Some(PAGE))
        .query("after", from)
}

/// One template.
pub(in crate::provider) fn read(ask: Ask) -> Ask {
    ask.query("fields", Some(FIELDS))
}

/// What Meta does not take.
pub(in crate::provider) fn check(place: &Place<'_>) {
    each_sample(place, |sample, is_address| {
        if is_address {
            sample.not_supported(
                "Meta takes the handle of a resumable upload as a sample, no address",
            );
        }
    });
}

/// Walks the samples of media, in cards too; whether each is an address.
pub(in crate::provider) fn each_sample(place: &Place<'_>, say: impl Fn(&Place<'_>, bool) + Copy) {
    for component in place.member("components").maybe_items() {
        for card in component.member("cards").maybe_items() {
            each_sample(&card, say);
        }
        let samples = component.member("example").member("header_handle");
        for sample in samples.maybe_items() {
            let text = sample
                .value()
                .and_then(|value| value.as_str())
                .unwrap_or_default();
            say(
                &sample,
                text.starts_with("https://") || text.starts_with("http://"),
            );
        }
    }
}
