//! The chain as JSON Lines, and the proof that such a file is genuine without the store.
//!
//! One record is one line, in one canonical form: a fixed order of keys, hashes in hexadecimal, times in RFC 3339
//! with milliseconds, request ids as UUIDs. A line reads back to exactly the record, so the hash over its canonical
//! encoding can be recomputed; a line that is not in its canonical form was edited.

use std::io::{self, BufRead, Write};
use std::ops::ControlFlow;

use holdfast_core::audit::{Content, Hash, Head, Record};
use holdfast_core::event::Event;
use holdfast_core::{Actor, RequestId, ServiceId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::ExportError;
use crate::log::AuditLog;
use crate::query::{Filter, Query};
use crate::verify::{Tampering, TamperingKind, Verification, Walker};

/// The longest line that is read.
const LINE_BYTES: u64 = 16 << 20;

/// A record as it is exported; the order of the fields is the order of the keys.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    sequence: u64,
    index: u64,
    at: String,
    actor: Actor,
    request_id: Option<String>,
    service: Option<ServiceId>,
    kind: String,
    event: Event,
    previous: String,
    hash: String,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// How many records.
    pub records: u64,
    /// The head of the last one, to keep beside the file: it proves the file's end.
    pub head: Option<Head>,
}

/// What a file claims to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contiguity {
    /// A part of the chain without gaps: links are checked.
    Chain,
    /// What a filter let through: each record is checked for itself, and that the order is kept.
    Selection,
}

/// The canonical line of a record, without the line's end.
pub fn record_to_json(record: &Record) -> String {
    let content = &record.content;
    let line = Line {
        sequence: record.sequence,
        index: content.index,
        at: content.at.to_string(),
        actor: content.actor.clone(),
        request_id: content.request_id.map(|id| id.to_string()),
        service: content.service.clone(),
        kind: content.event.kind().to_owned(),
        event: content.event.clone(),
        previous: record.previous.to_string(),
        hash: record.hash.to_string(),
    };
    serde_json::to_string(&line).expect("text keys and plain data always make JSON")
}

/// The record of a line. Errors: it is not one, or not in its canonical form, as an edited line.
pub fn record_from_json(text: &str) -> Result<Record, String> {
    let line: Line = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let request_id = match &line.request_id {
        None => None,
        Some(id) => Some(parse_request_id(id).ok_or_else(|| format!("{id:?} is no request id"))?),
    };
    let hash = |text: &str| parse_hash(text).ok_or_else(|| format!("{text:?} is no hash"));
    let record = Record {
        sequence: line.sequence,
        previous: hash(&line.previous)?,
        hash: hash(&line.hash)?,
        content: Content {
            index: line.index,
            at: parse_timestamp(&line.at).ok_or_else(|| format!("{:?} is no time", line.at))?,
            actor: line.actor,
            request_id,
            service: line.service,
            event: line.event,
        },
    };
    if record_to_json(&record) == text {
        Ok(record)
    } else {
        Err("it is not in its canonical form".into())
    }
}

impl AuditLog {
    /// Writes every record that `filter` lets through, oldest first. Reads a page at a time, so it belongs on a
    /// blocking thread.
    pub fn export(&self, out: &mut dyn Write, filter: &Filter) -> Result<Exported, ExportError> {
        let mut exported = Exported { records: 0, head: None };
        let mut query = Query { filter: filter.clone(), ..Query::default() };
        loop {
            let page = self.query(&query)?;
            if page.undecodable > 0 {
                let sequence = query.after.unwrap_or(0) + 1;
                return Err(ExportError::Undecodable { sequence });
            }
            for record in &page.records {
                writeln!(out, "{}", record_to_json(record))?;
                exported.records += 1;
                exported.head = Some(record.head());
            }
            query.after = match page.next {
                Some(next) => Some(next),
                None => break,
            };
        }
        out.flush()?;
        Ok(exported)
    }
}

/// Verifies an exported file offline: every line's form, every hash, every link and, where it is known, the end.
/// The record before the first line is taken on trust unless that is the chain's first. Errors: the file cannot be
/// read; a line that is bad is a finding.
pub fn verify_export(
    input: &mut dyn BufRead,
    contiguity: Contiguity,
    replicated: Option<&Head>,
) -> Result<Verification, ExportError> {
    let mut check = FileCheck { contiguity, walker: None, last: 0, jump: None };
    let mut number = 0;
    loop {
        number += 1;
        let Some(line) = read_line(input, number)? else { break };
        let step = match record_from_json(&line) {
            Ok(record) => check.record(&record),
            Err(reason) => {
                check.flip(format!("line {number}: {reason}"));
                ControlFlow::Break(())
            }
        };
        if step.is_break() {
            break;
        }
    }
    Ok(check.finish(replicated))
}

