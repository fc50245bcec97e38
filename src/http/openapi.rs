//! `/openapi.json`: OpenAPI 3.1 of everything that is served. Each router registers its handlers
//! together with what they say of themselves, so that nothing can be served and not described,
//! or the reverse. What follows from a rule, such as which problems a request with a body can
//! meet, is added here, once for all. Tests hold real answers against the result.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::content::Span;
use super::describe::describe;
use super::moment::Moment;
use super::page::{IdCursor, Limit};
use super::problem::Problem;
use crate::model::ids::{
    CampaignId, ConnectionId, MessageId, SenderId, SequenceId, SubscriptionId, TemplateId,
    WebhookId,
};
use crate::model::message::MessageStatus;

const ABOUT: &str = "\
On WhatsApp the second tick means *delivered*. This service takes the providers' webhooks, tells \
where every message is, and lets the next message of a sequence go only when the one before has \
been delivered.

Times are RFC 3339 in UTC, ids are opaque, absent values are `null`. More fields may be added to \
answers. [By task](docs/guide/README.md), with commands to try. An address that is not here is answered with 404 `not_found`, another method with 405 \
`method_not_allowed`.";

/// What is not said by a handler.
#[derive(OpenApi)]
#[openapi(
    info(title = "twotick", description = ABOUT),
    tags(
        (name = "Connections", description = "Accounts with providers."),
        (name = "Senders", description = "Business phone numbers."),
        (name = "Messages", description = "What is sent, and what became of it."),
        (name = "Sequences", description = "Ordered messages to one recipient."),
        (name = "Campaigns", description = "The same sequence for many recipients."),
        (name = "Templates", description = "What the provider says of templates."),
        (name = "Flows", description = "Forms that messages open; nothing of them is kept here."),
        (name = "Welcome sequences", description = "What users see who come from an ad, at Meta."),
        (name = "Media", description = "Files that messages bear; nothing of them is kept here."),
        (name = "Events", description = "Everything that happened, once."),
        (name = "Subscriptions", description = "Where internal services want events posted."),
        (name = "Recipients", description = "People."),
        (name = "Webhooks", description = "What providers post."),
        (name = "Running", description = "For whoever runs the service."),
    ),
    // Those that parameters alone name.
    components(schemas(
        Problem, IdCursor, Limit, Moment, Span, MessageStatus, ConnectionId, SenderId, MessageId,
        SequenceId, CampaignId, TemplateId, WebhookId, SubscriptionId,
    )),
)]
struct Frame;

/// The router that the others are laid into.
pub fn begin() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Frame::openapi())
}

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(document))
}

/// The finished document.
#[derive(Debug, Clone)]
pub struct Document {
    bytes: Bytes,
    /// The methods that each path takes.
    methods: BTreeMap<String, String>,
}

impl Document {
    /// What the handlers say, and what follows from it.
    pub fn of(said: utoipa::openapi::OpenApi) -> Self {
        // Texts and numbers alone: neither can fail.
        let mut document = serde_json::to_value(said).unwrap_or_default();
        describe(&mut document);
        let paths = document["paths"].as_object().into_iter().flatten();
        let methods = paths.map(|(path, operations)| {
            let operations = operations.as_object().into_iter().flatten();
            let methods = operations.map(|(method, _)| format!("`{}`", method.to_uppercase()));
            (path.clone(), methods.collect::<Vec<_>>().join(", "))
        });
        Self {
            methods: methods.collect(),
            bytes: serde_json::to_vec(&document).unwrap_or_default().into(),
        }
    }

    /// The methods that a path takes, with its parameters as it is described; `None` where it is not.
    pub fn methods(&self, path: &str) -> Option<&str> {
        self.methods.get(path).map(String::as_str)
    }

    /// With lines, ending in one.
    pub fn pretty(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(&self.value())? + "\n")
    }

    /// To read.
    pub fn value(&self) -> serde_json::Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }
}

/// Describes the API: this document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "Running",
    responses((status = 200, body = Object))
)]
async fn document(State(api): State<Api>) -> impl IntoResponse {
    let bytes = api.document.get().map(|document| document.bytes.clone());
    (
        [(header::CONTENT_TYPE, "application/json")],
        bytes.unwrap_or_default(),
    )
}
