//! The parts of answers that are the same for every question, in wire form, made when a view is published.
//!
//! Addresses, texts and other data without names are whole records whose owner is a pointer to the question. A negative
//! answer is the zone's SOA, made by the encoder that also answers without it; only its pointers depend on the question,
//! and they are put right in each answer.
//!
//! What it deliberately does not decide: which records an answer holds (`holdfast_core::steer::choose`).

use std::hint::black_box;
use std::sync::Arc;

use hickory_proto::serialize::binary::{BinEncodable as _, BinEncoder};
use holdfast_core::DnsName;
use holdfast_core::answer::{self, AnswerData, AnswerRecord, Kind};
use holdfast_core::spec::RecordData;
use holdfast_core::steer::{self, Client};
use holdfast_core::view::{Answers, NameAnswers, RecordSet, ZoneAnswers};
use smallvec::SmallVec;

use crate::limits::HEADER;
use crate::record::{seconds, uncompressed, wire_record};
use crate::table::hash_of;

/// So many names at most are remembered by hickory's encoder as targets of pointers.
const POINTER_TARGETS: usize = 64;
/// A label that no name of ours has, and so none of an SOA.
const FOREIGN_LABEL: [u8; 2] = [1, b'!'];
/// Sets of so many bytes need no memory of their own: two IPv4 addresses, or one IPv6 address.
const USUAL_RECORD: usize = 32;

/// The labels of a name in wire form, each with the place at which it begins.
pub(crate) fn labels(wire: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let length = usize::from(*wire.get(at)?);
        let label = wire.get(at + 1..at + 1 + length).filter(|label| !label.is_empty())?;
        let begin = at;
        at += 1 + length;
        Some((begin, label))
    })
}

/// The records of one type at one name, each whole; of types in which no name can be compressed.
#[derive(Debug)]
pub(crate) struct Flat {
    kind: Kind,
    bytes: SmallVec<[u8; USUAL_RECORD]>,
    /// Where each record ends.
    ends: Box<[usize]>,
    /// The set's place among the name's, where the client decides.
    steered: Option<usize>,
    /// Whether the choice asks where the client is.
    pub(crate) by_place: bool,
}

impl Flat {
    /// Compiles the set at this place; `None` where it holds another type.
    fn compile(set: &RecordSet, place: usize) -> Option<Self> {
        let mut bytes = SmallVec::new();
        let mut ends = Vec::with_capacity(set.records.len());
        let kind = set.records.first()?.0.kind();
        for (data, _) in &set.records {
            let data = flat(data).filter(|_| data.kind() == kind)?;
            // Owner: a pointer to the question. Class: IN.
            bytes.extend_from_slice(&[0xc0, HEADER as u8]);
            bytes.extend_from_slice(&kind.0.to_be_bytes());
            bytes.extend_from_slice(&[0, 1]);
            bytes.extend_from_slice(&seconds(set.ttl).to_be_bytes());
            bytes.extend_from_slice(&u16::try_from(data.len()).ok()?.to_be_bytes());
            bytes.extend_from_slice(&data);
            ends.push(bytes.len());
        }
        let steered = steer::varies(set).then_some(place);
        let by_place = steered.is_some() && steer::asks_for_place(set);
        Some(Self { kind, bytes, ends: ends.into(), steered, by_place })
    }

    /// Writes the records that a client gets; returns how many they are, and the scope of the choice.
    pub(crate) fn push(
        &self,
        here: &NameAnswers,
        client: &Client,
        out: &mut Vec<u8>,
    ) -> (usize, u8) {
        let Some(place) = self.steered else {
            out.extend_from_slice(&self.bytes);
            return (self.ends.len(), 0);
        };
        let mut count = 0;
        let scope = steer::choose(&here.sets[place], client, |record| {
            let begin = record.checked_sub(1).map_or(0, |before| self.ends[before]);
            out.extend_from_slice(&self.bytes[begin..self.ends[record]]);
            count += 1;
        });
        (count, scope)
    }
}

/// The data of types without names, and to which no address is added.
fn flat(data: &RecordData) -> Option<Vec<u8>> {
    match data {
        RecordData::A(address) => Some(address.octets().to_vec()),
        RecordData::Aaaa(address) => Some(address.octets().to_vec()),
        RecordData::Txt(texts) => {
            let mut bytes = Vec::with_capacity(data.wire_len());
            for text in texts {
                bytes.push(u8::try_from(text.len()).ok()?);
                bytes.extend_from_slice(text);
            }
            Some(bytes)
        }
        RecordData::Caa { .. } | RecordData::Other { .. } => uncompressed(data),
        _ => None,
    }
}

