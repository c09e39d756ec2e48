//! Asks a DNS server what it says about a name, once, over UDP and then over TCP where the answer is cut.
//!
//! It reports what was said and judges nothing. Only an answer to our question with our id counts; whatever else
//! arrives is waited past. A question is repeated once, because UDP loses packets, and has one deadline for all.
//!
//! What it deliberately does not do: follow aliases or referrals, cache, or choose a server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use holdfast_core::DnsName;
use holdfast_core::propagation::{Asked, Delegation, Seen};
use holdfast_core::signing::{Ds, ds};
use holdfast_core::spec::Kind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

/// The EDNS payload size that passes everywhere without fragments (DNS flag day 2020).
const PAYLOAD: u16 = 1232;
/// The largest datagram that is taken.
const MAX_DATAGRAM: usize = 4096;
/// How long one attempt over UDP may take.
const ATTEMPT: Duration = Duration::from_millis(800);
/// Attempts over UDP.
const ATTEMPTS: usize = 2;
/// How long a question may take in all.
const LIMIT: Duration = Duration::from_secs(3);
/// DS records of a zone that are looked at; a server that tells more says nothing.
const MAX_DS: usize = 64;
/// Name servers of the parent zone that are taken note of.
const MAX_SERVERS: usize = 16;

/// The EDNS option of extended errors (RFC 8914).
const EXTENDED_ERROR: u16 = 15;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// None came in time.
    #[error("no answer in time")]
    Silent,
    /// The network says no.
    #[error("{0}")]
    Network(#[from] std::io::Error),
    /// What came is no DNS answer to the question.
    #[error("the answer does not parse: {0}")]
    Broken(String),
    /// What came tells neither what there is nor that there is nothing.
    #[error("it answers with response code {0}")]
    Failed(u16),
    /// It neither refers to servers of the zone nor knows that there are none.
    #[error("it says nothing of {0}")]
    Unrelated(DnsName),
}

/// Asks `server` for a name. A resolver is asked to resolve, a name server only for what it has.
pub async fn look_up(
    server: SocketAddr,
    (name, asked): (&DnsName, Asked),
    resolve: bool,
) -> Result<Seen, LookupError> {
    let kind = match asked {
        Asked::A => RecordType::A,
        Asked::Aaaa => RecordType::AAAA,
        Asked::Cname => RecordType::CNAME,
    };
    let answer = exchange(server, name, kind, resolve).await?;
    let data = answer.answers.iter().filter_map(|record| text_of(&record.data)).collect();
    Ok(Seen {
        code: answer.metadata.response_code.into(),
        extended_error: extended_error(&answer),
        authoritative: answer.metadata.authoritative,
        data,
        ttl: answer.answers.iter().map(|record| record.ttl).min(),
        serial: None,
    })
}

/// The info code of the first extended error of an answer (RFC 8914, 2).
fn extended_error(answer: &Message) -> Option<u16> {
    let edns = answer.edns.as_ref()?;
    match edns.option(EdnsCode::Unknown(EXTENDED_ERROR))? {
        EdnsOption::Unknown(_, data) => data.first_chunk().map(|code| u16::from_be_bytes(*code)),
        _ => None,
    }
}

/// Asks a name server for a zone's serial; `None` where it tells none.
pub async fn serial_of(server: SocketAddr, zone: &DnsName) -> Result<Option<u32>, LookupError> {
    let answer = exchange(server, zone, RecordType::SOA, false).await?;
    Ok(answer.answers.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(soa.serial),
        _ => None,
    }))
}

/// The addresses that a resolver tells for a name, of both families at once.
pub async fn addresses_of(resolver: SocketAddr, name: &DnsName) -> Vec<IpAddr> {
    let (v4, v6) = tokio::join!(
        exchange(resolver, name, RecordType::A, true),
        exchange(resolver, name, RecordType::AAAA, true)
    );
    let records = [v4, v6].into_iter().flatten().flat_map(|answer| answer.answers);
    records.filter_map(|record| record.data.ip_addr()).take(MAX_SERVERS).collect()
}

/// The name servers that a resolver tells for a zone; none where it is no zone. Errors: it does not tell.
pub async fn servers_of(resolver: SocketAddr, zone: &DnsName) -> Result<Vec<DnsName>, LookupError> {
    let answer = told(exchange(resolver, zone, RecordType::NS, true).await?)?;
    Ok(name_servers(answer.answers.iter(), zone))
}

/// Asks a server of the parent zone whom it refers to for a zone, and by which DS records. Errors: it does not tell the
/// former.
pub async fn delegation(parent: SocketAddr, zone: &DnsName) -> Result<Delegation, LookupError> {
    let answer = told(exchange(parent, zone, RecordType::NS, false).await?)?;
    let servers = referred(&answer, zone)?;
    let glue = answer
        .additionals
        .iter()
        .filter_map(|record| Some((dns_name(&record.name)?, record.data.ip_addr()?)));
    let glue = glue.take(4 * MAX_SERVERS).collect();
    let ds = exchange(parent, zone, RecordType::DS, false).await.ok();
    let ds = ds.and_then(|answer| ds_in(&answer, zone));
    Ok(Delegation { parent, servers, glue, ds })
}

