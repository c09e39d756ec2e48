//! A look at what a parent zone says of a zone: its DS records, and for how long resolvers keep them.
//!
//! Asked over UDP, and over TCP where the answer is cut. What an answer says, and whether it says anything, is decided by
//! [`holdfast_core::signing::ds::answer`]; anything but a clear answer is an error. Which keys the records name, and when
//! a step is safe, is not decided here.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use holdfast_core::DnsName;
use holdfast_core::signing::Ds;
use holdfast_core::signing::ds::answer::{Answer, Unclear};
use holdfast_core::spec::Kind;
use holdfast_wire::Convert as _;
use holdfast_wire::pb::v1 as pb;

use crate::dns_client::exchange_whole;

/// How long a server may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How often it is asked.
const ATTEMPTS: usize = 3;

/// What the parent says of a zone.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Seen {
    /// Its DS records.
    pub(super) records: Vec<pb::Ds>,
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
    let answer = exchange_whole(server, &query, ANSWER_TIMEOUT).await?;
    let zone = DnsName::new(zone).map_err(|error| error.to_string())?;
    found_in(&answer, &zone)
}

/// What an answer says.
fn found_in(answer: &Message, zone: &DnsName) -> Result<Seen, String> {
    let metadata = &answer.metadata;
    let mut said = Answer::about(zone);
    said.no_error = metadata.response_code == ResponseCode::NoError;
    said.cut = metadata.truncation;
    said.authoritative = metadata.authoritative;
    said.resolved = metadata.recursion_available;
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
    let told = said.told().map_err(|unclear| match unclear {
        Unclear::Failed => format!("it answers {}", metadata.response_code),
        unclear => format!("{unclear}; name a resolver, or a server of the parent"),
    })?;
    let records = told.records.iter().map(Ds::to_proto).collect();
    Ok(Seen { records, ttl: told.ttl.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::rdata::{CNAME, NULL, SOA};

    fn name(text: &str) -> Name {
        Name::from_ascii(text).expect("valid")
    }

    /// An empty answer of a server of the parent, without a word on why it is empty.
    fn empty() -> Message {
        let mut answer = Message::query().into_response();
        answer.metadata.authoritative = true;
        answer
    }

    fn ds(owner: &str, data: &[u8]) -> Record {
        let data = RData::Unknown { code: RecordType::DS, rdata: NULL::with(data.to_vec()) };
        Record::from_rdata(name(owner), 300, data)
    }

    /// An answer of a server of the parent, whose DS records have these tags.
    fn naming(tags: &[u16]) -> Message {
        let mut answer = empty();
        for tag in tags {
            let data = [&tag.to_be_bytes()[..], &[13, 2], &[7; 32]].concat();
            answer.add_answer(ds("example.test.", &data));
        }
        answer
    }

    /// An answer without DS records, of the zone with this apex.
    fn negative(apex: &str) -> Message {
        let mut answer = empty();
        let soa = SOA::new(name(apex), name(apex), 1, 1, 1, 1, 1);
        answer.add_authority(Record::from_rdata(name(apex), 5, RData::SOA(soa)));
        answer
    }

    fn read(message: &Message) -> Result<Seen, String> {
        let bytes = message.to_vec().expect("encodes");
        let zone = DnsName::new("example.test").expect("a name");
        found_in(&Message::from_vec(&bytes).expect("decodes"), &zone)
    }

    fn of_resolver(mut answer: Message) -> Message {
        answer.metadata.authoritative = false;
        answer.metadata.recursion_available = true;
        answer
    }

    fn seen(tags: &[u32], seconds: u64) -> Result<Seen, String> {
        let ds = |tag: &u32| pb::Ds {
            key_tag: *tag,
            algorithm: 13,
            digest_type: 2,
            digest: vec![7; 32],
        };
        Ok(Seen { records: tags.iter().map(ds).collect(), ttl: Duration::from_secs(seconds) })
    }

    #[test]
    fn the_records_are_told_by_anyone_and_the_ttl_by_the_parent() {
        assert_eq!(read(&naming(&[7, 60_000])), seen(&[7, 60_000], 300));
        let cached = of_resolver(naming(&[7]));
        assert_eq!(read(&cached), seen(&[7], 0), "what is left of a TTL is no TTL");
        for code in [ResponseCode::ServFail, ResponseCode::NXDomain, ResponseCode::Refused] {
            let mut failed = negative("test.");
            failed.metadata.response_code = code;
            assert!(read(&failed).is_err(), "{code}");
        }
    }

    #[test]
    fn an_empty_answer_counts_only_with_the_soa_of_a_zone_above() {
        for above in ["test.", "TEST.", "."] {
            assert_eq!(read(&negative(above)), seen(&[], 0), "{above}");
            assert_eq!(read(&of_resolver(negative(above))), seen(&[], 0), "{above}");
        }
        for other in
            ["example.test.", "EXAMPLE.test.", "www.example.test.", "other.", "ample.test."]
        {
            assert!(read(&negative(other)).is_err(), "{other}");
        }
        assert!(read(&of_resolver(empty())).is_err(), "a forwarder left the SOA out");
        let mut referral = empty();
        referral.metadata.authoritative = false;
        let data = RData::NS(hickory_proto::rr::rdata::NS(name("ns.test.")));
        referral.add_authority(Record::from_rdata(name("test."), 300, data));
        assert!(read(&referral).is_err(), "a server of the grandparent refers");
        assert!(read(&of_resolver(referral)).is_err(), "whatever it says of itself");
        let mut neither = negative("test.");
        neither.metadata.authoritative = false;
        assert!(read(&neither).is_err(), "nobody who can know");
    }

    #[test]
    fn a_record_that_names_no_key_of_the_zone_is_not_passed_over() {
        let with = |record: Record| {
            let mut answer = negative("test.");
            answer.add_answer(record);
            read(&answer)
        };
        let alias = RData::CNAME(CNAME(name("elsewhere.test.")));
        for unclear in [
            ds("example.test.", &[0, 7, 13]),
            ds("example.test.", &[0, 7, 13, 2]),
            ds("other.test.", &[0, 7, 13, 2, 1]),
            Record::from_rdata(name("example.test."), 300, alias),
        ] {
            let problem = with(unclear.clone()).expect_err("unclear");
            assert!(problem.contains("name a resolver"), "{unclear}: {problem}");
        }
        let data = [&[0, 7, 13, 2][..], &[7; 32]].concat();
        assert_eq!(with(ds("EXAMPLE.test.", &data)), seen(&[7], 300));
    }
}
