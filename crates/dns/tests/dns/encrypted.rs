//! TLS, HTTPS and QUIC: the same bytes as over TCP, padded where asked, with the protocol's name and limits.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use holdfast_dns::{DnsConfig, EncryptedConfig, TcpConfig, Transport};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::fixture::{decode, message, query};
use crate::sockets::{PATIENCE, Running, closed, framed, loopback, read_tcp, start, started};

/// Writes a new certificate of 127.0.0.1 and its key.
pub(crate) fn issue(directory: &Path) {
    let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("possible");
    std::fs::write(directory.join("key.pem"), issued.signing_key.serialize_pem()).expect("written");
    std::fs::write(directory.join("cert.pem"), issued.cert.pem()).expect("written");
}

pub(crate) fn config(directory: &Path) -> DnsConfig {
    let at = || vec!["127.0.0.1:0".parse::<SocketAddr>().expect("an address")];
    let encrypted = EncryptedConfig {
        cert: directory.join("cert.pem"),
        key: directory.join("key.pem"),
        tls: at(),
        https: at(),
        quic: at(),
        look_every: Duration::from_millis(20),
    };
    DnsConfig { encrypted: Some(encrypted), threads: 1, ..loopback() }
}

pub(crate) fn address(running: &Running, transport: Transport) -> SocketAddr {
    let mut found = running.server.encrypted_addrs().iter().filter(|(by, _)| *by == transport);
    found.next().expect("it is configured").1
}

/// A client that trusts what `cert.pem` holds, and nobody else.
pub(crate) fn client(directory: &Path, alpn: &[u8]) -> ClientConfig {
    let pem = std::fs::read(directory.join("cert.pem")).expect("read");
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(&pem) {
        roots.add(cert.expect("a certificate")).expect("usable");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring offers them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}

pub(crate) async fn shake_hands(
    server: SocketAddr,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server).await.expect("connects");
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream);
    timeout(PATIENCE, connected).await.expect("in time")
}

/// A query that asks for padding, with this id.
pub(crate) fn padded(id: u16) -> Vec<u8> {
    let mut message = message("shop.example.test.", RecordType::A, Some(1232));
    message.metadata.id = id;
    let edns = message.edns.as_mut().expect("it has EDNS");
    edns.options_mut().insert(EdnsOption::Unknown(EdnsCode::Padding.into(), vec![0; 16]));
    message.to_vec().expect("can be encoded")
}

fn assert_padded(reply: &[u8]) {
    assert_eq!(reply.len(), 468, "one block (RFC 8467)");
    assert_eq!(decode(reply).answers.len(), 1);
}

#[tokio::test]
async fn tls_carries_pipelined_queries_under_the_name_dot() {
    let directory = tempfile::tempdir().expect("a directory");
    issue(directory.path());
    let running = started(config(directory.path())).await;
    let server = address(&running, Transport::Tls);
    let mut stream = shake_hands(server, client(directory.path(), b"dot")).await.expect("agrees");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"dot".as_slice()));
    let names = ["shop.example.test.", "no.example.test.", "huge.example.test."];
    let all: Vec<u8> =
        names.iter().flat_map(|name| framed(&query(name, RecordType::TXT, None))).collect();
    stream.write_all(&all).await.expect("sends");
    for name in names {
        let reply = read_tcp(&mut stream).await.expect("a reply");
        assert_eq!(reply.queries[0].name().to_ascii(), name);
    }
    stream.write_all(&framed(&padded(1))).await.expect("sends");
    let reply: Message = read_tcp(&mut stream).await.expect("a reply");
    assert!(reply.edns.is_some_and(|edns| edns.option(EdnsCode::Padding).is_some()));
    let refused = shake_hands(server, client(directory.path(), b"h3")).await;
    assert!(refused.is_err(), "another protocol is not spoken here");
    running.stop().await;
}

#[tokio::test]
async fn who_does_not_shake_hands_is_disconnected() {
    let directory = tempfile::tempdir().expect("a directory");
    issue(directory.path());
    let tcp = TcpConfig { first_query_timeout: Duration::from_millis(100), ..TcpConfig::default() };
    let running = started(DnsConfig { tcp, ..config(directory.path()) }).await;
    for transport in [Transport::Tls, Transport::Https] {
        let server = address(&running, transport);
        let mut silent = TcpStream::connect(server).await.expect("connects");
        assert!(closed(&mut silent).await, "{transport:?}: silence");
        let mut plain = TcpStream::connect(server).await.expect("connects");
        let wire = framed(&query("shop.example.test.", RecordType::A, None));
        plain.write_all(&wire).await.expect("sends");
        while !closed(&mut plain).await {}
    }
    running.stop().await;
}

