//! Histories: what is asked, what the provider will do with each POST and say afterwards, and
//! what goes wrong meanwhile. Made from a seed and nothing else, so that a seed is a history.

use std::fmt;

/// SplitMix64: small, good enough, and the same for ever, whatever version of a crate is used.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x2545_F491_4F6C_DD1D)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap()
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

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

impl History {
    pub fn of(seed: u64) -> Self {
        let mut maker = Maker {
            rng: Rng::new(seed),
            steps: Vec::new(),
        };
        let mut sequences = Vec::new();
        for _ in 0..1 + maker.rng.below(3) {
            let doubtful = maker.rng.chance(15);
            sequences.push(match doubtful {
                true => maker.doubtful(),
                false => maker.sequence(),
            });
        }
        for _ in 0..maker.rng.below(2) {
            sequences.push(maker.lone());
        }
        maker.rng.shuffle(&mut sequences);
        let ops = maker.ops(&sequences);
        Self {
            seed,
            steps: maker.steps,
            sequences,
            ops,
        }
    }
}

struct Maker {
    rng: Rng,
    steps: Vec<Step>,
}

impl Maker {
    fn sequence(&mut self) -> Sequence {
        let gate = self.gate();
        let on_failure = self
            .rng
            .pick(&[OnFailure::Stop, OnFailure::Skip, OnFailure::Retry]);
        let n = 1 + self.rng.below(3) + self.rng.below(3);
        Sequence {
            lone: false,
            gate,
            on_failure,
            steps: (0..n).map(|_| self.step(true)).collect(),
        }
    }

    /// One whose messages fail, are to be posted again, and then turn out to be delivered: the
    /// gate has not opened, and yet nothing may be posted.
    fn doubtful(&mut self) -> Sequence {
        let mut sequence = self.sequence();
        sequence.gate.word = Word::Read;
        sequence.gate.deadline = A_DAY;
        sequence.on_failure = OnFailure::Retry;
        for step in sequence.steps.clone() {
            let saying = |word, at| Saying {
                word,
                at,
                callback: true,
                copies: 1,
            };
            self.steps[step].gate = None;
            self.steps[step].fates[0] = Fate {
                answer: Answer::Takes,
                says: vec![saying(Err(131_000), 1), saying(Ok(Word::Delivered), 2)],
            };
        }
        sequence
    }

    fn lone(&mut self) -> Sequence {
        Sequence {
            lone: true,
            gate: Gate {
                word: Word::Accepted,
                deadline: 30 * A_DAY,
                on_deadline: OnDeadline::Stop,
            },
            on_failure: OnFailure::Stop,
            steps: vec![self.step(false)],
        }
    }

    fn gate(&mut self) -> Gate {
        use Word::{Accepted, Delivered, Read, Sent};
        let on_deadline = self
            .rng
            .pick(&[OnDeadline::Stop, OnDeadline::Skip, OnDeadline::Hold]);
        Gate {
            word: self
                .rng
                .pick(&[Accepted, Sent, Delivered, Delivered, Delivered, Read]),
            deadline: self.rng.pick(&[30, 300, 3600, A_DAY, A_DAY]),
            on_deadline,
        }
    }

    fn step(&mut self, in_sequence: bool) -> usize {
        let template = self.rng.chance(50).then(|| self.rng.below(TEMPLATES));
        let gate = (in_sequence && self.rng.chance(20)).then(|| self.gate());
        let delay = match in_sequence && self.rng.chance(15) {
            true => self.rng.pick(&[5, 60, 600]),
            false => 0,
        };
        let fates = (0..1 + self.rng.below(3)).map(|_| self.fate()).collect();
        self.steps.push(Step {
            template,
            gate,
            delay,
            resend: self.rng.chance(40),
            fates,
        });
        self.steps.len() - 1
    }

    fn fate(&mut self) -> Fate {
        use Answer::*;
        let answer = match self.rng.below(100) {
            0..55 => Takes,
            55..60 => Holds,
            60..65 => TakesAfter(1 + self.rng.next() % 20),
            65..68 => TakesLate,
            68..74 => TakesAndDrops,
            74..76 => TakesAndIsSilent,
            76..80 => Drops,
            80..83 => BadGateway { takes: true },
            83..84 => BadGateway { takes: false },
            84..85 => RefusesLate(self.refusal()),
            _ => Refuses(self.refusal()),
        };
        Fate {
            answer,
            says: self.says(),
        }
    }

    fn refusal(&mut self) -> i64 {
        // Passing; too fast; tomorrow; never; wrong; template; sender; token.
        self.rng.pick(&[
            131_000, 131_000, 131_000, 131_056, 130_429, 131_049, 131_026, 100, 132_015, 132_015,
            131_048, 190,
        ])
    }

