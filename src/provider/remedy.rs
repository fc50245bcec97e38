//! What Meta's numbers for a refusal mean, and what to do about it, where its own text does not say:
//! of welcome message sequences, and of registering numbers.

/// What a number asks of whoever was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// To ask for something else.
    Wrong,
    /// To see to the key, or to what it may do.
    Key,
    /// To come again.
    Later,
    /// To come again, and less often.
    TooOften,
    /// To take it out of use first.
    InUse,
    /// To ask for one that is there.
    NotThere,
}

/// What a number means.
#[derive(Debug, PartialEq, Eq)]
pub struct Remedy {
    code: i64,
    /// What it asks for.
    pub kind: Kind,
    /// Why it was refused.
    pub cause: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

const fn row(code: i64, kind: Kind, cause: &'static str, remedy: &'static str) -> Remedy {
    Remedy {
        code,
        kind,
        cause,
        remedy,
    }
}

static ALL: [Remedy; 12] = [
    row(
        4_027_001,
        Kind::Wrong,
        "the sequence is not in the form that Meta takes",
        "compare it with `text`, `autofill_message.content` and `ice_breakers[].title`",
    ),
    row(
        4_027_005,
        Kind::Key,
        "the sequence cannot be made: the token has no permission on the account",
        "give its user the account, and the token `whatsapp_business_management`",
    ),
    row(
        4_027_006,
        Kind::Wrong,
        "the sequence cannot be changed: a field or the id is wrong, or the token has no permission",
        "look at the sequence with the same key; then compare the fields",
    ),
    row(
        4_027_007,
        Kind::Later,
        "Meta's API for welcome message sequences is not available",
        "wait a day or two, says Meta",
    ),
    row(
        4_027_010,
        Kind::Wrong,
        "a parameter is missing",
        "give `name` and `sequence`",
    ),
    row(
        4_027_012,
        Kind::InUse,
        "the sequence is used in an ad",
        "end the ad, or make another sequence and put that into it",
    ),
    row(
        4_027_017,
        Kind::NotThere,
        "there is no such sequence, or the token has no permission to see it",
        "list the account's sequences: an app is shown its own",
    ),
    row(
        133_005,
        Kind::Wrong,
        "the number has two-step verification with another PIN",
        "give that PIN, or set another in the WhatsApp Manager",
    ),
    row(
        133_006,
        Kind::Wrong,
        "the number is not verified",
        "ask for its code, and verify it",
    ),
    row(
        133_008,
        Kind::TooOften,
        "too many wrong PINs",
        "wait for as long as the provider's text says",
    ),
    row(
        133_009,
        Kind::TooOften,
        "the PINs were given too fast",
        "wait a little",
    ),
    row(
        133_010,
        Kind::Wrong,
        "the number is not registered",
        "register it",
    ),
];

/// What a code means; of `100/4027012` either of its numbers.
pub fn of(code: &str) -> Option<&'static Remedy> {
    let mut numbers = code.split('/').filter_map(|number| number.parse().ok());
    numbers.find_map(|number: i64| ALL.iter().find(|known| known.code == number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_as_a_code_and_as_a_subcode() {
        for code in ["4027012", "100/4027012"] {
            assert_eq!(of(code).unwrap().kind, Kind::InUse, "{code}");
        }
        assert_eq!(of("100/33"), None);
        assert_eq!(of("BAD_REQUEST"), None);
    }
}
