//! Finding the server's programs, and what is said when there are none.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use twotick::postgres::{Binaries, Places, PostgresError};

use crate::Reachable;

#[test]
fn without_binaries_the_message_names_what_to_install() {
    let empty = Reachable::folder();
    for bin_dir in [None, Some(empty.0.clone())] {
        let places = Places {
            bin_dir,
            path: Some("".into()),
            installed: vec![(empty.0.clone(), String::new())],
        };
        let error = Binaries::find(&places).unwrap_err();
        assert!(matches!(error, PostgresError::NotFound { .. }), "{error}");
        let message = error.to_string();
        let looked = empty.0.to_string_lossy();
        for part in [
            "apt-get install postgresql",
            "dnf install postgresql-server",
            "brew install postgresql",
            "PG_BIN_DIR",
            "DATABASE_URL",
            &looked,
        ] {
            assert!(message.contains(part), "{part} is missing in: {message}");
        }
    }
}

#[test]
fn the_highest_version_is_taken_and_one_too_old_is_refused() {
    let base = Reachable::folder();
    let install = |version: u32| {
        let bin = base.0.join(format!("pg-{version}/bin"));
        fs::create_dir_all(&bin).unwrap();
        for program in ["initdb", "postgres"] {
            let script = format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}.1'\n");
            fs::write(bin.join(program), script).unwrap();
            let executable = fs::Permissions::from_mode(0o755);
            fs::set_permissions(bin.join(program), executable).unwrap();
        }
        bin
    };
    let mut places = Places {
        installed: vec![(base.0.clone(), "pg-".to_owned())],
        ..Places::default()
    };

    let old = install(14);
    let error = Binaries::find(&places).unwrap_err();
    assert!(
        matches!(error, PostgresError::TooOld { version: 14, .. }),
        "{error}"
    );

    let (folder, _) = (install(17), install(9));
    assert_eq!(Binaries::find(&places).unwrap().folder, folder);
    places.path = Some(old.into());
    assert_eq!(Binaries::find(&places).unwrap().version, 17);
}
