//! Following the chain as it grows.
//!
//! Level-triggered: a follower watches what is durable and reads from where it stands, so a slow one misses nothing
//! and costs the writer nothing. Records that wait for back-fill are passed over.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use holdfast_core::audit::Record;
use tokio::sync::watch;

use crate::log::AuditLog;
use crate::position::Durable;
use crate::store::Order;
use crate::verify::decode;
use crate::{ExportError, StoreError};

/// Records that are read ahead.
const READ_AHEAD: usize = 256;

/// Hands out records from a place on, and waits for more.
#[derive(Debug)]
pub struct Follow {
    log: AuditLog,
    durable: watch::Receiver<Durable>,
    next: u64,
    ready: VecDeque<Record>,
}

impl AuditLog {
    /// Follows the chain from `sequence` on.
    pub fn follow(&self, sequence: u64) -> Follow {
        Follow {
            log: self.clone(),
            durable: self.durable(),
            next: sequence.max(self.first_sequence()),
            ready: VecDeque::new(),
        }
    }
}

impl Follow {
    /// The next record, once it is durable. Safe to cancel. Errors: the store failed, or a record is damaged.
    pub async fn next(&mut self) -> Result<Record, ExportError> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Ok(record);
            }
            let head = self.durable.borrow_and_update().sequence;
            if self.next <= head {
                self.read_to(head)?;
            } else {
                let ended = |_| StoreError::new("follow", "the audit log was closed");
                self.durable.changed().await.map_err(ended)?;
            }
        }
    }

    fn read_to(&mut self, head: u64) -> Result<(), ExportError> {
        let mut undecodable = None;
        let (ready, next) = (&mut self.ready, &mut self.next);
        let range = *next..=head;
        let mut all = true;
        self.log.store().scan(range, Order::Ascending, &mut |sequence, bytes| {
            if ready.len() == READ_AHEAD {
                all = false;
                return ControlFlow::Break(());
            }
            *next = sequence + 1;
            match decode(bytes) {
                Some(record) => {
                    ready.push_back(record);
                    ControlFlow::Continue(())
                }
                None => {
                    undecodable = Some(sequence);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(sequence) = undecodable {
            return Err(ExportError::Undecodable { sequence });
        }
        if all {
            *next = head + 1;
        }
        Ok(())
    }
}
