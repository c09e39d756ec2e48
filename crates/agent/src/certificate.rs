//! The agent's own certificate. It has to name this agent and this cluster: peers hold every message to the name in
//! it, so an agent with another's certificate would run and not be heard.

use std::path::PathBuf;

use holdfast_core::{ActorKind, AgentName, Timestamp};
use holdfast_wire::tls::{Identity, TlsError, TlsFiles, TlsMaterial};

use crate::config::{Config, Tls};

/// Why a certificate is not this agent's to use.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The files cannot be used by anybody.
    #[error("{0}")]
    Unusable(#[source] TlsError),
    /// It is somebody else's.
    #[error(
        "{} names {identity}, and this is agent {agent} of cluster {cluster}: peers would refuse what it says; make \
         its own with `holdfast ca issue agent {agent} --address IP`",
        file.display()
    )]
    Foreign {
        /// The certificate's file.
        file: PathBuf,
        /// Whom it names.
        identity: Identity,
        /// This agent.
        agent: AgentName,
        /// Its cluster.
        cluster: String,
    },
}

/// Loads and checks the certificate that the configuration names; `None` in plaintext. Errors: see
/// [`CertificateError`].
pub fn certificate(
    config: &Config,
    now: Timestamp,
) -> Result<Option<TlsMaterial>, CertificateError> {
    let Tls::Mutual { cert, key, ca } = &config.tls else { return Ok(None) };
    let files = TlsFiles { cert: cert.clone(), key: key.clone(), ca: vec![ca.clone()] };
    let material = TlsMaterial::load(&files, now).map_err(CertificateError::Unusable)?;
    let (agent, cluster) = (&config.node.name, &config.cluster.id);
    let identity = material.identity();
    let ours = identity.kind == ActorKind::Agent
        && identity.name == agent.as_str()
        && identity.cluster.as_ref() == Some(cluster);
    if ours {
        return Ok(Some(material));
    }
    Err(CertificateError::Foreign {
        file: cert.clone(),
        identity: identity.clone(),
        agent: agent.clone(),
        cluster: cluster.clone(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use holdfast_core::seam::Clock as _;
    use holdfast_wire::ca::{Authority, Role, Subject};

    use super::*;
    use crate::seams::SystemClock;

    /// Writes a certificate of `cluster` for `name` to `dir`, and a configuration of agent a1 of cluster c with it.
    fn configured(dir: &Path, cluster: &str, role: Role, name: &str) -> Config {
        let now = SystemClock.now();
        let authority = Authority::create(cluster, now, 1).expect("the name is possible");
        let subject =
            Subject { role, name: name.to_owned(), dns_names: Vec::new(), addresses: Vec::new() };
        let issued = authority.issue(&subject, now, 1).expect("the subject is possible");
        let write = |file, text: &str| std::fs::write(dir.join(file), text).expect("written");
        write("ca.pem", authority.cert_pem());
        write("cert.pem", &issued.cert_pem);
        write("key.pem", &issued.key_pem);
        let text = "[node]\nname = \"a1\"\ndata_dir = \"data\"\n\
             [listen]\npeer = \"127.0.0.1:1\"\napi = \"127.0.0.1:2\"\n[cluster]\nid = \"c\"\n\
             members = [{ name = \"a1\", region = \"r\", peer = \"127.0.0.1:1\", api = \"127.0.0.1:2\" }]\n\
             [tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\nca = \"ca.pem\"\n";
        Config::parse(text, &dir.join("a1.toml")).expect("the configuration is right")
    }

    #[test]
    fn an_agent_uses_its_own_certificate_only() {
        let dir = tempfile::tempdir().expect("a directory");
        let load = |cluster, role, name| {
            certificate(&configured(dir.path(), cluster, role, name), SystemClock.now())
        };
        let own = load("c", Role::Agent, "a1").expect("its own");
        assert_eq!(own.expect("not plaintext").identity().name, "a1");
        for (cluster, role, name, said) in [
            ("c", Role::Agent, "a2", "names agent a2 of cluster c"),
            ("d", Role::Agent, "a1", "names agent a1 of cluster d"),
            ("c", Role::User, "a1", "names user a1 of cluster c"),
        ] {
            let text = load(cluster, role, name).expect_err("somebody else's").to_string();
            assert!(text.contains(said) && text.contains("cert.pem"), "{text}");
            assert!(text.contains("this is agent a1 of cluster c"), "{text}");
            assert!(text.contains("holdfast ca issue agent a1 --address IP"), "{text}");
        }
    }
}
