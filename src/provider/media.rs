//! Media: what each provider takes, which calls, and what their answers say. Sizes and types are
//! those of Meta's page on media (audio and video 16 MB, images 5 MB, stickers 500 KB, documents
//! 100 MB); 360dialog's On-Premises API takes 64 MB at most, and any type as a document.

use serde_json::{Value, json};

use super::content::{Fault, Wrong};
use super::operations::{Ask, media as op};
use super::templates::{Account, Named, names};
use crate::model::provider::Provider;

const MB: u64 = 1 << 20;

/// The largest that any provider takes.
pub const LARGEST: u64 = 100 * MB;

/// The largest sample: it is held until all of it came, so that it can be sent again from anywhere.
pub const LARGEST_SAMPLE: u64 = 16 * MB;

/// 360dialog's On-Premises API.
const LARGEST_ONPREM: u64 = 64 * MB;

/// What WhatsApp takes: types of a kind, and how much of it.
const KINDS: [(&str, &[&str], u64); 5] = [
    (
        "audio",
        &[
            "audio/aac",
            "audio/amr",
            "audio/mpeg",
            "audio/mp4",
            "audio/ogg",
        ],
        16 * MB,
    ),
    ("image", &["image/jpeg", "image/png"], 5 * MB),
    ("sticker", &["image/webp"], 500 << 10),
    ("video", &["video/mp4", "video/3gpp"], 16 * MB),
    (
        "document",
        &[
            "text/plain",
            "application/pdf",
            "application/msword",
            "application/vnd.ms-excel",
            "application/vnd.ms-powerpoint",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        ],
        100 * MB,
    ),
];

/// Meta's resumable upload.
const SAMPLES: [&str; 5] = [
    "application/pdf",
    "image/jpeg",
    "image/jpg",
    "image/png",
    "video/mp4",
];

/// A file that is to be uploaded.
#[derive(Debug, Clone)]
pub struct File {
    /// Its type, as its `Content-Type` has it.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// How long it is, in bytes.
    pub length: u64,
}

impl File {
    /// The type without what says more of it.
    fn essence(&self) -> String {
        let essence = self.kind.split(';').next().unwrap_or_default();
        essence.trim().to_ascii_lowercase()
    }
}

fn fault(field: &str, reason: String) -> Fault {
    Fault {
        field: field.to_owned(),
        reason,
        wrong: Wrong::Malformed,
    }
}

fn too_long(kind: &str, most: u64) -> Fault {
    let most = match most % MB {
        0 => format!("{} MB", most / MB),
        _ => format!("{} KB", most >> 10),
    };
    fault(
        "Content-Length",
        format!("expected at most {most} of {kind}"),
    )
}

/// What keeps a file from being uploaded to be sent.
pub fn check(provider: Provider, file: &File) -> Vec<Fault> {
    let essence = file.essence();
    let known = KINDS
        .iter()
        .find(|(_, types, _)| types.contains(&essence.as_str()));
    let is_onprem = provider == Provider::Dialog360Onprem;
    let (kind, most) = match known {
        Some((kind, _, most)) => (*kind, *most),
        None if is_onprem => ("document", LARGEST_ONPREM),
        None => {
            let types = KINDS.iter().flat_map(|(_, types, _)| *types);
            let types: Vec<_> = types.copied().collect();
            let said = format!("expected one of `{}`", types.join("`, `"));
            return vec![fault("Content-Type", said)];
        }
    };
    let most = if is_onprem {
        most.min(LARGEST_ONPREM)
    } else {
        most
    };
    length(file, kind, most)
}

/// What keeps a file from being uploaded as a sample.
pub fn check_sample(file: &File) -> Vec<Fault> {
    if !SAMPLES.contains(&file.essence().as_str()) {
        let said = format!("expected one of `{}`", SAMPLES.join("`, `"));
        return vec![fault("Content-Type", said)];
    }
    let most = if file.essence().starts_with("image/") {
        5 * MB
    } else {
        LARGEST_SAMPLE
    };
    length(file, "a sample", most)
}

fn length(file: &File, kind: &str, most: u64) -> Vec<Fault> {
    match file.length {
        0 => vec![fault("Content-Length", "expected some bytes".to_owned())],
        length if length > most => vec![too_long(kind, most)],
        _ => Vec::new(),
    }
}

/// Whether an id may be one of media. Meta's and 360dialog's stand where other things do.
pub fn is_id(provider: Provider, id: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let fits = |byte| match provider {
        Provider::Meta | Provider::Dialog360 => is_digit(byte),
        Provider::Dialog360Onprem | Provider::Infobip => is_word(byte),
    };
    (1..=200).contains(&id.len()) && id.bytes().all(fits)
}

