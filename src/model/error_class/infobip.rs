//! Infobip's codes. They are other numbers than Meta's, of two lists: errors (`error.id`) and
//! statuses (`status.id`), which says why where there is no error. Beside an error stands
//! `permanent`: whether the same could ever succeed. All three are kept as one number, far above
//! any code of Meta's, so that a code alone says what to do, whoever said it.

use super::{ErrorClass, Scope};

/// Above all codes of Meta's, and above each list.
const LIST: i64 = 1_000_000_000_000;

/// Which number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Error(Option<bool>),
    Status,
}

const LISTS: [List; 4] = [
    List::Error(None),
    List::Error(Some(true)),
    List::Error(Some(false)),
    List::Status,
];

/// An `error.id` as it is kept; `None` for 0 (`NO_ERROR`) and for what is no id.
pub fn error(id: i64, permanent: Option<bool>) -> Option<i64> {
    kept(id, List::Error(permanent))
}

/// A `status.id` as it is kept, where there is no error.
pub fn status(id: i64) -> Option<i64> {
    kept(id, List::Status)
}

fn kept(id: i64, list: List) -> Option<i64> {
    let list = LISTS.iter().zip(1..).find(|(known, _)| **known == list);
    let (_, list) = list.filter(|_| (1..LIST).contains(&id))?;
    Some(list * LIST + id)
}

fn read(code: i64) -> Option<(List, i64)> {
    let list = usize::try_from(code / LIST).ok()?.checked_sub(1)?;
    Some((*LISTS.get(list)?, code % LIST))
}

/// A code as the provider writes it, whoever it is.
pub fn shown(code: i64) -> i64 {
    read(code).map_or(code, |(_, id)| id)
}

/// The class of a kept code; `None` for one of Meta's, or one that is in no list of ours.
pub(super) fn known(code: i64) -> Option<ErrorClass> {
    match read(code)? {
        (List::Status, id) => of_status(id),
        (List::Error(permanent), id) => match permanent {
            Some(permanent) => Some(respecting(permanent, of_error(id))),
            None => of_error(id),
        },
    }
}

/// The provider's own word on whether the same could succeed stands above the table.
fn respecting(permanent: bool, class: Option<ErrorClass>) -> ErrorClass {
    use ErrorClass::*;
    match (permanent, class) {
        (true, None | Some(Retry | RateLimit(_))) => FixRequest,
        // Another message may come through in a day; this one does not.
        (true, Some(WaitADay)) => NeverToRecipient,
        (false, None | Some(FixRequest | NeverToRecipient)) => Retry,
        (_, Some(class)) => class,
    }
}

/// The errors of WhatsApp. Those of text messages come with a failover that we do not ask for:
/// of them only the flag is looked at.
fn of_error(id: i64) -> Option<ErrorClass> {
    use ErrorClass::*;
    Some(match id {
        7050 | 7051 | 7080 | 7082 => Retry, // provider's error, its timeout; internal; gateway
        7012..=7014 | 7024 | 7036 => Retry, // deployment; media; time of day; template syncing
        7017 => RateLimit(Scope::Sender),
        7035 => RateLimit(Scope::Pair), // requests for permission to call
        7032 => WaitADay,               // per-user marketing limit
        7002 | 7003 | 7010 | 7020 => NeverToRecipient, // unknown; blocked us; window; device
        7025 | 7029 | 7030 | 7033 => NeverToRecipient, // app; identity; blocked template; opted out
        7201 | 7280 => NeverToRecipient, // device; duplicate: it is done already
        7009 | 7037 => TemplateStops,   // invalid; not available for marketing
        7004 | 7005 | 7011 | 7016 => SenderStops, // credentials; forbidden; account; spam
        7019 | 7034 | 7038 => SenderStops, // billing; not registered; kind of account
        7081 | 7083 | 7084 => SenderStops, // configuration; not activated; metadata
        7001 | 7006..=7008 | 7015 | 7018 | 7021..=7023 => FixRequest,
        7026 | 7027 | 7031 | 7052 | 7102 | 7281 => FixRequest,
        _ => return None,
    })
}

