//! Asks every member over UDP what its API says that it answers: the view of a resolver against the view of a client.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use holdfast_wire::pb::v1 as pb;

use super::Finding;
use super::checks::answered;
use crate::client::Client;
use crate::command::dns::{dump, preview};
use crate::context::split_address;
use crate::dns_client::exchange;
use crate::survey::{Member, Survey};
use crate::words;

/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a question is repeated: UDP loses packets, and an answer may just have moved.
const ATTEMPTS: usize = 3;

/// What is asked and may be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Question {
    name: String,
    kind: &'static str,
}

/// An answer as far as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    code: String,
    data: BTreeSet<String>,
    truncated: bool,
}

/// Does each member answer over UDP what its API says?
pub(super) async fn answers(client: &Client, survey: &Survey, limit: usize) -> Vec<Finding> {
    let asked =
        answered(survey).filter_map(|(member, answer)| Some((member, server_of(member, answer)?)));
    let results = join_all(
        asked.map(async |(member, server)| ask_member(client, member, server, limit).await),
    )
    .await;
    let names: usize = results.iter().map(|(names, _)| names).sum();
    let members = results.len();
    let mut findings: Vec<Finding> =
        results.into_iter().flat_map(|(_, findings)| findings).collect();
    if findings.is_empty() {
        let questions = words::count(names, "answer");
        findings.push(Finding::ok(
            "dns",
            format!("{questions} of {members} members over UDP are what the API says"),
        ));
    }
    findings
}

/// Where a member answers DNS: the first address it listens on, or where its API is reached, for a wildcard.
fn server_of(member: &Member, answer: &pb::GetClusterResponse) -> Option<SocketAddr> {
    let addresses = &answer.node.as_ref()?.dns_address;
    let first: SocketAddr = addresses.split(',').next()?.trim().parse().ok()?;
    if !first.ip().is_unspecified() {
        return Some(first);
    }
    let (host, _) = split_address(&member.listed.api_address)?;
    Some(SocketAddr::new(host.parse::<IpAddr>().ok()?, first.port()))
}

/// How many names were asked for, and what was found.
async fn ask_member(
    client: &Client,
    member: &Member,
    server: SocketAddr,
    limit: usize,
) -> (usize, Vec<Finding>) {
    let name = &member.listed.name;
    let failed = |what: &str| {
        Finding::bad(
            "dns",
            format!("{name}: {what}"),
            format!("dig @{} -p {} on that network", server.ip(), server.port()),
        )
    };
    let Ok(mut client) = client.only(&member.listed.api_address, client.timeout()) else {
        return (0, vec![failed("its API address is not usable")]);
    };
    let names = match dump(&mut client, "").await {
        Ok(answer) => answer.names,
        Err(failure) => return (0, vec![failed(failure.message())]),
    };
    let questions: Vec<Question> = names.iter().flat_map(questions_of).take(limit).collect();
    let mut findings = Vec::new();
    for question in &questions {
        client.renew();
        match compare(&client, server, question, &names).await {
            Ok(()) => {}
            Err(Difference::Silent(problem)) => {
                let text = format!("its DNS at {server} does not answer over UDP: {problem}");
                findings.push(failed(&text));
                break;
            }
            Err(Difference::Other(text)) => findings.push(failed(&text)),
        }
    }
    (questions.len(), findings)
}

