//! The last word on each topic of an account or a number, as `model::fact::Word` tells. Who asks
//! what follows from them asks the functions `standing` and `last_word` of the schema.

use sqlx::PgConnection;

use super::{Store, StoreError};
use crate::model::Timestamp;
use crate::model::fact::Word;

/// A word, and when it was said.
#[derive(Debug, Clone)]
pub struct WordSaid {
    /// The connection's own.
    pub stream: i32,
    /// By the provider's clock.
    pub at: Timestamp,
    /// Since when the same has been read again and again; `None`: since it was said.
    pub since: Option<Timestamp>,
    /// What was said.
    pub word: Word,
}

impl WordSaid {
    /// What there is one of.
    pub fn key(&self) -> (i32, String, &'static str) {
        (self.stream, self.word.about.key(), self.word.topic.as_str())
    }

    /// Whether this counts and not the other, which has the same key. The statement below
    /// compares the same.
    pub fn is_after(&self, other: &Self) -> bool {
        fn order(said: &WordSaid) -> (Timestamp, bool, &str, bool, Option<Timestamp>) {
            let word = &said.word;
            // Without an end it holds longest.
            (
                said.at,
                word.stops,
                &word.word,
                word.until.is_none(),
                word.until,
            )
        }
        order(self) > order(other)
    }
}

impl Store {
    /// Joins words, of each key one.
    pub(super) async fn join_words(
        &self,
        connection: &mut PgConnection,
        words: &[WordSaid],
    ) -> Result<(), StoreError> {
        if words.is_empty() {
            return Ok(());
        }
        sqlx::query!(
            r#"
            -- join_words
            INSERT INTO last_words AS l (stream, about, topic, said_at, stops, word, until, since)
            SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::timestamptz[],
                                 $5::boolean[], $6::text[], $7::timestamptz[],
                                 $8::timestamptz[])
                AS x (stream, about, topic, said_at, stops, word, until, since)
            ORDER BY x.stream, x.about, x.topic
            ON CONFLICT (stream, about, topic) DO UPDATE
            SET said_at = excluded.said_at, stops = excluded.stops, word = excluded.word,
                until = excluded.until, since = excluded.since
            WHERE (excluded.said_at, excluded.stops, excluded.word,
                   coalesce(excluded.until, 'infinity'))
                > (l.said_at, l.stops, l.word, coalesce(l.until, 'infinity'))
            "#,
            &words.iter().map(|said| said.stream).collect::<Vec<_>>(),
            &words
                .iter()
                .map(|said| said.word.about.key())
                .collect::<Vec<_>>(),
            &words
                .iter()
                .map(|said| said.word.topic.as_str())
                .collect::<Vec<_>>() as &[&str],
            &words.iter().map(|said| said.at).collect::<Vec<_>>(),
            &words.iter().map(|said| said.word.stops).collect::<Vec<_>>(),
            &words
                .iter()
                .map(|said| said.word.word.as_str())
                .collect::<Vec<_>>() as &[&str],
            &words.iter().map(|said| said.word.until).collect::<Vec<_>>() as &[Option<Timestamp>],
            &words.iter().map(|said| said.since).collect::<Vec<_>>() as &[Option<Timestamp>],
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}
