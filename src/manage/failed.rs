//! Why something could not be managed. What a provider said of it is always with it.

use std::time::Duration;

use serde_json::Value;

use crate::model::error_class::ErrorClass;
use crate::model::provider::Provider;
use crate::provider::operations::Operation;
use crate::store::StoreError;

/// A provider's answer that is no success.
#[derive(Debug, Clone)]
pub struct Said {
    /// The HTTP status.
    pub status: u16,
    /// Its own number or word for the error, where it has one.
    pub code: Option<String>,
    /// Its own text.
    pub message: Option<String>,
    /// The whole answer: JSON as it came, else text.
    pub body: Value,
    /// How long it wants to be left alone.
    pub wait: Option<Duration>,
    /// What it means.
    pub class: ErrorClass,
}

impl Said {
    /// What was said to something that was done.
    pub(super) fn done(body: Value) -> Box<Self> {
        Box::new(Self {
            status: 200,
            code: None,
            message: None,
            body,
            wait: None,
            class: ErrorClass::Retry,
        })
    }
}

impl Failed {
    /// An answer to what was only read that is not understood: nothing was changed.
    pub(super) fn unread(answer: Value, reason: impl std::fmt::Display) -> Self {
        Self::Unreachable {
            reason: format!("its answer is not understood: {reason}"),
            said: Some(Said::done(answer)),
        }
    }

    /// An answer to a change that is not understood.
    pub(super) fn unreadable(answer: Value, reason: impl std::fmt::Display) -> Self {
        Self::Unreadable {
            reason: reason.to_string(),
            said: Said::done(answer),
        }
    }

    /// The provider did it, and the database failed then.
    pub(super) fn unrecorded(answer: &Value) -> impl Fn(StoreError) -> Self {
        let said = Said::done(answer.clone());
        move |error| Self::Unrecorded {
            said: said.clone(),
            error,
        }
    }

    /// Whether it may have been done all the same.
    pub fn may_be_done(&self) -> bool {
        matches!(
            self,
            Self::Unknown { .. }
                | Self::Unreadable { .. }
                | Self::Unrecorded { .. }
                | Self::Partly { .. }
        )
    }

    /// Whether it says as much of whatever else would be asked of this connection.
    pub(super) fn is_of_all(&self) -> bool {
        match self {
            Self::TooMany { .. } | Self::Unreachable { said: None, .. } => true,
            // An answer that is not understood is no refusal.
            Self::Unreachable {
                said: Some(said), ..
            } => said.status >= 400,
            Self::Refused(said) => matches!(
                said.class,
                ErrorClass::Retry | ErrorClass::RateLimit(_) | ErrorClass::ConnectionStops
            ),
            _ => false,
        }
    }

    /// Whether it says nothing of whatever else would be asked.
    pub(super) fn is_of_what_was_asked(&self) -> bool {
        let is_answered = matches!(
            self,
            Self::Refused(_) | Self::Unreachable { said: Some(_), .. }
        );
        is_answered && !self.is_of_all()
    }

    /// How long nothing more is wanted, where that is known.
    pub(super) fn wait(&self) -> Option<Duration> {
        match self {
            Self::TooMany { wait } => Some(*wait),
            Self::Refused(said) => said.wait,
            Self::Unreachable { said, .. } => said.as_ref()?.wait,
            _ => None,
        }
    }

    /// With the provider's own words.
    pub(super) fn in_words(&self) -> String {
        let said = match self {
            Self::Refused(said) => Some(said),
            Self::Unreachable { said, .. } => said.as_ref(),
            _ => None,
        };
        match said.and_then(|said| said.message.as_deref()) {
            Some(message) => format!("{self}: {message}"),
            None => self.to_string(),
        }
    }

    /// The same of a step that nobody sees anything of, whatever became of it: what it belongs to
    /// was not done.
    pub(super) fn unseen(self) -> Self {
        match self {
            Self::Unknown { reason, said } => Self::Unreachable { reason, said },
            Self::Unreadable { reason, said } => Self::Unreachable {
                reason: format!("its answer is not understood: {reason}"),
                said: Some(said),
            },
            other => other,
        }
    }

    /// What the provider answered, if it did.
    pub(super) fn said_mut(&mut self) -> Option<&mut Said> {
        match self {
            Self::Refused(said) | Self::Unreadable { said, .. } | Self::Unrecorded { said, .. } => {
                Some(said)
            }
            Self::Unreachable { said, .. } | Self::Unknown { said, .. } => said.as_deref_mut(),
            Self::Partly { failed, .. } => failed.said_mut(),
            Self::Lacking { .. } | Self::NoKey | Self::TooMany { .. } | Self::Store(_) => None,
        }
    }
}

/// Steps that are taken one after the other, by their names: of one that fails it is told what was
/// done before it.
#[derive(Debug)]
pub(super) struct Steps {
    names: Vec<String>,
    done: usize,
}

impl Steps {
    /// All of them, in their order.
    pub(super) fn of(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        Self { names, done: 0 }
    }

    /// What came of the next one.
    pub(super) fn took<T>(&mut self, came: Result<T, Failed>) -> Result<T, Failed> {
        match came {
            Ok(it) => {
                self.done += 1;
                Ok(it)
            }
            Err(failed) if self.done == 0 => Err(failed),
            Err(failed) => {
                let (done, left) = self.names.split_at(self.done.min(self.names.len()));
                Err(Failed::Partly {
                    done: done.to_vec(),
                    left: left.to_vec(),
                    failed: Box::new(failed),
                })
            }
        }
    }
}

/// Why something could not be managed.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The provider has no such call.
    #[error("{} has no call for it: {}", .provider.as_str(), .operation.says)]
    Lacking {
        /// Who.
        provider: Provider,
        /// What.
        operation: &'static Operation,
    },
    /// The connection has no key to call with.
    #[error("the connection has no key for its provider")]
    NoKey,
    /// It would be one call too many; nothing was sent.
    #[error("the provider's limit for such calls is reached")]
    TooMany {
        /// When it makes sense to ask again.
        wait: Duration,
    },
    /// The provider said no: nothing was done.
    #[error("the provider refused it")]
    Refused(Box<Said>),
    /// The provider failed, or cannot be reached: nothing was done.
    #[error("the provider did not do it: {reason}")]
    Unreachable {
        /// Why, in words.
        reason: String,
        /// What it answered, if it did.
        said: Option<Box<Said>>,
    },
    /// It went out, and nobody knows whether it was done.
    #[error("nobody knows whether the provider did it: {reason}")]
    Unknown {
        /// Why, in words.
        reason: String,
        /// What it answered, if it did.
        said: Option<Box<Said>>,
    },
    /// The provider did it, and what it answered is not understood.
    #[error("the provider's answer is not understood: {reason}")]
    Unreadable {
        /// Why, in words.
        reason: String,
        /// What it answered.
        said: Box<Said>,
    },
    /// The provider did it, and it could not be written down.
    #[error("the provider did it, and it could not be written down here: {error}")]
    Unrecorded {
        /// What the provider answered.
        said: Box<Said>,
        /// Why, in words.
        error: StoreError,
    },
    /// Of several steps the first were done, and one was not.
    #[error("done: {}; not done: {}: {failed}", .done.join(", "), .left.join(", "))]
    Partly {
        /// Those that were.
        done: Vec<String>,
        /// The one that was not, and those behind it.
        left: Vec<String>,
        /// Why.
        failed: Box<Failed>,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
