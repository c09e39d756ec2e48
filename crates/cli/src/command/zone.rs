//! `holdfast zone …`: the zones that the agents answer for.

use std::fmt::Write as _;

use holdfast_core::DnsName;
use holdfast_core::spec::RecordData;
use holdfast_wire::Convert as _;
use holdfast_wire::pb::v1 as pb;

use crate::client::{Client, registry};
use crate::command::service::{consistency, or_stale};
use crate::command::{export, zone_dnssec, zone_file};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Cell, Column, Page, Table, json};
use crate::session::{Outcome, Session};
use crate::words;

/// Commands of `zone`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// Show one zone with its records.
    Get(GetArgs),
    /// Show all zones.
    List(ListArgs),
    /// Delete a zone; refused while a service has a name in it.
    Delete(DeleteArgs),
    /// The keys that sign a zone: make, show, replace.
    #[command(subcommand)]
    Dnssec(zone_dnssec::Args),
    /// Declare a zone by a master file, in place of its records, name servers and SOA.
    Import(zone_file::ImportArgs),
    /// Print a zone's records as a master file.
    Export(zone_file::ExportArgs),
}

/// Arguments of `zone get`.
#[derive(Debug, clap::Args)]
pub(crate) struct GetArgs {
    /// Its apex.
    zone: DnsName,
    /// Print it as a manifest that `apply` takes.
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    manifest: Option<export::Language>,
    /// What the member asked knows, without asking the leader.
    #[arg(long)]
    stale: bool,
}

/// Arguments of `zone list`.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// What the member asked knows, without asking the leader.
    #[arg(long)]
    stale: bool,
}

/// Arguments of `zone delete`.
#[derive(Debug, clap::Args)]
pub(crate) struct DeleteArgs {
    /// Its apex.
    zone: DnsName,
}

/// Runs a command about zones.
pub(crate) async fn run(args: Args, session: &Session) -> Outcome {
    match args {
        Args::Get(args) => {
            let answer = get(&session.client()?, args.zone.as_str(), args.stale).await?;
            if let Some(language) = args.manifest {
                return export::print(session, &[export::zone_manifest(answer.zone)?], language);
            }
            session.out.page(&get_page(&answer))?;
        }
        Args::List(args) => {
            let answer = list(&session.client()?, args.stale).await?;
            session.out.page(&list_page(&answer))?;
        }
        Args::Delete(args) => delete(&args.zone, session).await?,
        Args::Dnssec(args) => return zone_dnssec::run(args, session).await,
        Args::Import(args) => return zone_file::import(&args, session).await,
        Args::Export(args) => zone_file::export(&args, session).await?,
    }
    Ok(Exit::Success)
}

/// One zone.
pub(crate) async fn get(
    client: &Client,
    zone: &str,
    stale: bool,
) -> Result<pb::GetZoneResponse, Failure> {
    let message = pb::GetZoneRequest { zone: zone.to_owned(), consistency: consistency(stale) };
    let answer = client.call(format!("show zone {zone}"), async |channel| {
        registry(channel).get_zone(client.request(message.clone())).await
    });
    Ok(answer.await.map_err(or_stale)?.value)
}

/// All zones.
pub(crate) async fn list(client: &Client, stale: bool) -> Result<pb::ListZonesResponse, Failure> {
    let message = pb::ListZonesRequest { consistency: consistency(stale) };
    let answer = client.call("list zones", async |channel| {
        registry(channel).list_zones(client.request(message)).await
    });
    Ok(answer.await.map_err(or_stale)?.value)
}

async fn delete(zone: &DnsName, session: &Session) -> Result<(), Failure> {
    session.confirm(&format!("delete zone {zone}"))?;
    let client = session.client()?;
    let message = pb::DeleteZoneRequest { request_id: client.request_id(), zone: zone.to_string() };
    let answer = client.call(format!("delete zone {zone}"), async |channel| {
        registry(channel).delete_zone(client.request(message.clone())).await
    });
    let answer = answer.await?.value;
    session.out.page(&Page::line(
        json::of(&answer),
        format!("zone {zone} deleted (index {})", answer.index),
    ))
}

fn list_page(answer: &pb::ListZonesResponse) -> Page {
    let mut table = Table::new([
        Column::new("ZONE"),
        Column::new("RECORDS"),
        Column::new("SERIAL"),
        Column::new("REVISION"),
        Column::new("COPIED"),
    ]);
    for zone in &answer.zones {
        table.row([
            zone.name.as_str().into(),
            Cell::new(zone.records.saturating_add(zone.dynamic)),
            Cell::new(zone.serial),
            Cell::new(zone.revision),
            zone.copy.as_ref().map_or_else(|| "-".to_owned(), copy_words).into(),
        ]);
    }
    let page = Page::new(json::of(answer));
    if table.is_empty() {
        page.text("no zones; declare one with `holdfast apply -f FILE`")
    } else {
        page.table(table)
    }
}

