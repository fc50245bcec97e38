//! One row, from where it is to where it cannot go on by itself.

use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::numbers::Number;
use super::state::{State, Step};
use crate::cli::api::{Problem, Service};

/// How often a limit is waited for, and how long at most each time.
const WAITS: usize = 20;
const LONGEST_WAIT: Duration = Duration::from_secs(60);

const ADD: &str = "/v1/senders/registrations";

/// What came of a row.
#[derive(Debug)]
pub(super) enum Came {
    /// The provider has registered it.
    Registered,
    /// The provider is about to.
    Submitted,
    /// It waits for its code.
    Waits,
    /// The provider said no.
    Refused(String),
    /// Nobody knows yet.
    Unknown(String),
}

/// What all rows have in common.
#[derive(Debug)]
pub(super) struct Registering<'a> {
    pub(super) service: &'a Service,
    pub(super) connection: &'a str,
    pub(super) waba_id: &'a str,
    pub(super) resend: bool,
    pub(super) again: bool,
}

/// What came of a request.
enum Answer {
    Done(Value),
    /// It is there already.
    Taken(String),
    Refused(String),
    Unknown(String),
}

/// A number that the provider has.
struct Found {
    sender: String,
    /// The provider's word on it.
    word: String,
}

impl Found {
    fn waits_for_code(&self) -> bool {
        self.word == "UNVERIFIED"
    }
}

/// What a look at the provider showed.
enum Looked {
    At(Found),
    NotThere,
    /// Of this number nothing could be read.
    Unread(String),
}

