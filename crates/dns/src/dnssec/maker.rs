//! Finds the signatures of a set of records, or makes them: for a reply that somebody waits for, within what a thread may
//! make, or before anybody asks.
//!
//! Invariant: a signature is a function of what it covers, so it does not matter who made it, when, or for whom.

use std::sync::Arc;
use std::time::Duration;

use holdfast_core::Timestamp;
use holdfast_core::view::Answers;
use holdfast_sign::{Signed as Covered, Slot, digest_of, push_rrsig_head, slot_at, sorted_into};
use metrics::Counter;

use super::budget::{Budget, Demand};
use super::existence::is_made_up;
use super::message::{push_fixed, push_owner};
use super::name::{label_count, shift_of};
use super::presigned::Filler;
use super::signatures::{Own, Signature, Signatures};
use super::zone::ZoneSigner;
use crate::metric;

pub(super) const RRSIG: u16 = 46;
/// So long before a signature's slot ends, the next one is made.
pub(super) const LEAD: Duration = Duration::from_secs(3600);

/// Finds signatures, or makes them.
#[derive(Debug)]
pub(super) struct Maker {
    shared: Arc<Signatures>,
    purpose: Purpose,
    covered: Vec<u8>,
    made: Counter,
}

/// What signatures are made for.
#[derive(Debug)]
enum Purpose {
    /// A reply that somebody waits for.
    Reply { own: Own, budget: Budget },
    /// Whatever may be asked later. What finds no room is counted.
    Ahead { filler: Filler, left_out: usize },
}

/// A set of records to sign.
pub(super) struct Set<'a, 'b> {
    /// The owner that the signature covers: a wildcard, where one stood in.
    pub(super) covered: &'a [u8],
    pub(super) kind: u16,
    pub(super) ttl: u32,
    pub(super) data: &'b mut [&'a [u8]],
}

/// The reply that signatures go into.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reply<'a> {
    pub(super) answers: &'a Answers,
    /// The name asked for, in wire form and lower case.
    pub(super) question: &'a [u8],
    /// The network of whoever asks.
    pub(super) network: u64,
    pub(super) now: Timestamp,
}

impl Maker {
    pub(super) fn for_replies(shared: Arc<Signatures>) -> Self {
        let purpose = Purpose::Reply { own: Own::default(), budget: Budget::default() };
        Self { shared, purpose, covered: Vec::new(), made: metric::signatures("asked") }
    }

    pub(super) fn ahead(shared: Arc<Signatures>) -> Self {
        let purpose = Purpose::Ahead { filler: Filler::default(), left_out: 0 };
        Self { shared, purpose, covered: Vec::new(), made: metric::signatures("presigned") }
    }

    /// Begins to go through all that may be asked; does nothing for replies.
    pub(super) fn begin(&mut self) {
        if let Purpose::Ahead { filler, left_out } = &mut self.purpose {
            filler.begin();
            *left_out = 0;
        }
    }

    /// Forgets what was not come by since `begin`. Says how many signatures are kept, and how many found no room.
    pub(super) fn end(&mut self) -> (usize, usize) {
        match &mut self.purpose {
            Purpose::Ahead { filler, left_out } => (filler.end(&self.shared.presigned), *left_out),
            Purpose::Reply { .. } => (0, 0),
        }
    }

    /// Writes the signatures of a set, one by each key, behind it, and says how many. `None` where one cannot be had.
    /// What is made beforehand is made for the next slot too if that is near; what is written then is for nobody.
    pub(super) fn push_signatures(
        &mut self,
        zone: &ZoneSigner,
        mut set: Set<'_, '_>,
        (owner, reply): (&[u8], Reply<'_>),
        out: &mut Vec<u8>,
    ) -> Option<u16> {
        let (validity, shift) = (zone.dnssec.validity, shift_of(set.covered));
        let slot = slot_at(reply.now, validity, shift);
        self.push_slot(zone, &mut set, (owner, reply, &slot), out)?;
        let ends = Timestamp(slot.ends.saturating_mul(1000));
        if matches!(self.purpose, Purpose::Ahead { .. }) && ends <= reply.now + LEAD {
            let next = slot_at(ends, validity, shift);
            self.push_slot(zone, &mut set, (owner, reply, &next), out)?;
        }
        // A zone has one key, or two.
        Some(zone.keys.len() as u16)
    }

    fn push_slot(
        &mut self,
        zone: &ZoneSigner,
        set: &mut Set<'_, '_>,
        (owner, reply, slot): (&[u8], Reply<'_>, &Slot),
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let covered = Covered {
            kind: set.kind,
            labels: label_count(set.covered),
            ttl: set.ttl,
            signer: &zone.apex,
        };
        for (place, (algorithm, tag, _)) in zone.keys.iter().enumerate() {
            self.covered.clear();
            push_rrsig_head(&covered, slot, (*algorithm, *tag), &mut self.covered);
            let head = self.covered.len();
            sorted_into(set.covered, set.kind, set.ttl, set.data, &mut self.covered);
            let signature = self.signature((zone, place), (set.covered, set.kind), reply)?;
            push_owner(owner, reply.question, out);
            push_fixed(RRSIG, set.ttl, head + signature.len(), out);
            out.extend_from_slice(&self.covered[..head]);
            out.extend_from_slice(&signature);
        }
        Some(())
    }

    /// The signature of what is covered, by a key of the zone.
    fn signature(
        &mut self,
        (zone, key): (&ZoneSigner, usize),
        set: (&[u8], u16),
        reply: Reply<'_>,
    ) -> Option<Signature> {
        let digest = digest_of(&self.covered);
        let known = self.shared.find(&digest);
        match &mut self.purpose {
            Purpose::Reply { own, budget } => {
                if let Some(known) = known.or_else(|| own.find(&digest)) {
                    return Some(known);
                }
                let demand = match is_made_up(reply.answers, &zone.name, set) {
                    true => Demand::MadeUp(reply.network),
                    false => Demand::Declared,
                };
                if !budget.take(reply.now, demand) {
                    return None;
                }
                let signature = zone.keys[key].2.sign(&self.covered);
                self.made.increment(1);
                own.keep(digest, signature);
                if demand == Demand::Declared {
                    self.shared.share(digest, signature);
                }
                Some(signature)
            }
            Purpose::Ahead { filler, left_out } => {
                let signature = known.unwrap_or_else(|| {
                    self.made.increment(1);
                    zone.keys[key].2.sign(&self.covered)
                });
                let room = filler.put(&self.shared.presigned, digest, signature);
                *left_out += usize::from(!room);
                Some(signature)
            }
        }
    }
}
