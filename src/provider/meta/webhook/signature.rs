//! Who posted a webhook: the signature over its raw bytes, and the handshake that Meta makes when
//! a callback URL is set. Both fail closed: without a usable secret nothing is authentic.

use data_encoding::HEXLOWER_PERMISSIVE;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The header that is believed. Its SHA-1 predecessor (`X-Hub-Signature`) is not.
pub const SIGNATURE_HEADER: &str = "X-Hub-Signature-256";

/// Why a body is not taken for Meta's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// No app secret is configured.
    #[error("no app secret is configured")]
    NoSecret,
    /// The request has no `X-Hub-Signature-256`.
    #[error("the request is not signed")]
    Missing,
    /// The header is not `sha256=` and 64 hexadecimal digits.
    #[error("the signature is malformed")]
    Malformed,
    /// No secret signs this body so.
    #[error("the signature is wrong")]
    Wrong,
}

/// Why a handshake is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// No verify token is configured.
    #[error("no verify token is configured")]
    NoToken,
    /// `hub.mode` is not `subscribe`.
    #[error("`hub.mode` is not `subscribe`")]
    Mode,
    /// `hub.verify_token` is missing, or none of ours.
    #[error("the verify token is wrong")]
    Token,
    /// `hub.challenge` is missing.
    #[error("`hub.challenge` is missing")]
    Challenge,
}

/// Checks `X-Hub-Signature-256`: HMAC-SHA256 over the bytes as they were received, under any of
/// the app's secrets (several while one is rotated). Never over a body that was read and written
/// again: Meta signs its escapes (`\u00e4`, `\/`), which re-encoding changes.
pub fn verify_signature(
    header: Option<&[u8]>,
    body: &[u8],
    secrets: &[SecretString],
) -> Result<(), SignatureError> {
    // An empty key is a key that everybody has.
    let mut secrets = secrets
        .iter()
        .filter(|s| !s.expose_secret().is_empty())
        .peekable();
    secrets.peek().ok_or(SignatureError::NoSecret)?;
    let hex = header
        .ok_or(SignatureError::Missing)?
        .strip_prefix(b"sha256=")
        .ok_or(SignatureError::Malformed)?;
    let signature = HEXLOWER_PERMISSIVE
        .decode(hex)
        .ok()
        .filter(|bytes| bytes.len() == 32)
        .ok_or(SignatureError::Malformed)?;
    for secret in secrets {
        let mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes());
        let verified = mac.is_ok_and(|mac| mac.chain_update(body).verify_slice(&signature).is_ok());
        if verified {
            return Ok(());
        }
    }
    Err(SignatureError::Wrong)
}

