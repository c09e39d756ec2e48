//! A certificate authority for people without a PKI: one key that signs agents, users and workloads.
//!
//! Each certificate names its holder in a SPIFFE URI (`spiffe://CLUSTER/agent/NAME`), good for both ends of a
//! connection. Agents' certificates also hold the addresses they are dialled at. The authority is a pair of PEM texts;
//! where to keep them is the caller's business.

use std::net::IpAddr;
use std::time::Duration;

use holdfast_core::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The longest validity, in days: a hundred years.
pub const MAX_VALIDITY_DAYS: u32 = 36_500;
/// Certificates begin a little before they are issued, for clocks that are behind.
const BACKDATED: Duration = Duration::from_secs(300);
const DAY: Duration = Duration::from_secs(86_400);

/// What a certificate entitles to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// To be an agent of the cluster.
    Agent,
    /// To use the API as a person.
    User,
    /// To use the API as a program.
    Workload,
}

impl Role {
    /// The role in SPIFFE URIs: `agent`, `user` or `workload`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::User => "user",
            Self::Workload => "workload",
        }
    }
}

/// Whom a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// What it entitles to.
    pub role: Role,
    /// The holder's name.
    pub name: String,
    /// Names that an agent is dialled by, beside its own.
    pub dns_names: Vec<String>,
    /// Addresses that an agent is dialled at.
    pub addresses: Vec<IpAddr>,
}

/// A certificate with its key, both PEM.
#[derive(Clone)]
pub struct Issued {
    /// The certificate.
    pub cert_pem: String,
    /// The key, PKCS#8.
    pub key_pem: String,
    /// When the certificate ends.
    pub expires: Timestamp,
}

impl std::fmt::Debug for Issued {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// Why there is no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaError {
    /// The authority's own files are not usable.
    #[error("the authority is not usable: {0}; `holdfast ca init` makes a new one")]
    Authority(String),
    /// A name cannot stand in a certificate.
    #[error("{what} {given:?} cannot stand in a certificate: {why}")]
    Name {
        /// Such as `the cluster's name`.
        what: &'static str,
        /// What was given.
        given: String,
        /// What is allowed.
        why: &'static str,
    },
    /// The validity is not possible.
    #[error("a validity of {0} days is not possible: 1 to 36500 are")]
    Validity(u32),
    /// The library failed.
    #[error("cannot make a certificate: {0}")]
    Library(String),
}

/// A certificate authority.
pub struct Authority {
    cluster: String,
    cert_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes an authority for a cluster. Errors: the name or the validity is not possible.
    pub fn create(cluster: &str, now: Timestamp, days: u32) -> Result<Self, CaError> {
        check_name("the cluster's name", cluster)?;
        let key = KeyPair::generate().map_err(library)?;
        let (mut params, _) = parameters(&format!("holdfast CA {cluster}"), now, days)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names = vec![uri(format!("spiffe://{cluster}"))?];
        let cert_pem = params.self_signed(&key).map_err(library)?.pem();
        Ok(Self { cluster: cluster.to_owned(), cert_pem, issuer: Issuer::new(params, key) })
    }

    /// Takes up an authority that was made before. Errors: the texts are not one.
    pub fn load(cert_pem: &str, key_pem: &str) -> Result<Self, CaError> {
        let wrong = |why: String| CaError::Authority(why);
        let key = KeyPair::from_pem(key_pem).map_err(|e| wrong(format!("its key: {e}")))?;
        let der = CertificateDer::from_pem_slice(cert_pem.as_bytes())
            .map_err(|e| wrong(format!("its certificate: {e}")))?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|e| wrong(e.to_string()))?;
        if !parsed.is_ca() {
            return Err(wrong("its certificate may not sign others".to_owned()));
        }
        if parsed.public_key().subject_public_key.as_ref() != rcgen::PublicKeyData::der_bytes(&key)
        {
            return Err(wrong("its key does not belong to its certificate".to_owned()));
        }
        let cluster = cluster_of(&parsed)
            .ok_or_else(|| wrong("its certificate has no URI spiffe://CLUSTER".to_owned()))?;
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(library)?;
        Ok(Self { cluster, cert_pem: cert_pem.to_owned(), issuer })
    }

    /// The cluster it signs for.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Its certificate: what everybody is given to trust.
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// Its key: what nobody else may have.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Makes a key and signs a certificate for it. Errors: a name or the validity is not possible.
    pub fn issue(&self, subject: &Subject, now: Timestamp, days: u32) -> Result<Issued, CaError> {
        check_name("the holder's name", &subject.name)?;
        let key = KeyPair::generate().map_err(library)?;
        let (mut params, expires) = parameters(&subject.name, now, days)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let (role, name) = (subject.role.label(), &subject.name);
        params.subject_alt_names.push(uri(format!("spiffe://{}/{role}/{name}", self.cluster))?);
        if subject.role == Role::Agent {
            params.subject_alt_names.push(dns_name(name)?);
        }
        for name in &subject.dns_names {
            params.subject_alt_names.push(dns_name(name)?);
        }
        params.subject_alt_names.extend(subject.addresses.iter().map(|ip| SanType::IpAddress(*ip)));
        let certificate = params.signed_by(&key, &self.issuer).map_err(library)?;
        Ok(Issued { cert_pem: certificate.pem(), key_pem: key.serialize_pem(), expires })
    }
}

fn parameters(
    name: &str,
    now: Timestamp,
    days: u32,
) -> Result<(CertificateParams, Timestamp), CaError> {
    if days == 0 || days > MAX_VALIDITY_DAYS {
        return Err(CaError::Validity(days));
    }
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let begins = Duration::from_secs(now.before(BACKDATED).0 / 1000);
    let ends = Duration::from_secs(now.0 / 1000) + DAY * days;
    let mut params = CertificateParams::default();
    params.not_before = epoch + begins;
    params.not_after = epoch + ends;
    params.serial_number = Some(serial()?);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok((params, Timestamp(ends.as_secs() * 1000)))
}

/// A random serial of 127 bits: positive, as RFC 5280 4.1.2.2 asks.
fn serial() -> Result<SerialNumber, CaError> {
    let mut bytes = [0; 16];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| CaError::Library("there is no randomness".to_owned()))?;
    bytes[0] &= 0x7f;
    Ok(SerialNumber::from_slice(&bytes))
}

fn cluster_of(certificate: &X509Certificate<'_>) -> Option<String> {
    let names = certificate.subject_alternative_name().ok().flatten()?;
    names.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix("spiffe://").map(ToOwned::to_owned),
        _ => None,
    })
}

fn check_name(what: &'static str, given: &str) -> Result<(), CaError> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@');
    let fail = |why| Err(CaError::Name { what, given: given.chars().take(80).collect(), why });
    if given.is_empty() || given.len() > 64 {
        return fail("it must have 1 to 64 characters");
    }
    if !given.bytes().all(legal) {
        return fail("only letters, digits, '-', '_', '.' and '@' are allowed");
    }
    Ok(())
}

fn uri(text: String) -> Result<SanType, CaError> {
    Ok(SanType::URI(text.try_into().map_err(library)?))
}

fn dns_name(text: &str) -> Result<SanType, CaError> {
    Ok(SanType::DnsName(text.to_owned().try_into().map_err(library)?))
}

fn library(error: rcgen::Error) -> CaError {
    CaError::Library(error.to_string())
}
