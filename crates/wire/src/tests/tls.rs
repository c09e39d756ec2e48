//! The certificate authority makes what the checks accept, and the checks name what is wrong.

use std::net::{IpAddr, Ipv4Addr};

use holdfast_core::{ActorKind, Timestamp};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::ca::{Authority, CaError, Issued, Role, Subject};
use crate::tls::{Identity, IdentityError, TlsError, TlsFiles, TlsMaterial};

/// 2026-01-01.
pub(super) const NOW: Timestamp = Timestamp(1_767_225_600_000);
const DAY_MS: u64 = 86_400_000;

fn authority() -> Authority {
    Authority::create("demo", NOW, 365).expect("the name is possible")
}

fn issue(authority: &Authority, role: Role, name: &str) -> Issued {
    issue_for(authority, role, name, 90)
}

pub(super) fn issue_for(authority: &Authority, role: Role, name: &str, days: u32) -> Issued {
    let subject = Subject {
        role,
        name: name.to_owned(),
        dns_names: vec!["localhost".to_owned()],
        addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
    };
    authority.issue(&subject, NOW, days).expect("the subject is possible")
}

fn material(
    authority: &Authority,
    issued: &Issued,
    now: Timestamp,
) -> Result<TlsMaterial, TlsError> {
    TlsMaterial::from_pem(&issued.cert_pem, &issued.key_pem, authority.cert_pem(), now)
}

#[test]
fn certificates_name_their_holders() {
    let authority = authority();
    for (role, kind) in [
        (Role::Agent, ActorKind::Agent),
        (Role::User, ActorKind::Person),
        (Role::Workload, ActorKind::Workload),
    ] {
        let issued = issue(&authority, role, "eu-1");
        let material = material(&authority, &issued, NOW).expect("it was just issued");
        let expected = Identity { kind, name: "eu-1".to_owned(), cluster: Some("demo".to_owned()) };
        assert_eq!(material.identity(), &expected);
        assert_eq!(material.expires(), Timestamp(NOW.0 + 90 * DAY_MS));
    }
}

#[test]
fn an_authority_survives_its_files() {
    let first = authority();
    let again = Authority::load(first.cert_pem(), &first.key_pem()).expect("its own files");
    assert_eq!(again.cluster(), "demo");
    let issued = issue(&again, Role::User, "ann");
    material(&first, &issued, NOW).expect("one authority, whoever loaded it");
    let other = authority();
    let error = Authority::load(first.cert_pem(), &other.key_pem()).expect_err("mixed files");
    assert!(matches!(error, CaError::Authority(_)), "{error}");
}

#[test]
fn serials_are_random() {
    let authority = authority();
    let serial = |issued: &Issued| {
        let der = CertificateDer::from_pem_slice(issued.cert_pem.as_bytes()).expect("PEM");
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).expect("a certificate");
        parsed.raw_serial().to_vec()
    };
    let (a, b) = (issue(&authority, Role::User, "ann"), issue(&authority, Role::User, "ann"));
    assert_ne!(serial(&a), serial(&b));
}

#[test]
fn what_is_wrong_is_said() {
    let authority = authority();
    let issued = issue(&authority, Role::Agent, "eu-1");
    let other = issue(&authority, Role::Agent, "eu-2");
    let foreign = self::authority();
    let pem = |cert: &str, key: &str, ca: &str, now| TlsMaterial::from_pem(cert, key, ca, now);
    let (cert, key, ca) = (&issued.cert_pem, &issued.key_pem, authority.cert_pem());

    let late = pem(cert, key, ca, Timestamp(NOW.0 + 91 * DAY_MS)).expect_err("expired");
    assert!(late.to_string().contains("expired at 2026-04-01"), "{late}");
    let early = pem(cert, key, ca, Timestamp(NOW.0 - DAY_MS)).expect_err("not yet valid");
    assert!(matches!(early, TlsError::NotYetValid { .. }), "{early}");
    let mixed = pem(cert, &other.key_pem, ca, NOW).expect_err("another key");
    assert!(matches!(mixed, TlsError::KeyMismatch { .. }), "{mixed}");
    let unsigned = pem(cert, key, foreign.cert_pem(), NOW).expect_err("another authority");
    assert!(matches!(unsigned, TlsError::WrongAuthority { .. }), "{unsigned}");
    let swapped = pem(key, cert, ca, NOW).expect_err("swapped files");
    assert!(matches!(swapped, TlsError::NotPem { wanted: "certificate", .. }), "{swapped}");
    let keyless = pem(cert, cert, ca, NOW).expect_err("no key");
    assert!(matches!(keyless, TlsError::NotPem { wanted: "key", .. }), "{keyless}");
}

#[test]
fn files_are_named_in_errors() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let authority = authority();
    let issued = issue(&authority, Role::Agent, "eu-1");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("a temporary file");
        path
    };
    let mut files = TlsFiles {
        cert: write("node.pem", &issued.cert_pem),
        key: write("node.key", &issued.key_pem),
        ca: vec![write("ca.pem", authority.cert_pem())],
    };
    TlsMaterial::load(&files, NOW).expect("the files fit");
    files.key = dir.path().join("absent.key");
    let error = TlsMaterial::load(&files, NOW).expect_err("the key is absent");
    assert!(error.to_string().contains("absent.key"), "{error}");
}

#[test]
fn only_our_uris_make_agents() {
    for (uri, expected) in [
        ("spiffe://demo/agent/eu-1", Some(ActorKind::Agent)),
        ("spiffe://demo/user/ann", Some(ActorKind::Person)),
        ("spiffe://demo/workload/ci/deploy", Some(ActorKind::Workload)),
        ("spiffe://demo/admin/ann", None),
        ("spiffe://demo/agent/", None),
        ("spiffe:///agent/eu-1", None),
        ("https://demo/agent/eu-1", None),
    ] {
        assert_eq!(Identity::from_uri(uri).ok().map(|i| i.kind), expected, "{uri}");
    }
    let nobody = Identity::of(&CertificateDer::from(vec![1, 2, 3]));
    assert!(matches!(nobody, Err(IdentityError::Unreadable(_))));
}

#[test]
fn impossible_certificates_are_refused() {
    assert!(matches!(Authority::create("", NOW, 1), Err(CaError::Name { .. })));
    assert!(matches!(Authority::create("a/b", NOW, 1), Err(CaError::Name { .. })));
    assert!(matches!(Authority::create("demo", NOW, 0), Err(CaError::Validity(0))));
}