/// The name servers that a server of the parent refers to. Errors: it neither refers to any nor knows of none, such as
/// one that is not of the parent and refers upwards.
fn referred(answer: &Message, zone: &DnsName) -> Result<Vec<DnsName>, LookupError> {
    let servers = name_servers(answer.authorities.iter().chain(&answer.answers), zone);
    if servers.is_empty() && !answer.metadata.authoritative {
        return Err(LookupError::Unrelated(zone.clone()));
    }
    Ok(servers)
}

/// The answer, where it tells what there is or that there is nothing.
fn told(answer: Message) -> Result<Message, LookupError> {
    match answer.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(answer),
        code => Err(LookupError::Failed(code.into())),
    }
}

/// The DS records that a server of the parent tells; `None` where it says nothing of them.
fn ds_in(answer: &Message, zone: &DnsName) -> Option<Vec<Ds>> {
    let mut said = ds::answer::Answer::about(zone);
    said.no_error = answer.metadata.response_code == ResponseCode::NoError;
    said.cut = answer.metadata.truncation;
    said.authoritative = answer.metadata.authoritative;
    let kind_of = |record: &Record| Kind(record.record_type().into());
    for record in &answer.answers {
        let data = match &record.data {
            RData::Unknown { rdata, .. } => &rdata.anything[..],
            _ => &[],
        };
        said.note_answer(&record.name.to_ascii(), (kind_of(record), record.ttl), data);
    }
    for record in &answer.authorities {
        said.note_authority(&record.name.to_ascii(), kind_of(record));
    }
    said.told().ok().map(|told| told.records).filter(|records| records.len() <= MAX_DS)
}

fn name_servers<'a>(records: impl Iterator<Item = &'a Record>, zone: &DnsName) -> Vec<DnsName> {
    let of_zone = records.filter(|record| dns_name(&record.name).as_ref() == Some(zone));
    let names = of_zone.filter_map(|record| match &record.data {
        RData::NS(server) => dns_name(&server.0),
        _ => None,
    });
    names.take(MAX_SERVERS).collect()
}

fn dns_name(name: &Name) -> Option<DnsName> {
    DnsName::new(name.to_ascii().trim_end_matches('.')).ok()
}

fn text_of(data: &RData) -> Option<String> {
    match data {
        RData::A(ip) => Some(ip.0.to_string()),
        RData::AAAA(ip) => Some(ip.0.to_string()),
        RData::CNAME(name) => Some(name.0.to_ascii().trim_end_matches('.').to_ascii_lowercase()),
        _ => None,
    }
}

async fn exchange(
    server: SocketAddr,
    name: &DnsName,
    kind: RecordType,
    resolve: bool,
) -> Result<Message, LookupError> {
    let name = Name::from_ascii(format!("{name}."))
        .map_err(|error| LookupError::Broken(error.to_string()))?;
    let mut question = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    question.metadata.recursion_desired = resolve;
    question.add_query(Query::query(name, kind));
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD);
    question.set_edns(edns);
    let bytes = question.to_vec().map_err(|error| LookupError::Broken(error.to_string()))?;
    let asking = async {
        let answer = over_udp(server, &question, &bytes).await?;
        if answer.metadata.truncation {
            over_tcp(server, &question, &bytes).await
        } else {
            Ok(answer)
        }
    };
    tokio::time::timeout(LIMIT, asking).await.unwrap_or(Err(LookupError::Silent))
}

fn answers(question: &Message, answer: &Message) -> bool {
    answer.metadata.id == question.metadata.id
        && answer.metadata.message_type == MessageType::Response
        && answer.queries.first().is_none_or(|query| question.queries.first() == Some(query))
}

async fn over_udp(
    server: SocketAddr,
    question: &Message,
    bytes: &[u8],
) -> Result<Message, LookupError> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Connected, so that only the server's datagrams and its port's ICMP errors arrive.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    for _ in 0..ATTEMPTS {
        socket.send(bytes).await?;
        let heard = tokio::time::timeout(ATTEMPT, hear(&socket, question)).await;
        if let Ok(answer) = heard {
            return answer;
        }
    }
    Err(LookupError::Silent)
}

async fn hear(socket: &UdpSocket, question: &Message) -> Result<Message, LookupError> {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Ok(answer) = Message::from_vec(&buffer[..length])
            && answers(question, &answer)
        {
            return Ok(answer);
        }
    }
}

