//! Promise 10: one instance owns a sender, and when it dies another takes over at once.

use std::time::Duration;

use sqlx::types::Uuid;
use twotick::simulator;

use crate::support::*;

/// An instance looks at its leases four times in this.
const LEASE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_instance_that_died_while_it_renewed_is_replaced_as_soon_as_it_counts_no_more() {
    let settings = |config: &mut twotick::config::Config| config.send.lease = LEASE;
    let app = App::start_with(settings, simulator::Config::default()).await;
    let mut session = app.session().await;
    let dead = Uuid::from_u128(7);
    // It said that it is there, and did not come to renew its lease, which ends sooner.
    sqlx::query(
        "INSERT INTO instances (id, seen_at) VALUES ($1, clock_timestamp() - interval '6500 ms')",
    )
    .bind(dead)
    .execute(&mut session)
    .await
    .unwrap();
    sqlx::query(
        "UPDATE senders SET lease_owner = $1, lease_epoch = lease_epoch + 1,
                            lease_until = clock_timestamp() + interval '3 s'",
    )
    .bind(dead)
    .execute(&mut session)
    .await
    .unwrap();
    // It counts as alive for 3.5 s more; a look every 2.5 s alone would see it gone after 5 s.
    let taken = async {
        loop {
            let owner: Option<Uuid> = sqlx::query_scalar("SELECT lease_owner FROM senders")
                .fetch_one(&mut session)
                .await
                .unwrap();
            if owner.is_some_and(|owner| owner != dead) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_millis(4500), taken).await;
    assert!(in_time.is_ok(), "nobody took the sender over");
}
