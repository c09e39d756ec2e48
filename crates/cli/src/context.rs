//! Whom to ask and how to prove who asks: from options, environment and a context file to one checked connection.
//!
//! Options stand above the environment, and that above the file. Plaintext is taken for loopback addresses only, so
//! that a forgotten flag cannot send orders in clear through a network.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use holdfast_core::Timestamp;
use holdfast_wire::tls::{TlsFiles, TlsMaterial};
use serde::Deserialize;

use crate::failure::Failure;
use crate::options::Options;

/// The most members that are asked one after the other.
pub(crate) const MAX_MEMBERS: usize = 32;

/// A context file.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContextFile {
    /// Members, `host:port`.
    #[serde(default)]
    pub endpoints: Vec<String>,
    /// Speak without TLS.
    #[serde(default)]
    pub plaintext: bool,
    /// Paths of the PEM files, relative to this file.
    #[serde(default)]
    pub tls: ContextTls,
}

/// The PEM files of a context.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContextTls {
    /// The authorities to trust.
    pub ca: Option<PathBuf>,
    /// The certificate to show.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// How a client proves who it is.
#[derive(Debug, Clone)]
pub(crate) enum Security {
    /// Mutual TLS.
    Mutual(Box<TlsMaterial>),
    /// Nobody proves anything; on loopback only.
    Plaintext,
}

/// Whom to ask, and how.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    /// Members, `host:port`, at least one.
    pub members: Vec<String>,
    /// How to prove who asks.
    pub security: Security,
}

impl ContextFile {
    /// Reads a context file; relative paths in it are relative to it. Errors: what is wrong, with line and column.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::error(format!("cannot read the context file {}: {error}", path.display()))
                .next("pass --context FILE, or --endpoint HOST:PORT with --ca, --cert and --key")
        })?;
        let mut context: Self = toml::from_str(&text).map_err(|error| {
            Failure::error(format!("{}: {}", path.display(), error.to_string().trim_end()))
                .next("a context has endpoints = [\"HOST:PORT\"] and [tls] with ca, cert and key")
        })?;
        let base = path.parent().unwrap_or(Path::new("."));
        for file in
            [&mut context.tls.ca, &mut context.tls.cert, &mut context.tls.key].into_iter().flatten()
        {
            *file = base.join(&*file);
        }
        Ok(context)
    }

    /// The context that is meant: the one named, else the default one where it exists, else none.
    fn chosen(options: &Options) -> Result<Self, Failure> {
        if let Some(path) = &options.context {
            return Self::read(path);
        }
        let default = default_path().filter(|path| path.exists());
        default.map_or_else(|| Ok(Self::default()), |path| Self::read(&path))
    }
}

/// `$XDG_CONFIG_HOME/holdfast/context.toml`, else `~/.config/holdfast/context.toml`.
fn default_path() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
    Some(config.join("holdfast/context.toml"))
}

impl Connection {
    /// Makes a connection of what was given. Errors: what is missing or wrong, and how to give it.
    pub(crate) fn new(options: &Options, now: Timestamp) -> Result<Self, Failure> {
        let context = ContextFile::chosen(options)?;
        Self::merge(options, context, now)
    }

    fn merge(options: &Options, context: ContextFile, now: Timestamp) -> Result<Self, Failure> {
        let given =
            if options.endpoint.is_empty() { context.endpoints } else { options.endpoint.clone() };
        let mut members: Vec<String> = Vec::new();
        for member in given.iter().map(|member| member.trim()).filter(|member| !member.is_empty()) {
            check_address(member)?;
            if !members.iter().any(|known| known == member) {
                members.push(member.to_owned());
            }
        }
        if members.is_empty() {
            return Err(Failure::usage("no member to ask is given").next(
                "add --endpoint HOST:PORT, set HOLDFAST_ENDPOINT, or name a context file with --context FILE",
            ));
        }
        if members.len() > MAX_MEMBERS {
            return Err(Failure::usage(format!("at most {MAX_MEMBERS} endpoints are allowed")));
        }
        let file = |flag: &Option<PathBuf>, context: Option<PathBuf>| flag.clone().or(context);
        let tls = ContextTls {
            ca: file(&options.ca, context.tls.ca),
            cert: file(&options.cert, context.tls.cert),
            key: file(&options.key, context.tls.key),
        };
        let flags_name_files =
            options.ca.is_some() || options.cert.is_some() || options.key.is_some();
        let plaintext = options.plaintext || context.plaintext && !flags_name_files;
        let security = if plaintext { Security::Plaintext } else { mutual(tls, now)? };
        members.iter().try_for_each(|member| check_plaintext(member, &security))?;
        Ok(Self { members, security })
    }

    /// The same, with another member alone.
    pub(crate) fn only(&self, member: &str) -> Result<Self, Failure> {
        check_address(member)?;
        check_plaintext(member, &self.security)?;
        Ok(Self { members: vec![member.to_owned()], security: self.security.clone() })
    }
}

