//! What `connect` and `doctor` say: a line a step or check, with how to mend what is wrong.

use serde_json::{Value, json};

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

/// All lines. Each is printed when it is there, but for who wants JSON.
#[derive(Debug, Default)]
pub(super) struct Report {
    lines: Vec<Value>,
    is_json: bool,
    failed: bool,
}

impl Report {
    /// Which prints all at its end.
    pub(super) fn json(is_json: bool) -> Self {
        Self {
            is_json,
            ..Self::default()
        }
    }

    pub(super) fn ok(&mut self, check: &str, detail: impl Into<String>) {
        self.add(Verdict::Ok, check, &detail.into(), "");
    }

    pub(super) fn warn(&mut self, check: &str, detail: impl Into<String>, remedy: &str) {
        self.add(Verdict::Warn, check, &detail.into(), remedy);
    }

    pub(super) fn fail(&mut self, check: &str, detail: impl Into<String>, remedy: &str) {
        self.add(Verdict::Fail, check, &detail.into(), remedy);
    }

    /// Something for whoever looks on.
    #[expect(clippy::print_stderr, reason = "it is no result")]
    pub(super) fn hint(&self, text: &str) {
        if !self.is_json {
            eprintln!("{text}");
        }
    }

    #[expect(clippy::print_stdout, reason = "the lines are these commands' output")]
    pub(super) fn add(&mut self, verdict: Verdict, check: &str, detail: &str, remedy: &str) {
        let word = verdict.as_str();
        self.failed |= verdict == Verdict::Fail;
        if !self.is_json {
            println!("{word:4}  {check}: {detail}");
            if !remedy.is_empty() {
                println!("      -> {remedy}");
            }
        }
        let remedy = Some(remedy).filter(|remedy| !remedy.is_empty());
        self.lines
            .push(json!({"check": check, "result": word, "detail": detail, "remedy": remedy}));
    }

    /// Whether nothing failed; who wants JSON has it now.
    #[expect(clippy::print_stdout, reason = "the lines are these commands' output")]
    pub(super) fn end(&self) -> bool {
        if self.is_json {
            println!("{}", json!({"ok": !self.failed, "checks": self.lines}));
        }
        !self.failed
    }
}
