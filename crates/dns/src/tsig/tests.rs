use std::sync::Arc;

use holdfast_core::DnsName;
use holdfast_core::tsig::TsigAlgorithm;
use proptest::prelude::*;

use super::sign::Remark;
use super::verify::Verified;
use super::*;

const NOW: u64 = 1_700_000_000;

fn name(text: &str) -> DnsName {
    DnsName::new(text).expect("valid")
}

fn keys(secret: &[u8]) -> Keyring {
    let mut keys = Keyring::default();
    keys.insert(name("key.test"), TsigAlgorithm::HmacSha256, secret);
    keys
}

fn key(secret: &[u8]) -> Arc<Key> {
    Arc::clone(keys(secret).get(&name("key.test")).expect("was put there"))
}

/// A question for the SOA of example.test.
fn question() -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(b"\x07example\x04test\0\0\x06\0\x01");
    message
}

fn signed(secret: &[u8]) -> Vec<u8> {
    let mut message = question();
    Signer::of_request(key(secret)).sign(&mut message, NOW);
    message
}

fn checked(message: &[u8], now: u64) -> Result<Verified, Fault> {
    let Found::Signed(tsig) = find(message) else { panic!("not signed: {:?}", find(message)) };
    verify(message, &tsig, &keys(b"0123456789abcdef"), now)
}

#[test]
fn what_was_signed_is_found_whole_and_told_by_whom() {
    let verified = checked(&signed(b"0123456789abcdef"), NOW + 300).expect("is right");
    assert_eq!(verified.key.name(), &name("key.test"));
    assert_eq!(verified.message, question());
}

#[test]
fn each_algorithm_signs_with_its_own_hash_and_stands_for_no_other() {
    // By Python's hmac over the question and the variables of RFC 8945, 4.3.3.
    let expected: [(usize, [u8; 8]); 3] = [
        (32, [0xc1, 0x26, 0xfb, 0x58, 0xf5, 0xb5, 0xc2, 0x86]),
        (48, [0x89, 0x84, 0xae, 0xfd, 0x58, 0x15, 0x08, 0x64]),
        (64, [0x0f, 0x97, 0xd0, 0x5f, 0x87, 0xa3, 0x68, 0x1d]),
    ];
    let keys = |algorithm| {
        let mut keys = Keyring::default();
        keys.insert(name("key.test"), algorithm, b"0123456789abcdef");
        keys
    };
    for (algorithm, (length, begin)) in TsigAlgorithm::ALL.into_iter().zip(expected) {
        let mut message = question();
        let own = keys(algorithm);
        let key = own.get(&name("key.test")).expect("was put there");
        Signer::of_request(Arc::clone(key)).sign(&mut message, NOW);
        let Found::Signed(tsig) = find(&message) else { panic!("{algorithm}: not signed") };
        assert_eq!((tsig.mac.len(), &tsig.mac[..8]), (length, &begin[..]), "{algorithm}");
        for other in TsigAlgorithm::ALL {
            match verify(&message, &tsig, &keys(other), NOW) {
                Ok(verified) => assert_eq!((other, verified.message), (algorithm, question())),
                Err(fault) => {
                    assert_ne!(other, algorithm);
                    assert_eq!(told(&fault), (error::BADKEY, false), "{algorithm} for {other}");
                }
            }
        }
    }
}

#[test]
fn a_forwarder_may_change_the_id() {
    let mut message = signed(b"0123456789abcdef");
    message[0] ^= 0xff;
    assert_eq!(checked(&message, NOW).expect("the id is in the record").message, question());
}

/// The error of a fault, and whether it is told under a signature.
fn told(fault: &Fault) -> (u16, bool) {
    match fault {
        Fault::Malformed => (1, false),
        Fault::Unsigned(error) => (*error, false),
        Fault::Signed(error, _) => (*error, true),
    }
}

#[test]
fn what_is_wrong_is_told_as_the_rfc_says() {
    let right = signed(b"0123456789abcdef");
    let Found::Signed(tsig) = find(&right) else { panic!("signed") };
    let mac_at = right.len() - 6 - 32;
    let changed = |at: usize| {
        let mut message = right.clone();
        message[at] ^= 1;
        message
    };
    let mut renamed = right.clone();
    renamed[tsig.at + 1] ^= 1;
    let shortened = |length: usize| {
        let mut message = right.clone();
        message.drain(mac_at + length..mac_at + 32);
        let cut = 32 - length as u16;
        let data_length = u16::from_be_bytes([message[tsig.at + 18], message[tsig.at + 19]]) - cut;
        message[tsig.at + 18..tsig.at + 20].copy_from_slice(&data_length.to_be_bytes());
        message[mac_at - 1] = length as u8;
        message
    };
    for (what, message, now, expected) in [
        ("another secret", signed(b"another secret!!"), NOW, (error::BADSIG, false)),
        ("a changed question", changed(14), NOW, (error::BADSIG, false)),
        ("a changed MAC", changed(mac_at), NOW, (error::BADSIG, false)),
        ("an unknown key", renamed, NOW, (error::BADKEY, false)),
        ("another algorithm", changed(tsig.at + 22), NOW, (error::BADKEY, false)),
        ("an old signature", right.clone(), NOW + 301, (error::BADTIME, true)),
        ("one of the future", right.clone(), NOW - 301, (error::BADTIME, true)),
        ("a shortened MAC", shortened(16), NOW, (error::BADTRUNC, true)),
        ("one that is too short", shortened(15), NOW, (1, false)),
    ] {
        let fault = checked(&message, now).expect_err(what);
        assert_eq!(told(&fault), expected, "{what}");
    }
}

