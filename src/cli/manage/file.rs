//! A file that goes out as it is read: it may be larger than the memory that there is.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::Context as _;
use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Read at once.
const CHUNK: usize = 64 << 10;

/// What a file's name says of its type: what WhatsApp takes, and JSON.
const KINDS: [(&str, &str); 21] = [
    ("json", "application/json"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("png", "image/png"),
    ("webp", "image/webp"),
    ("mp4", "video/mp4"),
    ("3gp", "video/3gpp"),
    ("aac", "audio/aac"),
    ("amr", "audio/amr"),
    ("mp3", "audio/mpeg"),
    ("m4a", "audio/mp4"),
    ("ogg", "audio/ogg"),
    ("opus", "audio/ogg"),
    ("txt", "text/plain"),
    ("pdf", "application/pdf"),
    ("doc", "application/msword"),
    ("xls", "application/vnd.ms-excel"),
    ("ppt", "application/vnd.ms-powerpoint"),
    (
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    (
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    (
        "pptx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
];

/// A file, opened before anything is asked.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) name: String,
    pub(super) kind: String,
    /// In bytes: the service wants to know before it takes any.
    pub(super) length: u64,
    file: File,
}

impl Opened {
    /// `told`: its type, where somebody says it.
    pub(super) fn of(path: &Path, told: Option<&str>) -> anyhow::Result<Self> {
        let file = File::open(path)?;
        let known = file.metadata()?;
        anyhow::ensure!(known.is_file(), "it is no file");
        let end = path.extension().and_then(|end| end.to_str());
        let end = end.unwrap_or_default().to_ascii_lowercase();
        let by_name = KINDS.iter().find(|(ending, _)| *ending == end);
        let kind = told.or(by_name.map(|(_, kind)| *kind));
        let kind = kind.context("its name does not say what it is: say it by --type")?;
        let name = path.file_name().unwrap_or_default();
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            kind: kind.to_owned(),
            length: known.len(),
            file,
        })
    }

    pub(super) fn body(self) -> reqwest::Body {
        reqwest::Body::wrap(Reading {
            file: self.file,
            left: self.length,
        })
    }
}

/// So many bytes of it, as announced, though it may grow meanwhile.
struct Reading {
    file: File,
    left: u64,
}

impl Body for Reading {
    type Data = Bytes;
    type Error = std::io::Error;

    /// Waits for the disk: nothing else goes on in this process.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let most = usize::try_from(self.left).map_or(CHUNK, |left| left.min(CHUNK));
        let mut chunk = vec![0; most];
        Poll::Ready(Some(match self.file.read(&mut chunk) {
            Ok(0) => Err(std::io::Error::other("the file became shorter")),
            Ok(read) => {
                chunk.truncate(read);
                self.left -= read as u64;
                Ok(Frame::data(chunk.into()))
            }
            Err(error) => Err(error),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
