//! The provider's secrets, on their way to the service. They are no flags: those stand in the
//! history of a shell, and in the list of processes.

use std::io::Read as _;

use secrecy::SecretString;

const KEY: &str = "PROVIDER_KEY";
const APP_SECRET: &str = "PROVIDER_APP_SECRET";

/// What was given of them.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// Meta's access token, another's API key.
    pub(super) key: Option<SecretString>,
    /// Meta's.
    pub(super) app_secret: Option<SecretString>,
}

/// From the environment; from standard input, where that is wanted, above it.
pub(super) fn read(from_stdin: bool) -> anyhow::Result<Secrets> {
    let of = |name: &str| std::env::var(name).ok().map(SecretString::from);
    let mut secrets = Secrets {
        key: of(KEY),
        app_secret: of(APP_SECRET),
    };
    if from_stdin {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        secrets.take(&text)?;
    }
    Ok(secrets)
}

impl Secrets {
    fn take(&mut self, text: &str) -> anyhow::Result<()> {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match line.split_once('=') {
                Some((KEY, value)) => self.key = Some(value.trim().into()),
                Some((APP_SECRET, value)) => self.app_secret = Some(value.trim().into()),
                // What it says may be a secret.
                _ => anyhow::bail!("expected lines {KEY}=… and {APP_SECRET}=… on standard input"),
            }
        }
        Ok(())
    }
}

/// A secret that nobody has to know but the service and the provider.
pub(super) fn made() -> String {
    data_encoding::HEXLOWER.encode(&crate::clock::random::<24>())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn lines_are_read_and_a_wrong_one_is_not_repeated() {
        let mut secrets = Secrets::default();
        secrets
            .take("PROVIDER_KEY=a=b\n\n PROVIDER_APP_SECRET = c\n")
            .unwrap_err();
        secrets
            .take("PROVIDER_KEY=a=b\nPROVIDER_APP_SECRET=c\n")
            .unwrap();
        assert_eq!(secrets.key.unwrap().expose_secret(), "a=b");
        assert_eq!(secrets.app_secret.unwrap().expose_secret(), "c");
        let error = Secrets::default().take("EAAG-secret").unwrap_err();
        assert!(!error.to_string().contains("EAAG"));
        assert_eq!(made().len(), 48);
    }
}