fn read_line(input: &mut dyn BufRead, number: u64) -> Result<Option<String>, ExportError> {
    let mut line = String::new();
    let size = io::Read::take(&mut *input, LINE_BYTES).read_line(&mut line)?;
    if size == 0 {
        return Ok(None);
    }
    if u64::try_from(size).is_ok_and(|size| size == LINE_BYTES) && !line.ends_with('\n') {
        return Err(ExportError::Line {
            line: number,
            reason: format!("longer than {LINE_BYTES} bytes"),
        });
    }
    line.truncate(line.trim_end_matches('\n').len());
    Ok(Some(line))
}

/// Feeds lines to a [`Walker`], and tells a missing line from a moved one.
#[derive(Debug)]
struct FileCheck {
    contiguity: Contiguity,
    walker: Option<Walker>,
    last: u64,
    /// A sequence was skipped: the sequence, until it shows up (reorder) or the file ends (delete).
    jump: Option<(u64, u64)>,
}

impl FileCheck {
    fn record(&mut self, record: &Record) -> ControlFlow<()> {
        if let Some((wanted, _)) = self.jump {
            return if record.sequence == wanted {
                self.reorder(record)
            } else {
                ControlFlow::Continue(())
            };
        }
        if !record.is_intact() {
            let follows = self.walker.is_some() && self.contiguity == Contiguity::Chain;
            let place = if follows { self.last + 1 } else { record.sequence };
            let detail = "its content does not fit its hash".into();
            return self.fail(place, TamperingKind::Flip, detail);
        }
        let previous = match (&self.walker, self.contiguity) {
            (Some(_), Contiguity::Selection) if record.sequence <= self.last => {
                return self.reorder(record);
            }
            (None, _) if record.sequence == 1 => Some(Hash::GENESIS),
            (None, _) | (Some(_), Contiguity::Selection) => Some(record.previous),
            (Some(_), Contiguity::Chain) => None,
        };
        if let Some(hash) = previous {
            let before = Head { length: record.sequence.saturating_sub(1), hash };
            self.restart(before);
        } else if record.sequence > self.last + 1 {
            self.jump = Some((self.last + 1, record.sequence));
            return ControlFlow::Continue(());
        } else if record.sequence <= self.last {
            return self.reorder(record);
        }
        self.last = record.sequence;
        self.walker
            .as_mut()
            .map_or(ControlFlow::Continue(()), |w| w.record(record.sequence, record))
    }

    /// Trusts the record before: at the file's beginning, and between the records of a selection.
    fn restart(&mut self, before: Head) {
        match &mut self.walker {
            Some(walker) => walker.rebase(before),
            None => self.walker = Some(Walker::new(before, 0)),
        }
    }

    fn reorder(&mut self, record: &Record) -> ControlFlow<()> {
        let place = self.jump.take().map_or(record.sequence, |(wanted, _)| wanted);
        let detail = format!("record {} stands in another place of the file", record.sequence);
        self.fail(place, TamperingKind::Reorder, detail)
    }

    fn flip(&mut self, detail: String) {
        let place = self.jump.take().map_or(self.last + 1, |(wanted, _)| wanted);
        let _ = self.fail(place, TamperingKind::Flip, detail);
    }

    fn fail(&mut self, sequence: u64, kind: TamperingKind, detail: String) -> ControlFlow<()> {
        let walker = self.walker.get_or_insert_with(|| Walker::new(Head::EMPTY, 0));
        walker.fail(Tampering { sequence, kind, detail })
    }

    fn finish(mut self, replicated: Option<&Head>) -> Verification {
        if let Some((wanted, next)) = self.jump.take() {
            let detail = format!("it is missing, the next one is {next}");
            let _ = self.fail(wanted, TamperingKind::Delete, detail);
        }
        let mut walker = self.walker.unwrap_or_else(|| Walker::new(Head::EMPTY, 0));
        if self.contiguity == Contiguity::Chain {
            walker.reach(replicated.map_or(0, |head| head.length));
        }
        walker.finish(replicated)
    }
}

fn parse_hash(text: &str) -> Option<Hash> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(Hash(hash))
}

fn parse_request_id(text: &str) -> Option<RequestId> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    (digits.len() == 32).then(|| u128::from_str_radix(&digits, 16).ok().map(RequestId))?
}

/// The moment that [`Timestamp`] prints as `text`: `2026-11-21T02:24:46.123Z`, in UTC, with milliseconds.
fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, ms) = time.split_once('.')?;
    let mut clock = clock.splitn(3, ':').map(|part| part.parse::<u64>().ok());
    let (h, m, s) = (clock.next()??, clock.next()??, clock.next()??);
    if year < 1970
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || h > 23
        || m > 59
        || s > 59
    {
        return None;
    }
    let of_day = ((h * 60 + m) * 60 + s) * 1000 + ms.parse::<u64>().ok().filter(|ms| *ms < 1000)?;
    days(year, month, day)?.checked_mul(86_400_000)?.checked_add(of_day).map(Timestamp)
}

/// Days since 1970-01-01, by eras of 400 years that begin on 1 March.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, yoe) = (year / 400, year % 400);
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era.checked_mul(146_097)?.checked_add(doe)?.checked_sub(719_468)
}
