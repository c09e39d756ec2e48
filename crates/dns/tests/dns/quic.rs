//! How a QUIC connection begins: who has to show an address first, and that no query comes before the handshake is over.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use holdfast_dns::{DnsConfig, TcpConfig, Transport};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::encrypted::{address, client, config, issue, padded, quic_at, stream};
use crate::sockets::{PATIENCE, framed, started};

/// Passes the datagrams of one client to a server and back, and counts the Retry packets (RFC 9000, 17.2.5) among them.
struct Relay {
    at: SocketAddr,
    retries: Arc<AtomicUsize>,
}

impl Relay {
    async fn to(server: SocketAddr) -> Self {
        let bind = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
        let (near, far) = (bind().await.expect("a socket"), bind().await.expect("a socket"));
        far.connect(server).await.expect("connects");
        let relay = Self { at: near.local_addr().expect("bound"), retries: Arc::default() };
        tokio::spawn(pass(near, far, relay.retries.clone()));
        relay
    }

    fn retries(&self) -> usize {
        self.retries.load(Ordering::Relaxed)
    }
}

async fn pass(near: UdpSocket, far: UdpSocket, retries: Arc<AtomicUsize>) -> std::io::Result<()> {
    let (mut there, mut back) = (vec![0; 65_536], vec![0; 65_536]);
    let mut client = None;
    loop {
        tokio::select! {
            received = near.recv_from(&mut there) => {
                let (length, from) = received?;
                client = Some(from);
                far.send(&there[..length]).await?;
            }
            received = far.recv(&mut back) => {
                let length = received?;
                // The long header's first bits, and the type 3.
                retries.fetch_add(usize::from(back[0] & 0xf0 == 0xf0), Ordering::Relaxed);
                let client = client.expect("it asked before it was answered");
                near.send_to(&back[..length], client).await?;
            }
        }
    }
}

#[tokio::test]
async fn clients_show_their_address_while_half_of_the_places_are_taken() {
    let directory = tempfile::tempdir().expect("a directory");
    issue(directory.path());
    let tcp = TcpConfig { max_connections: 4, ..TcpConfig::default() };
    let running = started(DnsConfig { tcp, ..config(directory.path()) }).await;
    let mut held = Vec::new();
    for expected in [false, false, true, true] {
        let relay = Relay::to(address(&running, Transport::Quic)).await;
        let (endpoint, connection) = quic_at(relay.at, directory.path()).await;
        assert!(stream(&connection, &framed(&padded(0))).await.is_some());
        // A client that waits long for its own asks again.
        assert_eq!(relay.retries() > 0, expected, "beside {} connections", held.len());
        held.push((endpoint, connection));
    }
    running.stop().await;
}

/// Whether a client that comes back may send before the handshake is over.
async fn may_send_early(server: SocketAddr, directory: &Path) -> bool {
    let mut tls = client(directory, b"doq");
    tls.enable_early_data = true;
    let tls = QuicClientConfig::try_from(tls).expect("TLS 1.3");
    let mut endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("a socket");
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(tls)));
    let connect = || endpoint.connect(server, "127.0.0.1").expect("possible");
    let connection = timeout(PATIENCE, connect()).await.expect("in time").expect("connects");
    // Whatever the client comes back with was sent before the reply to a query.
    assert!(stream(&connection, &framed(&padded(0))).await.is_some());
    connect().into_0rtt().is_ok()
}

/// A server that allows it, and sends back what it gets.
fn lenient(directory: &Path) -> quinn::Endpoint {
    let certs = CertificateDer::pem_file_iter(directory.join("cert.pem")).expect("a file");
    let certs = certs.collect::<Result<_, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(directory.join("key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring offers it")
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .expect("they fit");
    tls.alpn_protocols = vec![b"doq".to_vec()];
    tls.max_early_data_size = u32::MAX;
    let tls = QuicServerConfig::try_from(tls).expect("TLS 1.3");
    let config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    quinn::Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).expect("a socket")
}

async fn echo(server: quinn::Endpoint) -> Option<()> {
    let connection = server.accept().await?.await.ok()?;
    let (mut send, mut receive) = connection.accept_bi().await.ok()?;
    let asked = receive.read_to_end(usize::from(u16::MAX)).await.ok()?;
    send.write_all(&asked).await.ok()?;
    send.finish().ok()?;
    connection.closed().await;
    Some(())
}

#[tokio::test]
async fn nothing_is_taken_before_the_handshake_is_over() {
    let directory = tempfile::tempdir().expect("a directory");
    issue(directory.path());
    let other = lenient(directory.path());
    let server = other.local_addr().expect("bound");
    let echoing = tokio::spawn(echo(other));
    assert!(may_send_early(server, directory.path()).await, "the client would, if it might");
    echoing.abort();
    let running = started(config(directory.path())).await;
    let server = address(&running, Transport::Quic);
    assert!(!may_send_early(server, directory.path()).await);
    running.stop().await;
}
