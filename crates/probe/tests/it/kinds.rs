//! A table of (what the server does, what the check says) and what the probe then finds.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RData;
use hickory_proto::rr::rdata::A;
use holdfast_core::DnsName;
use holdfast_core::sample::{Abstention, FailureKind as K, Finding, Phase as P};
use holdfast_core::spec::{
    Address, BodyExpectation, CheckKind, DnsCheck, GrpcCheck, HttpCheck, HttpVersion, StatusRange,
    TcpCheck, TlsCheck, TlsOptions,
};
use holdfast_probe::{AddressPolicy, NetProber, ProbeReport};

use crate::fixture::{clock, endpoint, http, ms, spec, tcp, trusting};
use crate::servers::{self, Authority, Zone, grpc_health, redirect, text};

/// What a case expects.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Want {
    Pass,
    Fail(P, K),
    Abstain(Abstention),
}

const LOCAL: fn() -> AddressPolicy =
    || AddressPolicy { allow_loopback: true, ..Default::default() };

async fn probe(at: SocketAddr, kind: CheckKind, timeout: Duration) -> ProbeReport {
    let prober = NetProber::new(LOCAL(), clock());
    prober.probe_debug(&spec(endpoint("a", at), kind, timeout)).await
}

fn found(report: &ProbeReport) -> Want {
    match &report.sample.finding {
        Finding::Pass => Want::Pass,
        Finding::Fail(failure) => Want::Fail(failure.phase, failure.kind),
        Finding::Abstain(why) => Want::Abstain(*why),
    }
}

/// Long enough that a loaded machine does not time out where the server answers.
const AMPLE: Duration = Duration::from_secs(20);
/// For servers that never answer.
const SHORT: Duration = Duration::from_millis(300);

async fn expect(case: &str, at: SocketAddr, kind: impl Into<Kind>, want: Want) {
    let Kind(kind) = kind.into();
    let timeout = if matches!(want, Want::Fail(_, K::Timeout)) { SHORT } else { AMPLE };
    let report = probe(at, kind, timeout).await;
    assert_eq!(found(&report), want, "{case}: {report:#?}");
    if let Finding::Fail(failure) = &report.sample.finding {
        assert!(!failure.detail.is_empty(), "{case}: a failure has a detail");
    }
}

struct Kind(CheckKind);
impl From<TcpCheck> for Kind {
    fn from(check: TcpCheck) -> Self {
        Self(CheckKind::Tcp(check))
    }
}
impl From<HttpCheck> for Kind {
    fn from(check: HttpCheck) -> Self {
        Self(CheckKind::Http(check))
    }
}
impl From<GrpcCheck> for Kind {
    fn from(check: GrpcCheck) -> Self {
        Self(CheckKind::Grpc(check))
    }
}
impl From<DnsCheck> for Kind {
    fn from(check: DnsCheck) -> Self {
        Self(CheckKind::Dns(check))
    }
}
impl From<TlsCheck> for Kind {
    fn from(check: TlsCheck) -> Self {
        Self(CheckKind::Tls(check))
    }
}

#[tokio::test]
async fn tcp_checks() {
    let ask =
        |send: &str, expect: &str| TcpCheck { send: send.into(), expect: expect.into(), ..tcp() };
    let banner = servers::raw(|stream| servers::say(stream, b"220 ready\r\n")).await;
    let closing = servers::raw(|stream| async { drop(stream) }).await;
    let brief = servers::raw(|mut stream| async move {
        use tokio::io::AsyncWriteExt as _;
        let _ = stream.write_all(b"421 busy\r\n").await;
        let _ = stream.shutdown().await;
    })
    .await;
    let flood = servers::raw(|stream| servers::say(stream, &[b'x'; 9000])).await;
    let hang = servers::raw(servers::hold).await;
    let reset = servers::raw(servers::reset).await;
    for (case, at, check, want) in [
        ("connects", hang, tcp(), Want::Pass),
        ("banner", banner, ask("", "220"), Want::Pass),
        ("refused", servers::nobody().await, tcp(), Want::Fail(P::Connect, K::Refused)),
        ("reset", reset, ask("hi", "ok"), Want::Fail(P::FirstByte, K::Reset)),
        ("closed", closing, ask("", "ok"), Want::Fail(P::FirstByte, K::Reset)),
        ("silent", hang, ask("hi", "ok"), Want::Fail(P::FirstByte, K::Timeout)),
        ("other words", brief, ask("", "220"), Want::Fail(P::Assert, K::Content)),
        ("too many words", flood, ask("", "220"), Want::Fail(P::Assert, K::Content)),
        ("other words, held open", banner, ask("", "250"), Want::Fail(P::Body, K::Timeout)),
    ] {
        expect(case, at, check, want).await;
    }
}

