//! `holdfast zone dnssec …`: the keys that sign a zone, and their exchange, with a look at the parent before each step
//! that resolvers could notice.

mod parent;

use data_encoding::{BASE64, HEXUPPER};
use holdfast_core::DnsName;
use holdfast_wire::pb::v1 as pb;
use serde_json::Value;

use crate::client::{Client, registry};
use crate::command::service::{consistency, or_stale};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Cell, Column, Page, Table, Tone, json};
use crate::session::{Outcome, Session};
use crate::words;

/// The number of SHA-256 among the digests of DS records.
const SHA256: u8 = 2;

/// Commands of `zone dnssec`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// Make the zone's first key, and sign with it.
    Enable(ZoneArgs),
    /// Show the keys, what the parent was last seen to say, and what the next step waits for.
    Status(ZoneArgs),
    /// Print the DS and CDS records for the parent, and from when those of a new key may take their place.
    Ds(ZoneArgs),
    /// Replace the key: both sign until resolvers know the new one, and can trust the zone by it alone.
    #[command(subcommand)]
    Rollover(RolloverArgs),
    /// Leave the zone unsigned, once the parent names no key and resolvers have forgotten that it did.
    Disable(StepArgs),
}

/// Commands of `zone dnssec rollover`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum RolloverArgs {
    /// Make the new key.
    Start(ZoneArgs),
    /// Look at the parent, and remove the old key if it is safe; run it again until it is.
    Finish(StepArgs),
    /// Look at the parent, and remove the new key if it names the old one alone, as where a registrar refuses the new.
    Abandon(StepArgs),
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
    /// The server that is asked for the parent's DS records, with port 53 unless given [default: the system's first
    /// resolver]. A server of the parent tells their TTL; of a resolver, which cannot, two days are waited for.
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
            let page = ds_page(&args.zone, &read(&client, &args.zone).await?);
            session.out.page(&page.text(after_start(&args.zone)))?;
        }
        Args::Rollover(RolloverArgs::Finish(args)) => {
            depart(&mut client, &args, pb::SigningStep::FinishRollover, session).await?;
        }
        Args::Rollover(RolloverArgs::Abandon(args)) => {
            depart(&mut client, &args, pb::SigningStep::AbandonRollover, session).await?;
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
    match parent::look(args.resolver.as_deref(), args.zone.as_str()).await {
        Ok(seen) => note(client, &args.zone, seen).await?,
        Err(problem) if args.force.is_none() => {
            return Err(unseen(args, &problem));
        }
        Err(_) => {}
    }
    client.renew();
    step(client, &args.zone, last, args.force.clone()).await?;
    session.out.page(&status_page(&read(client, &args.zone).await?))
}

/// Why the parent was not seen, and through whom.
fn unseen(args: &StepArgs, problem: &str) -> Failure {
    let zone = &args.zone;
    let asked = match args.resolver {
        Some(_) => "",
        None => ", asked of the system's first resolver (/etc/resolv.conf)",
    };
    Failure::error(format!("the parent's DS records of {zone}{asked}: {problem}")).next(
        "name a server of the parent zone with --resolver IP, which makes the wait the shortest, or a resolver that answers",
    )
}

/// What follows once a new key signs.
fn after_start(zone: &DnsName) -> String {
    format!(
        "next: from the moment above on, have the parent name the new key alone, then \
         `holdfast zone dnssec rollover finish {zone} --resolver IP` with a server of the parent; \
         `holdfast zone dnssec status {zone}` says what is awaited"
    )
}

