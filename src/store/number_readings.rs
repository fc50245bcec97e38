//! Joins what was read of a number to what webhooks said, by the same rule: the latest word wins, and
//! a reading's is as of when it was asked for. What differs from what was known is told in the same
//! transaction, and so once.

use serde_json::{Map, Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::facts::OwnFact;
use super::last_words::WordSaid;
use super::{Store, StoreError, again};
use crate::model::fact::{About, Topic, Word};
use crate::model::ids::SenderId;
use crate::model::reading::{AVAILABLE, NumberReading};
use crate::model::{Timestamp, event};

/// How a sender is shown, as far as readings say it.
#[derive(Debug)]
struct Shown {
    stream: i32,
    display_phone_number: Option<String>,
    waba_id: Option<String>,
    quality: Option<String>,
    limit: Option<String>,
    throughput: Option<String>,
    name: Option<String>,
    name_status: Option<String>,
    state: Option<String>,
    health: Option<String>,
}

impl Store {
    /// Joins what was read of a number. Returns how many facts tell of it.
    pub async fn record_number_reading(
        &self,
        sender: SenderId,
        asked_at: Timestamp,
        reading: &NumberReading,
    ) -> Result<usize, StoreError> {
        // As webhooks' times are.
        let at = asked_at.replace_nanosecond(0).unwrap_or(asked_at);
        again!(self, "record_number_reading", {
            let mut transaction = self.begin().await?;
            self.learn_number(&mut transaction, sender, reading).await?;
            // Locked before they are looked at: what a webhook says meanwhile is its own to tell.
            let known = known_words(&mut transaction, sender, at).await?;
            let Some(before) = self.shown(&mut transaction, sender).await? else {
                return Ok(0);
            };
            let mut facts = Vec::new();
            let mut words: Vec<_> = reading
                .words(sender)
                .into_iter()
                .map(|word| repeated(&known, before.stream, at, word))
                .collect();
            let lifted = known
                .iter()
                .filter(|known| reading.lifts(known.topic, &known.word));
            for known in lifted {
                words.push(known.lifted(before.stream, at));
                facts.push(known.told_lifted(before.stream, &before.waba_id));
            }
            words.sort_by_key(WordSaid::key);
            self.join_words(&mut transaction, &words).await?;
            let after = self.shown(&mut transaction, sender).await?;
            facts.extend(after.iter().flat_map(|after| {
                let differences = differences(&before, after, reading);
                differences.map(move |(r#type, data)| {
                    OwnFact::of(sender.0, Uuid::nil(), r#type, "poll").with(data)
                })
            }));
            self.write_facts(&mut transaction, &facts).await?;
            transaction.commit().await?;
            Ok(facts.len())
        })
    }

    /// What names the number and its account, where nobody has said it.
    async fn learn_number(
        &self,
        connection: &mut PgConnection,
        sender: SenderId,
        reading: &NumberReading,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            -- learn_number
            UPDATE senders
            SET display_phone_number = coalesce(display_phone_number, $2),
                waba_id = coalesce(waba_id, $3)
            WHERE id = $1 AND (display_phone_number IS NULL AND $2::text IS NOT NULL
                               OR waba_id IS NULL AND $3::text IS NOT NULL)
            "#,
            sender.0,
            reading.display_phone_number,
            reading.waba_id,
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn shown(
        &self,
        connection: &mut PgConnection,
        sender: SenderId,
    ) -> Result<Option<Shown>, StoreError> {
        let shown = sqlx::query_as!(
            Shown,
            r#"
            -- number: shown
            SELECT c.stream, s.display_phone_number, s.waba_id,
                   coalesce(last_word(s, 'quality'), s.quality) AS quality,
                   coalesce(last_word(s, 'limit'), s.messaging_limit) AS "limit",
                   last_word(s, 'throughput') AS throughput,
                   last_word(s, 'name') AS name, last_word(s, 'name_status') AS name_status,
                   last_word(s, 'state') AS state, last_word(s, 'health') AS health
            FROM senders s JOIN connections c ON c.id = s.connection
            WHERE s.id = $1
            "#,
            sender.0,
        );
        Ok(shown.fetch_optional(connection).await?)
    }
}

/// A word that a reading may repeat, or a stop that it may lift.
struct KnownWord {
    about: String,
    topic: Topic,
    stops: bool,
    word: String,
    since: Timestamp,
}

impl KnownWord {
    fn lifted(&self, stream: i32, at: Timestamp) -> WordSaid {
        let account = self.about.strip_prefix("account ").unwrap_or_default();
        WordSaid {
            stream,
            at,
            since: None,
            word: Word {
                about: About::Account(account.to_owned()),
                topic: self.topic,
                stops: false,
                word: AVAILABLE.to_owned(),
                until: None,
            },
        }
    }

    fn told_lifted(&self, stream: i32, waba_id: &Option<String>) -> OwnFact {
        let data = json!({"event": AVAILABLE, "previous": self.word, "waba_id": waba_id});
        OwnFact::of(stream, Uuid::nil(), event::ACCOUNT_UPDATE, "poll").with(data)
    }
}

/// A word as it is joined: the same as before is as old as it was.
fn repeated(known: &[KnownWord], stream: i32, at: Timestamp, word: Word) -> WordSaid {
    let about = word.about.key();
    let same = known.iter().find(|known| {
        (known.about.as_str(), known.topic, known.stops, &known.word)
            == (about.as_str(), word.topic, word.stops, &word.word)
    });
    WordSaid {
        stream,
        at,
        since: same.map(|same| same.since),
        word,
    }
}

/// The last words on the number itself, and what stopped its account before `at` without an end.
/// Locked are all that it is shown by, in the order in which every writer locks.
async fn known_words(
    connection: &mut PgConnection,
    sender: SenderId,
    at: Timestamp,
) -> Result<Vec<KnownWord>, StoreError> {
    let rows = sqlx::query!(
        r#"
        -- number: words
        SELECT l.about, l.topic, l.stops, l.word, coalesce(l.since, l.said_at) AS "since!",
               l.about = 'sender ' || s.id
                   OR coalesce(l.about = 'account ' || s.waba_id, false)
                      AND l.stops AND l.until IS NULL AND l.said_at < $2 AS "counts!"
        FROM senders s
        JOIN connections c ON c.id = s.connection
        JOIN last_words l ON l.stream = c.stream
            AND l.about IN ('account ' || s.waba_id, 'sender ' || s.id,
                            'number ' || regexp_replace(s.display_phone_number, '[^0-9]', '', 'g'))
        WHERE s.id = $1
        ORDER BY l.stream, l.about, l.topic
        FOR NO KEY UPDATE OF l
        "#,
        sender.0,
        at,
    );
    let rows = rows.fetch_all(connection).await?;
    let known = rows.into_iter().filter(|row| row.counts).filter_map(|row| {
        Some(KnownWord {
            topic: Topic::parse(&row.topic)?,
            about: row.about,
            stops: row.stops,
            word: row.word,
            since: row.since,
        })
    });
    Ok(known.collect())
}

/// What differs, as the types of events and their data.
fn differences(
    before: &Shown,
    after: &Shown,
    reading: &NumberReading,
) -> impl Iterator<Item = (&'static str, Value)> {
    let (b, a) = (before, after);
    type Member<'a> = (&'static str, &'a Option<String>, &'a Option<String>);
    let all: [(&'static str, Vec<Member<'_>>); 3] = [
        (
            event::SENDER_QUALITY,
            vec![
                ("quality", &b.quality, &a.quality),
                ("limit", &b.limit, &a.limit),
                ("throughput", &b.throughput, &a.throughput),
            ],
        ),
        (
            event::SENDER_NAME,
            vec![
                ("name", &b.name, &a.name),
                ("name_status", &b.name_status, &a.name_status),
            ],
        ),
        (
            event::SENDER_HEALTH,
            vec![
                ("state", &b.state, &a.state),
                ("health", &b.health, &a.health),
            ],
        ),
    ];
    let mut found = Vec::new();
    for (r#type, members) in all {
        let mut data = Map::new();
        for (name, previous, new) in members {
            if previous != new {
                data.extend(new.clone().map(|new| (name.to_owned(), new.into())));
                let previous = previous.clone();
                data.extend(previous.map(|previous| (format!("previous_{name}"), previous.into())));
            }
        }
        if data.is_empty() {
            continue;
        }
        let number = a.display_phone_number.clone();
        data.extend(number.map(|number| ("display_phone_number".to_owned(), number.into())));
        if r#type == event::SENDER_HEALTH && !reading.errors.is_empty() {
            data.insert("errors".to_owned(), reading.errors.clone().into());
        }
        found.push((r#type, data.into()));
    }
    found.into_iter()
}
