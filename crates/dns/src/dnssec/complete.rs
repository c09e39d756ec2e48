//! Puts signatures and proofs into a reply.
//!
//! The reply is written anew: each set of records with its signatures behind it, then the proofs. What the zone does
//! not sign stays unsigned: delegations and glue (RFC 4035, 2.2), the CNAME that follows from a DNAME (RFC 6672, 5.3.1),
//! and additional records, which are a courtesy and make room for signatures and proofs (RFC 2181, 9).

use std::sync::Arc;

use holdfast_core::Timestamp;
use holdfast_core::spec::{Kind, RecordData};
use holdfast_core::view::Answers;
use smallvec::SmallVec;

use super::denial::{Denied, NSEC, Proof, expanded_from, prove};
use super::maker::{Maker, RRSIG, Reply, Set};
use super::message::{Parsed, Record, Section, push_fixed, push_owner};
use super::name::{core_name, parent, upwards};
use super::signatures::Signatures;
use super::zone::{Signed, Signers, Standing};
use crate::limits::HEADER;
use crate::record::seconds;

/// The data of sets of so many records are gathered without allocating.
const USUAL_RECORDS: usize = 16;

const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const DNAME: u16 = 39;
const DS: u16 = 43;
const NX: u8 = 3;
/// A DNAME makes the name too long: it is told, and signed, to say so (RFC 6672, 2.2).
const YX: u8 = 6;

/// What became of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Completed {
    /// Nothing of it is in a signed zone.
    Unsigned,
    /// It is signed.
    Signed,
    /// It cannot be signed: this agent has not the keys.
    Unable,
    /// It cannot be signed: this agent's clock is far behind the group's time.
    Behind,
    /// It cannot be signed now: too much is signed already.
    Exhausted,
    /// It has no signed form: it is too long with its signatures, or, which is a bug, it cannot be read or nothing proves
    /// what it denies.
    Formless,
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
    /// The network of whoever asks.
    pub(crate) network: u64,
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
        if signers.is_empty() || !matches!(code, 0 | NX | YX) || out[2] & crate::plain::TC != 0 {
            return Completed::Unsigned;
        }
        self.question.clear();
        self.question.extend_from_slice(&out[HEADER..asked.name_end]);
        self.question.make_ascii_lowercase();
        if signers.zone_of(&self.question).is_none() && !leads_out(out, asked.name_end) {
            return Completed::Unsigned;
        }
        if self.parsed.read(out, asked.name_end + 4).is_none() {
            return Completed::Formless;
        }
        self.next.clear();
        self.next.extend_from_slice(&out[..asked.name_end + 4]);
        let mut writer = Writer {
            signers,
            answers,
            parsed: &self.parsed,
            question: &self.question,
            maker: &mut self.maker,
            asked,
            out: &mut self.next,
            counts: [0; 3],
        };
        let compact = match writer.write(code) {
            Ok(compact) => compact,
            Err(why) => return why,
        };
        for (place, count) in [6, 8, 10].into_iter().zip(writer.counts) {
            self.next[place..place + 2].copy_from_slice(&count.to_be_bytes());
        }
        if compact && code == NX && !asked.compact_ok {
            self.next[3] &= 0xf0;
        }
        if self.next.len() > usize::from(asked.limit) {
            return Completed::Formless;
        }
        std::mem::swap(out, &mut self.next);
        Completed::Signed
    }
}

/// Whether an answer may be of another zone than its question: after a CNAME or DNAME, or of the zone above an apex.
fn leads_out(reply: &[u8], name_end: usize) -> bool {
    let kind = |at: usize| reply.get(at..at + 2).map(|kind| u16::from_be_bytes([kind[0], kind[1]]));
    // The first owner is a pointer into the question, or is written out: then it is above it, and begins a DNAME.
    let first = name_end + 4;
    let renamed = reply.get(first).is_some_and(|length| *length < 0xc0);
    let answered = reply[6..8] != [0, 0];
    let renamed = renamed || matches!(kind(first + 2), Some(CNAME | DNAME));
    kind(name_end) == Some(DS) || answered && renamed
}

/// Something of a reply; the error is what becomes of the reply instead.
type Written<T> = Result<T, Completed>;

/// Records of a proof, with the zone that they are of.
type Proofs<'a> = Vec<(&'a Signed, Proof)>;

/// One reply being written.
struct Writer<'a> {
    signers: &'a Signers,
    answers: &'a Answers,
    parsed: &'a Parsed,
    question: &'a [u8],
    maker: &'a mut Maker,
    asked: Asked,
    out: &'a mut Vec<u8>,
    counts: [u16; 3],
}

