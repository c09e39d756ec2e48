//! The certificate that encrypted transports show: read once before anything is answered, and again when its files
//! change.
//!
//! Files are looked at by content rather than by time stamp, so that replaced links and restored backups are seen. A pair
//! that does not fit (the one file is written before the other) or cannot be read leaves the old one in use, is
//! told once, and is tried again at the next change: a renewal gone wrong must not end service before the old
//! certificate ends.
//!
//! What it does not do: judge whom the certificate names or when it ends; clients do.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use metrics::counter;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;

use crate::config::DnsError;
use crate::metric;

/// The bytes of both files.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair {
    cert: Vec<u8>,
    key: Vec<u8>,
}

/// The certificate in use, and the files that it is from.
#[derive(Debug)]
pub(crate) struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    in_use: ArcSwap<CertifiedKey>,
}

impl Certificate {
    /// Reads the files. Errors: they cannot be read, or are not a certificate and its key.
    pub(crate) fn load(cert: &Path, key: &Path) -> Result<Arc<Self>, DnsError> {
        let pair = read(cert, key)?;
        let in_use = ArcSwap::from_pointee(pair.certified(cert, key)?);
        Ok(Arc::new(Self { cert: cert.to_owned(), key: key.to_owned(), in_use }))
    }

    /// A TLS configuration that shows this certificate. QUIC takes TLS 1.3 only; the others 1.2 too.
    pub(crate) fn server_config(self: &Arc<Self>, alpn: &[u8], quic: bool) -> ServerConfig {
        let all = rustls::ALL_VERSIONS;
        let versions = if quic { &[&rustls::version::TLS13] } else { all };
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("ring offers both versions")
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![alpn.to_vec()];
        config
    }

    /// Looks at the files each time `every` has passed, until `shutdown`.
    pub(crate) async fn follow(self: Arc<Self>, every: Duration, shutdown: CancellationToken) {
        let mut seen = None;
        while shutdown.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
            let itself = self.clone();
            let before = seen.clone();
            let looked = tokio::task::spawn_blocking(move || itself.look(before)).await;
            seen = looked.unwrap_or(seen);
        }
    }

    /// Takes what the files hold if that is new and right. Gives what was seen: the pair, or why it cannot be read.
    fn look(&self, before: Option<Result<Pair, String>>) -> Option<Result<Pair, String>> {
        let seen = read(&self.cert, &self.key).map_err(|error| error.to_string());
        if Some(&seen) == before.as_ref() {
            return before;
        }
        let certified = seen.clone().and_then(|pair| {
            pair.certified(&self.cert, &self.key).map_err(|error| error.to_string())
        });
        match certified {
            Ok(key) if key.cert == self.in_use.load().cert => {}
            Ok(key) => {
                self.in_use.store(Arc::new(key));
                tracing::info!(file = %self.cert.display(), "encrypted dns shows a new certificate");
            }
            Err(error) => {
                counter!(metric::CERTIFICATE_FAILURES).increment(1);
                tracing::warn!(error, "encrypted dns goes on with the certificate that it has");
            }
        }
        Some(seen)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.in_use.load_full())
    }
}

impl Pair {
    fn certified(&self, cert: &Path, key: &Path) -> Result<CertifiedKey, DnsError> {
        let unusable = |problem: String| DnsError::Certificate {
            cert: cert.to_owned(),
            key: key.to_owned(),
            problem,
        };
        let chain = CertificateDer::pem_slice_iter(&self.cert).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| unusable(format!("the certificate: {error}")))?;
        if chain.is_empty() {
            return Err(unusable("the certificate: no PEM section CERTIFICATE".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| unusable(format!("the key: {error}")))?;
        CertifiedKey::from_der(chain, key, &ring::default_provider())
            .map_err(|error| unusable(error.to_string()))
    }
}

fn read(cert: &Path, key: &Path) -> Result<Pair, DnsError> {
    let read = |path: &Path| {
        std::fs::read(path)
            .map_err(|source: io::Error| DnsError::Unreadable { path: path.to_owned(), source })
    };
    Ok(Pair { cert: read(cert)?, key: read(key)? })
}
