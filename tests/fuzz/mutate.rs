//! Bodies that somebody might send: documented ones with a few things wrong. A seed makes them.

use rand::RngExt as _;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::IndexedRandom as _;

/// What may stand where another value was due.
const VALUES: [&str; 22] = [
    "null",
    "true",
    "0",
    "-1",
    "1e400",
    "99999999999999999999",
    "1.5",
    "\"\"",
    "\"0\"",
    "\"1763769600\"",
    "1763769600",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"NaN\"",
    "[]",
    "{}",
    "[null]",
    "[[[]]]",
    "{\"a\":{}}",
    "{\"id\":1,\"id\":\"2\",\"status\":[]}",
    "\"delivered\"",
    "[{\"id\":\"x\",\"status\":\"sent\"}]",
];
/// No mutation makes a body longer than this.
const LONGEST: usize = 64 << 10;

/// One to six mutations of one of these.
pub fn mutant(corpus: &[Vec<u8>], rng: &mut Xoshiro256PlusPlus) -> Vec<u8> {
    let mut bytes = corpus.choose(rng).expect("a corpus").clone();
    for _ in 0..rng.random_range(1..=6) {
        bytes = mutated(bytes, corpus, rng);
        bytes.truncate(LONGEST);
    }
    bytes
}

fn mutated(mut bytes: Vec<u8>, corpus: &[Vec<u8>], rng: &mut Xoshiro256PlusPlus) -> Vec<u8> {
    if bytes.is_empty() {
        return b"{}".to_vec();
    }
    let at = rng.random_range(0..bytes.len());
    match rng.random_range(0..12) {
        0 => bytes[at] = rng.random(),
        1 => bytes.insert(at, rng.random()),
        2 => drop(bytes.remove(at)),
        3 => bytes.truncate(at),
        // A piece twice, or none of it.
        4 => {
            let end = rng.random_range(at..=bytes.len().min(at + 200));
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
        5 => {
            let end = rng.random_range(at..=bytes.len().min(at + 200));
            bytes.drain(at..end);
        }
        // The end of another body.
        6 => {
            let other = corpus.choose(rng).expect("a corpus");
            let from = rng.random_range(0..other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        7..=9 => {
            let value = VALUES.choose(rng).expect("values");
            return replaced(&bytes, rng, |_| value.as_bytes().to_vec());
        }
        // A number as text, text as it stands in quotes.
        10 => {
            return replaced(&bytes, rng, |was| match was {
                [b'"', inner @ .., b'"'] => inner.to_vec(),
                bare => [b"\"", bare, b"\""].concat(),
            });
        }
        _ => {
            let times = rng.random_range(1..400);
            return replaced(&bytes, rng, |was| {
                [b"[".repeat(times), was.to_vec(), b"]".repeat(times)].concat()
            });
        }
    }
    bytes
}

/// With another value behind one of the colons, up to the next comma or bracket.
fn replaced(
    bytes: &[u8],
    rng: &mut Xoshiro256PlusPlus,
    with: impl Fn(&[u8]) -> Vec<u8>,
) -> Vec<u8> {
    let colons: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b':').collect();
    let Some(colon) = colons.choose(rng) else {
        return with(bytes);
    };
    let rest = &bytes[colon + 1..];
    let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']');
    let length = rest.iter().position(is_end).unwrap_or(rest.len());
    [&bytes[..=*colon], &with(&rest[..length]), &rest[length..]].concat()
}
