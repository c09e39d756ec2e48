//! Master files (RFC 1035, 5): `$ORIGIN`, `$TTL`, owners that are left out, and what a zone is made of.
//!
//! `$INCLUDE` is refused: what is imported is one text that somebody has seen. `$GENERATE` is another server's.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::net::IpAddr;
use core::time::Duration;

use super::data::{OtherTypes, parse};
use super::words::{Fault, Line, Lines, Word};
use super::{absolute, parse_name};
use crate::name::DnsName;
use crate::spec::{Kind, LONGEST_TTL, NameServer, Record, RecordData, Soa, Zone};

/// The start of authority as a file states it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Start {
    ttl: Duration,
    primary: DnsName,
    soa: Soa,
}

/// What a file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ZoneFile {
    start: Option<Start>,
    records: Vec<Record>,
    /// What was read otherwise than it stands in the file, each a sentence.
    pub notes: Vec<String>,
}

/// Reads a master file of the zone `apex`. Errors: the first line that is wrong, with what would be right.
pub fn parse_zone_file(
    text: &[u8],
    apex: &DnsName,
    others: &dyn OtherTypes,
) -> Result<ZoneFile, Fault> {
    let mut reader = Reader {
        apex,
        others,
        origin: apex.clone(),
        owner: None,
        default_ttl: None,
        last_ttl: None,
        file: ZoneFile::default(),
    };
    let mut lines = Lines::new(text);
    while let Some(line) = lines.next_line()? {
        reader.entry(&line).map_err(|problem| Fault { line: line.number, problem })?;
    }
    Ok(reader.file)
}

struct Reader<'a> {
    apex: &'a DnsName,
    others: &'a dyn OtherTypes,
    origin: DnsName,
    owner: Option<DnsName>,
    default_ttl: Option<Duration>,
    last_ttl: Option<Duration>,
    file: ZoneFile,
}

impl Reader<'_> {
    fn entry(&mut self, line: &Line) -> Result<(), String> {
        let directive =
            line.words.first().filter(|word| word.raw.starts_with(b"$") && !word.quoted);
        if let Some(directive) = directive.filter(|_| !line.indented) {
            return self.directive(&directive.raw.to_ascii_uppercase(), &line.words[1..]);
        }
        let words = match line.indented {
            true => &line.words[..],
            false => {
                self.owner = Some(parse_name(&line.words[0].raw, Some(&self.origin))?);
                &line.words[1..]
            }
        };
        let owner = self.owner.clone().ok_or("the first entry has an owner")?;
        let (ttl, words) = self.ttl_and_class(words)?;
        let (kind, data) = words.split_first().ok_or("the type is missing")?;
        let kind: Kind = String::from_utf8_lossy(&kind.raw).parse()?;
        if !owner.is_within(self.apex) {
            return Err(format!("{owner} lies outside the zone {}", self.apex));
        }
        if kind == Kind::SOA {
            return self.start(&owner, ttl, data);
        }
        let ttl = ttl.or(self.default_ttl).or(self.last_ttl);
        let ttl = ttl.ok_or("no TTL: write $TTL, or one in the entry")?;
        if kind.is_made_by_signing() || matches!(kind.0, 48 | 59 | 60) {
            self.note(format!("{kind} records are made by signing and were left out"));
            return Ok(());
        }
        let data = parse(kind, data, Some(&self.origin), self.others)?;
        self.last_ttl = Some(ttl);
        self.file.records.push(Record { name: owner, ttl, data });
        Ok(())
    }

    fn directive(&mut self, name: &[u8], words: &[Word]) -> Result<(), String> {
        match (name, words) {
            (b"$ORIGIN", [origin]) => self.origin = parse_name(&origin.raw, Some(&self.origin))?,
            (b"$TTL", [ttl]) => {
                let ttl = parse_ttl(&ttl.raw).ok_or("$TTL takes a time, such as 3600 or 1h")?;
                self.default_ttl = Some(self.cut(ttl));
            }
            (b"$INCLUDE", _) => {
                return Err(
                    "$INCLUDE is not followed; put the file's text in its place".to_string()
                );
            }
            _ => return Err(format!("{} is not known here", String::from_utf8_lossy(name))),
        }
        Ok(())
    }

    /// TTL and class stand before the type, in any order, each at most once.
    fn ttl_and_class<'w>(
        &mut self,
        mut words: &'w [Word],
    ) -> Result<(Option<Duration>, &'w [Word]), String> {
        let (mut ttl, mut class) = (None, false);
        while let Some((word, rest)) = words.split_first() {
            let text = word.raw.to_ascii_uppercase();
            match &*text {
                b"IN" if !class => class = true,
                b"CH" | b"HS" | b"CS" => return Err("only class IN is served".to_string()),
                _ if ttl.is_none() && text.first().is_some_and(u8::is_ascii_digit) => {
                    let read = parse_ttl(&text);
                    ttl = Some(
                        self.cut(read.ok_or("a TTL is a number of seconds, or such as 1h30m")?),
                    );
                }
                _ => break,
            }
            words = rest;
        }
        Ok((ttl, words))
    }

    fn start(
        &mut self,
        owner: &DnsName,
        ttl: Option<Duration>,
        words: &[Word],
    ) -> Result<(), String> {
        if owner != self.apex || self.file.start.is_some() {
            return Err(format!("a zone has one SOA record, at {}", self.apex));
        }
        let [primary, mailbox, _serial, times @ ..] = words else {
            return Err("the SOA record has seven fields".to_string());
        };
        let times: Option<Vec<Duration>> = times.iter().map(|word| parse_ttl(&word.raw)).collect();
        let Some([refresh, retry, expire, minimum]) = times.as_deref() else {
            return Err(
                "the SOA record ends with serial, refresh, retry, expire and minimum".into()
            );
        };
        let ttl = ttl.or(self.default_ttl).unwrap_or(*minimum);
        let start = Start {
            ttl: self.cut(ttl),
            primary: parse_name(&primary.raw, Some(&self.origin))?,
            soa: Soa {
                mailbox: parse_name(&mailbox.raw, Some(&self.origin))?,
                refresh: *refresh,
                retry: *retry,
                expire: *expire,
                negative_ttl: self.cut(*minimum),
            },
        };
        self.last_ttl = Some(start.ttl);
        self.file.start = Some(start);
        Ok(())
    }

    fn cut(&mut self, ttl: Duration) -> Duration {
        if ttl > LONGEST_TTL {
            self.note("TTLs of more than a day were cut to one day".to_string());
        }
        ttl.min(LONGEST_TTL)
    }

    fn note(&mut self, note: String) {
        if !self.file.notes.contains(&note) {
            self.file.notes.push(note);
        }
    }
}

