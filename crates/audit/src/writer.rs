//! The one place that writes: takes a group of work, stages it, writes and syncs once, then tells the world.
//!
//! ```text
//! Append ──┐          ┌ puts: sequence ─▶ bytes ┐
//! Reach  ──┼─ stage ─▶┤ position                ├─▶ write ─▶ sync ─▶ publish ─▶ replies
//! Backfill ┘          └ clear                   ┘
//! ```
//!
//! The writer has no thread of its own: a thread drives it in an agent, the caller itself in a simulation. A failed
//! write or sync halts it for good, because after a failed fsync nobody knows what is on disk; only a write that found
//! no room leaves what was there before as it was, and can be mended. A record that is derived again must equal the
//! stored one; otherwise this replica is not what it believes to be, and it halts.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use holdfast_core::audit::{Head, Record};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::position::{Durable, Hole, Position};
use crate::recovery::{follows, recover};
use crate::shared::Shared;
use crate::store::AuditStore;
use crate::verify::encode;
use crate::{BackfillError, Halted, StoreError};

/// The largest record, encoded. Above what the core can make, so that it only stops what is absurd.
pub(crate) const MAX_RECORD_BYTES: usize = 4 << 20;

/// What the writer is asked to do.
#[derive(Debug)]
pub(crate) enum Work {
    /// Store records; with them everything up to this log index is complete.
    Append { records: Vec<Record>, through: u64 },
    /// The chain reaches this head: in a snapshot through this log index that was installed, or, without one, over
    /// records that were passed over and that the log can still derive.
    Reach { head: Head, through: Option<u64> },
    /// Store a peer's records.
    Backfill { records: Vec<Record>, reply: oneshot::Sender<Result<Filled, BackfillError>> },
    /// Say when everything before is durable.
    Settle { reply: oneshot::Sender<Result<Durable, Halted>> },
    /// Open the store again after a halt, and say where it stands.
    Mend { reply: oneshot::Sender<Result<Position, Halted>> },
}

/// What a back-fill brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// How many records were new.
    pub taken: u64,
    /// What is still missing.
    pub missing: Option<RangeInclusive<u64>>,
}

/// The records and the position that the next write will make true.
#[derive(Debug)]
struct Stage {
    position: Position,
    puts: BTreeMap<u64, Vec<u8>>,
    /// What is missing may be there all the same, disowned; it is removed after the write, so that a crash in
    /// between leaves nothing that the position counts on.
    clear: bool,
    replies: Vec<Reply>,
}

#[derive(Debug)]
enum Reply {
    Filled(oneshot::Sender<Result<Filled, BackfillError>>, Result<Filled, BackfillError>),
    Settled(oneshot::Sender<Result<Durable, Halted>>),
}

/// Writes.
#[derive(Debug)]
pub(crate) struct Writer {
    store: Arc<dyn AuditStore>,
    shared: Arc<Shared>,
    position: Position,
    tail_check: u64,
}

impl Writer {
    /// A writer that goes on from `position`; a mended store is checked over its last `tail_check` records.
    pub(crate) fn new(
        store: Arc<dyn AuditStore>,
        shared: Arc<Shared>,
        position: Position,
        tail_check: u64,
    ) -> Self {
        Self { store, shared, position, tail_check }
    }

    /// Does work, with one sync for all between two menders.
    pub(crate) fn process(&mut self, works: Vec<Work>) {
        let mut group = Vec::new();
        for work in works {
            match work {
                Work::Mend { reply } => {
                    self.process_group(std::mem::take(&mut group));
                    // Whoever asked may have left; then the log stays halted until somebody asks again.
                    drop(reply.send(self.mend()));
                }
                work => group.push(work),
            }
        }
        self.process_group(group);
    }

    /// Opens the store again, believes what recovery believes, and writes something, to see whether there is room.
    fn mend(&mut self) -> Result<Position, Halted> {
        self.store.reopen().map_err(|error| no_room(error.to_string()))?;
        let position = recover(&*self.store, self.tail_check)
            .map_err(|refusal| no_room(refusal.to_string()))?;
        let trial = self.store.write(&BTreeMap::new(), &position.encode());
        trial.and_then(|()| self.store.sync()).map_err(|error| failed(&error))?;
        self.position = position.clone();
        Ok(position)
    }

