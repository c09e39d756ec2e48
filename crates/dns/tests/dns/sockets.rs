//! Real sockets: both transports, restarts and refusals.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, RecordType};
use holdfast_core::GroupId;
use holdfast_core::Timestamp;
use holdfast_core::seam::Clock;
use holdfast_dns::{
    DnsConfig, DnsError, DnsServer, LastKnownGood, Publisher, TcpConfig, channel, lkg,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::fixture::{decode, query, view};

/// Far longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Running {
    pub(crate) server: DnsServer,
    pub(crate) publisher: Publisher,
    pub(crate) shutdown: CancellationToken,
}

impl Running {
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.local_addrs()[0]
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        timeout(PATIENCE, self.server.stopped()).await.expect("stops");
    }
}

/// A clock that nothing of these tests reads.
pub(crate) struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
}

pub(crate) fn loopback() -> DnsConfig {
    DnsConfig { listen: vec!["127.0.0.1:0".parse().expect("an address")], ..DnsConfig::default() }
}

pub(crate) async fn start(config: DnsConfig) -> Result<Running, DnsError> {
    let (publisher, source) = channel();
    let shutdown = CancellationToken::new();
    let server = DnsServer::start(config, source, Arc::new(Stopped), shutdown.clone()).await?;
    Ok(Running { server, publisher, shutdown })
}

pub(crate) async fn started(config: DnsConfig) -> Running {
    let running = start(config).await.expect("starts");
    running.publisher.publish(Arc::new(view(7)));
    running
}

/// Sends a datagram and waits for the next one.
async fn exchange_udp(server: SocketAddr, wires: &[Vec<u8>]) -> Message {
    let socket = UdpSocket::bind((server.ip(), 0)).await.expect("a socket");
    socket.connect(server).await.expect("connects");
    for wire in wires {
        socket.send(wire).await.expect("sends");
    }
    let mut reply = vec![0; 4096];
    let length =
        timeout(PATIENCE, socket.recv(&mut reply)).await.expect("in time").expect("a reply");
    decode(&reply[..length])
}

async fn ask(server: SocketAddr, owner: &str) -> Message {
    exchange_udp(server, &[query(owner, RecordType::TXT, Some(1232))]).await
}

pub(crate) fn framed(wire: &[u8]) -> Vec<u8> {
    let length = u16::try_from(wire.len()).expect("fits");
    [length.to_be_bytes().as_slice(), wire].concat()
}

