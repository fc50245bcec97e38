//! Media: the calls. 360dialog's Cloud API has Meta's, without a version and a number; its
//! On-Premises API answers the bytes at once. Infobip takes no media: it fetches what is sent from
//! an address; it shows what users sent.

use std::time::Duration;

use super::{Call, HOUR, Limit, Operation, SECOND, Verb, dialog360, infobip, meta};

const META_MEDIA: &str = "{version}/{id}";
const ONPREM_MEDIA: &str = "v1/media/{id}";
const INFOBIP_MEDIA: &str = "whatsapp/1/senders/{number}/media/{id}";
const MINUTE: Duration = Duration::from_secs(60);

const fn infobip_media(verb: Verb) -> Option<Call> {
    Some(infobip(verb, INFOBIP_MEDIA, "media", 15, SECOND))
}

/// 360dialog takes 25 uploads a second of a number ("Upload, retrieve or delete media").
const DIALOG360_UPLOAD: Option<Call> = match dialog360(Verb::Post, "media") {
    Some(call) => Some(Call {
        limit: Some(Limit {
            class: "media.upload",
            calls: 25,
            per: SECOND,
        }),
        ..call
    }),
    None => None,
};

/// After 20 error answers within 60 minutes it answers no such call for 30 (the same page).
const DIALOG360_READ: Option<Call> = match dialog360(Verb::Get, "{id}") {
    Some(call) => Some(Call {
        refusals: Some(Limit {
            class: "media.refused",
            calls: 19,
            per: HOUR,
        }),
        ..call
    }),
    None => None,
};

/// Something to send, given to the provider.
pub static UPLOAD_MEDIA: Operation = Operation {
    name: "media.upload",
    says: "Upload media to send: streamed to the provider.",
    api: &["POST /v1/media"],
    with: &[],
    meta: meta(Verb::Post, "{version}/{number}/media"),
    dialog360: DIALOG360_UPLOAD,
    dialog360_onprem: dialog360(Verb::Post, "v1/media"),
    infobip: None,
};

/// What it is.
pub static READ_MEDIA: Operation = Operation {
    name: "media.read",
    says: "Tell type, size and hash of media.",
    api: &["GET /v1/media/{id}"],
    with: &[],
    meta: meta(Verb::Get, META_MEDIA),
    dialog360: DIALOG360_READ,
    dialog360_onprem: None,
    infobip: infobip_media(Verb::Head),
};

/// The bytes.
pub static DOWNLOAD_MEDIA: Operation = Operation {
    name: "media.download",
    says: "Download media, what users sent too. Meta and 360dialog's Cloud API tell an address \
           first, which is asked with the key.",
    api: &["GET /v1/media/{id}/content"],
    with: &[],
    meta: meta(Verb::Get, META_MEDIA),
    dialog360: DIALOG360_READ,
    dialog360_onprem: dialog360(Verb::Get, ONPREM_MEDIA),
    infobip: infobip_media(Verb::Get),
};

/// Its end.
pub static DELETE_MEDIA: Operation = Operation {
    name: "media.delete",
    says: "Delete media.",
    api: &["DELETE /v1/media/{id}"],
    with: &[],
    meta: meta(Verb::Delete, META_MEDIA),
    dialog360: dialog360(Verb::Delete, "{id}"),
    dialog360_onprem: dialog360(Verb::Delete, ONPREM_MEDIA),
    infobip: Some(infobip(
        Verb::Delete,
        "whatsapp/1/senders/{number}/media",
        "media.delete",
        30,
        MINUTE,
    )),
};

const fn sample(name: &'static str, says: &'static str, meta: Option<Call>) -> Operation {
    Operation {
        name,
        says,
        api: &["POST /v1/media/samples"],
        with: &[],
        meta,
        dialog360: None,
        dialog360_onprem: None,
        infobip: None,
    }
}

/// A sample for templates: where its upload begins.
pub static BEGIN_SAMPLE: Operation = sample(
    "media.sample",
    "Upload a sample of a template's header: begin. The others take an address instead.",
    meta(Verb::Post, "{version}/{app}/uploads"),
);

/// Its bytes, from an offset on.
pub static SEND_SAMPLE: Operation = sample(
    "media.sample_send",
    "Upload a sample of a template's header: its bytes.",
    meta(Verb::Post, "{version}/upload:{session}"),
);

/// How much of it came.
pub static ASK_SAMPLE: Operation = sample(
    "media.sample_ask",
    "Upload a sample of a template's header: how much of it came, after a broken connection.",
    meta(Verb::Get, "{version}/upload:{session}"),
);

/// Every row, in the order in which it is shown.
pub static ALL: [&Operation; 7] = [
    &UPLOAD_MEDIA,
    &READ_MEDIA,
    &DOWNLOAD_MEDIA,
    &DELETE_MEDIA,
    &BEGIN_SAMPLE,
    &SEND_SAMPLE,
    &ASK_SAMPLE,
];
