//! A plain question, and one that was answered before, is answered without allocating.
#![expect(unsafe_code, reason = "an allocator that counts can only be written so")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use hickory_proto::rr::RecordType;

use holdfast_core::spec::{Denial, KeyAlgorithm};

use crate::fixture::{exchange, query, responder, udp};
use crate::signed::{Later, query as signed_query, responders, sealing, signed, zone_key};

/// The system's allocator, and how often this thread has asked it.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn signed_answers_to_plain_questions_allocate_nothing() {
    for denial in [Denial::Compact, Denial::Nsec3] {
        let keys = [zone_key(KeyAlgorithm::EcdsaP256, 7), zone_key(KeyAlgorithm::Ed25519, 8)];
        let [mut responder, _] = responders(sealing(), signed(7, &keys, denial), Later(0));
        let owners = [("shop", 1), ("SHOP", 1), ("pair", 28), ("host1", 1)];
        let wires =
            owners.map(|(owner, kind)| signed_query(&format!("{owner}.example.test"), kind));
        let mut reply = Vec::with_capacity(1232);
        let mut answer_all = || {
            for wire in &wires {
                responder.acquire();
                assert!(responder.respond(wire, udp(), &mut reply) && reply[7] > 2, "signed");
                responder.release();
            }
        };
        // What is made once: counters, the signatures of each choice, and buffers of their length.
        (0..10).for_each(|_| answer_all());
        let before = ALLOCATIONS.get();
        (0..100).for_each(|_| answer_all());
        assert_eq!(ALLOCATIONS.get(), before, "{denial:?}");
    }
}

#[test]
fn plain_questions_allocate_nothing() {
    let mut responder = responder();
    let wires = [
        query("shop.example.test.", RecordType::A, None),
        query("SHOP.example.test.", RecordType::AAAA, Some(1232)),
        query("pair.example.test.", RecordType::AAAA, Some(1232)),
        query("no.such.name.example.test.", RecordType::A, Some(1232)),
        query("crowd.example.test.", RecordType::A, None),
        query("elsewhere.test.", RecordType::A, None),
        query("www.example.test.", RecordType::A, None),
        query("example.test.", RecordType::SOA, Some(1232)),
    ];
    let mut reply = Vec::with_capacity(1232);
    let mut answer_all = || {
        responder.acquire();
        let answered = wires.iter().all(|wire| responder.respond(wire, udp(), &mut reply));
        responder.release();
        assert!(answered);
    };
    // What is made once: the counters of each kind of answer, and what is remembered.
    answer_all();
    let before = ALLOCATIONS.get();
    (0..100).for_each(|_| answer_all());
    assert_eq!(ALLOCATIONS.get(), before);
    let unheard = query("_srv._tcp.example.test.", RecordType::SRV, None);
    responder.acquire();
    exchange(&mut responder, &unheard, udp()).expect("an answer");
    assert_ne!(ALLOCATIONS.get(), before, "the count sees what the handler allocates");
}