/// Address questions for names of services; static records do not move.
fn questions_of(name: &pb::NameAnswers) -> Vec<Question> {
    let question = |kind| Question { name: name.name.clone(), kind };
    let has = |kind: &str| name.records.iter().any(|record| record.r#type == kind);
    if name.service.is_empty() {
        return Vec::new();
    }
    match (name.refused || has("A") || has("CNAME"), has("AAAA")) {
        (true, true) => vec![question("A"), question("AAAA")],
        (true, false) => vec![question("A")],
        (false, true) => vec![question("AAAA")],
        (false, false) => Vec::new(),
    }
}

/// Why what is heard is not what is said.
#[derive(Debug)]
enum Difference {
    Silent(String),
    Other(String),
}

async fn compare(
    client: &Client,
    server: SocketAddr,
    question: &Question,
    names: &[pb::NameAnswers],
) -> Result<(), Difference> {
    let mut last = Difference::Silent("it was not asked".to_owned());
    for _ in 0..ATTEMPTS {
        let heard = match ask(server, question).await {
            Ok(heard) => heard,
            Err(problem) => {
                last = Difference::Silent(problem);
                continue;
            }
        };
        let said = match preview(client, &question.name, question.kind, 0).await {
            Ok(answer) => told(&answer, question.kind),
            Err(failure) => return Err(Difference::Other(failure.message().to_owned())),
        };
        if agrees(&heard, &said, &possible(names, question)) {
            return Ok(());
        }
        last = Difference::Other(format!(
            "{} {} is answered {} over UDP and {} by the API",
            question.name,
            question.kind,
            shown(&heard),
            shown(&said)
        ));
    }
    Err(last)
}

/// Whether an answer heard is the one said, or another choice among what is possible where the service rotates or weighs.
fn agrees(heard: &Told, said: &Told, possible: &BTreeSet<String>) -> bool {
    if heard.code != said.code {
        return false;
    }
    let another_choice = heard.data.len() == said.data.len() && heard.data.is_subset(possible);
    heard.truncated || heard.data == said.data || another_choice
}

/// Everything that the service may be answered with.
fn possible(names: &[pb::NameAnswers], question: &Question) -> BTreeSet<String> {
    let of_name =
        names.iter().filter(|name| name.name == question.name).flat_map(|name| &name.records);
    of_name
        .filter(|record| record.r#type == question.kind)
        .map(|record| record.data.clone())
        .collect()
}

fn told(answer: &pb::PreviewAnswerResponse, kind: &str) -> Told {
    let of_kind = answer.answers.iter().filter(|record| record.r#type == kind);
    Told {
        code: answer.rcode.to_ascii_uppercase(),
        data: of_kind.map(|record| record.data.clone()).collect(),
        truncated: false,
    }
}

fn shown(told: &Told) -> String {
    let data: Vec<&str> = told.data.iter().map(String::as_str).collect();
    if data.is_empty() { told.code.clone() } else { data.join(", ") }
}

async fn ask(server: SocketAddr, question: &Question) -> Result<Told, String> {
    let name =
        Name::from_ascii(format!("{}.", question.name)).map_err(|error| error.to_string())?;
    let kind = if question.kind == "AAAA" { RecordType::AAAA } else { RecordType::A };
    let mut query = Message::query();
    query.add_query(Query::query(name, kind));
    let answer = exchange(server, &query, ANSWER_TIMEOUT).await?;
    Ok(heard_of(&answer))
}

fn heard_of(answer: &Message) -> Told {
    let address = |data: &RData| match data {
        RData::A(ip) => Some(ip.0.to_string()),
        RData::AAAA(ip) => Some(ip.0.to_string()),
        _ => None,
    };
    Told {
        code: code_word(answer.metadata.response_code),
        data: answer.answers.iter().filter_map(|record| address(&record.data)).collect(),
        truncated: answer.metadata.truncation,
    }
}

fn code_word(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR".to_owned(),
        ResponseCode::NXDomain => "NXDOMAIN".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        other => other.to_string().to_ascii_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UdpSocket;

    use super::*;

    fn told_of(code: &str, data: &[&str]) -> Told {
        Told {
            code: code.into(),
            data: data.iter().map(ToString::to_string).collect(),
            truncated: false,
        }
    }

    #[test]
    fn another_choice_of_a_rotating_service_agrees_and_another_address_does_not() {
        let possible = BTreeSet::from(["192.0.2.1".to_owned(), "192.0.2.2".to_owned()]);
        let said = told_of("NOERROR", &["192.0.2.1"]);
        for (heard, expected) in [
            (told_of("NOERROR", &["192.0.2.1"]), true),
            (told_of("NOERROR", &["192.0.2.2"]), true),
            (told_of("NOERROR", &["192.0.2.9"]), false),
            (told_of("NOERROR", &[]), false),
            (told_of("SERVFAIL", &[]), false),
        ] {
            assert_eq!(agrees(&heard, &said, &possible), expected, "{heard:?}");
        }
    }

    #[test]
    fn only_addresses_of_services_are_asked_for() {
        let record =
            |kind: &str| pb::AnswerRecord { r#type: kind.into(), ..pb::AnswerRecord::default() };
        let name = |service: &str, kinds: &[&str]| pb::NameAnswers {
            name: "n".into(),
            service: service.into(),
            records: kinds.iter().map(|kind| record(kind)).collect(),
            ..pb::NameAnswers::default()
        };
        let kinds = |name| {
            questions_of(&name).into_iter().map(|question| question.kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds(name("shop", &["A", "AAAA", "SRV"])), ["A", "AAAA"]);
        assert_eq!(kinds(name("shop", &["SRV"])), [""; 0]);
        assert_eq!(kinds(name("", &["A"])), [""; 0]);
    }

    #[test]
    fn a_wildcard_is_asked_where_the_api_is() {
        let member = |api: &str| Member {
            listed: pb::Member { api_address: api.into(), ..pb::Member::default() },
            answer: Ok(pb::GetClusterResponse::default()),
            clock_offset_ms: None,
        };
        let listening = |dns: &str| pb::GetClusterResponse {
            node: Some(pb::Node { dns_address: dns.into(), ..pb::Node::default() }),
            ..pb::GetClusterResponse::default()
        };
        let server =
            |api, dns| server_of(&member(api), &listening(dns)).map(|server| server.to_string());
        assert_eq!(server("10.0.0.1:7444", "0.0.0.0:53"), Some("10.0.0.1:53".into()));
        assert_eq!(
            server("10.0.0.1:7444", "10.0.0.9:5300, [::1]:53"),
            Some("10.0.0.9:5300".into())
        );
        assert_eq!(server("10.0.0.1:7444", ""), None);
    }

    #[tokio::test]
    async fn an_answer_on_the_wire_is_read() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let server = socket.local_addr().expect("bound");
        let answering = tokio::spawn(async move {
            let mut buffer = [0; 512];
            let (size, from) = socket.recv_from(&mut buffer).await.expect("a question");
            let mut answer = Message::from_vec(&buffer[..size]).expect("DNS").into_response();
            let owner = answer.queries[0].name().clone();
            let data = RData::A("192.0.2.7".parse().expect("valid"));
            answer.add_answer(hickory_proto::rr::Record::from_rdata(owner, 5, data));
            socket.send_to(&answer.to_vec().expect("encodes"), from).await.expect("sent");
        });
        let question = Question { name: "shop.example.test".into(), kind: "A" };
        assert_eq!(ask(server, &question).await, Ok(told_of("NOERROR", &["192.0.2.7"])));
        answering.await.expect("answered");
    }
}
