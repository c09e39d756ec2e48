//! A DNS query over UDP, repeated over TCP when the answer is truncated.
//!
//! Only an answer to our question with our id counts; anything else that arrives is ignored and waited past, as a
//! resolver would.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr as _;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use holdfast_core::sample::{Abstention, FailureKind, Phase};
use holdfast_core::spec::{DnsCheck, Endpoint};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;

use crate::connect::{self, broken};
use crate::prober::Course;
use crate::trace::{Step, Stop, Trace, failed};

/// The EDNS payload size that passes everywhere without fragments (DNS flag day 2020).
const PAYLOAD: u16 = 1232;
/// The largest datagram that is taken.
const MAX_DATAGRAM: usize = 4096;

pub(crate) async fn probe(course: &mut Course<'_>, endpoint: &Endpoint, check: &DnsCheck) -> Step {
    let Course { net, trace } = course;
    let Some(question) = Question::of(check) else {
        trace.note(|| "dns: the name, record_type or expect_rcode does not parse".into());
        return Err(Stop::Abstain(Abstention::Invalid));
    };
    let port = check.port.unwrap_or(endpoint.port);
    let addresses = connect::resolve(trace, &net.policy, &endpoint.address, port).await?;
    let mut answer = over_udp(trace, addresses[0], &question).await?;
    if answer.metadata.truncation {
        trace.note(|| "the answer is truncated; asking over TCP".into());
        answer = over_tcp(trace, &addresses[..1], &question).await?;
    }
    trace.enter(Phase::Assert);
    judge(trace, &question, check, &answer)
}

/// What is asked, and the response code that is expected.
struct Question {
    id: u16,
    query: Query,
    rcode: u16,
}

impl Question {
    fn of(check: &DnsCheck) -> Option<Self> {
        let name = Name::from_ascii(format!("{}.", check.name)).ok()?;
        let kind = RecordType::from_str(&check.record_type.to_ascii_uppercase()).ok()?;
        let rcode = rcode(&check.expect_rcode)?;
        Some(Self { id: rand::random(), query: Query::query(name, kind), rcode })
    }

    fn encode(&self) -> Step<Vec<u8>> {
        let mut message = Message::new(self.id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(self.query.clone());
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD);
        message.set_edns(edns);
        message.to_vec().map_err(|_| Stop::Abstain(Abstention::Invalid))
    }

    /// Whether `message` answers this question.
    fn is_answered_by(&self, message: &Message) -> bool {
        message.metadata.id == self.id
            && message.metadata.message_type == MessageType::Response
            // FORMERR and the like may come without the question.
            && message.queries.first().is_none_or(|query| *query == self.query)
    }
}

/// The number of a response code by its name in RFC 6895, or by its number.
fn rcode(text: &str) -> Option<u16> {
    const NAMES: [(&str, ResponseCode); 11] = [
        ("NOERROR", ResponseCode::NoError),
        ("FORMERR", ResponseCode::FormErr),
        ("SERVFAIL", ResponseCode::ServFail),
        ("NXDOMAIN", ResponseCode::NXDomain),
        ("NOTIMP", ResponseCode::NotImp),
        ("REFUSED", ResponseCode::Refused),
        ("YXDOMAIN", ResponseCode::YXDomain),
        ("YXRRSET", ResponseCode::YXRRSet),
        ("NXRRSET", ResponseCode::NXRRSet),
        ("NOTAUTH", ResponseCode::NotAuth),
        ("NOTZONE", ResponseCode::NotZone),
    ];
    if text.is_empty() {
        return Some(0);
    }
    let named = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    named.map(|(_, code)| u16::from(*code)).or_else(|| text.parse().ok())
}

