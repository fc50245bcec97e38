//! 150,000 messages, all sent, four of five delivered, with the facts that say so.

use sqlx::{Connection as _, PgConnection, Row as _};
use twotick::model::ids::{ConnectionId, MessageId, SenderId};
use twotick::postgres::Cluster;
use uuid::Uuid;

use crate::ground::{database, posted};

/// A message, and whom it went to.
#[derive(Debug)]
pub struct Known {
    pub id: String,
    pub uuid: Uuid,
    pub recipient: String,
}

/// Facts of one transaction, about as many as a busy writer commits at once.
const FACTS: i32 = 500;

pub async fn create(cluster: &Cluster, name: &str) -> Vec<Known> {
    let mut database = database::create(cluster, name).await;
    database::execute(&mut database, posted::messages()).await;
    database::execute(&mut database, statuses()).await;
    // Alone: it commits on the way.
    database::execute(&mut database, "CALL say()".to_owned()).await;
    database::execute(&mut database, "DROP TABLE to_say".to_owned()).await;
    database::settle(&mut database).await;
    let rows = sqlx::query(
        "SELECT m.id, m.recipient FROM messages m JOIN attempts a ON a.message = m.id
         ORDER BY m.id",
    )
    .fetch_all(&mut database)
    .await
    .unwrap();
    database.close().await.unwrap();
    rows.into_iter()
        .map(|row| {
            let message = MessageId {
                sender: SenderId(1),
                uuid: row.get(0),
            };
            Known {
                id: message.to_string(),
                uuid: message.uuid,
                recipient: row.get(1),
            }
        })
        .collect()
}

fn statuses() -> String {
    format!(
        r#"
        UPDATE attempts SET sent_at = now(), watch = NULL,
            delivered_at = CASE WHEN get_byte(uuid_send(message), 15) % 5 > 0 THEN now() END;
        -- Each page of the feed is of some transactions, as it would be.
        CREATE PROCEDURE say() LANGUAGE plpgsql AS $$
        DECLARE
            part record;
        BEGIN
            FOR part IN SELECT n AS place FROM generate_series(1, 2 * {messages}, {FACTS}) AS n
            LOOP
                INSERT INTO facts (stream, n, id, subject, webhook, occurred_at, received_at, type,
                                   key, source, data)
                SELECT 1, 1, gen_random_uuid(), message, gen_random_uuid(), now(), now(), said, '',
                       'webhook', json_build_object(
                           'provider_message_id', provider_message_id, 'status', 'sent',
                           'recipient', '447700900123', 'pricing', json_build_object(
                               'billable', true, 'pricing_model', 'PMP', 'category', 'marketing'))
                FROM to_say WHERE place BETWEEN part.place AND part.place + {FACTS} - 1;
                COMMIT;
            END LOOP;
        END $$;
        CREATE TABLE to_say AS
        SELECT row_number() OVER (ORDER BY message) AS place, message, provider_message_id, said
        FROM attempts CROSS JOIN (VALUES ('message.sent'), ('message.delivered')) v (said)
        WHERE said = 'message.sent' OR delivered_at IS NOT NULL;
        CREATE INDEX ON to_say (place);
        ANALYZE to_say;
        "#,
        messages = posted::MESSAGES,
    )
}

/// The sender of all messages. Its lease is held by nobody who exists: nothing is posted.
pub async fn own_by_nobody(url: &str, connection: ConnectionId) {
    let mut database = PgConnection::connect(url).await.unwrap();
    sqlx::query(
        "INSERT INTO senders (id, connection, phone_number_id, origin, status, created_at,
                              lease_owner, lease_until)
         VALUES (1, $1, '310022446688199', 'api', 'active', now(), gen_random_uuid(),
                 now() + interval '1 day')",
    )
    .bind(connection.0)
    .execute(&mut database)
    .await
    .unwrap();
    database.close().await.unwrap();
}
