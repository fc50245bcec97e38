//! A history in words.

use std::fmt;

use crate::history::{Fate, Gate, History, Saying, Step};

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
