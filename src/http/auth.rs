//! Who may use the API: whoever has a key that allows it (`permit`). Laid over everything under
//! `/v1`; it leaves the key with the request, and where the request counts the memory that it
//! takes. What is done with a key that manages or administers is written down before it is done.

use std::sync::Arc;

use axum::extract::{MatchedPath, OriginalUri, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::body::Shares;
use super::problem::ApiError;
use super::{Api, erase, observe, permit, tag};
use crate::manage::{Caller, for_caller};
use crate::model::scope::Scope;
use crate::store::Left;
use crate::store::audit::NewAct;
use crate::store::keys::Key;

/// Lets a request through whose key allows it; whatever is answered is tagged.
///
/// One layer for both: each is a box and a copy of all below it, with every request.
pub async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    let answer = async |request| {
        let answered = require_key(api, request, next).await;
        answered.unwrap_or_else(ApiError::into_response)
    };
    tag::tag(request, answer).await
}

async fn require_key(api: Api, request: Request, next: Next) -> Result<Response, ApiError> {
    let key = bearer(request.headers()).ok_or(ApiError::Unauthorized)?;
    let key = api.keys.find(key).await?.ok_or(ApiError::Unauthorized)?;
    let limit = key.requests_per_second;
    let limit = limit.unwrap_or(api.config.http.requests_per_second);
    let left = (limit > 0).then(|| api.keys.take(key.id, limit));
    let mut response = match left.filter(|left| !left.wait.is_zero()) {
        Some(left) => ApiError::TooManyRequests(left).into_response(),
        None => {
            let permitted = permitted(&api, key, request, next).await;
            permitted.unwrap_or_else(ApiError::into_response)
        }
    };
    if let Some(left) = left {
        tell(response.headers_mut(), left);
    }
    Ok(response)
}

async fn permitted(
    api: &Api,
    key: Arc<Key>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let path = request.extensions().get::<MatchedPath>();
    let path = path.map(MatchedPath::as_str).unwrap_or_default();
    let needed = permit::check(&key, request.method(), path, request.uri())?;
    let is_act = is_act(needed, &request);
    let caller = Caller {
        key: Arc::clone(&key),
        is_act,
    };
    let act = match is_act {
        true => Some(api.store.begin_act(&act(&key, &request)).await?),
        false => None,
    };
    let extensions = request.extensions_mut();
    extensions.insert(key.id);
    extensions.insert(Arc::clone(&key));
    let shares = Shares::default();
    extensions.insert(shares.clone());
    let Some(act) = act else {
        let answered = for_caller(caller, permit::within(key, next.run(request)));
        let (response, _) = answered.await;
        drop(shares);
        return Ok(response);
    };
    // To its end, though its caller hang up: what has been begun is done and written down. Whoever
    // stops the service waits for it.
    let store = api.store.clone();
    let done = api.work.spawn(observe::carried(async move {
        let answered = for_caller(caller, permit::within(key, next.run(request)));
        let (response, detail) = answered.await;
        drop(shares);
        let status = response.status().as_u16();
        let ended = store.end_act(act, status, detail.as_deref());
        if let Err(error) = ended.await {
            tracing::warn!(%act, %error, "the audit does not know what came of this");
        }
        response
    }));
    done.await.map_err(|error| {
        tracing::error!(%error, "a request broke down");
        ApiError::Internal
    })
}

/// Whether it manages or administers: what one may do who manages alone, whoever does it.
fn is_act(needed: &[Scope], request: &Request) -> bool {
    needed.iter().any(|scope| scope.is_audited()) && !request.method().is_safe()
}

fn act(key: &Key, request: &Request) -> NewAct {
    let uri = request.extensions().get::<OriginalUri>();
    let path = uri.map_or_else(|| request.uri().path(), |uri| uri.path());
    let route = request.extensions().get::<MatchedPath>();
    let path = match route.map(MatchedPath::as_str) {
        // Who was erased must not stand here for ever.
        Some(erase::ROUTE) => erase::ROUTE,
        _ => path,
    };
    NewAct {
        by_key: key.id.to_string(),
        by_name: key.name.clone(),
        action: format!("{} {path}", request.method()),
        request_id: observe::request_id(),
    }
}

/// What the key has left, as `draft-ietf-httpapi-ratelimit-headers-03` has it.
fn tell(headers: &mut HeaderMap, left: Left) {
    let seconds = left.wait.as_secs() + u64::from(left.wait.subsec_nanos() > 0);
    for (name, value) in [
        ("ratelimit-limit", u64::from(left.limit)),
        ("ratelimit-remaining", left.remaining as u64),
        ("ratelimit-reset", seconds),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
}

pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
