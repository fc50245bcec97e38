//! One attempt: the POST, and the record of what came of it. Whatever happens to the POST, it is
//! recorded; a lost answer is listened for a while longer, because a late one still settles it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::CONTENT_TYPE;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tracing::Instrument as _;
use tracing::field::Empty;

use super::bulk::{Exchange, Ready};
use super::call::{Call, Came};
use super::claimer::Rate;
use super::last_look::LastLook;
use super::recorder::Recorder;
use super::{Sending, Standing, ask};
use crate::model::Timestamp;
use crate::model::error_class::{ErrorClass, Scope};
use crate::model::fact::ProviderError;
use crate::model::limits::{Pairs, backoff, pair_backoff};
use crate::provider::content::Fault;
use crate::provider::{self, Answer, Outgoing, Request};
use crate::store::acceptances::Accepted;
use crate::store::answers::{Closes, Refused};
use crate::store::claim::Claim;
use crate::store::ingest::TemplateSaid;
use crate::store::leases::Lease;
use crate::store::{Connection, StoreError};

/// How long to wait before an answer that could not be recorded is recorded again.
const RECORD_AGAIN: Duration = Duration::from_millis(500);

/// How often a POST is repeated under one id, where that is harmless, before it counts as tried.
const REPEATS: u32 = 3;

/// Gives back claims that may have been made and were not posted, until the database has it.
/// Only the instance that made them can know that nothing was posted: should it end before, a
/// person settles them.
pub(super) async fn return_doubtful(sending: Sending, claims: Vec<Claim>) {
    let Some(sender) = claims.first().map(|claim| claim.sequence.sender) else {
        return;
    };
    while let Err(error) = sending.store.return_doubtful(&claims).await {
        if error.is_refusal() {
            tracing::error!(%sender, %error, "claims in doubt cannot be given back");
            return;
        }
        tracing::warn!(%sender, %error, "claims in doubt could not be given back yet");
        tokio::time::sleep(RECORD_AGAIN).await;
    }
    sending.signals.due_here(sender);
}

pub(super) struct Post {
    pub(super) sending: Sending,
    pub(super) claim: Arc<Claim>,
    pub(super) recorder: Recorder,
    pub(super) lease: Lease,
    pub(super) standing: watch::Receiver<Standing>,
    pub(super) rate: Rate,
    pub(super) pairs: Arc<Mutex<Pairs>>,
    /// When the claim was asked for, by the monotonic clock.
    pub(super) asked_at: Instant,
}

/// Why nothing was posted.
pub(super) enum NotPosted {
    /// Something is away.
    Yet(String),
    /// The provider cannot send this: it was taken before that was known.
    Ever(Vec<Fault>),
}

impl<T: ToString> From<T> for NotPosted {
    fn from(reason: T) -> Self {
        Self::Yet(reason.to_string())
    }
}

/// What is written about a POST.
enum Outcome {
    Accepted(Accepted),
    Refused(Refused),
    Unknown(String),
    /// It was not posted; the claim goes back.
    Returned(String, Timestamp),
}

impl Post {
    /// Posts and records, in a span of its own: by its ids whoever looks for a message finds in the
    /// logs what became of it, and nothing of what it says or to whom.
    pub(super) async fn run(self, ready: Ready, slot: OwnedSemaphorePermit) {
        let attempt = self.claim.attempt;
        let span = tracing::info_span!(
            "send",
            message = %attempt.message,
            attempt = attempt.n,
            sequence = %self.claim.sequence,
            sender = %self.lease.sender,
            outcome = Empty,
            class = Empty,
        );
        self.post_and_record(ready, slot).instrument(span).await;
    }

    /// The slot is held until the answer is recorded.
    async fn post_and_record(self, ready: Ready, slot: OwnedSemaphorePermit) {
        let started = self.sending.clock().monotonic();
        let prepared = match ready {
            Some(ready) => Ok(ready),
            None => self.prepare().await,
        };
        match prepared {
            Ok((connection, exchange)) => self.post(&connection, exchange).await,
            Err(NotPosted::Yet(reason)) => {
                let at = self.sending.clock().now() + self.sending.settings.poll;
                self.record(Outcome::Returned(reason, at)).await;
            }
            Err(NotPosted::Ever(faults)) => {
                let refused = cannot_be_sent(&faults);
                let outcome = match self.claim.repeated {
                    false => Outcome::Refused(refused),
                    // Nobody was asked, and it may have gone.
                    true => Outcome::Unknown(refused.error.details.unwrap_or_default()),
                };
                self.record(outcome).await;
            }
        }
        let took = self
            .sending
            .clock()
            .monotonic()
            .saturating_duration_since(started);
        metrics::histogram!("twotick_post_seconds").record(took.as_secs_f64());
        drop(slot);
        self.sending.signals.changed();
    }