#[tokio::test]
async fn http_checks_of_status_and_body() {
    let at = servers::http(|request| match request.uri().path() {
        "/ok" => text(200, r#"{"ready":true,"version":"v7"}"#),
        "/broken" => text(500, "oops"),
        "/endless" => servers::endless(),
        "/long" => text(200, &"x".repeat(100_000)),
        "/host" => text(200, request.headers()["host"].to_str().expect("text")),
        "/token" => text(if request.headers().contains_key("x-token") { 200 } else { 403 }, ""),
        _ => text(404, ""),
    })
    .await;
    let get = |path: &str| HttpCheck { path: path.into(), ..http() };
    let body = |path: &str, expected| HttpCheck { expect_body: Some(expected), ..get(path) };
    let contains = |text: &str| BodyExpectation::Contains(text.into());
    let pointer =
        |equals: &str| BodyExpectation::Pointer { pointer: "/ready".into(), equals: equals.into() };
    let status = |path: &str, from, to| HttpCheck {
        expect_status: vec![StatusRange { from, to }],
        ..get(path)
    };
    for (case, check, want) in [
        ("passes", get("/ok"), Want::Pass),
        ("h2 in clear", HttpCheck { version: HttpVersion::Http2, ..get("/ok") }, Want::Pass),
        ("head", HttpCheck { method: "head".into(), ..get("/ok") }, Want::Pass),
        ("500", get("/broken"), Want::Fail(P::Assert, K::Status)),
        ("500 expected", status("/broken", 500, 503), Want::Pass),
        ("204 expected", status("/ok", 204, 204), Want::Fail(P::Assert, K::Status)),
        ("contains", body("/ok", contains("v7")), Want::Pass),
        ("wrong body", body("/ok", contains("v8")), Want::Fail(P::Assert, K::Content)),
        ("matches", body("/ok", BodyExpectation::Matches("v[0-9]".into())), Want::Pass),
        ("pointer", body("/ok", pointer("true")), Want::Pass),
        ("pointer mismatch", body("/ok", pointer("false")), Want::Fail(P::Assert, K::Content)),
        ("slow body", get("/endless"), Want::Fail(P::Body, K::Timeout)),
        ("long body", body("/long", contains("xxx")), Want::Pass),
        (
            "bad pattern",
            body("/ok", BodyExpectation::Matches("(".into())),
            Want::Abstain(Abstention::Invalid),
        ),
        (
            "bad header",
            HttpCheck { headers: vec![("a b".into(), "c".into())], ..get("/ok") },
            Want::Abstain(Abstention::Invalid),
        ),
        (
            "header",
            HttpCheck { headers: vec![("X-Token".into(), "t".into())], ..get("/token") },
            Want::Pass,
        ),
        ("no header", get("/token"), Want::Fail(P::Assert, K::Status)),
        (
            "host",
            HttpCheck { host: Some("shop.test".into()), ..body("/host", contains("shop.test")) },
            Want::Pass,
        ),
        ("own host", body("/host", contains(&at.to_string())), Want::Pass),
        (
            "too slow",
            HttpCheck { max_latency: Some(Duration::ZERO), ..get("/ok") },
            Want::Fail(P::Assert, K::Slow),
        ),
    ] {
        expect(case, at, check, want).await;
    }
}

#[tokio::test]
async fn http_checks_of_broken_servers() {
    let garbage = servers::raw(|stream| servers::say(stream, b"SSH-2.0-x\r\n\r\n")).await;
    let short = servers::raw(|mut stream| async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhalf").await;
    })
    .await;
    let hang = servers::raw(servers::hold).await;
    let h2 = |check: HttpCheck| HttpCheck { version: HttpVersion::Http2, ..check };
    for (case, at, check, want) in [
        ("refused", servers::nobody().await, http(), Want::Fail(P::Connect, K::Refused)),
        ("reset", servers::raw(servers::reset).await, http(), Want::Fail(P::FirstByte, K::Reset)),
        ("hangs", hang, http(), Want::Fail(P::FirstByte, K::Timeout)),
        ("hangs, h2", hang, h2(http()), Want::Fail(P::FirstByte, K::Timeout)),
        ("not HTTP", garbage, http(), Want::Fail(P::FirstByte, K::Protocol)),
        ("not HTTP/2", garbage, h2(http()), Want::Fail(P::FirstByte, K::Protocol)),
        ("half a body", short, http(), Want::Fail(P::Body, K::Reset)),
    ] {
        expect(case, at, check, want).await;
    }
}

