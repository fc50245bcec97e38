//! Names of environment variables that were meant to be a setting, and are none: one underscore too
//! few, or a letter. Whoever sets one believes that it counts. Others that begin so are somebody
//! else's (`TWOTICK_PORT` where a container platform names a service) and are left alone.

use config::{Config as Layers, File, FileFormat, Map, Value, ValueKind};

use super::{ConfigError, DEFAULTS};

/// What is read elsewhere.
const OTHERS: [&str; 4] = [
    "TWOTICK_CONFIG",
    "TWOTICK_SEALING_KEY",
    "TWOTICK_LOG_FORMAT",
    "TWOTICK_EXIT_WITH_PARENT",
];

/// Letters that may be wrong.
const WRONG: usize = 2;

/// Refuses the first of these names that is nearly a setting's.
pub fn check(names: impl Iterator<Item = String>) -> Result<(), ConfigError> {
    let known = known()?;
    for name in names.filter(|name| name.starts_with("TWOTICK_")) {
        if known.contains(&name) {
            continue;
        }
        let distance = |known: &String| strsim::damerau_levenshtein(&plain(known), &plain(&name));
        let closest = known.iter().min_by_key(|known| distance(known));
        if let Some(closest) = closest.filter(|closest| distance(closest) <= WRONG) {
            let closest = closest.clone();
            return Err(ConfigError::Misspelt { name, closest });
        }
    }
    Ok(())
}

/// Every setting's, and what is read elsewhere.
fn known() -> Result<Vec<String>, ConfigError> {
    let defaults = Layers::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
    let mut known: Vec<_> = OTHERS.map(str::to_owned).into();
    collect(defaults.build()?.try_deserialize()?, "TWOTICK_", &mut known);
    Ok(known)
}

fn collect(settings: Map<String, Value>, prefix: &str, known: &mut Vec<String>) {
    for (name, value) in settings {
        let name = format!("{prefix}_{}", name.to_uppercase());
        match value.kind {
            ValueKind::Table(section) => collect(section, &format!("{name}_"), known),
            _ => known.push(name),
        }
    }
}

/// Without what is easily one too many or too few.
fn plain(name: &str) -> String {
    name.replace("__", "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_nearly_a_settings_is_refused_with_that_one() {
        let check = |name: &str| check(std::iter::once(name.to_owned()));
        for (name, closest) in [
            ("TWOTICK_HTTP__LISTEN", "TWOTICK__HTTP__LISTEN"),
            ("TWOTICK_HTTP_LISTEN", "TWOTICK__HTTP__LISTEN"),
            ("TWOTICK__HTTP__LISTN", "TWOTICK__HTTP__LISTEN"),
            ("TWOTICK_SEALINGKEY", "TWOTICK_SEALING_KEY"),
            ("TWOTICK__HTTP__TLS__KEYS", "TWOTICK__HTTP__TLS__KEY"),
        ] {
            let refused = check(name).unwrap_err().to_string();
            assert!(refused.contains(name), "{refused}");
            assert!(refused.ends_with(&format!("`{closest}`?")), "{refused}");
        }
        for name in [
            "TWOTICK__HTTP__LISTEN",
            "TWOTICK_SEALING_KEY",
            "TWOTICK_PORT",
            "TWOTICK_SERVICE_HOST",
            "TWOTICK_PORT_8080_TCP_ADDR",
            "TWOTICK_SEED",
            "PATH",
        ] {
            assert!(check(name).is_ok(), "{name}");
        }
    }
}
