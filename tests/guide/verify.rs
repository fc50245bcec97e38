use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Whether a request with these headers and this body is ours. `now` is in seconds.
pub fn is_ours(
    secret: &str,
    id: &str,
    sent: &str,
    signatures: &str,
    body: &[u8],
    now: i64,
) -> bool {
    let in_time = sent
        .parse()
        .is_ok_and(|sent: i64| (now - sent).abs() <= 300);
    let key = BASE64.decode(secret.trim_start_matches("whsec_").as_bytes());
    let mac = key
        .ok()
        .and_then(|key| Hmac::<Sha256>::new_from_slice(&key).ok());
    let Some(mac) = mac.filter(|_| in_time) else {
        return false;
    };
    let mac = mac.chain_update(format!("{id}.{sent}.")).chain_update(body);
    // Several while a secret is being rotated.
    signatures.split(' ').any(|one| {
        let theirs = BASE64.decode(one.trim_start_matches("v1,").as_bytes());
        theirs.is_ok_and(|theirs| mac.clone().verify_slice(&theirs).is_ok())
    })
}
