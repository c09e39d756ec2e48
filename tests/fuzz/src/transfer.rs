//! Messages that are more than a question: signed ones, transfers, notices, updates. Any bytes get a sound reply, which is
//! signed as theirs is, and a transfer that is given begins and ends with the zone's SOA. Transfers that come in are
//! [`crate::copy`]'s.

use futures_util::{FutureExt as _, StreamExt as _};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use holdfast_dns::{Messages, Peer, Special, Streams as _, Transport};

use crate::tsig;
use crate::view::Pair;

/// More messages than any zone of the view has records.
const MOST: usize = 1000;

/// The first byte chooses the transport, or a transfer that comes in, and whether the message is signed; the rest is the
/// message, or its messages.
pub(crate) fn transfer(bytes: &[u8]) {
    let Some((choice, wire)) = bytes.split_first() else { return };
    if choice & 2 != 0 {
        return crate::copy::copy(choice & 1 != 0, wire);
    }
    // The responder gives silence to what is shorter, and to replies.
    if wire.len() < 12 || wire[2] & 0x80 != 0 {
        return;
    }
    let signs = choice & 4 != 0;
    let (wire, mac) = if signs { tsig::signed(wire, None) } else { (wire.to_vec(), Vec::new()) };
    let transport = if choice & 1 == 0 { Transport::Udp } else { Transport::Tcp };
    let peer = Peer { address: ([198, 51, 100, 9], 40_000).into(), transport };
    let special = Pair::with(|pair| {
        let published = pair.source.current();
        pair.transfers.special(&wire, peer, published.as_ref())
    });
    let first = match special {
        Special::Reply(reply) => {
            sound(&reply, &wire);
            reply
        }
        // Bytes behind the message may have swallowed the signature.
        Special::Query(_, finish) if finish.room == 0 => return,
        Special::Query(mut reply, finish) => {
            reply[2] |= 0x80;
            let before = reply.len();
            (finish.append)(&mut reply);
            assert!(reply.len() - before <= usize::from(finish.room), "more than it said");
            reply
        }
        Special::Later(messages) => follow(messages, &wire),
    };
    if signs {
        tsig::check(&first, &mac);
    }
}

/// The first message.
fn follow(mut messages: Messages, wire: &[u8]) -> Vec<u8> {
    let mut first = None;
    let mut soas = 0;
    let mut records = 0;
    for count in 0.. {
        assert!(count < MOST, "a transfer without an end");
        let next =
            messages.next().now_or_never().expect("a transfer waits for nobody but its peer");
        let Some(reply) = next else { break };
        let read = sound(&reply, wire);
        assert_eq!(read.metadata.response_code, ResponseCode::NoError);
        records += read.answers.len();
        soas += read.answers.iter().filter(|r| r.record_type() == RecordType::SOA).count();
        first.get_or_insert(reply);
    }
    assert!(records == 1 && soas == 1 || soas >= 2, "{soas} SOA among {records} records");
    first.expect("it has records")
}

fn sound(reply: &[u8], wire: &[u8]) -> Message {
    assert_eq!(reply[..2], wire[..2], "the id");
    assert!(reply[2] & 0x80 != 0, "a reply says that it is one");
    Message::from_vec(reply)
        .unwrap_or_else(|error| panic!("{reply:?} to {wire:?} is no message: {error}"))
}