impl<'a> Writer<'a> {
    /// Writes all sections; true if the proof is a compact one.
    fn write(&mut self, code: u8) -> Written<bool> {
        let parsed = self.parsed;
        let mut proofs = Proofs::new();
        let mut told = false;
        let mut denied = self.question;
        for set in parsed.sets() {
            let first = &set[0];
            let owner = parsed.owner(first);
            match (first.section, first.kind) {
                (Section::Additional, _) => break,
                (Section::Authority, SOA) => {
                    let zone = self.zone_of(owner, SOA)?;
                    told = zone.is_some_and(|zone| self.is_proof_asked(zone, code));
                    let kind = (code != NX && !told).then(|| self.asked_kind());
                    let denied = Denied { name: denied, kind, expanded: false };
                    proofs.extend(self.prove(zone, denied)?);
                    if told {
                        continue;
                    }
                }
                (Section::Answer, CNAME) => denied = parsed.data(first),
                _ => {}
            }
            proofs.extend(self.push_signed(set)?);
            if self.is_delegation(first) {
                proofs.extend(self.prove_delegation(owner)?);
            }
        }
        let compact = proofs.iter().any(|(_, proof)| proof.kind == NSEC);
        let section = if told { Section::Answer } else { Section::Authority };
        for (zone, proof) in &proofs {
            self.push_proof(zone, proof, section)?;
        }
        self.push_additional();
        Ok(compact)
    }

    /// Writes the additional records: all that the reply needs, and of the others the sets that fit.
    fn push_additional(&mut self) {
        let parsed = self.parsed;
        let additional = |set: &&[Record]| set[0].section == Section::Additional;
        for set in parsed.sets().filter(additional) {
            let (end, counts) = (self.out.len(), self.counts);
            self.push_set(set);
            if self.out.len() > usize::from(self.asked.limit) && !self.is_glue(&set[0]) {
                self.out.truncate(end);
                self.counts = counts;
            }
        }
    }

    /// Whether a delegation cannot be followed without this record (RFC 9471).
    fn is_glue(&self, record: &Record) -> bool {
        let owner = self.parsed.owner(record);
        let cuts = self.parsed.records.iter().filter(|cut| self.is_delegation(cut));
        cuts.into_iter().any(|cut| upwards(owner).any(|above| above == self.parsed.owner(cut)))
    }

    fn asked_kind(&self) -> u16 {
        let at = HEADER + self.question.len();
        u16::from_be_bytes([self.out[at], self.out[at + 1]])
    }

    /// Whether the question is for the proof itself, or for its signature: then it is no proof that they are not there.
    fn is_proof_asked(&self, zone: &Signed, code: u8) -> bool {
        let exists = code != NX || !self.asked.compact_ok;
        exists && zone.chain.is_none() && [NSEC, RRSIG].contains(&self.asked_kind())
    }