/// Seconds, or numbers with units: `1w2d3h4m5s`.
fn parse_ttl(text: &[u8]) -> Option<Duration> {
    let (mut total, mut number) = (0u64, None::<u64>);
    for byte in text {
        let unit = match byte.to_ascii_lowercase() {
            digit @ b'0'..=b'9' => {
                let value = number.unwrap_or(0).checked_mul(10)?;
                number = Some(value.checked_add(u64::from(digit - b'0'))?);
                continue;
            }
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    let seconds = match number {
        Some(number) => total.checked_add(number)?,
        None if text.is_empty() => return None,
        None => total,
    };
    // Times on the wire have 31 bits (RFC 2181, 8).
    (seconds <= i32::MAX as u64).then(|| Duration::from_secs(seconds))
}

impl ZoneFile {
    /// The zone that the file declares, its name servers with the addresses that the file gives them. Errors: the SOA
    /// or the name servers are missing. What else is not possible is said by [`Zone::validate`].
    pub fn into_zone(mut self, apex: &DnsName) -> Result<(Zone, Vec<String>), String> {
        let start = self.start.ok_or("there is no SOA record")?;
        let mut servers: BTreeMap<DnsName, Vec<IpAddr>> = BTreeMap::new();
        let mut names: Vec<DnsName> = Vec::new();
        self.records.retain(|record| match &record.data {
            RecordData::Ns(server) if record.name == *apex => {
                names.push(server.clone());
                servers.entry(server.clone()).or_default();
                false
            }
            _ => true,
        });
        self.records.retain(|record| {
            let address = match record.data {
                RecordData::A(ip) => IpAddr::V4(ip),
                RecordData::Aaaa(ip) => IpAddr::V6(ip),
                _ => return true,
            };
            servers.get_mut(&record.name).map(|addresses| addresses.push(address)).is_none()
        });
        match names.iter().position(|name| *name == start.primary) {
            Some(first) => names.swap(0, first),
            None => self.notes.push(format!(
                "{} is no name server of the zone, so the first name server is told as the SOA's primary",
                start.primary
            )),
        }
        let server = |name: DnsName| {
            let addresses = servers.remove(&name)?;
            Some(NameServer { name, addresses })
        };
        let name_servers = names.into_iter().filter_map(server).collect();
        let zone = Zone::new(apex.clone(), start.soa, name_servers, start.ttl);
        Ok((Zone { records: self.records, ..zone }, self.notes))
    }
}

/// Writes a zone as a master file: the declared records, and the SOA with this serial. An ALIAS, which other servers do
/// not know, stands in a comment.
pub fn write_zone_file(zone: &Zone, serial: u32) -> String {
    let mut text = String::new();
    let mut line = |owner: &DnsName, ttl: Duration, kind: Kind, data: &dyn core::fmt::Display| {
        let comment = if kind == Kind::ALIAS { "; " } else { "" };
        let (owner, ttl) = (absolute(owner), ttl.as_secs());
        writeln!(text, "{comment}{owner} {ttl} IN {kind} {data}").expect("a String takes any text");
    };
    let primary = zone.mname();
    let soa = format!(
        "{} {} {serial} {} {} {} {}",
        absolute(primary),
        absolute(&zone.soa.mailbox),
        zone.soa.refresh.as_secs(),
        zone.soa.retry.as_secs(),
        zone.soa.expire.as_secs(),
        zone.soa.negative_ttl.as_secs(),
    );
    line(&zone.name, zone.ttl, Kind::SOA, &soa);
    for server in &zone.name_servers {
        line(&zone.name, zone.ttl, Kind::NS, &absolute(&server.name));
    }
    for server in zone.name_servers.iter().filter(|server| server.name.is_within(&zone.name)) {
        for address in &server.addresses {
            let kind = if address.is_ipv4() { Kind::A } else { Kind::AAAA };
            line(&server.name, zone.ttl, kind, address);
        }
    }
    for record in &zone.records {
        line(&record.name, record.ttl, record.data.kind(), &record.data);
    }
    text
}
