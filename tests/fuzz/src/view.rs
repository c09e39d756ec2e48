//! The two ways to an answer, over one view with the settings of a whole server: with the compiled answers, and without.
//!
//! Time stands still but for one clock: that of signing, by which a second passes before each input, so that what one
//! input has signed leaves the next as much. Without a rate limit: what a client is given depends on what it was given
//! before, and on chance.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use holdfast_core::Timestamp;
use holdfast_core::seam::Clock;
use holdfast_dns::{
    AnswersSource, ChaosConfig, CookieSecret, Cookies, Peer, Publisher, Responder, Settings,
    SigningContext, Streams as _, Transfers, Transport, signing_channel,
};
use tokio::runtime::{Builder, Runtime};

use crate::{declared, geo, tsig};

/// The seconds of the minute that the clock of signing goes through again and again, within which no signature ends.
const MINUTE: u64 = 60;

/// A clock that stands at noon.
pub(crate) struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp(tsig::NOW * 1000)
    }
}

/// A clock that is told when a second has passed.
#[derive(Debug, Default)]
struct Passing(AtomicU64);

impl Clock for Passing {
    fn now(&self) -> Timestamp {
        Timestamp((tsig::NOW + self.0.load(Ordering::Relaxed) % MINUTE) * 1000)
    }
}

/// Both ways to an answer.
pub(crate) struct Pair {
    compiled: Responder,
    handler: Responder,
    /// How many answers each has given, by which it chooses the next.
    turns: [Arc<AtomicU32>; 2],
    pub(crate) source: AnswersSource,
    pub(crate) transfers: Arc<Transfers>,
    signing_clock: Arc<Passing>,
    _publisher: Publisher,
}

thread_local! {
    /// The server tells how old its view is, by this clock.
    static STILL: Runtime =
        Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    static PAIR: RefCell<Pair> = RefCell::new(Pair::new());
}

impl Pair {
    fn new() -> Self {
        let signing_clock = Arc::new(Passing::default());
        let context =
            SigningContext { keys: declared::sealing(), clock: Arc::clone(&signing_clock) as _ };
        let (publisher, source) = signing_channel(context);
        publisher.publish_view(&declared::view());
        let transfers = Arc::new(Transfers::new(declared::sealing(), Arc::new(Noon)));
        let told = |text: &str| Some(text.to_owned());
        let settings = Arc::new(Settings {
            chaos: ChaosConfig { version: told("holdfast"), hostname: told("ns1") },
            nsid: told("ns1"),
            idle_timeout: Duration::from_secs(15),
            geo: geo::good().clone(),
            cookies: Some(Cookies::new(&[CookieSecret::new([7; 16])], Arc::new(Noon))),
            max_reply_without_cookie: Some(900),
            streams: Some(Arc::clone(&transfers) as _),
        });
        let turns: [Arc<AtomicU32>; 2] = Default::default();
        let responder = |turns: &Arc<AtomicU32>| {
            let mut made = Responder::new(source.clone(), Arc::clone(&settings), Arc::clone(turns));
            made.acquire();
            made
        };
        let (compiled, handler) = (responder(&turns[0]), responder(&turns[1]).handler_only());
        Self { compiled, handler, turns, source, transfers, signing_clock, _publisher: publisher }
    }

    /// Lends the pair of this thread.
    pub(crate) fn with<T>(act: impl FnOnce(&mut Self) -> T) -> T {
        STILL.with(|still| {
            let _entered = still.enter();
            PAIR.with_borrow_mut(|pair| {
                pair.signing_clock.0.fetch_add(1, Ordering::Relaxed);
                act(pair)
            })
        })
    }

    /// Whether the server answers a message by streams, and asks no responder.
    pub(crate) fn is_of_streams(&self, wire: &[u8], peer: Peer) -> bool {
        let published = self.source.current();
        peer.transport != Transport::Udp
            && self.transfers.reply(wire, peer, published.as_ref()).is_some()
    }

