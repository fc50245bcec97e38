//! The folder of a cluster: `twotick-pg-…` with `data`, the socket and `log`.
//!
//! What always holds: whoever works in a folder (its maker first, then the watcher, `initdb`,
//! `postgres` and all its children, for which it is standard error) has `log` open and locked. The
//! kernel ends that lock with the last of them and not before. So a log that is not locked means
//! that nobody is left, whatever the process ids in the folder say, and the folder may be removed.
//!
//! An owner killed in the few milliseconds between making the folder and starting the watcher
//! leaves no process, but the folder, for the next start to remove; killed before the first line
//! of the log, it leaves an empty folder for good, since that cannot be told from one being made.
//! Called by `cluster`.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;

use super::PostgresError;
use super::account::Account;

const PREFIX: &str = "twotick-pg-";
/// What reaches into the folder: `/twotick-pg-0123456789ab/.s.PGSQL.65535`.
const SOCKET_PATH_REST: usize = 1 + PREFIX.len() + 12 + 1 + 15;
/// The longest path of a Unix socket on macOS (Linux: 107).
const SOCKET_PATH_LONGEST: usize = 103;

/// A folder that was just made. Whoever gets `log` as standard error keeps the folder alive.
#[derive(Debug)]
pub(super) struct Folder {
    pub path: PathBuf,
    pub log: File,
}

impl Folder {
    /// Makes a folder that only the server's user and root can look into, after removing those
    /// of dead owners.
    pub fn make(account: Account) -> Result<Self, PostgresError> {
        let base = base(&std::env::temp_dir());
        remove_leftovers(&base, account.uid);
        let path = base.join(format!(
            "{PREFIX}{}",
            HEXLOWER.encode(&crate::clock::random::<6>())
        ));
        match Self::make_at(&path, account) {
            Ok(log) => Ok(Self { path, log }),
            Err(source) => Err(PostgresError::Folder { path, source }),
        }
    }

    fn make_at(path: &Path, account: Account) -> io::Result<File> {
        DirBuilder::new().mode(0o700).create(path)?;
        let log_path = path.join("log");
        let mut log = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&log_path)?;
        log.lock()?;
        if let Some(gid) = account.lent_gid {
            chown(&log_path, Some(account.uid), Some(gid))?;
            chown(path, Some(account.uid), Some(gid))?;
        }
        // Only now, with the lock held: until then `is_left` takes the folder as being made.
        writeln!(log, "made by process {}", std::process::id())?;
        Ok(log)
    }
}

/// Writes a file that only the server's user and root can read.
pub(super) fn write_secret(path: &Path, secret: &str, account: Account) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    if let Some(gid) = account.lent_gid {
        chown(path, Some(account.uid), Some(gid))?;
    }
    file.write_all(secret.as_bytes())
}

/// The system's temporary folder, or `/tmp` if another user could not come into the first one (a
/// `TMPDIR` below a home folder), the path of the socket would be too long, or the name holds
/// what means something else in a URL or in `postgresql.conf`.
fn base(temp_dir: &Path) -> PathBuf {
    let open_to_all = |folder: &Path| {
        fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0)
    };
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
    let length = temp_dir.as_os_str().len() + SOCKET_PATH_REST;
    if length <= SOCKET_PATH_LONGEST
        && temp_dir.is_absolute()
        && temp_dir.as_os_str().as_encoded_bytes().iter().all(plain)
        && temp_dir.ancestors().all(open_to_all)
    {
        return temp_dir.to_owned();
    }
    PathBuf::from("/tmp")
}

/// Removes the folders nobody works in any more: of owners and watchers that ended together, as
/// when the machine lost power. What cannot be removed is left to the next start.
fn remove_leftovers(base: &Path, uid: u32) {
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    for entry in entries {
        let path = entry.path();
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir() && found.uid() == uid);
        if ours && let Some(_lock) = is_left(&path.join("log")) {
            match fs::remove_dir_all(&path) {
                Ok(()) => {
                    tracing::info!(folder = %path.display(), "removed what a dead process left")
                }
                Err(error) => tracing::warn!(folder = %path.display(), %error, "cannot remove"),
            }
        }
    }
}

/// The lock on the log of a folder that nobody works in. A log that is empty or missing belongs
/// to an owner between making the folder and locking it.
fn is_left(log: &Path) -> Option<File> {
    // Anything else than a file, a pipe for one, could block the opening.
    let found = fs::symlink_metadata(log).ok()?;
    if !found.is_file() || found.len() == 0 {
        return None;
    }
    let log = File::open(log).ok()?;
    log.try_lock().ok()?;
    Some(log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_folder_that_others_cannot_reach_is_not_used() {
        let made = |name: &str, mode| {
            let name = format!("{name}-{}", std::process::id());
            let path = Path::new("/tmp").join(name);
            DirBuilder::new().mode(mode).create(&path).unwrap();
            path
        };
        let (open, closed) = (made("open", 0o755), made("closed", 0o700));
        assert_eq!(base(&open), open);
        assert_eq!(base(&closed), Path::new("/tmp"));
        assert_eq!(base(&open.join("missing")), Path::new("/tmp"));
        fs::remove_dir(open).unwrap();
        fs::remove_dir(closed).unwrap();
    }

    #[test]
    fn a_temporary_folder_too_long_for_a_socket_is_not_used() {
        assert_eq!(base(Path::new(&"/".repeat(80))), Path::new("/tmp"));
    }
}
