//! `holdfast zone dnssec …`: the keys that sign a zone, and their exchange, with a look at the parent before each step
//! that resolvers could notice.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use data_encoding::{BASE64, HEXUPPER};
use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use holdfast_core::DnsName;
use holdfast_wire::pb::v1 as pb;

use crate::client::{Client, registry};
use crate::command::service::{consistency, or_stale};
use crate::dns_client::exchange;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Cell, Column, Page, Table, json};
use crate::session::{Outcome, Session};
use crate::words;

/// How long a resolver may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How often it is asked.
const ATTEMPTS: usize = 3;
/// The number of SHA-256 among the digests of DS records.
const SHA256: u8 = 2;

/// Commands of `zone dnssec`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// Make the zone's first key, and sign with it.
    Enable(ZoneArgs),
    /// Show the keys, and what the parent was last seen to say.
    Status(ZoneArgs),
    /// Print the DS and CDS records of the keys that the parent should name.
    Ds(ZoneArgs),
    /// Replace the key: both sign until the parent names the new one alone.
    #[command(subcommand)]
    Rollover(RolloverArgs),
    /// Leave the zone unsigned, once the parent names no key.
    Disable(StepArgs),
}

/// Commands of `zone dnssec rollover`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum RolloverArgs {
    /// Make the new key.
    Start(ZoneArgs),
    /// Look at the parent, and remove the old key if it is safe; run it again until it is.
    Finish(StepArgs),
}

/// A zone.
#[derive(Debug, clap::Args)]
pub(crate) struct ZoneArgs {
    /// Its apex.
    zone: DnsName,
}

/// A step that depends on the parent.
#[derive(Debug, clap::Args)]
pub(crate) struct StepArgs {
    /// Its apex.
    zone: DnsName,
    /// The resolver that is asked for the parent's DS records, with port 53 unless given [default: the system's first].
    #[arg(long, value_name = "IP[:PORT]")]
    resolver: Option<String>,
    /// Do it although the parent is not ready, for this reason; validating resolvers may lose the zone.
    #[arg(long, value_name = "REASON")]
    force: Option<String>,
}

/// Runs a command about a zone's keys.
pub(crate) async fn run(args: Args, session: &Session) -> Outcome {
    let mut client = session.client()?;
    match args {
        Args::Enable(args) => {
            step(&client, &args.zone, pb::SigningStep::Enable, None).await?;
            session.out.page(&ds_page(&args.zone, &read(&client, &args.zone).await?))?;
        }
        Args::Status(args) => session.out.page(&status_page(&read(&client, &args.zone).await?))?,
        Args::Ds(args) => {
            session.out.page(&ds_page(&args.zone, &read(&client, &args.zone).await?))?;
        }
        Args::Rollover(RolloverArgs::Start(args)) => {
            step(&client, &args.zone, pb::SigningStep::StartRollover, None).await?;
            session.out.page(&ds_page(&args.zone, &read(&client, &args.zone).await?))?;
        }
        Args::Rollover(RolloverArgs::Finish(args)) => {
            depart(&mut client, &args, pb::SigningStep::FinishRollover, session).await?;
        }
        Args::Disable(args) => {
            session.confirm(&format!("leave zone {} unsigned", args.zone))?;
            depart(&mut client, &args, pb::SigningStep::Disable, session).await?;
        }
    }
    Ok(Exit::Success)
}

/// Tells the cluster what the parent says, then asks for the step.
async fn depart(
    client: &mut Client,
    args: &StepArgs,
    last: pb::SigningStep,
    session: &Session,
) -> Result<(), Failure> {
    match parent_of(args).await {
        Ok((tags, ttl)) => note(client, &args.zone, tags, ttl).await?,
        Err(problem) if args.force.is_none() => {
            return Err(Failure::error(format!(
                "the parent's DS records of {}: {problem}",
                args.zone
            ))
            .next("name a resolver that answers with --resolver IP"));
        }
        Err(_) => {}
    }
    client.renew();
    step(client, &args.zone, last, args.force.clone()).await?;
    session.out.page(&status_page(&read(client, &args.zone).await?))
}

async fn note(
    client: &Client,
    zone: &DnsName,
    tags: Vec<u32>,
    ttl: Duration,
) -> Result<(), Failure> {
    let message = pb::ChangeZoneSigningRequest {
        // A request of its own: under the number of the step, the step would be taken for its repetition.
        request_id: uuid::Uuid::new_v4().to_string(),
        parent_tags: tags,
        parent_ttl_ms: holdfast_core::time::millis(ttl),
        ..request(client, zone, pb::SigningStep::NoteParent)
    };
    send(client, message).await
}

async fn step(
    client: &Client,
    zone: &DnsName,
    step: pb::SigningStep,
    forced: Option<String>,
) -> Result<(), Failure> {
    send(client, pb::ChangeZoneSigningRequest { forced, ..request(client, zone, step) }).await
}

fn request(client: &Client, zone: &DnsName, step: pb::SigningStep) -> pb::ChangeZoneSigningRequest {
    pb::ChangeZoneSigningRequest {
        request_id: client.request_id(),
        zone: zone.to_string(),
        step: step.into(),
        ..pb::ChangeZoneSigningRequest::default()
    }
}

async fn send(client: &Client, message: pb::ChangeZoneSigningRequest) -> Result<(), Failure> {
    let answer = client.call(format!("change the keys of {}", message.zone), async |channel| {
        registry(channel).change_zone_signing(client.request(message.clone())).await
    });
    answer.await.map(drop)
}

