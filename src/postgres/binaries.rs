//! Finds `initdb` and `postgres` on the machine. Both always come from one folder, so that their
//! versions match. What is looked at is a parameter ([`Places`]); only
//! [`Places::from_environment`] looks at the environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::PostgresError;

/// The oldest major version whose SQL we use.
pub(super) const OLDEST: u32 = 15;

/// Where packages put Postgres: in `bin` of each folder here whose name is the prefix and a
/// version. In order: Debian and Ubuntu, Homebrew on Apple silicon and on Intel, the PostgreSQL
/// project's RPMs.
const INSTALLED: [(&str, &str); 4] = [
    ("/usr/lib/postgresql", ""),
    ("/opt/homebrew/opt", "postgresql@"),
    ("/usr/local/opt", "postgresql@"),
    ("/usr", "pgsql-"),
];

/// Where to look.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// `PG_BIN_DIR`. Someone chose it, so that nothing else is looked at when it is there.
    pub bin_dir: Option<PathBuf>,
    /// `PATH`.
    pub path: Option<OsString>,
    /// Folders of packages and the prefix before the version.
    pub installed: Vec<(PathBuf, String)>,
}

impl Places {
    /// `PG_BIN_DIR`, `PATH` and the folders that packages install to.
    pub fn from_environment() -> Self {
        Self {
            bin_dir: std::env::var_os("PG_BIN_DIR").map(PathBuf::from),
            path: std::env::var_os("PATH"),
            installed: INSTALLED
                .map(|(folder, prefix)| (PathBuf::from(folder), prefix.to_owned()))
                .into(),
        }
    }

    /// All folders to look in, best first: within a package's folder the highest version.
    fn folders(&self) -> Vec<PathBuf> {
        if let Some(chosen) = &self.bin_dir {
            return vec![chosen.clone()];
        }
        let path = self.path.iter().flat_map(std::env::split_paths);
        let mut folders: Vec<PathBuf> = path.filter(|folder| folder.is_absolute()).collect();
        for (folder, prefix) in &self.installed {
            let mut versions = versions(folder, prefix);
            versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
            folders.extend(versions.into_iter().map(|(_, folder)| folder.join("bin")));
        }
        folders
    }

    fn describe(&self) -> String {
        if let Some(chosen) = &self.bin_dir {
            return format!("PG_BIN_DIR = {}", chosen.display());
        }
        let installed = self
            .installed
            .iter()
            .map(|(folder, prefix)| format!("{}/{prefix}*/bin", folder.display()));
        ["PATH".to_owned()]
            .into_iter()
            .chain(installed)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// A folder with `initdb` and `postgres`, new enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// The folder that holds both.
    pub folder: PathBuf,
    /// The major version.
    pub version: u32,
}

impl Binaries {
    /// The first that is new enough. A folder that is too old is an error only if none is better.
    pub fn find(places: &Places) -> Result<Self, PostgresError> {
        let mut too_old = None;
        for folder in places.folders() {
            match version_in(&folder) {
                Some(version) if version >= OLDEST => return Ok(Self { folder, version }),
                Some(version) if too_old.is_none() => {
                    too_old = Some(PostgresError::TooOld { version, folder });
                }
                _ => {}
            }
        }
        Err(too_old.unwrap_or_else(|| PostgresError::NotFound {
            looked: places.describe(),
        }))
    }
}

fn versions(folder: &Path, prefix: &str) -> Vec<(u32, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path()))
        })
        .collect()
}

/// The major version in a folder, if it has both programs and they can be run.
fn version_in(folder: &Path) -> Option<u32> {
    if !folder.join("initdb").is_file() || !folder.join("postgres").is_file() {
        return None;
    }
    let output = Command::new(folder.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    major(&String::from_utf8_lossy(&output.stdout))
}

/// `postgres (PostgreSQL) 15.18 (Debian …)`, `… 18beta1`.
fn major(text: &str) -> Option<u32> {
    text.split_whitespace().find_map(|word| {
        let end = word.find(|c: char| !c.is_ascii_digit());
        word[..end.unwrap_or(word.len())].parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_every_kind_of_build() {
        assert_eq!(
            major("postgres (PostgreSQL) 15.18 (Debian 15.18-0)"),
            Some(15)
        );
        assert_eq!(major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major("postgres (PostgreSQL) 9.6.24"), Some(9));
        assert_eq!(major("no postgres"), None);
    }
}