/// What stands before and behind a file as it goes out, and the type of the whole. `boundary` is in
/// no file: it is made for this one.
pub fn frame(provider: Provider, file: &File, boundary: &str) -> (String, String, String) {
    if provider == Provider::Dialog360Onprem {
        return (String::new(), String::new(), file.kind.clone());
    }
    // Nothing in a name or a type ends its line or its quotes.
    let clean = |text: &str| text.replace(['"', '\r', '\n', '\\'], "_");
    let (name, kind) = (clean(&file.name), clean(&file.kind));
    let text = |name: &str, value: &str| {
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        )
    };
    let head = format!(
        "{}{}--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
         Content-Type: {kind}\r\n\r\n",
        text("messaging_product", "whatsapp"),
        text("type", &kind),
    );
    let tail = format!("\r\n--{boundary}--\r\n");
    (
        head,
        tail,
        format!("multipart/form-data; boundary={boundary}"),
    )
}

/// Uploads: the body is streamed beside it.
pub fn upload(account: &Account<'_>) -> Ask {
    Ask::of(&op::UPLOAD_MEDIA, &names(account, None))
}

fn about<'a>(account: &Account<'a>, id: &'a str) -> [(&'static str, &'a str); 5] {
    names(account, Some(Named { id, name: "" }))
}

/// Whose it has to be, where the provider asks: nobody reads or deletes another number's.
fn owned(ask: Ask, provider: Provider, account: &Account<'_>) -> Ask {
    let number =
        (provider == Provider::Meta && !account.number.is_empty()).then_some(account.number);
    ask.query("phone_number_id", number)
}

/// Asks what it is.
pub fn read(provider: Provider, account: &Account<'_>, id: &str) -> Ask {
    let ask = Ask::of(&op::READ_MEDIA, &about(account, id));
    owned(ask, provider, account)
}

/// Asks for the bytes, or for where they are.
pub fn download(provider: Provider, account: &Account<'_>, id: &str) -> Ask {
    let ask = Ask::of(&op::DOWNLOAD_MEDIA, &about(account, id));
    owned(ask, provider, account)
}

/// Deletes. Infobip is told the address by which it shows it.
pub fn delete(provider: Provider, account: &Account<'_>, id: &str, base_url: &str) -> Ask {
    let ask = Ask::of(&op::DELETE_MEDIA, &about(account, id));
    match (provider, op::DOWNLOAD_MEDIA.infobip) {
        (Provider::Infobip, Some(call)) => {
            let path = call.path(&about(account, id));
            ask.body(json!({"url": format!("{base_url}/{path}")}))
        }
        _ => owned(ask, provider, account),
    }
}

/// Begins the upload of a sample, by the app that the key is of where none is named.
pub fn begin_sample(account: &Account<'_>, app: Option<&str>, file: &File) -> Ask {
    let app = app.unwrap_or("app");
    let ask = Ask::of(
        &op::BEGIN_SAMPLE,
        &[("version", account.api_version), ("app", app)],
    );
    ask.query("file_name", Some(file.name.as_str()))
        .query("file_length", Some(file.length.to_string()))
        .query("file_type", Some(file.essence()))
}

/// Sends a sample's bytes, or asks how many came. A session's id bears a signature behind a `?`.
pub fn sample(account: &Account<'_>, session: &str, asks: bool) -> Ask {
    let operation = if asks {
        &op::ASK_SAMPLE
    } else {
        &op::SEND_SAMPLE
    };
    let session = session.strip_prefix("upload:").unwrap_or(session);
    let (path, signature) = match session.split_once("?sig=") {
        Some((path, signature)) => (path, Some(signature)),
        None => (session, None),
    };
    let names = [("version", account.api_version), ("session", path)];
    Ask::of(operation, &names).query("sig", signature)
}

/// What a provider tells of media.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// Its type.
    pub mime_type: Option<String>,
    /// In bytes.
    pub size: Option<u64>,
    /// In hexadecimal.
    pub sha256: Option<String>,
    /// Where the bytes are, for a few minutes.
    pub url: Option<String>,
}

/// Reads it. `None`: what has this id is something else.
pub fn media(answer: &Value) -> Option<Media> {
    let text = |name: &str| answer[name].as_str().map(str::to_owned);
    let size = &answer["file_size"];
    let media = Media {
        mime_type: text("mime_type"),
        // A text in Meta's description, a number in what was seen.
        size: size.as_u64().or_else(|| size.as_str()?.parse().ok()),
        sha256: text("sha256"),
        url: text("url"),
    };
    (media.url.is_some() && media.mime_type.is_some()).then_some(media)
}

/// The id of what was uploaded.
pub fn id(answer: &Value) -> Option<String> {
    let id = answer["id"]
        .as_str()
        .or_else(|| answer["media"][0]["id"].as_str());
    id.map(str::to_owned)
}

