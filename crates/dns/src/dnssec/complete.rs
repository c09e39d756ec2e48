//! Puts signatures and proofs into a reply.
//!
//! The reply is written anew: each set of records with its signatures behind it, then the proofs. What the zone does
//! not sign stays unsigned: delegations and glue (RFC 4035, 2.2), and additional records, which are a courtesy.

use std::sync::Arc;

use holdfast_core::Timestamp;
use holdfast_core::spec::{Kind, RecordData};
use holdfast_core::view::Answers;
use smallvec::SmallVec;

use super::denial::{Denied, NSEC, Proof, expanded_from, prove};
use super::maker::{Maker, Set};
use super::message::{Parsed, Record, Section, push_fixed, push_owner};
use super::name::{core_name, parent};
use super::signatures::Signatures;
use super::zone::{Signed, Signers, Standing};
use crate::limits::HEADER;

/// The data of sets of so many records are gathered without allocating.
const USUAL_RECORDS: usize = 16;

const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const DS: u16 = 43;
const NX: u8 = 3;

/// What became of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Completed {
    /// Nothing of it is in a signed zone.
    Unsigned,
    /// It is signed.
    Signed,
    /// It cannot be signed: this agent has not the keys.
    Unable,
    /// It cannot be signed now: too much is signed already, or it is too long.
    Exhausted,
}

/// What is done to make a reply whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) name_end: usize,
    /// The most bytes of the reply.
    pub(crate) limit: u16,
    /// The client takes NXDOMAIN with a compact proof (RFC 9824, 5).
    pub(crate) compact_ok: bool,
    /// The name asked for is known to exist: no wildcard stands in for it.
    pub(crate) exists: bool,
    pub(crate) now: Timestamp,
}

/// Completes replies; one for each thread that answers, and one for what is signed beforehand.
#[derive(Debug)]
pub(crate) struct Completer {
    parsed: Parsed,
    question: Vec<u8>,
    next: Vec<u8>,
    maker: Maker,
}

impl Completer {
    /// One that completes what somebody waits for.
    pub(crate) fn new(shared: Arc<Signatures>) -> Self {
        Self::with(Maker::for_replies(shared))
    }

    /// One that makes signatures before anybody asks for them.
    pub(super) fn ahead(shared: Arc<Signatures>) -> Self {
        Self::with(Maker::ahead(shared))
    }

    fn with(maker: Maker) -> Self {
        Self { parsed: Parsed::default(), question: Vec::new(), next: Vec::new(), maker }
    }

    pub(super) fn maker(&mut self) -> &mut Maker {
        &mut self.maker
    }

    /// Completes a reply without OPT.
    pub(crate) fn complete(
        &mut self,
        (signers, answers): (&Signers, &Answers),
        asked: Asked,
        out: &mut Vec<u8>,
    ) -> Completed {
        let code = out[3] & 0x0f;
        if signers.is_empty() || !matches!(code, 0 | NX) || out[2] & crate::plain::TC != 0 {
            return Completed::Unsigned;
        }
        self.question.clear();
        self.question.extend_from_slice(&out[HEADER..asked.name_end]);
        self.question.make_ascii_lowercase();
        match signers.zone_of(&self.question) {
            None => return Completed::Unsigned,
            Some(Standing::Unable(_)) => return Completed::Unable,
            Some(Standing::Signed(_)) => {}
        }
        if self.parsed.read(out, asked.name_end + 4).is_none() {
            return Completed::Exhausted;
        }
        self.next.clear();
        self.next.extend_from_slice(&out[..asked.name_end + 4]);
        let mut writer = Writer {
            signers,
            answers,
            parsed: &self.parsed,
            question: &self.question,
            maker: &mut self.maker,
            exists: asked.exists,
            now: asked.now,
            out: &mut self.next,
            counts: [0; 3],
        };
        let Some(compact) = writer.write(code) else { return Completed::Exhausted };
        for (place, count) in [6, 8, 10].into_iter().zip(writer.counts) {
            self.next[place..place + 2].copy_from_slice(&count.to_be_bytes());
        }
        if compact && code == NX && !asked.compact_ok {
            self.next[3] &= 0xf0;
        }
        if self.next.len() > usize::from(asked.limit) {
            return Completed::Exhausted;
        }
        std::mem::swap(out, &mut self.next);
        Completed::Signed
    }
}

