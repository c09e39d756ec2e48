//! Asks a DNS server one question, over UDP or over TCP, and takes only the answer to that question.

use std::fmt::Display;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::Message;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// The most bytes of an answer that are taken over UDP.
const MAX_ANSWER: usize = 4096;

/// Sends a query over UDP and gives the answer to it, which may be cut. Errors: what went wrong; nothing came within
/// `patience`, for one.
pub(crate) async fn exchange(
    server: SocketAddr,
    query: &Message,
    patience: Duration,
) -> Result<Message, String> {
    within(patience, query, over_udp(server, query)).await
}

/// As [`exchange`], and once more over TCP, as patiently, where the answer is cut (RFC 7766, 5).
pub(crate) async fn exchange_whole(
    server: SocketAddr,
    query: &Message,
    patience: Duration,
) -> Result<Message, String> {
    let answer = exchange(server, query, patience).await?;
    if !answer.metadata.truncation {
        return Ok(answer);
    }
    let whole = within(patience, query, over_tcp(server, query)).await;
    whole.map_err(|problem| format!("its answer is cut, and over TCP: {problem}"))
}

async fn within(
    patience: Duration,
    query: &Message,
    asking: impl Future<Output = Result<Vec<u8>, String>>,
) -> Result<Message, String> {
    let bytes = timeout(patience, asking).await;
    let bytes = bytes.map_err(|_| format!("nothing within {}s", patience.as_secs()))??;
    let answer = Message::from_vec(&bytes).map_err(text)?;
    if answer.metadata.id != query.metadata.id || answer.queries != query.queries {
        return Err("an answer to another question".to_owned());
    }
    Ok(answer)
}

async fn over_udp(server: SocketAddr, query: &Message) -> Result<Vec<u8>, String> {
    let from: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(from).await.map_err(text)?;
    socket.connect(server).await.map_err(text)?;
    socket.send(&query.to_vec().map_err(text)?).await.map_err(text)?;
    let mut answer = vec![0; MAX_ANSWER];
    let size = socket.recv(&mut answer).await.map_err(text)?;
    answer.truncate(size);
    Ok(answer)
}

async fn over_tcp(server: SocketAddr, query: &Message) -> Result<Vec<u8>, String> {
    let bytes = query.to_vec().map_err(text)?;
    let length = u16::try_from(bytes.len()).map_err(text)?;
    let mut stream = TcpStream::connect(server).await.map_err(text)?;
    stream.write_all(&[&length.to_be_bytes()[..], &bytes].concat()).await.map_err(text)?;
    let length = stream.read_u16().await.map_err(text)?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await.map_err(text)?;
    Ok(answer)
}

fn text(error: impl Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;
    use hickory_proto::rr::rdata::A;
    use hickory_proto::rr::{Name, RData, Record, RecordType};
    use tokio::net::TcpListener;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn query() -> Message {
        let mut query = Message::query();
        query.add_query(Query::query(
            Name::from_ascii("example.test.").expect("valid"),
            RecordType::A,
        ));
        query
    }

    /// What a server answers, cut or whole.
    fn answer(asked: &[u8], cut: bool) -> Vec<u8> {
        let asked = Message::from_vec(asked).expect("a query");
        let mut answer = asked.clone().into_response();
        answer.metadata.truncation = cut;
        if !cut {
            let address = RData::A(A(Ipv4Addr::new(192, 0, 2, 1)));
            answer.add_answer(Record::from_rdata(asked.queries[0].name().clone(), 5, address));
        }
        answer.to_vec().expect("encodes")
    }

    /// A server that cuts its answer over UDP, and gives it whole over TCP to as many as this.
    async fn server(over_tcp: usize) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let socket = UdpSocket::bind(address).await.expect("the same port");
        tokio::spawn(async move {
            let mut asked = [0; 512];
            loop {
                let (size, from) = socket.recv_from(&mut asked).await.expect("a query");
                socket.send_to(&answer(&asked[..size], true), from).await.expect("sends");
            }
        });
        tokio::spawn(async move {
            for _ in 0..over_tcp {
                let (mut stream, _) = listener.accept().await.expect("a client");
                let length = stream.read_u16().await.expect("a length");
                let mut asked = vec![0; usize::from(length)];
                stream.read_exact(&mut asked).await.expect("a query");
                let answer = answer(&asked, false);
                let length = u16::try_from(answer.len()).expect("short");
                stream.write_u16(length).await.expect("sends");
                stream.write_all(&answer).await.expect("sends");
            }
        });
        address
    }

    #[tokio::test]
    async fn a_cut_answer_is_asked_for_again_over_tcp() {
        let server = server(1).await;
        let cut = exchange(server, &query(), PATIENCE).await.expect("an answer");
        assert!(cut.metadata.truncation && cut.answers.is_empty());
        let whole = exchange_whole(server, &query(), PATIENCE).await.expect("an answer");
        assert!(!whole.metadata.truncation);
        assert_eq!(whole.answers.len(), 1);
        let refused = exchange_whole(server, &query(), PATIENCE).await.expect_err("nobody listens");
        assert!(refused.contains("its answer is cut, and over TCP: "), "{refused}");
    }
}