#[tokio::test]
async fn slow_peers_over_tls_are_held_to_the_times_of_tcp() {
    const LIMIT: Duration = Duration::from_secs(1);
    /// A query takes several times the limit at this pace.
    const PACE: Duration = Duration::from_millis(100);
    let directory = tempfile::tempdir().expect("a directory");
    issue(directory.path());
    let tcp = TcpConfig {
        first_query_timeout: LIMIT,
        idle_timeout: LIMIT,
        write_timeout: LIMIT,
        ..TcpConfig::default()
    };
    let running = started(DnsConfig { tcp, ..config(directory.path()) }).await;
    let server = address(&running, Transport::Tls);
    let dot = || shake_hands(server, client(directory.path(), b"dot"));
    let wire = framed(&query("huge.example.test.", RecordType::TXT, None));

    let mut silent = dot().await.expect("agrees");
    assert!(closed(&mut silent).await, "silence");
    let mut idle = dot().await.expect("agrees");
    idle.write_all(&wire).await.expect("sends");
    read_tcp(&mut idle).await.expect("a reply");
    assert!(closed(&mut idle).await, "idle");

    let (mut reader, mut writer) = tokio::io::split(dot().await.expect("agrees"));
    let trickle = async {
        let mut pace = tokio::time::interval(PACE);
        for byte in &wire {
            pace.tick().await;
            // Whether it is closed is for the reader to say.
            let _ = writer.write_all(&[*byte]).await;
        }
        std::future::pending().await
    };
    tokio::select! {
        () = trickle => {}
        closed = closed(&mut reader) => assert!(closed, "the whole query was waited for"),
    }

    let mut deaf = dot().await.expect("agrees");
    let wires = wire.repeat(64);
    let flood = async { while deaf.write_all(&wires).await.is_ok() {} };
    timeout(PATIENCE, flood).await.expect("the server stops reading and then disconnects");
    running.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_shown_and_a_broken_one_is_not() {
    let directory = tempfile::tempdir().expect("a directory");
    issue(directory.path());
    let running = started(config(directory.path())).await;
    let server = address(&running, Transport::Tls);
    let old = client(directory.path(), b"dot");
    std::fs::write(directory.path().join("key.pem"), "half a file").expect("written");
    for _ in 0..5 {
        shake_hands(server, old.clone()).await.expect("the old one is shown");
    }
    issue(directory.path());
    let renewed = client(directory.path(), b"dot");
    let shown = async { while shake_hands(server, renewed.clone()).await.is_err() {} };
    timeout(PATIENCE, shown).await.expect("the new one is shown");
    assert!(shake_hands(server, old).await.is_err(), "and the old one is not");
    running.stop().await;
}

#[tokio::test]
async fn unusable_certificates_are_refused_with_the_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let told = |error: Option<String>| error.unwrap_or_default();
    let missing = start(config(directory.path())).await.err().map(|error| error.to_string());
    assert!(told(missing).contains("cert.pem"), "no such file");
    issue(directory.path());
    let key = std::fs::read(directory.path().join("key.pem")).expect("read");
    issue(directory.path());
    std::fs::write(directory.path().join("key.pem"), key).expect("written");
    let foreign = told(start(config(directory.path())).await.err().map(|error| error.to_string()));
    assert!(
        foreign.contains("key.pem") && foreign.contains("its own certificate first"),
        "{foreign}"
    );
}

pub(crate) type Http = http2::SendRequest<Full<Bytes>>;

pub(crate) async fn https(running: &Running, directory: &Path) -> Http {
    let server = address(running, Transport::Https);
    let stream = shake_hands(server, client(directory, b"h2")).await.expect("agrees");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    sender
}

pub(crate) async fn fetch(
    http: &mut Http,
    request: Request<Full<Bytes>>,
) -> (StatusCode, String, Bytes) {
    let response = timeout(PATIENCE, http.send_request(request)).await.expect("in time");
    let response = response.expect("a response");
    let status = response.status();
    let cache = response.headers().get("cache-control").map(|value| value.to_str().expect("text"));
    let cache = cache.unwrap_or_default().to_owned();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, cache, body)
}

fn get(uri: &str) -> Request<Full<Bytes>> {
    Request::get(format!("https://127.0.0.1{uri}")).body(Full::default()).expect("a request")
}

pub(crate) fn post(kind: &str, body: Vec<u8>) -> Request<Full<Bytes>> {
    let request = Request::post("https://127.0.0.1/dns-query").header("content-type", kind);
    request.body(Full::from(body)).expect("a request")
}

#[tokio::test]
async fn https_answers_get_and_post_and_says_how_long_it_holds() {
    let directory = tempfile::tempdir().expect("a directory");
    issue(directory.path());
    let running = started(config(directory.path())).await;
    let mut http = https(&running, directory.path()).await;
    let (status, cache, body) = fetch(&mut http, post("application/dns-message", padded(0))).await;
    assert_eq!((status, cache.as_str()), (StatusCode::OK, "max-age=30"));
    assert_padded(&body);
    let asked = BASE64URL_NOPAD.encode(&query("no.example.test.", RecordType::A, None));
    let (status, cache, body) = fetch(&mut http, get(&format!("/dns-query?dns={asked}"))).await;
    assert_eq!((status, cache.as_str()), (StatusCode::OK, "max-age=5"), "the SOA's");
    assert_eq!(decode(&body).metadata.response_code.to_string(), "Non-Existent Domain");
    let reply = {
        let mut wire = padded(0);
        wire[2] |= 0x80;
        wire
    };
    let large = vec![0; 70_000];
    let put = Request::put("https://127.0.0.1/dns-query").body(Full::default()).expect("a request");
    assert_eq!(put.method(), Method::PUT);
    for (request, expected) in [
        (get("/"), 404),
        (get("/dns-query"), 400),
        (get("/dns-query?dns=!"), 400),
        (post("text/plain", padded(0)), 415),
        (post("application/dns-message", large), 413),
        (post("application/dns-message", reply), 400),
        (put, 405),
    ] {
        assert_eq!(fetch(&mut http, request).await.0.as_u16(), expected);
    }
    let (status, ..) = fetch(&mut http, post("application/dns-message", padded(0))).await;
    assert_eq!(status, StatusCode::OK, "the connection is as good as before");
    running.stop().await;
}

