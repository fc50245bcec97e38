//! Any bytes as a webhook of this provider.

#![no_main]

#[path = "../../tests/fuzz/holds.rs"]
mod holds;

use libfuzzer_sys::fuzz_target;
use twotick::model::provider::Provider;

fuzz_target!(|bytes: &[u8]| holds::holds(Provider::Dialog360, bytes));
