//! Whom a message goes to, as one text: a phone number in digits, a user's business-scoped id
//! (`US.1349…`), or a group's id. The three can be told apart by their shape, so the kind is not
//! kept beside the text.

use super::erased::ERASED;

/// Longer than any number or id that was seen.
const LONGEST: usize = 128;

/// A text is no recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRecipient {
    /// Neither digits nor a business-scoped user id.
    #[error("expected a phone number in digits, such as `447700900123`, or a user id (`US.1349…`)")]
    User,
    /// Looks like a number or a user.
    #[error("expected a group's id; a phone number or a user id is not one")]
    Group,
}

/// Reads a recipient in the form that is kept: without the `+` of a number.
pub fn parse(text: &str, to_group: bool) -> Result<String, InvalidRecipient> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let usable = !text.is_empty()
        && text != ERASED
        && text.len() <= LONGEST
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    match (usable && is_group(text) == to_group, to_group) {
        (true, _) => Ok(text.to_owned()),
        (false, false) => Err(InvalidRecipient::User),
        (false, true) => Err(InvalidRecipient::Group),
    }
}

/// Whether a recipient is a group.
pub fn is_group(text: &str) -> bool {
    !is_number(text) && !is_user_id(text)
}

/// Whether a recipient is a phone number.
pub fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a recipient is a user by a business-scoped id, which has a field of its own with Meta.
pub fn is_user_id(text: &str) -> bool {
    matches!(text.as_bytes(), [a, b, b'.', _, ..] if a.is_ascii_uppercase() && b.is_ascii_uppercase())
}

/// Whether a recipient is of the United States: a business-scoped id that begins with the country, or
/// a phone number: `+1` and none of the area codes of
/// the other countries and territories of the North American Numbering Plan, nor of those that
/// belong to no place.
/// (https://www.nanpa.com/numbering/area-codes)
pub fn is_us(text: &str) -> bool {
    let is_number = is_number(text)
        && text.len() == 11
        && text
            .strip_prefix('1')
            .and_then(|rest| rest.get(..3))
            .is_some_and(|area| !ELSEWHERE.contains(&area));
    is_number || text.starts_with("US.")
}

/// Canada; the Caribbean, Bermuda; the territories in the Pacific; toll-free and personal numbers.
#[rustfmt::skip]
const ELSEWHERE: [&str; 96] = [
    "204", "226", "236", "249", "250", "257", "263", "289", "306", "343", "354", "365", "367",
    "368", "382", "387", "403", "416", "418", "428", "431", "437", "438", "450", "460", "468",
    "474", "506", "514", "519", "537", "548", "568", "579", "581", "584", "587", "600", "604",
    "613", "622", "639", "647", "672", "683", "705", "709", "742", "753", "778", "780", "782",
    "807", "819", "825", "867", "873", "879", "902", "905", "942",
    "242", "246", "264", "268", "284", "345", "441", "473", "649", "658", "664", "721", "758",
    "767", "784", "809", "829", "849", "868", "869", "876",
    "340", "670", "671", "684", "787", "939",
    "500", "521", "522", "800", "833", "844", "855", "888",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_the_united_states_has_an_area_code_there() {
        for text in ["12125550142", "14155550142", "US.1349"] {
            assert!(is_us(text), "{text}");
        }
        for text in [
            "14165550142",
            "18765550142",
            "1212555014",
            "447700900123",
            "GB.1349",
            "",
        ] {
            assert!(!is_us(text), "{text}");
        }
    }

    #[test]
    fn numbers_users_and_groups_are_told_apart() {
        assert_eq!(parse("+447700900123", false).unwrap(), "447700900123");
        assert_eq!(parse("US.13491208655", false).unwrap(), "US.13491208655");
        assert_eq!(parse("Y2FwaV9ncm91cDox", true).unwrap(), "Y2FwaV9ncm91cDox");
        for text in ["", "+", "07700 900123", "Y2FwaV9ncm91cDox", "ä"] {
            assert_eq!(parse(text, false), Err(InvalidRecipient::User), "{text}");
        }
        for text in ["", "447700900123", "US.13491208655"] {
            assert_eq!(parse(text, true), Err(InvalidRecipient::Group), "{text}");
        }
    }
}
