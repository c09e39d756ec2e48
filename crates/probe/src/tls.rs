//! TLS as a check wants it: every handshake in full (no resumption, so that the certificate is seen each time),
//! judged against the declared authorities or the system's, at the time of the agent's clock.
//!
//! Expiry is judged here even where the chain is not. A check's own mistakes (a certificate authority that does not
//! parse, no system roots on this node) are abstentions: they say nothing about the endpoint.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use holdfast_core::Timestamp;
use holdfast_core::sample::{Abstention, FailureKind, Phase};
use holdfast_core::seam::Clock;
use holdfast_core::spec::{Address, TlsOptions};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::connect::broken;
use crate::trace::{Step, Stop, Trace, failed};

/// Where Linux distributions keep the certificate authorities; the first that exists is read, once.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The most client configurations kept; beyond it they are made anew.
const MAX_CONFIGS: usize = 256;

/// The protocol offered by ALPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Alpn {
    Nothing,
    Http11,
    H2,
}

impl Alpn {
    fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Self::Nothing => vec![],
            Self::Http11 => vec![b"http/1.1".to_vec()],
            Self::H2 => vec![b"h2".to_vec()],
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    ca_pem: Option<String>,
    verify: bool,
    alpn: Alpn,
}

/// Client configurations, made once per distinct set of options.
pub(crate) struct TlsClients {
    clock: Arc<dyn Clock>,
    provider: Arc<CryptoProvider>,
    configs: Mutex<BTreeMap<Key, Arc<ClientConfig>>>,
    system: OnceLock<Result<Arc<RootCertStore>, String>>,
}

impl fmt::Debug for TlsClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClients").finish_non_exhaustive()
    }
}

impl TlsClients {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            provider: Arc::new(rustls::crypto::ring::default_provider()),
            configs: Mutex::default(),
            system: OnceLock::new(),
        }
    }

    /// Shakes hands and judges the certificate.
    pub(crate) async fn handshake(
        &self,
        trace: &mut Trace,
        stream: TcpStream,
        peer: Peer<'_>,
        alpn: Alpn,
    ) -> Step<TlsStream<TcpStream>> {
        trace.enter(Phase::Tls);
        let name =
            peer.name().inspect_err(|_| trace.note(|| "tls.server_name does not parse".into()))?;
        let key = Key { ca_pem: peer.options.ca_pem.clone(), verify: peer.options.verify, alpn };
        let config = self.config(key).map_err(|(stop, why)| {
            trace.note(|| why);
            stop
        })?;
        trace.wait_for("the TLS handshake");
        let connected = TlsConnector::from(config).connect(name, stream).await;
        let stream = connected.map_err(|error| handshake_failure(&error))?;
        let connection = stream.get_ref().1;
        trace.note(|| {
            let version = connection.protocol_version().and_then(|version| version.as_str());
            format!("handshake: {}", version.unwrap_or("unknown version"))
        });
        if alpn == Alpn::H2 && connection.alpn_protocol() != Some(b"h2") {
            return Err(failed(
                Phase::Tls,
                FailureKind::Protocol,
                "the peer does not speak h2 (ALPN)",
            ));
        }
        let shown = connection.peer_certificates().and_then(|chain| chain.first());
        let Some(leaf) = shown else {
            return Err(failed(
                Phase::Tls,
                FailureKind::Certificate,
                "the peer showed no certificate",
            ));
        };
        judge(trace, leaf, self.clock.now(), peer.options.min_days_left)?;
        Ok(stream)
    }

    fn config(&self, key: Key) -> Result<Arc<ClientConfig>, (Stop, String)> {
        if let Some(config) = self.lock().get(&key) {
            return Ok(config.clone());
        }
        let config = Arc::new(self.build(&key)?);
        let mut configs = self.lock();
        if configs.len() >= MAX_CONFIGS {
            configs.clear();
        }
        configs.insert(key, config.clone());
        Ok(config)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, Arc<ClientConfig>>> {
        self.configs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn build(&self, key: &Key) -> Result<ClientConfig, (Stop, String)> {
        let time = Arc::new(WallTime(self.clock.clone()));
        let builder = ClientConfig::builder_with_details(self.provider.clone(), time)
            .with_safe_default_protocol_versions()
            .expect("ring supports the default versions");
        let mut config = if key.verify {
            builder.with_root_certificates(self.roots(key.ca_pem.as_deref())?).with_no_client_auth()
        } else {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyChain(self.provider.clone())))
                .with_no_client_auth()
        };
        config.alpn_protocols = key.alpn.protocols();
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    fn roots(&self, ca_pem: Option<&str>) -> Result<Arc<RootCertStore>, (Stop, String)> {
        match ca_pem {
            Some(pem) => parse_roots(pem.as_bytes())
                .map(Arc::new)
                .map_err(|why| (Stop::Abstain(Abstention::Invalid), format!("tls.ca_pem: {why}"))),
            None => self
                .system
                .get_or_init(system_roots)
                .clone()
                .map_err(|why| (Stop::Abstain(Abstention::Resources), why)),
        }
    }
}

