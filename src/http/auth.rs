//! Who may use the API: whoever has a key. Laid over everything under `/v1`; it leaves the key's
//! id with the request, and where the request counts the memory that it takes.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;

use super::Api;
use super::body::Shares;
use super::problem::ApiError;

/// Lets a request with a valid key through.
pub async fn require_key(
    State(api): State<Api>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let key = bearer(request.headers()).ok_or(ApiError::Unauthorized)?;
    let key = api.keys.find(key).await?.ok_or(ApiError::Unauthorized)?;
    request.extensions_mut().insert(key);
    let shares = Shares::default();
    request.extensions_mut().insert(shares.clone());
    let response = next.run(request).await;
    drop(shares);
    Ok(response)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
