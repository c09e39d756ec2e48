//! Tests of the whole crate: chains made by the core's own rules, over sled in a directory or the store in memory.

mod append;
mod backfill;
mod export;
mod mend;
mod open;
mod query;
mod verify;

use std::sync::Arc;

use holdfast_core::audit::{Content, Head, Record};
use holdfast_core::command::ActorKind;
use holdfast_core::event::Event;
use holdfast_core::{Actor, AgentId, RequestId, ServiceId, Timestamp};

use crate::{AuditLog, Config, MemoryStore};

/// What the record of this sequence says: three services, two actors, several kinds, a request now and then.
fn content(sequence: u64) -> Content {
    let service = ["shop", "pay", "eu/mail"][usize::try_from(sequence % 3).expect("small")];
    let service = ServiceId::new(service).expect("valid");
    let alice = Actor { kind: ActorKind::Person, name: "alice".into() };
    let event = match sequence % 4 {
        0 => Event::ServiceApplied { digest: format!("digest-{sequence}") },
        1 => Event::TermBegan { term: sequence, leader: AgentId(1) },
        2 => Event::ServiceDeleted,
        _ => Event::CommandRefused {
            command: "apply_service".into(),
            reason: "STALE_REVISION".into(),
            message: format!("\"{sequence}\" – naïve\n"),
        },
    };
    Content {
        index: sequence * 2,
        at: Timestamp(1_790_000_000_000 + sequence * 1000),
        actor: if sequence.is_multiple_of(2) { alice } else { Actor::system() },
        request_id: sequence
            .is_multiple_of(5)
            .then_some(RequestId(u128::MAX - u128::from(sequence))),
        service: (!sequence.is_multiple_of(7)).then_some(service),
        event,
    }
}

/// The records after `head`.
fn chain_after(head: Head, count: u64) -> Vec<Record> {
    let mut head = head;
    (0..count)
        .map(|_| {
            let record = Record::after(&head, content(head.length + 1));
            head = record.head();
            record
        })
        .collect()
}

fn chain(count: u64) -> Vec<Record> {
    chain_after(Head::EMPTY, count)
}

/// Another history of the same length.
fn other_chain(count: u64) -> Vec<Record> {
    let mut head = Head::EMPTY;
    (0..count)
        .map(|_| {
            let mut content = content(head.length + 1);
            content.actor.name = "mallory".into();
            let record = Record::after(&head, content);
            head = record.head();
            record
        })
        .collect()
}

fn head_of(records: &[Record]) -> Head {
    records.last().expect("not empty").head()
}

fn over(store: &MemoryStore) -> AuditLog {
    let store = Arc::new(store.clone());
    AuditLog::synchronous(store, &Config::default()).expect("the store is sound").0
}

async fn filled(count: u64) -> (MemoryStore, AuditLog) {
    let store = MemoryStore::new();
    let log = over(&store);
    log.append(chain(count), count * 2).await.expect("appends");
    (store, log)
}
