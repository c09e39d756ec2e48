//! Checks.

use holdfast_core::spec::{
    BodyExpectation, Check, CheckKind, DnsCheck, GrpcCheck, HeartbeatCheck, HttpCheck, HttpVersion,
    StatusRange, TcpCheck, TlsCheck, TlsOptions,
};

use super::Convert;
use super::primitive::{
    enumerated, enumeration, from_list, from_ms, list, ms, narrow, narrow_option, optional, parse,
    required,
};
use crate::error::DecodeError;
use crate::pb::v1 as pb;

enumeration!(HttpVersion, HttpVersion { Http11, Http2 });

impl Convert for Check {
    type Proto = pb::Check;

    fn to_proto(&self) -> pb::Check {
        pb::Check {
            name: self.name.to_string(),
            interval_ms: ms(self.interval),
            timeout_ms: ms(self.timeout),
            rise: self.rise.into(),
            fall: self.fall.into(),
            confirm_ms: ms(self.confirm),
            kind: Some(self.kind.to_proto()),
        }
    }

    fn from_proto(proto: pb::Check) -> Result<Self, DecodeError> {
        Ok(Self {
            name: parse("name", &proto.name)?,
            kind: required("kind", proto.kind)?,
            interval: from_ms(proto.interval_ms),
            timeout: from_ms(proto.timeout_ms),
            rise: narrow("rise", proto.rise)?,
            fall: narrow("fall", proto.fall)?,
            confirm: from_ms(proto.confirm_ms),
        })
    }
}

impl Convert for CheckKind {
    type Proto = pb::check::Kind;

    fn to_proto(&self) -> pb::check::Kind {
        match self {
            Self::Http(check) => pb::check::Kind::Http(check.to_proto()),
            Self::Tcp(check) => pb::check::Kind::Tcp(check.to_proto()),
            Self::Grpc(check) => pb::check::Kind::Grpc(check.to_proto()),
            Self::Dns(check) => pb::check::Kind::Dns(check.to_proto()),
            Self::Tls(check) => pb::check::Kind::Tls(check.to_proto()),
            Self::Heartbeat(check) => {
                pb::check::Kind::Heartbeat(pb::HeartbeatCheck { ttl_ms: ms(check.ttl) })
            }
        }
    }

    fn from_proto(proto: pb::check::Kind) -> Result<Self, DecodeError> {
        match proto {
            pb::check::Kind::Http(check) => HttpCheck::from_proto(check).map(Self::Http),
            pb::check::Kind::Tcp(check) => TcpCheck::from_proto(check).map(Self::Tcp),
            pb::check::Kind::Grpc(check) => GrpcCheck::from_proto(check).map(Self::Grpc),
            pb::check::Kind::Dns(check) => DnsCheck::from_proto(check).map(Self::Dns),
            pb::check::Kind::Tls(check) => TlsCheck::from_proto(check).map(Self::Tls),
            pb::check::Kind::Heartbeat(check) => {
                Ok(Self::Heartbeat(HeartbeatCheck { ttl: from_ms(check.ttl_ms) }))
            }
        }
    }
}

impl Convert for TlsOptions {
    type Proto = pb::TlsOptions;

    fn to_proto(&self) -> pb::TlsOptions {
        pb::TlsOptions {
            server_name: self.server_name.clone(),
            ca_pem: self.ca_pem.clone(),
            verify: self.verify,
            min_days_left: self.min_days_left.map(Into::into),
        }
    }

    fn from_proto(proto: pb::TlsOptions) -> Result<Self, DecodeError> {
        Ok(Self {
            server_name: proto.server_name,
            ca_pem: proto.ca_pem,
            verify: proto.verify,
            min_days_left: narrow_option("min_days_left", proto.min_days_left)?,
        })
    }
}

impl Convert for StatusRange {
    type Proto = pb::StatusRange;

    fn to_proto(&self) -> pb::StatusRange {
        pb::StatusRange { lowest: self.from.into(), highest: self.to.into() }
    }

    fn from_proto(proto: pb::StatusRange) -> Result<Self, DecodeError> {
        let from = narrow("lowest", proto.lowest)?;
        Ok(Self { from, to: narrow("highest", proto.highest)? })
    }
}

impl Convert for BodyExpectation {
    type Proto = pb::BodyExpectation;

    fn to_proto(&self) -> pb::BodyExpectation {
        use pb::body_expectation::Expectation;
        let expectation = match self {
            Self::Contains(text) => Expectation::Contains(text.clone()),
            Self::Matches(pattern) => Expectation::Matches(pattern.clone()),
            Self::Pointer { pointer, equals } => Expectation::Pointer(pb::JsonPointer {
                pointer: pointer.clone(),
                equals: equals.clone(),
            }),
        };
        pb::BodyExpectation { expectation: Some(expectation) }
    }