    /// Everything that can fail before a connection is asked for. The last look at the lease comes
    /// after that: a process that was stalled since its claim must not post for a sender that
    /// others own by now.
    async fn prepare(&self) -> Result<(Arc<Connection>, Exchange), NotPosted> {
        let connection = self.connection().await?;
        let request = self.request(&connection)?;
        let ids = vec![self.claim.attempt.to_callback()];
        let call = self.call(&connection, &request, ids)?;
        Ok((connection, Exchange::Alone(call)))
    }

    pub(super) async fn connection(&self) -> Result<Arc<Connection>, NotPosted> {
        let connection = self.sending.connections.get(self.lease.connection).await?;
        Ok(connection.ok_or("the connection is gone")?)
    }

    /// What is to be asked of the provider.
    pub(super) fn request(&self, connection: &Connection) -> Result<Request, NotPosted> {
        let id = self.claim.attempt.to_callback();
        let outgoing = Outgoing {
            from: &self.claim.phone_number_id,
            to: &self.claim.recipient,
            kind: &self.claim.kind,
            content: &self.claim.content,
            marketing: self.claim.marketing.as_ref(),
            id: &id,
        };
        let api_version = connection.api_version.as_deref();
        let request = provider::request(connection.provider, api_version, &outgoing);
        request.map_err(NotPosted::Ever)
    }

    /// A request for the messages of these attempts, all claimed at once under one lease.
    pub(super) fn call(
        &self,
        connection: &Connection,
        request: &Request,
        ids: Vec<String>,
    ) -> Result<Call, NotPosted> {
        let Sending {
            client, settings, ..
        } = &self.sending;
        let call = client.post(format!("{}/{}", connection.base_url, request.path));
        let call = ask::authorized(call, connection)
            .timeout(settings.answer_timeout)
            .header(CONTENT_TYPE, "application/json");
        let body = serde_json::to_vec(&request.body)?;
        let (body, held_back) = LastLook::new(body.into(), self.lease_holds());
        Ok(Call {
            call: call.body(reqwest::Body::wrap(body)),
            held_back,
            provider: connection.provider,
            key: connection.credentials.access_token.clone(),
            ids,
            rate: self.rate.clone(),
        })
    }