fn get_page(answer: &pb::GetZoneResponse) -> Page {
    let zone = answer.zone.clone().unwrap_or_default();
    let mut text = format!(
        "zone {}  ttl {}  revision {}\n",
        zone.name,
        words::seconds(zone.ttl_ms),
        answer.revision
    );
    for server in &zone.name_servers {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "name server {} {}", server.name, server.addresses.join(" "));
    }
    if let Some(copy) = &answer.copy {
        let _ = writeln!(text, "copied {}", copy_words(copy));
        let _ = writeln!(text, "records of its primaries: holdfast dns dump --zone {}", zone.name);
    }
    for line in settings_of(&zone, answer.signed) {
        let _ = writeln!(text, "{line}");
    }
    let mut table = Table::new([
        Column::new("NAME"),
        Column::new("TTL"),
        Column::new("TYPE"),
        Column::new("DATA"),
        Column::new("BY"),
    ]);
    let declared = zone.records.iter().map(|record| (record, "declaration"));
    let dynamic = answer.dynamic.iter().map(|record| (record, "update"));
    for (record, origin) in declared.chain(dynamic) {
        let (kind, data) = record_data(record.data.as_ref());
        table.row([
            record.name.as_str().into(),
            words::seconds(record.ttl_ms).into(),
            kind.into(),
            data.into(),
            origin.into(),
        ]);
    }
    let page = Page::line(json::of(answer), text);
    if table.is_empty() { page } else { page.table(table) }
}

/// How a zone is answered, given and changed, where it is not as every zone is; the manifest has it all.
fn settings_of(zone: &pb::Zone, signed: bool) -> Vec<String> {
    let mut lines = Vec::new();
    match (signed, &zone.dnssec) {
        (true, _) => lines.push(format!("signed: holdfast zone dnssec status {}", zone.name)),
        (false, Some(_)) => lines.push(format!(
            "declared to be signed, without a key yet: holdfast zone dnssec enable {}",
            zone.name
        )),
        (false, None) => {}
    }
    if zone.client_subnet {
        lines.push("answers are tailored to the client's network (client_subnet)".to_owned());
    }
    let none = pb::Transfer::default();
    let transfer = zone.transfer.as_ref().unwrap_or(&none);
    let told = |what: &str, named: &[String]| {
        (!named.is_empty()).then(|| format!("{what} {}", named.join(", ")))
    };
    lines.extend(told("transfers to", &transfer.allow));
    lines.extend(told("transfers with key", &transfer.keys));
    let notified: Vec<String> = transfer.notify.iter().map(|one| one.address.clone()).collect();
    lines.extend(told("notifies", &notified));
    lines.extend(zone.updates.iter().map(|rule| {
        let names = told(" of", &rule.names).unwrap_or_default();
        let what = match &rule.registers {
            Some(pb::Registers { pool, port }) => {
                format!(": endpoints of pool {pool}, port {port}")
            }
            None => String::new(),
        };
        format!("updates with key {}{names}{what}", rule.key)
    }));
    lines
}

/// Whence a copy comes, and what is wrong with it.
fn copy_words(copy: &pb::ZoneCopy) -> String {
    let mut words = match (copy.present, copy.serial) {
        (false, _) => "not yet: the zone is not answered".to_owned(),
        (true, Some(serial)) => format!("serial {serial} from {}", copy.from),
        (true, None) => "not yet: what was there before is answered".to_owned(),
    };
    if !copy.stale.is_empty() {
        // Writing to a String cannot fail.
        let _ = write!(words, "; stale: {}", copy.stale);
    }
    words
}