    fn from_proto(proto: pb::BodyExpectation) -> Result<Self, DecodeError> {
        use pb::body_expectation::Expectation;
        match proto.expectation.ok_or_else(|| DecodeError::missing("expectation"))? {
            Expectation::Contains(text) => Ok(Self::Contains(text)),
            Expectation::Matches(pattern) => Ok(Self::Matches(pattern)),
            Expectation::Pointer(pb::JsonPointer { pointer, equals }) => {
                Ok(Self::Pointer { pointer, equals })
            }
        }
    }
}

impl Convert for HttpCheck {
    type Proto = pb::HttpCheck;

    fn to_proto(&self) -> pb::HttpCheck {
        let header = |(name, value): &(String, String)| pb::Header {
            name: name.clone(),
            value: value.clone(),
        };
        pb::HttpCheck {
            tls: self.tls.as_ref().map(Convert::to_proto),
            version: self.version.to_proto(),
            method: self.method.clone(),
            path: self.path.clone(),
            host: self.host.clone(),
            headers: self.headers.iter().map(header).collect(),
            port: self.port.map(Into::into),
            expect_status: list(&self.expect_status),
            expect_body: self.expect_body.as_ref().map(Convert::to_proto),
            max_latency_ms: self.max_latency.map(ms),
            follow_redirects: self.follow_redirects.into(),
        }
    }

    fn from_proto(proto: pb::HttpCheck) -> Result<Self, DecodeError> {
        Ok(Self {
            tls: optional("tls", proto.tls)?,
            version: enumerated("version", proto.version)?,
            method: proto.method,
            path: proto.path,
            host: proto.host,
            headers: proto.headers.into_iter().map(|h| (h.name, h.value)).collect(),
            port: narrow_option("port", proto.port)?,
            expect_status: from_list("expect_status", proto.expect_status)?,
            expect_body: optional("expect_body", proto.expect_body)?,
            max_latency: proto.max_latency_ms.map(from_ms),
            follow_redirects: narrow("follow_redirects", proto.follow_redirects)?,
        })
    }
}

impl Convert for TcpCheck {
    type Proto = pb::TcpCheck;

    fn to_proto(&self) -> pb::TcpCheck {
        pb::TcpCheck {
            port: self.port.map(Into::into),
            send: self.send.clone(),
            expect: self.expect.clone(),
        }
    }

    fn from_proto(proto: pb::TcpCheck) -> Result<Self, DecodeError> {
        let port = narrow_option("port", proto.port)?;
        Ok(Self { port, send: proto.send, expect: proto.expect })
    }
}

impl Convert for GrpcCheck {
    type Proto = pb::GrpcCheck;

    fn to_proto(&self) -> pb::GrpcCheck {
        pb::GrpcCheck {
            port: self.port.map(Into::into),
            service: self.service.clone(),
            tls: self.tls.as_ref().map(Convert::to_proto),
        }
    }

    fn from_proto(proto: pb::GrpcCheck) -> Result<Self, DecodeError> {
        let port = narrow_option("port", proto.port)?;
        Ok(Self { port, service: proto.service, tls: optional("tls", proto.tls)? })
    }
}

impl Convert for DnsCheck {
    type Proto = pb::DnsCheck;

    fn to_proto(&self) -> pb::DnsCheck {
        pb::DnsCheck {
            port: self.port.map(Into::into),
            name: self.name.to_string(),
            record_type: self.record_type.clone(),
            expect_rcode: self.expect_rcode.clone(),
            expect_data: self.expect_data.clone(),
        }
    }

    fn from_proto(proto: pb::DnsCheck) -> Result<Self, DecodeError> {
        Ok(Self {
            port: narrow_option("port", proto.port)?,
            name: parse("name", &proto.name)?,
            record_type: proto.record_type,
            expect_rcode: proto.expect_rcode,
            expect_data: proto.expect_data,
        })
    }
}

impl Convert for TlsCheck {
    type Proto = pb::TlsCheck;

    fn to_proto(&self) -> pb::TlsCheck {
        let options = Some(self.options.to_proto());
        pb::TlsCheck { port: self.port.map(Into::into), options }
    }

    fn from_proto(proto: pb::TlsCheck) -> Result<Self, DecodeError> {
        let port = narrow_option("port", proto.port)?;
        Ok(Self { port, options: required("options", proto.options)? })
    }
}