/// Answers Meta's handshake: `hub.challenge`, to be echoed byte for byte as plain text. Tokens
/// are compared by digest in constant time, so that not even their length shows.
pub fn verify_handshake<'a>(
    mode: Option<&str>,
    token: Option<&str>,
    challenge: Option<&'a str>,
    expected: &[SecretString],
) -> Result<&'a str, HandshakeError> {
    let mut expected = expected
        .iter()
        .filter(|t| !t.expose_secret().is_empty())
        .peekable();
    expected.peek().ok_or(HandshakeError::NoToken)?;
    if mode != Some("subscribe") {
        return Err(HandshakeError::Mode);
    }
    let given = Sha256::digest(token.ok_or(HandshakeError::Token)?);
    let known = expected.fold(Choice::from(0), |known, token| {
        known | Sha256::digest(token.expose_secret()).ct_eq(&given)
    });
    if !bool::from(known) {
        return Err(HandshakeError::Token);
    }
    challenge.ok_or(HandshakeError::Challenge)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(texts: &[&str]) -> Vec<SecretString> {
        texts.iter().map(|text| SecretString::from(*text)).collect()
    }

    fn sign(body: &[u8], secret: &str) -> Vec<u8> {
        let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        let tag = mac.chain_update(body).finalize().into_bytes();
        format!("sha256={}", data_encoding::HEXLOWER.encode(&tag)).into_bytes()
    }

    #[test]
    fn the_signature_agrees_with_rfc_4231() {
        let header = b"sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let body = b"what do ya want for nothing?";
        assert_eq!(
            verify_signature(Some(header), body, &secrets(&["Jefe"])),
            Ok(())
        );
    }

    #[test]
    fn the_signature_is_over_the_bytes_as_received() {
        let escaped = br#"{"name":"\u00e4\u00f6","mime":"text\/html"}"#;
        let plain = r#"{"name":"äö","mime":"text/html"}"#.as_bytes();
        let keys = secrets(&["s3cret"]);
        for body in [&escaped[..], plain, b"", b"\xff\x00"] {
            assert_eq!(
                verify_signature(Some(&sign(body, "s3cret")), body, &keys),
                Ok(())
            );
        }
        let signed = sign(escaped, "s3cret");
        assert_eq!(
            verify_signature(Some(&signed), plain, &keys),
            Err(SignatureError::Wrong)
        );
    }

    #[test]
    fn both_secrets_are_good_while_one_is_rotated() {
        let keys = secrets(&["new", "old"]);
        assert_eq!(
            verify_signature(Some(&sign(b"{}", "old")), b"{}", &keys),
            Ok(())
        );
        assert_eq!(
            verify_signature(Some(&sign(b"{}", "new")), b"{}", &keys),
            Ok(())
        );
        let upper = sign(b"{}", "new").to_ascii_uppercase();
        let upper = [b"sha256=", &upper[7..]].concat();
        assert_eq!(verify_signature(Some(&upper), b"{}", &keys), Ok(()));
        let other = sign(b"{}", "older");
        assert_eq!(
            verify_signature(Some(&other), b"{}", &keys),
            Err(SignatureError::Wrong)
        );
    }

    #[test]
    fn what_is_not_signed_is_refused() {
        let keys = secrets(&["s3cret"]);
        let good = sign(b"{}", "s3cret");
        assert_eq!(
            verify_signature(None, b"{}", &keys),
            Err(SignatureError::Missing)
        );
        let spaced = [b" ", &good[..]].concat();
        let sha1 = b"sha1=0123456789012345678901234567890123456789".to_vec();
        for header in [
            &good[7..],
            &good[..good.len() - 2],
            b"",
            b"sha256=",
            b"\xff",
            &sha1,
            &spaced,
        ] {
            assert_eq!(
                verify_signature(Some(header), b"{}", &keys),
                Err(SignatureError::Malformed)
            );
        }
    }

    #[test]
    fn without_a_secret_nothing_is_authentic() {
        let forged = sign(b"{}", "");
        for none in [secrets(&[]), secrets(&["", ""])] {
            assert_eq!(
                verify_signature(Some(&forged), b"{}", &none),
                Err(SignatureError::NoSecret)
            );
            let answer = verify_handshake(Some("subscribe"), Some(""), Some("1"), &none);
            assert_eq!(answer, Err(HandshakeError::NoToken));
        }
        let some = secrets(&["", "s3cret"]);
        assert_eq!(
            verify_signature(Some(&forged), b"{}", &some),
            Err(SignatureError::Wrong)
        );
    }

    #[test]
    fn the_challenge_is_echoed_to_who_knows_the_token() {
        let tokens = secrets(&["alpha", "beta"]);
        let ask = |mode, token, challenge| verify_handshake(mode, token, challenge, &tokens);
        let subscribe = Some("subscribe");
        assert_eq!(
            ask(subscribe, Some("beta"), Some("0042 <é>")),
            Ok("0042 <é>")
        );
        assert_eq!(ask(subscribe, Some("alpha"), Some("7")), Ok("7"));
        assert_eq!(
            ask(subscribe, Some("alph"), Some("7")),
            Err(HandshakeError::Token)
        );
        assert_eq!(
            ask(subscribe, Some(""), Some("7")),
            Err(HandshakeError::Token)
        );
        assert_eq!(ask(subscribe, None, Some("7")), Err(HandshakeError::Token));
        assert_eq!(
            ask(subscribe, Some("alpha"), None),
            Err(HandshakeError::Challenge)
        );
        assert_eq!(
            ask(Some("unsubscribe"), Some("alpha"), Some("7")),
            Err(HandshakeError::Mode)
        );
        assert_eq!(
            ask(None, Some("alpha"), Some("7")),
            Err(HandshakeError::Mode)
        );
    }
}