fn parse_roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("it is not PEM: {error}"))?;
        roots.add(certificate).map_err(|error| format!("a certificate does not parse: {error}"))?;
    }
    if roots.is_empty() { Err("it holds no certificate".into()) } else { Ok(roots) }
}

fn system_roots() -> Result<Arc<RootCertStore>, String> {
    for path in SYSTEM_ROOTS {
        let Ok(pem) = std::fs::read(path) else { continue };
        let mut roots = RootCertStore::empty();
        // A system's bundle may hold what webpki does not take; the rest is still good.
        roots
            .add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok));
        if !roots.is_empty() {
            return Ok(Arc::new(roots));
        }
    }
    let why = format!(
        "this node has no certificate authorities (looked in {}); install the package ca-certificates or give the check tls.ca_pem",
        SYSTEM_ROOTS.join(", ")
    );
    tracing::warn!("{why}");
    Err(why)
}

/// Who is expected at the other end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer<'a> {
    pub(crate) host: &'a Address,
    pub(crate) options: &'a TlsOptions,
}

impl Peer<'_> {
    fn name(&self) -> Step<ServerName<'static>> {
        let name = match (&self.options.server_name, self.host) {
            (Some(name), _) => ServerName::try_from(name.clone()),
            (None, Address::Ip(ip)) => Ok(ServerName::from(*ip)),
            (None, Address::Name(name)) => ServerName::try_from(name.to_string()),
        };
        name.map_err(|_| Stop::Abstain(Abstention::Invalid))
    }
}

fn handshake_failure(error: &std::io::Error) -> Stop {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => {
            failed(Phase::Tls, FailureKind::Certificate, why.to_string())
        }
        Some(other) => failed(Phase::Tls, FailureKind::Protocol, other.to_string()),
        None => broken(Phase::Tls, error),
    }
}

const DAY: u64 = 86_400;

/// Judges a certificate's period of validity.
fn judge(trace: &mut Trace, leaf: &[u8], now: Timestamp, min_days: Option<u16>) -> Step {
    let fail = |detail: String| Err(failed(Phase::Tls, FailureKind::Certificate, detail));
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(leaf) else {
        return fail("the certificate does not parse".into());
    };
    let validity = certificate.validity();
    let from = u64::try_from(validity.not_before.timestamp()).unwrap_or(0);
    let until = u64::try_from(validity.not_after.timestamp()).unwrap_or(0);
    let now = now.0 / 1000;
    let days = until.saturating_sub(now) / DAY;
    trace.note(|| format!("certificate of {}: {days} days left", certificate.subject()));
    if now < from {
        return fail(format!("the certificate is not valid before {}", validity.not_before));
    }
    if now > until {
        return fail(format!("the certificate expired on {}", validity.not_after));
    }
    match min_days {
        Some(min) if days < u64::from(min) => {
            fail(format!("the certificate expires in {days} days, less than {min}"))
        }
        Some(_) | None => Ok(()),
    }
}

/// The agent's clock, as rustls asks for it.
struct WallTime(Arc<dyn Clock>);

impl fmt::Debug for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallTime")
    }
}

impl TimeProvider for WallTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(self.0.now().0)))
    }
}

/// Takes any chain and any name; the handshake's signature is verified all the same.
#[derive(Debug)]
struct AnyChain(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyChain {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, leaf, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, leaf, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