fn of_status(id: i64) -> Option<ErrorClass> {
    use ErrorClass::*;
    Some(match id {
        21 => Retry,                          // system error
        20 => RateLimit(Scope::Pair),         // the same to the same too often
        4 | 9 | 15 | 29 => NeverToRecipient,  // undeliverable; expired, or no report came
        6 | 10 | 14 | 18 => NeverToRecipient, // network; do not disturb; blocked; not registered
        23 | 52 => NeverToRecipient,          // the id was used: it is done already; destination
        11 | 12 | 13 | 17 => SenderStops,     // source; credits; sender; package
        8 | 19 | 24 | 25 | 31 | 51 => FixRequest,
        87 | 96..=100 => FixRequest,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{classify, known};
    use super::*;

    #[test]
    fn codes_are_shown_as_they_came_and_no_two_are_one() {
        let mut all = Vec::new();
        for id in [1, 12, 500, 7032] {
            let lists = [
                error(id, None),
                error(id, Some(true)),
                error(id, Some(false)),
                status(id),
            ];
            for code in lists.map(Option::unwrap) {
                assert_eq!(shown(code), id);
                all.push(code);
            }
            assert_eq!(shown(id), id, "Meta's");
            all.push(id);
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        for none in [0, -1, i64::MIN, i64::MAX, LIST] {
            assert_eq!((error(none, None), status(none)), (None, None));
        }
        for meta in [i64::MIN, -LIST, -1, 0, LIST - 1, 5 * LIST, i64::MAX] {
            assert_eq!(shown(meta), meta);
        }
    }

    #[test]
    fn codes_ask_for_what_their_names_say() {
        use ErrorClass::*;
        let of_error = |id| classify(error(id, None).unwrap());
        assert_eq!(of_error(7002), NeverToRecipient);
        assert_eq!(of_error(7009), TemplateStops);
        assert_eq!(of_error(7016), SenderStops);
        assert_eq!(of_error(7017), RateLimit(Scope::Sender));
        assert_eq!(of_error(7032), WaitADay);
        assert_eq!(of_error(7051), Retry);
        assert_eq!(of_error(500), FixRequest, "Meta's 500 is another");
        let of_status = |id| classify(status(id).unwrap());
        assert_eq!(of_status(12), SenderStops);
        assert_eq!(of_status(15), NeverToRecipient);
        assert_eq!(of_status(21), Retry);
    }

    #[test]
    fn what_is_permanent_is_not_tried_again_and_what_is_not_is() {
        let tried_again = |class| {
            matches!(
                class,
                ErrorClass::Retry | ErrorClass::RateLimit(_) | ErrorClass::WaitADay
            )
        };
        for id in (1..=5000).chain(7001..=7300) {
            let permanent = classify(error(id, Some(true)).unwrap());
            assert!(!tried_again(permanent), "{id}: {permanent}");
            let passing = classify(error(id, Some(false)).unwrap());
            let is_over = [ErrorClass::FixRequest, ErrorClass::NeverToRecipient];
            assert!(!is_over.contains(&passing), "{id}: {passing}");
        }
    }

    #[test]
    fn every_documented_code_of_whatsapp_is_in_the_table() {
        let errors = (7001..=7027)
            .chain(7029..=7038)
            .chain(7050..=7052)
            .chain(7080..=7084)
            .chain([7102, 7201, 7280, 7281]);
        for id in errors {
            assert!(known(error(id, None).unwrap()).is_some(), "{id}");
        }
        for id in [
            4, 6, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20, 21, 23, 24, 25, 29, 31, 51, 52, 87,
            96, 97, 98, 99, 100,
        ] {
            assert!(known(status(id).unwrap()).is_some(), "{id}");
        }
    }
}
