//! Asks a DNS server one question over UDP, and takes only the answer to that question.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::Message;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// The most bytes of an answer that are taken.
const MAX_ANSWER: usize = 4096;

/// Sends a query and gives the answer to it. Errors: what went wrong; nothing came within `patience`, for one.
pub(crate) async fn exchange(
    server: SocketAddr,
    query: &Message,
    patience: Duration,
) -> Result<Message, String> {
    let from: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let bytes = query.to_vec().map_err(|error| text(&error))?;
    let socket = UdpSocket::bind(from).await.map_err(|error| text(&error))?;
    socket.connect(server).await.map_err(|error| text(&error))?;
    socket.send(&bytes).await.map_err(|error| text(&error))?;
    let mut buffer = vec![0; MAX_ANSWER];
    let size = timeout(patience, socket.recv(&mut buffer))
        .await
        .map_err(|_| format!("nothing within {}s", patience.as_secs()))?
        .map_err(|error| text(&error))?;
    let answer = Message::from_vec(&buffer[..size]).map_err(|error| text(&error))?;
    if answer.metadata.id != query.metadata.id || answer.queries != query.queries {
        return Err("an answer to another question".to_owned());
    }
    Ok(answer)
}
