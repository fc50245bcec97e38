//! What a provider answers, read within a bound: its word is believed, its length is not.

use reqwest::Response;
use secrecy::{ExposeSecret as _, SecretString};

/// Far more than any answer that we understand.
const MOST: usize = 1 << 20;

/// Why the body of an answer is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    #[error("the answer did not come whole")]
    Cut(#[from] reqwest::Error),
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

/// The body of an answer.
pub(super) async fn body(response: Response) -> Result<Vec<u8>, Unread> {
    body_within(response, MOST).await
}

/// The body of an answer of at most so many bytes.
pub(super) async fn body_within(mut response: Response, most: usize) -> Result<Vec<u8>, Unread> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > most {
            return Err(Unread::TooLong(most));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A refusal without the keys that its call bore: Graph's error 190 repeats one that is malformed,
/// and what a provider says is shown, told on and logged.
pub(crate) fn without_keys<'a>(
    body: Vec<u8>,
    keys: impl IntoIterator<Item = &'a SecretString>,
) -> Vec<u8> {
    /// Nothing shorter is a key; a shorter one would take words out.
    const SHORTEST: usize = 8;
    let keys = keys.into_iter().map(|key| key.expose_secret());
    keys.filter(|key| key.len() >= SHORTEST)
        .fold(body, |body, key| match holds(&body, key.as_bytes()) {
            true => String::from_utf8_lossy(&body).replace(key, "…").into(),
            false => body,
        })
}

fn holds(body: &[u8], key: &[u8]) -> bool {
    body.windows(key.len()).any(|part| part == key)
}
