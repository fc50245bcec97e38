//! Variables of a template's texts, `{{1}}` or `{{first_name}}`, and the samples that its review
//! needs: one for each.

use crate::provider::content::Place;

/// The variables of a text, in the order in which they first stand there. What is wrong with them
/// is told at its place.
pub(super) fn check(place: &Place<'_>, text: &str, is_named: bool, is_body: bool) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("{{") {
        let Some((name, after)) = after.split_once("}}") else {
            place.expected("`}}` behind each `{{`");
            return found;
        };
        let name = name.trim();
        if !found.iter().any(|known| known == name) {
            found.push(name.to_owned());
        }
        rest = after;
    }
    let numbers = 1..=found.len();
    match is_named {
        true => {
            let is_named = |name: &String| {
                let fits =
                    |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
                name.bytes().all(fits)
                    && name
                        .bytes()
                        .next()
                        .is_some_and(|byte| !byte.is_ascii_digit())
            };
            if !found.iter().all(is_named) {
                place.expected(
                    "variables with names such as `{{first_name}}`, as `parameter_format` says",
                );
            }
        }
        false => {
            // "in the correct order": a text that begins with {{2}} is refused.
            let in_order = found
                .iter()
                .zip(numbers)
                .all(|(name, number)| *name == number.to_string());
            if !in_order {
                place.expected("variables numbered from `{{1}}` on, without a gap, in their order");
            }
        }
    }
    // Error 2388299: a body neither begins nor ends with one.
    let text = text.trim();
    if is_body && (text.starts_with("{{") || text.ends_with("}}")) {
        place.expected("a text that neither begins nor ends with a variable");
    }
    found
}

/// `example.body_text: [["…", "…"]]`, or `example.body_text_named_params`.
pub(super) fn body_samples(component: &Place<'_>, variables: &[String], is_named: bool) {
    let example = component.member("example");
    if is_named {
        return named(&example.member("body_text_named_params"), variables);
    }
    let rows = example.member("body_text");
    if variables.is_empty() && rows.value().is_none() {
        return;
    }
    for row in rows.items() {
        let samples = row.maybe_items();
        samples.iter().for_each(|sample| {
            sample.text();
        });
        if samples.len() != variables.len() {
            row.expected(&format!(
                "a sample for each of the {} variables",
                variables.len()
            ));
        }
    }
}

/// `example.header_text: ["…"]`, or `example.header_text_named_params`.
pub(super) fn header_samples(component: &Place<'_>, variables: &[String], is_named: bool) {
    let example = component.member("example");
    if is_named {
        return named(&example.member("header_text_named_params"), variables);
    }
    let samples = example.member("header_text");
    if variables.is_empty() && samples.value().is_none() {
        return;
    }
    if samples.items().len() != variables.len() && samples.value().is_some() {
        samples.expected("a sample for the variable");
    }
}

fn named(samples: &Place<'_>, variables: &[String]) {
    if variables.is_empty() && samples.value().is_none() {
        return;
    }
    let items = samples.items();
    let name = |sample: &Place<'_>| {
        sample.member("example").text();
        sample.member("param_name").text().map(str::to_owned)
    };
    let given: Vec<_> = items.iter().filter_map(name).collect();
    if !items.is_empty() && !variables.iter().all(|name| given.contains(name)) {
        samples.expected("a sample for each variable, by its `param_name`");
    }
}
