//! A certificate, its key and the authorities we trust, checked against each other once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::Timestamp;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tonic::transport::{Certificate, ClientTlsConfig, Identity as TonicIdentity, ServerTlsConfig};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Identity, TlsError};

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the parts lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, with its intermediates.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authorities we trust; several while one replaces another.
    pub ca: Vec<PathBuf>,
}

/// A certificate, its key and the authorities we trust: checked, and ready to make configurations from.
#[derive(Clone)]
pub struct TlsMaterial {
    cert_pem: Vec<u8>,
    key_pem: Vec<u8>,
    ca_pem: Vec<u8>,
    identity: Identity,
    expires: Timestamp,
}

impl std::fmt::Debug for TlsMaterial {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsMaterial")
            .field("identity", &self.identity)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl TlsMaterial {
    /// Reads and checks files. Errors: which file, and what is wrong with it.
    pub fn load(files: &TlsFiles, now: Timestamp) -> Result<Self, TlsError> {
        let mut ca_pem = Vec::new();
        for file in &files.ca {
            ca_pem.extend_from_slice(&read(file)?);
            ca_pem.push(b'\n');
        }
        let authorities: Vec<String> = files.ca.iter().map(|f| f.display().to_string()).collect();
        let names = Names {
            cert: files.cert.display().to_string(),
            key: files.key.display().to_string(),
            ca: authorities.join(", "),
        };
        Self::check(read(&files.cert)?, read(&files.key)?, ca_pem, &names, now)
    }

    /// Checks PEM texts. Errors: as [`TlsMaterial::load`].
    pub fn from_pem(cert: &str, key: &str, ca: &str, now: Timestamp) -> Result<Self, TlsError> {
        let names = Names {
            cert: "the given certificate".to_owned(),
            key: "the given key".to_owned(),
            ca: "the given authority".to_owned(),
        };
        Self::check(cert.into(), key.into(), ca.into(), &names, now)
    }

    fn check(
        cert_pem: Vec<u8>,
        key_pem: Vec<u8>,
        ca_pem: Vec<u8>,
        names: &Names,
        now: Timestamp,
    ) -> Result<Self, TlsError> {
        let chain = certificates(&cert_pem, &names.cert)?;
        let roots = certificates(&ca_pem, &names.ca)?;
        let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|e| TlsError::NotPem {
            file: names.key.clone(),
            wanted: "key",
            why: e.to_string(),
        })?;
        for root in &roots {
            check_validity(root, &names.ca, now)?;
        }
        let expires = check_validity(&chain[0], &names.cert, now)?;
        check_pair(chain.clone(), key, names)?;
        check_signer(&chain, &roots, names, now)?;
        let identity = Identity::of(&chain[0])
            .map_err(|why| TlsError::Identity { file: names.cert.clone(), why })?;
        Ok(Self { cert_pem, key_pem, ca_pem, identity, expires })
    }

    /// Whom the certificate names.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// When the certificate ends.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// For servers: shows our certificate, and asks for one of our authorities'.
    pub fn server(&self) -> ServerTlsConfig {
        ServerTlsConfig::new()
            .identity(TonicIdentity::from_pem(&self.cert_pem, &self.key_pem))
            .client_ca_root(Certificate::from_pem(&self.ca_pem))
            .timeout(HANDSHAKE_TIMEOUT)
    }

    /// For clients: shows our certificate, and expects one of our authorities' that names the address dialled, or
    /// `server_name` where given.
    pub fn client(&self, server_name: Option<&str>) -> ClientTlsConfig {
        let config = ClientTlsConfig::new()
            .identity(TonicIdentity::from_pem(&self.cert_pem, &self.key_pem))
            .ca_certificate(Certificate::from_pem(&self.ca_pem))
            .timeout(HANDSHAKE_TIMEOUT);
        match server_name {
            Some(name) => config.domain_name(name),
            None => config,
        }
    }
}

/// What the parts are called in errors.
struct Names {
    cert: String,
    key: String,
    ca: String,
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(file).map_err(|error| unreadable(file, &error))
}

fn unreadable(file: &Path, error: &std::io::Error) -> TlsError {
    let file = file.to_owned();
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => TlsError::Denied { file },
        _ => TlsError::Unreadable { file, why: error.to_string() },
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certificates(pem: &[u8], file: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong =
        |why: String| TlsError::NotPem { file: file.to_owned(), wanted: "certificate", why };
    let found = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| wrong(e.to_string()))?;
    if found.is_empty() {
        return Err(wrong("there is no CERTIFICATE section".to_owned()));
    }
    Ok(found)
}

/// Says whether a certificate is within its time, and when that ends.
fn check_validity(
    certificate: &CertificateDer<'_>,
    file: &str,
    now: Timestamp,
) -> Result<Timestamp, TlsError> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|e| TlsError::NotPem {
        file: file.to_owned(),
        wanted: "certificate",
        why: e.to_string(),
    })?;
    let stamp = |seconds: i64| Timestamp(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000));
    let begins = stamp(parsed.validity().not_before.timestamp());
    let expires = stamp(parsed.validity().not_after.timestamp());
    if now < begins {
        return Err(TlsError::NotYetValid { file: file.to_owned(), begins });
    }
    if now > expires {
        return Err(TlsError::Expired { file: file.to_owned(), expired: expires });
    }
    Ok(expires)
}

fn check_pair(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    names: &Names,
) -> Result<(), TlsError> {
    match CertifiedKey::from_der(chain, key, &provider()) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::KeyMismatch { certificate: names.cert.clone(), key: names.key.clone() })
        }
        Err(e) => Err(TlsError::Key { file: names.key.clone(), why: e.to_string() }),
    }
}

/// Verifies our own certificate as a peer would.
fn check_signer(
    chain: &[CertificateDer<'static>],
    authorities: &[CertificateDer<'static>],
    names: &Names,
    now: Timestamp,
) -> Result<(), TlsError> {
    let wrong = |why: String| TlsError::WrongAuthority {
        certificate: names.cert.clone(),
        authority: names.ca.clone(),
        why,
    };
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(|e| TlsError::NotPem {
            file: names.ca.clone(),
            wanted: "certificate authority",
            why: e.to_string(),
        })?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|e| wrong(e.to_string()))?;
    let at = UnixTime::since_unix_epoch(Duration::from_millis(now.0));
    let (leaf, intermediates) = chain.split_first().expect("a chain has at least one certificate");
    verifier.verify_client_cert(leaf, intermediates, at).map_err(|e| wrong(e.to_string()))?;
    Ok(())
}
