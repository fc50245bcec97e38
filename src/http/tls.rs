//! TLS, where this service terminates it itself: its certificate, and the authorities that a
//! client's certificate may come from. A client need not have one; which webhooks need one, and
//! whose, a connection says (`peer`). The files are read again when they change, so that a renewed
//! certificate needs no restart; what cannot be used is said and the old one goes on.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

use crate::config;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(30);

/// Files that cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// It is not there, or not ours to read.
    #[error("{0} cannot be read: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// It has nothing of what it is there for.
    #[error("{0}: expected {1} in PEM: {2}")]
    Malformed(PathBuf, &'static str, pem::Error),
    /// The key is not the certificate's, or of a kind that is not known.
    #[error("http.tls.certificate with http.tls.key: {0}")]
    Unusable(#[from] rustls::Error),
    /// It has no authority that can be used.
    #[error("http.tls.client_ca: {0}")]
    Authorities(#[from] VerifierBuilderError),
}

/// What the files say, as of when they were last looked at.
#[derive(Debug)]
pub struct Tls {
    settings: config::Tls,
    current: Mutex<Current>,
}

#[derive(Clone)]
struct Current {
    files: Files,
    acceptor: TlsAcceptor,
}

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Current")
    }
}

/// The bytes of each file.
#[derive(Clone, PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Tls {
    /// `None`: TLS is terminated in front.
    pub async fn load(settings: &config::Tls) -> Result<Option<Arc<Self>>, TlsError> {
        if !settings.is_on() {
            return Ok(None);
        }
        let files = Files::read(settings).await?;
        let acceptor = files.acceptor(settings)?;
        Ok(Some(Arc::new(Self {
            settings: settings.clone(),
            current: Mutex::new(Current { files, acceptor }),
        })))
    }

    /// For the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.current().acceptor.clone()
    }

    /// Looks at the files for ever.
    pub async fn keep(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            match self.renew().await {
                Ok(true) => tracing::info!("the TLS files have changed and are in use"),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%error, "the TLS files have changed and cannot be used");
                }
            }
        }
    }

    /// Whether they had changed.
    async fn renew(&self) -> Result<bool, TlsError> {
        let files = Files::read(&self.settings).await?;
        if self.current().files == files {
            return Ok(false);
        }
        let acceptor = files.acceptor(&self.settings)?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Current { files, acceptor };
        Ok(true)
    }

    fn current(&self) -> Current {
        let current = self.current.lock();
        current.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Files {
    async fn read(settings: &config::Tls) -> Result<Self, TlsError> {
        let read = async |path: &PathBuf| {
            let bytes = tokio::fs::read(path).await;
            bytes.map_err(|error| TlsError::Unreadable(path.clone(), error))
        };
        Ok(Self {
            certificate: read(&settings.certificate).await?,
            key: read(&settings.key).await?,
            client_ca: match settings.client_ca.as_os_str().is_empty() {
                true => None,
                false => Some(read(&settings.client_ca).await?),
            },
        })
    }

    fn acceptor(&self, settings: &config::Tls) -> Result<TlsAcceptor, TlsError> {
        let chain = certificates(&self.certificate, &settings.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| TlsError::Malformed(settings.key.clone(), "a private key", error))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(authorities) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(authorities, &settings.client_ca)? {
                    roots.add(authority)?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .allow_unauthenticated()
                        .build()?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// All of a file, at least one.
fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.and_then(|all| match all.is_empty() {
        true => Err(pem::Error::NoItemsFound),
        false => Ok(all),
    });
    all.map_err(|error| TlsError::Malformed(path.to_owned(), "certificates", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate of its own making, as the two files.
    fn write(settings: &config::Tls) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&settings.certificate, made.cert.pem()).unwrap();
        std::fs::write(&settings.key, made.signing_key.serialize_pem()).unwrap();
    }

    #[tokio::test]
    async fn a_renewed_certificate_is_taken_and_one_that_cannot_be_used_is_not() {
        let name = format!("twotick-tls-{}", crate::clock::Clock::system().new_id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        let settings = config::Tls {
            certificate: folder.join("certificate"),
            key: folder.join("key"),
            client_ca: PathBuf::new(),
        };
        write(&settings);
        let tls = Tls::load(&settings).await.unwrap().unwrap();
        assert!(!tls.renew().await.unwrap());
        write(&settings);
        assert!(tls.renew().await.unwrap());
        // Half of a renewal: the key is not the certificate's.
        let before = tls.current().files;
        let key = std::fs::read(&settings.key).unwrap();
        write(&settings);
        std::fs::write(&settings.key, key).unwrap();
        assert!(matches!(tls.renew().await, Err(TlsError::Unusable(_))));
        std::fs::write(&settings.certificate, "none").unwrap();
        let error = tls.renew().await.unwrap_err().to_string();
        assert!(error.contains("expected certificates in PEM"), "{error}");
        std::fs::remove_file(&settings.key).unwrap();
        assert!(matches!(tls.renew().await, Err(TlsError::Unreadable(..))));
        assert!(tls.current().files == before);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