pub(crate) async fn read_tcp(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Message> {
    let read = async {
        let length = stream.read_u16().await?;
        let mut reply = vec![0; usize::from(length)];
        stream.read_exact(&mut reply).await?;
        Ok(decode(&reply))
    };
    timeout(PATIENCE, read).await.expect("in time")
}

pub(crate) async fn closed(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    let end = timeout(PATIENCE, stream.read(&mut [0; 1])).await.expect("closed in time");
    matches!(end, Ok(0) | Err(_))
}

pub(crate) fn text_of(reply: &Message) -> String {
    match reply.answers.first().map(|record| &record.data) {
        Some(RData::TXT(text)) => text.to_string(),
        _ => reply.metadata.response_code.to_string(),
    }
}

#[tokio::test]
async fn both_transports_answer_on_the_callers_runtime_and_on_threads() {
    for threads in [0, 2] {
        let running = started(DnsConfig { threads, ..loopback() }).await;
        let server = running.address();
        assert_eq!(text_of(&ask(server, "at.index.example.test.").await), "7");
        running.publisher.publish(Arc::new(view(8)));
        for _ in 0..16 {
            assert_eq!(text_of(&ask(server, "at.index.example.test.").await), "8");
        }
        let mut stream = TcpStream::connect(server).await.expect("connects");
        let wire = framed(&query("huge.example.test.", RecordType::TXT, None));
        stream.write_all(&wire).await.expect("sends");
        assert_eq!(read_tcp(&mut stream).await.expect("a reply").answers.len(), 40);
        running.stop().await;
        assert!(TcpStream::connect(server).await.is_err(), "the port is free after the stop");
    }
}

#[tokio::test]
async fn several_addresses_answer_from_the_address_that_was_asked() {
    let listen =
        ["127.0.0.1:0", "127.0.0.9:0", "[::1]:0"].map(|text| text.parse().expect("an address"));
    for threads in [0, 2] {
        let config = DnsConfig { listen: listen.to_vec(), threads, ..DnsConfig::default() };
        let running = started(config).await;
        assert_eq!(running.server.local_addrs().len(), 3);
        for server in running.server.local_addrs() {
            // The client's socket is connected, so a reply from elsewhere would not arrive.
            assert_eq!(text_of(&ask(*server, "at.index.example.test.").await), "7");
        }
        running.stop().await;
    }
}

#[tokio::test]
async fn every_reply_of_a_burst_goes_to_its_sender() {
    const QUERIES: u16 = 100;
    let names =
        ["shop.example.test.", "no.example.test.", "www.example.test.", "crowd.example.test."];
    let running = started(DnsConfig { threads: 2, ..loopback() }).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let client = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        client.connect(running.address()).await.expect("connects");
        clients.push(client);
    }
    for id in 0..QUERIES {
        for (number, client) in (0u16..).zip(&clients) {
            let mut wire = query(names[usize::from(id) % names.len()], RecordType::A, None);
            wire[..2].copy_from_slice(&(number << 8 | id).to_be_bytes());
            client.send(&wire).await.expect("sends");
        }
    }
    for (number, client) in (0u16..).zip(&clients) {
        let mut missing: BTreeSet<u16> = (0..QUERIES).map(|id| number << 8 | id).collect();
        let mut reply = [0; 1232];
        while !missing.is_empty() {
            let length = timeout(PATIENCE, client.recv(&mut reply)).await.expect("in time");
            let decoded = decode(&reply[..length.expect("a reply")]);
            assert!(missing.remove(&decoded.metadata.id), "{}", decoded.metadata.id);
            let asked = names[usize::from(decoded.metadata.id & 0xff) % names.len()];
            assert_eq!(decoded.queries[0].name().to_ascii(), asked);
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn replies_and_fragments_get_silence() {
    let running = started(loopback()).await;
    let mut reply = query("shop.example.test.", RecordType::A, None);
    reply[2] |= 0x80;
    let good = query("at.index.example.test.", RecordType::TXT, None);
    let wires = [reply, vec![1, 2, 3], vec![], good];
    assert_eq!(
        text_of(&exchange_udp(running.address(), &wires).await),
        "7",
        "the first reply is the query's"
    );
    running.stop().await;
}

#[tokio::test]
async fn what_can_wait_runs_after_what_answers() {
    let directory = tempfile::tempdir().expect("a directory");
    let (cluster, group) = ("prod".to_owned(), GroupId(3));
    let path = directory.path().join("last-known-good");
    let file = LastKnownGood { path, cluster, group, min_interval: Duration::from_millis(10) };
    let config = DnsConfig { last_known_good: Some(file), threads: 1, ..loopback() };
    let running = start(config).await.expect("starts");
    running.publisher.publish(Arc::new(view(7)));
    assert_eq!(text_of(&ask(running.address(), "at.index.example.test.").await), "7");
    assert_eq!(running.server.on_disk().await, Some((1, 7)), "so its thread runs");
    let own = nice_of_own_threads(&["dns-udp-0", "dns-tcp", "last-known-good"]);
    let usual = own["dns-udp-0"];
    assert_eq!(own, [("dns-udp-0", usual), ("dns-tcp", usual), ("last-known-good", 10)].into());
    running.stop().await;
}

/// The priorities of this process's threads of these names; of several of one name the lowest.
fn nice_of_own_threads<'a>(names: &[&'a str]) -> BTreeMap<&'a str, i32> {
    let mut found = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").expect("Linux") {
        let stat =
            task.ok().and_then(|task| std::fs::read_to_string(task.path().join("stat")).ok());
        // A thread may end meanwhile. Its name stands in parentheses; the priority is the 17th field behind it.
        let Some((head, tail)) = stat.as_deref().and_then(|stat| stat.rsplit_once(')')) else {
            continue;
        };
        let name = head.split_once('(').map_or("", |(_, name)| name);
        let Some(name) = names.iter().find(|known| **known == name) else { continue };
        let nice: i32 = tail.split_whitespace().nth(16).expect("told").parse().expect("a number");
        found
            .entry(*name)
            .and_modify(|lowest: &mut i32| *lowest = nice.max(*lowest))
            .or_insert(nice);
    }
    found
}

