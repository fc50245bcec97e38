//! What the service counts and times for `/metrics`: every measure by name, with what it means.
//! `docs/OPERATIONS.md` says what to do about it; a test holds the two, the alerts and the board
//! together.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use crate::model::error_class::ErrorClass;
use crate::store::Store;

/// How often the database is asked how things stand.
const SAMPLE_EVERY: Duration = Duration::from_secs(15);

/// Seconds of requests and commits.
const REQUEST_BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
/// Seconds of calls to a provider.
const POST_BUCKETS: &[f64] = &[0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0];
/// Seconds until a message is delivered: moments, or days.
const GATE_BUCKETS: &[f64] = &[
    0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 21_600.0, 86_400.0, 604_800.0,
];
/// Seconds until what could go has gone.
const RELEASE_BUCKETS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0,
];
/// Webhooks of a batch.
const BATCH_BUCKETS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// How a measure moves.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram(&'static [f64]),
}
use Kind::{Counter, Gauge, Histogram};

/// Every measure.
const ALL: [(&str, Kind, &str); 50] = [
    (
        "twotick_http_requests_total",
        Counter,
        "Requests by method, route and status",
    ),
    (
        "twotick_http_request_seconds",
        Histogram(REQUEST_BUCKETS),
        "Time to answer them",
    ),
    (
        "twotick_webhooks_received_total",
        Counter,
        "Webhooks whose signature held",
    ),
    (
        "twotick_webhooks_committed_total",
        Counter,
        "Webhooks that were committed",
    ),
    (
        "twotick_webhooks_uncommitted_total",
        Counter,
        "Webhooks that the database could not commit",
    ),
    (
        "twotick_webhooks_refused_total",
        Counter,
        "Webhooks that were not answered with 200, by reason",
    ),
    (
        "twotick_webhook_commit_seconds",
        Histogram(REQUEST_BUCKETS),
        "From a verified webhook to its commit",
    ),
    (
        "twotick_items_not_applied_total",
        Counter,
        "Items of webhooks that the database refused for their content",
    ),
    (
        "twotick_ingest_batch_webhooks",
        Histogram(BATCH_BUCKETS),
        "Webhooks in one commit",
    ),
    (
        "twotick_ingest_queue_webhooks",
        Gauge,
        "Webhooks that wait for the writer",
    ),
    (
        "twotick_ingest_queue_bytes",
        Gauge,
        "Bytes of bodies that wait for the writer",
    ),
    (
        "twotick_database_connections",
        Gauge,
        "Connections to the database, by state",
    ),
    (
        "twotick_messages_claimed_total",
        Counter,
        "Messages that were claimed to be posted",
    ),
    (
        "twotick_posts_total",
        Counter,
        "POSTs to the provider, by outcome",
    ),
    (
        "twotick_posts_refused_total",
        Counter,
        "POSTs that the provider refused, by the error's class",
    ),
    (
        "twotick_post_seconds",
        Histogram(POST_BUCKETS),
        "From the claim to the recorded outcome of a POST",
    ),
    (
        "twotick_release_seconds",
        Histogram(RELEASE_BUCKETS),
        "From when a message could go to its POST",
    ),
    (
        "twotick_limit_wait_seconds",
        Histogram(RELEASE_BUCKETS),
        "How long limits made messages wait, by limit",
    ),
    (
        "twotick_messages_failed_total",
        Counter,
        "Failures of attempts, told by webhooks or for good in the answer, by the error's class",
    ),
    (
        "twotick_corrupt_sequences_total",
        Counter,
        "Looks at sequences that could not be understood",
    ),
    (
        "twotick_gate_wait_seconds",
        Histogram(GATE_BUCKETS),
        "From a message's acceptance to the opening of its gate",
    ),
    (
        "twotick_managed_total",
        Counter,
        "Calls that manage or read at a provider, by outcome",
    ),
    (
        "twotick_audit_lost_total",
        Counter,
        "Calls to providers that are in no audit: too many different ones at once",
    ),
    (
        "twotick_polls_total",
        Counter,
        "Templates of an account, or a number, read from a provider, by outcome",
    ),
    (
        "twotick_poll_differences_total",
        Counter,
        "What was read that differed from what was known",
    ),
    (
        "twotick_senders_owned",
        Gauge,
        "Senders whose lease this instance holds",
    ),
    (
        "twotick_deliveries_total",
        Counter,
        "Events posted to subscriptions, by outcome",
    ),
    (
        "twotick_delivery_seconds",
        Histogram(REQUEST_BUCKETS),
        "From an event to when a subscription has taken it at its first attempt",
    ),
    (
        "twotick_subscriptions_owned",
        Gauge,
        "Subscriptions whose lease this instance holds",
    ),
    ("twotick_streams", Gauge, "Streams of events that are open"),
    (
        "twotick_nats_events_total",
        Counter,
        "Events published to NATS, by outcome",
    ),
    (
        "twotick_nats_behind_seconds",
        Gauge,
        "Age of the oldest event that this instance is publishing to NATS",
    ),
    (
        "twotick_clock_ahead_seconds",
        Gauge,
        "By how much this machine's clock is ahead of the database's, by which the service goes",
    ),
    (
        "twotick_sampled_at_seconds",
        Gauge,
        "When this instance last read the measures below, since 1970",
    ),
    (
        "twotick_due_oldest_seconds",
        Gauge,
        "For how long the oldest sequence that could be worked on has been due",
    ),
    (
        "twotick_feed_lag_seconds",
        Gauge,
        "Age of the oldest fact that the feed cannot show yet",
    ),
    (
        "twotick_senders_unowned",
        Gauge,
        "Senders whose lease nobody holds",
    ),
    (
        "twotick_senders_blocked",
        Gauge,
        "Senders that are blocked or unregistered",
    ),
    (
        "twotick_templates_closed",
        Gauge,
        "Templates that may not be sent; their lanes are closed",
    ),
    (
        "twotick_poll_oldest_seconds",
        Gauge,
        "For how long what has been read longest ago has not been read",
    ),
    (
        "twotick_connections_stopped",
        Gauge,
        "Connections whose token the provider refused",
    ),
    (
        "twotick_subscriptions_failing",
        Gauge,
        "Subscriptions whose endpoint took nothing at its last attempts",
    ),
    (
        "twotick_subscriptions_disabled",
        Gauge,
        "Subscriptions that are disabled",
    ),
    (
        "twotick_undelivered",
        Gauge,
        "Events that subscriptions were not told of yet, by state (counted up to 10000)",
    ),
    (
        "twotick_sequences_held",
        Gauge,
        "Sequences that wait for a person, by reason (counted up to 10000)",
    ),
    (
        "twotick_waiting_messages",
        Gauge,
        "Messages that wait, by reason (of 10000 sequences at most)",
    ),
    (
        "twotick_journal_rest",
        Gauge,
        "1 when webhooks came on a day without a partition of the journal",
    ),
    (
        "twotick_forgotten_total",
        Counter,
        "Rows that were deleted because they were settled long ago, by what they were",
    ),
    (
        "twotick_database_bytes",
        Gauge,
        "Bytes of the database on disk",
    ),
    ("twotick_build_info", Gauge, "1, with the version as label"),
];

