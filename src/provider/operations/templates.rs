//! Templates: the calls.

use super::{HOUR, Operation, SECOND, Verb, dialog360, infobip, meta};

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
    with: &[],
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
    with: &[("fresh", "true")],
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
    with: &[],
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
    with: &[],
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
    with: &[],
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
    with: &[],
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
    with: &[],
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
    with: &[("deprecated_v1", "true")],
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
    with: &[("deprecated_v1", "true")],
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

/// Every row, in the order in which it is shown.
pub static ALL: [&Operation; 9] = [
    &LIST_TEMPLATES,
    &READ_TEMPLATE,
    &CREATE_TEMPLATE,
    &EDIT_TEMPLATE,
    &DELETE_TEMPLATE_NAME,
    &DELETE_TEMPLATE,
    &UNPAUSE_TEMPLATE,
    &LIST_TEMPLATES_V1,
    &CREATE_TEMPLATE_V1,
];
