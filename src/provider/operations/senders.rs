//! Senders, their business profiles and their registration: the calls.

use super::{Call, Operation, SECOND, Verb, dialog360, infobip, meta};

const NUMBER: &str = "{version}/{number}";
const META_PROFILE: &str = "{version}/{number}/whatsapp_business_profile";
const DIALOG360_HEALTH: &str = "health_status";
const DIALOG360_PROFILE: &str = "whatsapp_business_profile";
const ONPREM_PROFILE: &str = "v1/settings/business/profile";
const ONPREM_ABOUT: &str = "v1/settings/profile/about";
const ONPREM_PHOTO: &str = "v1/settings/profile/photo";
const QUALITY: &str = "whatsapp/1/senders/quality";
const BUSINESS_INFO: &str = "whatsapp/1/senders/{number}/business-info";
const VERIFICATION: &str = "whatsapp/1/embedded-signup/registrations/senders/{number}/verification";

const fn ten_a_second(verb: Verb, path: &'static str, class: &'static str) -> Option<Call> {
    Some(infobip(verb, path, class, 10, SECOND))
}

const fn signup(verb: Verb, path: &'static str, class: &'static str) -> Option<Call> {
    Some(infobip(verb, path, class, 15, SECOND))
}

/// What only Meta lets its callers do: elsewhere the provider does it itself.
const fn metas_own(
    name: &'static str,
    says: &'static str,
    api: &'static [&'static str],
    path: &'static str,
) -> Operation {
    Operation {
        name,
        says,
        api,
        with: &[],
        meta: meta(Verb::Post, path),
        dialog360: None,
        dialog360_onprem: None,
        infobip: None,
    }
}

/// Numbers of an account.
pub static LIST_SENDERS: Operation = Operation {
    name: "senders.list",
    says: "List numbers with their quality, status and limit. A key of 360dialog's is one number, \
           of which its health alone is shown; Infobip shows numbers that it is asked for.",
    api: &["POST /v1/senders/sync"],
    with: &[],
    meta: meta(Verb::Get, "{version}/{waba}/phone_numbers"),
    dialog360: dialog360(Verb::Get, DIALOG360_HEALTH),
    dialog360_onprem: None,
    infobip: ten_a_second(Verb::Get, QUALITY, "senders.quality"),
};

/// One number.
pub static READ_SENDER: Operation = Operation {
    name: "senders.read",
    says: "Read a number: its quality, status, name and limit, as far as the provider shows them.",
    api: &["GET /v1/senders/{id}"],
    with: &[("fresh", "true")],
    meta: meta(Verb::Get, NUMBER),
    dialog360: dialog360(Verb::Get, DIALOG360_HEALTH),
    dialog360_onprem: None,
    infobip: ten_a_second(Verb::Get, QUALITY, "senders.quality"),
};

/// What users see of a business.
pub static READ_PROFILE: Operation = Operation {
    name: "senders.profile",
    says: "Read a number's business profile.",
    api: &["GET /v1/senders/{id}/profile"],
    with: &[],
    meta: meta(Verb::Get, META_PROFILE),
    dialog360: dialog360(Verb::Get, DIALOG360_PROFILE),
    dialog360_onprem: dialog360(Verb::Get, ONPREM_PROFILE),
    infobip: ten_a_second(Verb::Get, BUSINESS_INFO, "senders.profile"),
};

/// The text under the name, which the On-Premises API keeps apart.
pub static READ_ABOUT: Operation = Operation {
    name: "senders.about",
    says: "Read a profile's about text: a part of the profile but in the On-Premises API.",
    dialog360_onprem: dialog360(Verb::Get, ONPREM_ABOUT),
    ..READ_PROFILE
};

/// What users see of a business, changed.
pub static UPDATE_PROFILE: Operation = Operation {
    name: "senders.update_profile",
    says: "Change a number's business profile.",
    api: &["PATCH /v1/senders/{id}/profile"],
    with: &[],
    meta: meta(Verb::Post, META_PROFILE),
    dialog360: dialog360(Verb::Post, DIALOG360_PROFILE),
    dialog360_onprem: dialog360(Verb::Post, ONPREM_PROFILE),
    infobip: ten_a_second(Verb::Patch, BUSINESS_INFO, "senders.update_profile"),
};

/// The text under the name, changed.
pub static UPDATE_ABOUT: Operation = Operation {
    name: "senders.update_about",
    says: "Change a profile's about text: a part of the profile but in the On-Premises API.",
    dialog360_onprem: dialog360(Verb::Patch, ONPREM_ABOUT),
    ..UPDATE_PROFILE
};

