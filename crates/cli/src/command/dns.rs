//! `holdfast dns …`: what DNS answers, told by the function that answers it.

use std::fmt::Write as _;

use holdfast_core::DnsName;
use holdfast_core::spec::Prefix;
use holdfast_wire::pb::v1 as pb;

use crate::client::{Client, dns};
use crate::command::{dns_propagation, dns_ttl};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Cell, Column, Page, Table, json};
use crate::session::{Outcome, Session};
use crate::words;

/// How many names are asked for at once.
const PAGE_SIZE: u32 = 1000;

/// Commands of `dns`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// Show the answer to one question.
    Answer(AnswerArgs),
    /// Show every name with data.
    Dump(DumpArgs),
    /// Show what the world says of a name, from every agent.
    Propagation(dns_propagation::Args),
    /// Lower TTLs for a while.
    #[command(subcommand)]
    Ttl(dns_ttl::Args),
}

/// Arguments of `dns answer`.
#[derive(Debug, clap::Args)]
pub(crate) struct AnswerArgs {
    /// The name asked for.
    name: DnsName,
    /// The type asked for.
    #[arg(default_value = "A")]
    kind: String,
    /// Chooses where the service rotates or weighs.
    #[arg(long, default_value_t = 0, value_name = "N")]
    turn: u32,
    /// The network that asks, such as 192.0.2.7 or 192.0.2.0/24; nobody in particular where absent.
    #[arg(long, value_name = "ADDR[/LEN]")]
    client: Option<Prefix>,
    /// Say which rule matched, which pool and records it led to, and for how large a network that is true.
    #[arg(long)]
    explain: bool,
}

/// Arguments of `dns dump`.
#[derive(Debug, clap::Args)]
pub(crate) struct DumpArgs {
    /// Only this zone.
    #[arg(long, value_name = "APEX")]
    zone: Option<DnsName>,
}

/// Runs a command about DNS.
pub(crate) async fn run(args: Args, session: &Session) -> Outcome {
    let page = match args {
        Args::Answer(args) => {
            let kind = args.kind.to_ascii_uppercase();
            let message = pb::PreviewAnswerRequest {
                name: args.name.to_string(),
                r#type: kind.clone(),
                turn: args.turn,
                client: args.client.map(|client| client.to_string()).unwrap_or_default(),
            };
            let mut answer = previewed(&session.client()?, message).await?;
            if !args.explain && answer.rcode != "SERVFAIL" {
                answer.steps.clear();
            }
            answer_page(&answer, args.name.as_str(), &kind)
        }
        Args::Propagation(args) => return dns_propagation::run(args, session).await,
        Args::Ttl(args) => return dns_ttl::run(args, session).await,
        Args::Dump(args) => {
            let zone = args.zone.map(|zone| zone.to_string()).unwrap_or_default();
            dump_page(&dump(&mut session.client()?, &zone).await?)
        }
    };
    session.out.page(&page)?;
    Ok(Exit::Success)
}

