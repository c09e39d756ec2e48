//! A look at what a parent zone says of a zone: which keys its DS records name, and for how long resolvers keep them.
//!
//! Anything but a clear answer is an error, for a mistake here takes the zone away. The TTL counts only where a server
//! of the parent tells it: a cache tells what is left of one, and a step that waited for that would come too early. When
//! a step is safe is not decided here.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::dns_client::exchange;

/// How long a server may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How often it is asked.
const ATTEMPTS: usize = 3;

/// What the parent says of a zone.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The key tags of its DS records.
    pub(super) tags: Vec<u32>,
    /// The TTL that it gives them; zero where nobody told it.
    pub(super) ttl: Duration,
}

/// Looks at the parent of a zone through a server, or the system's first resolver. Errors: why it was not seen.
pub(super) async fn look(server: Option<&str>, zone: &str) -> Result<Seen, String> {
    let server = match server {
        Some(text) => server_of(text)?,
        None => system_resolver()?,
    };
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        match ask(server, zone).await {
            Ok(found) => return Ok(found),
            Err(problem) => last = format!("{server}: {problem}"),
        }
    }
    Err(last)
}

fn server_of(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
    address.or_else(|_| text.parse()).map_err(|_| format!("{text:?} is no address of a resolver"))
}

fn system_resolver() -> Result<SocketAddr, String> {
    let text = std::fs::read_to_string("/etc/resolv.conf").map_err(|error| error.to_string())?;
    let server = text.lines().filter_map(|line| line.strip_prefix("nameserver")).next();
    server_of(server.ok_or("/etc/resolv.conf names no resolver")?.trim())
}

async fn ask(server: SocketAddr, zone: &str) -> Result<Seen, String> {
    let name = Name::from_ascii(format!("{zone}.")).map_err(|error| error.to_string())?;
    let mut query = Message::query();
    query.metadata.recursion_desired = true;
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    query.edns = Some(edns);
    query.add_query(Query::query(name, RecordType::DS));
    let answer = exchange(server, &query, ANSWER_TIMEOUT).await?;
    found_in(&answer, zone)
}

/// What an answer says; anything but a clear one is a problem, for a mistake here takes the zone away.
fn found_in(answer: &Message, zone: &str) -> Result<Seen, String> {
    if answer.metadata.truncation {
        return Err("the answer is cut".to_owned());
    }
    if answer.metadata.response_code != ResponseCode::NoError {
        return Err(format!("it answers {}", answer.metadata.response_code));
    }
    let of_zone = |soa: &Record| soa.name.to_ascii().trim_end_matches('.') == zone;
    if answer
        .authorities
        .iter()
        .any(|record| record.record_type() == RecordType::SOA && of_zone(record))
    {
        return Err("it answers for the zone itself, which holds no DS records; \
             name a resolver, or a server of the parent"
            .to_owned());
    }
    let records = answer.answers.iter().filter(|record| record.record_type() == RecordType::DS);
    let mut seen = Seen::default();
    for record in records {
        let RData::Unknown { rdata, .. } = &record.data else { continue };
        let Some(tag) = rdata.anything.first_chunk::<2>() else { continue };
        seen.tags.push(u32::from(u16::from_be_bytes(*tag)));
        if answer.metadata.authoritative {
            seen.ttl = seen.ttl.max(Duration::from_secs(record.ttl.into()));
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::rdata::{NULL, SOA};

    /// An answer of a server of the parent.
    fn answer(code: ResponseCode, tags: &[u16]) -> Message {
        let mut answer = Message::query().into_response();
        answer.metadata.response_code = code;
        answer.metadata.authoritative = true;
        for tag in tags {
            let rdata = NULL::with([&tag.to_be_bytes()[..], &[13, 2], &[7; 32]].concat());
            let data = RData::Unknown { code: RecordType::DS, rdata };
            let name = Name::from_ascii("example.test.").expect("valid");
            answer.add_answer(Record::from_rdata(name, 300, data));
        }
        answer
    }

    fn seen(tags: &[u32], seconds: u64) -> Result<Seen, String> {
        Ok(Seen { tags: tags.to_vec(), ttl: Duration::from_secs(seconds) })
    }

    #[test]
    fn only_a_clear_answer_of_the_parent_counts() {
        let read = |message: &Message| {
            let bytes = message.to_vec().expect("encodes");
            found_in(&Message::from_vec(&bytes).expect("decodes"), "example.test")
        };
        assert_eq!(read(&answer(ResponseCode::NoError, &[7, 60_000])), seen(&[7, 60_000], 300));
        let mut cached = answer(ResponseCode::NoError, &[7]);
        cached.metadata.authoritative = false;
        assert_eq!(read(&cached), seen(&[7], 0), "what is left of a TTL is no TTL");
        assert_eq!(read(&answer(ResponseCode::NoError, &[])), seen(&[], 0));
        for code in [ResponseCode::ServFail, ResponseCode::NXDomain, ResponseCode::Refused] {
            assert!(read(&answer(code, &[])).is_err(), "{code}");
        }
        let negative = |owner: &str| {
            let mut answer = answer(ResponseCode::NoError, &[]);
            let name = Name::from_ascii(owner).expect("valid");
            let soa = SOA::new(name.clone(), name.clone(), 1, 1, 1, 1, 1);
            answer.add_authority(Record::from_rdata(name, 5, RData::SOA(soa)));
            read(&answer)
        };
        assert_eq!(negative("test."), seen(&[], 0));
        assert!(negative("example.test.").is_err(), "the zone's own server");
    }
}
