//! Who shows a certificate: read from its SPIFFE URI, or from its common name for certificates of another PKI.
//!
//! The chain has been verified before; this only reads. A certificate without our URI is a person's at most, so that
//! a foreign certificate authority cannot make agents.

use holdfast_core::{Actor, ActorKind};
use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Who shows a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What kind of actor.
    pub kind: ActorKind,
    /// Its name.
    pub name: String,
    /// The cluster whose certificate authority vouches; `None` without a SPIFFE URI.
    pub cluster: Option<String>,
}

/// Why a certificate names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The bytes are no certificate.
    #[error("the certificate cannot be read: {0}")]
    Unreadable(String),
    /// There is neither a SPIFFE URI nor a common name.
    #[error(
        "the certificate names nobody: it needs a URI spiffe://CLUSTER/user/NAME or a common name"
    )]
    Nameless,
    /// The SPIFFE URI is not one of ours.
    #[error("the certificate's URI {0:?} is not spiffe://CLUSTER/{{agent,user,workload}}/NAME")]
    Foreign(String),
}

impl Identity {
    /// Reads the identity of a verified certificate. Errors: it names nobody.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let (_, parsed) = X509Certificate::from_der(certificate)
            .map_err(|e| IdentityError::Unreadable(e.to_string()))?;
        if let Some(uri) = spiffe_uri(&parsed) {
            return Self::from_uri(uri);
        }
        let name = parsed.subject().iter_common_name().find_map(|name| name.as_str().ok());
        match name {
            Some(name) if !name.is_empty() => {
                Ok(Self { kind: ActorKind::Person, name: name.to_owned(), cluster: None })
            }
            _ => Err(IdentityError::Nameless),
        }
    }

    /// Reads a SPIFFE URI. Errors: it is not one of ours.
    pub fn from_uri(uri: &str) -> Result<Self, IdentityError> {
        let foreign = || IdentityError::Foreign(uri.chars().take(200).collect());
        let rest = uri.strip_prefix("spiffe://").ok_or_else(foreign)?;
        let mut parts = rest.splitn(3, '/');
        let (Some(cluster), Some(role), Some(name)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(foreign());
        };
        let kind = match role {
            "agent" => ActorKind::Agent,
            "user" => ActorKind::Person,
            "workload" => ActorKind::Workload,
            _ => return Err(foreign()),
        };
        if cluster.is_empty() || name.is_empty() {
            return Err(foreign());
        }
        Ok(Self { kind, name: name.to_owned(), cluster: Some(cluster.to_owned()) })
    }

    /// The actor that commands are recorded under.
    pub fn actor(&self) -> Actor {
        Actor { kind: self.kind, name: self.name.clone() }
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            ActorKind::Agent => "agent",
            ActorKind::Person => "user",
            ActorKind::Workload => "workload",
            ActorKind::System => "system",
        };
        write!(f, "{kind} {}", self.name)?;
        self.cluster.as_ref().map_or(Ok(()), |cluster| write!(f, " of cluster {cluster}"))
    }
}

fn spiffe_uri<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a str> {
    let names = certificate.subject_alternative_name().ok().flatten()?;
    names.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) if uri.starts_with("spiffe://") => Some(*uri),
        _ => None,
    })
}