/// The answer that a member would give.
pub(crate) async fn preview(
    client: &Client,
    name: &str,
    kind: &str,
    turn: u32,
) -> Result<pb::PreviewAnswerResponse, Failure> {
    let (name, r#type, client_told) = (name.to_owned(), kind.to_owned(), String::new());
    let message = pb::PreviewAnswerRequest { name, r#type, turn, client: client_told };
    previewed(client, message).await
}

async fn previewed(
    client: &Client,
    message: pb::PreviewAnswerRequest,
) -> Result<pb::PreviewAnswerResponse, Failure> {
    let what = format!("answer {} {}", message.name, message.r#type);
    let answer = client.call(what, async |channel| {
        dns(channel).preview_answer(client.request(message.clone())).await
    });
    Ok(answer.await?.value)
}

/// Every name with data, page by page.
pub(crate) async fn dump(
    client: &mut Client,
    zone: &str,
) -> Result<pb::DumpAnswersResponse, Failure> {
    let mut all = pb::DumpAnswersResponse::default();
    loop {
        client.renew();
        let message = pb::DumpAnswersRequest {
            zone: zone.to_owned(),
            page_size: PAGE_SIZE,
            page_token: all.next_page_token.clone(),
        };
        let asking = &*client;
        let page = asking.call("dump the answers", async |channel| {
            dns(channel).dump_answers(asking.request(message.clone())).await
        });
        let page = page.await?.value;
        let stuck = page.next_page_token == all.next_page_token;
        all.names.extend(page.names);
        (all.index, all.at_ms) = (page.index, page.at_ms);
        if page.next_page_token.is_empty() || stuck {
            all.next_page_token.clear();
            return Ok(all);
        }
        all.next_page_token = page.next_page_token;
    }
}

/// Said of answers from signed zones.
const SIGNED: &str = ";; as a client without DNSSEC gets it: the zone is signed, and one that asks for DNSSEC gets signatures\n\
    ;; as well, and NOERROR for a name that does not exist where it is denied compactly (RFC 9824)\n";

fn answer_page(answer: &pb::PreviewAnswerResponse, name: &str, kind: &str) -> Page {
    let mut text = format!(
        ";; {name} {kind}: {}{}, {} answers, {} authority, {} additional\n",
        answer.rcode,
        if answer.authoritative { ", authoritative" } else { "" },
        answer.answers.len(),
        answer.authority.len(),
        answer.additional.len()
    );
    for record in answer.answers.iter().chain(&answer.authority).chain(&answer.additional) {
        text.push_str(&zone_line(record));
    }
    for step in &answer.steps {
        let _ = writeln!(text, ";; {step}");
    }
    if answer.signed {
        text.push_str(SIGNED);
    }
    if answer.service.is_empty() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, ";; index {} generation {}", answer.index, answer.generation);
    } else {
        let _ = writeln!(
            text,
            ";; service {} epoch {} index {} generation {}",
            answer.service, answer.epoch, answer.index, answer.generation
        );
    }
    Page::line(json::of(answer), text)
}

/// A record as it stands in a zone file.
fn zone_line(record: &pb::AnswerRecord) -> String {
    let name = record.name.trim_end_matches('.');
    format!("{name}. {} IN {} {}\n", record.ttl_ms / 1000, record.r#type, record.data)
}

fn dump_page(answer: &pb::DumpAnswersResponse) -> Page {
    let mut table = Table::new([
        Column::new("NAME"),
        Column::new("TTL"),
        Column::new("TYPE"),
        Column::new("DATA"),
        Column::new("SERVICE"),
        Column::wide("EPOCH"),
    ]);
    for name in &answer.names {
        let service = if name.service.is_empty() { "-" } else { name.service.as_str() };
        if name.refused {
            table.row([
                name.name.as_str().into(),
                "-".into(),
                "-".into(),
                "SERVFAIL".into(),
                service.into(),
                Cell::new(name.epoch),
            ]);
        }
        for record in &name.records {
            table.row([
                record.name.as_str().into(),
                words::seconds(record.ttl_ms).into(),
                record.r#type.as_str().into(),
                record.data.as_str().into(),
                service.into(),
                Cell::new(name.epoch),
            ]);
        }
    }
    let head = format!("at index {}, {}", answer.index, words::moment(answer.at_ms));
    Page::line(json::of(answer), head).table(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    fn record(data: &str) -> pb::AnswerRecord {
        pb::AnswerRecord {
            name: "shop.example.test".into(),
            ttl_ms: 5000,
            r#type: "A".into(),
            data: data.into(),
        }
    }

    #[test]
    fn an_answer_reads_like_digs() {
        let answer = pb::PreviewAnswerResponse {
            rcode: "NOERROR".into(),
            authoritative: true,
            answers: vec![record("192.0.2.1")],
            index: 90,
            service: "shop".into(),
            epoch: 88,
            ..pb::PreviewAnswerResponse::default()
        };
        let text = answer_page(&answer, "shop.example.test", "A")
            .render(Format::Table, false)
            .expect("printable");
        let expected = ";; shop.example.test A: NOERROR, authoritative, 1 answers, 0 authority, 0 additional\n\
            shop.example.test. 5 IN A 192.0.2.1\n;; service shop epoch 88 index 90 generation 0\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn an_answer_from_a_signed_zone_says_to_whom_it_is_given() {
        let told = |signed| {
            let rcode = "NXDOMAIN".into();
            let answer = pb::PreviewAnswerResponse { rcode, signed, ..Default::default() };
            let page = answer_page(&answer, "nope.example.test", "A");
            page.render(Format::Table, false).expect("printable")
        };
        assert!(told(true).contains("as a client without DNSSEC gets it"), "{}", told(true));
        assert!(!told(false).contains("DNSSEC"), "{}", told(false));
    }

    #[test]
    fn a_dump_has_a_row_for_each_record_and_refusal() {
        let name = |refused, records| pb::NameAnswers {
            name: "shop.example.test".into(),
            service: "shop".into(),
            epoch: 88,
            refused,
            records,
        };
        let answer = pb::DumpAnswersResponse {
            names: vec![name(false, vec![record("192.0.2.1")]), name(true, vec![])],
            index: 9,
            ..pb::DumpAnswersResponse::default()
        };
        let csv = dump_page(&answer).render(Format::Csv, false).expect("printable");
        let expected = "name,ttl,type,data,service,epoch\nshop.example.test,5s,A,192.0.2.1,shop,88\n\
            shop.example.test,-,-,SERVFAIL,shop,88\n";
        assert_eq!(csv, expected);
    }
}
