//! Whether the chain is what it was, and if not, where it breaks and how.
//!
//! Intuition: records are read in the order of their keys. Each must be the record of its key, fit its own hash,
//! and carry the hash of the one before. The replicated head, which lies in the state of every replica, guards the
//! end, where a chain cannot guard itself.
//!
//! Edge cases: of two intact neighbours that do not link, one was rewritten together with its hash. The record
//! after them tells which: the neighbour that *it* links to is genuine. A hole that waits for back-fill is not
//! tampering; it is reported beside the finding. Verification never changes anything.

use std::fmt;
use std::ops::{ControlFlow, RangeInclusive};

use holdfast_core::audit::{Hash, Head, Record};

use crate::StoreError;
use crate::position::Position;
use crate::store::{AuditStore, Order};

/// How a chain was tampered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TamperingKind {
    /// A record was changed: it does not fit its hash, or it was rewritten together with its hash.
    Flip,
    /// A record is missing.
    Delete,
    /// A record stands in the place of another one.
    Reorder,
    /// The chain is intact and shorter than the replicated one.
    TruncatedTail,
    /// The chain is intact and another one than the replicated one.
    Divergence,
}

impl TamperingKind {
    /// `flip`, `delete`, `reorder`, `truncated_tail` or `divergence`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Flip => "flip",
            Self::Delete => "delete",
            Self::Reorder => "reorder",
            Self::TruncatedTail => "truncated_tail",
            Self::Divergence => "divergence",
        }
    }
}

/// The first bad record and what was done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tampering {
    /// The place in the chain.
    pub sequence: u64,
    /// What was done.
    pub kind: TamperingKind,
    /// How it shows.
    pub detail: String,
}

impl fmt::Display for Tampering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}: {}: {}", self.sequence, self.kind.label(), self.detail)
    }
}

/// What a walk over the chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// How many records were checked and found good, before the first bad one.
    pub checked: u64,
    /// The first sequence that was looked at.
    pub first: u64,
    /// The head that the good records reach.
    pub head: Head,
    /// The first bad record.
    pub finding: Option<Tampering>,
    /// Records that were never received and wait for back-fill.
    pub missing: Option<RangeInclusive<u64>>,
}

impl Verification {
    /// Whether every record is there and good.
    pub fn is_ok(&self) -> bool {
        self.finding.is_none() && self.missing.is_none()
    }
}

/// Decodes a stored record; `None` unless the bytes are exactly the canonical encoding of one.
pub(crate) fn decode(bytes: &[u8]) -> Option<Record> {
    let record: Record = postcard::from_bytes(bytes).ok()?;
    (encode(&record) == bytes).then_some(record)
}

/// The canonical encoding of a record, as it is stored.
pub(crate) fn encode(record: &Record) -> Vec<u8> {
    postcard::to_allocvec(record).expect("plain data of bounded depth always encodes")
}

/// Checks records in the order of their keys.
#[derive(Debug)]
pub(crate) struct Walker {
    first: u64,
    checked: u64,
    /// The head that good records reach.
    head: Head,
    /// The last sequence that must be there.
    until: u64,
    /// Two intact neighbours do not link: the hash of the second one, until the third tells which was rewritten.
    doubt: Option<Hash>,
    finding: Option<Tampering>,
}

impl Walker {
    /// A walk that begins after `before`, and must reach at least `until`.
    pub(crate) fn new(before: Head, until: u64) -> Self {
        let first = before.length + 1;
        Self { first, checked: 0, head: before, until, doubt: None, finding: None }
    }

    /// Looks at the next key; breaks at the first bad record.
    pub(crate) fn step(&mut self, key: u64, bytes: &[u8]) -> ControlFlow<()> {
        match decode(bytes) {
            Some(record) => self.record(key, &record),
            None if self.doubt.is_some() => self.settle_doubt(None),
            None if key != self.expected() => self.deleted(key),
            None => self.found(key, TamperingKind::Flip, "the stored bytes are no record".into()),
        }
    }

    /// Looks at the record stored under `key`.
    pub(crate) fn record(&mut self, key: u64, record: &Record) -> ControlFlow<()> {
        if self.doubt.is_some() {
            return self.settle_doubt(Some(record.previous));
        }
        let expected = self.expected();
        if key != expected {
            return self.deleted(key);
        }
        if !record.is_intact() {
            let detail = "its content does not fit its hash".into();
            return self.found(key, TamperingKind::Flip, detail);
        }
        if record.sequence != key {
            let detail = format!("record {} stands in its place", record.sequence);
            return self.found(key, TamperingKind::Reorder, detail);
        }
        if record.previous != self.head.hash {
            if self.checked == 0 {
                let detail = "it does not link to the record before it".into();
                return self.found(key, TamperingKind::Flip, detail);
            }
            self.doubt = Some(record.hash);
            return ControlFlow::Continue(());
        }
        self.head = record.head();
        self.checked += 1;
        ControlFlow::Continue(())
    }

    /// Goes on after `before`, which is trusted: what lies in between was left out on purpose.
    pub(crate) fn rebase(&mut self, before: Head) {
        self.head = before;
    }

