//! Reads an update (RFC 2136, 2) into what the group decides on.
//!
//! ```text
//! header │ zone: one SOA │ prerequisites │ updates │ additional: an OPT, or nothing
//! ```
//!
//! What the RFC calls a format error is one here, before anything is asked of the group. A record that is right and that
//! the group cannot hold (a name with other bytes than `a-z 0-9 - _`, an obsolete type) is refused.

use std::time::Duration;

use hickory_proto::op::ResponseCode;
use holdfast_core::DnsName;
use holdfast_core::spec::Kind;
use holdfast_core::update::{Action, Change, Condition, Prerequisite, ZoneUpdate};

use crate::cursor::Cursor;
use crate::limits::HEADER;
use crate::opt::{Opt, Options};
use crate::rdata::{Reader, Unread, record_data};
use crate::respond::Transport;

const IN: u16 = 1;
const NONE: u16 = 254;
const ANY: u16 = 255;
const OPT: u16 = 41;

/// What an update asks, but for the key that signed it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) zone: DnsName,
    pub(crate) prerequisites: Vec<Prerequisite>,
    pub(crate) changes: Vec<Change>,
}

impl Asked {
    /// What the holder of a key asks.
    pub(crate) fn by(self, key: DnsName) -> ZoneUpdate {
        let Self { zone, prerequisites, changes } = self;
        ZoneUpdate { zone, key, prerequisites, changes }
    }
}

impl From<Unread> for ResponseCode {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Malformed => Self::FormErr,
            Unread::Unheld => Self::Refused,
        }
    }
}

/// A record of a section: its owner, what it is, and its data, not yet read.
struct Line<'a> {
    name: Result<DnsName, Unread>,
    kind: Kind,
    class: u16,
    ttl: u32,
    data: Reader<'a>,
}

/// Reads a message of which the signature was taken off. Gives its OPT too, for any reply. Errors: the code of the reply.
pub(crate) fn read(
    message: &[u8],
    transport: Transport,
) -> (Option<Opt>, Result<Asked, ResponseCode>) {
    let mut opt = None;
    let asked = sections(message, transport, &mut opt);
    (opt, asked)
}

/// The OPT of an update that is not read, where it is the first record of its section; everything before is stepped over.
pub(crate) fn opt_alone(message: &[u8], transport: Transport) -> Option<Opt> {
    let mut counts = Reader::new(message, 4);
    let mut count = || counts.u16().ok();
    let (zones, prerequisites, updates, additional) = (count()?, count()?, count()?, count()?);
    let mut cursor = Cursor::new(message, HEADER);
    for _ in 0..zones {
        cursor.skip_name()?;
        cursor.take(4)?;
    }
    for _ in 0..u32::from(prerequisites) + u32::from(updates) {
        cursor.skip_name()?;
        cursor.take(8)?;
        let length = cursor.u16()?;
        cursor.take(length.into())?;
    }
    let first = lines(&mut Reader::new(message, cursor.at()), additional.min(1)).ok()?;
    first.first().and_then(|line| opt_of(line, transport))
}

/// What the holder of a key asks in a message of which the signature was taken off; one without a whole header asks
/// nothing. Errors: the code of the reply.
pub fn read_update(message: &[u8], key: DnsName) -> Result<ZoneUpdate, ResponseCode> {
    read(message, Transport::Tcp).1.map(|asked| asked.by(key))
}