#[tokio::test]
async fn redirects() {
    let at = servers::http(|request| match request.uri().path() {
        "/" => redirect("/next"),
        "/next" => redirect("ok"),
        "/ok" => text(200, "arrived"),
        "/loop" => redirect("/loop"),
        "/metadata" => redirect("http://169.254.169.254/latest/meta-data/"),
        "/ftp" => redirect("ftp://127.0.0.1/"),
        _ => text(404, ""),
    })
    .await;
    let follow =
        |path: &str, follow_redirects| HttpCheck { path: path.into(), follow_redirects, ..http() };
    for (case, check, want) in [
        ("not followed", follow("/", 0), Want::Fail(P::Assert, K::Status)),
        ("followed", follow("/", 2), Want::Pass),
        ("too many", follow("/", 1), Want::Fail(P::Assert, K::Status)),
        ("a loop", follow("/loop", 10), Want::Fail(P::Assert, K::Status)),
        ("to a denied address", follow("/metadata", 3), Want::Abstain(Abstention::Denied)),
        ("out of HTTP", follow("/ftp", 3), Want::Fail(P::Assert, K::Protocol)),
    ] {
        expect(case, at, check, want).await;
    }
}

#[tokio::test]
async fn certificates() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let ok = |_| text(200, "ok");
    let good =
        servers::https(ours.server("shop.test", (2027, 6, 1), &["h2", "http/1.1"]), ok).await;
    let old = servers::https(ours.server("shop.test", (2026, 1, 1), &[]), ok).await;
    let near = servers::https(ours.server("shop.test", (2026, 12, 1), &[]), ok).await;
    let other = servers::https(ours.server("other.test", (2027, 6, 1), &[]), ok).await;
    let alien = servers::https(theirs.server("shop.test", (2027, 6, 1), &[]), ok).await;
    let plain = servers::http(ok).await;
    let trust = trusting(&ours.pem);
    let lax = TlsOptions { verify: false, ..trust.clone() };
    let days =
        |days, options: &TlsOptions| TlsOptions { min_days_left: Some(days), ..options.clone() };
    let bad = Want::Fail(P::Tls, K::Certificate);
    for (case, at, options, want) in [
        ("good", good, trust.clone(), Want::Pass),
        ("expired", old, trust.clone(), bad.clone()),
        ("expired, not verified", old, lax.clone(), bad.clone()),
        ("other name", other, trust.clone(), bad.clone()),
        ("other name, not verified", other, lax.clone(), Want::Pass),
        ("unknown authority", alien, trust.clone(), bad.clone()),
        ("unknown authority, not verified", alien, lax.clone(), Want::Pass),
        ("9 days left, 9 needed", near, days(9, &trust), Want::Pass),
        ("9 days left, 30 needed", near, days(30, &trust), bad.clone()),
        ("9 days left, 30 needed, not verified", near, days(30, &lax), bad.clone()),
        ("no TLS there", plain, trust.clone(), Want::Fail(P::Tls, K::Protocol)),
        (
            "CA that does not parse",
            good,
            TlsOptions { ca_pem: Some("x".into()), ..trust.clone() },
            Want::Abstain(Abstention::Invalid),
        ),
    ] {
        let https = HttpCheck { tls: Some(options.clone()), ..http() };
        expect(&format!("https: {case}"), at, https, want.clone()).await;
        expect(&format!("tls: {case}"), at, TlsCheck { port: None, options }, want).await;
    }
    let h2 = HttpCheck { tls: Some(trust.clone()), version: HttpVersion::Http2, ..http() };
    expect("h2 by ALPN", good, h2.clone(), Want::Pass).await;
    let old_protocol =
        servers::https(ours.server("shop.test", (2027, 6, 1), &["http/1.1"]), ok).await;
    expect("no h2", old_protocol, h2, Want::Fail(P::Tls, K::Protocol)).await;
    let silent = servers::raw(servers::hold).await;
    let tls = TlsCheck { port: None, options: trust };
    expect("hangs in the handshake", silent, tls, Want::Fail(P::Tls, K::Timeout)).await;
}

