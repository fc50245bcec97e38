//! Makes a history from a seed and nothing else, so that a seed is a history.

use crate::history::{
    A_DAY, Answer, Ask, Fate, Gate, History, OnDeadline, OnFailure, Op, Saying, Sequence, Step,
    TEMPLATES, What, Word,
};
use crate::rng::Rng;

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
