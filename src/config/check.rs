//! Settings that are good one by one and not beside each other.

use super::*;

impl Config {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let rules = [
            (
                self.send.post_timeout + self.send.lease / 3 <= self.send.lease,
                "send.post_timeout_ms must leave a third of send.lease_ms: a lease is renewed every \
                 quarter, and nothing is posted that could outlast it",
            ),
            (
                is_public_url(&self.http.public_url),
                "http.public_url must be empty, or an address such as `https://twotick.example`, \
                 without a query",
            ),
            (
                self.http.tls.is_on() != self.http.tls.key.as_os_str().is_empty(),
                "http.tls.certificate and http.tls.key must both be given, or neither",
            ),
            (
                self.http.tls.is_on() || self.http.tls.client_ca.as_os_str().is_empty(),
                "http.tls.client_ca needs http.tls.certificate: who terminates TLS checks clients",
            ),
            (
                self.http.proxy.is_there() != self.http.proxy.certificate_header.is_empty(),
                "http.proxy.addresses and http.proxy.certificate_header must both be given, or \
                 neither",
            ),
            (
                self.send.answer_timeout < self.send.unknown_after,
                "send.answer_timeout_ms must be shorter than send.unknown_after_ms: a late answer \
                 must come before the policy for lost ones acts",
            ),
            (
                self.database.max_connections >= 8,
                "database.max_connections must be at least 8",
            ),
            (
                self.ingest.queue_bytes >= self.http.max_body_bytes,
                "ingest.queue_bytes must hold at least one body of http.max_body_bytes",
            ),
            (
                self.http.drain < self.http.shutdown,
                "http.drain_ms must be shorter than http.shutdown_ms, of which it is a part",
            ),
            (
                self.http.max_connections >= 1 && self.ingest.queue_webhooks >= 1,
                "http.max_connections and ingest.queue_webhooks must be at least 1",
            ),
            (
                self.ingest.deadline >= Duration::from_millis(100),
                "ingest.deadline_ms must be at least 100: a webhook has to be committed by then",
            ),
            (
                self.send.max_attempts >= 1
                    && self.send.in_flight >= 1
                    && self.send.pair_burst >= 1,
                "send.max_attempts, send.in_flight and send.pair_burst must be at least 1",
            ),
            (
                self.send.red_rate > 0.0 && self.send.red_rate <= 1.0,
                "send.red_rate must be a part of 1, such as 0.25",
            ),
            (
                (1..=10_000).contains(&self.poll.pace.as_millis()),
                "poll.pace_ms must be between 1 and 10000",
            ),
            (
                self.forward.timeout >= Duration::from_secs(1)
                    && self.forward.timeout <= LONGEST_DELIVERY,
                "forward.timeout_ms must be between 1000 and 30000",
            ),
            (
                self.forward.in_flight >= 1 && self.forward.waiting >= 1,
                "forward.in_flight and forward.waiting must be at least 1",
            ),
            (
                self.forward.lease >= Duration::from_secs(1),
                "forward.lease_ms must be at least 1000",
            ),
            (
                self.nats.timeout >= Duration::from_secs(1)
                    && self.nats.timeout <= LONGEST_DELIVERY,
                "nats.timeout_ms must be between 1000 and 30000",
            ),
            (
                self.manage.timeout >= Duration::from_secs(1)
                    && self.manage.meta_calls_per_hour >= 1,
                "manage.timeout_ms must be at least 1000, manage.meta_calls_per_hour at least 1",
            ),
            (
                self.retention.journal_days >= 1,
                "retention.journal_days must be at least 1",
            ),
            (
                self.retention.message_days == 0 || self.retention.message_days >= 38,
                "retention.message_days must be at least 38, or 0",
            ),
            (
                // Else a webhook that is read again would bring back what was forgotten.
                self.retention.message_days == 0
                    || self.retention.message_days >= self.retention.journal_days.saturating_add(2),
                "retention.message_days must be at least two more than retention.journal_days, or 0",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, broken)) => Err(ConfigError::Contradiction(broken)),
            None => Ok(()),
        }
    }
}

/// None, or one that paths can stand behind.
fn is_public_url(text: &str) -> bool {
    let is_one = |url: reqwest::Url| {
        matches!(url.scheme(), "http" | "https")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
    };
    text.is_empty() || reqwest::Url::parse(text).is_ok_and(is_one)
}