fn sections(
    message: &[u8],
    transport: Transport,
    opt: &mut Option<Opt>,
) -> Result<Asked, ResponseCode> {
    let mut reader = Reader::new(message, 4);
    let [zones, prerequisites, updates, additional] =
        [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
    let mut reader = Reader::new(message, HEADER);
    if zones != 1 {
        return Err(ResponseCode::FormErr);
    }
    let zone = reader.name();
    let (kind, class) = (Kind(reader.u16()?), reader.u16()?);
    let prerequisites = lines(&mut reader, prerequisites)?;
    let updates = lines(&mut reader, updates)?;
    for line in lines(&mut reader, additional)? {
        *opt =
            Some(opt_of(&line, transport).filter(|_| opt.is_none()).ok_or(ResponseCode::FormErr)?);
    }
    if kind != Kind::SOA || !reader.is_empty() {
        return Err(ResponseCode::FormErr);
    }
    if opt.is_some_and(|opt| opt.version > 0) {
        return Err(ResponseCode::BADVERS);
    }
    // A zone whose name cannot be held, or of another class, is none of ours.
    let zone = zone.ok().filter(|_| class == IN).ok_or(ResponseCode::NotAuth)?;
    if prerequisites.len() > ZoneUpdate::MAX_PREREQUISITES
        || updates.len() > ZoneUpdate::MAX_CHANGES
    {
        return Err(ResponseCode::Refused);
    }
    let prerequisites = prerequisites.into_iter().map(|line| prerequisite(line, &zone));
    let prerequisites = prerequisites.collect::<Result<_, _>>()?;
    let changes = updates.into_iter().map(|line| change(line, &zone));
    Ok(Asked { prerequisites, changes: changes.collect::<Result<_, _>>()?, zone })
}

fn lines<'a>(reader: &mut Reader<'a>, count: u16) -> Result<Vec<Line<'a>>, Unread> {
    let mut lines = Vec::new();
    for _ in 0..count {
        let name = match reader.name() {
            Err(Unread::Malformed) => return Err(Unread::Malformed),
            name => name,
        };
        let (kind, class, ttl) = (Kind(reader.u16()?), reader.u16()?, reader.u32()?);
        let length = reader.u16()?;
        lines.push(Line { name, kind, class, ttl, data: reader.part(length.into())? });
    }
    Ok(lines)
}

fn opt_of(line: &Line<'_>, transport: Transport) -> Option<Opt> {
    let rooted = line.name.as_ref().is_ok_and(DnsName::is_root);
    let mut data = line.data;
    let options = Options::parse(data.rest(), transport)?;
    let [_, version, flags, _] = line.ttl.to_be_bytes();
    (line.kind.0 == OPT && rooted).then_some(Opt {
        payload: line.class,
        version,
        dnssec_ok: flags & 0x80 != 0,
        compact_ok: false,
        options,
    })
}

/// The owner, which has to lie in the zone.
fn owner(name: Result<DnsName, Unread>, zone: &DnsName) -> Result<DnsName, ResponseCode> {
    let name = name?;
    if name.is_within(zone) { Ok(name) } else { Err(ResponseCode::NotZone) }
}

/// RFC 2136, 3.2.
fn prerequisite(line: Line<'_>, zone: &DnsName) -> Result<Prerequisite, ResponseCode> {
    let Line { name, kind, class, ttl, data } = line;
    let condition = match class {
        _ if ttl != 0 => return Err(ResponseCode::FormErr),
        ANY | NONE if !data.is_empty() => return Err(ResponseCode::FormErr),
        ANY | NONE if kind == Kind::ANY => Condition::Name { exists: class == ANY },
        ANY | NONE => Condition::Set { kind, exists: class == ANY },
        IN if kind.is_meta() => return Err(ResponseCode::FormErr),
        IN => Condition::Holds(record_data(kind, data)?),
        _ => return Err(ResponseCode::FormErr),
    };
    Ok(Prerequisite { name: owner(name, zone)?, condition })
}

/// RFC 2136, 3.4.1.
fn change(line: Line<'_>, zone: &DnsName) -> Result<Change, ResponseCode> {
    let Line { name, kind, class, ttl, data } = line;
    let action = match class {
        IN | NONE if kind.is_meta() => return Err(ResponseCode::FormErr),
        ANY if kind.is_meta() && kind != Kind::ANY => return Err(ResponseCode::FormErr),
        ANY | NONE if ttl != 0 => return Err(ResponseCode::FormErr),
        ANY if !data.is_empty() => return Err(ResponseCode::FormErr),
        ANY if kind == Kind::ANY => Action::RemoveName,
        ANY => Action::RemoveSet(kind),
        NONE => Action::Remove(record_data(kind, data)?),
        IN => Action::Add { ttl: ttl_of(ttl), data: record_data(kind, data)? },
        _ => return Err(ResponseCode::FormErr),
    };
    Ok(Change { name: owner(name, zone)?, action })
}

/// One with its highest bit set counts as 0 (RFC 2181, 8).
fn ttl_of(seconds: u32) -> Duration {
    Duration::from_secs(if seconds > i32::MAX as u32 { 0 } else { seconds.into() })
}
