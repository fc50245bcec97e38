//! The server's own files as we write and read them: `postgresql.conf`, `postmaster.pid`, the
//! log. Called by `cluster`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// What an error shows of the log.
const LOG_TAIL: u64 = 2_000;

/// Appends our settings and then the caller's to `postgresql.conf`: the last one of a name counts.
pub(super) fn configure(
    conf: &Path,
    socket_dir: &Path,
    settings: &[(String, String)],
) -> io::Result<()> {
    let ours = [
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", &socket_dir.to_string_lossy()),
        // One server for all tests of a process, each with pools of its own.
        ("max_connections", "300"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
    ];
    let theirs = settings.iter().map(|(name, value)| (&**name, &**value));
    let lines: String = ours
        .into_iter()
        .chain(theirs)
        .map(|(name, value)| format!("{name} = '{}'\n", quoted(value)))
        .collect();
    OpenOptions::new()
        .append(true)
        .open(conf)?
        .write_all(lines.as_bytes())
}

fn quoted(value: &str) -> String {
    value.replace('\\', r"\\").replace('\'', "''")
}

/// Whether this postmaster takes connections. The process id is compared because a killed
/// postmaster leaves its file behind, which says "ready" too.
pub(super) fn is_ready(data_dir: &Path, postmaster: u32) -> bool {
    let Ok(text) = fs::read_to_string(data_dir.join("postmaster.pid")) else {
        return false;
    };
    let mut lines = text.lines().map(str::trim);
    // LOCK_FILE_LINE_PM_STATUS of Postgres's pidfile.h is line 8.
    lines.next() == Some(&postmaster.to_string()) && lines.nth(6) == Some("ready")
}

/// The log from an offset on, at most its end. A log that cannot be read must not hide the error
/// that it would have explained.
pub(super) fn log_since(log: &Path, start: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut log = File::open(log)?;
        let tail = log.metadata()?.len().saturating_sub(LOG_TAIL);
        log.seek(SeekFrom::Start(start.max(tail)))?;
        let mut bytes = Vec::new();
        log.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("{} cannot be read: {error}", log.display()),
    }
}

/// Whether the server ended because someone else has its port.
pub(super) fn port_taken(log: &str) -> bool {
    log.contains("could not create any TCP/IP sockets")
}

/// Whether the server did not start because backends of the one before still run.
pub(super) fn backends_left(log: &str) -> bool {
    log.contains("is still in use")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_may_hold_quotes_and_backslashes() {
        assert_eq!(quoted(r"it's a \ here"), r"it''s a \\ here");
    }
}
