//! Posts of one claim that go as one request, where the provider takes several messages in one
//! (`provider::most_joined`). Each is an attempt like any other, with its own token, slot and
//! record; only the request and its answer are shared. What was refused before, or whose answer was
//! lost, goes alone: one message that the provider chokes on must not keep others from going.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::call::{Call, Came};
use super::post::{NotPosted, Post};
use crate::provider::{self, Request};
use crate::store::Connection;

/// Bytes of one body. Below what a proxy takes whom nobody has told otherwise (1 MiB).
const MOST_BYTES: usize = 512 * 1024;

/// A POST that is ready, by way of whoever makes it.
pub(super) enum Exchange {
    /// The message has a request of its own.
    Alone(Call),
    /// It is the first of a request, and asks for the others too.
    For(Call, Vec<oneshot::Sender<Came>>),
    /// It is told by the first.
    Told(oneshot::Receiver<Came>),
}

impl Exchange {
    /// Posts, or waits for who does: until the call's own time limit at the latest.
    pub(super) async fn came(self) -> Came {
        let (call, others) = match self {
            Self::Alone(call) => (call, Vec::new()),
            Self::For(call, others) => (call, others),
            Self::Told(told) => {
                let lost = |_| Came::Lost("who posted it broke down".to_owned());
                return told.await.unwrap_or_else(lost);
            }
        };
        let mut came = call.exchange().await.into_iter();
        let own = came.next();
        for (other, came) in others.into_iter().zip(came) {
            // It is gone only with its claimer, and then nobody records anything.
            let _ = other.send(came);
        }
        own.unwrap_or_else(|| Came::Lost("nothing was asked".to_owned()))
    }
}

/// What a post needs to go, if that is there already.
pub(super) type Ready = Option<(Arc<Connection>, Exchange)>;

/// Requests for what can go together.
struct Group {
    path: String,
    bytes: usize,
    /// By their places among the posts.
    members: Vec<(usize, Request)>,
}

/// The posts in their order, those with what they need that go together. The others see to it
/// themselves.
pub(super) async fn join(posts: &[Post]) -> Vec<Ready> {
    let mut ready: Vec<Ready> = posts.iter().map(|_| None).collect();
    let fresh = |post: &Post| post.claim.refusals == 0 && !post.claim.repeated;
    let Some(first) = posts.first() else {
        return ready;
    };
    if posts.len() < 2 || !provider::joins(first.lease.provider) {
        return ready;
    }
    // Where it cannot be read, each finds that out.
    let Ok(connection) = first.connection().await else {
        return ready;
    };
    let mut groups: Vec<Group> = Vec::new();
    for (place, post) in posts.iter().enumerate().filter(|(_, post)| fresh(post)) {
        let Ok(request) = post.request(&connection) else {
            continue;
        };
        let most = provider::most_joined(connection.provider, &request.path);
        if most > 1 {
            add(&mut groups, place, request, most);
        }
    }
    for group in groups.into_iter().filter(|group| group.members.len() > 1) {
        let places: Vec<_> = group.members.iter().map(|(place, _)| *place).collect();
        // Nothing has left: each tries alone.
        let Ok(exchanges) = exchanges(posts, &connection, group) else {
            continue;
        };
        for (place, exchange) in places.into_iter().zip(exchanges) {
            if let Some(ready) = ready.get_mut(place) {
                *ready = Some((Arc::clone(&connection), exchange));
            }
        }
    }
    ready
}

/// To a group that has room, or to a new one.
fn add(groups: &mut Vec<Group>, place: usize, request: Request, most: usize) {
    let Ok(bytes) = serde_json::to_vec(&request.body).map(|body| body.len()) else {
        return;
    };
    let has_room = |group: &&mut Group| {
        group.path == request.path
            && group.members.len() < most
            && group.bytes + bytes <= MOST_BYTES
    };
    match groups.iter_mut().find(has_room) {
        Some(group) => {
            group.bytes += bytes;
            group.members.push((place, request));
        }
        None => groups.push(Group {
            path: request.path.clone(),
            bytes,
            members: vec![(place, request)],
        }),
    }
}

/// Of each member in its order; the first asks for all.
fn exchanges(
    posts: &[Post],
    connection: &Connection,
    group: Group,
) -> Result<Vec<Exchange>, NotPosted> {
    let (places, requests): (Vec<_>, Vec<_>) = group.members.into_iter().unzip();
    let members: Vec<_> = places
        .iter()
        .filter_map(|place| posts.get(*place))
        .collect();
    let ids = members.iter().map(|post| post.claim.attempt.to_callback());
    let first = members.first().ok_or("nothing is to be posted")?;
    let request = provider::join(connection.provider, group.path, requests);
    let call = first.call(connection, &request, ids.collect())?;
    let (tell, told): (Vec<_>, Vec<_>) = members.iter().skip(1).map(|_| oneshot::channel()).unzip();
    let told = told.into_iter().map(Exchange::Told);
    Ok(std::iter::once(Exchange::For(call, tell))
        .chain(told)
        .collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn groups(most: usize, sizes: &[usize]) -> Vec<Vec<usize>> {
        let mut groups = Vec::new();
        for (place, size) in sizes.iter().enumerate() {
            let request = Request {
                path: "a/path".to_owned(),
                body: json!("x".repeat(*size)),
            };
            add(&mut groups, place, request, most);
        }
        let places = |group: Group| group.members.into_iter().map(|(place, _)| place);
        groups
            .into_iter()
            .map(|group| places(group).collect())
            .collect()
    }

    #[test]
    fn a_request_has_no_more_messages_and_no_more_bytes_than_it_may() {
        assert_eq!(groups(2, &[1, 1, 1]), [vec![0, 1], vec![2]]);
        let half = MOST_BYTES / 2;
        assert_eq!(groups(9, &[half, half, 1]), [vec![0, 2], vec![1]]);
        // One that is larger than all that is joined goes alone.
        assert_eq!(groups(9, &[2 * MOST_BYTES, 1, 1]), [vec![0], vec![1, 2]]);
    }
}
