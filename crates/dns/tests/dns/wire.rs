//! Bytes in, bytes out: every behaviour that hickory-server alone has not.

use hickory_proto::op::{MessageType, ResponseCode};
use hickory_proto::rr::{RData, RecordType};
use holdfast_dns::{Peer, Settings, Transport};
use proptest::prelude::*;

use crate::fixture::{ask, decode, exchange, message, query, responder, responder_with, tcp, udp};

const SHOP: &str = "shop.example.test.";

/// What a query's bytes become, and what the reply to them must be.
struct Case {
    what: &'static str,
    wire: Vec<u8>,
    /// `None` for silence.
    expected: Option<(ResponseCode, usize, bool)>,
}

fn case(
    what: &'static str,
    expected: Option<(ResponseCode, usize, bool)>,
    change: impl FnOnce(&mut Vec<u8>),
) -> Case {
    let mut wire = query(SHOP, RecordType::A, Some(4096));
    change(&mut wire);
    Case { what, wire, expected }
}

/// The OPT of a query by `query` has 11 bytes at its end.
const OPT: usize = 11;

/// Messages that are no question we answer, damaged ones first.
fn faults() -> Vec<Case> {
    let mut cases = malformed();
    cases.extend(declined());
    cases
}

fn malformed() -> Vec<Case> {
    use ResponseCode::FormErr;
    let opt = |wire: &Vec<u8>| wire.len() - OPT;
    vec![
        case("a reply", None, |wire| wire[2] |= 0x80),
        case("a cut reply", None, |wire| {
            wire[2] |= 0x80;
            wire.truncate(15);
        }),
        case("a reply of another opcode", None, |wire| wire[2] = 0xa8),
        case("eleven bytes", None, |wire| wire.truncate(11)),
        case("nothing", None, Vec::clear),
        case("a header alone", Some((FormErr, 0, false)), |wire| wire.truncate(12)),
        case("a cut question", Some((FormErr, 0, false)), |wire| wire.truncate(20)),
        case("a cut OPT", Some((FormErr, 0, false)), |wire| wire.truncate(wire.len() - 4)),
        case("no question", Some((FormErr, 0, true)), |wire| {
            wire[5] = 0;
            wire.drain(12..opt(wire));
        }),
        case("two questions", Some((FormErr, 0, true)), |wire| {
            wire[5] = 2;
            let question = wire[12..opt(wire)].to_vec();
            wire.splice(12..12, question);
        }),
        case("a question with a pointer", Some((FormErr, 0, false)), |wire| {
            wire.splice(12..30, [0xc0, 12]);
        }),
        case("a label of 64", Some((FormErr, 0, false)), |wire| wire[12] = 64),
        case("an answer in a query", Some((FormErr, 1, true)), |wire| {
            wire[7] = 1;
            let at = opt(wire);
            wire.splice(at..at, [0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
        }),
        case("two OPTs", Some((FormErr, 1, true)), |wire| {
            wire[11] = 2;
            wire.extend_from_within(wire.len() - OPT..);
        }),
        case("an OPT with an owner", Some((FormErr, 1, true)), |wire| {
            let at = opt(wire);
            wire.splice(at..=at, [1, b'x', 0]);
        }),
        case("an option longer than its OPT", Some((FormErr, 1, true)), |wire| {
            let length = wire.len();
            wire[length - 1] = 5;
            wire.extend([0, 10, 0, 8, 1]);
        }),
    ]
}

fn declined() -> Vec<Case> {
    use ResponseCode::{BADVERS, NotImp, Refused};
    let opcode = |number: u8| move |wire: &mut Vec<u8>| wire[2] = (wire[2] & 0x87) | (number << 3);
    let opt = |wire: &Vec<u8>| wire.len() - OPT;
    vec![
        case("EDNS version 1", Some((BADVERS, 1, true)), |wire| {
            let at = opt(wire) + 6;
            wire[at] = 1;
        }),
        case("IQUERY", Some((NotImp, 1, true)), opcode(1)),
        case("STATUS", Some((NotImp, 1, true)), opcode(2)),
        case("NOTIFY", Some((NotImp, 1, true)), opcode(4)),
        case("UPDATE", Some((NotImp, 1, true)), opcode(5)),
        case("DSO", Some((NotImp, 1, true)), opcode(6)),
        case("opcode 15 in a header alone", Some((NotImp, 0, false)), |wire| {
            opcode(15)(wire);
            wire.truncate(12);
        }),
        case("class HESIOD", Some((Refused, 1, true)), |wire| set_class(wire, 4)),
        case("class CHAOS", Some((Refused, 1, true)), |wire| set_class(wire, 3)),
        case("class ANY", Some((Refused, 1, true)), |wire| set_class(wire, 255)),
        case("class 1000", Some((Refused, 1, true)), |wire| set_class(wire, 1000)),
        case("AXFR", Some((Refused, 1, true)), |wire| set_kind(wire, 252)),
        case("IXFR", Some((Refused, 1, true)), |wire| set_kind(wire, 251)),
        case("IXFR with its SOA", Some((Refused, 1, true)), |wire| {
            set_kind(wire, 251);
            wire[9] = 1;
            let at = opt(wire);
            wire.splice(at..at, [0, 0, 6, 0, 1, 0, 0, 0, 0, 0, 0]);
        }),
        case("another zone", Some((Refused, 1, true)), |wire| wire[18] = b'x'),
    ]
}

fn set_class(wire: &mut [u8], class: u16) {
    let at = wire.len() - OPT - 2;
    wire[at..at + 2].copy_from_slice(&class.to_be_bytes());
}

fn set_kind(wire: &mut [u8], kind: u16) {
    let at = wire.len() - OPT - 4;
    wire[at..at + 2].copy_from_slice(&kind.to_be_bytes());
}

#[test]
fn what_is_no_query_gets_silence_or_one_bare_reply() {
    for peer in [udp(), tcp()] {
        for Case { what, wire, expected } in faults() {
            let reply = exchange(&mut responder(), &wire, peer);
            let told = reply.as_deref().map(decode).map(|reply| {
                assert_eq!(reply.metadata.message_type, MessageType::Response, "{what}");
                assert!(!reply.metadata.authoritative && !reply.metadata.truncation, "{what}");
                assert_eq!(
                    reply.answers.len() + reply.authorities.len() + reply.additionals.len(),
                    0,
                    "{what}"
                );
                // Numbers, since hickory reads 16 as BADSIG, which shares it.
                (u16::from(reply.metadata.response_code), reply.queries.len(), reply.edns.is_some())
            });
            let expected = expected.map(|(code, questions, opt)| (u16::from(code), questions, opt));
            assert_eq!(told, expected, "{what} over {:?}", peer.transport);
            if let Some(reply) = reply {
                assert_eq!(reply[..2], wire[..2], "the id of {what}");
                assert_eq!((reply[2] >> 3) & 15, (wire[2] >> 3) & 15, "the opcode of {what}");
                assert!(reply.len() <= wire.len() + OPT, "{what} is amplified");
            }
        }
    }
}

#[test]
fn ports_that_echo_or_do_not_exist_get_silence() {
    for port in [0, 7, 17, 19] {
        assert!(!is_answered(&format!("198.51.100.9:{port}")), "port {port}");
    }
    for port in [1, 53] {
        assert!(is_answered(&format!("198.51.100.9:{port}")), "port {port}");
    }
}

#[test]
fn addresses_of_nobody_get_silence() {
    for source in [
        "0.0.0.0:4000",
        "224.0.0.251:5353",
        "239.255.255.250:4000",
        "255.255.255.255:4000",
        "[::ffff:224.0.0.251]:5353",
        "[::]:4000",
        "[ff02::fb]:5353",
    ] {
        assert!(!is_answered(source), "{source}");
    }
    for source in ["223.255.255.254:4000", "240.0.0.1:4000", "[::1]:4000", "[fe80::1]:4000"] {
        assert!(is_answered(source), "{source}");
    }
}

fn is_answered(source: &str) -> bool {
    let peer = Peer { address: source.parse().expect("an address"), ..udp() };
    exchange(&mut responder(), &query(SHOP, RecordType::A, None), peer).is_some()
}

#[test]
fn no_reply_is_ever_answered() {
    let mut responder = responder();
    for Case { what, wire, .. } in faults() {
        if let Some(reply) = exchange(&mut responder, &wire, udp()) {
            assert_eq!(exchange(&mut responder, &reply, udp()), None, "the reply to {what}");
        }
    }
}

#[test]
fn the_question_is_echoed_with_its_case_and_owners_point_to_it() {
    let wire = query("sHoP.eXaMpLe.TeSt.", RecordType::A, None);
    let reply = exchange(&mut responder(), &wire, udp()).expect("an answer");
    assert_eq!(reply[12..wire.len()], wire[12..], "the question byte for byte");
    assert_eq!(
        reply[wire.len()..wire.len() + 2],
        [0xc0, 12],
        "the owner is a pointer to the question"
    );
    assert_eq!(reply.len(), wire.len() + 16, "one compressed A record");
    let negative =
        exchange(&mut responder(), &query("No.eXaMpLe.TeSt.", RecordType::A, None), udp());
    let negative = negative.expect("an answer");
    let at = negative.len() - (2 + 10 + 20 + 6 + 13);
    assert_eq!(negative[at..at + 2], [0xc0, 15], "the SOA's owner points into the question");
    assert_eq!(decode(&negative).metadata.response_code, ResponseCode::NXDomain);
}

#[test]
fn labels_of_any_bytes_are_names_of_their_own() {
    let with_label = |label: &[u8], zone: &[&str]| {
        let mut wire = query(".", RecordType::A, None);
        let mut owner = vec![label.len() as u8];
        owner.extend_from_slice(label);
        for label in zone {
            owner.push(label.len() as u8);
            owner.extend_from_slice(label.as_bytes());
        }
        wire.splice(12..12, owner);
        let reply = exchange(&mut responder(), &wire, udp()).expect("an answer");
        assert_eq!(reply[12..wire.len()], wire[12..]);
        decode(&reply)
    };
    let code = |label: &[u8], zone: &[&str]| with_label(label, zone).metadata.response_code;
    assert_eq!(code(b"shop.example.test", &[]), ResponseCode::Refused);
    assert_eq!(code(b"shop.example", &["test"]), ResponseCode::Refused);
    assert_eq!(code(&[0, 0xff, b'\\', b'.'], &["example", "test"]), ResponseCode::NXDomain);
    let wild = with_label(b"A.\x00\xff", &["wild", "example", "test"]);
    assert_eq!(wild.metadata.response_code, ResponseCode::NoError);
    assert_eq!(
        wild.answers[0].name, wild.queries[0].name,
        "a wildcard's answer is the asked name's"
    );
}

#[test]
fn edns_is_answered_with_our_size_and_never_exceeded() {
    let sizes =
        [(None, 512), (Some(0), 512), (Some(512), 512), (Some(1000), 1000), (Some(65_535), 1232)];
    for owner in ["huge.example.test.", "crowd.example.test.", "large.example.test."] {
        for (edns, limit) in sizes {
            let kind = if owner.starts_with('c') { RecordType::A } else { RecordType::TXT };
            let mut wire = query(owner, kind, edns.map(|_| 4096));
            if let Some(size) = edns {
                let at = wire.len() - OPT + 3;
                wire[at..at + 2].copy_from_slice(&u16::to_be_bytes(size));
            }
            let reply = exchange(&mut responder(), &wire, udp()).expect("an answer");
            let decoded = decode(&reply);
            assert!(reply.len() <= limit, "{owner} {edns:?}: {} bytes", reply.len());
            assert_eq!(decoded.edns.as_ref().map(|edns| edns.max_payload()), edns.map(|_| 1232));
            let fits = owner.starts_with("large") && limit > 900;
            assert_eq!(decoded.metadata.truncation, !fits, "{owner} {edns:?}");
            assert_eq!(decoded.answers.len(), if fits { 7 } else { 0 }, "{owner} {edns:?}");
        }
    }
}

#[test]
fn tcp_takes_what_udp_truncates() {
    let truncated = ask("huge.example.test.", RecordType::TXT, Some(1232), udp());
    assert!(
        truncated.metadata.truncation
            && truncated.metadata.authoritative
            && truncated.edns.is_some()
    );
    assert_eq!(truncated.queries.len(), 1);
    let whole = ask("huge.example.test.", RecordType::TXT, Some(1232), tcp());
    assert!(!whole.metadata.truncation);
    assert_eq!(whole.answers.len(), 40);
}

#[test]
fn additional_records_are_left_out_rather_than_truncate() {
    let bare = ask("_srv._tcp.example.test.", RecordType::SRV, None, udp());
    assert!(!bare.metadata.truncation);
    assert_eq!(bare.answers.len(), 8);
    let edns = ask("_srv._tcp.example.test.", RecordType::SRV, Some(1232), udp());
    assert!(!edns.metadata.truncation);
    assert!(bare.additionals.len() < edns.additionals.len(), "{:?}", bare.additionals);
    assert_eq!(ask("_srv._tcp.example.test.", RecordType::SRV, None, tcp()).additionals.len(), 40);
}

#[test]
fn the_do_bit_is_copied_and_options_are_ignored() {
    let mut asked = message(SHOP, RecordType::A, Some(1232));
    asked.edns.as_mut().expect("has one").set_dnssec_ok(true);
    let mut wire = asked.to_vec().expect("encodes");
    let length = wire.len();
    wire[length - 1] = 8;
    wire.extend([0xff, 0xfe, 0, 4, 1, 2, 3, 4]);
    let edns =
        decode(&exchange(&mut responder(), &wire, udp()).expect("an answer")).edns.expect("an OPT");
    assert!(edns.flags().dnssec_ok);
    assert_eq!((edns.version(), edns.options().as_ref().len()), (0, 0));
}

#[test]
fn the_served_view_is_told() {
    let reply = ask("_holdfast.example.test.", RecordType::TXT, None, udp());
    let RData::TXT(text) = &reply.answers[0].data else { panic!("no TXT: {reply}") };
    let text = text.to_string();
    assert!(text.starts_with("group=3 generation=1 index=7 age_ms="), "{text}");
    assert!(text.ends_with(" source=live"), "{text}");
    assert_eq!(reply.answers[0].ttl, 0);
    let other = ask("_HOLDFAST.example.test.", RecordType::A, None, udp());
    assert_eq!(other.metadata.response_code, ResponseCode::NoError);
    assert_eq!((other.answers.len(), other.authorities.len()), (0, 1));
    assert_eq!(other.authorities[0].ttl, 5);
}

#[test]
fn without_a_view_everything_is_servfail() {
    for owner in [SHOP, "_holdfast.example.test.", "elsewhere.test."] {
        let mut responder = responder_with(Settings::default(), None);
        let reply = exchange(&mut responder, &query(owner, RecordType::TXT, Some(1232)), udp());
        let reply = decode(&reply.expect("an answer"));
        assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
        assert!(!reply.metadata.authoritative && reply.edns.is_some());
    }
}

#[test]
fn a_pattern_of_questions_does_not_freeze_the_choice() {
    let mut responder = responder();
    let mut firsts = [0; 2];
    for _ in 0..200 {
        for (place, kind) in [RecordType::A, RecordType::AAAA].into_iter().enumerate() {
            let reply = exchange(&mut responder, &query("pair.example.test.", kind, None), udp());
            let reply = reply.expect("an answer");
            firsts[place] += usize::from(reply.ends_with(&[1]));
        }
    }
    assert!(firsts.iter().all(|first| (60..140).contains(first)), "{firsts:?}");
}

fn check_any(wire: &[u8], peer: Peer) -> Result<(), TestCaseError> {
    let Some(reply) = exchange(&mut responder(), wire, peer) else { return Ok(()) };
    prop_assert!(wire.len() >= 12 && wire[2] & 0x80 == 0, "answered a reply or a fragment");
    let decoded = decode(&reply);
    prop_assert_eq!(decoded.metadata.message_type, MessageType::Response);
    prop_assert_eq!(&reply[..2], &wire[..2]);
    if peer.transport == Transport::Udp {
        prop_assert!(reply.len() <= 1232);
    }
    if !decoded.queries.is_empty() {
        let end = 12
            + decoded.queries[0].name().len()
            + usize::from(!decoded.queries[0].name().is_root())
            + 4;
        prop_assert_eq!(reply.get(12..end - 1), wire.get(12..end - 1));
    }
    prop_assert_eq!(exchange(&mut responder(), &reply, peer), None);
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_survived(wire in prop::collection::vec(any::<u8>(), 0..600), stream: bool) {
        check_any(&wire, if stream { tcp() } else { udp() })?;
    }

    #[test]
    fn any_damage_to_a_query_is_survived(
        owner in prop::sample::select(vec![
            SHOP, "huge.example.test.", "_srv._tcp.example.test.", "a.wild.example.test.", ".", "_holdfast.example.test.",
        ]),
        kind in prop::sample::select(vec![1u16, 2, 5, 6, 16, 28, 33, 41, 250, 251, 252, 255, 65_280]),
        edns in prop::option::of(any::<u16>()),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
        stream: bool,
    ) {
        let mut wire = query(owner, RecordType::from(kind), edns);
        for (place, byte) in damage {
            let place = place.index(wire.len());
            wire[place] = byte;
        }
        if let Some(cut) = cut {
            wire.truncate(cut.index(wire.len() + 1));
        }
        check_any(&wire, if stream { tcp() } else { udp() })?;
    }
}
