//! `/v1/capabilities`: what can be managed at which provider, from the very table that the calls
//! are made by.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::json::Json;
use crate::model::provider::Provider;
use crate::provider::operations::{Call, Operation, all};

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(capabilities))
}

/// What can be managed at which provider.
#[derive(Debug, Serialize, ToSchema)]
struct Capabilities {
    data: Vec<Capability>,
}

/// Something that can be managed.
#[derive(Debug, Serialize, ToSchema)]
struct Capability {
    #[schema(example = "templates.create")]
    operation: &'static str,
    description: &'static str,
    /// Whether it changes something at the provider.
    changes: bool,
    /// The calls of this API that lead to it.
    #[schema(example = json!(["POST /v1/templates"]))]
    api: &'static [&'static str],
    /// What such a call has to say so that it is this, by the names of parameters.
    #[schema(example = json!({"fresh": "true"}))]
    with: BTreeMap<&'static str, &'static str>,
    /// Each provider's own call; `null` where it has none: the answer is 501 then.
    providers: AtProviders,
}

/// A provider each.
#[derive(Debug, Serialize, ToSchema)]
struct AtProviders {
    meta: Option<ProviderCall>,
    dialog360: Option<ProviderCall>,
    dialog360_onprem: Option<ProviderCall>,
    infobip: Option<ProviderCall>,
}

/// A provider's call.
#[derive(Debug, Serialize, ToSchema)]
struct ProviderCall {
    #[schema(example = "POST {version}/{waba}/message_templates")]
    call: String,
    /// The provider has announced its end: it is made only where it is asked for by name.
    deprecated: bool,
    /// How often it may be made, as far as the provider says.
    limit: Option<CallLimit>,
}

#[derive(Debug, Serialize, ToSchema)]
struct CallLimit {
    calls: u32,
    seconds: u64,
}

impl From<Call> for ProviderCall {
    fn from(call: Call) -> Self {
        Self {
            call: format!("{} {}", call.verb.as_str(), call.path),
            deprecated: call.deprecated,
            limit: call.limit.map(|limit| CallLimit {
                calls: limit.calls,
                seconds: limit.per.as_secs(),
            }),
        }
    }
}

impl From<&'static Operation> for Capability {
    fn from(operation: &'static Operation) -> Self {
        let at = |provider| operation.at(provider).map(ProviderCall::from);
        Self {
            operation: operation.name,
            description: operation.says,
            changes: operation.changes(),
            api: operation.api,
            with: operation.with.iter().copied().collect(),
            providers: AtProviders {
                meta: at(Provider::Meta),
                dialog360: at(Provider::Dialog360),
                dialog360_onprem: at(Provider::Dialog360Onprem),
                infobip: at(Provider::Infobip),
            },
        }
    }
}

/// Shows what can be managed at which provider, and by which calls.
#[utoipa::path(
    get,
    path = "/capabilities",
    operation_id = "get_capabilities",
    tag = "Running",
    responses((status = 200, body = Capabilities)),
)]
async fn capabilities() -> Json<Capabilities> {
    Json(Capabilities {
        data: all().map(Capability::from).collect(),
    })
}