#[tokio::test]
async fn grpc_checks() {
    let at = servers::http(|request| match request.headers().get("te").map(|te| te.as_bytes()) {
        Some(b"trailers") if request.uri().path() == "/grpc.health.v1.Health/Check" => {
            grpc_health(1, "0")
        }
        _ => text(400, ""),
    })
    .await;
    let grpc = |tls| GrpcCheck { port: None, service: "shop.v1.Shop".into(), tls };
    let authority = Authority::new();
    let config = authority.server("shop.test", (2027, 6, 1), &["h2"]);
    let tls = Some(trusting(&authority.pem));
    let secure = servers::https(config, |_| grpc_health(1, "0")).await;
    let status = Want::Fail(P::Assert, K::Status);
    for (case, at, check, want) in [
        ("serving", at, grpc(None), Want::Pass),
        ("serving over TLS", secure, grpc(tls), Want::Pass),
        ("not serving", servers::http(|_| grpc_health(2, "0")).await, grpc(None), status.clone()),
        (
            "unknown service",
            servers::http(|_| grpc_health(0, "5")).await,
            grpc(None),
            status.clone(),
        ),
        ("HTTP error", servers::http(|_| text(503, "")).await, grpc(None), status),
        (
            "no gRPC",
            servers::http(|_| text(200, "")).await,
            grpc(None),
            Want::Fail(P::Assert, K::Protocol),
        ),
        ("refused", servers::nobody().await, grpc(None), Want::Fail(P::Connect, K::Refused)),
        (
            "hangs",
            servers::raw(servers::hold).await,
            grpc(None),
            Want::Fail(P::FirstByte, K::Timeout),
        ),
    ] {
        expect(case, at, check, want).await;
    }
}

