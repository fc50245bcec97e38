//! Histories: what is asked, what the provider will do with each POST and say afterwards, and
//! what goes wrong meanwhile. `maker.rs` makes them.

/// What a provider says of a message, by rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Word {
    Accepted,
    Sent,
    Delivered,
    Read,
    Played,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDeadline {
    Stop,
    Skip,
    Hold,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    Stop,
    Skip,
    Retry,
}

#[derive(Clone, Copy)]
pub struct Gate {
    pub word: Word,
    /// Seconds.
    pub deadline: i64,
    pub on_deadline: OnDeadline,
}

/// What the API takes where nothing is said.
pub const A_DAY: i64 = 24 * 3600;

/// A message, and what the provider does with its POSTs in turn; beyond these it takes it, and
/// delivers it, and it is read.
#[derive(Clone)]
pub struct Step {
    /// One of the history's templates; `None`: free text.
    pub template: Option<usize>,
    pub gate: Option<Gate>,
    /// Seconds.
    pub delay: i64,
    pub resend: bool,
    pub fates: Vec<Fate>,
}

#[derive(Clone)]
pub struct Fate {
    pub answer: Answer,
    pub says: Vec<Saying>,
}

/// How the provider answers a POST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Takes,
    Holds,
    /// Takes it, and answers after so many milliseconds.
    TakesAfter(u64),
    /// Takes it, and the answer comes after the service has stopped waiting, but still listens.
    TakesLate,
    /// Takes it, and the connection breaks before the answer.
    TakesAndDrops,
    /// Takes it and never answers.
    TakesAndIsSilent,
    /// The connection breaks, and it has not taken it.
    Drops,
    /// Something in between answers: nobody can know.
    BadGateway {
        takes: bool,
    },
    Refuses(i64),
    /// The same, when the service has stopped waiting.
    RefusesLate(i64),
}

/// A status that the provider says of a message.
#[derive(Clone, Copy)]
pub struct Saying {
    /// `None`: `failed`, with this code.
    pub word: Result<Word, i64>,
    /// Seconds after the history's beginning: what the webhook is dated, in no order.
    pub at: i64,
    /// Whether our callback data comes with it.
    pub callback: bool,
    /// How often it is said, beside what is said again because nobody answered 200.
    pub copies: usize,
}

#[derive(Debug, Clone)]
pub struct Sequence {
    /// A lone message.
    pub lone: bool,
    pub gate: Gate,
    pub on_failure: OnFailure,
    /// Of the history's steps.
    pub steps: Vec<usize>,
}

/// What happens next. Whatever names a sequence that is not there yet does nothing.
#[derive(Debug, Clone)]
pub enum Op {
    /// The next of the history's sequences is made.
    Create(usize),
    Append(usize, Vec<usize>),
    Ask(Ask),
    /// So many of the statuses that are there to be said, in so many webhooks.
    Say {
        statuses: usize,
        webhooks: usize,
    },
    /// A webhook of which the service's answer is lost; the provider will say it again.
    SayAndLose {
        statuses: usize,
    },
    /// Statuses of a message that nobody here posted.
    Stranger(usize),
    /// The provider pauses or approves a template, and says so some time.
    Template {
        template: usize,
        paused: bool,
    },
    SayTemplates,
    /// Whoever blocked sender or connection has put it right.
    Unblock,
    /// Instances die with all they do. `restart`: another begins at once.
    Crash {
        restart: bool,
    },
    /// One stops, and finishes what it does.
    Stop,
    /// One more, up to two.
    Start,
    /// The lease ends under its owner.
    ExpireLease,
    /// Seconds pass.
    Pass(i64),
    /// Until the service has done what it can do now.
    Settle,
    /// A moment: so many milliseconds of real time.
    Breathe(u64),
    Follow,
}

/// What a person asks. `cut` says after how many milliseconds the first asking is cut off; it is
/// asked again under the same name.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    pub what: What,
    /// Of the history.
    pub sequence: usize,
    /// The message, where it is about one: counted within the sequence.
    pub step: usize,
    pub cut: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Create,
    Append,
    Pause,
    Resume,
    Cancel,
    Retry,
    CancelMessage,
    RetryMessage,
}

pub struct History {
    pub seed: u64,
    pub steps: Vec<Step>,
    pub sequences: Vec<Sequence>,
    pub ops: Vec<Op>,
}

/// Templates of a history.
pub const TEMPLATES: usize = 2;

/// What is said of a message of somebody else's.
pub fn stranger(kind: usize) -> Vec<Result<Word, i64>> {
    match kind {
        0 => vec![Ok(Word::Delivered), Ok(Word::Sent)],
        1 => vec![Ok(Word::Sent), Err(131_026)],
        _ => vec![Ok(Word::Read)],
    }
}
