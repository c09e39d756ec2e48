//! DNS over HTTPS (RFC 8484): HTTP/2 at `/dns-query`, GET and POST, the same bytes as over TCP.
//!
//! hyper speaks HTTP; hickory's own listener would encode the answers again, without our OPT, and bounds neither
//! connections nor their life. Here a connection has a place like one over TCP, at most [`STREAMS`] requests at a time,
//! and ends when nothing whole was asked for the idle time-out.
//!
//! What it does not do: HTTP/1.1 (RFC 8484, 5.2 recommends HTTP/2 as the minimum), transfers, other paths.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use hickory_proto::op::Message;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::desk::{Desk, Reply};

/// The protocol's name in TLS.
pub(crate) const ALPN: &[u8] = b"h2";
/// The path (RFC 8484, 4.1).
const PATH: &str = "/dns-query";
/// The type of questions and answers (RFC 8484, 6).
const DNS_MESSAGE: &str = "application/dns-message";
/// The most requests of a connection at a time.
const STREAMS: u32 = 100;
/// The most bytes of a request's headers, its question in base64 included.
const HEADERS: u32 = 16 * 1024;
/// The most bytes of a question: none is longer, but one padded by a whim.
const MAX_QUESTION: usize = 4096;
/// What a client may send of one request, and of all, before it is read.
const WINDOW: u32 = 16 * 1024;
/// Bytes of replies that wait for one connection.
const UNSENT: usize = 64 * 1024;
/// How long requests that have begun may take when the connection ends.
const LAST_REQUESTS: Duration = Duration::from_secs(3);

/// Serves one connection until the peer is done, it is idle, its place is needed by others, or `shutdown`.
pub(crate) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    desk: Desk,
    shutdown: &CancellationToken,
) -> io::Result<()> {
    let desk = Arc::new(desk);
    let answering = desk.clone();
    let service = service_fn(move |request| {
        let desk = answering.clone();
        async move { Ok::<_, Infallible>(reply(request, &desk).await) }
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).max_concurrent_streams(STREAMS).max_header_list_size(HEADERS);
    builder.initial_stream_window_size(WINDOW).initial_connection_window_size(4 * WINDOW);
    builder.max_send_buf_size(UNSENT);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let mut end = None;
    loop {
        let until = end.unwrap_or_else(|| desk.deadline());
        tokio::select! {
            ended = connection.as_mut() => return ended.map_err(io::Error::other),
            () = desk.leave().cancelled() => return Ok(()),
            () = shutdown.cancelled(), if end.is_none() => {}
            () = sleep_until(until) => match end {
                Some(_) => return Ok(()),
                None if desk.deadline() > until => continue,
                None => {}
            },
        }
        connection.as_mut().graceful_shutdown();
        end = Some(Instant::now() + LAST_REQUESTS);
    }
}

async fn reply(request: Request<Incoming>, desk: &Desk) -> Response<Full<Bytes>> {
    let message = match question(request, desk.config().first_query_timeout).await {
        Ok(message) => message,
        Err(status) => return refusal(status),
    };
    match desk.answer(&message, false) {
        Some(Reply::Message(answer)) => {
            let life = format!("max-age={}", life(&answer));
            let mut response = Response::new(Full::new(Bytes::from(answer)));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(DNS_MESSAGE));
            headers.extend(HeaderValue::try_from(life).ok().map(|life| (CACHE_CONTROL, life)));
            response
        }
        // What deserves silence elsewhere is no question.
        Some(Reply::Messages(_)) | None => refusal(StatusCode::BAD_REQUEST),
    }
}

/// The message that a request carries. Errors: why it carries none.
async fn question(request: Request<Incoming>, most: Duration) -> Result<Bytes, StatusCode> {
    if request.uri().path() != PATH {
        return Err(StatusCode::NOT_FOUND);
    }
    match *request.method() {
        Method::GET => from_uri(request.uri().query()).ok_or(StatusCode::BAD_REQUEST),
        Method::POST if is_dns(request.headers().get(CONTENT_TYPE)) => {
            let body = Limited::new(request.into_body(), MAX_QUESTION);
            match timeout(most, body.collect()).await {
                Ok(Ok(body)) => Ok(body.to_bytes()),
                Ok(Err(_)) => Err(StatusCode::PAYLOAD_TOO_LARGE),
                Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
            }
        }
        Method::POST => Err(StatusCode::UNSUPPORTED_MEDIA_TYPE),
        _ => Err(StatusCode::METHOD_NOT_ALLOWED),
    }
}

fn from_uri(query: Option<&str>) -> Option<Bytes> {
    let text = query?.split('&').find_map(|pair| pair.strip_prefix("dns="))?;
    BASE64URL_NOPAD.decode(text.as_bytes()).ok().map(Bytes::from)
}

/// How long an answer may be kept, in seconds: the least TTL of its answers, else of its authority (RFC 8484, 5.1).
fn life(answer: &[u8]) -> u32 {
    let Ok(message) = Message::from_vec(answer) else { return 0 };
    let records = if message.answers.is_empty() { &message.authorities } else { &message.answers };
    records.iter().map(|record| record.ttl).min().unwrap_or(0)
}

fn is_dns(kind: Option<&HeaderValue>) -> bool {
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(DNS_MESSAGE))
}

fn refusal(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
    }
    response
}