/// Type and data in presentation form; dashes for a kind of record that only a newer version knows.
fn record_data(data: Option<&pb::RecordData>) -> (String, String) {
    match data.cloned().map(RecordData::from_proto) {
        Some(Ok(data)) => (data.kind().to_string(), data.to_string()),
        _ => ("-".to_owned(), "-".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    #[test]
    fn a_zone_shows_servers_and_records() {
        let record = |name: &str, data| pb::Record {
            name: name.into(),
            ttl_ms: 60_000,
            data: Some(pb::RecordData { data: Some(data) }),
        };
        let zone = pb::Zone {
            name: "example.test".into(),
            ttl_ms: 300_000,
            name_servers: vec![pb::NameServer {
                name: "ns1.example.test".into(),
                addresses: vec!["192.0.2.1".into()],
            }],
            records: vec![
                record("www.example.test", pb::record_data::Data::A("192.0.2.9".into())),
                record(
                    "t.example.test",
                    pb::record_data::Data::Txt(pb::Txt { texts: vec!["a b".into()] }),
                ),
            ],
            ..pb::Zone::default()
        };
        let dynamic = record("d.example.test", pb::record_data::Data::A("192.0.2.8".into()));
        let answer = pb::GetZoneResponse {
            zone: Some(zone),
            revision: 4,
            index: 9,
            dynamic: vec![dynamic],
            ..Default::default()
        };
        let text = get_page(&answer).render(Format::Table, false).expect("printable");
        let expected = "zone example.test  ttl 300s  revision 4\nname server ns1.example.test 192.0.2.1\n\
            NAME              TTL  TYPE  DATA       BY\n\
            www.example.test  60s  A     192.0.2.9  declaration\n\
            t.example.test    60s  TXT   \"a b\"      declaration\n\
            d.example.test    60s  A     192.0.2.8  update\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_copy_says_whence_it_comes_and_what_is_wrong_with_it() {
        let none = pb::ZoneCopy::default();
        let before = pb::ZoneCopy { present: true, ..none.clone() };
        let from = "192.0.2.9:53".to_owned();
        let good = pb::ZoneCopy { serial: Some(7), from, ..before.clone() };
        let stale = pb::ZoneCopy { stale: "no answer in time".into(), ..good.clone() };
        for (copy, expected) in [
            (none, "not yet: the zone is not answered"),
            (before, "not yet: what was there before is answered"),
            (good, "serial 7 from 192.0.2.9:53"),
            (stale, "serial 7 from 192.0.2.9:53; stale: no answer in time"),
        ] {
            let zone = Some(pb::Zone { name: "example.test".into(), ..pb::Zone::default() });
            let answer = pb::GetZoneResponse { zone, copy: Some(copy), ..Default::default() };
            let text = get_page(&answer).render(Format::Table, false).expect("printable");
            assert!(text.contains(&format!("\ncopied {expected}\n")), "{text}");
            assert!(text.contains("holdfast dns dump --zone example.test"), "{text}");
        }
    }

    #[test]
    fn a_zone_says_how_it_is_signed_given_and_changed() {
        let texts = |all: &[&str]| all.iter().map(ToString::to_string).collect();
        let transfer = pb::Transfer {
            allow: texts(&["192.0.2.0/24"]),
            keys: texts(&["xfr.test"]),
            notify: vec![pb::NotifyTarget { address: "192.0.2.1:53".into(), key: None }],
        };
        let rule = |key: &str, names: &[&str]| pb::UpdateRule {
            key: key.into(),
            names: texts(names),
            types: Vec::new(),
            registers: None,
        };
        let registers = Some(pb::Registers { pool: "eu".into(), port: 443 });
        let registering = pb::UpdateRule { registers, ..rule("c.test", &["shop.example.test"]) };
        let zone = pb::Zone {
            name: "example.test".into(),
            client_subnet: true,
            transfer: Some(transfer),
            updates: vec![
                rule("a.test", &[]),
                rule("b.test", &["*.dyn.example.test"]),
                registering,
            ],
            dnssec: Some(pb::Dnssec::default()),
            ..pb::Zone::default()
        };
        let expected = [
            "signed: holdfast zone dnssec status example.test",
            "answers are tailored to the client's network (client_subnet)",
            "transfers to 192.0.2.0/24",
            "transfers with key xfr.test",
            "notifies 192.0.2.1:53",
            "updates with key a.test",
            "updates with key b.test of *.dyn.example.test",
            "updates with key c.test of shop.example.test: endpoints of pool eu, port 443",
        ];
        assert_eq!(settings_of(&zone, true), expected);
        let unsigned = &settings_of(&zone, false)[0];
        assert!(unsigned.contains("holdfast zone dnssec enable example.test"), "{unsigned}");
        assert!(settings_of(&pb::Zone::default(), false).is_empty());
    }

    #[test]
    fn the_records_of_a_zone_are_counted_with_those_of_updates() {
        let zone = pb::ZoneEntry { records: 2, dynamic: 3, ..pb::ZoneEntry::default() };
        let answer = pb::ListZonesResponse { zones: vec![zone], index: 9 };
        let csv = list_page(&answer).render(Format::Csv, false).expect("printable");
        assert_eq!(csv.lines().nth(1), Some(",5,0,0,-"), "{csv}");
    }
}
