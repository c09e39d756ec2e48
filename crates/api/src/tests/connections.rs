//! Connections over real sockets: how many there may be, and for how long one may say nothing.

use std::time::Duration;

use holdfast_wire::ca::Role;
use holdfast_wire::pb::v1 as pb;
use holdfast_wire::pb::v1::registry_service_client::RegistryServiceClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

use super::fixture::Node;
use super::trust::{authority, material};
use crate::connections::SILENCE;
use crate::{ApiConfig, ConnectionLimits};

/// What every HTTP/2 connection begins with: the preface, and empty settings.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

async fn node_for(total: usize, per_address: usize) -> Node {
    let connections = ConnectionLimits { total, local: 0, per_address };
    Node::start_with(ApiConfig { connections, ..ApiConfig::default() }).await
}

/// Connects from a loopback address, greets, and says whether the node greets back.
async fn enter(node: &Node, from: &str) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(format!("{from}:0").parse().expect("an address")).expect("loopback is ours");
    let to = format!("127.0.0.1:{}", node.port).parse().expect("an address");
    let mut stream = socket.connect(to).await.expect("the node listens");
    // What was closed already may refuse the bytes; reading then says the same.
    drop(stream.write_all(GREETING).await);
    let mut answer = [0; 9];
    stream.read_exact(&mut answer).await.ok().map(|_| stream)
}

/// Enters, as soon as there is room.
async fn enter_in_the_end(node: &Node, from: &str) -> TcpStream {
    let entered = async {
        loop {
            if let Some(stream) = enter(node, from).await {
                return stream;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), entered).await.expect("a place is given back")
}

#[tokio::test]
async fn one_address_does_not_take_all_places() {
    let node = node_for(3, 2).await;
    let first = enter(&node, "127.0.0.1").await.expect("there is room");
    let second = enter(&node, "127.0.0.1").await.expect("there is room");
    assert!(enter(&node, "127.0.0.1").await.is_none(), "the address has its share");
    let other = enter(&node, "127.0.0.2").await.expect("another address has room");
    assert!(enter(&node, "127.0.0.3").await.is_none(), "all places are taken");
    drop(first);
    let third = enter_in_the_end(&node, "127.0.0.3").await;
    drop((second, other, third));
}

#[tokio::test]
async fn those_inside_go_on_while_others_find_no_room() {
    let node = node_for(1, 1).await;
    let mut client = RegistryServiceClient::new(node.channel().await);
    client.list_zones(pb::ListZonesRequest::default()).await.expect("it is inside");
    assert!(enter(&node, "127.0.0.1").await.is_none(), "there is no room");
    client.list_zones(pb::ListZonesRequest::default()).await.expect("it is inside");
}

/// How long the node keeps a connection that greets, or not, and is silent then.
async fn patience(node: &Node, greeting: &[u8]) -> Duration {
    let mut stream = TcpStream::connect(("127.0.0.1", node.port)).await.expect("the node listens");
    let begun = Instant::now();
    stream.write_all(greeting).await.expect("the node listens");
    let mut heard = Vec::new();
    // Closed or reset: it is over.
    drop(stream.read_to_end(&mut heard).await);
    begun.elapsed()
}

/// The clock is virtual: it leaps when nothing else is to be done, so that the waits take no time and are exact.
#[tokio::test(start_paused = true)]
async fn who_says_nothing_loses_the_place() {
    let check = async |what: &str, node: &Node, greeting: &[u8], expected: Duration| {
        let kept = patience(node, greeting).await;
        let excess = kept.checked_sub(expected);
        assert!(
            excess.is_some_and(|excess| excess < Duration::from_millis(50)),
            "{what}: {kept:?}"
        );
    };
    let short = Duration::from_secs(5);
    let plain = node_for(1, 1).await;
    check("no greeting", &plain, b"", short).await;
    check("half a greeting", &plain, &GREETING[..10], SILENCE).await;

    let authority = authority("demo");
    let tls = Some(material(&authority, Role::Agent, "eu-1").server());
    let secured = Node::start_with(ApiConfig { tls, ..ApiConfig::default() }).await;
    check("no handshake", &secured, b"", short).await;
    // A record of TLS 1.2 that announces 512 bytes and brings none.
    check("half a handshake", &secured, &[22, 3, 1, 2, 0], short).await;
}
