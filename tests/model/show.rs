//! A history in words: what is made of it, and what happens.

use std::collections::BTreeSet;
use std::fmt;

use crate::history::{Fate, Gate, History, Op, Saying, Step};

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut made, mut used) = (BTreeSet::<&usize>::new(), BTreeSet::<&usize>::new());
        for op in &self.ops {
            match op {
                Op::Create(number) => {
                    made.insert(number);
                    used.extend(&self.sequences[*number].steps);
                }
                Op::Append(_, steps) => used.extend(steps),
                _ => {}
            }
        }
        for number in made {
            writeln!(f, "  sequence {number}: {:?}", self.sequences[*number])?;
        }
        for number in used {
            writeln!(f, "  step {number}: {:?}", self.steps[*number])?;
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
