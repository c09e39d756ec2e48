//! Who changes what: keys, rules, times, and a repetition.

use ring::hmac;

use super::*;

/// Signed by `key.test` for clocks that may differ by so many seconds (RFC 8945, 4.2 and 4.3.3).
fn signed_within(fudge: u16, mut wire: Vec<u8>, at: u64) -> Vec<u8> {
    let (key, algorithm) = (spelled("key.test"), spelled("hmac-sha256"));
    let timers = [&at.to_be_bytes()[2..], &fudge.to_be_bytes()].concat();
    let (class_and_ttl, no_error) = ([0, 255, 0, 0, 0, 0], [0; 4]);
    let digested = [&wire[..], &key, &class_and_ttl, &algorithm, &timers, &no_error].concat();
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), &digested);
    let length = u16::try_from(mac.as_ref().len()).expect("short").to_be_bytes();
    let data = [&algorithm[..], &timers, &length, mac.as_ref(), &wire[..2], &no_error].concat();
    wire.extend(record("key.test", (250, ANY, 0), &data));
    wire[11] += 1;
    wire
}

#[test]
fn a_signed_update_is_agreed_on_and_answered_signed_over_every_transport() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Quic] {
        let stage = Stage::new(None);
        assert_eq!(stage.ask(&signed(add(1)), transport), (ResponseCode::NoError, true));
        assert_eq!(stage.texts_at(WWW), ["192.0.2.1"]);
        let unmet = message(&[record(WWW, (255, NONE, 0), &[])], &[]);
        assert_eq!(stage.ask(&signed(unmet), transport), (ResponseCode::YXDomain, true));
    }
    let refused = Stage::new(None).ask(&signed(add(1)), Transport::Https);
    assert_eq!(refused, (ResponseCode::NotImp, true));
}

#[test]
fn nobody_else_changes_anything() {
    let stage = Stage::new(None);
    let elsewhere = {
        let mut wire = message(&[], &[]);
        let end = wire.len();
        wire[end - 9] = b'x';
        signed(wire)
    };
    for (what, wire, expected) in [
        ("no key", add(1), (ResponseCode::Refused, false)),
        (
            "a key without a rule",
            signed_by("other.test", SECRET, add(1), NOW),
            (ResponseCode::Refused, true),
        ),
        (
            "an unknown key",
            signed_by("unknown.test", SECRET, add(1), NOW),
            (ResponseCode::NotAuth, true),
        ),
        (
            "another secret",
            signed_by("key.test", b"another secret of it", add(1), NOW),
            (ResponseCode::NotAuth, true),
        ),
        (
            "an old signature",
            signed_by("key.test", SECRET, add(1), NOW - 301),
            (ResponseCode::NotAuth, true),
        ),
        ("another zone", elsewhere, (ResponseCode::NotAuth, true)),
        (
            "nonsense",
            signed(message(&[], &[vec![0, 0, 1]])[..].to_vec()),
            (ResponseCode::FormErr, false),
        ),
    ] {
        assert_eq!(stage.ask(&wire, Transport::Udp), expected, "{what}");
    }
    assert!(stage.texts_at(WWW).is_empty());
}

#[test]
fn without_a_key_nothing_is_read_of_an_update_but_its_opt() {
    let stage = Stage::new(None);
    let unread = message(&[], &[record(WWW, (1, IN, 9), &A[..3])]);
    assert_eq!(stage.ask(&signed(unread.clone()), Transport::Udp), (ResponseCode::FormErr, true));
    assert_eq!(stage.ask(&unread, Transport::Udp), (ResponseCode::Refused, false));
    let mut with_opt = unread;
    with_opt.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    with_opt[11] = 1;
    let Special::Reply(reply) = stage.special(&with_opt, Transport::Udp) else {
        panic!("it is refused at once")
    };
    let reply = Message::from_vec(&reply).expect("a message");
    assert_eq!(reply.metadata.response_code, ResponseCode::Refused);
    assert!(reply.edns.is_some(), "an OPT is answered with one (RFC 6891, 6.1.1)");
}

#[test]
fn a_signature_that_would_count_for_long_changes_nothing() {
    let stage = Stage::new(None);
    for (fudge, at, code) in [
        (301, NOW, ResponseCode::Refused),
        (u16::MAX, NOW - 60_000, ResponseCode::Refused),
        (300, NOW - 300, ResponseCode::NoError),
        (5, NOW, ResponseCode::NoError),
    ] {
        let wire = signed_within(fudge, add(1), at);
        assert_eq!(stage.ask(&wire, Transport::Udp), (code, true), "{fudge} s");
        let done = code == ResponseCode::NoError;
        assert_eq!(!stage.texts_at(WWW).is_empty(), done, "{fudge} s");
    }
}

#[test]
fn a_retransmission_is_done_once_and_told_the_same() {
    let stage = Stage::new(None);
    let first = signed(add(1));
    let remove = signed(message(&[], &[record(WWW, (255, ANY, 0), &[])]));
    for wire in [&first, &remove, &first] {
        assert_eq!(stage.ask(wire, Transport::Udp).0, ResponseCode::NoError);
    }
    assert!(stage.texts_at(WWW).is_empty(), "the third was the first again");
}
