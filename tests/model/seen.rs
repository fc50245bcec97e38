//! What the service shows at the end: through `store`, as the API would, and the rows of evidence
//! and facts as they are.

use std::collections::{HashMap, HashSet};

use sqlx::Row as _;
use time::OffsetDateTime;
use twotick::model::ids::MessageId;
use twotick::store::messages::Message;
use uuid::Uuid;

use crate::run::Run;
use crate::story::Made;

#[derive(Debug)]
pub struct Seen {
    /// By the history's number.
    pub sequences: HashMap<usize, SeenSequence>,
    /// By the provider's id.
    pub evidence: HashMap<String, Vec<Row>>,
    /// Facts of webhooks: by provider id and type, how many.
    pub said: HashMap<(String, String), i64>,
    /// Gates that were decided more than once: sequence and position.
    pub decided_twice: Vec<String>,
    /// Ids of all facts.
    pub facts: HashSet<Uuid>,
    /// Whether something was adopted: what was said both ways is one fact then.
    pub adopted: bool,
}

#[derive(Debug)]
pub struct SeenSequence {
    pub status: String,
    pub reason: Option<String>,
    pub head: usize,
    pub messages: Vec<SeenMessage>,
}

#[derive(Debug)]
pub struct SeenMessage {
    /// The history's step.
    pub step: usize,
    pub status: String,
    pub attempts: Vec<SeenAttempt>,
}

#[derive(Debug)]
pub struct SeenAttempt {
    /// As it goes out.
    pub id: String,
    pub n: i16,
    pub wamid: Option<String>,
    pub posted_at: Option<OffsetDateTime>,
    pub outcome: Option<String>,
    pub code: Option<i64>,
}

/// An attempt's evidence.
#[derive(Debug)]
pub struct Row {
    pub external: bool,
    /// Seconds: sent, delivered, read, played, failed.
    pub times: [Option<i64>; 5],
    pub failed_code: Option<i64>,
}

impl Seen {
    pub async fn read(run: &mut Run<'_>) -> Self {
        let mut sequences = HashMap::new();
        for (number, made) in run.story.made.clone() {
            sequences.insert(number, read_sequence(run, &made).await);
        }
        let sender = run.place.sender.0;
        let mut facts = run.world.facts_of(sender).await;
        facts.extend(run.world.facts_of(run.place.stream).await);
        Self {
            sequences,
            evidence: evidence(run).await,
            said: said(run).await,
            decided_twice: decided_twice(run).await,
            facts,
            adopted: sqlx::query_scalar(
                "SELECT EXISTS (SELECT FROM facts WHERE stream = $1 AND type = 'message.adopted')",
            )
            .bind(sender)
            .fetch_one(&mut run.world.session)
            .await
            .unwrap(),
        }
    }
}

async fn read_sequence(run: &Run<'_>, made: &Made) -> SeenSequence {
    let limits = run.world.config.send.retry_limits();
    let ids: Vec<MessageId> = made.messages.iter().map(|m| m.1.parse().unwrap()).collect();
    let messages = run.world.store.messages(&ids).await.unwrap();
    let state = |message: &Message| message.step.clone().expect("it has a sequence");
    let first = state(&messages[0].1);
    let shown = made.messages.iter().zip(&messages);
    SeenSequence {
        status: first.state.status.as_str().to_owned(),
        reason: first.state.reason.map(|reason| reason.as_str().to_owned()),
        head: usize::try_from(first.head).unwrap(),
        messages: shown
            .map(|((step, id), (_, message))| SeenMessage {
                step: *step,
                status: message.status(&limits).as_str().to_owned(),
                attempts: message
                    .attempts
                    .iter()
                    .map(|attempt| SeenAttempt {
                        id: format!("{id}.{}", attempt.n),
                        n: attempt.n,
                        wamid: attempt.provider_message_id.clone(),
                        posted_at: attempt.posted_at,
                        outcome: attempt.outcome.clone(),
                        code: attempt.error.as_ref().map(|error| error.code),
                    })
                    .collect(),
            })
            .collect(),
    }
}

async fn evidence(run: &mut Run<'_>) -> HashMap<String, Vec<Row>> {
    let rows = sqlx::query(
        "SELECT provider_message_id, sequence IS NULL, sent_at, delivered_at, read_at, played_at,
                failed_at, failed_code
         FROM attempts WHERE sender = $1 AND provider_message_id IS NOT NULL",
    )
    .bind(run.place.sender.0)
    .fetch_all(&mut run.world.session)
    .await
    .unwrap();
    let mut evidence: HashMap<String, Vec<Row>> = HashMap::new();
    for row in rows {
        let time = |at: usize| -> Option<i64> {
            let at: Option<OffsetDateTime> = row.get(at);
            at.map(OffsetDateTime::unix_timestamp)
        };
        evidence.entry(row.get(0)).or_default().push(Row {
            external: row.get(1),
            times: [time(2), time(3), time(4), time(5), time(6)],
            failed_code: row.get(7),
        });
    }
    evidence
}

async fn said(run: &mut Run<'_>) -> HashMap<(String, String), i64> {
    let rows: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT a.provider_message_id, f.type, count(*)
         FROM facts f
         JOIN attempts a ON a.sender = f.stream AND a.message = f.subject AND a.n = f.n
         WHERE f.stream = $1 AND f.source = 'webhook' AND f.type LIKE 'message.%'
         GROUP BY 1, 2",
    )
    .bind(run.place.sender.0)
    .fetch_all(&mut run.world.session)
    .await
    .unwrap();
    let rows = rows.into_iter();
    rows.map(|(wamid, word, n)| ((wamid, word), n)).collect()
}

async fn decided_twice(run: &mut Run<'_>) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT concat(subject, ' at ', data ->> 'position')
         FROM facts WHERE stream = $1 AND type = 'sequence.advanced'
             -- A lone message that failed after its gate is posted again, and passes it again.
             AND subject IN (SELECT id FROM sequences WHERE sender = $1 AND NOT single)
         GROUP BY subject, data ->> 'position' HAVING count(*) > 1
         UNION ALL
         SELECT concat(type, ' of ', subject, '.', n)
         FROM facts WHERE stream = $1 AND type IN ('message.accepted', 'message.held')
         GROUP BY subject, n, type HAVING count(*) > 1",
    )
    .bind(run.place.sender.0)
    .fetch_all(&mut run.world.session)
    .await
    .unwrap()
}