    /// The chain must reach at least `until`.
    pub(crate) fn reach(&mut self, until: u64) {
        self.until = self.until.max(until);
    }

    /// Ends the walk with a finding of the caller's, unless there is one.
    pub(crate) fn fail(&mut self, tampering: Tampering) -> ControlFlow<()> {
        if self.finding.is_none() {
            self.finding = Some(tampering);
        }
        self.doubt = None;
        ControlFlow::Break(())
    }

    /// The result, held against the head that every replica agrees on.
    pub(crate) fn finish(mut self, replicated: Option<&Head>) -> Verification {
        if let Some(hash) = self.doubt {
            let genuine = replicated.is_some_and(|head| head.hash == hash);
            let _: ControlFlow<()> = self.settle_doubt(genuine.then_some(hash));
        }
        if self.finding.is_none() {
            self.judge_end(replicated);
        }
        Verification {
            checked: self.checked,
            first: self.first,
            head: self.head,
            finding: self.finding,
            missing: None,
        }
    }

    fn judge_end(&mut self, replicated: Option<&Head>) {
        let length = self.head.length;
        if length < self.until {
            let detail = format!("the chain ends at {length}, it had {}", self.until);
            let _ = self.found(length + 1, TamperingKind::TruncatedTail, detail);
        } else if let Some(head) = replicated
            && head.length == length
            && head.hash != self.head.hash
        {
            let detail =
                format!("its hash is {}, the replicated one is {}", self.head.hash, head.hash);
            let _ = self.found(length, TamperingKind::Divergence, detail);
        }
    }

    fn expected(&self) -> u64 {
        self.head.length + 1
    }

    fn deleted(&mut self, key: u64) -> ControlFlow<()> {
        let detail = format!("it is missing, the next one is {key}");
        self.found(self.expected(), TamperingKind::Delete, detail)
    }

    fn settle_doubt(&mut self, linked_to: Option<Hash>) -> ControlFlow<()> {
        let later_is_genuine = linked_to.is_some() && linked_to == self.doubt;
        let sequence = if later_is_genuine { self.head.length } else { self.expected() };
        let detail =
            "it was rewritten together with its hash and does not link to its neighbours".into();
        if later_is_genuine {
            self.checked -= 1;
        }
        self.found(sequence, TamperingKind::Flip, detail)
    }

    fn found(&mut self, sequence: u64, kind: TamperingKind, detail: String) -> ControlFlow<()> {
        self.finding = Some(Tampering { sequence, kind, detail });
        self.doubt = None;
        ControlFlow::Break(())
    }
}

/// Walks `range` of what `position` says is there.
pub(crate) fn verify(
    store: &dyn AuditStore,
    position: &Position,
    range: RangeInclusive<u64>,
    replicated: Option<&Head>,
) -> Result<Verification, StoreError> {
    let end = replicated.map_or(0, |head| head.length).max(position.head.length).min(*range.end());
    let Some(hole) = &position.hole else {
        return walk(
            store,
            (position.base, *range.start()),
            end,
            replicated.or(Some(&position.head)),
        );
    };
    let lower_end = hole.low.length.min(end);
    let mut below = walk(store, (position.base, *range.start()), lower_end, Some(&hole.low))?;
    below.missing = Some(hole.missing());
    if below.finding.is_some() || end <= hole.to.length {
        return Ok(below);
    }
    let start = (*range.start()).max(hole.to.length + 1);
    let above = walk(store, (hole.to, start), end, replicated.or(Some(&position.head)))?;
    Ok(Verification {
        checked: below.checked + above.checked,
        first: below.first,
        missing: below.missing,
        ..above
    })
}

/// Walks from `start`, or from after the trusted `base` where that is later, to `end`.
fn walk(
    store: &dyn AuditStore,
    (base, start): (Head, u64),
    end: u64,
    trusted: Option<&Head>,
) -> Result<Verification, StoreError> {
    let before = match start.checked_sub(1) {
        Some(before) if before > base.length => match store.get(before)?.as_deref().map(decode) {
            Some(Some(record)) if record.sequence == before => record.head(),
            Some(_) => return Ok(unanchored(before, TamperingKind::Flip, "is no record")),
            None if before > end => Head { length: before, hash: Hash::GENESIS },
            None => return Ok(unanchored(before, TamperingKind::Delete, "is missing")),
        },
        _ => base,
    };
    let mut walker = Walker::new(before, end);
    // One key beyond the end tells a record deleted at the end of the range from a tail that was cut off.
    store.scan(before.length + 1..=u64::MAX, Order::Ascending, &mut |key, bytes| {
        if key > end && walker.head.length >= end {
            return ControlFlow::Break(());
        }
        walker.step(key, bytes)
    })?;
    Ok(walker.finish(trusted))
}

fn unanchored(sequence: u64, kind: TamperingKind, how: &str) -> Verification {
    let detail = format!("the record before the range {how}");
    let finding = Some(Tampering { sequence, kind, detail });
    let head = Head { length: sequence - 1, hash: Hash::GENESIS };
    Verification { checked: 0, first: sequence + 1, head, finding, missing: None }
}