/// Hosts on which Meta keeps media.
const META_HOSTS: [&str; 4] = ["fbsbx.com", "fbcdn.net", "facebook.com", "whatsapp.net"];

/// Where bytes are to be had from with the key: at the provider alone. `None`: it would go elsewhere.
pub fn address(provider: Provider, base_url: &str, url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (host, path) = match rest.find(['/', '?', '#']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let base_host = base_url.split_once("://")?.1.split('/').next()?;
    let is_base = url.split_once("://").map(|(scheme, _)| scheme)
        == base_url.split_once("://").map(|(scheme, _)| scheme)
        && host.eq_ignore_ascii_case(base_host);
    match provider {
        // Meta's address answers to its own keys alone: 360dialog stands in front of it.
        Provider::Dialog360 => Some(format!("{base_url}{path}")),
        _ if is_base => Some(url.to_owned()),
        Provider::Meta if scheme.eq_ignore_ascii_case("https") => {
            let is_metas = META_HOSTS.iter().any(|of| is_of(host, of));
            is_metas.then(|| url.to_owned())
        }
        _ => None,
    }
}

/// Whether a redirection of Infobip's may be followed, without the key: to itself alone.
pub fn redirection(base_url: &str, url: &str) -> bool {
    let host = url
        .split_once("://")
        .map(|(_, rest)| rest.split(['/', '?', '#']).next());
    let is_own = url.starts_with("https://")
        && host
            .flatten()
            .is_some_and(|host| is_of(host, "infobip.com"));
    is_own || url.starts_with(&format!("{base_url}/"))
}

/// Whether a host is of a domain. One with a port or a name before an `@` is of none.
fn is_of(host: &str, domain: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let host = host.to_ascii_lowercase();
    host.bytes().all(is_name) && (host == domain || host.ends_with(&format!(".{domain}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(provider: Provider, kind: &str, length: u64) -> Vec<String> {
        let file = File {
            kind: kind.to_owned(),
            name: "a".to_owned(),
            length,
        };
        check(provider, &file)
            .into_iter()
            .map(|it| it.field)
            .collect()
    }

    #[test]
    fn types_and_sizes_are_told_by_kind() {
        use Provider::{Dialog360Onprem, Meta};
        assert!(fields(Meta, "audio/ogg; codecs=opus", 16 * MB).is_empty());
        assert_eq!(fields(Meta, "image/png", 5 * MB + 1), ["Content-Length"]);
        assert_eq!(fields(Meta, "image/webp", 501 << 10), ["Content-Length"]);
        assert!(fields(Meta, "application/pdf", 100 * MB).is_empty());
        assert_eq!(fields(Meta, "application/pdf", 0), ["Content-Length"]);
        assert_eq!(fields(Meta, "image/gif", 1), ["Content-Type"]);
        assert!(fields(Dialog360Onprem, "application/zip", 64 * MB).is_empty());
        assert_eq!(
            fields(Dialog360Onprem, "application/pdf", 65 * MB),
            ["Content-Length"]
        );
    }

    #[test]
    fn bytes_are_asked_for_at_the_provider_alone() {
        use Provider::{Dialog360, Meta};
        let graph = "https://graph.facebook.com";
        let lookaside = "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1&hash=x";
        assert_eq!(address(Meta, graph, lookaside).as_deref(), Some(lookaside));
        for elsewhere in [
            "https://evil.example/?fbsbx.com",
            "https://evilfbsbx.com/x",
            "https://lookaside.fbsbx.com@evil.example/x",
            "https://lookaside.fbsbx.com:8443/x",
            "http://lookaside.fbsbx.com/x",
            "file:///etc/passwd",
        ] {
            assert_eq!(address(Meta, graph, elsewhere), None, "{elsewhere}");
        }
        let base = "https://waba-v2.360dialog.io";
        assert_eq!(
            address(Dialog360, base, lookaside).as_deref(),
            Some("https://waba-v2.360dialog.io/whatsapp_business/attachments/?mid=1&hash=x")
        );
        assert!(redirection(
            "https://x.api.infobip.com",
            "https://cdn.infobip.com/a"
        ));
        assert!(!redirection(
            "https://x.api.infobip.com",
            "https://x.api.infobip.com.evil.example/a"
        ));
    }

    #[test]
    fn a_sessions_signature_is_no_part_of_its_path() {
        let account = Account {
            api_version: "v25.0",
            waba_id: "",
            number: "1",
        };
        let ask = sample(&account, "upload:MTph?sig=ARZ", false);
        let call = op::SEND_SAMPLE.meta.unwrap();
        assert_eq!(ask.address(&call), "v25.0/upload:MTph?sig=ARZ");
    }
}
