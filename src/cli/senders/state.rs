//! How far each row is: a file beside the CSV that only grows, a line a step, on the disk before the
//! step is taken. A line that a crash cut short was never acted upon. One run at a time.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// How far a row is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(super) enum Step {
    /// Nothing has been done.
    New,
    /// It was about to be added: whether it was is not known.
    Adding,
    /// Its code is under way.
    CodeSent { sender: String },
    /// It was about to be verified: whether it was is not known.
    Verifying { sender: String },
    /// Its code was right: the provider is about to register it.
    Submitted,
    /// The provider has registered it.
    Registered,
    /// The provider refused it; with a sender, its code.
    Refused { why: String, sender: Option<String> },
}

/// What the whole file is about: codes and keys are nowhere in it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    connection: String,
    waba_id: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    number: String,
    #[serde(flatten)]
    step: Step,
}

/// The file, and what it says.
#[derive(Debug)]
pub(super) struct State {
    file: File,
    steps: BTreeMap<String, Step>,
}

impl State {
    /// That of a CSV, for this account.
    pub(super) fn open(csv: &Path, connection: &str, waba_id: &str) -> anyhow::Result<Self> {
        let mut path = OsString::from(csv);
        path.push(".state");
        let shown = Path::new(&path).display().to_string();
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .with_context(|| format!("{shown} cannot be opened"))?;
        file.try_lock()
            .with_context(|| format!("{shown}: another run is at work"))?;
        let about = About {
            connection: connection.to_owned(),
            waba_id: waba_id.to_owned(),
        };
        Self::read(file, &about).with_context(|| shown)
    }

    fn read(mut file: File, about: &About) -> anyhow::Result<Self> {
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            file.set_len(whole as u64)?;
            file.seek(SeekFrom::End(0))?;
        }
        let mut lines = text[..whole].lines().enumerate();
        let mut state = Self {
            file,
            steps: BTreeMap::new(),
        };
        match lines.next() {
            None => state.write(about)?,
            Some((_, first)) => {
                let known: About = serde_json::from_str(first).context("line 1")?;
                anyhow::ensure!(
                    known == *about,
                    "it is of connection {} and account {}: name those, or move it away",
                    known.connection,
                    known.waba_id
                );
            }
        }
        for (n, line) in lines {
            let line: Line =
                serde_json::from_str(line).with_context(|| format!("line {}", n + 1))?;
            state.steps.insert(line.number, line.step);
        }
        Ok(state)
    }

    /// How far a row is.
    pub(super) fn of(&self, number: &str) -> Step {
        self.steps.get(number).cloned().unwrap_or(Step::New)
    }

    /// Writes down how far it is: it is on the disk when this returns.
    pub(super) fn put(&mut self, number: &str, step: Step) -> anyhow::Result<()> {
        let line = Line {
            number: number.to_owned(),
            step: step.clone(),
        };
        self.write(&line)?;
        self.steps.insert(line.number, step);
        Ok(())
    }

    fn write(&mut self, line: &impl Serialize) -> anyhow::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.file.write_all(&bytes)?;
        Ok(self.file.sync_data()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_found_again_and_a_cut_line_is_not() {
        let name = format!("twotick-state-{}", std::process::id());
        let csv = std::env::temp_dir().join(name);
        let sent = Step::CodeSent {
            sender: "snd_1".into(),
        };
        let mut state = State::open(&csv, "con_1", "7").unwrap();
        state.put("441", Step::Adding).unwrap();
        state.put("441", sent.clone()).unwrap();
        state.put("442", Step::Adding).unwrap();
        assert!(
            State::open(&csv, "con_1", "7").is_err(),
            "one run at a time"
        );
        drop(state);
        let path = csv.with_file_name(format!(
            "{}.state",
            csv.file_name().unwrap().to_str().unwrap()
        ));
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(br#"{"number":"442","st"#).unwrap();
        drop(file);
        let mut state = State::open(&csv, "con_1", "7").unwrap();
        assert_eq!((state.of("441"), state.of("442")), (sent, Step::Adding));
        assert_eq!(state.of("443"), Step::New);
        state.put("442", Step::Registered).unwrap();
        drop(state);
        let state = State::open(&csv, "con_1", "7").unwrap();
        assert_eq!(state.of("442"), Step::Registered);
        drop(state);
        let other = format!("{:#}", State::open(&csv, "con_2", "7").unwrap_err());
        assert!(other.contains("it is of connection con_1"), "{other}");
        std::fs::remove_file(path).unwrap();
    }
}
