//! Declarations and clocks for the tests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::observation::Target;
use holdfast_core::seam::Clock;
use holdfast_core::spec::{
    Address, Check, CheckKind, Endpoint, HttpCheck, HttpVersion, TcpCheck, TlsOptions,
};
use holdfast_core::{CheckName, EndpointName, ServiceId, Timestamp};
use holdfast_probe::ProbeSpec;

/// Wall time that stands still, on 2026-11-21.
#[derive(Debug)]
pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp(1_795_219_200_000)
    }
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(Still)
}

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(crate) fn endpoint(name: &str, at: SocketAddr) -> Endpoint {
    Endpoint {
        name: EndpointName::new(name).expect("valid"),
        address: Address::Ip(at.ip()),
        port: at.port(),
        weight: 1,
    }
}

pub(crate) fn check(kind: CheckKind) -> Check {
    Check {
        name: CheckName::new("c").expect("valid"),
        kind,
        interval: ms(1000),
        timeout: ms(500),
        rise: 2,
        fall: 3,
        confirm: ms(100),
    }
}

pub(crate) fn tcp() -> TcpCheck {
    TcpCheck { port: None, send: vec![], expect: vec![] }
}

pub(crate) fn http() -> HttpCheck {
    HttpCheck {
        tls: None,
        version: HttpVersion::Http11,
        method: "GET".into(),
        path: "/".into(),
        host: None,
        headers: vec![],
        port: None,
        expect_status: vec![],
        expect_body: None,
        max_latency: None,
        follow_redirects: 0,
    }
}

pub(crate) fn trusting(ca_pem: &str) -> TlsOptions {
    TlsOptions {
        server_name: Some("shop.test".into()),
        ca_pem: Some(ca_pem.into()),
        verify: true,
        min_days_left: None,
    }
}

pub(crate) fn spec(endpoint: Endpoint, kind: CheckKind, timeout: Duration) -> ProbeSpec {
    ProbeSpec {
        target: Target {
            service: ServiceId::new("shop").expect("valid"),
            endpoint: endpoint.name.clone(),
            check: CheckName::new("c").expect("valid"),
        },
        endpoint,
        check: check(kind),
        timeout,
    }
}
