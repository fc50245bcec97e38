//! Who is at the other end of a connection, by certificate. A connection of ours may ask for it
//! (`client_certificate_names`), beside the webhook's signature: Meta presents one to apps that
//! have mTLS on, with the common name `client.webhooks.fbclientcerts.com`.
//!
//! Who terminates TLS has checked where the certificate comes from: we (`tls`), or a proxy that
//! says in a header whose it was. The header is believed from the proxy's own addresses alone, and
//! only if it is there once.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::http::{HeaderMap, Request};
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_cert::certificate::Certificate;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode as _, Tag, Tagged as _};
use x509_cert::name::Name;

use crate::config::Proxy;

/// 2.5.4.3, `commonName` (RFC 4519 §2.3).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// The other end of a connection, as every request on it bears it.
#[derive(Debug, Clone)]
pub struct Peer(Arc<Known>);

#[derive(Debug)]
struct Known {
    address: IpAddr,
    /// Of the certificate that was presented and checked here.
    name: Option<String>,
}

impl Peer {
    /// `certificate`: what was presented and checked, the client's own.
    pub fn new(address: SocketAddr, certificate: Option<&CertificateDer<'_>>) -> Self {
        let name = certificate.and_then(|certificate| {
            let certificate = Certificate::from_der(certificate).ok()?;
            common_name(certificate.tbs_certificate().subject())
        });
        Self(Arc::new(Known {
            address: address.ip().to_canonical(),
            name,
        }))
    }

    /// The common name of the certificate that this request came with.
    pub fn certificate_name<B>(request: &Request<B>, proxy: &Proxy) -> Option<String> {
        let Self(known) = request.extensions().get()?;
        match proxy.trusts(known.address) {
            true => said_by_proxy(request.headers(), proxy).or_else(|| known.name.clone()),
            false => known.name.clone(),
        }
    }
}

/// A distinguished name (RFC 4514), or a common name alone.
fn said_by_proxy(headers: &HeaderMap, proxy: &Proxy) -> Option<String> {
    let mut values = headers.get_all(proxy.certificate_header.as_str()).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let value = std::str::from_utf8(value.as_bytes()).ok()?.trim();
    // Where quotes or an escaped escape end is read differently by different readers.
    if value.contains("\\\\") || value.contains('"') {
        return None;
    }
    if value.contains('=') {
        return common_name(&value.parse().ok()?);
    }
    (!value.is_empty()).then(|| value.to_owned())
}

/// The one common name. A subject with two is nobody's: which one counts is for nobody to choose.
fn common_name(subject: &Name) -> Option<String> {
    let mut names = subject
        .iter()
        .filter(|attribute| attribute.oid == COMMON_NAME);
    let (Some(name), None) = (names.next(), names.next()) else {
        return None;
    };
    let is_text = matches!(
        name.value.tag(),
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::TeletexString
    );
    let text = is_text.then(|| std::str::from_utf8(name.value.value()))?;
    text.ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(values: &[&str]) -> Option<String> {
        let proxy = Proxy {
            addresses: "10.0.0.0/8".parse().unwrap(),
            certificate_header: "x-client-dn".to_owned(),
        };
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x-client-dn", value.parse().unwrap());
        }
        said_by_proxy(&headers, &proxy)
    }

    #[test]
    fn a_name_is_taken_only_where_it_is_the_one_common_name() {
        let name = Some("client.webhooks.fbclientcerts.com".to_owned());
        assert_eq!(said(&["client.webhooks.fbclientcerts.com"]), name);
        let subject = "CN=client.webhooks.fbclientcerts.com,O=Meta Platforms\\, Inc.,C=US";
        assert_eq!(said(&[subject]), name);
        let smuggled = [
            "O=x\\,CN=client.webhooks.fbclientcerts.com,CN=evil.example",
            "CN=evil.example,O=CN\\=client.webhooks.fbclientcerts.com",
            "CN=client.webhooks.fbclientcerts.com.evil.example",
            "O=x\\\\\\,CN=client.webhooks.fbclientcerts.com",
            "O=\"x,CN=client.webhooks.fbclientcerts.com,OU=y\"",
        ];
        for subject in smuggled {
            assert_ne!(said(&[subject]), name, "{subject}");
        }
        let nobodys = [
            "CN=client.webhooks.fbclientcerts.com,CN=evil.example",
            "O=client.webhooks.fbclientcerts.com",
            "=",
            " ",
        ];
        for subject in nobodys {
            assert_eq!(said(&[subject]), None, "{subject}");
        }
        assert_eq!(said(&[subject, subject]), None);
        assert_eq!(said(&[]), None);
    }
}
