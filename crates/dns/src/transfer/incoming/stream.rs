//! What the messages of a transfer amount to: the whole zone, made of its records or of the one before and what changed.
//!
//! ```text
//! AXFR:  SOA ─▶ records … ─▶ the same SOA                                        (RFC 5936, 2.2)
//! IXFR:  SOA ─┬─ nothing more, not newer ─▶ up to date                           (RFC 1995, 4)
//!             ├─ a record ─▶ as AXFR
//!             └─ SOA ours ─▶ gone … ─▶ SOA next ─▶ come … ─┬─▶ SOA next ─▶ gone …
//!                                                          └─▶ the first SOA
//! ```
//!
//! Strict: every step begins at the serial where the one before ended, takes away only what is there, and nothing comes
//! behind the end. A transfer that breaks any rule is worth nothing as a whole.
//!
//! Invariant: total on any bytes, and bounded by [`MAX_BYTES`] and [`MAX_ROWS`].

use std::net::SocketAddr;
use std::time::Duration;

use holdfast_core::DnsName;
use holdfast_core::copied::{Copied, Fetched, Records, is_newer};
use holdfast_core::spec::{Kind, Record, RecordData, Zone};

use super::row::{Fault, Row, RowData, Rows, Start};

/// The most bytes of all messages of a transfer.
const MAX_BYTES: usize = 32 << 20;
/// The most records of all messages of a transfer.
const MAX_ROWS: usize = 4 * Zone::MAX_RECORDS;
/// The codes of AXFR and IXFR.
const AXFR: u16 = 252;
const IXFR: u16 = 251;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The whole zone.
    Whole,
    /// What changed since a serial, at which the zone had these records.
    Since(u32, Records),
}

impl Wanted {
    /// The type of the question.
    pub(super) fn kind(&self) -> u16 {
        match self {
            Self::Whole => AXFR,
            Self::Since(..) => IXFR,
        }
    }
}

/// Whether a transfer goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Another message follows.
    Open,
    /// It is whole.
    Done,
}

/// Where in a transfer the next record stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Begin,
    /// Behind the first SOA of an IXFR.
    Second,
    Whole,
    /// Among what goes; the step begins at this serial.
    Removing(u32),
    /// Among what comes; the step ends at this serial.
    Adding(u32),
    Done,
    UpToDate,
}

/// A transfer as it comes in.
#[derive(Debug)]
pub struct Incoming {
    apex: DnsName,
    id: u16,
    kind: u16,
    since: Option<u32>,
    stage: Stage,
    first: Option<(Start, Duration)>,
    records: Records,
    bytes: usize,
    rows: usize,
}

/// A zone as its primary has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    start: Start,
    ttl: Duration,
    records: Records,
}

fn fault<T>(why: impl Into<String>) -> Result<T, Fault> {
    Err(Fault(why.into()))
}

impl Incoming {
    /// The transfer of a zone that was asked under this id.
    pub fn new(apex: DnsName, id: u16, wanted: Wanted) -> Self {
        let kind = wanted.kind();
        let (since, records) = match wanted {
            Wanted::Whole => (None, Records::new()),
            Wanted::Since(serial, records) => (Some(serial), records),
        };
        let (stage, first) = (Stage::Begin, None);
        Self { apex, id, kind, since, stage, first, records, bytes: 0, rows: 0 }
    }

    /// Takes the next message, whole. Errors: why the transfer is worth nothing.
    pub fn take(&mut self, message: &[u8]) -> Result<Progress, Fault> {
        self.bytes += message.len();
        if self.bytes > MAX_BYTES {
            return fault(format!("the transfer has more than {MAX_BYTES} bytes"));
        }
        let Some(mut rows) = Rows::of(message) else {
            return fault("a message has no whole header");
        };
        self.check_header(message)?;
        for _ in 0..u16::from_be_bytes([message[4], message[5]]) {
            let asked = rows.question()?;
            if asked != (self.apex.clone(), self.kind, 1) {
                return fault("a message answers another question");
            }
        }
        for _ in 0..u16::from_be_bytes([message[6], message[7]]) {
            let row = rows.next()?;
            self.put(row)?;
        }
        match (&self.stage, self.since, &self.first) {
            (Stage::Second, Some(since), Some((start, _))) if !is_newer(start.serial, since) => {
                self.stage = Stage::UpToDate;
                Ok(Progress::Done)
            }
            (Stage::Begin, ..) => fault("a message has no records"),
            (Stage::Done, ..) => Ok(Progress::Done),
            _ => Ok(Progress::Open),
        }
    }

