//! Flows: the calls.

use super::{Call, HOUR, Operation, Verb, infobip, meta};

const INFOBIP_FLOWS: &str = "whatsapp/1/senders/{number}/flows";
const INFOBIP_FLOW: &str = "whatsapp/1/senders/{number}/flows/{id}";
const INFOBIP_FLOW_JSON: &str = "whatsapp/1/senders/{number}/flows/{id}/json";

/// Neither of 360dialog's APIs for a number has flows.
const fn flows(
    name: &'static str,
    says: &'static str,
    api: &'static [&'static str],
    meta: Option<Call>,
    infobip: Call,
) -> Operation {
    Operation {
        name,
        says,
        api,
        with: &[],
        meta,
        dialog360: None,
        dialog360_onprem: None,
        infobip: Some(infobip),
    }
}

/// All flows of an account.
pub static LIST_FLOWS: Operation = flows(
    "flows.list",
    "List an account's flows: all pages.",
    &["GET /v1/flows"],
    meta(Verb::Get, "{version}/{waba}/flows"),
    infobip(Verb::Get, INFOBIP_FLOWS, "flows.list", 1000, HOUR),
);

/// One flow.
pub static READ_FLOW: Operation = flows(
    "flows.read",
    "Read one flow. Infobip has no call for one: it is looked for in the list.",
    &["GET /v1/flows/{id}"],
    meta(Verb::Get, "{version}/{id}"),
    infobip(Verb::Get, INFOBIP_FLOWS, "flows.list", 1000, HOUR),
);

/// A new flow.
pub static CREATE_FLOW: Operation = flows(
    "flows.create",
    "Make a flow: it begins as a draft.",
    &["POST /v1/flows"],
    meta(Verb::Post, "{version}/{waba}/flows"),
    infobip(Verb::Post, INFOBIP_FLOWS, "flows.create", 100, HOUR),
);

/// A flow's name and categories.
pub static UPDATE_FLOW: Operation = flows(
    "flows.update",
    "Change the name, the categories or the endpoint of a draft.",
    &["PATCH /v1/flows/{id}"],
    meta(Verb::Post, "{version}/{id}"),
    infobip(Verb::Patch, INFOBIP_FLOW, "flows.update", 100, HOUR),
);

/// The end of a draft.
pub static DELETE_FLOW: Operation = flows(
    "flows.delete",
    "Delete a draft.",
    &["DELETE /v1/flows/{id}"],
    meta(Verb::Delete, "{version}/{id}"),
    infobip(Verb::Delete, INFOBIP_FLOW, "flows.delete", 100, HOUR),
);

/// From draft to published.
pub static PUBLISH_FLOW: Operation = flows(
    "flows.publish",
    "Publish a draft: it cannot be changed any more.",
    &["POST /v1/flows/{id}/publish"],
    meta(Verb::Post, "{version}/{id}/publish"),
    infobip(
        Verb::Post,
        "whatsapp/1/senders/{number}/flows/{id}/publish",
        "flows.publish",
        100,
        HOUR,
    ),
);

/// From published to deprecated.
pub static DEPRECATE_FLOW: Operation = flows(
    "flows.deprecate",
    "Deprecate a published flow: it cannot be sent any more.",
    &["POST /v1/flows/{id}/deprecate"],
    meta(Verb::Post, "{version}/{id}/deprecate"),
    infobip(
        Verb::Post,
        "whatsapp/1/senders/{number}/flows/{id}/deprecate",
        "flows.deprecate",
        100,
        HOUR,
    ),
);

/// Where a flow's JSON can be had.
pub static READ_FLOW_JSON: Operation = flows(
    "flows.json",
    "Tell where a flow's JSON can be downloaded.",
    &["GET /v1/flows/{id}/json"],
    meta(Verb::Get, "{version}/{id}/assets"),
    infobip(Verb::Get, INFOBIP_FLOW_JSON, "flows.json", 1000, HOUR),
);

/// A flow's JSON.
pub static UPLOAD_FLOW_JSON: Operation = flows(
    "flows.upload",
    "Upload a draft's JSON; what is wrong with it is told although it is taken.",
    &["PUT /v1/flows/{id}/json"],
    meta(Verb::Post, "{version}/{id}/assets"),
    infobip(Verb::Put, INFOBIP_FLOW_JSON, "flows.upload", 100, HOUR),
);

/// A flow to look at.
pub static PREVIEW_FLOW: Operation = flows(
    "flows.preview",
    "Tell where a flow can be looked at, and until when.",
    &["GET /v1/flows/{id}/preview"],
    meta(Verb::Get, "{version}/{id}"),
    infobip(
        Verb::Get,
        "whatsapp/1/senders/{number}/flows/{id}/preview",
        "flows.preview",
        100,
        HOUR,
    ),
);

/// Every row, in the order in which it is shown.
pub static ALL: [&Operation; 10] = [
    &LIST_FLOWS,
    &READ_FLOW,
    &CREATE_FLOW,
    &UPDATE_FLOW,
    &DELETE_FLOW,
    &PUBLISH_FLOW,
    &DEPRECATE_FLOW,
    &READ_FLOW_JSON,
    &UPLOAD_FLOW_JSON,
    &PREVIEW_FLOW,
];