    /// Does a group of work with one sync.
    fn process_group(&mut self, group: Vec<Work>) {
        let mut stage = Stage {
            position: self.position.clone(),
            puts: BTreeMap::new(),
            clear: false,
            replies: Vec::new(),
        };
        let mut group = group.into_iter();
        let mut trouble = self.shared.halted();
        while trouble.is_none() {
            let Some(work) = group.next() else { break };
            trouble = self.stage(work, &mut stage).err();
        }
        let trouble = self.commit(&stage).err().or(trouble);
        if let Some(halted) = &trouble {
            self.shared.halt(halted);
        }
        self.answer(stage.replies, trouble.as_ref());
        if let Some(halted) = trouble {
            group.for_each(|work| self.refuse(work, &halted));
        }
    }

    fn stage(&self, work: Work, stage: &mut Stage) -> Result<(), Halted> {
        match work {
            Work::Append { records, through } => {
                self.shared.dequeued(records.len());
                for record in &records {
                    self.stage_record(record, stage)?;
                }
                stage.position.index = stage.position.index.max(through);
                Ok(())
            }
            Work::Reach { head, through } => {
                self.stage_reach(head, through, stage)?;
                stage.position.index = stage.position.index.max(through.unwrap_or(0));
                Ok(())
            }
            Work::Backfill { records, reply } => {
                let result = stage_backfill(&records, stage);
                stage.replies.push(Reply::Filled(reply, result));
                Ok(())
            }
            Work::Settle { reply } => {
                stage.replies.push(Reply::Settled(reply));
                Ok(())
            }
            Work::Mend { .. } => unreachable!("it is done between two groups"),
        }
    }

