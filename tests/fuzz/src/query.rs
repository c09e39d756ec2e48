//! Messages: both ways to an answer give the same bytes, which are a sound reply or silence.

use hickory_proto::op::{Message, MessageType};
use holdfast_dns::{Peer, Responder, Transport};

use crate::view::Pair;

const HEADER: usize = 12;
const MAX_UDP: usize = 1232;

/// The first byte chooses the transport, the rest is the message.
pub(crate) fn query(bytes: &[u8]) {
    let Some((choice, wire)) = bytes.split_first() else { return };
    let transport = if choice & 1 == 0 { Transport::Udp } else { Transport::Tcp };
    agree(wire, transport);
}

/// The bytes are an OPT's fields and options; the question is one of a few.
pub(crate) fn edns(bytes: &[u8]) {
    let Some(([choice, size_high, size_low, version, flags], options)) = bytes.split_first_chunk()
    else {
        return;
    };
    let Ok(length) = u16::try_from(options.len()) else { return };
    let label = b"abcdeg"[usize::from(choice >> 1) % 6];
    let mut wire = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, label];
    wire.extend_from_slice(b"\x07example\x04test\0\0\x01\0\x01");
    wire.extend_from_slice(&[0, 0, 41, *size_high, *size_low, 0, *version, *flags, 0]);
    wire.extend_from_slice(&length.to_be_bytes());
    wire.extend_from_slice(options);
    agree(&wire, if choice & 1 == 0 { Transport::Udp } else { Transport::Tcp });
}

fn agree(wire: &[u8], transport: Transport) {
    let peer = Peer { address: ([198, 51, 100, 9], 40_000).into(), transport };
    let [compiled, handler] = Pair::with(|pair| {
        [&mut pair.compiled, &mut pair.handler].map(|responder| exchange(responder, wire, peer))
    });
    assert_eq!(compiled, handler, "asked {wire:?} over {transport:?}");
    match compiled {
        Some(reply) => sound(&reply, wire, transport),
        None => assert!(wire.len() < HEADER || wire[2] & 0x80 != 0, "silence to {wire:?}"),
    }
}

fn exchange(responder: &mut Responder, wire: &[u8], peer: Peer) -> Option<Vec<u8>> {
    let mut reply = Vec::new();
    responder.respond(wire, peer, &mut reply).then_some(reply)
}

fn sound(reply: &[u8], wire: &[u8], transport: Transport) {
    assert!(transport == Transport::Tcp || reply.len() <= MAX_UDP, "{} bytes", reply.len());
    assert_eq!(reply[..2], wire[..2], "the id");
    let read = Message::from_vec(reply)
        .unwrap_or_else(|error| panic!("{reply:?} to {wire:?} is no message: {error}"));
    assert_eq!(read.metadata.message_type, MessageType::Response);
    assert!(!read.metadata.recursion_available && !read.metadata.authentic_data);
    assert!(!read.metadata.truncation || read.answers.is_empty(), "a part of an answer");
    if let [question] = &read.queries[..] {
        let end = HEADER + question.name().len() + 4;
        assert_eq!(reply.get(HEADER..end), wire.get(HEADER..end), "the question as it was asked");
    }
}
