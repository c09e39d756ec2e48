//! `holdfast ca …`: a certificate authority for people without a PKI, kept as two files in a directory.
//!
//! Keys are readable by their owner alone, and no file is ever overwritten. What is told as written outlasts a power
//! cut: without its key an authority issues nothing more.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use holdfast_wire::ca::{Authority, Role, Subject};
use serde_json::json;

use crate::clock;
use crate::durable;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Page;
use crate::session::{Outcome, Session};

/// Mode of files with keys: the owner reads and writes.
const KEY_MODE: u32 = 0o600;
/// Mode of files with certificates.
const CERT_MODE: u32 = 0o644;

/// Commands of `ca`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// Make an authority: ca.pem, which everybody is given, and ca.key, which nobody else may have.
    Init(InitArgs),
    /// Make a certificate and its key: NAME.pem and NAME.key.
    Issue(IssueArgs),
}

/// Arguments of `ca init`.
#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// The cluster's name, as `cluster.id` says in the agents' configuration.
    #[arg(long, value_name = "NAME")]
    cluster: String,
    /// Where the files go.
    #[arg(long, default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// For how many days it is good.
    #[arg(long, default_value_t = 3650, value_name = "DAYS")]
    days: u32,
}

/// Arguments of `ca issue`.
#[derive(Debug, clap::Args)]
pub(crate) struct IssueArgs {
    /// What it entitles to.
    #[arg(value_enum)]
    role: RoleArg,
    /// The holder's name; an agent's is its `node.name`.
    name: String,
    /// An address that an agent is dialled at; may be given again.
    #[arg(long, value_name = "IP")]
    address: Vec<IpAddr>,
    /// A name that an agent is dialled by, beside its own; may be given again.
    #[arg(long, value_name = "NAME")]
    dns: Vec<String>,
    /// Where ca.pem and ca.key are.
    #[arg(long, default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// Where the files go [default: beside the authority].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// For how many days it is good.
    #[arg(long, default_value_t = 365, value_name = "DAYS")]
    days: u32,
}

/// What a certificate entitles to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum RoleArg {
    /// To be an agent of the cluster.
    Agent,
    /// To use the API as a person.
    User,
    /// To use the API as a program.
    Workload,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Agent => Self::Agent,
            RoleArg::User => Self::User,
            RoleArg::Workload => Self::Workload,
        }
    }
}

/// Runs a command about certificates.
pub(crate) fn run(args: Args, session: &Session) -> Outcome {
    let page = match args {
        Args::Init(args) => init(&args)?,
        Args::Issue(args) => issue(args)?,
    };
    session.out.page(&page)?;
    Ok(Exit::Success)
}

fn init(args: &InitArgs) -> Result<Page, Failure> {
    let authority = Authority::create(&args.cluster, clock::now(), args.days)
        .map_err(|error| Failure::error(error.to_string()))?;
    let (cert, key) = (args.dir.join("ca.pem"), args.dir.join("ca.key"));
    write_pair((&cert, authority.cert_pem()), (&key, &authority.key_pem()))?;
    let text = format!(
        "authority of cluster {}: {} for everybody, {} for nobody else\nnext: holdfast ca issue agent NAME --address IP --dir {}",
        args.cluster,
        cert.display(),
        key.display(),
        args.dir.display()
    );
    let data = json!({
        "cluster": args.cluster,
        "certificate": cert.display().to_string(),
        "key": key.display().to_string(),
    });
    Ok(Page::line(data, text))
}

fn issue(args: IssueArgs) -> Result<Page, Failure> {
    let authority = load(&args.dir)?;
    let is_agent = args.role == RoleArg::Agent;
    if is_agent && args.address.is_empty() {
        return Err(Failure::usage(
            "agents dial each other by address, and this certificate would name none",
        )
        .next("add --address IP for each address that the agent listens on"));
    }
    let is_dialled = !args.address.is_empty() || !args.dns.is_empty();
    if is_dialled && !is_agent {
        return Err(Failure::usage(
            "--address and --dns are for agents: nobody dials users and workloads",
        ));
    }
    let subject = Subject {
        role: args.role.into(),
        name: args.name,
        dns_names: args.dns,
        addresses: args.address,
    };
    let issued = authority
        .issue(&subject, clock::now(), args.days)
        .map_err(|error| Failure::error(error.to_string()))?;
    let out = args.out.unwrap_or(args.dir);
    let (cert, key) =
        (out.join(format!("{}.pem", subject.name)), out.join(format!("{}.key", subject.name)));
    write_pair((&cert, &issued.cert_pem), (&key, &issued.key_pem))?;
    let text = format!(
        "{} {} of cluster {} until {}: {}, {}",
        subject.role.label(),
        subject.name,
        authority.cluster(),
        issued.expires,
        cert.display(),
        key.display()
    );
    let data = json!({
        "cluster": authority.cluster(),
        "role": subject.role.label(),
        "name": subject.name,
        "certificate": cert.display().to_string(),
        "key": key.display().to_string(),
        "expires_at_ms": issued.expires.0,
    });
    Ok(Page::line(data, text))
}

