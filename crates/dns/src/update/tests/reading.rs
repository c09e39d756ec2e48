//! What stands in a message: every form that is read, and the code of whatever is wrong.

use std::net::Ipv4Addr;

use holdfast_core::spec::{Kind, RecordData};
use holdfast_core::update::{Action, Change, Condition, Prerequisite};
use proptest::prelude::*;

use super::*;
use crate::rdata::{Reader, Unread, record_data};

fn asked(message: &[u8]) -> Result<Asked, ResponseCode> {
    read(message, Transport::Tcp).1
}

#[test]
fn every_form_of_the_rfc_is_read() {
    let host = RecordData::A(Ipv4Addr::from(A));
    let of = |condition| vec![Prerequisite { name: name(WWW), condition }];
    for (wire, expected) in [
        (record(WWW, (255, ANY, 0), &[]), Condition::Name { exists: true }),
        (record(WWW, (255, NONE, 0), &[]), Condition::Name { exists: false }),
        (record(WWW, (1, ANY, 0), &[]), Condition::Set { kind: Kind::A, exists: true }),
        (record(WWW, (1, NONE, 0), &[]), Condition::Set { kind: Kind::A, exists: false }),
        (record(WWW, (1, IN, 0), &A), Condition::Holds(host.clone())),
    ] {
        assert_eq!(asked(&message(&[wire], &[])).expect("read").prerequisites, of(expected));
    }
    let add = |seconds| Action::Add { ttl: Duration::from_secs(seconds), data: host.clone() };
    for (wire, action) in [
        (record(WWW, (1, IN, 60), &A), add(60)),
        (record(WWW, (1, IN, 0x8000_0000), &A), add(0)),
        (record(WWW, (255, ANY, 0), &[]), Action::RemoveName),
        (record(WWW, (1, ANY, 0), &[]), Action::RemoveSet(Kind::A)),
        (record("WwW.example.TEST", (1, NONE, 0), &A), Action::Remove(host.clone())),
    ] {
        let read = asked(&message(&[], &[wire])).expect("read").changes;
        assert_eq!(read, [Change { name: name(WWW), action }]);
    }
}

#[test]
fn what_is_wrong_is_told_by_its_code() {
    let prerequisite = |wire| message(&[wire], &[]);
    let update = |wire| message(&[], &[wire]);
    let mut other_class = message(&[], &[]);
    let end = other_class.len();
    other_class[end - 1] = 3;
    let mut other_type = message(&[], &[]);
    other_type[end - 3] = 1;
    let mut two_zones = message(&[], &[]);
    two_zones[5] = 2;
    let mut more = message(&[], &[]);
    more.push(0);
    let lines = |count| vec![record(WWW, (1, ANY, 0), &[]); count];
    let most_asked = message(&lines(ZoneUpdate::MAX_PREREQUISITES), &[]);
    assert!(asked(&most_asked).is_ok());
    let asks_more = message(&lines(ZoneUpdate::MAX_PREREQUISITES + 1), &[]);
    let changes_more = message(&[], &lines(ZoneUpdate::MAX_CHANGES + 1));
    for (what, wire, code) in [
        ("a TTL", prerequisite(record(WWW, (1, ANY, 1), &[])), ResponseCode::FormErr),
        ("data", prerequisite(record(WWW, (1, NONE, 0), &A)), ResponseCode::FormErr),
        ("a class", prerequisite(record(WWW, (1, 3, 0), &A)), ResponseCode::FormErr),
        ("any data", prerequisite(record(WWW, (255, IN, 0), &[])), ResponseCode::FormErr),
        ("elsewhere", prerequisite(record("x.test", (1, ANY, 0), &[])), ResponseCode::NotZone),
        ("AXFR", update(record(WWW, (252, IN, 0), &A)), ResponseCode::FormErr),
        ("delete AXFR", update(record(WWW, (252, ANY, 0), &[])), ResponseCode::FormErr),
        ("delete with data", update(record(WWW, (1, ANY, 0), &A)), ResponseCode::FormErr),
        ("delete with TTL", update(record(WWW, (1, NONE, 9), &A)), ResponseCode::FormErr),
        ("short data", update(record(WWW, (1, IN, 9), &A[..3])), ResponseCode::FormErr),
        ("long data", update(record(WWW, (1, IN, 9), &[0; 5])), ResponseCode::FormErr),
        ("a class", update(record(WWW, (1, 7, 9), &A)), ResponseCode::FormErr),
        ("outside", update(record("x.test", (1, IN, 9), &A)), ResponseCode::NotZone),
        ("a space", update(record("a b.example.test", (1, IN, 9), &A)), ResponseCode::Refused),
        ("MB", update(record(WWW, (7, IN, 9), &[0])), ResponseCode::Refused),
        ("another class", other_class, ResponseCode::NotAuth),
        ("another type", other_type, ResponseCode::FormErr),
        ("two zones", two_zones, ResponseCode::FormErr),
        ("more", more, ResponseCode::FormErr),
        ("too many prerequisites", asks_more, ResponseCode::Refused),
        ("too many changes", changes_more, ResponseCode::Refused),
    ] {
        assert_eq!(asked(&wire), Err(code), "{what}");
    }
    let whole = update(record(WWW, (1, IN, 9), &A));
    for length in crate::limits::HEADER..whole.len() {
        assert_eq!(asked(&whole[..length]), Err(ResponseCode::FormErr), "cut at {length}");
    }
}