impl Registering<'_> {
    /// Takes a row as far as it goes. `Err`: no other would go any further.
    pub(super) async fn take(&self, number: &Number, state: &mut State) -> anyhow::Result<Came> {
        let digits = number.new.digits();
        match state.of(&digits) {
            Step::New => self.add(number, state).await,
            Step::Adding => match self.look(&digits).await? {
                Looked::At(found) => self.at(number, state, found).await,
                Looked::NotThere => self.add(number, state).await,
                Looked::Unread(why) => Ok(Came::Unknown(why)),
            },
            step @ Step::CodeSent { .. } => self.go_on(number, state, step).await,
            Step::Verifying { sender } => match self.look(&digits).await? {
                Looked::At(found) => self.at(number, state, found).await,
                Looked::NotThere => self.go_on(number, state, Step::CodeSent { sender }).await,
                Looked::Unread(why) => Ok(Came::Unknown(why)),
            },
            Step::Submitted => match self.look(&digits).await? {
                // Its code was right: the provider is not there yet.
                Looked::At(found) if found.waits_for_code() && !self.resend => Ok(Came::Submitted),
                Looked::At(found) => self.at(number, state, found).await,
                Looked::NotThere => Ok(Came::Submitted),
                Looked::Unread(why) => Ok(Came::Unknown(why)),
            },
            Step::Registered => Ok(Came::Registered),
            Step::Refused { sender, .. } if self.again => match sender {
                Some(sender) => {
                    let step = Step::CodeSent { sender };
                    self.go_on(number, state, step).await
                }
                None => self.add(number, state).await,
            },
            Step::Refused { why, .. } => {
                Ok(Came::Refused(format!("{why} (before; not tried again)")))
            }
        }
    }

    async fn add(&self, number: &Number, state: &mut State) -> anyhow::Result<Came> {
        let (new, digits) = (&number.new, number.new.digits());
        let before = state.of(&digits);
        state.put(&digits, Step::Adding)?;
        let body = json!({"connection": self.connection, "waba_id": self.waba_id,
            "country_code": new.country_code, "phone_number": new.phone_number,
            "display_name": new.display_name, "method": new.method.as_str(),
            "language": new.language});
        let asked = self.ask(ADD, &body).await;
        let answer = match asked {
            Ok(answer) => answer,
            Err(Stop { error, is_undone }) => {
                if is_undone {
                    state.put(&digits, before)?;
                }
                return Err(error);
            }
        };
        match answer {
            Answer::Done(made) => {
                let sender = made["sender"]["id"].as_str().unwrap_or_default().to_owned();
                let step = match made["status"].as_str() {
                    Some("SUBMITTED_FOR_REGISTRATION") => Step::Submitted,
                    _ => Step::CodeSent { sender },
                };
                state.put(&digits, step.clone())?;
                match step {
                    Step::Submitted => Ok(Came::Submitted),
                    // A code that stands there already is of another time.
                    _ => Ok(Came::Waits),
                }
            }
            Answer::Taken(why) => match self.look(&digits).await? {
                Looked::At(found) => self.at(number, state, found).await,
                Looked::NotThere => refused(state, &digits, why, None),
                Looked::Unread(why) => Ok(Came::Unknown(why)),
            },
            Answer::Refused(why) => refused(state, &digits, why, None),
            Answer::Unknown(why) => Ok(Came::Unknown(why)),
        }
    }

    /// From where the provider shows it.
    async fn at(&self, number: &Number, state: &mut State, found: Found) -> anyhow::Result<Came> {
        let waits = found.waits_for_code();
        let Found { sender, word } = found;
        let step = match word.as_str() {
            _ if waits => Step::CodeSent { sender },
            "CONNECTED" | "FLAGGED" | "RATE_LIMITED" | "RESTRICTED" => Step::Registered,
            "BANNED" | "DELETED" | "MIGRATED" => {
                let why = format!("the provider shows it as {word}");
                return refused(state, &number.new.digits(), why, None);
            }
            // On its way, perhaps: the next run looks again.
            _ => {
                let why = format!("the provider shows it as {word}: run it again later");
                return Ok(Came::Unknown(why));
            }
        };
        self.go_on(number, state, step).await
    }

    /// From a step that the provider was found at, or that is known.
    async fn go_on(&self, number: &Number, state: &mut State, step: Step) -> anyhow::Result<Came> {
        let digits = number.new.digits();
        if state.of(&digits) != step {
            state.put(&digits, step.clone())?;
        }
        let Step::CodeSent { sender } = step else {
            return Ok(Came::Registered);
        };
        if self.resend {
            return self.resend(number, state, sender).await;
        }
        let Some(code) = &number.code else {
            return Ok(Came::Waits);
        };
        let before = Step::CodeSent {
            sender: sender.clone(),
        };
        let verifying = Step::Verifying {
            sender: sender.clone(),
        };
        state.put(&digits, verifying)?;
        let body = json!({"code": code.expose_secret()});
        let path = format!("/v1/senders/{sender}/verify");
        match self.ask(&path, &body).await {
            Ok(Answer::Done(_)) => {
                state.put(&digits, Step::Submitted)?;
                Ok(Came::Submitted)
            }
            Ok(Answer::Refused(why) | Answer::Taken(why)) => {
                refused(state, &digits, why, Some(sender))
            }
            Ok(Answer::Unknown(why)) => Ok(Came::Unknown(why)),
            Err(Stop { error, is_undone }) => {
                if is_undone {
                    state.put(&digits, before)?;
                }
                Err(error)
            }
        }
    }

    /// A code that was sent twice does no harm: the number waits for one either way.
    async fn resend(
        &self,
        number: &Number,
        state: &mut State,
        sender: String,
    ) -> anyhow::Result<Came> {
        let new = &number.new;
        let body = json!({"method": new.method.as_str(), "language": new.language});
        let path = format!("/v1/senders/{sender}/code");
        match self.ask(&path, &body).await.map_err(|stop| stop.error)? {
            Answer::Done(_) => Ok(Came::Waits),
            Answer::Refused(why) | Answer::Taken(why) => {
                refused(state, &new.digits(), why, Some(sender))
            }
            Answer::Unknown(why) => Ok(Came::Unknown(why)),
        }
    }

    /// How the provider shows a number.
    async fn look(&self, digits: &str) -> anyhow::Result<Looked> {
        let body = json!({"connection": self.connection, "numbers": [digits]});
        let asked = self.ask("/v1/senders/sync", &body).await;
        let shown = match asked.map_err(|stop| stop.error)? {
            Answer::Done(shown) => shown,
            Answer::Refused(why) | Answer::Taken(why) | Answer::Unknown(why) => {
                let why = format!("how far it is cannot be read from the provider: {why}");
                return Ok(Looked::Unread(why));
            }
        };
        let found = &shown["data"][0];
        let Some(sender) = found["id"].as_str() else {
            return Ok(Looked::NotThere);
        };
        Ok(Looked::At(Found {
            sender: sender.to_owned(),
            word: found["state"].as_str().unwrap_or("UNKNOWN").to_owned(),
        }))
    }

    /// Asks the service, and waits where a limit is reached.
    async fn ask(&self, path: &str, body: &Value) -> Result<Answer, Stop> {
        for _ in 0..WAITS {
            let problem = match self.service.ask(path, body).await {
                Ok(Ok(answer)) => return Ok(Answer::Done(answer)),
                Ok(Err(problem)) => problem,
                Err(error) => {
                    return Err(Stop {
                        error,
                        is_undone: false,
                    });
                }
            };
            match problem.status {
                404 | 422 if path == ADD && is_of_all(&problem) => return Err(undone(&problem)),
                409 => return Ok(Answer::Taken(problem.to_string())),
                404 | 422 => return Ok(Answer::Refused(problem.to_string())),
                500 | 504 => return Ok(Answer::Unknown(problem.to_string())),
                429 => tokio::time::sleep(wait(&problem)).await,
                _ => return Err(undone(&problem)),
            }
        }
        Err(Stop {
            error: anyhow::anyhow!("the limit was waited for {WAITS} times"),
            is_undone: true,
        })
    }
}

/// Why no other row would go any further.
struct Stop {
    error: anyhow::Error,
    /// Whether it is known that nothing was done.
    is_undone: bool,
}

/// Whether what is wrong is the account or the connection, and no number.
fn is_of_all(problem: &Problem) -> bool {
    let errors = problem.said["errors"].as_array().into_iter().flatten();
    let mut fields = errors.filter_map(|error| error["field"].as_str());
    problem.status == 404 || fields.any(|field| matches!(field, "waba_id" | "connection"))
}

/// The service or the provider says that it did nothing, such as for a key.
fn undone(problem: &Problem) -> Stop {
    Stop {
        error: anyhow::anyhow!("{problem}"),
        is_undone: problem.status != 503,
    }
}

fn wait(problem: &Problem) -> Duration {
    problem
        .wait
        .unwrap_or(Duration::from_secs(1))
        .min(LONGEST_WAIT)
}

fn refused(
    state: &mut State,
    digits: &str,
    why: String,
    sender: Option<String>,
) -> anyhow::Result<Came> {
    let step = Step::Refused {
        why: why.clone(),
        sender,
    };
    state.put(digits, step)?;
    Ok(Came::Refused(why))
}