/// What is known about a name that exists: it has data, is an apex, or has names below it.
#[derive(Debug)]
pub(crate) struct Node {
    /// The place of its zone among the view's.
    pub(crate) zone: usize,
    data: Option<Data>,
    apex: bool,
    /// It is at a delegation, or below one or below a DNAME.
    shade: bool,
    /// What does not exist below it does not belong to its zone either.
    pub(crate) covers: bool,
}

#[derive(Debug)]
struct Data {
    here: Arc<NameAnswers>,
    /// As in `here`, which plain answers need not follow to.
    refused: bool,
    flat: Box<[Flat]>,
    /// The types that the handler answers.
    others: Box<[Kind]>,
}

/// How a question of one type is answered at a name that exists.
#[derive(Debug)]
pub(crate) enum Plan<'a> {
    Records(&'a Flat, &'a NameAnswers),
    NoData,
    Failure,
    /// Not compiled: the handler answers.
    Handler,
}

impl Node {
    /// Makes the node of a name that exists in this view.
    pub(crate) fn compile(answers: &Answers, name: &DnsName, zone: usize) -> Self {
        let data = answers.names.get(name).map(|here| Data::compile(Arc::clone(here)));
        let within = answer::zone_of(answers, name);
        let shade =
            within.is_some_and(|within| answer::cut_above(answers, within, (name, name)).is_some());
        let renames = data.as_ref().is_some_and(|data| data.others.contains(&Kind::DNAME));
        let apex = answers.zones.contains_key(name);
        Self { zone, data, apex, shade, covers: shade || renames }
    }

    /// How many compiled sets there are.
    pub(crate) fn parts(&self) -> usize {
        self.data.as_ref().map_or(0, |data| data.flat.len())
    }

    /// Reads a little of each compiled set, so that it is near.
    pub(crate) fn visit(&self) {
        for flat in self.data.iter().flat_map(|data| &data.flat) {
            black_box((flat.kind, flat.bytes.first()));
        }
    }

    /// How a question of this type is answered here.
    pub(crate) fn plan(&self, kind: u16) -> Plan<'_> {
        let kind = Kind(kind);
        let own = self.apex && matches!(kind, Kind::NS | Kind::SOA | Kind::DS | Kind::ANY);
        if own || self.shade {
            return Plan::Handler;
        }
        self.data.as_ref().map_or(Plan::NoData, |data| data.plan(kind))
    }
}

impl Data {
    fn compile(here: Arc<NameAnswers>) -> Self {
        let (mut flat, mut others) = (Vec::new(), Vec::new());
        for (place, set) in here.sets.iter().enumerate() {
            match Flat::compile(set, place) {
                Some(compiled) => flat.push(compiled),
                None => others.extend(set.records.first().map(|(data, _)| data.kind())),
            }
        }
        Self { refused: here.refused, here, flat: flat.into(), others: others.into() }
    }

    fn plan(&self, kind: Kind) -> Plan<'_> {
        let held = |kind: Kind| self.others.contains(&kind);
        let flat = self.flat.iter().find(|flat| flat.kind == kind);
        let elsewhere = match kind {
            Kind::ANY => !self.others.is_empty() || !self.flat.is_empty(),
            Kind::A | Kind::AAAA => held(Kind::ALIAS),
            _ => false,
        };
        match flat {
            _ if self.refused => Plan::Failure,
            _ if held(kind) => Plan::Handler,
            Some(flat) => Plan::Records(flat, &self.here),
            None if elsewhere || held(Kind::CNAME) => Plan::Handler,
            None => Plan::NoData,
        }
    }
}

/// A zone as negative answers need it.
#[derive(Debug)]
pub(crate) struct Zone {
    source: Arc<ZoneAnswers>,
    /// The bytes of its apex in wire form.
    apex_length: usize,
    /// The hash of its apex.
    pub(crate) hash: u64,
    tail: Option<Tail>,
}

impl Zone {
    /// Makes a zone, or takes the one before if nothing has changed.
    pub(crate) fn compile(source: &Arc<ZoneAnswers>, before: Option<&Arc<Self>>) -> Arc<Self> {
        if let Some(before) = before.filter(|before| Arc::ptr_eq(&before.source, source)) {
            return Arc::clone(before);
        }
        let apex = source.zone.name.to_wire();
        let tail = Tail::compile(&apex, &answer::negative_soa(source));
        let (apex_length, hash) = (apex.len(), hash_of(&apex));
        Arc::new(Self { source: Arc::clone(source), apex_length, hash, tail })
    }