#[tokio::test]
async fn a_restart_answers_from_the_file_until_there_is_a_view() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("last-known-good");
    let (cluster, group) = ("prod".to_owned(), GroupId(3));
    let min_interval = Duration::from_millis(10);
    let file = LastKnownGood { path: path.clone(), cluster, group, min_interval };
    let config = DnsConfig { last_known_good: Some(file), ..loopback() };
    let empty = start(config.clone()).await.expect("starts without a file");
    assert_eq!(
        text_of(&ask(empty.address(), "at.index.example.test.").await),
        ResponseCode::ServFail.to_string()
    );
    empty.publisher.publish(Arc::new(view(7)));
    empty.stop().await;
    assert_eq!(
        lkg::load(&path, "prod", GroupId(3)).expect("whole"),
        Some(view(7)),
        "written at the latest when stopping"
    );

    let restarted = start(config.clone()).await.expect("starts from the file");
    assert_eq!(text_of(&ask(restarted.address(), "at.index.example.test.").await), "7");
    let status = text_of(&ask(restarted.address(), "_holdfast.example.test.").await);
    assert!(status.ends_with("source=disk"), "{status}");
    restarted.publisher.publish(Arc::new(view(6)));
    assert_eq!(
        text_of(&ask(restarted.address(), "at.index.example.test.").await),
        "7",
        "an older view is ignored"
    );
    restarted.publisher.publish(Arc::new(view(9)));
    assert_eq!(text_of(&ask(restarted.address(), "at.index.example.test.").await), "9");
    restarted.stop().await;

    std::fs::write(&path, b"HOLDFLKG and then nonsense").expect("writes");
    let damaged = start(config).await.expect("starts in spite of the file");
    assert_eq!(
        text_of(&ask(damaged.address(), "at.index.example.test.").await),
        ResponseCode::ServFail.to_string()
    );
    damaged.stop().await;
}

#[tokio::test]
async fn impossible_configurations_are_refused_with_the_reason() {
    let taken = started(loopback()).await;
    let listen =
        |text: &str| DnsConfig { listen: vec![text.parse().expect("an address")], ..loopback() };
    let in_use = DnsConfig { listen: vec![taken.address()], ..loopback() };
    let mut long = loopback();
    long.chaos.version = Some("x".repeat(256));
    let no_places = TcpConfig { max_connections: 0, ..TcpConfig::default() };
    for (config, expected) in [
        (listen("0.0.0.0:0"), "0.0.0.0:0 is a wildcard"),
        (listen("[::]:0"), "[::]:0 is a wildcard"),
        (listen("192.0.2.1:0"), "check that the address is one of this host's"),
        (DnsConfig::default(), "list 1 to 64 addresses"),
        (in_use.clone(), "the port is in use by another process"),
        (DnsConfig { threads: 2, ..in_use }, "the port is in use by another process"),
        (DnsConfig { threads: 65, ..loopback() }, "at most 64"),
        (DnsConfig { tcp: no_places, ..loopback() }, "tcp.max_connections"),
        (long, "at most 255 bytes"),
    ] {
        let error = start(config).await.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(expected), "{expected:?} is not in {error:?}");
    }
    taken.stop().await;
}

/// Set in the process that `descriptors_run_out` starts with few descriptors.
const FEW_DESCRIPTORS: &str = "HOLDFAST_TEST_FEW_DESCRIPTORS";

#[tokio::test]
async fn descriptors_run_out_and_come_back() {
    if std::env::var_os(FEW_DESCRIPTORS).is_some() {
        return with_few_descriptors().await;
    }
    let itself = std::env::current_exe().expect("a test has a file");
    let output = tokio::process::Command::new("sh")
        .args([
            "-c",
            "ulimit -n 64 && exec \"$0\" --exact sockets::descriptors_run_out_and_come_back",
        ])
        .arg(itself)
        .env(FEW_DESCRIPTORS, "1")
        .output();
    let output = timeout(2 * PATIENCE, output).await.expect("in time").expect("runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

async fn with_few_descriptors() {
    let running = started(loopback()).await;
    let server = running.address();
    let datagrams = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    datagrams.connect(server).await.expect("connects");
    let mut streams = Vec::new();
    while let Ok(stream) = TcpStream::connect(server).await {
        streams.push(stream);
    }
    assert!(streams.len() < 64, "the limit holds");
    datagrams.send(&query("shop.example.test.", RecordType::A, None)).await.expect("sends");
    let mut reply = [0; 512];
    let length =
        timeout(PATIENCE, datagrams.recv(&mut reply)).await.expect("in time").expect("a reply");
    assert_eq!(decode(&reply[..length]).answers.len(), 1, "datagrams are answered all the while");
    drop(streams);
    let mut stream = TcpStream::connect(server).await.expect("connects");
    stream
        .write_all(&framed(&query("shop.example.test.", RecordType::A, None)))
        .await
        .expect("sends");
    assert_eq!(
        read_tcp(&mut stream).await.expect("a reply").answers.len(),
        1,
        "connections come back"
    );
    running.stop().await;
}
