//! What `connect` says: a line a step, with how to mend what is wrong.

/// What came of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Ok,
    /// It works, and not all of it, or not for long.
    Warn,
    Fail,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// Each line is printed when it is there.
#[derive(Debug, Default)]
pub(super) struct Report {
    failed: bool,
}

impl Report {
    pub(super) fn ok(&mut self, check: &str, detail: impl Into<String>) {
        self.add(Verdict::Ok, check, &detail.into(), "");
    }

    pub(super) fn warn(&mut self, check: &str, detail: impl Into<String>, remedy: &str) {
        self.add(Verdict::Warn, check, &detail.into(), remedy);
    }

    pub(super) fn fail(&mut self, check: &str, detail: impl Into<String>, remedy: &str) {
        self.add(Verdict::Fail, check, &detail.into(), remedy);
    }

    #[expect(clippy::print_stdout, reason = "the lines are these commands' output")]
    pub(super) fn add(&mut self, verdict: Verdict, check: &str, detail: &str, remedy: &str) {
        let word = verdict.as_str();
        self.failed |= verdict == Verdict::Fail;
        println!("{word:4}  {check}: {detail}");
        if !remedy.is_empty() {
            println!("      -> {remedy}");
        }
    }

    /// Whether nothing failed.
    pub(super) fn end(&self) -> bool {
        !self.failed
    }
}
