//! Connections: pipelining, fragments, replies of many messages, and who has to leave when.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use hickory_proto::rr::RecordType;
use holdfast_dns::{DnsConfig, Messages, Peer, Published, Special, Streams, TcpConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::fixture::query;
use crate::sockets::{PATIENCE, closed, framed, loopback, read_tcp, started, text_of};

#[tokio::test]
async fn tcp_takes_pipelined_and_trickling_queries_and_a_half_close() {
    let running = started(loopback()).await;
    let mut stream = TcpStream::connect(running.address()).await.expect("connects");
    let names = ["shop.example.test.", "huge.example.test.", "at.index.example.test."];
    let all: Vec<u8> = (0..30)
        .flat_map(|number| framed(&query(names[number % 3], RecordType::TXT, None)))
        .collect();
    stream.write_all(&all).await.expect("sends");
    for number in 0..30 {
        let reply = read_tcp(&mut stream).await.expect("a reply");
        assert_eq!(reply.queries[0].name().to_ascii(), names[number % 3], "in order");
    }
    for byte in framed(&query(names[2], RecordType::TXT, None)) {
        stream.write_all(&[byte]).await.expect("sends");
        stream.flush().await.expect("sends");
    }
    assert_eq!(text_of(&read_tcp(&mut stream).await.expect("a reply")), "7");
    stream.write_all(&framed(&query(names[2], RecordType::TXT, None))).await.expect("sends");
    stream.shutdown().await.expect("closes its half");
    assert_eq!(text_of(&read_tcp(&mut stream).await.expect("a reply")), "7");
    assert!(closed(&mut stream).await);
    running.stop().await;
}

#[tokio::test]
async fn tcp_peers_that_send_no_query_are_disconnected() {
    let tcp = TcpConfig {
        first_query_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(200),
        ..TcpConfig::default()
    };
    let running = started(DnsConfig { tcp, ..loopback() }).await;
    let mut reply = query("shop.example.test.", RecordType::A, None);
    reply[2] |= 0x80;
    let partial = framed(&query("shop.example.test.", RecordType::A, None))[..9].to_vec();
    for (what, bytes) in [
        ("a reply", framed(&reply)),
        ("nothing", vec![]),
        ("a part", partial),
        ("an empty message", vec![0, 0]),
    ] {
        let mut stream = TcpStream::connect(running.address()).await.expect("connects");
        stream.write_all(&bytes).await.expect("sends");
        assert!(closed(&mut stream).await, "{what}");
    }
    let mut idle = TcpStream::connect(running.address()).await.expect("connects");
    idle.write_all(&framed(&query("shop.example.test.", RecordType::A, None)))
        .await
        .expect("sends");
    read_tcp(&mut idle).await.expect("a reply");
    assert!(closed(&mut idle).await, "idle");
    running.stop().await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_disconnected() {
    let tcp = TcpConfig { write_timeout: Duration::from_millis(300), ..TcpConfig::default() };
    let running = started(DnsConfig { tcp, ..loopback() }).await;
    let mut stream = TcpStream::connect(running.address()).await.expect("connects");
    let wire = framed(&query("huge.example.test.", RecordType::TXT, None)).repeat(64);
    let flood = async { while stream.write_all(&wire).await.is_ok() {} };
    timeout(PATIENCE, flood).await.expect("the server stops reading and then disconnects");
    running.stop().await;
}

#[tokio::test]
async fn a_thousand_pipelined_queries_in_odd_fragments_are_answered_in_order() {
    const QUERIES: u16 = 1000;
    let running = started(DnsConfig { threads: 1, ..loopback() }).await;
    let names = ["shop.example.test.", "no.example.test.", "huge.example.test."];
    let all: Vec<u8> = (0..QUERIES)
        .flat_map(|id| {
            let mut wire = query(names[usize::from(id) % 3], RecordType::A, Some(1232));
            wire[..2].copy_from_slice(&id.to_be_bytes());
            framed(&wire)
        })
        .collect();
    let stream = TcpStream::connect(running.address()).await.expect("connects");
    stream.set_nodelay(true).expect("fragments stay fragments");
    let (reader, mut writer) = stream.into_split();
    let sending = tokio::spawn(async move {
        let mut rest = all.as_slice();
        for size in [1, 2, 3, 5, 7, 61, 127, 1009].into_iter().cycle() {
            let (fragment, next) = rest.split_at(size.min(rest.len()));
            writer.write_all(fragment).await.expect("sends");
            rest = next;
            if rest.is_empty() {
                return writer;
            }
        }
        unreachable!("the sizes never end")
    });
    let mut stream = reader;
    for id in 0..QUERIES {
        let reply = read_tcp(&mut stream).await.expect("a reply");
        assert_eq!(reply.metadata.id, id);
        assert_eq!(reply.queries[0].name().to_ascii(), names[usize::from(id) % 3]);
    }
    drop(sending.await.expect("sends all"));
    assert!(closed(&mut stream).await, "half-closed, and everything is answered");
    running.stop().await;
}

/// Opens a connection and has a query answered on it.
async fn used(server: std::net::SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(server).await.expect("connects");
    asked(&mut stream).await;
    stream
}

async fn asked(stream: &mut TcpStream) {
    let wire = framed(&query("shop.example.test.", RecordType::A, None));
    stream.write_all(&wire).await.expect("sends");
    assert_eq!(read_tcp(stream).await.expect("a reply").answers.len(), 1);
}

#[tokio::test]
async fn the_longest_idle_connection_makes_room_for_a_new_one() {
    let limits = [
        TcpConfig { max_connections: 20, max_per_prefix: 3, ..TcpConfig::default() },
        TcpConfig { max_connections: 3, max_per_prefix: 20, ..TcpConfig::default() },
    ];
    for tcp in limits {
        let running = started(DnsConfig { tcp, threads: 1, ..loopback() }).await;
        let server = running.address();
        let (mut first, mut second) = (used(server).await, used(server).await);
        let mut third = used(server).await;
        asked(&mut first).await;
        let mut fourth = used(server).await;
        assert!(closed(&mut second).await, "idle for longest");
        for stream in [&mut first, &mut third, &mut fourth] {
            asked(stream).await;
        }
        running.stop().await;
    }
}

#[tokio::test]
async fn a_stop_answers_what_was_asked_and_then_closes() {
    let running = started(DnsConfig { threads: 1, ..loopback() }).await;
    let server = running.address();
    let (mut idle, mut busy) = (used(server).await, used(server).await);
    running.shutdown.cancel();
    // The stop is on its way to another thread: what is asked until it is closed is answered.
    let mut answered = 0;
    while answered < 20 {
        asked(&mut busy).await;
        answered += 1;
    }
    assert!(closed(&mut idle).await && closed(&mut busy).await);
    running.stop().await;
}

/// Answers transfers of any zone with many messages, counts those that were made, and has a bug.
#[derive(Debug, Clone, Default)]
struct Counting {
    made: Arc<AtomicUsize>,
    messages: usize,
}

const AXFR_IN: [u8; 4] = [0, 252, 0, 1];
const BUG: &[u8] = b"\x03bug";
const MESSAGE: usize = 16 * 1024;

impl Streams for Counting {
    fn reply(&self, query: &[u8], _: Peer, published: Option<&Arc<Published>>) -> Option<Messages> {
        published?;
        if !query.ends_with(&AXFR_IN) {
            return None;
        }
        assert!(!query[12..].starts_with(BUG), "this panic is part of the test");
        let (made, mut wire) = (self.made.clone(), query.to_vec());
        wire[2] |= 0x80;
        wire.resize(MESSAGE, 0);
        let messages = stream::iter(0..self.messages).map(move |number| {
            made.fetch_add(1, Ordering::Relaxed);
            wire[..2].copy_from_slice(&(number as u16).to_be_bytes());
            wire.clone()
        });
        Some(Box::pin(messages))
    }

    fn special(&self, _: &[u8], _: Peer, _: Option<&Arc<Published>>) -> Special {
        Special::Reply(Vec::new())
    }
}

fn transfers(messages: usize) -> (Counting, DnsConfig) {
    let counting = Counting { messages, ..Counting::default() };
    let streams = Some(Arc::new(counting.clone()) as Arc<dyn Streams>);
    let tcp = TcpConfig { write_timeout: Duration::from_millis(300), ..TcpConfig::default() };
    (counting, DnsConfig { streams, tcp, threads: 1, ..loopback() })
}

fn transfer(zone: &str) -> Vec<u8> {
    framed(&query(zone, RecordType::AXFR, None))
}

async fn id_of_next(stream: &mut TcpStream) -> u16 {
    let length = timeout(PATIENCE, stream.read_u16()).await.expect("in time").expect("a message");
    let mut message = vec![0; usize::from(length)];
    timeout(PATIENCE, stream.read_exact(&mut message)).await.expect("in time").expect("whole");
    u16::from_be_bytes([message[0], message[1]])
}

#[tokio::test]
async fn a_reply_of_many_messages_keeps_its_order_and_is_passed_by_queries() {
    let (counting, config) = transfers(300);
    let running = started(config).await;
    let mut stream = TcpStream::connect(running.address()).await.expect("connects");
    let plain = framed(&query("shop.example.test.", RecordType::A, None));
    let wires = [plain.clone(), transfer("example.test."), plain].concat();
    stream.write_all(&wires).await.expect("sends");
    for _ in 0..2 {
        assert_eq!(read_tcp(&mut stream).await.expect("a reply").answers.len(), 1);
    }
    for number in 0..300 {
        assert_eq!(id_of_next(&mut stream).await, number);
    }
    assert_eq!(counting.made.load(Ordering::Relaxed), 300);
    running.stop().await;
}

#[tokio::test]
async fn a_peer_that_does_not_take_a_long_reply_stops_it_and_nobody_else() {
    const MESSAGES: usize = 60_000;
    let (counting, config) = transfers(MESSAGES);
    let running = started(config).await;
    let mut idle = TcpStream::connect(running.address()).await.expect("connects");
    let mut other = used(running.address()).await;
    let unused = Arc::strong_count(&counting.made);
    idle.write_all(&transfer("example.test.")).await.expect("sends");
    let cancelled = async {
        while counting.made.load(Ordering::Relaxed) == 0 {
            asked(&mut other).await;
        }
        while Arc::strong_count(&counting.made) > unused {
            asked(&mut other).await;
        }
    };
    timeout(PATIENCE, cancelled).await.expect("the transfer is given up");
    assert!(counting.made.load(Ordering::Relaxed) < MESSAGES / 2, "it was not made in advance");
    running.stop().await;
}

#[tokio::test]
async fn a_panic_ends_its_connection_only() {
    let (_, config) = transfers(1);
    let running = started(config).await;
    let mut other = used(running.address()).await;
    let mut unlucky = used(running.address()).await;
    unlucky.write_all(&transfer("bug.example.test.")).await.expect("sends");
    assert!(closed(&mut unlucky).await);
    asked(&mut other).await;
    used(running.address()).await;
    running.stop().await;
}

/// Answers transfers once it may, and tells how many were asked for.
#[derive(Debug, Clone)]
struct Slow {
    asked: Arc<AtomicUsize>,
    may: Arc<Semaphore>,
}

impl Streams for Slow {
    fn reply(&self, query: &[u8], _: Peer, _: Option<&Arc<Published>>) -> Option<Messages> {
        if !query.ends_with(&AXFR_IN) {
            return None;
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (may, mut wire) = (Arc::clone(&self.may), query.to_vec());
        wire[2] |= 0x80;
        let message = async move {
            may.acquire().await.expect("it is open").forget();
            wire
        };
        Some(Box::pin(stream::once(message)))
    }

    fn special(&self, _: &[u8], _: Peer, _: Option<&Arc<Published>>) -> Special {
        Special::Reply(Vec::new())
    }
}

fn numbered(kind: RecordType, id: u16) -> Vec<u8> {
    let mut wire = query("shop.example.test.", kind, None);
    wire[..2].copy_from_slice(&id.to_be_bytes());
    framed(&wire)
}

#[tokio::test]
async fn what_takes_a_while_is_passed_by_the_queries_behind_it_up_to_eight() {
    let slow = Slow { asked: Arc::default(), may: Arc::new(Semaphore::new(0)) };
    let streams = Some(Arc::new(slow.clone()) as Arc<dyn Streams>);
    let running = started(DnsConfig { streams, threads: 1, ..loopback() }).await;
    let mut stream = TcpStream::connect(running.address()).await.expect("connects");
    for id in 1..=8 {
        stream.write_all(&numbered(RecordType::A, 100 + id)).await.expect("sends");
        stream.write_all(&numbered(RecordType::AXFR, id)).await.expect("sends");
        assert_eq!(id_of_next(&mut stream).await, 100 + id, "of {id} none is there");
    }
    let more = [numbered(RecordType::A, 109), numbered(RecordType::AXFR, 9)].concat();
    stream.write_all(&more).await.expect("sends");
    stream.shutdown().await.expect("closes its half");
    let (mut transfers, mut queries) = (Vec::new(), Vec::new());
    for released in 1..=9 {
        assert!(slow.asked.load(Ordering::Relaxed) <= 7 + released, "eight at a time");
        slow.may.add_permits(1);
        // Room is for what waits, before anything else ends.
        while transfers.len() < released || queries.is_empty() {
            let id = id_of_next(&mut stream).await;
            if id < 100 { transfers.push(id) } else { queries.push(id) }
        }
    }
    transfers.sort_unstable();
    assert_eq!((transfers, queries), ((1..=9).collect(), vec![109]));
    assert!(closed(&mut stream).await, "half-closed, and everything is answered");
    running.stop().await;
}
