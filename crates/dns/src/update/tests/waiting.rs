//! What waits for the group: bounded, and in nobody's way.

use std::net::{SocketAddr, UdpSocket};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::update::agreement::MAX_UNDER_WAY;
use crate::{DnsConfig, DnsServer};

#[test]
fn without_a_group_or_a_place_an_update_is_told_to_come_again() {
    let gate = Arc::new(Notify::new());
    let stage = Stage::new(Some(gate));
    let wait = |_| match stage.special(&signed(add(1)), Transport::Tcp) {
        Special::Later(messages) => messages,
        other => panic!("{other:?}"),
    };
    let mut waiting: Vec<_> = (0..MAX_UNDER_WAY).map(wait).collect();
    assert_eq!(stage.ask(&signed(add(2)), Transport::Tcp), (ResponseCode::ServFail, true));
    waiting.pop();
    assert!(matches!(stage.special(&signed(add(2)), Transport::Tcp), Special::Later(_)));
    stage.transfers.lead_updates(None);
    drop(waiting);
    assert_eq!(stage.ask(&signed(add(2)), Transport::Tcp), (ResponseCode::ServFail, true));
}

/// A group that goes on with what it was given, and decides nothing.
#[derive(Default)]
struct Undecided(Mutex<Vec<UpdatePlace>>);

impl Agreement for Arc<Undecided> {
    fn decide(
        &self,
        _: ZoneUpdate,
        _: RequestId,
        place: UpdatePlace,
    ) -> BoxFuture<'static, Decided> {
        self.0.lock().expect("not poisoned").push(place);
        Box::pin(std::future::pending())
    }
}

#[test]
fn a_client_that_hangs_up_leaves_its_place_to_its_update() {
    let (stage, group) = (Stage::new(None), Arc::new(Undecided::default()));
    stage.transfers.lead_updates(Some(Box::new(Arc::clone(&group))));
    let hang_up = || match stage.special(&signed(add(1)), Transport::Tcp) {
        Special::Later(messages) => drop(messages),
        other => panic!("{other:?}"),
    };
    (0..MAX_UNDER_WAY).for_each(|_| hang_up());
    assert_eq!(stage.ask(&signed(add(2)), Transport::Tcp), (ResponseCode::ServFail, true));
    group.0.lock().expect("not poisoned").pop();
    hang_up();
    assert_eq!(stage.ask(&signed(add(2)), Transport::Tcp), (ResponseCode::ServFail, true));
}

/// Asks a server at a socket of its own; a reply comes from where it was asked, or not at all.
fn send(server: SocketAddr, wire: &[u8]) -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    client.connect(server).expect("connects");
    client.set_read_timeout(Some(Duration::from_secs(10))).expect("possible");
    client.send(wire).expect("sends");
    client
}

fn reply(client: &UdpSocket) -> Vec<u8> {
    let mut reply = vec![0; 512];
    let length = client.recv(&mut reply).expect("a reply");
    reply.truncate(length);
    reply
}

async fn one_waits_and_others_do_not(threads: usize) {
    let gate = Arc::new(Notify::new());
    let stage = Stage::new(Some(Arc::clone(&gate)));
    let config = DnsConfig {
        listen: vec!["127.0.0.1:0".parse().expect("an address")],
        threads,
        streams: Some(Arc::clone(&stage.transfers) as _),
        ..DnsConfig::default()
    };
    let shutdown = CancellationToken::new();
    let started = DnsServer::start(config, stage.source.clone(), Arc::new(Still), shutdown.clone());
    let server = started.await.expect("starts");
    let address = server.local_addrs()[0];
    let asked = tokio::task::spawn_blocking(move || {
        let waiting = send(address, &signed(add(1)));
        let question = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x07example\x04test\0\0\x06\0\x01";
        for _ in 0..10 {
            assert_eq!(reply(&send(address, question))[..2], question[..2]);
        }
        waiting.set_nonblocking(true).expect("possible");
        assert!(waiting.recv(&mut [0; 512]).is_err(), "it waits");
        waiting.set_nonblocking(false).expect("possible");
        waiting
    });
    let waiting = asked.await.expect("no panic");
    gate.notify_one();
    let told = tokio::task::spawn_blocking(move || reply(&waiting)).await.expect("no panic");
    assert_eq!((told[2], told[3] & 0x0f), (0x80 | 5 << 3, 0));
    assert_eq!(stage.texts_at(WWW), ["192.0.2.1"]);
    shutdown.cancel();
    server.stopped().await;
}

#[tokio::test]
async fn a_datagram_is_answered_later_from_its_socket_while_others_are_answered() {
    for threads in [0, 2] {
        one_waits_and_others_do_not(threads).await;
    }
}