    /// The zone that signs a set of this owner, if one does: of a DS, the one above the cut.
    fn zone_of(&self, owner: &[u8], kind: u16) -> Written<Option<&'a Arc<Signed>>> {
        let name = if kind == DS { parent(owner) } else { owner };
        match self.signers.zone_of(name) {
            Some(Standing::Signed(signed)) => {
                let behind = signed.signer.is_behind(self.asked.now, self.answers.at);
                if behind { Err(Completed::Behind) } else { Ok(Some(signed)) }
            }
            Some(Standing::Unable(_)) => Err(Completed::Unable),
            Some(Standing::Unsigned) | None => Ok(None),
        }
    }

    fn is_delegation(&self, record: &Record) -> bool {
        let owner = self.parsed.owner(record);
        record.section == Section::Authority
            && record.kind == NS
            && matches!(self.zone_of(owner, NS), Ok(Some(zone)) if *zone.signer.apex != *owner)
    }

    /// Whether a record only says what follows from a DNAME of the same answer.
    fn is_synthesized(&self, record: &Record) -> bool {
        let above = parent(self.parsed.owner(record));
        let mut renames = self.parsed.records.iter().filter(|other| other.kind == DNAME);
        record.kind == CNAME
            && renames.any(|dname| upwards(above).any(|name| name == self.parsed.owner(dname)))
    }

    /// Writes a set with its signatures; of an answer to a question for signatures only these.
    fn push_signed(&mut self, set: &[Record]) -> Written<Proofs<'a>> {
        let signatures_alone = self.asked_kind() == RRSIG && set[0].section == Section::Answer;
        if !signatures_alone {
            self.push_set(set);
        }
        self.sign_set(set)
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
    fn sign_set(&mut self, set: &[Record]) -> Written<Proofs<'a>> {
        let first = &set[0];
        let owner = self.parsed.owner(first);
        let Some(zone) = self.zone_of(owner, first.kind)? else { return Ok(Proofs::new()) };
        let cut = first.kind == NS && *zone.signer.apex != *owner;
        if cut || self.is_synthesized(first) {
            return Ok(Proofs::new());
        }
        let exists = *zone.signer.apex == *owner || self.asked.exists && owner == self.question;
        let encloser = (zone.chain.is_some() && !exists)
            .then(|| expanded_from(self.answers, &zone.signer.name, owner))
            .flatten();
        let wild = encloser.as_ref().map(|encloser| [b"\x01*", &encloser[..]].concat());
        let mut data: SmallVec<[&[u8]; USUAL_RECORDS]> =
            set.iter().map(|record| self.parsed.data(record)).collect();
        let covered = wild.as_deref().unwrap_or(owner);
        let set = Set { covered, kind: first.kind, ttl: first.ttl, data: &mut data };
        self.push_signatures(zone, set, (owner, first.section))?;
        match encloser {
            Some(_) => {
                let denied = Denied { name: owner, kind: None, expanded: true };
                self.prove(Some(zone), denied)
            }
            None => Ok(Proofs::new()),
        }
    }

    /// Writes the signatures of a set, which fall in a section, by the owner that is told.
    fn push_signatures(
        &mut self,
        zone: &Signed,
        set: Set<'_, '_>,
        (owner, section): (&[u8], Section),
    ) -> Written<()> {
        let reply = Reply {
            answers: self.answers,
            question: self.question,
            network: self.asked.network,
            now: self.asked.now,
        };
        let count = self.maker.push_signatures(&zone.signer, set, (owner, reply), self.out);
        self.counts[section as usize] += count.ok_or(Completed::Exhausted)?;
        Ok(())
    }

    /// What proves a denial within a zone, if that is signed.
    fn prove(&self, zone: Option<&'a Arc<Signed>>, denied: Denied<'_>) -> Written<Proofs<'a>> {
        let Some(zone) = zone else { return Ok(Proofs::new()) };
        let proofs = prove(self.answers, &zone.signer, zone.chain.as_ref(), denied);
        let proofs = proofs.ok_or(Completed::Formless)?;
        Ok(proofs.into_iter().map(|proof| (&**zone, proof)).collect())
    }

    /// The DS records of a delegation, or the proof that there are none.
    fn prove_delegation(&mut self, cut: &'a [u8]) -> Written<Proofs<'a>> {
        let Some(zone) = self.zone_of(cut, DS)? else { return Ok(Proofs::new()) };
        let here = self.answers.names.get(&core_name(cut));
        let is_ds = |(data, _): &(RecordData, u32)| data.kind() == Kind::DS;
        let set = here.into_iter().flat_map(|here| &here.sets);
        let Some(set) = set.into_iter().find(|set| set.records.first().is_some_and(is_ds)) else {
            return self.prove(Some(zone), Denied { name: cut, kind: Some(DS), expanded: false });
        };
        let data: Vec<Vec<u8>> = set.records.iter().filter_map(|(data, _)| ds_data(data)).collect();
        let ttl = seconds(set.ttl);
        for data in &data {
            push_owner(cut, self.question, self.out);
            push_fixed(DS, ttl, data.len(), self.out);
            self.out.extend_from_slice(data);
            self.counts[Section::Authority as usize] += 1;
        }
        let mut data: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        let set = Set { covered: cut, kind: DS, ttl, data: &mut data };
        self.push_signatures(zone, set, (cut, Section::Authority))?;
        Ok(Proofs::new())
    }

    /// Writes a proof with its signatures; where these alone are asked for, without the proof.
    fn push_proof(&mut self, zone: &Signed, proof: &Proof, section: Section) -> Written<()> {
        let ttl = self.negative_ttl(zone);
        if section == Section::Authority || self.asked_kind() != RRSIG {
            push_owner(&proof.owner, self.question, self.out);
            push_fixed(proof.kind, ttl, proof.data.len(), self.out);
            self.out.extend_from_slice(&proof.data);
            self.counts[section as usize] += 1;
        }
        let set = Set { covered: &proof.owner, kind: proof.kind, ttl, data: &mut [&proof.data] };
        self.push_signatures(zone, set, (&proof.owner, section))
    }

    /// The TTL of a zone's proofs, in seconds: that of its negative answers (RFC 9077).
    fn negative_ttl(&self, zone: &Signed) -> u32 {
        let zone = self.answers.zones.get(&zone.signer.name);
        zone.map_or(0, |zone| seconds(zone.negative_ttl.min(zone.zone.ttl)))
    }
}

fn ds_data(data: &RecordData) -> Option<Vec<u8>> {
    let RecordData::Ds { key_tag, algorithm, digest_type, digest } = data else { return None };
    Some([&key_tag.to_be_bytes()[..], &[*algorithm, *digest_type], digest].concat())
}
