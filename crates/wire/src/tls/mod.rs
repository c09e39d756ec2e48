//! Keys and certificates: from PEM files to configurations, with errors that name the file and what is wrong.
//!
//! Everything that a handshake would find out later is found out here: a certificate that has expired, a key that is
//! another certificate's, a certificate that our own authority did not sign. Both sides of every connection show
//! a certificate; TLS without that is not offered.
//!
//! What it does not do: reload. Whoever wants new files loads them again.

mod identity;
mod material;

use std::path::PathBuf;

pub use identity::{Identity, IdentityError};
pub use material::{TlsFiles, TlsMaterial};

/// Why files do not make a TLS configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {file}: {why}", file = file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        why: String,
    },
    /// A file belongs to somebody else.
    #[error(
        "cannot read {file}: permission denied; make it, and the directories above it, readable for the group of the user \
         that runs this: chgrp GROUP {file} && chmod 640 {file}",
        file = file.display()
    )]
    Denied {
        /// The file.
        file: PathBuf,
    },
    /// A file does not hold what it should.
    #[error("{file} holds no {wanted}: {why}; it must be PEM, such as `holdfast ca issue` writes")]
    NotPem {
        /// The file.
        file: String,
        /// Such as `certificate`.
        wanted: &'static str,
        /// What the parser says.
        why: String,
    },
    /// A certificate is past its end.
    #[error(
        "the certificate in {file} expired at {expired}; issue a new one with `holdfast ca issue`"
    )]
    Expired {
        /// The file.
        file: String,
        /// Its end.
        expired: holdfast_core::Timestamp,
    },
    /// A certificate is before its beginning.
    #[error(
        "the certificate in {file} is valid only from {begins}; is this machine's clock right?"
    )]
    NotYetValid {
        /// The file.
        file: String,
        /// Its beginning.
        begins: holdfast_core::Timestamp,
    },
    /// The key is another certificate's.
    #[error(
        "the key in {key} does not belong to the certificate in {certificate}; use the pair that was issued together"
    )]
    KeyMismatch {
        /// The certificate's file.
        certificate: String,
        /// The key's file.
        key: String,
    },
    /// Another authority signed the certificate.
    #[error(
        "the certificate in {certificate} was not signed by the authority in {authority} ({why}); use the ca.pem of the same `holdfast ca init`"
    )]
    WrongAuthority {
        /// The certificate's file.
        certificate: String,
        /// The authority's file.
        authority: String,
        /// What the verifier says.
        why: String,
    },
    /// The certificate names nobody we know how to treat.
    #[error("the certificate in {file} is not usable: {why}")]
    Identity {
        /// The file.
        file: String,
        /// What is wrong.
        why: IdentityError,
    },
    /// The key's kind is not supported.
    #[error("the key in {file} is not usable: {why}")]
    Key {
        /// The file.
        file: String,
        /// What the library says.
        why: String,
    },
}