async fn over_udp(trace: &mut Trace, server: SocketAddr, question: &Question) -> Step<Message> {
    trace.enter(Phase::Connect);
    trace.address = Some(server);
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let at = |phase| move |error: std::io::Error| broken(phase, &error);
    let socket = UdpSocket::bind((any, 0)).await.map_err(at(Phase::Connect))?;
    // Connected, so that only the server's datagrams and its port's ICMP errors arrive.
    socket.connect(server).await.map_err(at(Phase::Connect))?;
    trace.enter(Phase::Send);
    socket.send(&question.encode()?).await.map_err(at(Phase::Send))?;
    trace.enter(Phase::FirstByte);
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(at(Phase::FirstByte))?;
        match Message::from_vec(&buffer[..length]) {
            Ok(message) if question.is_answered_by(&message) => return Ok(message),
            Ok(_) => trace.note(|| "ignored a datagram that answers another question".into()),
            Err(error) => {
                trace.note(|| format!("ignored a datagram that does not parse: {error}"));
                trace.wait_for("only datagrams that are no DNS answers came");
            }
        }
    }
}

async fn over_tcp(trace: &mut Trace, server: &[SocketAddr], question: &Question) -> Step<Message> {
    let at = |phase| move |error: std::io::Error| broken(phase, &error);
    let mut stream = connect::tcp(trace, server).await?;
    trace.enter(Phase::Send);
    let query = question.encode()?;
    let length = u16::try_from(query.len()).expect("a query is shorter than 512 bytes");
    let framed = [&length.to_be_bytes()[..], &query].concat();
    stream.write_all(&framed).await.map_err(at(Phase::Send))?;
    trace.enter(Phase::FirstByte);
    let length = stream.read_u16().await.map_err(at(Phase::FirstByte))?;
    trace.enter(Phase::Body);
    let mut body = vec![0; usize::from(length)];
    stream.read_exact(&mut body).await.map_err(at(Phase::Body))?;
    let wrong = |why: String| failed(Phase::Body, FailureKind::Protocol, why);
    let message = Message::from_vec(&body).map_err(|error| wrong(error.to_string()))?;
    if question.is_answered_by(&message) {
        Ok(message)
    } else {
        Err(wrong("the answer is to another question".into()))
    }
}

fn judge(trace: &mut Trace, question: &Question, check: &DnsCheck, answer: &Message) -> Step {
    let code = answer.metadata.response_code;
    if u16::from(code) != question.rcode {
        let detail = format!("response code {code:?}, expected {}", check.expect_rcode);
        return Err(failed(Phase::Assert, FailureKind::Status, detail));
    }
    trace.note(|| format!("response code {code:?}"));
    let found: Vec<String> =
        answer.answers.iter().map(|record| normal(&record.data.to_string())).collect();
    for wanted in &check.expect_data {
        if !found.contains(&normal(wanted)) {
            let detail = format!("{wanted} is not among the answers: {}", found.join(", "));
            return Err(failed(Phase::Assert, FailureKind::Content, detail));
        }
        trace.note(|| format!("the answers hold {wanted}"));
    }
    Ok(())
}

/// Record data in one spelling: lower case, no quotes, no final dots, addresses in their shortest form.
fn normal(data: &str) -> String {
    let word = |word: &str| {
        let word = word.trim_matches('"').trim_end_matches('.').to_ascii_lowercase();
        word.parse::<IpAddr>().map_or(word, |ip| ip.to_string())
    };
    data.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_codes_have_names() {
        for (text, want) in [
            ("NOERROR", Some(0)),
            ("nxdomain", Some(3)),
            ("REFUSED", Some(5)),
            ("", Some(0)),
            ("16", Some(16)),
            ("NOPE", None),
        ] {
            assert_eq!(rcode(text), want, "{text:?}");
        }
    }

    #[test]
    fn data_has_one_spelling() {
        for (a, b) in [
            ("192.0.2.1", "192.0.2.1"),
            ("2001:DB8:0:0::1", "2001:db8::1"),
            ("10 Mail.Example.TEST.", "10  mail.example.test"),
            ("\"v=1\"", "v=1"),
        ] {
            assert_eq!(normal(a), normal(b));
        }
    }
}
