//! A number's picture: what may be one, and the calls that put it there. Meta and 360dialog take it
//! by a resumable upload, whose handle goes into the profile; 360dialog's On-Premises API takes its
//! bytes, Infobip an address that it fetches it from.

use serde_json::json;

use super::content::{Fault, Faults, Place};
use super::operations::{Ask, Body, senders as op};
use super::templates::{Account, Named, names};
use crate::model::provider::Provider;

/// The largest picture that any provider takes.
pub const LARGEST: usize = 5 << 20;

/// The shortest side, in pixels.
const SHORTEST: u32 = 192;

/// The longest address that Infobip takes.
const ADDRESS: usize = 2048;

/// What a picture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    /// `image/jpeg` or `image/png`.
    pub content_type: &'static str,
    width: u32,
    height: u32,
}

/// What is given for a picture.
#[derive(Debug)]
pub enum Given {
    /// Its bytes.
    Bytes(Vec<u8>),
    /// Where it is.
    Address(String),
}

/// What keeps it from being put there.
pub fn check(provider: Provider, given: &Given) -> Vec<Fault> {
    let faults = Faults::default();
    let root = Place::new("", None, &faults);
    match (provider, given) {
        (Provider::Infobip, Given::Bytes(_)) => {
            root.member("url")
                .not_supported("Infobip fetches a logo from an address: give that, as `url`");
        }
        (Provider::Infobip, Given::Address(address)) => {
            let is_web = address.starts_with("https://") || address.starts_with("http://");
            if !is_web || address.len() > ADDRESS {
                root.member("url")
                    .expected("an address that begins with `https://` or `http://`");
            }
        }
        (_, Given::Address(_)) => {
            root.member("url")
                .not_supported("the provider takes the picture itself, no address");
        }
        (_, Given::Bytes(bytes)) => match picture(bytes) {
            None => root.member("file").expected("a JPEG or a PNG"),
            Some(it) if it.width.min(it.height) < SHORTEST => {
                let (width, height) = (it.width, it.height);
                root.member("file").expected(&format!(
                    "at least {SHORTEST} pixels a side: it has {width} by {height}"
                ));
            }
            Some(_) => {}
        },
    }
    faults.into_vec()
}

/// What a picture says of itself.
pub fn picture(bytes: &[u8]) -> Option<Picture> {
    png(bytes).or_else(|| jpeg(bytes))
}

fn png(bytes: &[u8]) -> Option<Picture> {
    let rest = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    let side = |at: usize| Some(u32::from_be_bytes(rest.get(at..at + 4)?.try_into().ok()?));
    (rest.get(4..8)? == b"IHDR").then_some(())?;
    Some(Picture {
        content_type: "image/png",
        width: side(8)?,
        height: side(12)?,
    })
}

/// Walks the segments to the one that begins the frame.
fn jpeg(bytes: &[u8]) -> Option<Picture> {
    let mut rest = bytes.strip_prefix(b"\xff\xd8")?;
    loop {
        let (begin, after) = rest.split_at_checked(2)?;
        let [0xff, marker] = *begin else {
            return None;
        };
        if marker == 0xff {
            // Filling.
            rest = &rest[1..];
            continue;
        }
        let long = |at: usize| Some(u16::from_be_bytes(after.get(at..at + 2)?.try_into().ok()?));
        let length = usize::from(long(0)?);
        // All kinds of frames, but no table.
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            return Some(Picture {
                content_type: "image/jpeg",
                height: long(3)?.into(),
                width: long(5)?.into(),
            });
        }
        rest = after.get(length.max(2)..)?;
    }
}

/// Begins an upload of so many bytes.
pub fn begin(account: &Account<'_>, picture: Picture, length: usize) -> Ask {
    Ask::of(&op::BEGIN_UPLOAD, &names(account, None))
        .query("file_length", Some(length.to_string()))
        .query("file_type", Some(picture.content_type))
        .query("file_name", Some("logo"))
}

/// Uploads its bytes.
pub fn upload(account: &Account<'_>, id: &str) -> Ask {
    // An id brings its signature along, as a parameter.
    let (id, signature) = id.split_once("?sig=").unwrap_or((id, ""));
    let named = Named { id, name: "" };
    let ask = Ask::of(&op::UPLOAD, &names(account, Some(named)));
    let signature = Some(signature).filter(|signature| !signature.is_empty());
    ask.query("sig", signature)
}

/// Puts what was uploaded, or is at an address, there.
pub fn set(provider: Provider, account: &Account<'_>, logo: &str) -> Ask {
    let ask = Ask::of(&op::SET_LOGO, &names(account, None));
    ask.body(match provider {
        Provider::Infobip => json!({"logoUrl": logo}),
        _ => json!({"messaging_product": "whatsapp", "profile_picture_handle": logo}),
    })
}

/// Puts the bytes there: of the On-Premises API.
pub fn put(account: &Account<'_>, picture: Picture, bytes: Vec<u8>) -> Ask {
    let ask = Ask::of(&op::SET_LOGO, &names(account, None));
    ask.saying(Body::Raw {
        content_type: picture.content_type.to_owned(),
        bytes: bytes.into(),
    })
}

/// Asks for the picture, or for where it is.
pub fn read(provider: Provider, account: &Account<'_>) -> Ask {
    let ask = Ask::of(&op::READ_LOGO, &names(account, None));
    let is_told = matches!(provider, Provider::Meta | Provider::Dialog360);
    ask.query("fields", is_told.then_some("profile_picture_url"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PNG's beginning: enough to say how big it is.
    fn png_of(width: u32, height: u32) -> Vec<u8> {
        let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
        [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), &sides].concat()
    }

    #[test]
    fn a_picture_says_what_it_is_and_how_big() {
        let png = picture(&png_of(640, 480)).unwrap();
        assert_eq!(
            (png.content_type, png.width, png.height),
            ("image/png", 640, 480)
        );
        let jpeg = b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xc4\0\x03x\xff\xc2\0\x11\x08\x01\xe0\x02\x80";
        let jpeg = picture(jpeg).unwrap();
        assert_eq!(
            (jpeg.content_type, jpeg.width, jpeg.height),
            ("image/jpeg", 640, 480)
        );
        for noise in [
            &b""[..],
            b"GIF89a",
            b"\xff\xd8",
            b"\xff\xd8\xff\xe0\0\0",
            b"\xff\xd8\xff\xe0\xff\xff",
            b"\x89PNG\r\n\x1a\n",
        ] {
            assert_eq!(picture(noise), None, "{noise:?}");
        }
    }

    #[test]
    fn what_a_provider_does_not_take_is_named() {
        let of = |provider, given| -> Vec<_> {
            check(provider, &given)
                .into_iter()
                .map(|it| it.field)
                .collect()
        };
        let address = || Given::Address("https://alder.example/logo.png".to_owned());
        assert!(of(Provider::Meta, Given::Bytes(png_of(192, 640))).is_empty());
        assert_eq!(of(Provider::Meta, Given::Bytes(png_of(191, 640))), ["file"]);
        assert_eq!(
            of(Provider::Dialog360, Given::Bytes(b"GIF89a".to_vec())),
            ["file"]
        );
        assert_eq!(of(Provider::Meta, address()), ["url"]);
        assert!(of(Provider::Infobip, address()).is_empty());
        assert_eq!(
            of(Provider::Infobip, Given::Bytes(png_of(640, 640))),
            ["url"]
        );
        assert_eq!(
            of(Provider::Infobip, Given::Address("ftp://x".to_owned())),
            ["url"]
        );
    }
}
