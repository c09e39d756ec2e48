//! What the server is told, and what it refuses to be told.
//!
//! A wildcard address is refused: a reply must leave from the address that was asked, and a plain socket bound to
//! `0.0.0.0` lets the kernel choose another. So every address to answer at is listed.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::GroupId;

use crate::cookie::{CookieSecret, MAX_SECRETS};
use crate::geo::Geo;
use crate::limits::{MAX_UDP, MIN_UDP};
use crate::query_log::QueryLogConfig;
use crate::rate_limit::{MAX_RATE, RateLimit};
use crate::streams::Streams;

/// The DNS server of an agent.
#[derive(Debug, Clone, Default)]
pub struct DnsConfig {
    /// The addresses to answer at, over UDP and TCP both; 1–64. With port 0, one free port is taken for the two.
    pub listen: Vec<SocketAddr>,
    /// 0: on the caller's runtime. Otherwise this many threads of its own, each with its own UDP socket per address,
    /// and one for TCP; at most 64.
    pub threads: usize,
    /// Limits of TCP.
    pub tcp: TcpConfig,
    /// What is told in class CHAOS.
    pub chaos: ChaosConfig,
    /// The server's name, told to clients that ask for it (NSID, RFC 5001); at most 255 bytes, `None` tells none.
    pub nsid: Option<String>,
    /// The secrets of cookies (RFC 7873): the first makes them, all are accepted; at most 4, and none ignores cookies.
    pub cookie_secrets: Vec<CookieSecret>,
    /// How replies over UDP are limited.
    pub rate_limit: RateLimit,
    /// The most bytes of a reply over UDP to a client without a valid cookie, 512–1232; what is longer is cut (TC).
    /// `None` is as with one: what a flood can gain is bounded by `rate_limit` in any case.
    pub max_reply_without_cookie: Option<u16>,
    /// Where the last view is kept for a restart without quorum; `None` keeps none.
    pub last_known_good: Option<LastKnownGood>,
    /// Where clients are; empty for an agent that does not know.
    pub geo: Geo,
    /// The encrypted transports; none without it.
    pub encrypted: Option<EncryptedConfig>,
    /// What answers transfers and updates over streams.
    pub streams: Option<Arc<dyn Streams>>,
    /// The sampled query log; `None` keeps none.
    pub query_log: Option<QueryLogConfig>,
}

/// Limits of TCP.
#[derive(Debug, Clone)]
pub struct TcpConfig {
    /// The most connections at a time over all addresses; 1–65,536. One more makes the longest idle leave.
    pub max_connections: usize,
    /// The most connections at a time from one prefix (IPv4 /24, IPv6 /48); at least 1.
    pub max_per_prefix: usize,
    /// A connection must bring its first whole query within this time.
    pub first_query_timeout: Duration,
    /// A connection without a whole new query for this long is closed; told to clients that ask (RFC 7828).
    pub idle_timeout: Duration,
    /// A peer that does not take a reply for this long is disconnected.
    pub write_timeout: Duration,
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_per_prefix: 128,
            first_query_timeout: Duration::from_secs(4),
            idle_timeout: Duration::from_secs(15),
            write_timeout: Duration::from_secs(5),
        }
    }
}

/// The encrypted transports; an empty list leaves one out.
#[derive(Debug, Clone)]
pub struct EncryptedConfig {
    /// PEM of the certificate chain.
    pub cert: PathBuf,
    /// PEM of its key.
    pub key: PathBuf,
    /// The addresses of DNS over TLS (RFC 7858).
    pub tls: Vec<SocketAddr>,
    /// The addresses of DNS over HTTPS (RFC 8484).
    pub https: Vec<SocketAddr>,
    /// The addresses of DNS over QUIC (RFC 9250).
    pub quic: Vec<SocketAddr>,
    /// How often the files are looked at for a new certificate.
    pub look_every: Duration,
}

/// What is told in class CHAOS; what is not told is REFUSED.
#[derive(Debug, Clone, Default)]
pub struct ChaosConfig {
    /// The answer to `version.bind` and `version.server`; at most 255 bytes.
    pub version: Option<String>,
    /// The answer to `hostname.bind` and `id.server`; at most 255 bytes.
    pub hostname: Option<String>,
}