async fn over_tcp(
    server: SocketAddr,
    question: &Message,
    bytes: &[u8],
) -> Result<Message, LookupError> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).expect("a query is shorter than 512 bytes");
    stream.write_all(&[&length.to_be_bytes()[..], bytes].concat()).await?;
    let length = stream.read_u16().await?;
    let mut body = vec![0; usize::from(length)];
    stream.read_exact(&mut body).await?;
    let answer =
        Message::from_vec(&body).map_err(|error| LookupError::Broken(error.to_string()))?;
    if answers(question, &answer) {
        Ok(answer)
    } else {
        Err(LookupError::Broken("it is to another question".into()))
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::rdata::{NULL, SOA};

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).expect("a name")
    }

    fn zone() -> DnsName {
        DnsName::new("example.test").expect("a name")
    }

    fn of_parent() -> Message {
        let mut answer = Message::query().into_response();
        answer.metadata.authoritative = true;
        answer
    }

    fn with(mut answer: Message, records: Vec<Record>) -> Message {
        answer.add_answers(records);
        answer
    }

    fn ds(owner: &str, data: &[u8]) -> Record {
        let rdata = NULL::with(data.to_vec());
        Record::from_rdata(name(owner), 300, RData::Unknown { code: RecordType::DS, rdata })
    }

    #[test]
    fn only_what_is_said_of_the_zone_is_a_referral() {
        let ns = |owner: &str, server: &str| {
            let server = hickory_proto::rr::rdata::NS(name(server));
            Record::from_rdata(name(owner), 300, RData::NS(server))
        };
        let mut referral = Message::query().into_response();
        referral.add_authority(ns("EXAMPLE.test.", "ns1.example.test."));
        let server = DnsName::new("ns1.example.test").expect("a name");
        assert_eq!(referred(&referral, &zone()).ok(), Some(vec![server]));
        assert_eq!(referred(&negative("test."), &zone()).ok(), Some(Vec::new()), "not delegated");
        let mut upwards = Message::query().into_response();
        upwards.add_authority(ns(".", "a.root-servers.test."));
        assert!(referred(&upwards, &zone()).is_err());
    }

    #[test]
    fn more_ds_records_than_a_zone_can_have_are_none() {
        let many = |count: u16| {
            let data = |tag: u16| [&tag.to_be_bytes()[..], &[13, 2, 1, 2]].concat();
            with(of_parent(), (0..count).map(|tag| ds("example.test.", &data(tag))).collect())
        };
        assert_eq!(told(&many(64)).map(|records| records.len()), Some(64));
        assert_eq!(told(&many(65)), None);
    }

    fn negative(apex: &str) -> Message {
        let mut answer = of_parent();
        let soa = SOA::new(name(apex), name(apex), 1, 1, 1, 1, 1);
        answer.add_authority(Record::from_rdata(name(apex), 5, RData::SOA(soa)));
        answer
    }

    fn told(answer: &Message) -> Option<Vec<Ds>> {
        let bytes = answer.to_vec().expect("encodes");
        ds_in(&Message::from_vec(&bytes).expect("decodes"), &zone())
    }

    #[test]
    fn ds_records_are_taken_from_a_server_of_the_parent_alone() {
        let data = [0, 7, 13, 2, 1, 2];
        let right = ds("EXAMPLE.test.", &data);
        let read = Ds::from_data(&data).expect("a record");
        assert_eq!(told(&with(of_parent(), vec![right.clone()])), Some(vec![read]));
        assert_eq!(told(&negative("test.")), Some(Vec::new()));

        let mut cached = with(of_parent(), vec![right.clone()]);
        cached.metadata.authoritative = false;
        cached.metadata.recursion_available = true;
        let mut failed = negative("test.");
        failed.metadata.response_code = ResponseCode::ServFail;
        let mut cut = with(of_parent(), vec![right.clone()]);
        cut.metadata.truncation = true;
        for (what, unclear) in [
            ("a cache", cached),
            ("a failure", failed),
            ("a part", cut),
            ("the zone itself", negative("example.test.")),
            ("another name", with(of_parent(), vec![ds("other.test.", &data)])),
            ("no digest", with(of_parent(), vec![right, ds("example.test.", &data[..4])])),
        ] {
            assert_eq!(told(&unclear), None, "{what}");
        }
    }

    #[test]
    fn an_answer_that_tells_nothing_is_not_one_that_there_is_nothing() {
        let told = |code| {
            let mut answer = of_parent();
            answer.metadata.response_code = code;
            super::told(answer).map(|_| ()).map_err(|error| error.to_string())
        };
        for code in [ResponseCode::NoError, ResponseCode::NXDomain] {
            assert_eq!(told(code), Ok(()), "{code}");
        }
        for (code, number) in [(ResponseCode::ServFail, 2), (ResponseCode::Refused, 5)] {
            assert_eq!(told(code), Err(format!("it answers with response code {number}")));
        }
    }

    #[test]
    fn an_extended_error_is_read_and_a_cut_one_is_none() {
        let code = |option: Option<&[u8]>| {
            let mut answer = of_parent();
            let mut edns = Edns::new();
            if let Some(data) = option {
                edns.options_mut().insert(EdnsOption::Unknown(EXTENDED_ERROR, data.to_vec()));
            }
            answer.set_edns(edns);
            let bytes = answer.to_vec().expect("encodes");
            extended_error(&Message::from_vec(&bytes).expect("decodes"))
        };
        assert_eq!(code(Some(&[0, 6])), Some(6));
        assert_eq!(code(Some(b"\0\x09why")), Some(9));
        assert_eq!((code(Some(&[6])), code(None)), (None, None));
        assert_eq!(extended_error(&of_parent()), None, "no EDNS");
    }
}
