//! `holdfast zone import` and `holdfast zone export`: zones as master files (RFC 1035, 5).
//!
//! An import replaces the records, name servers and SOA of a zone by those of the file, and keeps what no file can say
//! of it, such as who may copy it. Read and checked before anything is sent.

use std::path::PathBuf;

use holdfast_core::DnsName;
use holdfast_core::presentation::{parse_zone_file, write_zone_file};
use holdfast_core::spec::{Record, Zone};
use holdfast_wire::pb::v1 as pb;

use crate::command::{apply, export, zone};
use crate::failure::Failure;
use crate::known_types::KnownTypes;
use crate::output;
use crate::session::{Outcome, Session};

/// The largest file that is read, in bytes.
const MAX_INPUT: u64 = 64 << 20;

/// Arguments of `zone import`.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// The master file; $INCLUDE is refused.
    file: PathBuf,
    /// The zone's apex.
    #[arg(long, value_name = "ZONE")]
    zone: DnsName,
    /// Only say whether the cluster would accept it.
    #[arg(long)]
    dry_run: bool,
}

/// Arguments of `zone export`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// The zone's apex.
    zone: DnsName,
    /// What the member asked knows, without asking the leader.
    #[arg(long)]
    stale: bool,
}

/// Declares the zone that a file holds.
pub(crate) async fn import(args: &ImportArgs, session: &Session) -> Outcome {
    let (mut zone, notes) = read(args)?;
    for note in notes {
        output::note(&note);
    }
    let client = session.client()?;
    if let Some(stored) = apply::existing(zone::get(&client, zone.name.as_str(), false).await)? {
        let stored: Zone = export::decode("zone", stored.zone)?;
        zone = Zone {
            soa: zone.soa,
            name_servers: zone.name_servers,
            ttl: zone.ttl,
            records: zone.records,
            ..stored
        };
    }
    apply::declare_zone(&client, &zone, args.dry_run, session).await
}

fn read(args: &ImportArgs) -> Result<(Zone, Vec<String>), Failure> {
    let unreadable =
        |problem: String| Failure::error(format!("{}: {problem}", args.file.display()));
    let size = std::fs::metadata(&args.file).map_err(|error| unreadable(error.to_string()))?.len();
    if size > MAX_INPUT {
        return Err(unreadable(format!("has {size} bytes, and {MAX_INPUT} are read at most")));
    }
    let text = std::fs::read(&args.file).map_err(|error| unreadable(error.to_string()))?;
    let wrong = |problem: String| {
        unreadable(problem).next("correct the file and import it again; nothing was sent")
    };
    let file = parse_zone_file(&text, &args.zone, &KnownTypes);
    let file = file.map_err(|fault| wrong(fault.to_string()))?;
    let (zone, notes) = file.into_zone(&args.zone).map_err(wrong)?;
    zone.validate().map_err(|error| wrong(error.to_string()))?;
    Ok((zone, notes))
}

/// Prints a zone's records, declared and of dynamic updates, as a master file.
pub(crate) async fn export(args: &ExportArgs, session: &Session) -> Result<(), Failure> {
    let answer = zone::get(&session.client()?, args.zone.as_str(), args.stale).await?;
    session.out.raw(&master_file(answer)?)
}

/// Errors: the zone's records are not declared here.
fn master_file(answer: pb::GetZoneResponse) -> Result<String, Failure> {
    let mut zone: Zone = export::decode("zone", answer.zone)?;
    if zone.primaries.is_some() {
        let name = &zone.name;
        let why =
            format!("zone {name} is copied from its primaries, so its declaration has no records");
        let next = format!(
            "copy it from a primary, or from an agent that gives it out: `dig @SERVER {name} AXFR`"
        );
        return Err(Failure::error(why).next(next));
    }
    let dynamic = answer.dynamic.into_iter().map(|record| export::decode("record", Some(record)));
    zone.records.extend(dynamic.collect::<Result<Vec<Record>, _>>()?);
    Ok(write_zone_file(&zone, answer.serial))
}

#[cfg(test)]
mod tests {
    use holdfast_core::presentation::{OtherTypes as _, parse_data};
    use std::time::Duration;

    use holdfast_core::spec::{Kind, NameServer, Primaries, RecordData, Soa};
    use holdfast_wire::Convert as _;

    use super::*;

    fn answer(primaries: Option<Primaries>) -> pb::GetZoneResponse {
        let name = |text: &str| DnsName::new(text).expect("a name");
        let second = Duration::from_secs(1);
        let soa = Soa { negative_ttl: second, ..Soa::new(name("admin.example.test")) };
        let server = NameServer { name: name("ns.elsewhere.test"), addresses: Vec::new() };
        let zone = Zone::new(name("example.test"), soa, vec![server], second);
        let zone = Some(Zone { primaries, ..zone }.to_proto());
        pb::GetZoneResponse { zone, revision: 3, serial: 77, ..Default::default() }
    }

    #[test]
    fn a_zone_is_printed_with_the_serial_that_is_served_and_a_copy_is_not() {
        let text = master_file(answer(None)).unwrap_or_else(|_| panic!("it is declared here"));
        let soa = text.lines().next().unwrap_or_default();
        assert!(soa.contains(" admin.example.test. 77 "), "{soa}");
        let address = "192.0.2.1:53".parse().expect("an address");
        let primaries = Primaries { addresses: vec![address], key: None };
        let refused = master_file(answer(Some(primaries))).expect_err("it is a copy");
        let told = format!("{refused:?}");
        assert!(told.contains("from its primaries") && told.contains("AXFR"), "{told}");
    }

    #[test]
    fn types_that_core_does_not_know_are_read_by_hickory() {
        for (kind, text, wire) in [
            ("TLSA", "3 1 1 0102", "\\# 5 0301010102"),
            ("SSHFP", "4 2 0102", "\\# 4 04020102"),
            (
                "NAPTR",
                "10 20 \"S\" \"SIP+D2U\" \"\" _sip._udp.example.test.",
                "\\# 39 000A0014 0153 075349502B443255 00 045F736970 045F756470 076578616D706C65 0474657374 00",
            ),
        ] {
            let kind: Kind = kind.parse().expect("a type");
            let read = parse_data(kind, text, None, &KnownTypes).expect(text);
            let generic = parse_data(kind, wire, None, &KnownTypes).expect(wire);
            assert_eq!(read, generic, "{kind} {text}");
            assert!(matches!(read, RecordData::Other { .. }));
        }
        assert!(KnownTypes.wire(Kind(65_280), "x", None).expect_err("unknown").contains("\\#"));
    }
}