/// One reply being written.
struct Writer<'a> {
    signers: &'a Signers,
    answers: &'a Answers,
    parsed: &'a Parsed,
    question: &'a [u8],
    maker: &'a mut Maker,
    exists: bool,
    now: Timestamp,
    out: &'a mut Vec<u8>,
    counts: [u16; 3],
}

impl<'a> Writer<'a> {
    /// Writes all sections; true if the proof is a compact one. `None` where a signature cannot be had.
    fn write(&mut self, code: u8) -> Option<bool> {
        let parsed = self.parsed;
        let same = |a: &Record, b: &Record| {
            (a.section, a.kind) == (b.section, b.kind) && parsed.owner(a) == parsed.owner(b)
        };
        let mut proofs: Vec<(&'a Signed, Proof, u32)> = Vec::new();
        let mut denied = self.question;
        for set in parsed.records.chunk_by(same) {
            let [first, ..] = set else { continue };
            if first.section == Section::Additional {
                break;
            }
            self.push_set(set);
            let expanded = self.sign_set(set)?;
            proofs.extend(expanded);
            if (first.section, first.kind) == (Section::Answer, CNAME) {
                denied = parsed.data(first);
            }
            let delegation = self.delegation(first);
            if delegation {
                proofs.extend(self.prove_delegation(parsed.owner(first), first.ttl)?);
            }
            if (first.section, first.kind) == (Section::Authority, SOA) {
                let asked = (code != NX).then(|| self.asked_kind());
                let denied = Denied { name: denied, kind: asked, expanded: false };
                proofs.extend(self.prove(denied, first.ttl)?);
            }
        }
        let compact = proofs.iter().any(|(_, proof, _)| proof.kind == NSEC);
        for (zone, proof, ttl) in &proofs {
            self.push_proof(zone, proof, *ttl)?;
        }
        let additional = |record: &&Record| record.section == Section::Additional;
        for record in parsed.records.iter().filter(additional) {
            self.push_set(std::slice::from_ref(record));
        }
        Some(compact)
    }

    fn asked_kind(&self) -> u16 {
        let at = HEADER + self.question.len();
        u16::from_be_bytes([self.out[at], self.out[at + 1]])
    }

    /// The zone that signs a set of this owner: of a DS, the one above the cut.
    fn zone_of(&self, owner: &[u8], kind: u16) -> Option<&'a Arc<Signed>> {
        let name = if kind == DS { parent(owner) } else { owner };
        match self.signers.zone_of(name)? {
            Standing::Signed(signed) => Some(signed),
            Standing::Unable(_) => None,
        }
    }

    fn delegation(&self, record: &Record) -> bool {
        let owner = self.parsed.owner(record);
        let zone = self.zone_of(owner, NS);
        record.section == Section::Authority
            && record.kind == NS
            && zone.is_some_and(|zone| &*zone.signer.apex != owner)
    }

    fn push_set(&mut self, set: &[Record]) {
        for record in set {
            let data = self.parsed.data(record);
            push_owner(self.parsed.owner(record), self.question, self.out);
            push_fixed(record.kind, record.ttl, data.len(), self.out);
            self.out.extend_from_slice(data);
            self.counts[record.section as usize] += 1;
        }
    }

