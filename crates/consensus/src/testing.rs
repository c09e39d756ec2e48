//! What the tests of this crate share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use holdfast_core::audit::{Head, Record};
use holdfast_core::spec::{NameServer, Soa, Zone};
use holdfast_core::{Actor, ActorKind, Command, DnsName, Entry, Timestamp};
use openraft::EntryPayload;
use openraft::entry::RaftEntry as _;
use openraft::vote::{RaftLeaderId as _, RaftVote as _};

use crate::audit_sink::AuditSink;
use crate::types::{Blob, LogId, RaftEntry, Types, Vote};

type LeaderId = openraft::alias::LeaderIdOf<Types>;

pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    LogId { leader_id: LeaderId::new(term, 0).to_committed(), index }
}

pub(crate) fn vote(term: u64, node: u64) -> Vote {
    Vote::from_leader_id(LeaderId::new(term, node), false)
}

/// A command of a person that changes the state and leaves an audit record.
pub(crate) fn mutation(number: u64) -> Entry {
    Entry {
        at: Timestamp(1_000_000 + number),
        request_id: None,
        actor: person(),
        command: Command::ApplyZone { zone: zone(number), if_revision: None },
    }
}

fn zone(number: u64) -> Zone {
    let name = zone_name(number);
    let server: DnsName = format!("ns.{name}").parse().expect("a name");
    let soa = Soa::new(server.clone());
    let name_servers = vec![NameServer { name: server, addresses: vec![[127, 0, 0, 1].into()] }];
    Zone::new(name, soa, name_servers, Duration::from_secs(60))
}

/// The zone that [`mutation`] declares.
pub(crate) fn zone_name(number: u64) -> DnsName {
    format!("z{number}.test").parse().expect("a name")
}

pub(crate) fn person() -> Actor {
    Actor { kind: ActorKind::Person, name: "ann".to_owned() }
}

pub(crate) fn normal(term: u64, index: u64, entry: &Entry) -> RaftEntry {
    let bytes = holdfast_wire::entry::encode(entry).into();
    RaftEntry::new(log_id(term, index), EntryPayload::Normal(Blob(bytes)))
}

/// An audit sink that remembers.
pub(crate) struct Records {
    seen: Mutex<Vec<Record>>,
    resets: Mutex<Vec<Head>>,
    durable: AtomicU64,
    refusal: Mutex<Option<String>>,
}

impl Default for Records {
    fn default() -> Self {
        Self {
            seen: Mutex::default(),
            resets: Mutex::default(),
            durable: AtomicU64::new(u64::MAX),
            refusal: Mutex::default(),
        }
    }
}

impl Records {
    pub(crate) fn resets(&self) -> Vec<Head> {
        self.resets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn seen(&self) -> Vec<Record> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_durable(&self, index: u64) {
        self.durable.store(index, Ordering::SeqCst);
    }

    pub(crate) fn refuse(&self, why: Option<&str>) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = why.map(str::to_owned);
    }
}

impl AuditSink for Records {
    fn append(&self, records: Vec<Record>) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).extend(records);
    }
    fn durable_index(&self) -> u64 {
        self.durable.load(Ordering::SeqCst)
    }
    fn refuse_mutations(&self) -> Option<String> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    fn reset(&self, head: Head) {
        self.resets.lock().unwrap_or_else(PoisonError::into_inner).push(head);
    }
}
