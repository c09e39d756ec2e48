//! A reply taken apart: its records with names in full and in lower case, and the writing of records into a new one.
//!
//! Only replies that were made here are read, so what cannot be read is a bug, told by `None`.

use std::ops::Range;

use super::canonical::lower_names;
use crate::compiled::labels;
use crate::limits::HEADER;

/// Sections that hold records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Answer,
    Authority,
    Additional,
}

/// Types in whose data names may be compressed, with the bytes before the names and how many names there are.
const NAMED: [(u16, usize, usize); 7] =
    [(2, 0, 1), (5, 0, 1), (6, 0, 2), (12, 0, 1), (15, 2, 1), (33, 6, 1), (39, 0, 1)];

/// A record; owner and data are places in the arena.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) section: Section,
    pub(super) owner: Range<usize>,
    pub(super) kind: u16,
    pub(super) ttl: u32,
    pub(super) data: Range<usize>,
}

/// A reply's records.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) arena: Vec<u8>,
    pub(super) records: Vec<Record>,
}

impl Parsed {
    /// Reads the records behind the question.
    pub(super) fn read(&mut self, message: &[u8], question_end: usize) -> Option<()> {
        self.arena.clear();
        self.records.clear();
        let mut at = question_end;
        for (place, section) in
            [(6, Section::Answer), (8, Section::Authority), (10, Section::Additional)]
        {
            for _ in 0..u16::from_be_bytes([*message.get(place)?, *message.get(place + 1)?]) {
                self.read_record(message, section, &mut at)?;
            }
        }
        Some(())
    }

    fn read_record(&mut self, message: &[u8], section: Section, at: &mut usize) -> Option<()> {
        let owner = self.read_name(message, at)?;
        let fixed: &[u8; 10] = message.get(*at..)?.first_chunk()?;
        let kind = u16::from_be_bytes([fixed[0], fixed[1]]);
        let ttl = u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
        let length = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        *at += fixed.len();
        let end = *at + length;
        let begin = self.arena.len();
        if let Some((_, before, names)) = NAMED.iter().find(|(named, ..)| *named == kind) {
            self.arena.extend_from_slice(message.get(*at..*at + before)?);
            *at += before;
            for _ in 0..*names {
                self.read_name(message, at)?;
            }
        }
        self.arena.extend_from_slice(message.get(*at..end)?);
        lower_names(kind, &mut self.arena[begin..]);
        *at = end;
        let data = begin..self.arena.len();
        self.records.push(Record { section, owner, kind, ttl, data });
        Some(())
    }

    /// Copies a name in full and in lower case; pointers only lead back.
    fn read_name(&mut self, message: &[u8], at: &mut usize) -> Option<Range<usize>> {
        let begin = self.arena.len();
        let (mut here, mut followed) = (*at, false);
        loop {
            let length = usize::from(*message.get(here)?);
            if length >= 0xc0 {
                let target = (length & 0x3f) << 8 | usize::from(*message.get(here + 1)?);
                if !followed {
                    *at = here + 2;
                }
                followed = true;
                here = (target < here).then_some(target)?;
                continue;
            }
            let label = message.get(here..=here + length)?;
            self.arena.extend_from_slice(label);
            here += 1 + length;
            if length == 0 {
                break;
            }
        }
        if !followed {
            *at = here;
        }
        // Length bytes are at most 63 and so no letters.
        self.arena[begin..].make_ascii_lowercase();
        Some(begin..self.arena.len())
    }

    /// The sets: records of one section, owner and type, one after the other.
    pub(super) fn sets(&self) -> impl Iterator<Item = &[Record]> {
        self.records.chunk_by(|a, b| {
            (a.section, a.kind) == (b.section, b.kind) && self.owner(a) == self.owner(b)
        })
    }

    pub(super) fn owner(&self, record: &Record) -> &[u8] {
        &self.arena[record.owner.clone()]
    }

    pub(super) fn data(&self, record: &Record) -> &[u8] {
        &self.arena[record.data.clone()]
    }
}

/// Writes an owner: as much of it as the question ends with is a pointer there.
pub(super) fn push_owner(owner: &[u8], question: &[u8], out: &mut Vec<u8>) {
    for (at, label) in labels(owner) {
        let rest = &owner[at..];
        let shared = question.len().checked_sub(rest.len()).filter(|at| question[*at..] == *rest);
        if let Some(place) = shared.filter(|place| begins_label(question, *place)) {
            out.extend_from_slice(&(0xc000 | (HEADER + place) as u16).to_be_bytes());
            return;
        }
        out.push(label.len() as u8);
        out.extend_from_slice(label);
    }
    out.push(0);
}

fn begins_label(name: &[u8], place: usize) -> bool {
    labels(name).any(|(begin, _)| begin == place)
}

/// Writes what stands between owner and data: type, class IN, TTL, length.
pub(super) fn push_fixed(kind: u16, ttl: u32, length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&[0, 1]);
    out.extend_from_slice(&ttl.to_be_bytes());
    // Data have at most 65,535 bytes.
    out.extend_from_slice(&(length as u16).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_data_come_out_in_full_and_owners_go_in_short() {
        let mut message = vec![0, 0, 0x80, 0, 0, 1, 0, 1, 0, 0, 0, 0];
        message.extend_from_slice(b"\x03wWw\x04tEst\0\0\x0f\0\x01");
        let end = message.len();
        message.extend_from_slice(b"\xc0\x0c\0\x0f\0\x01\0\0\0\x05\0\x09\0\x0a\x04Mail\xc0\x10");
        let mut parsed = Parsed::default();
        parsed.read(&message, end).expect("our own");
        let record = &parsed.records[0];
        assert_eq!(parsed.owner(record), b"\x03www\x04test\0");
        assert_eq!(parsed.data(record), b"\0\x0a\x04mail\x04test\0");
        let question = b"\x03www\x04test\0";
        let mut out = Vec::new();
        push_owner(b"\x03www\x04test\0", question, &mut out);
        push_owner(b"\x01a\x04test\0", question, &mut out);
        push_owner(b"\x01a\x05other\0", question, &mut out);
        assert_eq!(out, b"\xc0\x0c\x01a\xc0\x10\x01a\x05other\0");
        assert!(parsed.read(&message[..end + 5], end).is_none());
    }
}
