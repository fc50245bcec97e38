//! What is said of accounts: restrictions, bans, partners, alerts, reviews, limits.

use super::Unreadable;
use super::envelope::Change;
use super::shown::{self, Shown};
use super::templates::of;
use crate::model::event;
use crate::model::fact::{About, Fact, NewsFact, Said, Topic, Word};
use crate::provider::lenient::{self, Members};

/// The one restriction under which nothing that we begin may go. Others are about calls, adding
/// numbers, answers to users, or sorts of templates: what those forbid is refused, each by itself.
const MUTE: &str = "RESTRICTED_BIZ_INITIATED_MESSAGING";

/// What is said without a number's id.
pub(super) fn news(r#type: &'static str, words: Vec<Word>) -> Said {
    Said::News(NewsFact {
        r#type: r#type.into(),
        number: None,
        words,
    })
}

/// `account_update`. What stands beside `event` has a name for each event, and is kept under it.
pub(super) fn update(change: &Change<'_>, value: &Members<'_>) -> Result<Fact, Unreadable> {
    let mut shown = Shown::of_value(value);
    let event = shown.word("event", "event").unwrap_or_default();
    shown.texts(&["phone_number", "country"]);
    shown.without("object");
    let words = match account(change, value) {
        Some(account) => words(account, &event, value),
        None => Vec::new(),
    };
    Ok(of(
        change,
        news(event::ACCOUNT_UPDATE, words),
        shown.finish()?,
    ))
}

/// Of events about partners, `entry.id` is another id.
fn account(change: &Change<'_>, value: &Members<'_>) -> Option<About> {
    let info = value.get("waba_info");
    let info = info.and_then(|raw| Members::open(raw.get()).ok());
    let named = info.and_then(|info| shown::id(&info, "waba_id"));
    named
        .or(change.waba_id.as_deref().map(str::to_owned))
        .map(About::Account)
}

fn words(about: About, event: &str, value: &Members<'_>) -> Vec<Word> {
    let word = |topic, stops| Word {
        about: about.clone(),
        topic,
        stops,
        word: event.to_owned(),
        until: None,
    };
    match event {
        "ACCOUNT_DELETED" => vec![word(Topic::Deleted, true)],
        "ACCOUNT_OFFBOARDED" => vec![word(Topic::Offboarded, true)],
        "ACCOUNT_RECONNECTED" => vec![word(Topic::Offboarded, false)],
        // Our token has no access any more. Which app PARTNER_APP_UNINSTALLED means, we cannot
        // tell from others of the same partner.
        "PARTNER_REMOVED" => vec![word(Topic::Partner, true)],
        "PARTNER_ADDED" => vec![word(Topic::Partner, false)],
        "DISABLED_UPDATE" => ban(value)
            .map(|(state, stops)| Word {
                word: state,
                ..word(Topic::Ban, stops)
            })
            .into_iter()
            .collect(),
        "ACCOUNT_RESTRICTION" => muted(value)
            .map(|until| Word {
                word: MUTE.to_owned(),
                until,
                ..word(Topic::Restriction, true)
            })
            .into_iter()
            .collect(),
        _ => Vec::new(),
    }
}

/// The state of a ban, and whether it stops us. A disabling that is announced does: what is
/// posted meanwhile is what the account is judged by.
fn ban(value: &Members<'_>) -> Option<(String, bool)> {
    let info = Members::open(value.get("ban_info")?.get()).ok()?;
    let state = info.text("waba_ban_state")?.to_ascii_uppercase();
    let stops = match state.as_str() {
        "DISABLE" | "SCHEDULE_FOR_DISABLE" => true,
        "REINSTATE" => false,
        _ => return None,
    };
    Some((state, stops))
}

/// Whether we may begin no conversation, and until when: of several such the longest, or one that
/// has no end.
fn muted(value: &Members<'_>) -> Option<Option<crate::model::Timestamp>> {
    let infos = lenient::elements(value.get("restriction_info")?).ok()?;
    infos
        .into_iter()
        .filter_map(|raw| Members::open(raw.get()).ok())
        .filter(|info| {
            info.text("restriction_type")
                .is_some_and(|kind| kind.eq_ignore_ascii_case(MUTE))
        })
        .map(|info| info.get("expiration").and_then(lenient::moment))
        .reduce(|a, b| a.and_then(|a| b.map(|b| a.max(b))))
}

/// `account_alerts`. Some peers have the alert's members beside `entity_id`: they are shown there
/// in either case.
pub(super) fn alert(change: &Change<'_>, value: &Members<'_>) -> Result<Fact, Unreadable> {
    const ALERT: [(&str, &str); 4] = [
        ("alert_severity", "severity"),
        ("alert_status", "status"),
        ("alert_type", "type"),
        ("alert_description", "description"),
    ];
    let mut shown = Shown::of_value(value);
    shown.word("entity_type", "entity_type");
    shown.text("entity_id", "entity_id");
    for (theirs, ours) in ALERT {
        shown.text(theirs, ours);
    }
    shown.inside("alert_info", &ALERT)?;
    Ok(of(
        change,
        news(event::ACCOUNT_ALERT, Vec::new()),
        shown.finish()?,
    ))
}

/// `account_review_update`.
pub(super) fn review(change: &Change<'_>, value: &Members<'_>) -> Result<Fact, Unreadable> {
    let mut shown = Shown::of_value(value);
    shown.word("decision", "decision");
    Ok(of(
        change,
        news(event::ACCOUNT_REVIEW, Vec::new()),
        shown.finish()?,
    ))
}

/// `business_capability_update`. All numbers of the business share the limit.
pub(super) fn capability(change: &Change<'_>, value: &Members<'_>) -> Result<Fact, Unreadable> {
    /// The second is the older one.
    const LIMITS: [&str; 2] = [
        "max_daily_conversations_per_business",
        "max_daily_conversation_per_phone",
    ];
    let mut shown = Shown::of_value(value);
    for name in LIMITS {
        shown.word(name, name);
    }
    shown.integers(&[
        "max_phone_numbers_per_business",
        "max_phone_numbers_per_waba",
    ]);
    let limit = limit(value, &LIMITS);
    shown.put("limit", limit.clone());
    let about = change
        .waba_id
        .as_deref()
        .map(|id| About::Account(id.to_owned()));
    let word = about.zip(limit).map(|(about, word)| Word {
        about,
        topic: Topic::Limit,
        stops: false,
        word,
        until: None,
    });
    let words = word.into_iter().collect();
    Ok(of(
        change,
        news(event::ACCOUNT_CAPABILITY, words),
        shown.finish()?,
    ))
}

/// A messaging limit: the name of a tier, or a number, which is unlimited below zero. The first
/// of these members that is there.
pub(super) fn limit(value: &Members<'_>, names: &[&str]) -> Option<String> {
    let limit = names.iter().find_map(|name| shown::id(value, name))?;
    Some(match limit.as_str() {
        "-1" => "TIER_UNLIMITED".to_owned(),
        _ => limit.to_ascii_uppercase(),
    })
}
