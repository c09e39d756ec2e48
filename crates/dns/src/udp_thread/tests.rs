//! What a thread survives: a panic outside of an answer, a socket that fails, and a stop with queries that wait.

use std::fs::File;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast_core::Timestamp;
use holdfast_core::seam::Clock;
use tokio::time::advance;

use super::*;
use crate::query_log::{self, QueryLogConfig};
use crate::{Settings, channel};

const QUERY: &[u8] = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x03www\x04test\0\0\x01\0\x01";

fn responder() -> Responder {
    Responder::new(channel().1, Arc::new(Settings::default()), Arc::default())
}

fn socket() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_nonblocking(true).expect("possible");
    let address = socket.local_addr().expect("bound");
    (socket, address)
}

fn client(server: SocketAddr) -> UdpSocket {
    let (client, _) = socket();
    client.connect(server).expect("connects");
    client
}

/// A thread that was told to stop before it began.
fn stopping(sockets: Vec<UdpSocket>, responder: Responder) -> UdpThread {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    let later = Later {
        runtime: runtime.handle().clone(),
        tasks: Default::default(),
        shutdown: shutdown.clone(),
    };
    UdpThread { sockets, responder, wake: Wake::new().expect("a descriptor"), later, shutdown }
}

fn replies(client: &UdpSocket) -> usize {
    let reply = || client.recv(&mut [0; 512]).ok();
    std::iter::from_fn(reply).inspect(|length| assert!(*length >= QUERY.len())).count()
}

#[test]
fn what_waits_at_a_stop_is_answered() {
    const WAITING: usize = 2 * BATCH + 1;
    let (server, address) = socket();
    let client = client(address);
    for _ in 0..WAITING {
        client.send(QUERY).expect("sends");
    }
    stopping(vec![server], responder()).run();
    assert_eq!(replies(&client), WAITING);
}

/// A clock that panics when it is first read.
struct Broken(AtomicBool);

impl Clock for Broken {
    fn now(&self) -> Timestamp {
        assert!(self.0.swap(true, Ordering::Relaxed), "as told");
        Timestamp(0)
    }
}

#[test]
fn a_panic_beside_an_answer_costs_its_batch_only() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("queries.jsonl");
    let log = QueryLogConfig { file, one_in: 1, whole_addresses: true };
    let log = query_log::start(log, Arc::new(Broken(AtomicBool::new(false)))).expect("a thread");
    let ((first, at_first), (second, at_second)) = (socket(), socket());
    let clients = [client(at_first), client(at_second)];
    for client in &clients {
        client.send(QUERY).expect("sends");
    }
    stopping(vec![first, second], responder().logging(Some(log))).run();
    assert_eq!(clients.each_ref().map(replies), [0, 1]);
}

#[test]
fn a_socket_that_fails_rests_alone() {
    let nothing = File::open("/dev/null").expect("a file, which is no socket");
    let (server, address) = socket();
    let client = client(address);
    client.send(QUERY).expect("sends");
    let mut thread = stopping(vec![UdpSocket::from(OwnedFd::from(nothing)), server], responder());
    let (mut work, mut health) = (Work::new(), vec![Health::default(); 2]);
    assert!(thread.turn(&mut work, &mut health));
    assert_eq!(replies(&client), 1, "answered in the turn in which the other socket failed");
    assert_eq!([health[0].failures, health[1].failures], [1, 0]);
    assert!(health[0].rests_until.is_some() && health[1].rests_until.is_none());
}

#[tokio::test(start_paused = true)]
async fn rests_grow_to_their_bound() {
    let mut health = Health::default();
    assert!(!health.rests());
    for milliseconds in [10, 20, 40, 80, 160, 320, 640, 1000, 1000] {
        health.fail();
        advance(Duration::from_millis(milliseconds - 1)).await;
        assert!(health.rests(), "{milliseconds} ms");
        advance(Duration::from_millis(1)).await;
        assert!(!health.rests(), "{milliseconds} ms");
    }
    health.failures = u32::MAX;
    health.fail();
    assert!(health.rests());
}
