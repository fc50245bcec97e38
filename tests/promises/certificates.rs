//! Webhooks that must come with a client certificate, at a listener that speaks TLS and behind a
//! proxy that does.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use reqwest::{Certificate, Client, Identity, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use twotick::clock::Clock;

use crate::support::*;

const META: &str = "client.webhooks.fbclientcerts.com";
const OK: StatusCode = StatusCode::OK;
const UNAUTHORIZED: StatusCode = StatusCode::UNAUTHORIZED;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate, and its key.
    fn issue(&self, params: CertificateParams) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn client(&self, name: &str) -> (String, String) {
        let mut params = params(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params)
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.distinguished_name = Default::default();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "x, Inc.");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Files that are there as long as this is.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("twotick-certificates-{}", Clock::system().new_id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn require(app: &App, names: Value) {
    let change = json!({"client_certificate_names": names});
    let path = format!("/v1/connections/{}", app.connection);
    let (status, connection) = app.send(Method::PATCH, &path, change).await;
    assert_eq!(status, OK, "{connection}");
    assert_eq!(connection["client_certificate_names"], names);
}

/// A signed webhook, for this instance.
fn webhook(app: &App, client: &Client, origin: &str) -> RequestBuilder {
    let body = statuses_body(&[status("wamid.A", "sent", 1)]).to_string();
    let signature = signature(SECRET, body.as_bytes());
    let url = format!("{origin}/webhooks/{}", app.connection);
    client
        .post(url)
        .header("X-Hub-Signature-256", signature)
        .body(body)
}

async fn answer(request: RequestBuilder) -> StatusCode {
    request.send().await.unwrap().status()
}

/// Waits until the instance beside has heard of what was changed here.
async fn until(wanted: StatusCode, request: impl Fn() -> RequestBuilder) {
    let asking = async { while answer(request()).await != wanted {} };
    let in_time = tokio::time::timeout(PATIENCE, asking).await;
    assert!(in_time.is_ok(), "it was never answered {wanted}");
}

#[tokio::test]
async fn a_webhook_that_needs_a_certificate_is_taken_with_the_right_one_alone() {
    let (app, folder) = (App::start().await, Folder::new());
    let (ours, metas, strangers) = (
        Authority::new("ours"),
        Authority::new("Meta's"),
        Authority::new("a stranger's"),
    );
    let (certificate, key) = ours.issue(params("twotick.example"));
    let (address, _guard) = beside(&app.store, |config| {
        config.http.tls.certificate = folder.write("certificate", &certificate);
        config.http.tls.key = folder.write("key", &key);
        config.http.tls.client_ca = folder.write("authorities", &metas.pem());
        // From here it means nothing: nobody is trusted.
        config.http.proxy.certificate_header = "X-Client-Name".to_owned();
    })
    .await;
    let origin = format!("https://localhost:{}", address.port());
    let client = |identity: Option<(String, String)>| {
        let root = Certificate::from_pem(ours.pem().as_bytes()).unwrap();
        let builder = Client::builder().tls_certs_only([root]);
        let builder = match identity {
            Some((certificate, key)) => {
                let pem = format!("{certificate}{key}");
                builder.identity(Identity::from_pem(pem.as_bytes()).unwrap())
            }
            None => builder,
        };
        builder.build().unwrap()
    };
    let (meta, other) = (
        client(Some(metas.client(META))),
        client(Some(metas.client("x"))),
    );
    let (nobody, stranger) = (client(None), client(Some(strangers.client(META))));

    // Until a connection asks for one, nobody needs one.
    assert_eq!(answer(webhook(&app, &nobody, &origin)).await, OK);
    require(&app, json!([META])).await;
    until(UNAUTHORIZED, || webhook(&app, &nobody, &origin)).await;
    assert_eq!(answer(webhook(&app, &meta, &origin)).await, OK);
    assert_eq!(answer(webhook(&app, &other, &origin)).await, UNAUTHORIZED);
    let claimed = webhook(&app, &nobody, &origin).header("X-Client-Name", META);
    assert_eq!(answer(claimed).await, UNAUTHORIZED);
    assert!(webhook(&app, &stranger, &origin).send().await.is_err());
    // The certificate is asked for beside the signature, not in its place.
    let unsigned = meta.post(format!("{origin}/webhooks/{}", app.connection));
    assert_eq!(answer(unsigned.body("{}")).await, UNAUTHORIZED);
    // A renewed name is valid beside the old one; none asks for nothing again.
    require(&app, json!([META, "x"])).await;
    until(OK, || webhook(&app, &other, &origin)).await;
    require(&app, json!([])).await;
    until(OK, || webhook(&app, &nobody, &origin)).await;
}

#[tokio::test]
async fn a_proxys_word_counts_from_its_own_addresses_alone() {
    let app = App::start().await;
    require(&app, json!([META])).await;
    let trusting = async |addresses: &str| {
        let addresses = addresses.parse().unwrap();
        let (address, guard) = beside(&app.store, |config| {
            config.http.proxy.addresses = addresses;
            config.http.proxy.certificate_header = "X-Client-Name".to_owned();
        })
        .await;
        (format!("http://{address}"), guard)
    };
    let (trusted, _guard) = trusting("10.0.0.0/8, 127.0.0.0/8").await;
    let (untrusted, _guard) = trusting("10.0.0.0/8, 127.0.0.2").await;
    let client = Client::new();
    let said = |origin: &str, names: &[&str]| {
        let request = webhook(&app, &client, origin);
        let with = |request: RequestBuilder, name: &&str| request.header("X-Client-Name", *name);
        answer(names.iter().fold(request, with))
    };
    let subject = format!("CN={META},O=Meta Platforms\\, Inc.,C=US");
    assert_eq!(said(&trusted, &[META]).await, OK);
    assert_eq!(said(&trusted, &[&subject]).await, OK);
    assert_eq!(said(&trusted, &[]).await, UNAUTHORIZED);
    assert_eq!(said(&trusted, &["x"]).await, UNAUTHORIZED);
    assert_eq!(said(&trusted, &[META, META]).await, UNAUTHORIZED);
    assert_eq!(said(&untrusted, &[META]).await, UNAUTHORIZED);
}
