//! The bits of a reply's header and of its OPT: an authoritative server's, whatever those of the query say.

use hickory_proto::rr::RecordType;
use holdfast_dns::Responder;

use crate::fixture::{decode, exchange, query, responder, tcp, udp};

const NAMES: [&str; 4] =
    ["shop.example.test.", "www.example.test.", "no.example.test.", "elsewhere.test."];

/// Both ways to an answer.
fn ways() -> [Responder; 2] {
    [responder(), responder().handler_only()]
}

#[test]
fn the_header_is_an_authoritative_servers() {
    /// RA, Z, AD and CD.
    const IN_QUERY: u8 = 0xf0;
    /// AA and TC.
    const IN_REPLY: u8 = 0x06;
    for (owner, [flags, rest]) in
        NAMES.into_iter().zip([[0x84, 0], [0x84, 0], [0x84, 3], [0x80, 5]])
    {
        for recursion_desired in [0, 1] {
            let mut wire = query(owner, RecordType::A, None);
            wire[2] = recursion_desired | IN_REPLY;
            wire[3] = IN_QUERY;
            for mut responder in ways() {
                let reply = exchange(&mut responder, &wire, udp()).expect("an answer");
                assert_eq!(reply[..2], wire[..2], "the id for {owner}");
                assert_eq!(reply[2..4], [flags | recursion_desired, rest], "{owner}");
            }
        }
    }
}

#[test]
fn unknown_flags_of_edns_are_ignored_and_not_told_back() {
    for owner in NAMES {
        for (asked, dnssec_ok) in [([0x3f, 0xff], false), ([0xbf, 0xff], true)] {
            let mut wire = query(owner, RecordType::A, Some(1232));
            let at = wire.len() - 4;
            wire[at..at + 2].copy_from_slice(&asked);
            for mut responder in ways() {
                for peer in [udp(), tcp()] {
                    let reply = exchange(&mut responder, &wire, peer).expect("an answer");
                    let edns = decode(&reply).edns.expect("an OPT");
                    assert_eq!(edns.flags().dnssec_ok, dnssec_ok, "{owner}");
                    assert_eq!(edns.flags().z, 0, "{owner}: {asked:?}");
                }
            }
        }
    }
}
