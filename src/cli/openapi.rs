//! `twotick openapi`: the description of the API, as `/openapi.json` serves it. The repository has it
//! as `docs/openapi.json`.

use std::io::Write as _;

use crate::http;

/// Writes it to stdout.
pub fn run() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(http::openapi()?.as_bytes())?;
    Ok(out.flush()?)
}