    /// Signs a set; the proof that a wildcard may stand in, where one did and the zone has a chain.
    fn sign_set(&mut self, set: &[Record]) -> Option<Vec<(&'a Signed, Proof, u32)>> {
        let first = &set[0];
        let owner = self.parsed.owner(first);
        let Some(zone) = self.zone_of(owner, first.kind) else { return Some(Vec::new()) };
        if first.kind == NS && *zone.signer.apex != *owner {
            return Some(Vec::new());
        }
        let exists = *zone.signer.apex == *owner || self.exists && owner == self.question;
        let encloser = (zone.chain.is_some() && !exists)
            .then(|| expanded_from(self.answers, &zone.signer.name, owner))
            .flatten();
        let wild = encloser.as_ref().map(|encloser| [b"\x01*", &encloser[..]].concat());
        let mut data: SmallVec<[&[u8]; USUAL_RECORDS]> =
            set.iter().map(|record| self.parsed.data(record)).collect();
        let covered = wild.as_deref().unwrap_or(owner);
        let count = self.maker.push_signatures(
            &zone.signer,
            Set { covered, kind: first.kind, ttl: first.ttl, data: &mut data },
            (owner, self.question, self.now),
            self.out,
        )?;
        self.counts[first.section as usize] += count;
        match encloser {
            Some(_) => {
                let denied = Denied { name: owner, kind: None, expanded: true };
                self.prove(denied, zone.negative_ttl)
            }
            None => Some(Vec::new()),
        }
    }

    fn prove(&self, denied: Denied<'_>, ttl: u32) -> Option<Vec<(&'a Signed, Proof, u32)>> {
        let Some(zone) = self.zone_of(denied.name, SOA) else { return Some(Vec::new()) };
        let proofs = prove(self.answers, &zone.signer, zone.chain.as_ref(), denied)?;
        Some(proofs.into_iter().map(|proof| (&**zone, proof, ttl)).collect())
    }

    /// The DS records of a delegation, or the proof that there are none.
    fn prove_delegation(
        &mut self,
        cut: &'a [u8],
        ttl: u32,
    ) -> Option<Vec<(&'a Signed, Proof, u32)>> {
        let here = self.answers.names.get(&core_name(cut));
        let is_ds = |(data, _): &(RecordData, u32)| data.kind() == Kind::DS;
        let set = here.into_iter().flat_map(|here| &here.sets);
        let Some(set) = set.into_iter().find(|set| set.records.first().is_some_and(is_ds)) else {
            return self.prove(Denied { name: cut, kind: Some(DS), expanded: false }, ttl);
        };
        let data: Vec<Vec<u8>> = set.records.iter().filter_map(|(data, _)| ds_data(data)).collect();
        let ttl = crate::record::seconds(set.ttl);
        for data in &data {
            push_owner(cut, self.question, self.out);
            push_fixed(DS, ttl, data.len(), self.out);
            self.out.extend_from_slice(data);
            self.counts[Section::Authority as usize] += 1;
        }
        let zone = self.zone_of(cut, DS)?;
        let mut data: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        let count = self.maker.push_signatures(
            &zone.signer,
            Set { covered: cut, kind: DS, ttl, data: &mut data },
            (cut, self.question, self.now),
            self.out,
        )?;
        self.counts[Section::Authority as usize] += count;
        Some(Vec::new())
    }

    fn push_proof(&mut self, zone: &Signed, proof: &Proof, ttl: u32) -> Option<()> {
        push_owner(&proof.owner, self.question, self.out);
        push_fixed(proof.kind, ttl, proof.data.len(), self.out);
        self.out.extend_from_slice(&proof.data);
        let count = self.maker.push_signatures(
            &zone.signer,
            Set { covered: &proof.owner, kind: proof.kind, ttl, data: &mut [&proof.data] },
            (&proof.owner, self.question, self.now),
            self.out,
        )?;
        self.counts[Section::Authority as usize] += 1 + count;
        Some(())
    }
}

fn ds_data(data: &RecordData) -> Option<Vec<u8>> {
    let RecordData::Ds { key_tag, algorithm, digest_type, digest } = data else { return None };
    Some([&key_tag.to_be_bytes()[..], &[*algorithm, *digest_type], digest].concat())
}
