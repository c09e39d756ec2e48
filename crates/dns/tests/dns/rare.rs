//! Signed replies that are seldom asked for: names at the limit of their length, types with names in their data.

use holdfast_core::spec::{Denial, RecordData};
use holdfast_seal::SealingKeys;

use crate::fixture::{decode, exchange, name, tcp};
use crate::proofs::{key, kinds, signatures, told, with};
use crate::signed::{Later, Stage, query, responders};

const A: u16 = 1;
const DNAME: u16 = 39;
const RRSIG: u16 = 46;
const BOTH: [Denial; 2] = [Denial::Compact, Denial::Nsec3];

/// RFC 6672, 2.2: the DNAME says why, so it is signed.
#[test]
fn a_name_that_a_dname_makes_too_long_comes_with_a_signed_dname() {
    let target = format!("{0}.{0}.example.test", "z".repeat(60));
    let dname = RecordData::Dname(name(&target));
    let long = format!("{0}.{0}.old.example.test", "x".repeat(63));
    for denial in BOTH {
        let answers = with(denial, &[("old.example.test", std::slice::from_ref(&dname))]);
        let reply = told(&answers, &long, A);
        assert_eq!(reply[3] & 0x0f, 6, "YXDOMAIN");
        let reply = decode(&reply);
        assert_eq!(kinds(&reply.answers), [DNAME, RRSIG], "{denial:?}");
        assert_eq!(signatures(&reply.answers), [(DNAME, 3)], "{denial:?}");
        assert!(reply.authorities.is_empty(), "nothing is denied: {denial:?}");
        for mut responder in responders(SealingKeys::default(), answers.clone(), Later(0)) {
            let reply = exchange(&mut responder, &query(&long, A), tcp()).expect("a reply");
            assert_eq!((reply[3] & 0x0f, reply[7]), (2, 0), "without the key: SERVFAIL");
        }
    }
}

/// A name of labels with these lengths below the zone, and its length on the wire.
fn long(lengths: &[usize]) -> (String, usize) {
    let labels: String = lengths.iter().map(|length| "x".repeat(*length) + ".").collect();
    (format!("{labels}example.test"), labels.len() + b"\x07example\x04test\0".len())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_names_are_denied_too() {
    let names = [
        (long(&[47, 63, 63, 63]), 254),
        (long(&[63, 63, 63, 47]), 254),
        (long(&[48, 63, 63, 63]), 255),
        (long(&[63, 63, 63, 48]), 255),
    ];
    for denial in BOTH {
        let there = long(&[46, 63, 63, 63, 1]).0;
        let stage = Stage::new(with(denial, &[(&there, &[crate::fixture::a(9)])]), &key()).await;
        for ((owner, length), expected) in &names {
            assert_eq!(length, expected);
            stage.check(&[(owner, "A", "negative response")]).await;
        }
        let there = [(&*there, "A", "192.0.2.9"), (&*there, "AAAA", "negative response")];
        stage.check(&there).await;
    }
}
