//! What can be managed at the providers: one row an operation, with each provider's call for it.
//! All that sets one call apart from another is here as data (method, path, whether it changes
//! something, how often it may be made, through which call of our API it is reached); what bodies
//! say is in each provider's `manage`. `GET /v1/capabilities` shows this table, `manage` makes the
//! calls by it, and nothing is called that is not in it.
//!
//! A provider whose place in a row is empty lacks the operation: whoever asks for it is told so.

use std::time::Duration;

use serde_json::Value;

use super::meta::graph::encoded;
use crate::model::provider::Provider;

/// An HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "their names")]
pub enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether the call may be made again when nobody knows what became of it.
    pub const fn is_harmless(self) -> bool {
        matches!(self, Self::Get)
    }
}

/// How often a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Calls that share a limit have one name.
    pub class: &'static str,
    /// So many.
    pub calls: u32,
    /// In so long.
    pub per: Duration,
}

/// A provider's call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// How.
    pub verb: Verb,
    /// Below the provider's base address: `{name}` stands for what [`Call::path`] is given.
    pub path: &'static str,
    /// What the provider says of how often.
    pub limit: Option<Limit>,
    /// The provider has announced its end: it is made only for who asks for it by name.
    pub deprecated: bool,
}

impl Call {
    const fn deprecated(self) -> Self {
        Self {
            deprecated: true,
            ..self
        }
    }

    /// The path with its names filled in, each as one segment. A name that nobody gave is empty.
    pub fn path(&self, names: &[(&str, &str)]) -> String {
        let mut out = String::with_capacity(self.path.len() + 32);
        let mut rest = self.path;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            let given = names.iter().find(|(known, _)| *known == name);
            out.push_str(before);
            out.push_str(&given.map(|(_, value)| encoded(value)).unwrap_or_default());
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

/// Something that can be managed.
#[derive(Debug)]
pub struct Operation {
    /// Its name, such as `templates.create`.
    pub name: &'static str,
    /// What it does, for people.
    pub says: &'static str,
    /// The calls of our API that lead to it.
    pub api: &'static [&'static str],
    /// Meta's call.
    pub meta: Option<Call>,
    /// 360dialog's, in front of the Cloud API.
    pub dialog360: Option<Call>,
    /// 360dialog's, in front of the On-Premises API.
    pub dialog360_onprem: Option<Call>,
    /// Infobip's.
    pub infobip: Option<Call>,
}

impl Operation {
    /// A provider's call, if it has one.
    pub const fn at(&self, provider: Provider) -> Option<Call> {
        match provider {
            Provider::Meta => self.meta,
            Provider::Dialog360 => self.dialog360,
            Provider::Dialog360Onprem => self.dialog360_onprem,
            Provider::Infobip => self.infobip,
        }
    }

