//! Where providers post webhooks: the calls. A provider has it set at one or several levels: Meta
//! for an app, an account and a number, of which the innermost counts; 360dialog for an account and
//! a number, and for a partner; Infobip by events, with a profile that says where they go and what proves them.

use super::{Call, Operation, Verb, dialog360, meta};

const SET: &str = "PUT /v1/connections/{id}/webhook_subscriptions/{level}";
const READ: &str = "GET /v1/connections/{id}/webhook_subscriptions/{level}";
const REMOVE: &str = "DELETE /v1/connections/{id}/webhook_subscriptions/{level}";

/// Where it is set.
type Level = &'static [(&'static str, &'static str)];
const APP: Level = &[("level", "app")];
const ACCOUNT: Level = &[("level", "account")];
const NUMBER: Level = &[("level", "number")];
const EVENTS: Level = &[("level", "events")];
const PARTNER: Level = &[("level", "partner")];

const CHANNEL: &str = "v1/configs/webhook";
const WABA_WEBHOOK: &str = "waba_webhook";

/// Meta's alone.
const fn of_meta(
    name: &'static str,
    says: &'static str,
    api: &'static [&'static str],
    with: Level,
    call: Option<Call>,
) -> Operation {
    Operation {
        name,
        says,
        api,
        with,
        meta: call,
        dialog360: None,
        dialog360_onprem: None,
        infobip: None,
    }
}

/// Whose a key is.
pub static READ_TOKEN: Operation = of_meta(
    "connections.token",
    "Tell whose the connection's key is, what it may do, and until when.",
    &["GET /v1/connections/{id}/token"],
    &[],
    meta(Verb::Get, "{version}/debug_token"),
);

/// Where an app's webhooks go.
pub static READ_APP: Operation = of_meta(
    "webhooks.read_app",
    "Tell where an app's webhooks go, and which.",
    &[READ],
    APP,
    meta(Verb::Get, "{version}/{app}/subscriptions"),
);

/// The same, set.
pub static SET_APP: Operation = of_meta(
    "webhooks.set_app",
    "Let an app's webhooks come here. Meta asks this service first whether it is to be.",
    &[SET],
    APP,
    meta(Verb::Post, "{version}/{app}/subscriptions"),
);

/// The end of it.
pub static REMOVE_APP: Operation = of_meta(
    "webhooks.remove_app",
    "Let an app's webhooks come no more.",
    &[REMOVE],
    APP,
    meta(Verb::Delete, "{version}/{app}/subscriptions"),
);

/// Where an account's webhooks go.
pub static READ_ACCOUNT: Operation = Operation {
    dialog360: dialog360(Verb::Get, WABA_WEBHOOK),
    ..of_meta(
        "webhooks.read_account",
        "Tell whether an account's webhooks come, and where they go.",
        &[READ],
        ACCOUNT,
        meta(Verb::Get, "{version}/{waba}/subscribed_apps"),
    )
};

/// The same, set.
pub static SET_ACCOUNT: Operation = Operation {
    dialog360: dialog360(Verb::Post, WABA_WEBHOOK),
    ..of_meta(
        "webhooks.set_account",
        "Let an account's webhooks come here.",
        &[SET],
        ACCOUNT,
        meta(Verb::Post, "{version}/{waba}/subscribed_apps"),
    )
};

/// The end of it.
pub static REMOVE_ACCOUNT: Operation = of_meta(
    "webhooks.remove_account",
    "Let an account's webhooks come no more.",
    &[REMOVE],
    ACCOUNT,
    meta(Verb::Delete, "{version}/{waba}/subscribed_apps"),
);

/// Where the webhooks of numbers go.
pub static READ_NUMBER: Operation = Operation {
    dialog360: dialog360(Verb::Get, CHANNEL),
    dialog360_onprem: dialog360(Verb::Get, CHANNEL),
    ..of_meta(
        "webhooks.read_number",
        "Tell where the webhooks of numbers go. Meta: those of all numbers of an account.",
        &[READ],
        NUMBER,
        meta(Verb::Get, "{version}/{waba}/phone_numbers"),
    )
};

/// The same, set.
pub static SET_NUMBER: Operation = Operation {
    dialog360: dialog360(Verb::Post, CHANNEL),
    dialog360_onprem: dialog360(Verb::Post, CHANNEL),
    ..of_meta(
        "webhooks.set_number",
        "Let a number's webhooks come here, wherever those of its account go.",
        &[SET],
        NUMBER,
        meta(Verb::Post, "{version}/{id}"),
    )
};

