//! `checks` of a service's manifest: one flat map per check, with a `type`.
//!
//! A key that another type has and this one has not is refused like an unknown one. What is absent gets the default
//! written here, once.

use std::path::Path;
use std::time::Duration;

use holdfast_core::spec::{
    BodyExpectation, Check, CheckKind, DnsCheck, GrpcCheck, HeartbeatCheck, HttpCheck, HttpVersion,
    SpecError, TcpCheck, TlsCheck, TlsOptions,
};
use holdfast_core::{CheckName, DnsName};
use serde::{Deserialize, Serialize};

use super::duration::Span;
use super::text::{Bytes, Codes, Headers};

mod shown;

/// The largest file of certificate authorities.
const MAX_CA_BYTES: u64 = 1 << 20;
const INTERVAL: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(4);
const CONFIRM: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
const RISE: u16 = 2;
const FALL: u16 = 3;

/// `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Type {
    Http,
    Https,
    Tcp,
    Grpc,
    Dns,
    Tls,
    Heartbeat,
}

/// A check as it is written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Flat")]
pub(super) struct CheckForm(Flat);

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flat {
    name: CheckName,
    #[serde(rename = "type")]
    kind: Type,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rise: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fall: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirm: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_version: Option<Version>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(default, skip_serializing_if = "Headers::is_empty")]
    headers: Headers,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_latency: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    follow_redirects: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    send: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<DnsName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expect: Option<Expect>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<TlsForm>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Version {
    #[serde(rename = "1.1")]
    Http11,
    #[serde(rename = "2")]
    Http2,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    status: Vec<Codes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_contains: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_matches: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_pointer: Option<Pointer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    received: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rcode: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    data: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pointer {
    pointer: String,
    equals: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsForm {
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_pem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verify: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_days_left: Option<u16>,
}

impl TryFrom<Flat> for CheckForm {
    type Error = String;

    fn try_from(flat: Flat) -> Result<Self, String> {
        use Type::{Dns, Grpc, Heartbeat, Http, Https, Tcp, Tls};
        let web: &[Type] = &[Http, Https];
        let expect = flat.expect.clone().unwrap_or_default();
        let rules: [(&str, bool, &[Type]); 19] = [
            ("port", flat.port.is_some(), &[Http, Https, Tcp, Grpc, Dns, Tls]),
            ("http_version", flat.http_version.is_some(), web),
            ("method", flat.method.is_some(), web),
            ("path", flat.path.is_some(), web),
            ("host", flat.host.is_some(), web),
            ("headers", !flat.headers.is_empty(), web),
            ("max_latency", flat.max_latency.is_some(), web),
            ("follow_redirects", flat.follow_redirects.is_some(), web),
            ("expect.status", !expect.status.is_empty(), web),
            ("expect.body_contains", expect.body_contains.is_some(), web),
            ("expect.body_matches", expect.body_matches.is_some(), web),
            ("expect.body_pointer", expect.body_pointer.is_some(), web),
            ("send", flat.send.is_some(), &[Tcp]),
            ("expect.received", expect.received.is_some(), &[Tcp]),
            ("service", flat.service.is_some(), &[Grpc]),
            ("query", flat.query.is_some(), &[Dns]),
            ("record_type", flat.record_type.is_some(), &[Dns]),
            ("expect.rcode", expect.rcode.is_some(), &[Dns]),
            ("expect.data", !expect.data.is_empty(), &[Dns]),
        ];
        let further: [(&str, bool, &[Type]); 2] = [
            ("ttl", flat.ttl.is_some(), &[Heartbeat]),
            ("tls", flat.tls.is_some(), &[Https, Grpc, Tls]),
        ];
        for (key, given, types) in rules.into_iter().chain(further) {
            if given && !types.contains(&flat.kind) {
                let allowed: Vec<_> = types.iter().map(|t| t.label()).collect();
                return Err(format!(
                    "checks[{}].{key}: a check of type {} has no such key (only {})",
                    flat.name,
                    flat.kind.label(),
                    allowed.join(", ")
                ));
            }
        }
        let bodies = [
            expect.body_contains.is_some(),
            expect.body_matches.is_some(),
            expect.body_pointer.is_some(),
        ];
        if bodies.into_iter().filter(|given| *given).count() > 1 {
            return Err(format!(
                "checks[{}].expect: only one of body_contains, body_matches and body_pointer; use a second check",
                flat.name
            ));
        }
        Ok(Self(flat))
    }
}

impl Type {
    fn label(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
            Self::Grpc => "grpc",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Heartbeat => "heartbeat",
        }
    }
}

impl CheckForm {
    /// The check, with defaults; files are looked for beside `base`.
    pub(super) fn into_check(self, base: &Path) -> Result<Check, SpecError> {
        let Self(flat) = self;
        let timing = Timing::of(&flat);
        let name = flat.name.clone();
        let field = |part: &str| format!("checks[{name}].{part}");
        let kind = flat
            .into_kind(base)
            .map_err(|(part, problem)| SpecError { field: field(part), problem })?;
        Ok(Check {
            name,
            kind,
            interval: timing.interval,
            timeout: timing.timeout,
            rise: timing.rise,
            fall: timing.fall,
            confirm: timing.confirm,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Timing {
    interval: Duration,
    timeout: Duration,
    rise: u16,
    fall: u16,
    confirm: Duration,
}

impl Timing {
    fn of(flat: &Flat) -> Self {
        let interval = flat.interval.map_or(INTERVAL, |span| span.0);
        let confirm = (interval / 10).clamp(CONFIRM.0, CONFIRM.1);
        Self {
            interval,
            timeout: flat.timeout.map_or(TIMEOUT.min(interval / 2), |span| span.0),
            rise: flat.rise.unwrap_or(RISE),
            fall: flat.fall.unwrap_or(FALL),
            confirm: flat.confirm.map_or(confirm, |span| span.0),
        }
    }
}

type Problem = (&'static str, String);

impl Flat {
    fn into_kind(self, base: &Path) -> Result<CheckKind, Problem> {
        let tls = self.tls.clone().map(|tls| tls.into_options(base)).transpose()?;
        let trusting = TlsOptions { verify: true, ..TlsOptions::default() };
        let expect = self.expect.clone().unwrap_or_default();
        Ok(match self.kind {
            Type::Http => CheckKind::Http(self.into_http(None, expect)),
            Type::Https => CheckKind::Http(self.into_http(Some(tls.unwrap_or(trusting)), expect)),
            Type::Tcp => CheckKind::Tcp(TcpCheck {
                port: self.port,
                send: self.send.map_or(Vec::new(), |bytes| bytes.0),
                expect: expect.received.map_or(Vec::new(), |bytes| bytes.0),
            }),
            Type::Grpc => CheckKind::Grpc(GrpcCheck {
                port: self.port,
                service: self.service.unwrap_or_default(),
                tls,
            }),
            Type::Dns => CheckKind::Dns(DnsCheck {
                port: self.port,
                name: self.query.ok_or(("query", "the name to ask for is missing".to_owned()))?,
                record_type: self.record_type.unwrap_or_else(|| "A".into()),
                expect_rcode: expect.rcode.unwrap_or_else(|| "NOERROR".into()),
                expect_data: expect.data,
            }),
            Type::Tls => {
                CheckKind::Tls(TlsCheck { port: self.port, options: tls.unwrap_or(trusting) })
            }
            Type::Heartbeat => {
                let missing = "how long silence may last is missing, such as 30s".to_owned();
                CheckKind::Heartbeat(HeartbeatCheck { ttl: self.ttl.ok_or(("ttl", missing))?.0 })
            }
        })
    }

    fn into_http(self, tls: Option<TlsOptions>, expect: Expect) -> HttpCheck {
        let pointer =
            |p: Pointer| BodyExpectation::Pointer { pointer: p.pointer, equals: p.equals };
        let body = expect.body_contains.map(BodyExpectation::Contains);
        let body = body.or(expect.body_matches.map(BodyExpectation::Matches));
        HttpCheck {
            tls,
            version: match self.http_version {
                Some(Version::Http2) => HttpVersion::Http2,
                Some(Version::Http11) | None => HttpVersion::Http11,
            },
            method: self.method.unwrap_or_else(|| "GET".into()),
            path: self.path.unwrap_or_else(|| "/".into()),
            host: self.host,
            headers: self.headers.0,
            port: self.port,
            expect_status: expect.status.into_iter().map(|codes| codes.0).collect(),
            expect_body: body.or(expect.body_pointer.map(pointer)),
            max_latency: self.max_latency.map(|span| span.0),
            follow_redirects: self.follow_redirects.unwrap_or(0),
        }
    }
}

impl TlsForm {
    fn into_options(self, base: &Path) -> Result<TlsOptions, Problem> {
        let ca_pem = match (self.ca_file, self.ca_pem) {
            (Some(_), Some(_)) => return Err(("tls", "give ca_file or ca_pem, not both".into())),
            (Some(file), None) => {
                Some(read_ca(&base.join(&file)).map_err(|why| ("tls.ca_file", why))?)
            }
            (None, pem) => pem,
        };
        Ok(TlsOptions {
            server_name: self.server_name,
            ca_pem,
            verify: self.verify.unwrap_or(true),
            min_days_left: self.min_days_left,
        })
    }
}

fn read_ca(path: &Path) -> Result<String, String> {
    let unreadable =
        |why: &dyn std::fmt::Display| format!("{} cannot be read: {why}", path.display());
    let size = std::fs::metadata(path).map_err(|e| unreadable(&e))?.len();
    if size > MAX_CA_BYTES {
        return Err(unreadable(&format_args!("{size} bytes are more than {MAX_CA_BYTES}")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| unreadable(&e))?;
    if text.contains("-----BEGIN CERTIFICATE-----") {
        Ok(text)
    } else {
        Err(format!("{} holds no PEM certificate", path.display()))
    }
}