    /// Whether it changes something at the provider.
    pub fn changes(&self) -> bool {
        let calls = [
            self.meta,
            self.dialog360,
            self.dialog360_onprem,
            self.infobip,
        ];
        calls.iter().flatten().any(|call| !call.verb.is_harmless())
    }
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Meta's calls that manage share one limit an app and account, 5000 an hour for an account that
/// has a registered number ("Rate limits" of the WhatsApp Business Management API); the setting
/// `manage.meta_calls_per_hour` stands in its place.
pub const META_MANAGEMENT: &str = "meta.management";

const fn meta(verb: Verb, path: &'static str) -> Option<Call> {
    let limit = Some(Limit {
        class: META_MANAGEMENT,
        calls: 5000,
        per: HOUR,
    });
    Some(Call {
        verb,
        path,
        limit,
        deprecated: false,
    })
}

/// 360dialog says that its endpoints have limits, and not which.
const fn dialog360(verb: Verb, path: &'static str) -> Option<Call> {
    Some(Call {
        verb,
        path,
        limit: None,
        deprecated: false,
    })
}

/// Infobip's limits are those of its OpenAPI document (`x-throttling-info`), an endpoint each.
const fn infobip(
    verb: Verb,
    path: &'static str,
    class: &'static str,
    calls: u32,
    per: Duration,
) -> Call {
    Call {
        verb,
        path,
        limit: Some(Limit { class, calls, per }),
        deprecated: false,
    }
}

const DIALOG360_TEMPLATES: &str = "v1/configs/templates";
const DIALOG360_TEMPLATE: &str = "v1/configs/templates/{name}";
const INFOBIP_TEMPLATES: &str = "whatsapp/2/senders/{number}/templates";
const INFOBIP_TEMPLATE: &str = "whatsapp/2/senders/{number}/templates/{id}";
const INFOBIP_TEMPLATES_V1: &str = "whatsapp/1/senders/{number}/templates";

/// All templates of an account.
pub static LIST_TEMPLATES: Operation = Operation {
    name: "templates.list",
    says: "List an account's templates: all pages, by name, status, language or category.",
    api: &["POST /v1/templates/sync", "POST /v1/templates/diff"],
    meta: meta(Verb::Get, "{version}/{waba}/message_templates"),
    dialog360: dialog360(Verb::Get, DIALOG360_TEMPLATES),
    dialog360_onprem: dialog360(Verb::Get, DIALOG360_TEMPLATES),
    infobip: Some(infobip(
        Verb::Get,
        INFOBIP_TEMPLATES,
        "templates.list",
        2500,
        SECOND,
    )),
};

/// One template, by its id.
pub static READ_TEMPLATE: Operation = Operation {
    name: "templates.read",
    says: "Read one template. 360dialog has no call for one: its list is asked for the name.",
    api: &["GET /v1/templates/{id}"],
    meta: meta(Verb::Get, "{version}/{id}"),
    dialog360: dialog360(Verb::Get, DIALOG360_TEMPLATES),
    dialog360_onprem: dialog360(Verb::Get, DIALOG360_TEMPLATES),
    infobip: Some(infobip(
        Verb::Get,
        INFOBIP_TEMPLATE,
        "templates.read",
        2500,
        SECOND,
    )),
};

/// A new template.
pub static CREATE_TEMPLATE: Operation = Operation {
    name: "templates.create",
    says: "Submit a new template for review.",
    api: &["POST /v1/templates"],
    meta: meta(Verb::Post, "{version}/{waba}/message_templates"),
    dialog360: dialog360(Verb::Post, DIALOG360_TEMPLATES),
    dialog360_onprem: dialog360(Verb::Post, DIALOG360_TEMPLATES),
    infobip: Some(infobip(
        Verb::Post,
        INFOBIP_TEMPLATES,
        "templates.create",
        1000,
        HOUR,
    )),
};

/// A template's content, category or validity.
pub static EDIT_TEMPLATE: Operation = Operation {
    name: "templates.edit",
    says: "Edit a template that is approved, rejected or paused; it is reviewed again. 360dialog \
           edits through its partner API alone, which has other keys.",
    api: &["PATCH /v1/templates/{id}"],
    meta: meta(Verb::Post, "{version}/{id}"),
    dialog360: None,
    dialog360_onprem: None,
    infobip: Some(infobip(
        Verb::Patch,
        INFOBIP_TEMPLATE,
        "templates.edit",
        100,
        HOUR,
    )),
};

/// A name, in all of its languages.
pub static DELETE_TEMPLATE_NAME: Operation = Operation {
    name: "templates.delete_name",
    says: "Delete a template's name in all of its languages.",
    api: &["DELETE /v1/templates"],
    meta: meta(Verb::Delete, "{version}/{waba}/message_templates"),
    dialog360: dialog360(Verb::Delete, DIALOG360_TEMPLATE),
    dialog360_onprem: dialog360(Verb::Delete, DIALOG360_TEMPLATE),
    infobip: Some(infobip(
        Verb::Delete,
        "whatsapp/2/senders/{number}/templates/{name}",
        "templates.delete",
        200,
        HOUR,
    )),
};

/// One language of a name.
pub static DELETE_TEMPLATE: Operation = Operation {
    name: "templates.delete",
    says: "Delete one language of a template. Others than Meta delete names alone.",
    api: &["DELETE /v1/templates/{id}"],
    meta: meta(Verb::Delete, "{version}/{waba}/message_templates"),
    dialog360: None,
    dialog360_onprem: None,
    infobip: None,
};

/// The end of a pause.
pub static UNPAUSE_TEMPLATE: Operation = Operation {
    name: "templates.unpause",
    says: "Unpause a template that pacing paused.",
    api: &["POST /v1/templates/{id}/unpause"],
    meta: meta(Verb::Post, "{version}/{id}/unpause"),
    dialog360: None,
    dialog360_onprem: None,
    infobip: None,
};

/// Infobip's first list of templates.
pub static LIST_TEMPLATES_V1: Operation = Operation {
    name: "templates.list_v1",
    says: "List templates by Infobip's first API, deprecated since 29 June 2022.",
    api: &["POST /v1/templates/sync"],
    meta: None,
    dialog360: None,
    dialog360_onprem: None,
    infobip: Some(
        infobip(
            Verb::Get,
            INFOBIP_TEMPLATES_V1,
            "templates.list_v1",
            15,
            SECOND,
        )
        .deprecated(),
    ),
};

/// A new template by Infobip's first API.
pub static CREATE_TEMPLATE_V1: Operation = Operation {
    name: "templates.create_v1",
    says: "Submit a template by Infobip's first API, deprecated since 29 June 2022.",
    api: &["POST /v1/templates"],
    meta: None,
    dialog360: None,
    dialog360_onprem: None,
    infobip: Some(
        infobip(
            Verb::Post,
            INFOBIP_TEMPLATES_V1,
            "templates.create_v1",
            200,
            HOUR,
        )
        .deprecated(),
    ),
};

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
pub static ALL: [&Operation; 19] = [
    &LIST_TEMPLATES,
    &READ_TEMPLATE,
    &CREATE_TEMPLATE,
    &EDIT_TEMPLATE,
    &DELETE_TEMPLATE_NAME,
    &DELETE_TEMPLATE,
    &UNPAUSE_TEMPLATE,
    &LIST_TEMPLATES_V1,
    &CREATE_TEMPLATE_V1,
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

/// A call that is to be made: which, of whom, and what it says.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Which row.
    pub operation: &'static Operation,
    /// The path's names.
    pub names: Vec<(&'static str, String)>,
    /// The parameters behind the `?`.
    pub query: Vec<(&'static str, String)>,
    /// The body, if there is one.
    pub body: Option<Body>,
}

/// What a call says beside its address.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// JSON.
    Json(Value),
    /// A form of texts.
    Form(Vec<(&'static str, String)>),
    /// Bytes of a kind.
    Raw {
        /// What they are.
        content_type: String,
        /// As they are.
        bytes: Vec<u8>,
    },
}

/// A form as it goes out.
pub fn form(pairs: &[(&'static str, String)]) -> String {
    let pairs = pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

impl Ask {
    /// Of what the path names, without a body.
    pub fn of(operation: &'static Operation, names: &[(&'static str, &str)]) -> Self {
        let names = names
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        Self {
            operation,
            names: names.collect(),
            query: Vec::new(),
            body: None,
        }
    }

    /// With a parameter behind the `?`, if there is one.
    pub fn query(mut self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        self.query.extend(value.map(|value| (name, value.into())));
        self
    }

    /// With a JSON body.
    pub fn body(self, body: Value) -> Self {
        self.saying(Body::Json(body))
    }

    /// With a body.
    pub fn saying(self, body: Body) -> Self {
        Self {
            body: Some(body),
            ..self
        }
    }

    /// The address below the provider's own, of the call that the provider has for it.
    pub fn address(&self, call: &Call) -> String {
        let names: Vec<_> = self
            .names
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let mut address = call.path(&names);
        for (n, (name, value)) in self.query.iter().enumerate() {
            address.push(if n == 0 { '?' } else { '&' });
            address.push_str(name);
            address.push('=');
            address.push_str(&encoded(value));
        }
        address
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_fill_a_path_and_cannot_leave_their_segment() {
        let ask = Ask::of(&READ_TEMPLATE, &[("number", "44"), ("id", "../a b")]);
        let ask = ask.query("x", Some("1&y=2")).query("z", None::<&str>);
        let call = READ_TEMPLATE.infobip.unwrap();
        assert_eq!(
            ask.address(&call),
            "whatsapp/2/senders/44/templates/..%2Fa%20b?x=1%26y%3D2"
        );
    }

    #[test]
    fn every_row_is_there_once_and_leads_somewhere() {
        let names: BTreeSet<_> = ALL.iter().map(|operation| operation.name).collect();
        assert_eq!(names.len(), ALL.len());
        for operation in ALL {
            assert!(!operation.api.is_empty() && !operation.says.is_empty());
            let at = |provider| operation.at(provider);
            assert!(
                Provider::ALL
                    .into_iter()
                    .any(|provider| at(provider).is_some())
            );
        }
    }
}