/// The way in for a picture that is put into a profile by its handle.
pub static BEGIN_UPLOAD: Operation = Operation {
    name: "senders.begin_upload",
    says: "Begin the upload of a picture. Others take it, or an address, at once.",
    api: &["PUT /v1/senders/{id}/logo"],
    with: &[],
    meta: meta(Verb::Post, "{version}/app/uploads"),
    dialog360: dialog360(Verb::Post, "uploads"),
    dialog360_onprem: dialog360(Verb::Post, ONPREM_PHOTO),
    infobip: ten_a_second(Verb::Patch, BUSINESS_INFO, "senders.update_profile"),
};

/// The upload itself.
pub static UPLOAD: Operation = Operation {
    name: "senders.upload",
    says: "Upload a picture. Others take it, or an address, at once.",
    meta: meta(Verb::Post, "{version}/{id}"),
    dialog360: dialog360(Verb::Post, "{id}"),
    ..BEGIN_UPLOAD
};

/// The picture that users see, changed.
pub static SET_LOGO: Operation = Operation {
    name: "senders.set_logo",
    says: "Set a number's picture.",
    meta: meta(Verb::Post, META_PROFILE),
    dialog360: dialog360(Verb::Post, DIALOG360_PROFILE),
    ..BEGIN_UPLOAD
};

/// The picture that users see.
pub static READ_LOGO: Operation = Operation {
    name: "senders.logo",
    says: "Show a number's picture, or where it is.",
    api: &["GET /v1/senders/{id}/logo"],
    with: &[],
    meta: meta(Verb::Get, META_PROFILE),
    dialog360: dialog360(Verb::Get, DIALOG360_PROFILE),
    dialog360_onprem: dialog360(Verb::Get, ONPREM_PHOTO),
    infobip: ten_a_second(
        Verb::Get,
        "whatsapp/1/senders/{number}/business-info/logo",
        "senders.logo",
    ),
};

/// A number that is put on an account.
pub static ADD_SENDER: Operation = Operation {
    name: "senders.add",
    says: "Add a number to a WhatsApp Business Account. Infobip asks for its code at once.",
    api: &["POST /v1/senders/registrations"],
    with: &[],
    meta: meta(Verb::Post, "{version}/{waba}/phone_numbers"),
    dialog360: None,
    dialog360_onprem: None,
    infobip: signup(
        Verb::Post,
        "whatsapp/1/embedded-signup/registrations/business-account/{waba}/senders",
        "senders.add",
    ),
};

/// The code that proves whose a number is.
pub static REQUEST_CODE: Operation = Operation {
    name: "senders.request_code",
    says: "Have a number's verification code sent, by SMS or a call; again where it did not come.",
    api: &["POST /v1/senders/{id}/code"],
    with: &[],
    meta: meta(Verb::Post, "{version}/{number}/request_code"),
    dialog360: None,
    dialog360_onprem: None,
    infobip: signup(Verb::Put, VERIFICATION, "senders.request_code"),
};

/// The proof itself.
pub static VERIFY_CODE: Operation = Operation {
    name: "senders.verify",
    says: "Verify a number by its code. Infobip registers it then.",
    api: &["POST /v1/senders/{id}/verify"],
    with: &[],
    meta: meta(Verb::Post, "{version}/{number}/verify_code"),
    dialog360: None,
    dialog360_onprem: None,
    infobip: signup(Verb::Post, VERIFICATION, "senders.verify"),
};

/// From here on messages can be sent.
pub static REGISTER: Operation = metas_own(
    "senders.register",
    "Register a verified number for the Cloud API, with its six-digit PIN.",
    &["POST /v1/senders/{id}/register"],
    "{version}/{number}/register",
);

/// From here on they cannot.
pub static DEREGISTER: Operation = metas_own(
    "senders.deregister",
    "Take a number off the Cloud API: nothing can be sent through it any more.",
    &["POST /v1/senders/{id}/deregister"],
    "{version}/{number}/deregister",
);

/// What a registration asks for.
pub static SET_PIN: Operation = metas_own(
    "senders.set_pin",
    "Set the six-digit PIN of a number's two-step verification.",
    &["PUT /v1/senders/{id}/pin"],
    NUMBER,
);

/// Every row, in the order in which it is shown.
pub static ALL: [&Operation; 16] = [
    &LIST_SENDERS,
    &READ_SENDER,
    &READ_PROFILE,
    &READ_ABOUT,
    &UPDATE_PROFILE,
    &UPDATE_ABOUT,
    &BEGIN_UPLOAD,
    &UPLOAD,
    &SET_LOGO,
    &READ_LOGO,
    &ADD_SENDER,
    &REQUEST_CODE,
    &VERIFY_CODE,
    &REGISTER,
    &DEREGISTER,
    &SET_PIN,
];
