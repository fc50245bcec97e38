//! What is left out of a history: how a failure is made smaller, and how what is left is named, so
//! that it can be run again.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::history::{History, Op};

/// Something that a history can do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// What happens.
    Op(usize),
    /// A message.
    Step(usize),
    /// All that the provider does with a message but to take and deliver it.
    Fates(usize),
}

/// Parts by their places in the whole history: `o3,o5-9,s2,f0`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mask(BTreeSet<Part>);

impl Part {
    fn name(self) -> (char, usize) {
        match self {
            Self::Op(n) => ('o', n),
            Self::Step(n) => ('s', n),
            Self::Fates(n) => ('f', n),
        }
    }

    fn of(kind: char, n: usize) -> Option<Self> {
        match kind {
            'o' => Some(Self::Op(n)),
            's' => Some(Self::Step(n)),
            'f' => Some(Self::Fates(n)),
            _ => None,
        }
    }
}

impl Mask {
    /// This one, and more.
    pub fn and(&self, parts: &[Part]) -> Self {
        Self(self.0.iter().chain(parts).copied().collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn hides(&self, part: Part) -> bool {
        self.0.contains(&part)
    }
}

impl History {
    /// All that it can do without.
    pub fn parts(&self) -> Vec<Part> {
        let steps = 0..self.steps.len();
        let messages = steps.clone().map(Part::Step);
        let ops = (0..self.ops.len()).map(Part::Op);
        ops.chain(messages).chain(steps.map(Part::Fates)).collect()
    }

    /// What is left of it. Steps keep their numbers, since these are in the messages.
    pub fn without(mut self, mask: &Mask) -> Self {
        let keep = |step: &usize| !mask.hides(Part::Step(*step));
        for sequence in &mut self.sequences {
            sequence.steps.retain(keep);
        }
        for (number, step) in self.steps.iter_mut().enumerate() {
            if mask.hides(Part::Fates(number)) {
                step.fates.clear();
            }
        }
        let sequences = &self.sequences;
        let mut at = 0..;
        self.ops.retain_mut(|op| {
            let is_something = match op {
                Op::Create(number) => !sequences[*number].steps.is_empty(),
                Op::Append(_, steps) => {
                    steps.retain(keep);
                    !steps.is_empty()
                }
                _ => true,
            };
            let place = at.next().expect("it has no end");
            is_something && !mask.hides(Part::Op(place))
        });
        self
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges: Vec<(char, usize, usize)> = Vec::new();
        for (kind, n) in self.0.iter().map(|part| part.name()) {
            match ranges.last_mut() {
                Some((of, _, last)) if *of == kind && *last + 1 == n => *last = n,
                _ => ranges.push((kind, n, n)),
            }
        }
        for (at, (kind, first, last)) in ranges.into_iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            match first == last {
                true => write!(f, "{comma}{kind}{first}")?,
                false => write!(f, "{comma}{kind}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Mask {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = BTreeSet::new();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let read = || {
                let kind = word.chars().next()?;
                let (first, last) = word[1..]
                    .split_once('-')
                    .unwrap_or((&word[1..], &word[1..]));
                let all = first.parse().ok()?..=last.parse().ok()?;
                all.map(|n| Part::of(kind, n)).collect::<Option<Vec<_>>>()
            };
            parts.extend(read().ok_or_else(|| format!("expected `o3` or `s2-4`, not `{word}`"))?);
        }
        Ok(Self(parts))
    }
}

#[test]
fn a_mask_is_read_as_it_is_written() {
    let mask = Mask::default().and(&[
        Part::Op(3),
        Part::Op(5),
        Part::Op(6),
        Part::Op(7),
        Part::Step(0),
        Part::Fates(12),
    ]);
    assert_eq!(mask.to_string(), "o3,o5-7,s0,f12");
    assert_eq!(mask.to_string().parse(), Ok(mask));
    assert_eq!("".parse(), Ok(Mask::default()));
    for wrong in ["3", "x1", "o", "o1-", "s1;s2"] {
        wrong.parse::<Mask>().unwrap_err();
    }
}
