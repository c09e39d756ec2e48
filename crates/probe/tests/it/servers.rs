//! Little servers on loopback, each with one behaviour. They end with the test's runtime.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::{RData, Record};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::TlsAcceptor;

/// A body of any kind.
pub(crate) type Body = BoxBody<Bytes, Infallible>;

pub(crate) fn text(status: u16, body: &str) -> Response<Body> {
    let body = Full::new(Bytes::copy_from_slice(body.as_bytes())).boxed();
    Response::builder().status(status).body(body).expect("valid")
}

/// Answers with a status and then hangs before the body ends.
pub(crate) fn endless() -> Response<Body> {
    use futures_util::StreamExt as _;
    let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"begin")))]);
    Response::new(BodyExt::boxed(StreamBody::new(first.chain(futures_util::stream::pending()))))
}

pub(crate) fn redirect(location: &str) -> Response<Body> {
    let mut response = text(302, "");
    response.headers_mut().insert("location", location.parse().expect("valid"));
    response
}

/// `grpc.health.v1` with one status and one `grpc-status`.
pub(crate) fn grpc_health(status: u8, code: &str) -> Response<Body> {
    let mut trailers = hyper::HeaderMap::new();
    trailers.insert("grpc-status", code.parse().expect("valid"));
    let message = Bytes::copy_from_slice(&[0, 0, 0, 0, 2, 8, status]);
    let frames = [Ok(Frame::data(message)), Ok(Frame::trailers(trailers))];
    let mut response =
        Response::new(BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames))));
    response.headers_mut().insert("content-type", "application/grpc".parse().expect("valid"));
    response
}

/// Accepts connections and hands each to `behaviour`.
pub(crate) async fn raw<F, R>(behaviour: F) -> SocketAddr
where
    F: Fn(TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let at = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(behaviour(stream));
        }
    });
    at
}

/// Keeps the connection open and says nothing.
pub(crate) async fn hold(stream: TcpStream) {
    let _open = stream;
    std::future::pending::<()>().await;
}

/// Resets the connection once something has been received.
pub(crate) async fn reset(mut stream: TcpStream) {
    let mut byte = [0];
    let _ = stream.read(&mut byte).await;
    stream.set_zero_linger().expect("supported");
}

/// Says `words` and keeps the connection open.
pub(crate) async fn say(mut stream: TcpStream, words: &[u8]) {
    let _ = stream.write_all(words).await;
    hold(stream).await;
}

async fn answer<F>(stream: impl hyper::rt::Read + hyper::rt::Write + Unpin + 'static, handler: F)
where
    F: Fn(Request<Incoming>) -> Response<Body> + Send + Clone + 'static,
{
    let service = service_fn(move |request| {
        let response = handler(request);
        async move { Ok::<_, Infallible>(response) }
    });
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await;
}

/// HTTP/1.1 and HTTP/2 with prior knowledge, in clear.
pub(crate) async fn http<F>(handler: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> Response<Body> + Send + Sync + Clone + 'static,
{
    raw(move |stream| {
        let handler = handler.clone();
        async move { answer(TokioIo::new(stream), handler).await }
    })
    .await
}

/// HTTP over TLS.
pub(crate) async fn https<F>(config: rustls::ServerConfig, handler: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> Response<Body> + Send + Sync + Clone + 'static,
{
    let acceptor = TlsAcceptor::from(Arc::new(config));
    raw(move |stream| {
        let (acceptor, handler) = (acceptor.clone(), handler.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                answer(TokioIo::new(stream), handler).await;
            }
        }
    })
    .await
}

/// A certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).expect("valid");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2040, 1, 1);
        let key = KeyPair::generate().expect("ring makes keys");
        let pem = params.self_signed(&key).expect("valid").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A server's configuration with a certificate for `name` until `until` (year, month, day).
    pub(crate) fn server(
        &self,
        name: &str,
        until: (i32, u8, u8),
        alpn: &[&str],
    ) -> rustls::ServerConfig {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("valid");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until.0, until.1, until.2);
        let key = KeyPair::generate().expect("ring makes keys");
        let leaf = params.signed_by(&key, &self.issuer).expect("valid");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring supports them")
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .expect("key and certificate fit");
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

/// How a DNS server answers.
#[derive(Debug, Clone)]
pub(crate) struct Zone {
    pub(crate) code: ResponseCode,
    pub(crate) data: Vec<RData>,
    /// Truncate over UDP.
    pub(crate) truncate: bool,
    /// Send a datagram with a wrong id first.
    pub(crate) spoof: bool,
}

impl Zone {
    fn answer(&self, query: &[u8], id_shift: u16, truncate: bool) -> Vec<u8> {
        let query = Message::from_vec(query).expect("the prober sends messages");
        let id = query.metadata.id.wrapping_add(id_shift);
        let mut message = Message::new(id, MessageType::Response, OpCode::Query);
        message.metadata.response_code = self.code;
        message.metadata.truncation = truncate;
        let question = query.queries.first().expect("the prober asks").clone();
        if !truncate {
            for data in &self.data {
                message.add_answer(Record::from_rdata(question.name().clone(), 5, data.clone()));
            }
        }
        message.add_query(question);
        message.to_vec().expect("valid")
    }
}

/// A DNS server over UDP and, at the same port, TCP.
pub(crate) async fn dns(zone: Zone) -> SocketAddr {
    let over_tcp = zone.clone();
    let at = raw(move |mut stream| {
        let zone = over_tcp.clone();
        async move {
            let Ok(length) = stream.read_u16().await else { return };
            let mut query = vec![0; length.into()];
            if stream.read_exact(&mut query).await.is_ok() {
                let answer = zone.answer(&query, 0, false);
                let _ = stream.write_u16(answer.len() as u16).await;
                let _ = stream.write_all(&answer).await;
            }
        }
    })
    .await;
    let socket = UdpSocket::bind(at).await.expect("the port is free for UDP");
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            if zone.spoof {
                let _ = socket.send_to(&zone.answer(&buffer[..length], 1, false), from).await;
                let _ = socket.send_to(b"noise", from).await;
            }
            let _ = socket.send_to(&zone.answer(&buffer[..length], 0, zone.truncate), from).await;
        }
    });
    at
}

/// An address where nothing listens.
pub(crate) async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    listener.local_addr().expect("bound")
}
