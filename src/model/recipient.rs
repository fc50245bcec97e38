//! Whom a message goes to, as one text: a phone number in digits, a user's business-scoped id
//! (`US.1349…`), or a group's id. The three can be told apart by their shape, so the kind is not
//! kept beside the text.

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

#[cfg(test)]
mod tests {
    use super::*;

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
