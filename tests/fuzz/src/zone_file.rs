//! Master files: what is read is a zone that is written and read again as the same zone.

use holdfast_core::DnsName;
use holdfast_core::presentation::{NoOtherTypes, parse_zone_file, write_zone_file};
use holdfast_core::spec::Zone;

fn read(text: &[u8], apex: &DnsName) -> Result<Zone, String> {
    let file = parse_zone_file(text, apex, &NoOtherTypes).map_err(|fault| fault.to_string())?;
    file.into_zone(apex).map(|(zone, _)| zone)
}

/// The bytes are the file.
pub(crate) fn zone_file(bytes: &[u8]) {
    let apex = DnsName::new("example.test").expect("valid");
    let Ok(zone) = read(bytes, &apex) else { return };
    if zone.validate().is_err() {
        return;
    }
    let written = write_zone_file(&zone, 7);
    let again = read(written.as_bytes(), &apex)
        .unwrap_or_else(|problem| panic!("not read again: {problem}\n{written}"));
    assert_eq!(sorted(again), sorted(zone), "{written}");
}

fn sorted(mut zone: Zone) -> Zone {
    zone.records.sort_by(|a, b| (&a.name, &a.data).cmp(&(&b.name, &b.data)));
    zone
}
