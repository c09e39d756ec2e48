//! `holdfast check-config FILE`: says whether an agent would start with this file, without starting one.

use std::path::PathBuf;

use holdfast_agent::config::Tls;
use holdfast_agent::{CertificateError, Config, ConfigError, certificate};
use holdfast_seal::SealingKeys;
use holdfast_wire::tls::TlsError;
use serde_json::json;

use crate::clock;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Page;
use crate::session::{Outcome, Session};

/// Arguments of `check-config`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration, TOML.
    file: PathBuf,
    /// Look at the file alone, not at the certificates and keys that it names.
    #[arg(long)]
    syntax_only: bool,
}

/// Reads and checks the file, and the certificates that it names.
pub(crate) fn run(args: &Args, session: &Session) -> Outcome {
    let config = read(&args.file)?;
    if !args.syntax_only {
        check_certificates(&config)?;
        SealingKeys::read(&config.secrets.keys)
            .map_err(|error| Failure::error(format!("secrets.keys: {error}")))?;
    }
    let secured = if matches!(config.tls, Tls::Plaintext) { "plaintext" } else { "mutual TLS" };
    let text = format!(
        "{} is right: agent {} ({}) of cluster {}, region {}, {} first members, {secured}",
        args.file.display(),
        config.node.name,
        config.node.id,
        config.cluster.id,
        config.node.region,
        config.cluster.members.len(),
    );
    let data = json!({
        "file": args.file.display().to_string(),
        "cluster": config.cluster.id,
        "id": config.node.id.0,
        "name": config.node.name.to_string(),
        "region": config.node.region.to_string(),
        "data_dir": config.node.data_dir.display().to_string(),
        "plaintext": matches!(config.tls, Tls::Plaintext),
        "listen": {
            "peer": config.listen.peer.to_string(),
            "api": config.listen.api.to_string(),
            "dns": config.listen.dns.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "http": config.listen.http.map(|http| http.to_string()),
        },
        "members": config.cluster.members.iter().map(|member| member.name.to_string()).collect::<Vec<_>>(),
    });
    session.out.page(&Page::line(data, text))?;
    Ok(Exit::Success)
}

/// Reads a configuration; the error names the place and what would be right.
pub(crate) fn read(file: &std::path::Path) -> Result<Config, Failure> {
    Config::read(file).map_err(|error| {
        let failure = Failure::error(error.to_string());
        match error {
            // Says itself what to do.
            ConfigError::Unreadable { .. } => failure,
            ConfigError::Syntax { .. } | ConfigError::Value { .. } => {
                failure.next(format!("correct it, then: holdfast check-config {}", file.display()))
            }
        }
    })
}

fn check_certificates(config: &Config) -> Result<(), Failure> {
    let name = config.node.name.as_str();
    certificate(config, clock::now()).map(drop).map_err(|error| unusable(&error, name))
}

fn unusable(error: &CertificateError, agent: &str) -> Failure {
    let next = match error {
        CertificateError::Unusable(TlsError::Denied { file }) => format!(
            "chgrp GROUP {0} && chmod 640 {0}, for the group of the user that the agent runs as, then check again as \
             that user",
            file.display()
        ),
        CertificateError::Unusable(_) | CertificateError::Foreign { .. } => {
            format!("holdfast ca issue agent {agent} --address IP")
        }
    };
    Failure::error(format!("tls: {error}")).next(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_may_not_be_read_is_to_be_given_to_the_agent_and_not_made_anew() {
        let file = PathBuf::from("/etc/holdfast/agent.key");
        let denied = CertificateError::Unusable(TlsError::Denied { file: file.clone() });
        let text = unusable(&denied, "a1").to_string();
        let next =
            "next:    chgrp GROUP /etc/holdfast/agent.key && chmod 640 /etc/holdfast/agent.key";
        assert!(text.contains(next), "{text}");
        assert!(!text.contains("ca issue"), "{text}");
        let absent = TlsError::Unreadable { file, why: "no such file".to_owned() };
        let text = unusable(&CertificateError::Unusable(absent), "a1").to_string();
        assert!(text.contains("holdfast ca issue agent a1 --address IP"), "{text}");
    }

    #[test]
    fn a_mistake_is_told_with_its_place_and_the_next_command() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("a.toml");
        std::fs::write(&file, "[node]\nname = \"a1\"\ndatadir = \"d\"\n").expect("written");
        let text = read(&file).expect_err("an unknown key").to_string();
        assert!(text.contains("line 3, column 1") && text.contains("datadir"), "{text}");
        assert!(text.contains("next:    correct it, then: holdfast check-config"), "{text}");
        let text = read(&dir.path().join("none.toml")).expect_err("no such file").to_string();
        assert!(text.contains("cannot read") && !text.contains("correct it"), "{text}");
    }
}