async fn note(client: &Client, zone: &DnsName, seen: parent::Seen) -> Result<(), Failure> {
    let message = pb::ChangeZoneSigningRequest {
        // A request of its own: under the number of the step, the step would be taken for its repetition.
        request_id: uuid::Uuid::new_v4().to_string(),
        parent_ds: seen.records,
        parent_ttl_ms: holdfast_core::time::millis(seen.ttl),
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

/// The data of a key's DS record, as zone files have it.
fn ds_of(key: &pb::ZoneKeyEntry) -> String {
    format!("{} {} {SHA256} {}", key.tag, number(key), HEXUPPER.encode(&key.ds_digest))
}

/// The keys for programs: digests in hexadecimal digits, as everywhere else, and DS records as zone files have them.
fn data_of(answer: &pb::GetZoneSigningResponse) -> Value {
    let mut data = json::of(answer);
    let told = data.get_mut("keys").and_then(Value::as_array_mut).into_iter().flatten();
    for (key, told) in answer.keys.iter().zip(told) {
        told["ds_digest"] = HEXUPPER.encode(&key.ds_digest).into();
        told["ds"] = ds_of(key).into();
    }
    data
}

fn ds_page(zone: &DnsName, answer: &pb::GetZoneSigningResponse) -> Page {
    let line = |key: &pb::ZoneKeyEntry| {
        let ds = ds_of(key);
        format!("{zone}. IN DS {ds}\n{zone}. IN CDS {ds}\n")
    };
    let later = |key: &pb::ZoneKeyEntry| {
        let moment = words::moment(key.ready_at_ms?);
        let place = if answer.keys.len() > 1 { ", instead of the former" } else { "" };
        Some(format!("; from {moment} on{place}:\n{}", line(key)))
    };
    let current = answer.keys.iter().filter(|key| key.for_parent).map(line);
    let lines: String = current.chain(answer.keys.iter().filter_map(later)).collect();
    if lines.is_empty() {
        let text =
            format!("zone {zone} has no keys; `holdfast zone dnssec enable {zone}` makes one");
        return Page::line(data_of(answer), text);
    }
    Page::line(data_of(answer), lines)
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
    for key in &answer.keys {
        table.row([
            Cell::new(key.tag),
            Cell::new(number(key)),
            words::moment(key.created_at_ms).into(),
            in_cds(key).into(),
            seen_at_parent(key),
            BASE64.encode(&key.public).into(),
        ]);
    }
    let page = Page::new(data_of(answer));
    if table.is_empty() {
        return page.text("the zone is not signed");
    }
    let wrong = answer.parent_faults.iter().map(|fault| format!("the parent {fault}"));
    let unchecked = answer.parent_unchecked.iter().map(|record| format!("the parent {record}"));
    let page = unchecked.fold(page.table(table).warnings(wrong), Page::text);
    let page = match answer.awaits.as_str() {
        "" => page,
        awaits => page.text(format!("awaited: {awaits}")),
    };
    match answer.abandoning_awaits.as_str() {
        "" => page,
        awaits => page.text(format!("awaited to abandon the rollover instead: {awaits}")),
    }
}

fn seen_at_parent(key: &pb::ZoneKeyEntry) -> Cell {
    match key.seen_at_parent() {
        pb::SeenAtParent::Unspecified => "not looked at".into(),
        pb::SeenAtParent::No => "no".into(),
        pb::SeenAtParent::Yes => Cell::toned("yes", Tone::Good),
        pb::SeenAtParent::Mistaken => Cell::toned("no: mistaken DS", Tone::Bad),
        pb::SeenAtParent::Uncompared => Cell::toned("unknown digest type", Tone::Warn),
    }
}

fn in_cds(key: &pb::ZoneKeyEntry) -> String {
    match key.ready_at_ms {
        Some(ready_at) => format!("from {}", words::moment(ready_at)),
        None if key.for_parent => "yes".to_owned(),
        None => "no".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys by tag, whether they are told to the parent, and from when they may be.
    fn keys(keys: &[(u32, bool, Option<u64>)]) -> pb::GetZoneSigningResponse {
        let key = |(tag, for_parent, ready_at_ms)| pb::ZoneKeyEntry {
            tag,
            algorithm: pb::KeyAlgorithm::EcdsaP256.into(),
            ds_digest: vec![0xab; 32],
            for_parent,
            ready_at_ms,
            ..pb::ZoneKeyEntry::default()
        };
        let keys = keys.iter().copied().map(key).collect();
        pb::GetZoneSigningResponse { keys, ..pb::GetZoneSigningResponse::default() }
    }

    fn printed(page: &Page) -> String {
        page.render(crate::output::Format::Table, false).expect("printable").trim_end().to_owned()
    }

    #[test]
    fn the_records_for_the_parent_are_printed_as_it_takes_them_and_from_when() {
        let zone = DnsName::new("example.test").expect("valid");
        let ds = |tag: u32| {
            let data = format!("{tag} 13 2 {}", "AB".repeat(32));
            format!("example.test. IN DS {data}\nexample.test. IN CDS {data}")
        };
        let later = Some(86_400_000);
        for (answer, expected) in [
            (keys(&[(1, false, None), (60_000, true, None)]), ds(60_000)),
            (keys(&[(1, false, later)]), format!("; from 1970-01-02T00:00:00.000Z on:\n{}", ds(1))),
            (
                keys(&[(1, true, None), (2, false, later)]),
                format!(
                    "{}\n; from 1970-01-02T00:00:00.000Z on, instead of the former:\n{}",
                    ds(1),
                    ds(2)
                ),
            ),
        ] {
            assert_eq!(printed(&ds_page(&zone, &answer)), expected);
        }
    }

    #[test]
    fn programs_are_told_the_ds_record_as_zone_files_have_it() {
        let page =
            ds_page(&DnsName::new("example.test").expect("valid"), &keys(&[(60_000, true, None)]));
        let text = page.render(crate::output::Format::Json, false).expect("printable");
        let data: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(data["keys"][0]["ds"], format!("60000 13 2 {}", "AB".repeat(32)));
        assert_eq!(data["keys"][0]["ds_digest"], "AB".repeat(32));
    }

    #[test]
    fn a_parent_that_is_not_seen_is_told_with_whom_was_asked() {
        let args = |resolver: Option<&str>| StepArgs {
            zone: DnsName::new("example.test").expect("valid"),
            resolver: resolver.map(ToOwned::to_owned),
            force: None,
        };
        let told = |resolver| unseen(&args(resolver), "192.0.2.1:53: unreachable").to_string();
        assert!(told(None).contains("/etc/resolv.conf): 192.0.2.1:53"), "{}", told(None));
        assert!(!told(Some("192.0.2.1")).contains("resolv.conf"), "{}", told(Some("192.0.2.1")));
        assert!(told(None).contains("--resolver IP"), "{}", told(None));
    }

    #[test]
    fn the_status_says_until_when_the_next_step_waits_and_why() {
        let awaits = "until tomorrow, for a reason".to_owned();
        let answer = pb::GetZoneSigningResponse {
            awaits,
            ..keys(&[(1, true, None), (2, false, Some(86_400_000))])
        };
        let text = printed(&status_page(&answer));
        assert!(text.contains("from 1970-01-02T00:00:00.000Z"), "{text}");
        assert!(text.contains("awaited: until tomorrow, for a reason"), "{text}");
        let abandoning = pb::GetZoneSigningResponse {
            abandoning_awaits: "nobody has looked".to_owned(),
            ..answer
        };
        let text = printed(&status_page(&abandoning));
        assert!(text.contains("to abandon the rollover instead: nobody has looked"), "{text}");
        let calm = printed(&status_page(&keys(&[(1, true, None)])));
        assert!(!calm.contains("awaited"), "{calm}");
    }

    #[test]
    fn the_status_says_which_keys_the_parent_names_and_what_is_wrong_there() {
        use pb::SeenAtParent::{Mistaken, No, Uncompared, Unspecified, Yes};
        for (seen, expected) in [
            (Unspecified, "not looked at"),
            (No, "no "),
            (Yes, "yes"),
            (Mistaken, "no: mistaken DS"),
            (Uncompared, "unknown digest type"),
        ] {
            let mut answer = keys(&[(1, false, None)]);
            answer.keys[0].seen_at_parent = seen.into();
            let text = printed(&status_page(&answer));
            assert!(text.contains(expected), "{text}");
        }
        let wrong = pb::GetZoneSigningResponse {
            parent_faults: vec!["has DS records that name no key".to_owned()],
            ..keys(&[(1, true, None)])
        };
        let text = printed(&status_page(&wrong));
        assert!(text.contains("! the parent has DS records that name no key"), "{text}");
        let beside = pb::GetZoneSigningResponse {
            parent_unchecked: vec!["has the DS record 1, not checked".to_owned()],
            ..keys(&[(1, true, None)])
        };
        let text = printed(&status_page(&beside));
        assert!(text.contains("\nthe parent has the DS record 1, not checked"), "{text}");
    }
}
