//! From a check to what is written in a manifest, every value shown.

use holdfast_core::CheckName;
use holdfast_core::spec::{BodyExpectation, Check, CheckKind, HttpCheck, HttpVersion, TlsOptions};

use super::{CheckForm, Expect, Flat, Pointer, Timing, TlsForm, Type, Version};
use crate::manifest::duration::Span;
use crate::manifest::text::{Bytes, Codes, Headers};

impl From<&Check> for CheckForm {
    fn from(check: &Check) -> Self {
        let mut flat = Flat::blank(check.name.clone(), &check.kind);
        match &check.kind {
            CheckKind::Http(http) => flat.show_http(http),
            CheckKind::Tcp(tcp) => {
                flat.port = tcp.port;
                flat.send = (!tcp.send.is_empty()).then(|| Bytes(tcp.send.clone()));
                let received = (!tcp.expect.is_empty()).then(|| Bytes(tcp.expect.clone()));
                flat.expect = received.map(|r| Expect { received: Some(r), ..Expect::default() });
            }
            CheckKind::Grpc(grpc) => {
                flat.port = grpc.port;
                flat.service = (!grpc.service.is_empty()).then(|| grpc.service.clone());
                flat.tls = grpc.tls.as_ref().map(TlsForm::from);
            }
            CheckKind::Dns(dns) => {
                flat.port = dns.port;
                flat.query = Some(dns.name.clone());
                flat.record_type = Some(dns.record_type.clone());
                let (rcode, data) = (Some(dns.expect_rcode.clone()), dns.expect_data.clone());
                flat.expect = Some(Expect { rcode, data, ..Expect::default() });
            }
            CheckKind::Tls(tls) => {
                flat.port = tls.port;
                flat.tls = Some(TlsForm::from(&tls.options));
            }
            CheckKind::Heartbeat(heartbeat) => flat.ttl = Some(Span(heartbeat.ttl)),
        }
        let shown = Timing {
            interval: check.interval,
            timeout: check.timeout,
            rise: check.rise,
            fall: check.fall,
            confirm: check.confirm,
        };
        // A heartbeat is not probed: its timing is shown only where it is not the default.
        if flat.ttl.is_none() || shown != Timing::of(&flat) {
            flat.interval = Some(Span(shown.interval));
            flat.timeout = Some(Span(shown.timeout));
            flat.rise = Some(shown.rise);
            flat.fall = Some(shown.fall);
            flat.confirm = Some(Span(shown.confirm));
        }
        Self(flat)
    }
}

impl From<&TlsOptions> for TlsForm {
    fn from(options: &TlsOptions) -> Self {
        Self {
            server_name: options.server_name.clone(),
            ca_file: None,
            ca_pem: options.ca_pem.clone(),
            verify: Some(options.verify),
            min_days_left: options.min_days_left,
        }
    }
}

impl Flat {
    fn blank(name: CheckName, kind: &CheckKind) -> Self {
        let kind = match kind {
            CheckKind::Http(http) if http.tls.is_some() => Type::Https,
            CheckKind::Http(_) => Type::Http,
            CheckKind::Tcp(_) => Type::Tcp,
            CheckKind::Grpc(_) => Type::Grpc,
            CheckKind::Dns(_) => Type::Dns,
            CheckKind::Tls(_) => Type::Tls,
            CheckKind::Heartbeat(_) => Type::Heartbeat,
        };
        Self {
            name,
            kind,
            interval: None,
            timeout: None,
            rise: None,
            fall: None,
            confirm: None,
            port: None,
            http_version: None,
            method: None,
            path: None,
            host: None,
            headers: Headers::default(),
            max_latency: None,
            follow_redirects: None,
            send: None,
            service: None,
            query: None,
            record_type: None,
            ttl: None,
            expect: None,
            tls: None,
        }
    }

    fn show_http(&mut self, http: &HttpCheck) {
        self.tls = http.tls.as_ref().map(TlsForm::from);
        self.http_version = Some(match http.version {
            HttpVersion::Http11 => Version::Http11,
            HttpVersion::Http2 => Version::Http2,
        });
        self.method = Some(http.method.clone());
        self.path = Some(http.path.clone());
        self.host.clone_from(&http.host);
        self.headers = Headers(http.headers.clone());
        self.port = http.port;
        self.max_latency = http.max_latency.map(Span);
        self.follow_redirects = Some(http.follow_redirects);
        let mut expect = Expect {
            status: http.expect_status.iter().copied().map(Codes).collect(),
            ..Expect::default()
        };
        match http.expect_body.clone() {
            Some(BodyExpectation::Contains(text)) => expect.body_contains = Some(text),
            Some(BodyExpectation::Matches(text)) => expect.body_matches = Some(text),
            Some(BodyExpectation::Pointer { pointer, equals }) => {
                expect.body_pointer = Some(Pointer { pointer, equals });
            }
            None => {}
        }
        self.expect = (expect != Expect::default()).then_some(expect);
    }
}