    /// Whether this may still be posted, asked when it would leave.
    fn lease_holds(&self) -> impl Fn() -> bool + Send + Sync + Unpin + 'static {
        let (clock, standing) = (self.sending.clock().clone(), self.standing.clone());
        let (asked_at, limit) = (self.asked_at, self.sending.settings.post_timeout);
        move || {
            let now = clock.monotonic();
            let stalled = now.saturating_duration_since(asked_at) > limit;
            !stalled && now < standing.borrow().valid_until
        }
    }

    async fn post(&self, connection: &Connection, exchange: Exchange) {
        let posted_at = self.sending.clock().now();
        let late = (posted_at - self.claim.due_since).as_seconds_f64();
        metrics::histogram!("twotick_release_seconds").record(late.max(0.0));
        let mut came = Box::pin(exchange.came());
        let in_time = tokio::time::timeout(self.sending.settings.post_timeout, &mut came).await;
        let came = match in_time {
            Ok(came) => came,
            Err(_) => {
                // Both at once: an answer that nobody listens to while the database is away is
                // lost to the time limit of the call.
                let lost = Outcome::Unknown("no answer in time".to_owned());
                let ((), came) = tokio::join!(self.record(lost), came);
                match came {
                    // Still unknown: nothing to add.
                    Came::Lost(_) | Came::Answer(Answer::Unclear { .. }) => return,
                    known => known,
                }
            }
        };
        let outcome = match came {
            Came::Answer(Answer::Accepted {
                provider_message_id,
                wa_id,
                standing,
                ..
            }) => {
                let outcome = match standing {
                    provider::Standing::Held => "held",
                    provider::Standing::Paused => "paused",
                    provider::Standing::Accepted | provider::Standing::Other(_) => "accepted",
                };
                Outcome::Accepted(Accepted {
                    provider_message_id,
                    wa_id,
                    outcome,
                })
            }
            Came::Answer(Answer::Refused { error, class, .. })
                if Self::may_have_been_taken(connection, &error, class) =>
            {
                let title = error.title.unwrap_or_default();
                Outcome::Unknown(format!("HTTP {}: {title}", error.code))
            }
            Came::Answer(Answer::Refused {
                error,
                class,
                retry_after,
            }) => self.told(self.refused(connection, error, class, retry_after, posted_at)),
            Came::Apart(reason) => {
                Outcome::Refused(refused_with_others(reason, self.sending.clock().now()))
            }
            Came::NotSent(reason) => {
                tracing::warn!(reason, "it was not posted");
                let at = self.sending.clock().now() + self.sending.settings.backoff;
                Outcome::Returned(reason, at)
            }
            Came::Answer(Answer::Unclear { reason }) | Came::Lost(reason) => {
                Outcome::Unknown(reason)
            }
        };
        self.record(outcome).await;
    }

    /// Records until the database has it. The slot stays taken meanwhile, so that a database
    /// that is away stops the posts by itself.
    async fn record(&self, outcome: Outcome) {
        let due = loop {
            match self.record_once(&outcome).await {
                Ok(due) => break due,
                Err(error) if error.is_refusal() => {
                    // It never will be: the claim is given up, and evidence or a person settles
                    // it.
                    tracing::error!(%error, "the outcome of a post cannot be recorded");
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, "the outcome of a post could not be recorded yet");
                    tokio::time::sleep(RECORD_AGAIN).await;
                }
            }
        };
        if due {
            self.sending.signals.due_here(self.lease.sender);
        }
        metrics::counter!("twotick_posts_total", "outcome" => outcome.as_str()).increment(1);
        let span = tracing::Span::current();
        span.record("outcome", outcome.as_str());
        if let Outcome::Refused(refused) = &outcome {
            let class = refused.class.as_str();
            span.record("class", class);
            metrics::counter!("twotick_posts_refused_total", "class" => class).increment(1);
        }
        tracing::debug!("the outcome of a post is recorded");
    }

    /// Returns whether the sequence may be due because of it.
    async fn record_once(&self, outcome: &Outcome) -> Result<bool, StoreError> {
        let store = &self.sending.store;
        match outcome {
            Outcome::Accepted(answer) => return self.recorder.accepted(&self.claim, answer).await,
            Outcome::Refused(refused) => store.record_refused(&self.claim, refused).await?,
            Outcome::Unknown(reason) => store.record_unknown(&self.claim, reason).await?,
            Outcome::Returned(reason, at) => {
                store.return_claim(&self.claim, *at, reason).await?;
            }
        }
        Ok(true)
    }

    /// What a refusal says of an attempt that may have been taken when it was posted before. The
    /// provider would refuse a repeat of what it has, so that this one is right about its content
    /// and its recipient; another attempt must not follow for anything else.
    fn told(&self, refused: Refused) -> Outcome {
        let ends = [ErrorClass::FixRequest, ErrorClass::NeverToRecipient].contains(&refused.class);
        if !self.claim.repeated || ends || refused.again_at.is_some() {
            return Outcome::Refused(refused);
        }
        let title = refused.error.title.unwrap_or_default();
        Outcome::Unknown(format!("refused when it was repeated: {title}"))
    }

    /// Whether a server that broke may have the message all the same: where a repeat is harmless it
    /// is a lost answer, and under another id it could be doubled. Elsewhere it says that it has not.
    fn may_have_been_taken(
        connection: &Connection,
        error: &ProviderError,
        class: ErrorClass,
    ) -> bool {
        class == ErrorClass::Retry
            && (500..600).contains(&error.code)
            && provider::repeats_harmlessly(connection.provider)
    }

    /// A wait that doubles with every refusal in a row: one that does not pass is told of ever more
    /// rarely. Within a bound, so that it is soon seen when it has passed after all.
    fn longer(&self, wait: Duration) -> Duration {
        const MOST: usize = 6;
        let refusals = usize::try_from(self.claim.refusals).unwrap_or(MOST);
        backoff(wait, refusals.saturating_add(1).min(MOST))
    }

    /// What a refusal closes, and when the same attempt may go again: neither a rate limit nor a
    /// pause burns one.
    fn refused(
        &self,
        connection: &Connection,
        error: ProviderError,
        class: ErrorClass,
        retry_after: Option<Duration>,
        posted_at: Timestamp,
    ) -> Refused {
        let now = self.sending.clock().now();
        // Not at once: what closes nothing, because a later word stands against it, must not be
        // posted into at full rate. Where it does close, the wait costs nothing.
        let soon = now + self.longer(self.sending.settings.backoff);
        let (again_at, closes) = match class {
            ErrorClass::RateLimit(Scope::Pair) => {
                let wait = pair_backoff(self.sending.settings.pair_wait, self.claim.refusals);
                let again_at = now + retry_after.unwrap_or(wait);
                // What else goes to this user waits too.
                let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
                pairs.block(&self.claim.recipient, again_at);
                (Some(again_at), None)
            }
            ErrorClass::RateLimit(Scope::Sender | Scope::Account | Scope::App) => {
                let wait = self.sending.settings.rate_limit_wait;
                self.rate.drain(retry_after.unwrap_or(wait));
                (Some(now + retry_after.unwrap_or(self.longer(wait))), None)
            }
            ErrorClass::TemplateStops => match &self.claim.template {
                Some((name, language)) => {
                    let waba_id = self.claim.waba_id.as_deref();
                    let waba_id = connection.provider.account_of_templates(waba_id);
                    let said = TemplateSaid::refused(
                        connection.id,
                        waba_id,
                        name,
                        language,
                        error.code,
                        posted_at,
                    );
                    (Some(soon), Some(Closes::Template(Box::new(said))))
                }
                None => (None, None),
            },
            ErrorClass::SenderStops => (Some(soon), Some(Closes::Sender)),
            ErrorClass::ConnectionStops => {
                // Another instance may have been given a new token: it is read before the next try.
                self.sending.connections.forget(connection.id);
                let closes = Closes::Connection(connection.id, connection.version.clone());
                (Some(soon), Some(closes))
            }
            // Under the same id: should it have been taken all the same, this is refused as a repeat.
            ErrorClass::Retry
                if provider::repeats_harmlessly(connection.provider)
                    && self.claim.refusals < REPEATS =>
            {
                (Some(soon), None)
            }
            ErrorClass::Retry
            | ErrorClass::WaitADay
            | ErrorClass::NeverToRecipient
            | ErrorClass::FixRequest => (None, None),
        };
        Refused {
            error,
            class,
            again_at,
            closes,
        }
    }
}