#[test]
fn data_come_as_the_group_holds_them() {
    let texts = |kind: Kind, wire: &[u8]| {
        record_data(kind, Reader::new(wire, 0)).map(|data| data.to_string())
    };
    for (kind, wire, text) in [
        (Kind::AAAA, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], "2001:db8::1"),
        (Kind::CNAME, b"\x01A\x04tEst\0", "a.test."),
        (Kind::MX, b"\0\x0a\x01m\x04test\0", "10 m.test."),
        (Kind::SRV, b"\0\x01\0\x02\x01\xbb\x01s\x04test\0", "1 2 443 s.test."),
        (Kind::SRV, b"\0\x01\0\x02\x01\xbb\0", "1 2 443 ."),
        (Kind::TXT, b"\x02hi\x00\x01\xff", "\"hi\" \"\" \"\\255\""),
        (Kind::CAA, b"\x80\x05issueca.test", "128 issue \"ca.test\""),
        (Kind::HTTPS, b"\0\x01\0\0\x01\0\x03\x02h2", "1 . alpn=\"h2\""),
        (Kind::DS, b"\0\x01\x0d\x02\xab", "1 13 2 AB"),
        (Kind(52), b"\x03\x01\x01\xab", "\\# 4 030101AB"),
    ] {
        assert_eq!(texts(kind, wire).as_deref(), Ok(text), "{kind}");
    }
    for (kind, wire) in [
        (Kind::TXT, &b""[..]),
        (Kind::TXT, b"\x05hi"),
        (Kind::CNAME, b"\x01a\x04test\0\0"),
        (Kind::CNAME, b"\xc0\x00"),
        (Kind::CNAME, b"\x80a\0"),
        (Kind::HTTPS, b"\0\x01\0\0\x01\0\x09\x02h2"),
    ] {
        assert_eq!(texts(kind, wire), Err(Unread::Malformed), "{kind} {wire:?}");
    }
    assert_eq!(texts(Kind::CNAME, b"\x03a.b\x04test\0"), Err(Unread::Unheld));
    // A pointer to what stands before: `test` at 2.
    let compressed = b"\x01a\x04test\0\x01b\xc0\x02";
    let name_at_8 = record_data(Kind::CNAME, Reader::new(compressed, 8));
    assert_eq!(name_at_8, Ok(RecordData::Cname(name("b.test"))));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(
        bytes in prop::collection::vec(any::<u8>(), 12..200),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let parts = [record(WWW, (1, ANY, 0), &[])];
        let mut near = message(&parts, &[record(WWW, (65, IN, 1), b"\0\x01\0\0\x01\0\x03\x02h2")]);
        for (at, value) in flips {
            let at = at.index(near.len());
            near[at] = value;
        }
        for wire in [bytes, near] {
            if let Ok(asked) = asked(&wire) {
                prop_assert!(asked.changes.iter().all(|change| change.name.is_within(&asked.zone)));
            }
        }
    }
}
