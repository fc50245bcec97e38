//! Who runs the server. Postgres refuses root, so a root owner lends it another account; every
//! other owner runs it as himself. Called by `cluster` before anything is started.

use std::io;
use std::process::Command;

use super::PostgresError;

/// The accounts a root owner may lend, best first. macOS has the underscore.
const LENT: [&str; 3] = ["postgres", "_postgres", "nobody"];

/// A user as the kernel knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    pub uid: u32,
    /// The group to change to; `None` when the owner runs the server as himself.
    pub lent_gid: Option<u32>,
}

impl Account {
    /// The user that the server of this process's cluster runs as.
    pub fn of_server() -> Result<Self, PostgresError> {
        let uid = own_uid().map_err(|source| PostgresError::Process {
            program: "id",
            source,
        })?;
        if uid != 0 {
            return Ok(Self {
                uid,
                lent_gid: None,
            });
        }
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        lent(&passwd).ok_or(PostgresError::NoAccount)
    }
}

/// std does not tell the effective user, and `unsafe` for one number is not worth it.
fn own_uid() -> io::Result<u32> {
    let output = Command::new("id").arg("-u").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim()
        .parse()
        .map_err(|_| io::Error::other(format!("expected a number from `id -u`, got {text:?}")))
}

fn lent(passwd: &str) -> Option<Account> {
    let find = |wanted: &str| {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let uid = id(fields.nth(1)?)?;
            let gid = id(fields.next()?)?;
            (name == wanted && uid != 0).then_some(Account {
                uid,
                lent_gid: Some(gid),
            })
        })
    };
    LENT.into_iter().find_map(find)
}

/// macOS writes the ids of `nobody` as -2.
fn id(text: &str) -> Option<u32> {
    let signed: i64 = text.parse().ok()?;
    u32::try_from(signed)
        .ok()
        .or_else(|| i32::try_from(signed).ok().map(i32::cast_unsigned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_lends_postgres_else_nobody() {
        let both = "root:x:0:0::/:/bin/sh\nnobody:x:65534:65533::/:/x\npostgres:x:101:104::/:/x\n";
        let expected = |uid, gid| {
            Some(Account {
                uid,
                lent_gid: Some(gid),
            })
        };
        assert_eq!(lent(both), expected(101, 104));
        assert_eq!(lent(&both[..50]), expected(65534, 65533));
        assert_eq!(
            lent("nobody:*:-2:-2::/:/x\n"),
            expected(u32::MAX - 1, u32::MAX - 1)
        );
        assert_eq!(lent("root:x:0:0::/:/bin/sh\npostgres:x:0:0::/:/x\n"), None);
    }
}