fn load(dir: &Path) -> Result<Authority, Failure> {
    let read = |name: &str| {
        let path = dir.join(name);
        std::fs::read_to_string(&path).map_err(|error| {
            Failure::error(format!("cannot read {}: {error}", path.display()))
                .next("name the authority's directory with --dir, or make one: holdfast ca init --cluster NAME")
        })
    };
    Authority::load(&read("ca.pem")?, &read("ca.key")?)
        .map_err(|error| Failure::error(error.to_string()))
}

/// Writes a certificate and its key, or neither.
fn write_pair(cert: (&Path, &str), key: (&Path, &str)) -> Result<(), Failure> {
    for path in [cert.0, key.0] {
        if path.exists() {
            return Err(Failure::error(format!(
                "{} exists and is not overwritten",
                path.display()
            ))
            .next("move it away, or name another directory"));
        }
    }
    write(key, KEY_MODE)?;
    write(cert, CERT_MODE).inspect_err(|_| {
        // A key without its certificate is of no use; the failure to write is what is told.
        let _ = std::fs::remove_file(key.0);
    })
}

fn write((path, text): (&Path, &str), mode: u32) -> Result<(), Failure> {
    durable::write_new(path, text.as_bytes(), mode)
        .map_err(|error| Failure::error(format!("cannot write {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_wire::tls::{TlsFiles, TlsMaterial};
    use std::os::unix::fs::PermissionsExt as _;

    fn init_in(dir: &Path) -> Result<Page, Failure> {
        init(&InitArgs { cluster: "prod".into(), dir: dir.into(), days: 10 })
    }

    fn issue_in(
        dir: &Path,
        role: RoleArg,
        name: &str,
        address: Vec<IpAddr>,
    ) -> Result<Page, Failure> {
        issue(IssueArgs {
            role,
            name: name.into(),
            address,
            dns: vec![],
            dir: dir.into(),
            out: None,
            days: 5,
        })
    }

    #[test]
    fn what_is_issued_makes_a_connection() {
        let dir = tempfile::tempdir().expect("a directory");
        init_in(dir.path()).expect("an authority");
        issue_in(dir.path(), RoleArg::Agent, "a1", vec!["10.0.0.1".parse().expect("valid")])
            .expect("issued");
        let files = TlsFiles {
            cert: dir.path().join("a1.pem"),
            key: dir.path().join("a1.key"),
            ca: vec![dir.path().join("ca.pem")],
        };
        let material = TlsMaterial::load(&files, clock::now()).expect("usable");
        assert_eq!(material.identity().name, "a1");
        for key in ["ca.key", "a1.key"] {
            let mode = std::fs::metadata(dir.path().join(key)).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, KEY_MODE, "{key}");
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().expect("a directory");
        init_in(dir.path()).expect("an authority");
        let before = std::fs::read_to_string(dir.path().join("ca.key")).expect("there");
        assert!(init_in(dir.path()).expect_err("exists").message().contains("not overwritten"));
        assert_eq!(std::fs::read_to_string(dir.path().join("ca.key")).expect("there"), before);
    }

    #[test]
    fn mistakes_name_the_next_step() {
        let dir = tempfile::tempdir().expect("a directory");
        let failure = issue_in(dir.path(), RoleArg::User, "ada", vec![]).expect_err("no authority");
        assert!(failure.to_string().contains("holdfast ca init"), "{failure}");
        init_in(dir.path()).expect("an authority");
        let failure = issue_in(dir.path(), RoleArg::Agent, "a1", vec![]).expect_err("no address");
        assert_eq!(failure.exit(), Exit::Usage);
        let failure = issue_in(dir.path(), RoleArg::User, "a/b", vec![]).expect_err("no name");
        assert!(failure.message().contains("cannot stand in a certificate"), "{failure}");
    }
}
