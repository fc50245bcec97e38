//! A folder of definitions.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

/// A file, and what it says.
#[derive(Debug)]
pub(super) struct Definition {
    path: PathBuf,
    pub(super) content: Value,
}

impl Definition {
    fn text(&self, name: &str) -> &str {
        self.content[name].as_str().unwrap_or_default()
    }

    /// For people.
    pub(super) fn title(&self) -> String {
        let (name, language) = (self.text("name"), self.text("language"));
        format!("{name} {language} ({})", self.path.display())
    }
}

/// All files of a folder, in the order of their names. Two that define the same are refused.
pub(super) fn read(folder: &Path) -> anyhow::Result<Vec<Definition>> {
    let entries = fs::read_dir(folder)
        .with_context(|| format!("the folder {} cannot be read", folder.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    let files: Vec<_> = paths.into_iter().map(one).collect::<anyhow::Result<_>>()?;
    let mut known = BTreeMap::new();
    for file in &files {
        let key = (file.text("name"), file.text("language"));
        if let Some(other) = known.insert(key, &file.path) {
            anyhow::bail!(
                "{} and {} define the same template",
                other.display(),
                file.path.display()
            );
        }
    }
    Ok(files)
}

fn one(path: PathBuf) -> anyhow::Result<Definition> {
    let shown = path.display().to_string();
    let bytes = fs::read(&path).with_context(|| format!("{shown} cannot be read"))?;
    let content: Value =
        serde_json::from_slice(&bytes).with_context(|| format!("{shown} is not JSON"))?;
    for name in ["name", "language"] {
        anyhow::ensure!(content[name].is_string(), "{shown}: `{name}` is missing");
    }
    Ok(Definition { path, content })
}