    fn stage_record(&self, record: &Record, stage: &mut Stage) -> Result<(), Halted> {
        let bytes = encode(record);
        let sequence = record.sequence;
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(halted(format!(
                "record {sequence} has {} bytes, at most {MAX_RECORD_BYTES} are stored",
                bytes.len()
            )));
        }
        if sequence > stage.position.head.length {
            if !follows(record, &stage.position.head) {
                return Err(diverges(sequence, "it does not link to the stored chain"));
            }
            stage.position.head = record.head();
            stage.puts.insert(sequence, bytes);
            return Ok(());
        }
        if stage.position.missing().is_some_and(|hole| hole.contains(&sequence)) {
            // Derived again after a restart: as good as a peer's where it is next, and of no use where it is not.
            let _ = stage_backfill(std::slice::from_ref(record), stage);
            return Ok(());
        }
        if sequence <= stage.position.base.length {
            return Ok(());
        }
        match self.stored(sequence, stage)? {
            Some(stored) if stored == bytes => Ok(()),
            Some(_) => {
                Err(diverges(sequence, "it was derived again and differs from the stored one"))
            }
            None => Err(diverges(sequence, "it should be stored and is not")),
        }
    }

    fn stage_reach(
        &self,
        head: Head,
        through: Option<u64>,
        stage: &mut Stage,
    ) -> Result<(), Halted> {
        let position = &mut stage.position;
        if head.length > position.head.length {
            let owed = through.is_none().then(|| position.durable().index);
            let hole = match position.hole.take() {
                // What lies above the old hole is dropped: one hole, which ends in a trusted hash.
                Some(hole) => Hole { to: head, owed, ..hole },
                None => Hole { start: position.head, low: position.head, to: head, owed },
            };
            stage.clear = true;
            stage.puts.retain(|sequence, _| *sequence <= hole.low.length);
            position.hole = Some(hole);
            position.head = head;
            return Ok(());
        }
        let hole = position.hole.as_ref();
        let known = match head.length {
            length if length == position.head.length => Some(position.head.hash),
            length if length == position.base.length => Some(position.base.hash),
            length if length < position.base.length => None,
            length if hole.is_some_and(|hole| hole.missing().contains(&length)) => None,
            length => {
                let bytes = self.stored(length, stage)?;
                let record = bytes.as_deref().and_then(crate::verify::decode);
                Some(record.ok_or_else(|| diverges(length, "it should be stored and is not"))?.hash)
            }
        };
        match known {
            Some(hash) if hash != head.hash => {
                Err(diverges(head.length, "the snapshot's chain has another hash here"))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn stored(&self, sequence: u64, stage: &Stage) -> Result<Option<Vec<u8>>, Halted> {
        if let Some(bytes) = stage.puts.get(&sequence) {
            return Ok(Some(bytes.clone()));
        }
        self.store.get(sequence).map_err(|error| failed(&error))
    }

    fn commit(&mut self, stage: &Stage) -> Result<(), Halted> {
        let index_only =
            Position { index: self.position.index, ..stage.position.clone() } == self.position;
        if !index_only || !stage.puts.is_empty() {
            let started = Instant::now();
            self.write(stage).map_err(|error| failed(&error))?;
            self.shared.metrics.sync.record(started.elapsed().as_secs_f64());
            let taken = u64::try_from(stage.puts.len()).expect("a group is bounded");
            self.shared.metrics.records.increment(taken);
        }
        self.position = stage.position.clone();
        self.shared.publish(&self.position);
        Ok(())
    }

    fn write(&self, stage: &Stage) -> Result<(), StoreError> {
        self.store.write(&stage.puts, &stage.position.encode())?;
        self.store.sync()?;
        match stage.position.missing() {
            Some(range) if stage.clear => self.store.remove(range),
            Some(_) | None => Ok(()),
        }
    }

    fn answer(&self, replies: Vec<Reply>, trouble: Option<&Halted>) {
        for reply in replies {
            // Whoever asked may have left; then nobody needs the answer.
            match (reply, trouble) {
                (Reply::Filled(reply, result), None) => drop(reply.send(result)),
                (Reply::Filled(reply, _), Some(halted)) => {
                    drop(reply.send(Err(BackfillError::Halted(halted.clone()))));
                }
                (Reply::Settled(reply), None) => drop(reply.send(Ok(self.position.durable()))),
                (Reply::Settled(reply), Some(halted)) => drop(reply.send(Err(halted.clone()))),
            }
        }
    }

    fn refuse(&self, work: Work, halted: &Halted) {
        match work {
            Work::Append { records, .. } => self.shared.dequeued(records.len()),
            Work::Reach { .. } => {}
            Work::Backfill { reply, .. } => drop(reply.send(Err(halted.clone().into()))),
            Work::Settle { reply } => drop(reply.send(Err(halted.clone()))),
            Work::Mend { .. } => unreachable!("it is done between two groups"),
        }
    }
}

/// Stages a peer's records at the low end of the hole. What is refused leaves the stage as it was.
fn stage_backfill(records: &[Record], stage: &mut Stage) -> Result<Filled, BackfillError> {
    let hole = stage.position.hole.clone().ok_or(BackfillError::NothingMissing)?;
    let (mut low, mut puts) = (hole.low, BTreeMap::new());
    let wanted = records.iter().filter(|record| hole.missing().contains(&record.sequence));
    for record in wanted {
        if record.sequence != low.length + 1 {
            return Err(BackfillError::Unexpected {
                expected: low.length + 1,
                got: record.sequence,
            });
        }
        if !follows(record, &low) {
            let reason = "it does not fit its hash or its predecessor".into();
            return Err(BackfillError::Broken { sequence: record.sequence, reason });
        }
        low = record.head();
        puts.insert(record.sequence, encode(record));
    }
    let Some(taken) = u64::try_from(puts.len()).ok().filter(|taken| *taken > 0) else {
        let got = records.first().map_or(0, |record| record.sequence);
        return Err(BackfillError::Unexpected { expected: low.length + 1, got });
    };
    if low.length == hole.to.length && low.hash != hole.to.hash {
        let emptied = Hole { low: hole.start, ..hole };
        stage.clear = true;
        stage.puts.retain(|sequence, _| !emptied.missing().contains(sequence));
        stage.position.hole = Some(emptied);
        return Err(BackfillError::WrongChain { sequence: low.length });
    }
    stage.position.hole = (low.length < hole.to.length).then_some(Hole { low, ..hole });
    stage.puts.append(&mut puts);
    Ok(Filled { taken, missing: stage.position.missing() })
}

/// A halt for good.
fn halted(reason: String) -> Halted {
    Halted { reason, mendable: false }
}

/// A halt that is tried again.
fn no_room(reason: String) -> Halted {
    Halted { reason, mendable: true }
}

fn failed(error: &StoreError) -> Halted {
    Halted { reason: error.to_string(), mendable: error.is_full() }
}

fn diverges(sequence: u64, reason: &str) -> Halted {
    halted(format!("record {sequence} diverges from the chain: {reason}"))
}
