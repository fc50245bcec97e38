//! What is said of business phone numbers: limits, names, PINs, settings. Most of these fields
//! name a number by its digits alone.

use super::Unreadable;
use super::accounts::{limit, news};
use super::envelope::Change;
use super::lists::number_of;
use super::shown::{self, Shown};
use super::templates::of;
use crate::model::event;
use crate::model::fact::{About, Fact, NewsFact, Said, Topic, Word};
use crate::provider::lenient::Members;

/// `phone_number_quality_update`. Despite its name it bears no rating: it tells of limits, of
/// throughput, and that a number was flagged.
pub(super) fn quality(change: &Change<'_>, value: &Members<'_>) -> Result<Fact, Unreadable> {
    let mut shown = Shown::of_value(value);
    let number = named(value, &mut shown);
    let event = shown.word("event", "event").unwrap_or_default();
    shown.word("old_limit", "previous_limit");
    shown.word("current_limit", "current_limit");
    shown.word(
        "max_daily_conversations_per_business",
        "max_daily_conversations_per_business",
    );
    let limit = limit(
        value,
        &["max_daily_conversations_per_business", "current_limit"],
    );
    shown.put("limit", limit.clone());
    let mut words = Vec::new();
    if matches!(event.as_str(), "FLAGGED" | "UNFLAGGED") {
        words.extend(word(number.as_deref(), Topic::Quality, Some(event.clone())));
    }
    // With a throughput upgrade, `TIER_UNLIMITED` means the throughput.
    if event != "THROUGHPUT_UPGRADE" {
        words.extend(word(number.as_deref(), Topic::Limit, limit));
    }
    Ok(of(
        change,
        news(event::SENDER_QUALITY, words),
        shown.finish()?,
    ))
}

/// `phone_number_name_update`.
pub(super) fn name(change: &Change<'_>, value: &Members<'_>) -> Result<Fact, Unreadable> {
    let mut shown = Shown::of_value(value);
    let number = named(value, &mut shown);
    let decision = shown.word("decision", "decision");
    let name = shown.text("requested_verified_name", "name");
    shown.text("rejection_reason", "reason");
    let mut words = Vec::new();
    if decision.as_deref() == Some("APPROVED") {
        words.extend(word(number.as_deref(), Topic::Name, name));
    }
    words.extend(word(number.as_deref(), Topic::NameDecision, decision));
    Ok(of(change, news(event::SENDER_NAME, words), shown.finish()?))
}

/// `security`: PINs of two-step verification.
pub(super) fn security(change: &Change<'_>, value: &Members<'_>) -> Result<Fact, Unreadable> {
    let mut shown = Shown::of_value(value);
    named(value, &mut shown);
    shown.word("event", "event");
    shown.text("requester", "requester");
    Ok(of(
        change,
        news(event::SENDER_SECURITY, Vec::new()),
        shown.finish()?,
    ))
}

/// `business_username_updates`. No username: it was deleted.
pub(super) fn username(change: &Change<'_>, value: &Members<'_>) -> Result<Fact, Unreadable> {
    let mut shown = Shown::of_value(value);
    named(value, &mut shown);
    shown.texts(&["username", "status"]);
    Ok(of(
        change,
        news(event::SENDER_USERNAME, Vec::new()),
        shown.finish()?,
    ))
}

/// `account_settings_update`. Its settings are of a number, which it names by its id.
pub(super) fn settings(change: &Change<'_>, value: &Members<'_>) -> Result<Fact, Unreadable> {
    let mut shown = Shown::of_value(value);
    let at = shown.time("timestamp");
    shown.text("type", "type");
    let settings = value.get("phone_number_settings");
    let settings = settings.and_then(|raw| Members::open(raw.get()).ok());
    let number = settings
        .as_ref()
        .and_then(|settings| number_of(change, settings));
    let digest = change.digest(&change.field, number.as_ref(), change.value);
    let said = Said::News(NewsFact {
        r#type: event::SENDER_SETTINGS.into(),
        number,
        words: Vec::new(),
    });
    let fact = of(change, said, shown.finish()?);
    Ok(Fact {
        key: digest,
        at: at.or(fact.at),
        ..fact
    })
}

/// The digits by which a number is named.
fn named(value: &Members<'_>, shown: &mut Shown<'_, '_>) -> Option<String> {
    shown.text("display_phone_number", "display_phone_number");
    let digits = shown::id(value, "display_phone_number")?;
    // "+1 555-014-2217" is the same number.
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    Some(digits).filter(|digits| !digits.is_empty())
}

fn word(number: Option<&str>, topic: Topic, word: Option<String>) -> Option<Word> {
    Some(Word {
        about: About::Number(number?.to_owned()),
        topic,
        stops: false,
        word: word?,
        until: None,
    })
}