async fn read(client: &Client, zone: &DnsName) -> Result<pb::GetZoneSigningResponse, Failure> {
    let message =
        pb::GetZoneSigningRequest { zone: zone.to_string(), consistency: consistency(false) };
    let answer = client.call(format!("show the keys of {zone}"), async |channel| {
        registry(channel).get_zone_signing(client.request(message.clone())).await
    });
    Ok(answer.await.map_err(or_stale)?.value)
}

fn number(key: &pb::ZoneKeyEntry) -> u8 {
    match key.algorithm() {
        pb::KeyAlgorithm::EcdsaP256 => 13,
        pb::KeyAlgorithm::Ed25519 => 15,
        pb::KeyAlgorithm::Unspecified => 0,
    }
}

fn ds_page(zone: &DnsName, answer: &pb::GetZoneSigningResponse) -> Page {
    let line = |key: &pb::ZoneKeyEntry| {
        let ds =
            format!("{} {} {SHA256} {}", key.tag, number(key), HEXUPPER.encode(&key.ds_digest));
        format!("{zone}. IN DS {ds}\n{zone}. IN CDS {ds}\n")
    };
    let lines: String = answer.keys.iter().filter(|key| key.for_parent).map(line).collect();
    if lines.is_empty() {
        let text =
            format!("zone {zone} has no keys; `holdfast zone dnssec enable {zone}` makes one");
        return Page::line(json::of(answer), text);
    }
    Page::line(json::of(answer), lines)
}

fn status_page(answer: &pb::GetZoneSigningResponse) -> Page {
    let mut table = Table::new([
        Column::new("KEY"),
        Column::new("ALGORITHM"),
        Column::new("SINCE"),
        Column::new("IN CDS"),
        Column::new("SEEN AT PARENT"),
        Column::new("PUBLIC KEY"),
    ]);
    let named = |tag| answer.parent.as_ref().map(|parent| parent.tags.contains(&tag));
    for key in &answer.keys {
        let seen = match named(key.tag) {
            None => "not looked at".to_owned(),
            Some(false) => "no".to_owned(),
            Some(true) => "yes".to_owned(),
        };
        table.row([
            Cell::new(key.tag),
            Cell::new(number(key)),
            words::moment(key.created_at_ms).into(),
            if key.for_parent { "yes" } else { "no" }.into(),
            seen.into(),
            BASE64.encode(&key.public).into(),
        ]);
    }
    let page = Page::new(json::of(answer));
    if table.is_empty() { page.text("the zone is not signed") } else { page.table(table) }
}

/// The key tags of the parent's DS records, and their TTL.
async fn parent_of(args: &StepArgs) -> Result<(Vec<u32>, Duration), String> {
    let server = match &args.resolver {
        Some(text) => server_of(text)?,
        None => system_resolver()?,
    };
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        match ask(server, args.zone.as_str()).await {
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

async fn ask(server: SocketAddr, zone: &str) -> Result<(Vec<u32>, Duration), String> {
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
fn found_in(answer: &Message, zone: &str) -> Result<(Vec<u32>, Duration), String> {
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
    let mut ttl = 0;
    let mut tags = Vec::new();
    for record in records {
        let RData::Unknown { rdata, .. } = &record.data else { continue };
        let Some(tag) = rdata.anything.first_chunk::<2>() else { continue };
        tags.push(u32::from(u16::from_be_bytes(*tag)));
        ttl = ttl.max(record.ttl);
    }
    Ok((tags, Duration::from_secs(ttl.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::rdata::{NULL, SOA};

    fn answer(code: ResponseCode, tags: &[u16]) -> Message {
        let mut answer = Message::query().into_response();
        answer.metadata.response_code = code;
        for tag in tags {
            let rdata = NULL::with([&tag.to_be_bytes()[..], &[13, 2], &[7; 32]].concat());
            let data = RData::Unknown { code: RecordType::DS, rdata };
            let name = Name::from_ascii("example.test.").expect("valid");
            answer.add_answer(Record::from_rdata(name, 300, data));
        }
        answer
    }

    #[test]
    fn only_a_clear_answer_of_the_parent_counts() {
        let read = |message: &Message| {
            let bytes = message.to_vec().expect("encodes");
            found_in(&Message::from_vec(&bytes).expect("decodes"), "example.test")
        };
        assert_eq!(
            read(&answer(ResponseCode::NoError, &[7, 60_000])),
            Ok((vec![7, 60_000], Duration::from_secs(300)))
        );
        assert_eq!(read(&answer(ResponseCode::NoError, &[])), Ok((vec![], Duration::ZERO)));
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
        assert_eq!(negative("test."), Ok((vec![], Duration::ZERO)));
        assert!(negative("example.test.").is_err(), "the zone's own server");
    }

    #[test]
    fn the_records_for_the_parent_are_printed_as_it_takes_them() {
        let key = |tag, for_parent| pb::ZoneKeyEntry {
            tag,
            algorithm: pb::KeyAlgorithm::EcdsaP256.into(),
            ds_digest: vec![0xab; 32],
            for_parent,
            ..pb::ZoneKeyEntry::default()
        };
        let answer = pb::GetZoneSigningResponse {
            keys: vec![key(1, false), key(60_000, true)],
            ..pb::GetZoneSigningResponse::default()
        };
        let zone = DnsName::new("example.test").expect("valid");
        let text = ds_page(&zone, &answer).render(crate::output::Format::Table, false);
        let digest = "AB".repeat(32);
        assert_eq!(
            text.expect("printable").trim_end(),
            format!(
                "example.test. IN DS 60000 13 2 {digest}\nexample.test. IN CDS 60000 13 2 {digest}"
            )
        );
    }
}