#[test]
fn a_clock_that_differs_is_told_the_time_under_a_signature() {
    for (time, fudge) in [(NOW - 1000, FUDGE), (NOW + 1000, FUDGE), (NOW - 8, 7), (NOW + 61, 60)] {
        let mut sent = question();
        let mut signer = Signer::of_request(key(b"0123456789abcdef"));
        signer.sign_with(&mut sent, Remark { fudge, ..Remark::at(time) });
        let fault = checked(&sent, NOW).expect_err("another time");
        let mut reply = question();
        reply[2] |= 0x80;
        fault.push(&sent, NOW, &mut reply);
        let Found::Signed(tsig) = find(&reply) else { panic!("not signed") };
        assert_eq!((tsig.error, tsig.time, tsig.fudge), (error::BADTIME, time, fudge));
        assert_eq!(tsig.other, &NOW.to_be_bytes()[2..]);
        let why = Verifier::after(signer).take(&reply, true, time).expect_err("an error");
        assert!(why.contains("BADTIME"), "{why}");
    }
}

#[test]
fn a_wrong_time_is_told_to_nobody_without_the_secret() {
    let mut sent = question();
    Signer::of_request(key(b"another secret!!")).sign(&mut sent, NOW - 1000);
    let fault = checked(&sent, NOW).expect_err("neither is right");
    assert_eq!(told(&fault), (error::BADSIG, false), "the MAC comes first (RFC 8945, 5.2)");
}

#[test]
fn every_message_of_a_reply_is_bound_to_those_before() {
    let mut sent = question();
    let mut asking = Signer::of_request(key(b"0123456789abcdef"));
    asking.sign(&mut sent, NOW);
    let mut answering = checked(&sent, NOW).expect("is right").signer;
    let replies: Vec<Vec<u8>> = (0..4)
        .map(|number| {
            let mut reply = question();
            reply[2] |= 0x80;
            reply[1] = number;
            answering.sign(&mut reply, NOW);
            reply
        })
        .collect();
    let take = |order: &[usize]| {
        let mut verifier = Verifier::after(asking.clone());
        order.iter().try_for_each(|place| {
            let last = Some(place) == order.last();
            verifier.take(&replies[*place], last, NOW)
        })
    };
    assert_eq!(take(&[0, 1, 2, 3]), Ok(()));
    assert!(take(&[1]).is_err(), "the first one digests more");
    assert!(take(&[0, 2]).is_err(), "one is missing");
    assert!(take(&[0, 1, 1]).is_err(), "one comes twice");
}

#[test]
fn some_messages_between_may_go_unsigned_but_not_the_last() {
    let mut sent = question();
    let mut asking = Signer::of_request(key(b"0123456789abcdef"));
    asking.sign(&mut sent, NOW);
    let Verified { signer: mut answering, .. } = checked(&sent, NOW).expect("is right");
    let mut first = question();
    answering.sign(&mut first, NOW);
    let bare = question();
    let mut verifier = Verifier::after(asking.clone());
    assert_eq!(verifier.take(&first, false, NOW), Ok(()));
    for _ in 0..99 {
        assert_eq!(verifier.take(&bare, false, NOW), Ok(()));
    }
    assert!(verifier.take(&bare, false, NOW).is_err(), "too many");
    let mut verifier = Verifier::after(asking.clone());
    assert_eq!(verifier.take(&first, false, NOW), Ok(()));
    assert!(verifier.take(&bare, true, NOW).is_err(), "the last one");
    assert!(Verifier::after(asking).take(&bare, false, NOW).is_err(), "the first one");
}

#[test]
fn the_record_stands_last_and_alone() {
    let right = signed(b"0123456789abcdef");
    let Found::Signed(tsig) = find(&right) else { panic!("signed") };
    let record = right[tsig.at..].to_vec();
    let mut twice = [&right[..], &record].concat();
    twice[11] = 2;
    assert_eq!(find(&twice), Found::Malformed);
    let mut answer = right.clone();
    answer[7] = 1;
    answer[11] = 0;
    assert_eq!(find(&answer), Found::Malformed);
    assert_eq!(find(&[&right[..], &[0]].concat()), Found::Malformed);
    assert_eq!(find(&right[..right.len() - 1]), Found::Malformed);
    assert_eq!(find(&question()), Found::Nothing);
}

proptest! {
    #[test]
    fn any_bytes_are_looked_at_without_harm(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut message = signed(b"0123456789abcdef");
        for (at, value) in flips {
            let at = at.index(message.len());
            message[at] = value;
        }
        for message in [bytes, message] {
            if let Found::Signed(tsig) = find(&message)
                && let Err(fault) = verify(&message, &tsig, &keys(b"0123456789abcdef"), NOW)
            {
                fault.push(&message, NOW, &mut question());
            }
        }
    }
}