    fn says(&mut self) -> Vec<Saying> {
        use Word::{Delivered, Played, Read, Sent};
        let words: Vec<Result<Word, i64>> = match self.rng.below(20) {
            0..8 => vec![Ok(Sent), Ok(Delivered), Ok(Read)],
            8..12 => vec![Ok(Sent), Ok(Delivered)],
            12 => vec![Ok(Read)],
            13 => vec![Ok(Sent), Ok(Delivered), Ok(Read), Ok(Played)],
            14 => vec![Ok(Sent)],
            15 => vec![],
            16 => vec![Ok(Sent), Ok(Delivered), Err(self.failure())],
            17 => vec![Ok(Sent), Err(self.failure())],
            _ => vec![Err(self.failure())],
        };
        // Meta echoes the data on all or on none; on `failed` it is often missing.
        let echoes = self.rng.chance(70);
        words
            .into_iter()
            .map(|word| Saying {
                word,
                at: i64::try_from(self.rng.below(9)).unwrap(),
                callback: echoes && !(word.is_err() && self.rng.chance(50)),
                copies: 1 + usize::from(self.rng.chance(15)),
            })
            .collect()
    }

    fn failure(&mut self) -> i64 {
        self.rng.pick(&[131_026, 131_000, 131_000, 131_049])
    }

    fn ops(&mut self, sequences: &[Sequence]) -> Vec<Op> {
        let mut ops = vec![Op::Start, Op::Create(0)];
        let mut made = 1;
        let n = 4 + self.rng.below(20);
        while ops.len() < n || made < sequences.len() {
            let op = match self.rng.below(100) {
                0..20 if made < sequences.len() => {
                    made += 1;
                    Op::Create(made - 1)
                }
                0..35 => Op::Say {
                    statuses: 1 + self.rng.below(6),
                    webhooks: 1 + self.rng.below(3),
                },
                35..39 => Op::SayAndLose {
                    statuses: 1 + self.rng.below(4),
                },
                39..41 => Op::Stranger(self.rng.below(3)),
                41..56 => self.ask(sequences, made),
                56..60 => {
                    let n = 1 + self.rng.below(2);
                    let steps = (0..n).map(|_| self.step(true)).collect();
                    Op::Append(self.rng.below(made), steps)
                }
                60..67 => Op::Template {
                    template: self.rng.below(TEMPLATES),
                    paused: self.rng.chance(60),
                },
                67..70 => Op::SayTemplates,
                70..72 => Op::Unblock,
                72..76 => Op::Crash {
                    restart: self.rng.chance(80),
                },
                76 => Op::Stop,
                77..79 => Op::Start,
                79 => Op::ExpireLease,
                80..87 => Op::Pass(self.rng.pick(&[1, 31, 61, 125, 301, 3601, A_DAY + 1])),
                87..93 => Op::Settle,
                93..95 => Op::Follow,
                // One word after the other, and time for each to have its effect.
                95..97 => {
                    let say = Op::Say {
                        statuses: 1,
                        webhooks: 1,
                    };
                    ops.extend([say.clone(), Op::Settle, say, Op::Settle]);
                    Op::Pass(61)
                }
                _ => Op::Breathe(self.rng.next() % 12),
            };
            ops.push(op);
        }
        ops
    }

    fn ask(&mut self, sequences: &[Sequence], made: usize) -> Op {
        use What::*;
        let sequence = self.rng.below(made);
        let what = if sequences[sequence].lone {
            self.rng.pick(&[CancelMessage, RetryMessage])
        } else {
            self.rng.pick(&[
                Pause,
                Pause,
                Pause,
                Resume,
                Resume,
                Resume,
                Cancel,
                Retry,
                CancelMessage,
                CancelMessage,
                RetryMessage,
            ])
        };
        Op::Ask(Ask {
            what,
            sequence,
            step: self.rng.below(sequences[sequence].steps.len()),
            cut: self.rng.chance(15).then(|| self.rng.next() % 8),
        })
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, sequence) in self.sequences.iter().enumerate() {
            writeln!(f, "  sequence {number}: {sequence:?}")?;
        }
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(f, "  step {number}: {step:?}")?;
        }
        for op in &self.ops {
            writeln!(f, "  {op:?}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            word,
            deadline,
            on_deadline,
        } = self;
        write!(f, "{word:?} within {deadline} s else {on_deadline:?}")
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.template {
            Some(template) => write!(f, "template {template}")?,
            None => write!(f, "text")?,
        }
        if let Some(gate) = self.gate {
            write!(f, ", gate {gate:?}")?;
        }
        write!(f, ", delay {} s, resend {}: ", self.delay, self.resend)?;
        f.debug_list().entries(&self.fates).finish()
    }
}

impl fmt::Debug for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} then {:?}", self.answer, self.says)
    }
}

impl fmt::Debug for Saying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.word {
            Ok(word) => write!(f, "{word:?}")?,
            Err(code) => write!(f, "Failed({code})")?,
        }
        write!(f, "@{}", self.at)?;
        if !self.callback {
            write!(f, " bare")?;
        }
        if self.copies > 1 {
            write!(f, " x{}", self.copies)?;
        }
        Ok(())
    }
}

/// What is said of a message of somebody else's.
pub fn stranger(kind: usize) -> Vec<Result<Word, i64>> {
    match kind {
        0 => vec![Ok(Word::Delivered), Ok(Word::Sent)],
        1 => vec![Ok(Word::Sent), Err(131_026)],
        _ => vec![Ok(Word::Read)],
    }
}