fn mutual(tls: ContextTls, now: Timestamp) -> Result<Security, Failure> {
    let missing: Vec<&str> = [("--ca", &tls.ca), ("--cert", &tls.cert), ("--key", &tls.key)]
        .into_iter()
        .filter_map(|(flag, file)| file.is_none().then_some(flag))
        .collect();
    let (Some(ca), Some(cert), Some(key)) = (tls.ca, tls.cert, tls.key) else {
        let message = format!("the API wants a certificate and {} missing", listed(&missing));
        return Err(Failure::usage(message).next(
            "make one with `holdfast ca issue user NAME`, or add --plaintext for an agent on loopback without TLS",
        ));
    };
    let material = TlsMaterial::load(&TlsFiles { cert, key, ca: vec![ca] }, now)
        .map_err(|error| Failure::error(error.to_string()))?;
    Ok(Security::Mutual(Box::new(material)))
}

fn listed(missing: &[&str]) -> String {
    let verb = if missing.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", missing.join(" and "))
}

/// Splits `host:port`; the host of an IPv6 address stands in brackets.
pub(crate) fn split_address(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if bracketed.is_none() && host.contains(':') {
        return None;
    }
    let host = bracketed.unwrap_or(host);
    (port > 0 && !host.is_empty()).then_some((host, port))
}

fn check_address(address: &str) -> Result<(), Failure> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'%');
    match split_address(address) {
        Some((host, _)) if host.bytes().all(legal) => Ok(()),
        _ => Err(Failure::usage(format!("{address:?} is not an address of a member"))
            .next("write HOST:PORT, such as 10.1.0.4:7444 or [2001:db8::4]:7444")),
    }
}

fn check_plaintext(member: &str, security: &Security) -> Result<(), Failure> {
    let host = split_address(member).map_or("", |(host, _)| host);
    let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match security {
        Security::Plaintext if !loopback => Err(Failure::usage(format!(
            "{member} is not a loopback address, and plaintext goes no farther"
        ))
        .next("use --ca, --cert and --key instead of --plaintext")),
        Security::Plaintext | Security::Mutual(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser as _;
    use holdfast_wire::ca::{Authority, Role, Subject};

    const NOW: Timestamp = Timestamp(1_795_000_000_000);

    fn options(flags: &[&str]) -> Options {
        let line = ["holdfast", "status", "--context", "unused"].iter().chain(flags);
        Cli::try_parse_from(line).expect("valid").options
    }

    fn connect(flags: &[&str], context: &str) -> Result<Connection, Failure> {
        let context = toml::from_str(context).expect("TOML");
        Connection::merge(&options(flags), context, NOW)
    }

    #[test]
    fn options_stand_above_the_file() {
        let context = "endpoints = [\"127.0.0.1:1\"]\nplaintext = true";
        let members = |flags: &[&str]| connect(flags, context).expect("complete").members;
        assert_eq!(members(&[]), ["127.0.0.1:1"]);
        assert_eq!(
            members(&["--endpoint", "127.0.0.1:2,[::1]:3,127.0.0.1:2"]),
            ["127.0.0.1:2", "[::1]:3"]
        );
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (flags, said) in [
            (&["--plaintext"][..], "no member to ask"),
            (&["--plaintext", "--endpoint", "nohost"], "not an address"),
            (&["--plaintext", "--endpoint", "::1:7444"], "not an address"),
            (&["--plaintext", "--endpoint", "10.0.0.1:7444"], "not a loopback address"),
            (&["--endpoint", "127.0.0.1:1"], "--ca and --cert and --key are missing"),
            (&["--endpoint", "127.0.0.1:1", "--ca", "a", "--cert", "b"], "--key is missing"),
        ] {
            let failure = connect(flags, "").expect_err("incomplete");
            assert!(failure.message().contains(said), "{flags:?}: {failure}");
            assert_eq!(failure.exit().code(), 64, "{flags:?}");
        }
        let unreadable =
            ["--endpoint", "127.0.0.1:1", "--ca", "/no/ca", "--cert", "/no/c", "--key", "/no/k"];
        let failure = connect(&unreadable, "").expect_err("no such files");
        assert!(failure.message().contains("cannot read /no/"), "{failure}");
    }

    #[test]
    fn a_context_file_names_its_files_relative_to_itself() {
        let dir = tempfile::tempdir().expect("a directory");
        let authority = Authority::create("c", NOW, 10).expect("an authority");
        let subject =
            Subject { role: Role::User, name: "op".into(), dns_names: vec![], addresses: vec![] };
        let issued = authority.issue(&subject, NOW, 5).expect("a certificate");
        for (name, text) in [
            ("ca.pem", authority.cert_pem()),
            ("op.pem", &issued.cert_pem),
            ("op.key", &issued.key_pem),
        ] {
            std::fs::write(dir.path().join(name), text).expect("written");
        }
        let file = dir.path().join("context.toml");
        let text = "endpoints = [\"10.0.0.1:7444\"]\n[tls]\nca = \"ca.pem\"\ncert = \"op.pem\"\nkey = \"op.key\"\n";
        std::fs::write(&file, text).expect("written");
        let context = ContextFile::read(&file).expect("readable");
        let connection = Connection::merge(&options(&[]), context, NOW).expect("complete");
        assert!(matches!(connection.security, Security::Mutual(_)));
        assert!(connection.only("10.0.0.2:7444").is_ok());

        std::fs::write(&file, "endpoint = []").expect("written");
        let failure = ContextFile::read(&file).expect_err("unknown key");
        assert!(failure.message().contains("line 1, column 1"), "{failure}");
    }
}
