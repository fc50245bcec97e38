//! Infobip's words for what Meta has words for too. They become Meta's, so that one rule says what
//! follows from them, whether a webhook said them or they were read.

/// A score of a template or a number.
pub(in crate::provider) fn score(word: String) -> String {
    match word.as_str() {
        "HIGH" => "GREEN".to_owned(),
        "MEDIUM" => "YELLOW".to_owned(),
        "LOW" => "RED".to_owned(),
        _ => word,
    }
}

/// A template's status, and the title of a pause: Meta has one word and a title for what are two
/// words here.
pub(in crate::provider) fn status(word: String) -> (String, Option<String>) {
    let paused = |title: &str| ("PAUSED".to_owned(), Some(title.to_owned()));
    match word.as_str() {
        "FIRST_PAUSED" => paused("FIRST_PAUSE"),
        "SECOND_PAUSED" => paused("SECOND_PAUSE"),
        _ => (word, None),
    }
}

/// How many users a day: `LIMIT_2K` is `TIER_2K`.
pub(in crate::provider) fn limit(word: String) -> String {
    match word.strip_prefix("LIMIT_") {
        Some(tier) if tier != "NA" => format!("TIER_{tier}"),
        _ if word == "UNLIMITED" => "TIER_UNLIMITED".to_owned(),
        _ => word,
    }
}