/// Labels that are known beforehand start at 0: an alert on what never happened before must not
/// miss its first time.
const KNOWN: [(&str, &str, &[&str]); 11] = [
    (
        "twotick_forgotten_total",
        "what",
        &["sequences", "messages", "facts", "campaigns"],
    ),
    (
        "twotick_deliveries_total",
        "outcome",
        &[
            "taken",
            "refused",
            "timed_out",
            "unreachable",
            "not_allowed",
        ],
    ),
    ("twotick_undelivered", "state", &UNDELIVERED),
    (
        "twotick_nats_events_total",
        "outcome",
        &["published", "failed", "too_big"],
    ),
    (
        "twotick_webhooks_refused_total",
        "reason",
        &[
            "signature",
            "body",
            "unknown_connection",
            "not_committed",
            "handshake",
            "tls",
        ],
    ),
    (
        "twotick_posts_total",
        "outcome",
        &[
            "accepted", "held", "paused", "refused", "unknown", "returned",
        ],
    ),
    (
        "twotick_managed_total",
        "outcome",
        &["done", "refused", "too_many", "failed", "unknown"],
    ),
    (
        "twotick_polls_total",
        "outcome",
        &["read", "refused", "unreadable", "unreachable"],
    ),
    ("twotick_sequences_held", "reason", &HELD),
    ("twotick_waiting_messages", "reason", &WAITING),
    ("twotick_limit_wait_seconds", "limit", &LIMITS),
];

/// Why a sequence may be held.
const HELD: [&str; 3] = ["deadline", "failure", "unknown"];

/// What posting is limited by: the sender's rate, a user's, the connection's slots.
const LIMITS: [&str; 3] = ["rate", "user", "slots"];

/// What messages may wait for. `due`: nothing but their turn.
const WAITING: [&str; 13] = [
    "due",
    "gate",
    "schedule",
    "quiet_hours",
    "retry",
    "rate_limit",
    "messaging_limit",
    "template_paused",
    "sender_blocked",
    "connection_stopped",
    "paused",
    "opted_out",
    "window_closed",
];

/// How an event may be that a subscription was not told of.
const UNDELIVERED: [&str; 2] = ["waiting", "dead"];