/// Where the last view is kept.
#[derive(Debug, Clone)]
pub struct LastKnownGood {
    /// The file.
    pub path: PathBuf,
    /// The cluster that it is of; a file of another one is not used.
    pub cluster: String,
    /// The group that it is of.
    pub group: GroupId,
    /// A view in which nothing but the log index is newer is written at most once per this time.
    pub min_interval: Duration,
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// A field of the configuration is not possible.
    #[error("dns configuration: {field}: {problem}")]
    Config {
        /// The field.
        field: &'static str,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// A file of encrypted DNS cannot be read.
    #[error("cannot read {}: {source}; the user that the agent runs as needs to read it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The files of encrypted DNS are not a certificate and its key.
    #[error(
        "cannot use {} with the key {}: {problem}; give a PEM chain, its own certificate first, and its key",
        cert.display(), key.display()
    )]
    Certificate {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// An address is in use.
    #[error(
        "cannot answer at {address} over {transport}: the port is in use by another process; \
         stop it (`ss -lpn 'sport = :{}'` shows it) or configure another port", address.port()
    )]
    InUse {
        /// The address.
        address: SocketAddr,
        /// `udp` or `tcp`.
        transport: &'static str,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A privileged port without the privilege.
    #[error(
        "cannot answer at {address} over {transport}: permission denied: ports below 1024 \
         need root or CAP_NET_BIND_SERVICE; start as root with `node.user`, grant the capability (systemd: \
         AmbientCapabilities), or configure a higher port"
    )]
    Denied {
        /// The address.
        address: SocketAddr,
        /// `udp` or `tcp`.
        transport: &'static str,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Any other failure to open a socket.
    #[error(
        "cannot answer at {address} over {transport}: check that the address is one of this host's"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// `udp` or `tcp`.
        transport: &'static str,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Sockets were given, and the file holds less than who gave them answered from.
    #[error(
        "the last-known-good file holds {found}, and the running agent answers from index {expected}: answers would go \
         back; see above why the file is not used"
    )]
    WouldGoBack {
        /// What the file holds.
        found: String,
        /// The index from which is answered.
        expected: u64,
    },
    /// A thread or its runtime could not be made.
    #[error("cannot start the dns thread {name}: lower `threads` or raise the process limit")]
    Thread {
        /// Its name.
        name: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

/// The most addresses.
const MAX_ADDRESSES: usize = 64;
/// The most threads.
const MAX_THREADS: usize = 64;
/// The most TCP connections that can be allowed.
const MAX_CONNECTIONS: usize = 65_536;
/// The most prefixes that are not limited.
const MAX_EXEMPT: usize = 64;
/// A TXT text's most bytes (RFC 1035, 3.3).
const MAX_TEXT: usize = 255;

impl DnsConfig {
    /// Says whether the configuration is possible. Errors: the first field that is not.
    pub fn validate(&self) -> Result<(), DnsError> {
        let config = |field, problem: String| Err(DnsError::Config { field, problem });
        if self.listen.is_empty() || self.listen.len() > MAX_ADDRESSES {
            return config("listen", format!("list 1 to {MAX_ADDRESSES} addresses to answer at"));
        }
        if let Some(wildcard) = self.listen.iter().find(|address| address.ip().is_unspecified()) {
            return config(
                "listen",
                format!(
                    "{wildcard} is a wildcard, and replies could leave from another address than was asked; \
                     list the host's addresses one by one (`ip addr` shows them)"
                ),
            );
        }
        if let Some(encrypted) = &self.encrypted {
            encrypted.validate()?;
        }
        if self.threads > MAX_THREADS {
            return config("threads", format!("at most {MAX_THREADS}; 0 uses the agent's own"));
        }
        if self.tcp.max_connections == 0 || self.tcp.max_connections > MAX_CONNECTIONS {
            return config("tcp.max_connections", format!("1 to {MAX_CONNECTIONS}"));
        }
        if self.tcp.max_per_prefix == 0 {
            return config("tcp.max_per_prefix", "at least 1".into());
        }
        let times = [self.tcp.first_query_timeout, self.tcp.idle_timeout, self.tcp.write_timeout];
        if times.iter().any(Duration::is_zero) {
            return config("tcp", "its timeouts must be longer than 0".into());
        }
        if self.query_log.as_ref().is_some_and(|log| log.one_in == 0) {
            return config("query_log.one_in", "at least 1, which logs every query".into());
        }
        let texts = [&self.chaos.version, &self.chaos.hostname];
        if texts.into_iter().flatten().any(|text| text.len() > MAX_TEXT) {
            return config("chaos", format!("a text has at most {MAX_TEXT} bytes"));
        }
        if self.cookie_secrets.len() > MAX_SECRETS {
            return config("cookie_secrets", format!("at most {MAX_SECRETS}"));
        }
        if self.rate_limit.per_prefix > MAX_RATE || self.rate_limit.exempt.len() > MAX_EXEMPT {
            return config(
                "rate_limit",
                format!("at most {MAX_RATE} replies per second (0: no limit), {MAX_EXEMPT} exempt"),
            );
        }
        if self.max_reply_without_cookie.is_some_and(|most| !(MIN_UDP..=MAX_UDP).contains(&most)) {
            return config("max_reply_without_cookie", format!("{MIN_UDP} to {MAX_UDP} bytes"));
        }
        if self.nsid.as_ref().is_some_and(|nsid| nsid.is_empty() || nsid.len() > MAX_TEXT) {
            return config("nsid", format!("1 to {MAX_TEXT} bytes, or absent to tell none"));
        }
        Ok(())
    }
}

impl EncryptedConfig {
    fn validate(&self) -> Result<(), DnsError> {
        let config = |field, problem: String| Err(DnsError::Config { field, problem });
        let all = [&self.tls, &self.https, &self.quic];
        let count = all.iter().map(|addresses| addresses.len()).sum::<usize>();
        if count == 0 || count > MAX_ADDRESSES {
            return config("encrypted", format!("list 1 to {MAX_ADDRESSES} addresses in all"));
        }
        // A datagram's reply has to leave from the address that was asked; a stream's does so by itself.
        if let Some(wildcard) = self.quic.iter().find(|address| address.ip().is_unspecified()) {
            return config(
                "encrypted.quic",
                format!("{wildcard} is a wildcard; list each address"),
            );
        }
        if self.look_every.is_zero() {
            return config("encrypted.look_every", "must be longer than 0".into());
        }
        Ok(())
    }
}