    /// The zone; `None` where the one that is known is not older.
    pub fn finish(self) -> Result<Option<Received>, Fault> {
        match (self.stage, self.first) {
            (Stage::UpToDate, _) => Ok(None),
            (Stage::Done, Some((start, ttl))) => {
                Ok(Some(Received { start, ttl, records: self.records }))
            }
            _ => fault("the transfer ends in the middle"),
        }
    }

    fn check_header(&self, message: &[u8]) -> Result<(), Fault> {
        let id = u16::from_be_bytes([message[0], message[1]]);
        // A reply to a query, not truncated.
        if id != self.id || message[2] & 0b1111_1010 != 0x80 {
            return fault("a message is no answer to what was asked");
        }
        let code = message[3] & 0x0f;
        if code != 0 {
            return fault(format!("it answers {}", hickory_proto::op::ResponseCode::from(0, code)));
        }
        Ok(())
    }

    fn put(&mut self, row: Row) -> Result<(), Fault> {
        self.rows += 1;
        if self.rows > MAX_ROWS {
            return fault(format!("the transfer has more than {MAX_ROWS} records"));
        }
        if !row.name.is_within(&self.apex) {
            return fault(format!("{} lies outside the zone", row.name));
        }
        match row.data {
            RowData::Start(_) if row.name != self.apex => {
                fault(format!("{} has an SOA, and is not the apex", row.name))
            }
            RowData::Start(start) => self.put_start(start, row.ttl),
            RowData::Record(data) => self.put_record(Record { name: row.name, ttl: row.ttl, data }),
        }
    }

    fn put_start(&mut self, start: Start, ttl: Duration) -> Result<(), Fault> {
        let serial = start.serial;
        let is_first = self.first.as_ref().is_some_and(|(first, _)| *first == start);
        self.stage = match (&self.stage, self.since) {
            (Stage::Begin, since) => {
                self.first = Some((start, ttl));
                if since.is_some() { Stage::Second } else { Stage::Whole }
            }
            (Stage::Second, Some(since)) if serial == since && !is_first => Stage::Removing(serial),
            (Stage::Whole, _) if is_first => Stage::Done,
            (Stage::Removing(from), _) if is_newer(serial, *from) => Stage::Adding(serial),
            (Stage::Adding(to), _) if is_first && serial == *to => Stage::Done,
            (Stage::Adding(to), _) if serial == *to => Stage::Removing(serial),
            (Stage::Done | Stage::UpToDate, _) => return fault("records come behind the end"),
            _ => return fault(format!("the SOA with serial {serial} does not belong there")),
        };
        Ok(())
    }

    fn put_record(&mut self, record: Record) -> Result<(), Fault> {
        let Record { name, ttl, data } = record;
        match self.stage {
            Stage::Second => {
                self.stage = Stage::Whole;
                self.records.clear();
                self.records.insert((name, data), ttl);
            }
            Stage::Whole | Stage::Adding(_) => drop(self.records.insert((name, data), ttl)),
            Stage::Removing(_) => {
                let key = (name, data);
                if self.records.remove(&key).is_none() {
                    return fault(format!("{} {} goes and was not there", key.0, key.1.kind()));
                }
            }
            Stage::Begin => return fault("it does not begin with the SOA"),
            Stage::Done | Stage::UpToDate => return fault("records come behind the end"),
        }
        if self.records.len() > Zone::MAX_RECORDS {
            return fault(format!("the zone has more than {} records", Zone::MAX_RECORDS));
        }
        Ok(())
    }
}

impl Received {
    /// The primary's serial.
    pub fn serial(&self) -> u32 {
        self.start.serial
    }

    /// Every record but the SOA.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// What this differs by from the copy that is known, or all of it.
    pub fn since(self, known: Option<&Copied>, from: SocketAddr) -> Fetched {
        let before = known.map(Copied::records).unwrap_or_default();
        let record = |((name, data), ttl): (&(DnsName, RecordData), &Duration)| Record {
            name: name.clone(),
            ttl: *ttl,
            data: data.clone(),
        };
        let gone = before.iter().filter(|(key, _)| !self.records.contains_key(key)).map(record);
        // The NS records of the apex are kept with the SOA's TTL, whatever theirs is.
        let kept_apart = |key: &(DnsName, RecordData)| {
            known.is_some_and(|known| key.0 == known.zone.name) && key.1.kind() == Kind::NS
        };
        let is_known = |key: &(DnsName, RecordData), ttl: Duration| match before.get(key) {
            Some(known) => *known == ttl || kept_apart(key),
            None => false,
        };
        let come = self.records.iter().filter(|(key, ttl)| !is_known(key, **ttl));
        Fetched {
            since: known.map_or(0, |known| known.index),
            removed: gone.collect(),
            added: come.map(record).collect(),
            serial: self.start.serial,
            from,
            mname: self.start.mname,
            soa: self.start.soa,
            ttl: self.ttl,
        }
    }
}