/// None of a request was taken, for what may be wrong with another. It goes again at once, alone.
fn refused_with_others(reason: String, now: Timestamp) -> Refused {
    /// The provider said no more than HTTP has.
    const BAD_REQUEST: i64 = 400;
    Refused {
        error: ProviderError {
            code: BAD_REQUEST,
            title: Some(reason),
            details: Some("refused with others in one request: it is posted alone".to_owned()),
        },
        class: ErrorClass::Retry,
        again_at: Some(now),
        closes: None,
    }
}

/// What is for good, without having been posted.
fn cannot_be_sent(faults: &[Fault]) -> Refused {
    /// Meta's "invalid parameter".
    const INVALID: i64 = 100;
    let faults = faults.iter();
    let faults: Vec<_> = faults
        .map(|f| format!("`{}`: {}", f.field, f.reason))
        .collect();
    Refused {
        error: ProviderError {
            code: INVALID,
            title: Some("it cannot be sent through its provider".to_owned()),
            details: Some(faults.join("; ")),
        },
        class: ErrorClass::FixRequest,
        again_at: None,
        closes: None,
    }
}

impl Outcome {
    /// For the metrics.
    fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted(answer) => answer.outcome,
            Self::Refused(_) => "refused",
            Self::Unknown(_) => "unknown",
            Self::Returned(..) => "returned",
        }
    }
}