/// The end of it.
pub static REMOVE_NUMBER: Operation = of_meta(
    "webhooks.remove_number",
    "Let a number's webhooks go where those of its account go.",
    &[REMOVE],
    NUMBER,
    meta(Verb::Post, "{version}/{id}"),
);

/// Where 360dialog tells a partner of templates, channels and clients: of all that are its own. The
/// partner's key goes with the request, so that it is read and removed at 360dialog alone.
pub static SET_PARTNER: Operation = Operation {
    dialog360: dialog360(Verb::Post, "api/v2/partners/{partner}/webhook_url"),
    dialog360_onprem: dialog360(Verb::Post, "api/v2/partners/{partner}/webhook_url"),
    ..of_meta(
        "webhooks.set_partner",
        "Let what a partner is told of templates and channels come here, with the partner's key.",
        &[SET],
        PARTNER,
        None,
    )
};

/// Infobip's alone; it says nothing of how often.
const fn of_infobip(
    name: &'static str,
    says: &'static str,
    api: &'static [&'static str],
    verb: Verb,
    path: &'static str,
) -> Operation {
    Operation {
        infobip: dialog360(verb, path),
        ..of_meta(name, says, api, EVENTS, None)
    }
}

const SUBSCRIPTIONS: &str = "subscriptions/1/subscription/WHATSAPP";
const SUBSCRIPTION: &str = "subscriptions/1/subscription/WHATSAPP/{own}";
const PROFILE: &str = "subscriptions/1/profiles/{own}";

/// Which events go where.
pub static READ_EVENTS: Operation = of_infobip(
    "webhooks.read_events",
    "Tell which of an account's events go where.",
    &[READ],
    Verb::Get,
    SUBSCRIPTIONS,
);

/// Where they go.
pub static READ_PROFILE: Operation = of_infobip(
    "webhooks.read_profile",
    "Tell where the events of a subscription go, and with which headers.",
    &[READ],
    Verb::Get,
    PROFILE,
);

/// Events that come here.
pub static CREATE_EVENTS: Operation = of_infobip(
    "webhooks.create_events",
    "Let an account's events come here: a subscription, with its profile and what proves it.",
    &[SET],
    Verb::Post,
    SUBSCRIPTIONS,
);

/// The same, brought up to date.
pub static UPDATE_EVENTS: Operation = of_infobip(
    "webhooks.update_events",
    "Bring a subscription's events up to date.",
    &[SET],
    Verb::Put,
    SUBSCRIPTION,
);

/// Where they go, brought up to date.
pub static UPDATE_PROFILE: Operation = of_infobip(
    "webhooks.update_profile",
    "Bring up to date where a subscription's events go.",
    &[SET],
    Verb::Put,
    PROFILE,
);

/// What proves them.
pub static CREATE_SECURITY: Operation = of_infobip(
    "webhooks.create_security",
    "Make what proves a subscription's events.",
    &[SET],
    Verb::Post,
    "subscriptions/1/security",
);

/// The same, brought up to date.
pub static UPDATE_SECURITY: Operation = of_infobip(
    "webhooks.update_security",
    "Bring what proves a subscription's events up to date.",
    &[SET],
    Verb::Put,
    "subscriptions/1/security/{own}",
);

/// The end of it.
pub static REMOVE_EVENTS: Operation = of_infobip(
    "webhooks.remove_events",
    "Let an account's events come no more.",
    &[REMOVE],
    Verb::Delete,
    SUBSCRIPTION,
);

/// Every row, in the order in which it is shown.
pub static ALL: [&Operation; 19] = [
    &READ_TOKEN,
    &READ_APP,
    &SET_APP,
    &REMOVE_APP,
    &READ_ACCOUNT,
    &SET_ACCOUNT,
    &REMOVE_ACCOUNT,
    &READ_NUMBER,
    &SET_NUMBER,
    &REMOVE_NUMBER,
    &SET_PARTNER,
    &READ_EVENTS,
    &READ_PROFILE,
    &CREATE_EVENTS,
    &UPDATE_EVENTS,
    &UPDATE_PROFILE,
    &CREATE_SECURITY,
    &UPDATE_SECURITY,
    &REMOVE_EVENTS,
];
