//! `/docs`: the API for people, from `/openapi.json`. Its script is RapiDoc (MIT), kept in `docs/`
//! beside this file, so that the page asks nobody else: its Content-Security-Policy holds it to
//! that, here and nowhere else. Beside it, the pages of the guide.

mod guide;

use std::io::Read as _;

use axum::Router;
use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Api;
use super::compress::{Coding, wanted};
use super::problem::ApiError;

const PAGE: &str = include_str!("docs/index.html");
const LICENCE: &str = include_str!("docs/licence.txt");
const SCRIPT: &[u8] = include_bytes!("docs/rapidoc-min.js.gz");

/// Its own script, which styles what it makes, and our own answers; nothing from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; font-src data:; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

pub fn router() -> Router<Api> {
    Router::new()
        .route(
            "/docs",
            get(async || shown("text/html; charset=utf-8", PAGE)),
        )
        .route(
            "/docs/licence.txt",
            get(async || shown("text/plain; charset=utf-8", LICENCE)),
        )
        .route("/docs/rapidoc-min.js", get(script))
        .route("/docs/{*page}", get(page))
}

async fn page(Path(path): Path<String>) -> Result<Response, ApiError> {
    let page = guide::page(&path).ok_or(ApiError::NotFound("page"))?;
    Ok(shown("text/html; charset=utf-8", page))
}

fn shown(kind: &'static str, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Another version of the service may have another.
        (CACHE_CONTROL, "public, max-age=3600"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn script(headers: HeaderMap) -> Result<Response, ApiError> {
    const KIND: &str = "text/javascript; charset=utf-8";
    let mut response = match wanted(&headers).contains(&Coding::Gzip) {
        true => {
            let mut packed = shown(KIND, SCRIPT);
            let gzip = HeaderValue::from_static("gzip");
            packed.headers_mut().insert(CONTENT_ENCODING, gzip);
            packed
        }
        false => {
            let mut plain = Vec::new();
            let read = flate2::read::GzDecoder::new(SCRIPT).read_to_end(&mut plain);
            read.map_err(|_| ApiError::Internal)?;
            shown(KIND, plain)
        }
    };
    let vary = HeaderValue::from_static("accept-encoding");
    response.headers_mut().insert(VARY, vary);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn the_script_is_rapidocs_as_npm_has_it() {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(SCRIPT)
            .read_to_end(&mut plain)
            .unwrap();
        // Of rapidoc@9.3.8: scripts/vendor-rapidoc fetches it and says this.
        let known = "affbd173a65e870e18f392cca963113bcdafb6e50e88cd2f6a834a65b22db94d";
        let found: String = Sha256::digest(&plain)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(found, known);
    }
}
