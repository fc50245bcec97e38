//! Promise 1, once more: whoever hangs up in the middle of a request leaves nothing behind on
//! the connection that it used. The next to use it would commit into somebody's open
//! transaction: a webhook would be answered 200 and never be there.

use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use reqwest::Method;
use sqlx::{Connection as _, PgConnection};
use twotick::clock::Clock;
use twotick::config::Config;
use twotick::model::ids::{SenderId, SequenceId};
use twotick::postgres::TestServer;
use twotick::seal::SealingKey;
use twotick::store::sequence_changes::SequenceChange;
use twotick::store::sequences::SequenceFilter;
use twotick::store::{self, Once, Store};

use crate::support::*;

/// Lets a request run until it has waited so often, and drops it there.
async fn hang_up_after<F: Future>(waits: usize, request: F) {
    let mut request = pin!(request);
    let mut left = waits;
    poll_fn(|context| match request.as_mut().poll(context) {
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending if left == 0 => Poll::Ready(()),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await;
}

#[tokio::test]
async fn who_hangs_up_leaves_no_transaction_behind() {
    let server = TestServer::shared(|url| async move { store::migrate(&url).await });
    let database = server.await.unwrap().create_database().await.unwrap();
    let config = Config::load(None::<&Path>).unwrap();
    let key = SealingKey::parse(&SealingKey::generate()).unwrap();
    let store = Store::open(&database.url, &config.database, key, Clock::system());
    let store = store.await.unwrap();
    let mut session = PgConnection::connect(&database.url).await.unwrap();
    let nobody = SequenceId {
        sender: SenderId(1),
        uuid: uuid::Uuid::nil(),
    };
    let once = Once::default();
    for waits in 0..12 {
        let pause = store.change_sequence(nobody, SequenceChange::Pause, &once, |_| ());
        hang_up_after(waits, pause).await;
        assert_nothing_is_open(&mut session, waits).await;
        let filter = SequenceFilter::default();
        hang_up_after(waits, store.list_sequences(&filter, None, 1)).await;
        assert_nothing_is_open(&mut session, waits).await;
    }
}

async fn assert_nothing_is_open(session: &mut PgConnection, waits: usize) {
    for _ in 0..400 {
        let open: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
        )
        .fetch_one(&mut *session)
        .await
        .unwrap();
        if open == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("a request that was dropped after {waits} waits left its transaction open");
}

/// Connections are lent on without being asked: what is on its way to one is no answer to the next.
#[tokio::test]
async fn who_hangs_up_on_a_read_leaves_no_answer_for_the_next() {
    const READING: &str = "SELECT EXISTS (SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'
            AND query LIKE '%-- read_messages%')";
    let app = App::start().await;
    let mut ids = Vec::new();
    for body in ["one", "two"] {
        let new = text(&app.sender, "447700900123", body);
        let made = app.create("/v1/messages", new).await;
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    let path = |id: &str| format!("/v1/messages/{id}");
    let (mut session, mut looking) = (app.session().await, app.session().await);
    // More than there are connections for the API.
    for _ in 0..10 {
        let mut lock = session.begin().await.unwrap();
        let all = "LOCK TABLE messages IN ACCESS EXCLUSIVE MODE";
        sqlx::query(all).execute(&mut *lock).await.unwrap();
        let read = tokio::spawn(app.request(Method::GET, &path(&ids[0])).send());
        let reading = async {
            while !sqlx::query_scalar::<_, bool>(READING)
                .fetch_one(&mut looking)
                .await
                .unwrap()
            {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.unwrap();
        read.abort();
        lock.rollback().await.unwrap();
        for id in ids.iter().rev() {
            assert_eq!(app.get(&path(id)).await["id"], **id);
        }
    }
}