#[tokio::test]
async fn an_idle_https_connection_ends() {
    let directory = tempfile::tempdir().expect("a directory");
    issue(directory.path());
    let tcp = TcpConfig { idle_timeout: Duration::from_millis(200), ..TcpConfig::default() };
    let running = started(DnsConfig { tcp, ..config(directory.path()) }).await;
    let mut http = https(&running, directory.path()).await;
    fetch(&mut http, post("application/dns-message", padded(0))).await;
    let ended = async {
        while http.ready().await.is_ok() {
            tokio::task::yield_now().await
        }
    };
    timeout(PATIENCE, ended).await.expect("it is told to go away");
    running.stop().await;
}

pub(crate) async fn quic(
    running: &Running,
    directory: &Path,
) -> (quinn::Endpoint, quinn::Connection) {
    quic_at(address(running, Transport::Quic), directory).await
}

pub(crate) async fn quic_at(
    server: SocketAddr,
    directory: &Path,
) -> (quinn::Endpoint, quinn::Connection) {
    let tls = QuicClientConfig::try_from(client(directory, b"doq")).expect("TLS 1.3");
    let mut endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into()).expect("a socket");
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(tls)));
    let connecting = endpoint.connect(server, "127.0.0.1");
    let connection = timeout(PATIENCE, connecting.expect("possible")).await.expect("in time");
    (endpoint, connection.expect("connects"))
}

pub(crate) async fn stream(connection: &quinn::Connection, bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut send, mut receive) = connection.open_bi().await.ok()?;
    send.write_all(bytes).await.ok()?;
    send.finish().ok()?;
    timeout(PATIENCE, receive.read_to_end(70_000)).await.expect("in time").ok()
}

#[tokio::test]
async fn quic_answers_each_query_on_a_stream_of_its_own() {
    let directory = tempfile::tempdir().expect("a directory");
    issue(directory.path());
    let running = started(config(directory.path())).await;
    let (_endpoint, connection) = quic(&running, directory.path()).await;
    // A stream that does not come to its end holds nobody up.
    let (mut slow, _) = connection.open_bi().await.expect("a stream");
    slow.write_all(&[0, 40, 0]).await.expect("sends");
    for _ in 0..300 {
        let reply = stream(&connection, &framed(&padded(0))).await.expect("a reply");
        let (length, reply) = reply.split_first_chunk().expect("a length");
        assert_eq!(usize::from(u16::from_be_bytes(*length)), reply.len());
        assert_padded(reply);
    }
    running.stop().await;
}

#[tokio::test]
async fn quic_ends_a_connection_that_breaks_the_rules() {
    let directory = tempfile::tempdir().expect("a directory");
    issue(directory.path());
    let running = started(config(directory.path())).await;
    let good = framed(&padded(0));
    let wires = [framed(&padded(7)), good[..20].to_vec(), [good.clone(), good].concat(), vec![]];
    for wire in wires {
        let (_endpoint, connection) = quic(&running, directory.path()).await;
        assert_eq!(stream(&connection, &wire).await, None);
        match timeout(PATIENCE, connection.closed()).await.expect("in time") {
            quinn::ConnectionError::ApplicationClosed(close) => {
                assert_eq!(close.error_code, 2u32.into(), "DOQ_PROTOCOL_ERROR");
            }
            other => panic!("{other}"),
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn places_of_quic_are_bounded_too() {
    let directory = tempfile::tempdir().expect("a directory");
    issue(directory.path());
    let tcp = TcpConfig { max_connections: 2, ..TcpConfig::default() };
    let running = started(DnsConfig { tcp, ..config(directory.path()) }).await;
    let (_first_endpoint, first) = quic(&running, directory.path()).await;
    let (_second_endpoint, second) = quic(&running, directory.path()).await;
    assert!(stream(&second, &framed(&padded(0))).await.is_some());
    let (_third_endpoint, third) = quic(&running, directory.path()).await;
    assert!(stream(&third, &framed(&padded(0))).await.is_some(), "asked to show its address first");
    match timeout(PATIENCE, first.closed()).await.expect("in time") {
        quinn::ConnectionError::ApplicationClosed(close) => {
            assert_eq!(close.error_code, 4u32.into(), "DOQ_EXCESSIVE_LOAD");
        }
        other => panic!("{other}"),
    }
    assert!(stream(&second, &framed(&padded(0))).await.is_some(), "who asks stays");
    running.stop().await;
}
