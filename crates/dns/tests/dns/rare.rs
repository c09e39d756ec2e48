//! Signed replies that are seldom asked for: names at the limit of their length, types with names in their data.

use holdfast_core::spec::{Denial, RecordData};
use holdfast_seal::SealingKeys;

use crate::fixture::{decode, exchange, name, tcp};
use crate::proofs::{kinds, signatures, told, with};
use crate::signed::{Later, query, responders};

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