#[tokio::test]
async fn dns_checks() {
    let ask = |rcode: &str, data: &[&str]| DnsCheck {
        port: None,
        name: DnsName::new("shop.test").expect("valid"),
        record_type: "a".into(),
        expect_rcode: rcode.into(),
        expect_data: data.iter().map(|data| (*data).into()).collect(),
    };
    let zone = Zone {
        code: ResponseCode::NoError,
        data: vec![RData::A(A::new(192, 0, 2, 1)), RData::A(A::new(192, 0, 2, 2))],
        truncate: false,
        spoof: false,
    };
    let at = servers::dns(zone.clone()).await;
    let truncated = servers::dns(Zone { truncate: true, ..zone.clone() }).await;
    let spoofed = servers::dns(Zone { spoof: true, ..zone.clone() }).await;
    let gone = servers::dns(Zone { code: ResponseCode::NXDomain, data: vec![], ..zone }).await;
    let mute = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("free");
    let mute_at = mute.local_addr().expect("bound");
    let odd = DnsCheck { record_type: "NOPE".into(), ..ask("NOERROR", &[]) };
    for (case, at, check, want) in [
        ("answers", at, ask("NOERROR", &[]), Want::Pass),
        ("expected data", at, ask("NOERROR", &["192.0.2.2", "192.0.2.1"]), Want::Pass),
        ("other data", at, ask("NOERROR", &["192.0.2.3"]), Want::Fail(P::Assert, K::Content)),
        ("over TCP", truncated, ask("NOERROR", &["192.0.2.1"]), Want::Pass),
        ("past a forged answer", spoofed, ask("NOERROR", &["192.0.2.1"]), Want::Pass),
        ("NXDOMAIN", gone, ask("NOERROR", &[]), Want::Fail(P::Assert, K::Status)),
        ("NXDOMAIN expected", gone, ask("NXDOMAIN", &[]), Want::Pass),
        ("mute", mute_at, ask("NOERROR", &[]), Want::Fail(P::FirstByte, K::Timeout)),
        (
            "nobody",
            servers::nobody().await,
            ask("NOERROR", &[]),
            Want::Fail(P::FirstByte, K::Refused),
        ),
        ("unknown type", at, odd, Want::Abstain(Abstention::Invalid)),
    ] {
        expect(case, at, check, want).await;
    }
}

#[tokio::test]
async fn denied_addresses_are_not_connected_to() {
    let at = servers::http(|_| text(200, "")).await;
    let prober = NetProber::new(AddressPolicy::default(), clock());
    let report = prober.probe_debug(&spec(endpoint("a", at), CheckKind::Http(http()), AMPLE)).await;
    assert_eq!(found(&report), Want::Abstain(Abstention::Denied));
    assert_eq!(report.address, None, "nothing was connected to");
    assert!(report.notes.iter().any(|note| note.contains("probe.allow_loopback")), "{report:?}");
    let mut named = endpoint("a", at);
    named.address = Address::Name(DnsName::new("localhost").expect("valid"));
    let report = prober.probe_debug(&spec(named, CheckKind::Tcp(tcp()), AMPLE)).await;
    assert_eq!(found(&report), Want::Abstain(Abstention::Denied), "by name: {report:?}");
}

#[tokio::test]
async fn a_debug_report_tells_phases_address_and_assertions() {
    let authority = Authority::new();
    let config = authority.server("shop.test", (2027, 6, 1), &["http/1.1"]);
    let at = servers::https(config, |_| text(200, "fine")).await;
    let check = HttpCheck {
        tls: Some(trusting(&authority.pem)),
        expect_body: Some(BodyExpectation::Contains("fine".into())),
        ..http()
    };
    let report = probe(at, CheckKind::Http(check), AMPLE).await;
    assert_eq!((found(&report), report.address), (Want::Pass, Some(at)));
    let phases: Vec<_> = report.timings.iter().map(|(phase, _)| *phase).collect();
    let wanted = [P::Resolve, P::Connect, P::Tls, P::Send, P::FirstByte, P::Body, P::Assert];
    assert_eq!(phases, wanted);
    let total: Duration = report.timings.iter().map(|(_, took)| *took).sum();
    assert!(total <= report.sample.latency + ms(50), "the phases add up to the whole");
    let notes = report.notes.join("\n");
    for wanted in ["handshake: TLSv1_3", "days left", "status 200", "contains \"fine\""] {
        assert!(notes.contains(wanted), "{wanted:?} is missing in:\n{notes}");
    }
}

#[tokio::test]
async fn a_name_without_an_address_fails_in_resolution() {
    let mut nowhere = endpoint("a", servers::nobody().await);
    nowhere.address = Address::Name(DnsName::new("no-such-host.invalid").expect("valid"));
    let prober = NetProber::new(LOCAL(), clock());
    let report = prober.probe_debug(&spec(nowhere, CheckKind::Tcp(tcp()), AMPLE)).await;
    match &report.sample.finding {
        Finding::Fail(failure) => {
            assert_eq!((failure.phase, failure.kind), (P::Resolve, K::NoAddress))
        }
        other => panic!("{other:?}"),
    }
}