    /// What both ways answer at a turn, or nothing for silence; panics where they differ.
    pub(crate) fn agree(&mut self, wire: &[u8], peer: Peer, turn: u32) -> Option<Vec<u8>> {
        let responders = [&mut self.compiled, &mut self.handler];
        self.turns.iter().for_each(|turns| turns.store(turn, Ordering::Relaxed));
        let [compiled, handler] = responders.map(|responder| {
            let mut reply = Vec::new();
            responder.respond(wire, peer, &mut reply).then_some(reply)
        });
        assert_eq!(compiled, handler, "asked {wire:?} by {peer:?}");
        let [compiled_turns, handler_turns] =
            self.turns.each_ref().map(|turns| turns.load(Ordering::Relaxed));
        assert_eq!(compiled_turns, handler_turns, "turns after {wire:?} by {peer:?}");
        compiled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A question with DNSSEC OK in an OPT.
    fn question(owner: &str, kind: u16) -> Vec<u8> {
        let mut wire = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        wire.extend(declared::name(owner).to_wire());
        wire.extend_from_slice(&kind.to_be_bytes());
        wire.extend_from_slice(&[0, 1, 0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0]);
        wire
    }

    fn peer(transport: Transport) -> Peer {
        Peer { address: ([198, 51, 100, 9], 40_000).into(), transport }
    }

    fn ask(owner: &str, kind: u16, transport: Transport) -> Vec<u8> {
        let wire = question(owner, kind);
        Pair::with(|pair| pair.agree(&wire, peer(transport), 0)).expect("a reply")
    }

    /// Whether a reply is cut, its code, and how many records it has in the answer and in the authority.
    type Told = (bool, u8, [u8; 2]);

    const REPLIES: &[(&str, u16, Told)] = &[
        ("a.example.test", 1, (false, 0, [1, 0])),
        ("a.example.test", 64, (false, 0, [1, 0])),
        ("nothing.example.test", 1, (false, 3, [0, 1])),
        ("x.w.example.test", 1, (false, 0, [1, 0])),
        ("x.w.example.test", 16, (false, 0, [0, 1])),
        ("d.example.test", 1, (false, 0, [2, 0])),
        ("x.q.example.test", 1, (false, 0, [2, 0])),
        ("o.example.test", 1, (false, 0, [3, 0])),
        ("x.y.s.example.test", 33, (false, 0, [4, 0])),
        ("u.example.test", 1, (false, 0, [1, 2])),
        ("a.so.example.test", 1, (false, 0, [4, 0])),
        ("x.cut.example.test", 1, (false, 0, [0, 2])),
        ("x.far.example.test", 1, (true, 0, [0, 0])),
        ("g.example.test", 16, (true, 0, [0, 0])),
        ("example.test", 1, (false, 0, [1, 0])),
        ("ao.example.test", 1, (false, 0, [1, 0])),
        ("b.example.test", 65, (false, 0, [1, 0])),
        ("c.example.test", 1, (false, 0, [2, 0])),
        ("m.example.test", 1, (false, 0, [2, 0])),
        ("p.example.test", 1, (false, 2, [0, 0])),
        ("k.near.test", 1, (false, 0, [2, 0])),
        ("2.2.0.192.in-addr.arpa", 12, (false, 0, [2, 0])),
        ("a.signed.test", 1, (false, 0, [2, 0])),
        ("signed.test", 48, (false, 0, [2, 0])),
        ("signed.test", 59, (false, 0, [2, 0])),
        ("nothing.signed.test", 1, (false, 0, [0, 4])),
        ("x.w.signed.test", 1, (false, 0, [2, 0])),
        ("x.safe.signed.test", 1, (false, 0, [0, 3])),
        ("x.cut.signed.test", 1, (false, 0, [0, 4])),
        ("safe.signed.test", 43, (false, 0, [2, 0])),
        ("hashed.test", 48, (false, 0, [2, 0])),
        ("nothing.hashed.test", 1, (false, 3, [0, 8])),
        ("j.hashed.test", 1, (false, 0, [2, 0])),
    ];

    #[test]
    fn the_view_has_one_of_everything() {
        let replies = REPLIES.iter().map(|(owner, kind, _)| {
            let reply = ask(owner, *kind, Transport::Udp);
            (*owner, *kind, (reply[2] & 2 != 0, reply[3] & 0x0f, [reply[7], reply[9]]))
        });
        let others: Vec<_> = replies.zip(REPLIES).filter(|(told, right)| told != *right).collect();
        assert!(others.is_empty(), "told, and right: {others:#?}");
        let long = format!("{}.{0}.sl.example.test", "x".repeat(60));
        assert_eq!(ask(&long, 1, Transport::Udp)[3] & 0x0f, 6, "a DNAME makes it too long");
    }

    #[test]
    fn what_is_signed_gets_a_signed_reply() {
        for (owner, kind, transport) in [
            ("a.example.test", 1, Transport::Udp),
            ("nothing.signed.test", 1, Transport::Tcp),
            ("example.test", 252, Transport::Udp),
        ] {
            let (wire, mac) = tsig::signed(&question(owner, kind), None);
            let reply = Pair::with(|pair| pair.agree(&wire, peer(transport), 0));
            let mut reply = reply.expect("a reply");
            assert!(tsig::is_signed(&reply), "{owner} {kind}: {reply:?}");
            tsig::check(&reply, &mac);
            reply[3] ^= 1;
            assert!(std::panic::catch_unwind(|| tsig::check(&reply, &mac)).is_err());
        }
    }

    #[test]
    fn a_cookie_that_was_given_is_known() {
        let cookie = |told: &[u8]| {
            let mut wire = question("n.example.test", 1);
            let end = wire.len();
            wire[end - 1] = 4 + told.len() as u8;
            wire.extend_from_slice(&[0, 10, 0, told.len() as u8]);
            wire.extend_from_slice(told);
            let reply = Pair::with(|pair| pair.agree(&wire, peer(Transport::Udp), 0));
            reply.expect("a reply")
        };
        let first = cookie(&[1; 8]);
        assert_eq!((first[2] & 2, first[7]), (2, 0), "more than a stranger gets");
        let known = cookie(&first[first.len() - 24..]);
        assert_eq!((known[2] & 2, known[7]), (0, 60));
    }
}