    /// Whether answers are tailored to networks that resolvers tell.
    pub(crate) fn tailors(&self) -> bool {
        self.source.zone.client_subnet
    }

    pub(crate) fn name(&self) -> &DnsName {
        &self.source.zone.name
    }

    /// Writes the SOA of a negative answer behind the question, which `out` ends with. `None`, and nothing is written,
    /// where its names could be compressed against more of the question than the apex.
    pub(crate) fn push_tail(&self, name: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let tail = self.tail.as_ref()?;
        let apex = name.len() - self.apex_length;
        let (mut count, mut beside) = (0, None);
        for (at, label) in labels(name) {
            count += 1;
            if at < apex {
                beside = Some(label);
            }
        }
        let met = beside.is_some_and(|beside| tail.beside.iter().any(|label| **label == *beside));
        if met || count > tail.most_labels {
            return None;
        }
        tail.push(HEADER + apex, out);
        Some(())
    }
}

/// An SOA record that follows a question.
#[derive(Debug)]
struct Tail {
    bytes: Box<[u8]>,
    pointers: Vec<Pointer>,
    /// The labels of its names right below the apex.
    beside: Vec<Box<[u8]>>,
    /// Of a question's name, such that no name is lost as a target of pointers.
    most_labels: usize,
}

#[derive(Debug)]
struct Pointer {
    /// Where in the record it is.
    at: usize,
    /// Where it points to, from the apex in the question or from the record's begin.
    to: usize,
    in_question: bool,
}

impl Tail {
    fn compile(apex: &[u8], soa: &AnswerRecord) -> Option<Self> {
        let question = [&[0; HEADER], &FOREIGN_LABEL[..], apex, &[0; 4]].concat();
        let name_end = question.len() - 4;
        let mut message = question.clone();
        wire_record(soa)?.emit(&mut encoder_behind(&mut message, name_end)).ok()?;
        let bytes = message.get(question.len()..)?;
        let apex_at = HEADER + FOREIGN_LABEL.len();
        let mut pointers = Vec::new();
        let mut at = 0;
        for name in 0..3 {
            while !matches!(bytes.get(at)?, 0 | 0xc0..) {
                at += 1 + usize::from(bytes[at]);
            }
            if bytes[at] >= 0xc0 {
                let to = usize::from(u16::from_be_bytes([bytes[at] & 0x3f, *bytes.get(at + 1)?]));
                let in_question = to < name_end;
                let from = if in_question { apex_at } else { question.len() };
                pointers.push(Pointer { at, to: to.checked_sub(from)?, in_question });
                at += 1;
            }
            // Behind the owner: type, class, TTL and length.
            at += if name == 0 { 1 + 10 } else { 1 };
        }
        let AnswerData::Soa { primary, soa, .. } = &soa.data else { return None };
        let names = [primary, &soa.mailbox].map(DnsName::to_wire);
        let most_labels = POINTER_TARGETS
            .saturating_sub(names.iter().map(|name| labels(name).count()).sum::<usize>());
        let beside = names.iter().filter_map(|name| label_below(name, apex)).collect();
        Some(Self { bytes: bytes.into(), pointers, beside, most_labels })
    }

    fn push(&self, apex_at: usize, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&self.bytes);
        for pointer in &self.pointers {
            let from = if pointer.in_question { apex_at } else { begin };
            // A question and an SOA have far less than 2^14 bytes.
            let pointer_bytes = (0xc000 | (from + pointer.to) as u16).to_be_bytes();
            out[begin + pointer.at..][..2].copy_from_slice(&pointer_bytes);
        }
    }
}

/// The label of a name right below an apex that it is below.
fn label_below(name: &[u8], apex: &[u8]) -> Option<Box<[u8]>> {
    let at = name.len().checked_sub(apex.len()).filter(|at| name[*at..] == *apex)?;
    labels(name).take_while(|(begin, _)| *begin < at).last().map(|(_, label)| label.into())
}

/// An encoder that goes on behind header and question, and knows the question's name, in lower case, as a target of
/// compression.
pub(crate) fn encoder_behind(message: &mut Vec<u8>, name_end: usize) -> BinEncoder<'_> {
    let written = u32::try_from(message.len()).expect("a question has at most 271 bytes");
    let targets: Vec<usize> =
        labels(&message[HEADER..name_end]).map(|(begin, _)| HEADER + begin).collect();
    let mut encoder = BinEncoder::with_offset(message, written);
    for begin in targets {
        encoder.store_label_pointer(begin, name_end - 1);
    }
    encoder
}
