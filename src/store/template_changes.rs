//! What changes by a word on templates: how each stood before and stands after, under its row's
//! lock, and the facts that tell of it.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::facts::OwnFact;
use super::ingest::TemplateSaid;
use super::{Store, StoreError};
use crate::model::event;

/// A template as it stands.
#[derive(Debug, Clone)]
pub(super) struct Known {
    id: Uuid,
    /// The connection's own.
    stream: i32,
    provider_template_id: Option<String>,
    pub(super) status: String,
    reason: Option<String>,
    category: Option<String>,
    quality: Option<String>,
}

/// A template that stands otherwise than before.
#[derive(Debug)]
pub(super) struct Change<'a> {
    said: &'a TemplateSaid,
    /// `None`: nobody knew of it.
    before: Option<Known>,
    after: Known,
}

impl Change<'_> {
    /// Its new status, if that has changed.
    pub(super) fn status(&self) -> Option<&str> {
        let before = self.before.as_ref().map(|before| &before.status);
        (before != Some(&self.after.status)).then_some(self.after.status.as_str())
    }

    /// A fact of this template.
    pub(super) fn fact(
        &self,
        r#type: &'static str,
        source: &'static str,
        members: &[(&str, Option<&str>)],
    ) -> OwnFact {
        let mut data = Map::new();
        let id = self.after.provider_template_id.as_deref();
        let named = [
            ("template_id", id),
            ("name", Some(self.said.name.as_str())),
            ("language", Some(self.said.language.as_str())),
        ];
        for (name, value) in named.iter().chain(members) {
            if let Some(value) = value {
                data.insert((*name).to_owned(), Value::from(*value));
            }
        }
        OwnFact::of(self.after.stream, self.after.id, r#type, source).with(data.into())
    }

    /// What a reading found, or an answer said: a fact each of what differs. Of one that nobody
    /// knew, the first says that it is there.
    pub(super) fn found(&self, source: &'static str) -> Vec<OwnFact> {
        let (before, after) = (self.before.as_ref(), &self.after);
        let mut facts = Vec::new();
        if let Some(status) = self.status() {
            let members = [
                ("event", Some(status)),
                ("previous", before.map(|before| before.status.as_str())),
                ("reason", after.reason.as_deref()),
                ("category", after.category.as_deref()),
            ];
            facts.push(self.fact(event::TEMPLATE_STATUS, source, &members));
        }
        let Some(before) = before else { return facts };
        for (r#type, previous, new) in [
            (event::TEMPLATE_QUALITY, &before.quality, &after.quality),
            (event::TEMPLATE_CATEGORY, &before.category, &after.category),
        ] {
            if previous != new {
                let members = [("previous", previous.as_deref()), ("new", new.as_deref())];
                facts.push(self.fact(r#type, source, &members));
            }
        }
        facts
    }

    fn is_one(&self) -> bool {
        let words = |known: &Known| {
            let Known {
                status,
                category,
                quality,
                ..
            } = known.clone();
            (status, category, quality)
        };
        self.before.as_ref().map(words) != Some(words(&self.after))
    }
}

impl Store {
    /// Joins what was said, of each template once; what changed by it.
    pub(super) async fn join_changing<'a>(
        &self,
        connection: &mut sqlx::PgConnection,
        said: &'a [TemplateSaid],
    ) -> Result<Vec<Change<'a>>, StoreError> {
        let ids: Vec<_> = said.iter().map(|said| said.id.0).collect();
        let before = known(connection, &ids).await?;
        let now = self.clock.now();
        self.join_templates(connection, said, now).await?;
        let after = known(connection, &ids).await?;
        let find = |all: &[Known], id| all.iter().find(|known| known.id == id).cloned();
        let changes = said.iter().filter_map(|said| {
            let change = Change {
                before: find(&before, said.id.0),
                after: find(&after, said.id.0)?,
                said,
            };
            change.is_one().then_some(change)
        });
        Ok(changes.collect())
    }
}

/// Locks them in the order in which every writer of several does.
async fn known(
    connection: &mut sqlx::PgConnection,
    ids: &[Uuid],
) -> Result<Vec<Known>, StoreError> {
    let known = sqlx::query_as!(
        Known,
        r#"
        -- templates: known
        SELECT t.id, c.stream, t.provider_template_id, t.status, t.reason, t.category, t.quality
        FROM templates t JOIN connections c ON c.id = t.connection
        WHERE t.id = ANY ($1)
        ORDER BY t.id
        FOR NO KEY UPDATE OF t
        "#,
        ids
    );
    Ok(known.fetch_all(connection).await?)
}