/// Installs what records, for the whole process.
pub fn record() -> Result<PrometheusHandle, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for (name, kind, _) in ALL {
        if let Histogram(buckets) = kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)?;
        }
    }
    let handle = builder.install_recorder()?;
    for (name, kind, says) in ALL {
        match kind {
            Counter => metrics::describe_counter!(name, says),
            Gauge => metrics::describe_gauge!(name, says),
            Histogram(_) => metrics::describe_histogram!(name, says),
        }
    }
    begin();
    Ok(handle)
}

fn begin() {
    let labelled = |name| KNOWN.iter().any(|(known, ..)| *known == name);
    for (name, kind, _) in ALL {
        // These have labels that only traffic knows.
        let by_class = name.ends_with("_refused_total") || name.ends_with("_failed_total");
        if name.starts_with("twotick_http") || labelled(name) || by_class {
            continue;
        }
        match kind {
            Counter => metrics::counter!(name).absolute(0),
            Histogram(_) => drop(metrics::histogram!(name)),
            Gauge => {}
        }
    }
    for (name, label, words) in KNOWN {
        for word in words {
            match ALL.iter().find(|(known, ..)| *known == name) {
                Some((_, Gauge, _)) => metrics::gauge!(name, label => *word).set(0.0),
                Some((_, Histogram(_), _)) => drop(metrics::histogram!(name, label => *word)),
                _ => metrics::counter!(name, label => *word).absolute(0),
            }
        }
    }
    for class in ErrorClass::ALL.map(ErrorClass::as_str) {
        metrics::counter!("twotick_posts_refused_total", "class" => class).absolute(0);
        metrics::counter!("twotick_messages_failed_total", "class" => class).absolute(0);
    }
    metrics::gauge!("twotick_streams").set(0.0);
    metrics::gauge!("twotick_nats_behind_seconds").set(0.0);
    metrics::gauge!("twotick_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// Reads how things stand, again and again; and empties what histograms have gathered, which
/// would grow where nobody asks for `/metrics`.
pub async fn sample(store: Store, metrics: PrometheusHandle, shutdown: CancellationToken) {
    loop {
        metrics.run_upkeep();
        tokio::select! {
            () = shutdown.cancelled() => return,
            result = sample_once(&store) => {
                if let Err(error) = result {
                    tracing::warn!(%error, "how things stand could not be read");
                }
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(SAMPLE_EVERY) => {}
        }
    }
}

async fn sample_once(store: &Store) -> Result<(), crate::store::StoreError> {
    let standing = store.standing().await?;
    let now = store.clock().now();
    let age = |since: Option<crate::model::Timestamp>| {
        since.map_or(0.0, |since| (now - since).as_seconds_f64().max(0.0))
    };
    let count = |n: i64| n as f64;
    for (name, value) in [
        ("twotick_due_oldest_seconds", age(standing.due_since)),
        ("twotick_feed_lag_seconds", age(standing.unshown_since)),
        ("twotick_senders_unowned", count(standing.senders_unowned)),
        ("twotick_senders_blocked", count(standing.senders_blocked)),
        ("twotick_templates_closed", count(standing.templates_closed)),
        ("twotick_poll_oldest_seconds", standing.unread.as_secs_f64()),
        (
            "twotick_connections_stopped",
            count(standing.connections_stopped),
        ),
        (
            "twotick_subscriptions_failing",
            count(standing.subscriptions_failing),
        ),
        (
            "twotick_subscriptions_disabled",
            count(standing.subscriptions_disabled),
        ),
        (
            "twotick_journal_rest",
            f64::from(u8::from(standing.journal_rest)),
        ),
        ("twotick_database_bytes", count(standing.bytes)),
        ("twotick_sampled_at_seconds", count(now.unix_timestamp())),
    ] {
        metrics::gauge!(name).set(value);
    }
    for reason in HELD {
        let held = standing.held.iter().find(|(held, _)| held == reason);
        let n = held.map_or(0.0, |(_, n)| count(*n));
        metrics::gauge!("twotick_sequences_held", "reason" => reason).set(n);
    }
    for state in UNDELIVERED {
        let found = standing.undelivered.iter().find(|(of, _)| of == state);
        let n = found.map_or(0.0, |(_, n)| count(*n));
        metrics::gauge!("twotick_undelivered", "state" => state).set(n);
    }
    sample_waiting(store).await
}

/// What could not be counted in time stays as it was.
async fn sample_waiting(store: &Store) -> Result<(), crate::store::StoreError> {
    let Some(waiting) = store.waiting_messages().await? else {
        tracing::info!("what waits could not be counted in time");
        return Ok(());
    };
    for reason in WAITING {
        let counted = waiting.iter().find(|(counted, _)| counted == reason);
        let n = counted.map_or(0.0, |(_, n)| *n as f64);
        metrics::gauge!("twotick_waiting_messages", "reason" => reason).set(n);
    }
    Ok(())
}
