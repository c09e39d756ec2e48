//! The file as it is written, before it is checked.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_core::{AgentId, GroupId};
use holdfast_dns::{GeoConfig, QueryLogConfig};
use holdfast_probe::{AddressPolicy, Cidr, CidrError};
use serde::Deserialize;

use super::dns::RawDnsGuard;
use super::encrypted::RawDnsTls;
use super::propagation::RawPropagation;
use super::{
    Cluster, Config, Dns, InitialMember, Listen, Node, Probe, Raft, Secrets, Telemetry, Tls,
    parse_duration,
};

/// The most files of sealing keys.
const MAX_SEALING_KEYS: usize = 16;

/// The key and what is wrong with its value.
pub(super) type Problem = (String, String);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    node: RawNode,
    listen: RawListen,
    cluster: RawCluster,
    #[serde(default)]
    raft: RawRaft,
    #[serde(default)]
    tls: RawTls,
    #[serde(default)]
    probe: RawProbe,
    #[serde(default)]
    dns: RawDns,
    #[serde(default)]
    secrets: RawSecrets,
    #[serde(default)]
    telemetry: RawTelemetry,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNode {
    name: String,
    id: Option<u64>,
    region: Option<String>,
    data_dir: PathBuf,
    user: Option<String>,
    group: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawListen {
    peer: String,
    api: String,
    #[serde(default)]
    dns: Vec<String>,
    http: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCluster {
    id: String,
    #[serde(default)]
    members: Vec<RawMember>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMember {
    name: String,
    region: String,
    peer: String,
    api: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRaft {
    heartbeat: Option<String>,
    election_timeout_min: Option<String>,
    election_timeout_max: Option<String>,
    snapshot_every: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTls {
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    ca: Option<PathBuf>,
    insecure_plaintext: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawProbe {
    max_concurrency: Option<usize>,
    per_host: Option<usize>,
    allow_loopback: bool,
    allow: Vec<String>,
    deny: Vec<String>,
    report_every: Option<String>,
    silent_after: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawDns {
    version: Option<String>,
    hostname: Option<String>,
    threads: Option<usize>,
    query_log: Option<RawQueryLog>,
    tls: Option<RawDnsTls>,
    #[serde(default)]
    propagation: RawPropagation,
    geo: Option<RawGeo>,
    nsid: Option<String>,
    cookie_secrets: Vec<String>,
    rate_limit_per_prefix: Option<u32>,
    rate_limit_exempt: Option<Vec<String>>,
    max_reply_without_cookie: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGeo {
    database: PathBuf,
    asn_database: Option<PathBuf>,
}

impl RawGeo {
    fn check(self, base: &Path) -> GeoConfig {
        let databases = [Some(self.database), self.asn_database];
        GeoConfig {
            databases: databases.into_iter().flatten().map(|path| base.join(path)).collect(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQueryLog {
    file: PathBuf,
    #[serde(default = "one_in_a_thousand")]
    one_in: u32,
    #[serde(default)]
    whole_addresses: bool,
}

fn one_in_a_thousand() -> u32 {
    1000
}

impl RawQueryLog {
    fn check(self, base: &Path) -> Result<QueryLogConfig, Problem> {
        let Self { file, one_in, whole_addresses } = self;
        if one_in == 0 {
            return Err(problem("dns.query_log.one_in", "at least 1, which logs every query"));
        }
        Ok(QueryLogConfig { file: base.join(file), one_in, whole_addresses })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSecrets {
    keys: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTelemetry {
    log: Option<String>,
    filter: Option<String>,
}

pub(super) fn problem(key: &str, problem: impl ToString) -> Problem {
    (key.to_owned(), problem.to_string())
}

pub(super) fn socket(key: &str, text: &str) -> Result<SocketAddr, Problem> {
    text.parse().map_err(|_| {
        problem(key, format!("{text:?} is not an IP address and a port, such as \"10.1.0.4:7443\""))
    })
}

fn duration(key: &str, text: Option<&String>, default: Duration) -> Result<Duration, Problem> {
    text.map_or(Ok(default), |text| parse_duration(text).map_err(|e| problem(key, e)))
}

impl Raw {
    pub(super) fn check(self, base: &Path) -> Result<Config, Problem> {
        let listen = self.listen.check()?;
        let tls = self.tls.check(base)?;
        if tls == Tls::Plaintext {
            require_loopback(&listen)?;
        }
        let cluster = self.cluster.check()?;
        let guard = RawDnsGuard {
            nsid: self.dns.nsid,
            cookie_secrets: self.dns.cookie_secrets,
            rate_limit_per_prefix: self.dns.rate_limit_per_prefix,
            rate_limit_exempt: self.dns.rate_limit_exempt,
            max_reply_without_cookie: self.dns.max_reply_without_cookie,
        };
        let config = Config {
            node: self.node.check(base, &cluster)?,
            raft: self.raft.check()?,
            probe: self.probe.check()?,
            telemetry: self.telemetry.check()?,
            dns: Dns {
                version: self.dns.version,
                hostname: self.dns.hostname,
                threads: self.dns.threads.unwrap_or(1),
                resolvers: self
                    .dns
                    .propagation
                    .check()
                    .map_err(|why| problem(RawPropagation::KEY, why))?,
                query_log: self.dns.query_log.map(|log| log.check(base)).transpose()?,
                tls: self.dns.tls.map(|tls| tls.check(base)).transpose()?,
                geo: self.dns.geo.map(|geo| geo.check(base)).unwrap_or_default(),
                guard: guard.check(base)?,
            },
            secrets: self.secrets.check(base)?,
            listen,
            cluster,
            tls,
        };
        Ok(config)
    }
}

fn require_loopback(listen: &Listen) -> Result<(), Problem> {
    for (key, address) in [("listen.peer", listen.peer), ("listen.api", listen.api)] {
        if !address.ip().is_loopback() {
            return Err(problem(
                key,
                format!(
                    "{address} is not loopback, and tls.insecure_plaintext is allowed on loopback only; \
                     make certificates with `holdfast ca init` and `holdfast ca issue`"
                ),
            ));
        }
    }
    Ok(())
}

impl RawNode {
    fn check(self, base: &Path, cluster: &Cluster) -> Result<Node, Problem> {
        let name = self.name.parse().map_err(|e| problem("node.name", e))?;
        let member = cluster.members.iter().find(|member| member.name == name);
        let id = match (self.id, member) {
            (Some(0), _) => return Err(problem("node.id", "ids begin at 1")),
            (Some(id), Some(member)) if AgentId(id) != member.id => {
                return Err(problem(
                    "node.id",
                    format!(
                        "{id} is not this agent's place in cluster.members, which is {}",
                        member.id
                    ),
                ));
            }
            (Some(id), _) => AgentId(id),
            (None, Some(member)) => member.id,
            (None, None) => {
                return Err(problem(
                    "node.id",
                    "this agent is not in cluster.members; add it with `holdfast cluster add` and write \
                     the id that it prints here",
                ));
            }
        };
        let region = match (self.region, member) {
            (Some(region), _) => region.parse().map_err(|e| problem("node.region", e))?,
            (None, Some(member)) => member.region.clone(),
            (None, None) => {
                return Err(problem("node.region", "an agent that joins must say where it is"));
            }
        };
        if self.user.is_none() && self.group.is_some() {
            return Err(problem("node.group", "stands beside node.user only; name the user too"));
        }
        let data_dir = base.join(self.data_dir);
        Ok(Node { id, name, region, data_dir, user: self.user, group: self.group })
    }
}

impl RawListen {
    fn check(self) -> Result<Listen, Problem> {
        let dns = self.dns.iter().map(|text| {
            let address = socket("listen.dns", text)?;
            if address.ip().is_unspecified() {
                return Err(problem(
                    "listen.dns",
                    format!(
                        "{address} would answer from whichever address the system picks, which resolvers drop; \
                         list each address"
                    ),
                ));
            }
            Ok(address)
        });
        Ok(Listen {
            peer: socket("listen.peer", &self.peer)?,
            api: socket("listen.api", &self.api)?,
            dns: dns.collect::<Result<_, _>>()?,
            http: self.http.map(|text| socket("listen.http", &text)).transpose()?,
        })
    }
}

impl RawCluster {
    fn check(self) -> Result<Cluster, Problem> {
        if self.id.is_empty() || self.id.len() > 63 {
            return Err(problem("cluster.id", "must have 1 to 63 characters"));
        }
        let mut members: Vec<InitialMember> = Vec::new();
        for (place, raw) in self.members.into_iter().enumerate() {
            let key = format!("cluster.members[{place}]");
            let name = raw.name.parse().map_err(|e| problem(&key, e))?;
            if members.iter().any(|member| member.name == name) {
                return Err(problem(&key, format!("the name {name} is used twice")));
            }
            let peer = socket(&format!("{key}.peer"), &raw.peer)?;
            if members.iter().any(|member| member.peer == peer) {
                return Err(problem(&key, format!("the address {peer} is used twice")));
            }
            members.push(InitialMember {
                id: AgentId(place as u64 + 1),
                name,
                region: raw.region.parse().map_err(|e| problem(&key, e))?,
                peer,
                api: socket(&format!("{key}.api"), &raw.api)?,
            });
        }
        Ok(Cluster { id: self.id, group: GroupId(1), members })
    }
}

impl RawRaft {
    fn check(self) -> Result<Raft, Problem> {
        let ms = Duration::from_millis;
        let heartbeat = duration("raft.heartbeat", self.heartbeat.as_ref(), ms(50))?;
        let min = duration(
            "raft.election_timeout_min",
            self.election_timeout_min.as_ref(),
            heartbeat * 3,
        )?;
        let max =
            duration("raft.election_timeout_max", self.election_timeout_max.as_ref(), min * 2)?;
        if heartbeat < ms(5) {
            return Err(problem("raft.heartbeat", "must be at least 5ms"));
        }
        if min < heartbeat * 2 {
            return Err(problem(
                "raft.election_timeout_min",
                format!(
                    "{min:?} must be at least two heartbeats ({heartbeat:?} each), or every lost one elects"
                ),
            ));
        }
        if max <= min {
            return Err(problem(
                "raft.election_timeout_max",
                format!("must be more than the minimum, {min:?}"),
            ));
        }
        let snapshot_every = self.snapshot_every.unwrap_or(50_000);
        if snapshot_every < 100 {
            return Err(problem("raft.snapshot_every", "must be at least 100 entries"));
        }
        Ok(Raft { heartbeat, election_min: min, election_max: max, snapshot_every })
    }
}

impl RawTls {
    fn check(self, base: &Path) -> Result<Tls, Problem> {
        match (self.cert, self.key, self.ca) {
            (Some(cert), Some(key), Some(ca)) if !self.insecure_plaintext => {
                Ok(Tls::Mutual { cert: base.join(cert), key: base.join(key), ca: base.join(ca) })
            }
            (None, None, None) if self.insecure_plaintext => Ok(Tls::Plaintext),
            (None, None, None) => Err(problem(
                "tls",
                "cert, key and ca are needed; make them with `holdfast ca init` and `holdfast ca issue`, or \
                 set tls.insecure_plaintext = true where everything listens on loopback",
            )),
            _ if self.insecure_plaintext => {
                Err(problem("tls.insecure_plaintext", "cannot stand beside cert, key and ca"))
            }
            _ => Err(problem("tls", "cert, key and ca are needed together")),
        }
    }
}

impl RawSecrets {
    fn check(self, base: &Path) -> Result<Secrets, Problem> {
        if self.keys.len() > MAX_SEALING_KEYS {
            return Err(problem("secrets.keys", format!("at most {MAX_SEALING_KEYS}")));
        }
        let keys = self.keys.iter().map(|text| {
            let path = text.strip_prefix("file:").filter(|path| !path.is_empty());
            let wrong = || {
                problem(
                    "secrets.keys",
                    format!("{text:?} is not a file: write \"file:/path/to/seal.key\""),
                )
            };
            path.map(|path| base.join(path)).ok_or_else(wrong)
        });
        Ok(Secrets { keys: keys.collect::<Result<_, _>>()? })
    }
}

impl RawProbe {
    fn check(self) -> Result<Probe, Problem> {
        let max_concurrency = self.max_concurrency.unwrap_or(512);
        let per_host = self.per_host.unwrap_or(16);
        for (key, value) in
            [("probe.max_concurrency", max_concurrency), ("probe.per_host", per_host)]
        {
            if !(1..=100_000).contains(&value) {
                return Err(problem(key, format!("{value} is outside 1 to 100000")));
            }
        }
        let policy = AddressPolicy {
            allow: networks("probe.allow", &self.allow)?,
            deny: networks("probe.deny", &self.deny)?,
            allow_loopback: self.allow_loopback,
        };
        let second = Duration::from_secs(1);
        let report_every = duration("probe.report_every", self.report_every.as_ref(), second)?;
        let silent_after =
            duration("probe.silent_after", self.silent_after.as_ref(), report_every * 3)?;
        if silent_after < report_every * 2 {
            return Err(problem(
                "probe.silent_after",
                format!(
                    "must be at least two of probe.report_every ({report_every:?}), or one lost report silences"
                ),
            ));
        }
        Ok(Probe { max_concurrency, per_host, policy, report_every, silent_after })
    }
}

fn networks(key: &str, texts: &[String]) -> Result<Vec<Cidr>, Problem> {
    let parse = |text: &String| text.parse().map_err(|error: CidrError| problem(key, error));
    texts.iter().map(parse).collect()
}

impl RawTelemetry {
    fn check(self) -> Result<Telemetry, Problem> {
        let json = match self.log.as_deref() {
            None | Some("pretty") => false,
            Some("json") => true,
            Some(other) => {
                return Err(problem(
                    "telemetry.log",
                    format!("{other:?} is neither json nor pretty"),
                ));
            }
        };
        Ok(Telemetry { json, filter: self.filter.unwrap_or_else(|| "info".into()) })
    }
}
