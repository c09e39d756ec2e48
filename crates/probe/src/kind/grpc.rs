//! `grpc.health.v1.Health/Check`, over HTTP/2. The two messages are so small that they are encoded here:
//! `HealthCheckRequest{service = 1}` and `HealthCheckResponse{status = 1}`.

use bytes::Bytes;
use holdfast_core::sample::{Abstention, FailureKind, Phase};
use holdfast_core::spec::{Endpoint, GrpcCheck, HttpVersion};
use http_body_util::Full;
use hyper::Request;

use crate::connect;
use crate::exchange::{Answer, Stream, exchange};
use crate::kind::http::authority;
use crate::prober::Course;
use crate::tls::{Alpn, Peer};
use crate::trace::{Step, Stop, Trace, failed};

const METHOD: &str = "/grpc.health.v1.Health/Check";

pub(crate) async fn probe(course: &mut Course<'_>, endpoint: &Endpoint, check: &GrpcCheck) -> Step {
    let Course { net, trace } = course;
    let port = check.port.unwrap_or(endpoint.port);
    let request = request(endpoint, check, port).ok_or(Stop::Abstain(Abstention::Invalid))?;
    let addresses = connect::resolve(trace, &net.policy, &endpoint.address, port).await?;
    let tcp = connect::tcp(trace, &addresses).await?;
    let stream: Box<dyn Stream> = match &check.tls {
        Some(options) => {
            let peer = Peer { host: &endpoint.address, options };
            Box::new(net.tls.handshake(trace, tcp, peer, Alpn::H2).await?)
        }
        None => Box::new(tcp),
    };
    let answer = exchange(trace, stream, HttpVersion::Http2, request).await?;
    trace.enter(Phase::Assert);
    judge(trace, &answer)
}

fn request(endpoint: &Endpoint, check: &GrpcCheck, port: u16) -> Option<Request<Full<Bytes>>> {
    let scheme = if check.tls.is_some() { "https" } else { "http" };
    let default = if check.tls.is_some() { 443 } else { 80 };
    let authority = authority(&endpoint.address, port, default);
    Request::post(format!("{scheme}://{authority}{METHOD}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(frame(&encode(&check.service)).into()))
        .ok()
}

fn encode(service: &str) -> Vec<u8> {
    if service.is_empty() {
        return Vec::new();
    }
    let mut message = vec![0x0a];
    put_varint(service.len(), &mut message);
    message.extend_from_slice(service.as_bytes());
    message
}

fn put_varint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A message as gRPC sends it: not compressed, with its length.
fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("service names are short");
    [&[0][..], &length.to_be_bytes(), message].concat()
}

fn judge(trace: &mut Trace, answer: &Answer) -> Step {
    let fail = |kind, detail: String| Err(failed(Phase::Assert, kind, detail));
    if answer.status.as_u16() != 200 {
        return fail(FailureKind::Status, format!("HTTP status {}", answer.status.as_u16()));
    }
    // A failed call may have its trailers in the place of its headers.
    let field = |name| answer.trailers.get(name).or_else(|| answer.headers.get(name));
    let text = |name| field(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        None => return fail(FailureKind::Protocol, "the answer has no grpc-status".into()),
        Some("0") => {}
        Some(code) => {
            let message = text("grpc-message").unwrap_or_default();
            return fail(
                FailureKind::Status,
                format!("grpc-status {code} {message}").trim_end().into(),
            );
        }
    }
    let Some(status) = decode(&answer.body) else {
        return fail(FailureKind::Protocol, "the answer is no HealthCheckResponse".into());
    };
    let label = match status {
        1 => {
            trace.note(|| "the service is SERVING".into());
            return Ok(());
        }
        0 => "UNKNOWN",
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "an unknown status",
    };
    fail(FailureKind::Status, format!("the service is {label}"))
}

/// The status in a framed response; `None` if it is not one.
fn decode(body: &[u8]) -> Option<u64> {
    let (head, rest) = body.split_first_chunk::<5>()?;
    let [compressed, length @ ..] = *head;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    let mut message = rest.get(..length)?;
    if compressed != 0 {
        return None;
    }
    let mut status = 0;
    while !message.is_empty() {
        let key = take_varint(&mut message)?;
        match (key >> 3, key & 7) {
            (1, 0) => status = take_varint(&mut message)?,
            (_, 0) => drop(take_varint(&mut message)?),
            (_, 1) => message = message.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(take_varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            (_, 5) => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn take_varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_a_request() {
        assert_eq!(frame(&encode("")), [0, 0, 0, 0, 0]);
        assert_eq!(frame(&encode("ab")), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(encode(&"x".repeat(300))[..3], [0x0a, 0xac, 0x02]);
    }

    #[test]
    fn decodes_responses() {
        for (body, want) in [
            (&[0, 0, 0, 0, 2, 8, 1][..], Some(1)),
            (&[0, 0, 0, 0, 0], Some(0)),
            (&[0, 0, 0, 0, 6, 18, 2, 9, 9, 8, 2], Some(2)),
            (&[0, 0, 0, 0, 3, 8, 0x81, 1], Some(129)),
            (&[], None),
            (&[0, 0, 0, 0, 9, 8, 1], None),
            (&[1, 0, 0, 0, 2, 8, 1], None),
            (&[0, 0, 0, 0, 2, 8, 0x80], None),
            (&[0, 0, 0, 0, 2, 10, 5], None),
            (&[0, 0, 0, 0, 1, 11], None),
        ] {
            assert_eq!(decode(body), want, "{body:?}");
        }
    }
}
